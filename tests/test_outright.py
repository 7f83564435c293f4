"""Wishes said outright: what the message says is what the tool is told, whatever is there beside it."""

import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import make_network

from unified_demo import grammar
from unified_demo.config import GenerationOptions, Settings
from unified_demo.grammar import TASK_TAGS, TASKS, Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.decoding import default_filters
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.intents import CHOICES, NO_CALL, Intent
from unified_demo.model.outright import (
    LONGEST,
    SaysWhatWasSaid,
    becoming,
    has_its_media,
    main_things,
    outright,
    place_beside,
    place_free,
    plainly,
    unseen,
)
from unified_demo.regions import COLOURS, PARTS, Region
from unified_demo.zoo import Zoo

DRAW, CHANGE, ADD = Task.IMAGE_GENERATION, Task.IMAGE_EDITING, Task.REASONING_EDITING
PHOTO = Artefact("img-1", MediaKind.IMAGE, Path("assets/dog.jpg"))


COW = Region("cow", 0.9, Box(0.3, 0.5, 0.7, 0.9), np.zeros((PARTS, len(COLOURS)), np.float32))
SEEN = {"img-1": (replace(COW, label="picture", box=Box(0, 0, 1, 1)), COW)}


@pytest.fixture(scope="module")
def vocabulary():
    return make_network()[1]


@pytest.mark.parametrize(
    ("message", "wish"),
    [
        ("draw the sun, a house and a tree", (DRAW, "the sun, a house and a tree")),
        ("Draw 15 stars!", (DRAW, "15 stars")),
        ("Please draw me a red fox in the snow.", (DRAW, "a red fox in the snow")),
        ("can you draw a picture of two cats for me", (DRAW, "two cats")),
        ("now sketch an octopus wearing a hat, please", (DRAW, "an octopus wearing a hat")),
        ("paint a blue wall", (DRAW, "a blue wall")),
        ("make the picture twice as large", (CHANGE, "make the picture twice as large")),
        ("Please enlarge my photo by 2x.", (CHANGE, "Please enlarge my photo by 2x")),
        ("resize the image to 512 px", (CHANGE, "resize the image to 512 px")),
        ("put a hat on the house", (ADD, "add a hat on the house")),
        ("please add some snow to my roof!", (ADD, "add some snow on my roof")),
        ("add a red apple next to the cow", (ADD, "add a red apple to the right of the cow")),
        ("add a moon", (ADD, "add a moon")),
        ("can you add another owl to the picture?", (ADD, "add an owl")),
        ("add a yellow star to the sky", (ADD, "add a yellow star")),
        ("add a spoon to the cup", (ADD, "add a spoon on the cup")),
        ("give the cat sunglasses", (ADD, "add sunglasses on the cat")),
        ("please give her a red hat", (ADD, "add a red hat on her")),
        ("put sunglasses on the dog", (ADD, "add sunglasses on the dog")),
        ("give it a red hat", (ADD, "add a red hat on it")),
        ("加一个月亮", (ADD, "add a moon")),
        ("请在照片里添加一只狗吧", (ADD, "add a dog")),
        ("把背景变成粉色", (CHANGE, "pink background")),
        ("画一只红色的猫", None),
        ("blur the background", (ADD, "blur the background")),
        ("make the rest of the picture black and white", (ADD, "make the background black and white")),
        ("blur everything except the cup", (ADD, "blur the background")),
        ("keep only the dog in colour", (ADD, "make the background black and white")),
        ("把背景虚化一下", (ADD, "blur the background")),
        ("make the sky pink", (CHANGE, "pink background")),
        ("Turn the background dark blue please", (CHANGE, "blue background")),
        ("flip it horizontally", (CHANGE, "flip it horizontally")),
        ("please rotate my photo to the left", (CHANGE, "rotate my photo to the left")),
        ("crop the cat", (ADD, "crop to the cat")),
        ("crop it to the left giraffe", (ADD, "crop to the left giraffe")),
        ("zoom in on the dog please", (ADD, "crop to the dog")),
        ("zoom in", None),
        ("crop the picture", None),
        ("rotate the cat", None),
        ("turn it into a dog", None),
        ("draw another one", None),
        ("give the dog a bath", None),
        ("give it a warm look", None),
        ("give the picture a border", None),
        ("add some text saying HELLO", None),
        ("add a bit of snow", None),
        ("add a cat with a hat", None),
        ("add a sound of rain", None),
        ("put a kite there", None),
        ("put a carrot on paper for me", None),
        ("blur the dog", None),
        ("make the cup pink", None),
        ("put a hat on it", None),
        ("put a box on the dog and count them", None),
        ("add a filter to the picture", None),
        ("paint the wall blue", (CHANGE, "blue background")),
        ("draw a moustache on him", None),
        ("draw a hat on the house", None),
        ("draw a box around the dog", None),
        ("draw what you hear", None),
        ("draw it again", None),
        ("draw a fox and then remove the dog", None),
        ("draw a fox. And what is this?", None),
        ("paint a wall! I mean as footage", None),
        ("make the dog in the picture twice as large", None),
        ("make the dog bigger", None),
        ("I can draw a fox", None),
        ("", None),
    ],
)
def test_what_is_said_outright(message: str, wish: tuple[Task, str] | None):
    assert outright(message) == wish


