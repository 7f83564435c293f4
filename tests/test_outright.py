"""Wishes said outright: what the message says is what the tool is told, whatever is there beside it."""

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
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart
from unified_demo.model.decoding import default_filters
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.intents import CHOICES, NO_CALL, Intent
from unified_demo.model.outright import LONGEST, SaysWhatWasSaid, outright, place_beside
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
        ("put a hat on it", None),
        ("put a box on the dog and count them", None),
        ("add a filter to the picture", None),
        ("paint the wall blue", None),
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


@pytest.mark.parametrize(("label", "called", "found"), [("cow", {}, True), ("kite", {"kite": "cow"}, True), ("dog", {}, False)])
def test_the_box_of_what_is_added_is_written_where_the_thing_is_seen(vocabulary, label: str, called: dict[str, str], found: bool):
    thing = replace(COW, label=label)
    seen = {"img-1": (SEEN["img-1"][0], thing)}
    references = {"img-1": vocabulary.encode("img-1")}
    state = DecodingState(vocabulary, [], references, TASK_TAGS, asked="put a hat on the cow", seen=seen, called=called)
    for piece in ("<redit>", "<ref>", "img-1", "</ref>", "add a hat on the cow", "<box>"):
        for token in [vocabulary.tag_ids[piece]] if piece.startswith("<") else vocabulary.encode(piece):
            state.add(token)
    written = []
    for _ in range(40):
        logits = torch.zeros(vocabulary.point_base)
        SaysWhatWasSaid().apply(logits, state)
        if not bool(torch.isinf(logits).any()):
            break
        written.append(int(logits.argmax()))
        state.add(written[-1])
    assert bool(written) is found
    if found:
        assert written[-1] == vocabulary.tag_ids["</box>"]
        assert grammar.read_box(vocabulary.tokenizer.decode(written[:-1])).iou(place_beside("on", thing.box)) > 0.95


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