def test_long_and_hostile_messages_take_no_time_and_ask_for_nothing():
    assert outright("draw " + "a fox " * LONGEST) is None
    assert outright("please " * 10 + "draw") is None
    assert outright("draw " + "please " * 12) is None or len(outright("draw " + "please " * 12)[1]) < LONGEST  # type: ignore[index]


@pytest.mark.parametrize("tag", ["gen", "edit", "redit"])
def test_the_words_of_such_a_call_are_those_of_the_message(vocabulary, tag: str):
    asked = {"gen": "draw <p> a fox", "edit": "enlarge the photo by 2x", "redit": "put a hat on the cow"}[tag]
    due = {"gen": "‹p› a fox", "edit": asked, "redit": "add a hat on the cow"}[tag]
    end = vocabulary.tag_ids["<box>" if tag == "redit" else grammar.close_tag(tag)]
    state = DecodingState(vocabulary, [], {"img-1": vocabulary.encode("img-1")}, TASK_TAGS, asked=asked, seen=SEEN)
    rule, generator = SaysWhatWasSaid(), torch.Generator().manual_seed(0)
    assert any(isinstance(one, SaysWhatWasSaid) for one in default_filters(vocabulary))

    def wanted() -> int:
        logits = torch.randn(vocabulary.point_base, generator=generator)
        free = logits.clone()
        rule.apply(logits, state)
        return -1 if torch.equal(logits, free) else int(logits.argmax())

    promise = ["Here you are."] if tag != "gen" else []
    for piece in (*promise, f"<{tag}>", *(("<ref>", "img-1", "</ref>") if tag != "gen" else ())):
        for token in [vocabulary.tag_ids[piece]] if piece.startswith("<") else vocabulary.encode(piece):
            assert wanted() == (token if piece in (*promise, f"<{tag}>") and tag != "gen" else -1), piece
            state.add(token)
    written, token = list[int](), -1
    while len(written) < 60 and (token := wanted()) not in (-1, end):
        state.add(token)
        written.append(token)
    assert vocabulary.tokenizer.decode(written) == due and token == end


def test_what_is_added_is_smaller_and_beside_the_thing_within_the_picture():
    thing = Box(0.3, 0.5, 0.7, 0.9)
    above, right = place_beside("on", thing), place_beside("next to", thing)
    assert above.y0 < thing.y0 < above.y1 < thing.y1 and (above.x0 + above.x1) / 2 == pytest.approx(0.5) and above.area < 0.5 * thing.area
    assert right.x0 > thing.x1 and right.y1 == pytest.approx(thing.y1)
    for edge in (Box(0, 0, 1, 1), Box(0.9, 0, 1, 0.1), Box(0, 0.9, 0.1, 1)):
        for how in ("on", "next to"):
            box = place_beside(how, edge)
            assert min(box.as_tuple()) >= 0 and max(box.as_tuple()) <= 1


def boxes_written(vocabulary, asked: str, told: str, seen: dict[str, tuple[Region, ...]], called: dict[str, str]) -> list[Box]:
    """Those of the call that the rule writes; none where it leaves the call to the network."""
    proposals = [(key, index) for key, row in seen.items() for index in range(len(row))]
    references = {"img-1": vocabulary.encode("img-1")}
    state = DecodingState(vocabulary, proposals, references, TASK_TAGS, asked=asked, seen=seen, called=called)
    for piece in ("<redit>", "<ref>", "img-1", "</ref>", told, "<box>"):
        for token in [vocabulary.tag_ids[piece]] if piece.startswith("<") else vocabulary.encode(piece):
            state.add(token)
    written = list[int]()
    while state.innermost:
        logits = torch.zeros(vocabulary.point_base)
        SaysWhatWasSaid().apply(logits, state)
        if not bool(torch.isinf(logits).any()):
            return []
        written.append(int(logits.argmax()))
        state.add(written[-1])
    return [grammar.read_box(text) for text in re.findall(r"\[[0-9,]+\]", vocabulary.tokenizer.decode(written))]


def test_what_stays_before_a_background_has_a_box_each(vocabulary):
    calf, dog = replace(COW, score=0.8, box=Box(0.0, 0.5, 0.3, 0.9)), replace(COW, label="dog", score=0.7, box=Box(0.7, 0.1, 0.9, 0.4))
    seen = {"img-1": (SEEN["img-1"][0], COW, calf, dog, replace(dog, label="cat", score=0.5))}

    def boxes(asked: str, told: str = "blur the background") -> list[Box]:
        return boxes_written(vocabulary, asked, told, seen, {})

    assert [box.iou(one.box) > 0.95 for box, one in zip(boxes("blur the background"), (COW, calf, dog), strict=True)] == [True] * 3
    assert len(boxes("blur everything but the cows")) == 2 and len(boxes("blur everything but the dog")) == 1
    (kept,) = boxes("blur everything but the cow")
    assert kept.iou(COW.box) > 0.95, "of several the largest is the cow"
    assert len(boxes("give it a hat", "add a hat on it")) == len(boxes("加一个月亮", "add a moon")) == 1
    assert boxes("blur everything but the cat") == [], "the surer name of that box is another one"
    assert len(boxes("add a moon", "add a moon")) == 1
    for asked, box in (
        ("crop to the left cow", calf.box),
        ("crop to the cow on the right", COW.box),
        ("zoom in on the smallest cow", calf.box),
    ):
        (cut,) = boxes(asked, outright(asked)[1])  # type: ignore[index]
        assert cut.iou(box) > 0.95, asked
    assert len(boxes("crop to the cows", "crop to the cows")) == 2
    state = DecodingState(vocabulary, [("img-1", 1)], {}, TASK_TAGS, seen=seen)
    for asked, lacking in (("crop to the cat", "the cat"), ("crop to the cow", ""), ("blur everything but the cup", "the cup"), ("hi", "")):
        state.asked = asked
        assert unseen(state) == lacking
    state = DecodingState(vocabulary, [], {"img-1": vocabulary.encode("img-1")}, TASK_TAGS, asked="add a moon", seen=seen, marked=True)
    logits = torch.zeros(vocabulary.point_base)
    SaysWhatWasSaid().apply(logits, state)
    assert not torch.isinf(logits).any(), "what is marked is meant"


@pytest.mark.parametrize(("label", "called", "found"), [("cow", {}, True), ("kite", {"kite": "cow"}, True), ("dog", {}, False)])
def test_the_box_of_what_is_added_is_written_where_the_thing_is_seen(vocabulary, label: str, called: dict[str, str], found: bool):
    thing = replace(COW, label=label)
    seen = {"img-1": (SEEN["img-1"][0], thing)}
    boxes = boxes_written(vocabulary, "put a hat on the cow", "add a hat on the cow", seen, called)
    assert bool(boxes) is found
    if found:
        assert len(boxes) == 1 and boxes[0].iou(place_beside("on", thing.box)) > 0.95


def test_what_is_added_nowhere_in_particular_lies_over_as_little_as_possible():
    for new, high in (("a red balloon", True), ("a moon", True), ("a tree", False)):
        empty = place_free(new, [])
        assert (empty.y1 < 0.5) is high and 0 <= empty.x0 < empty.x1 <= 1
        crowded = [Box(0.5, 0, 1, 1), Box(0.35, 0, 0.6, 1)]
        assert sum(place_free(new, crowded).overlap(thing) for thing in crowded) == pytest.approx(0)


def test_what_a_picture_is_of_is_neither_its_ground_nor_a_trifle():
    table, cat, mouse = (replace(COW, label=name) for name in ("dining table", "cat", "mouse"))
    table, mouse = replace(table, box=Box(0, 0.3, 1, 1)), replace(mouse, box=Box(0.8, 0.8, 0.9, 0.9))
    assert main_things([table, cat, mouse]) == [cat.box]
    assert main_things([table]) == [table.box]
    assert main_things([replace(cat, box=Box(0, 0, 1, 0.95)), mouse]) == [mouse.box]
    other = replace(COW, box=Box(0.0, 0.5, 0.3, 0.9))
    assert main_things([COW, other]) == [COW.box, other.box] and main_things([]) == []


def bare(message: str, *parts: object) -> Conversation:
    return Conversation((Message("user", (*parts, TextPart(message))),))  # type: ignore[arg-type]


@pytest.mark.parametrize("message", ["what is this?", "What's that", "so what am I looking at?", "hi, what are these?", "这是什么？"])
def test_a_bare_question_about_a_picture_asks_for_what_can_be_seen(message: str):
    assert plainly(bare(message, MediaPart(PHOTO))) == bare("what do you see?", MediaPart(PHOTO))
    for untouched in (bare(message), bare(message, MediaPart(PHOTO), RegionPart("", artefact_id="img-1")), Conversation(())):
        assert plainly(untouched) is untouched


@pytest.mark.parametrize(
    "message", ["what is this thing for?", "what is the cup standing on?", "who is this?", "what is this " + "x" * LONGEST]
)
def test_other_questions_stay_as_they_are(message: str):
    conversation = bare(message, MediaPart(PHOTO))
    assert plainly(conversation) is conversation


def test_what_is_said_outright_is_said_of_the_latest_thing_alone(vocabulary):
    for keys, fits in (
        (["img-1"], True),
        (["vid-1", "img-1", "mask-1"], True),
        (["img-1", "vid-1"], False),
        ([], False),
        (["mask-1"], False),
    ):
        assert has_its_media(CHANGE, keys) is has_its_media(ADD, keys) is fits
        assert has_its_media(DRAW, keys)
        state = DecodingState(vocabulary, [], {key: vocabulary.encode(key) for key in keys}, TASK_TAGS, asked="mirror it", seen=SEEN)
        logits = torch.zeros(vocabulary.point_base)
        SaysWhatWasSaid().apply(logits, state)
        assert bool(torch.isinf(logits).any()) is fits
    film = Artefact("vid-1", MediaKind.VIDEO, Path("film.mp4"))
    later = Conversation((*bare("hi", MediaPart(PHOTO)).messages, *bare("what is this?", MediaPart(film)).messages))
    assert plainly(later) is later


@pytest.mark.parametrize("message", ["another one", "draw another one please", "one more", "draw it again"])
def test_another_one_is_what_was_drawn_last(message: str):
    drawn = Message("assistant", (TaskCall(0, "gen", "a red fox"), MediaPart(PHOTO)))
    assert plainly(Conversation((drawn, *bare(message).messages))).messages[-1] == bare("draw a red fox").messages[-1]
    changed = Conversation((drawn, Message("assistant", (TaskCall(0, "edit", "night", ("img-1",)),)), *bare(message).messages))
    assert plainly(changed) is changed


def test_what_is_to_become_another_thing_is_said_as_training_says_it():
    for message in ("make it a dog", "turn it into a dog please", "Replace it with a dog."):
        assert becoming(bare(message)) == bare("change it to a dog")
    for message in ("make it bigger", "make the cat a dog", "make it night", ""):
        assert becoming(bare(message)) == bare(message)


def test_a_settled_intent_is_of_that_call_alone():
    intent = Intent([], torch.zeros(1))
    intent.settle("edit")
    assert intent.plan() == ("edit",) and intent.plain == 0.0 and set(intent._choices(())) == set(CHOICES)
    assert intent.next(("edit",))[NO_CALL] == 1.0


@pytest.mark.weights
def test_said_outright_beside_a_photo_it_is_drawn_word_by_word_and_larger_is_the_whole_picture():
    from unified_demo.model.tiny import load_multimodal_lm

    settings = Settings()
    model = load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model
    for message, call in [
        ("draw the sun, a house and a tree", "<gen>the sun, a house and a tree</gen>"),
        ("draw 15 stars", "<gen>15 stars</gen>"),
        ("make the picture twice as large", "<edit><ref>img-1</ref>make the picture twice as large</edit>"),
    ]:
        shown = Conversation((Message("user", (MediaPart(PHOTO), TextPart("hi"))), Message("assistant", (TextPart("Hello!"),))))
        asked = Conversation((*shown.messages, Message("user", (TextPart(message),))))
        said = "".join(model.generate(asked, GenerationOptions(max_new_tokens=60), threading.Event()))
        assert said.endswith(call) and said.count("<ref>") <= 1, said
