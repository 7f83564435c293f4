"""What captions owe to what was seen: which kinds are unsaid, when a caption may end, the colour of a shirt."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import make_network

from unified_demo.config import GenerationOptions, Settings
from unified_demo.grammar import TASK_TAGS, TASKS, Box, MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart
from unified_demo.model.caption_rules import Turn, owed, phrases, turn
from unified_demo.model.count_rules import counted
from unified_demo.model.decoding import OnlyKnownTags, default_filters
from unified_demo.model.decoding_rule import MOST_BOXES, LogitFilter
from unified_demo.model.decoding_seen import CaptionsAreSeen, ChangesEachOfThem, CountsAreSeen, PlacesAreMeasured
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.tokens import Vocabulary
from unified_demo.nouns import GROUP
from unified_demo.regions import COLOURS, PARTS, SURE, Floats, Region, with_whole_picture
from unified_demo.zoo import Zoo

ASSETS = Path(__file__).parents[1] / "assets"
GREY = np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)


def wearing(colour: str) -> Floats:
    colours = GREY.copy()
    colours[2] = np.eye(len(COLOURS), dtype=np.float32)[COLOURS.index(colour)]
    return colours


SEEN = [
    Region("dog", 0.9, Box(0.0, 0.2, 0.2, 0.6), GREY),
    Region("cat", 0.8, Box(0.2, 0.2, 0.3, 0.6), GREY),
    Region("umbrella", 0.7, Box(0.3, 0.1, 0.5, 0.5), GREY),
    Region("person", 0.9, Box(0.5, 0.1, 0.7, 0.9), wearing("red")),
    Region("person", 0.9, Box(0.7, 0.4, 0.8, 0.9), wearing("blue")),
    Region("cup", SURE - 0.1, Box(0.8, 0.4, 0.9, 0.9), GREY),
]


@pytest.fixture(scope="module")
def vocabulary():
    return make_network()[1]


@pytest.fixture(scope="module")
def words():
    """The vocabulary of the committed weights, whose tokens are words."""
    from unified_demo.model.loading import load_language_model

    settings = Settings()
    weights = Zoo(settings.cache_dir, settings.weights_dir).path("language_model")
    model, tokenizer = load_language_model(weights, settings.cache_dir / "converted" / "language_model")
    return Vocabulary(tokenizer, model.config.vocab_size)


def following(vocabulary, rule: LogitFilter, written: str, wanted: str, seen: list[Region], question: str = "") -> str:
    """What comes after ``written`` when the network wants ``wanted``; "@" is a proposal."""
    state = state_of(vocabulary, written, seen)
    state.asked = question
    logits = torch.zeros(vocabulary.point_base + len(state.proposals))
    logits[vocabulary.tag_ids[wanted] if wanted in vocabulary.tag_ids else vocabulary.encode(wanted)[0]] = 9.0
    rule.apply(logits, state)
    token = int(logits.argmax())
    if token < vocabulary.vocab_size:
        return vocabulary.tokenizer.decode([token])
    return "@" if token >= vocabulary.point_base else vocabulary.tags[token - vocabulary.vocab_size]


def state_of(vocabulary, written: str, seen: list[Region] = SEEN) -> DecodingState:
    """A state in which ``written`` stands; "@2" points at the second region from the left."""
    regions = with_whole_picture(seen, GREY, None)
    state = DecodingState(vocabulary, [("img-1", index) for index in range(len(regions))], {}, TASK_TAGS)
    state.seen = {"img-1": regions}
    for piece in re.findall(r"<[^>]+>|@\d|[^<@]+", written):
        if piece.startswith("@"):
            tokens = [vocabulary.point_base + int(piece[1])]
        else:
            tokens = [vocabulary.tag_ids[piece]] if piece.startswith("<") else vocabulary.encode(piece)
        for token in tokens:
            state.add(token)
    return state


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<p>A dog</p><box>@1</box>", Turn(end=False, comma=True, last=False)),
        ("<p>A dog</p><box>@1</box> running", Turn(end=False, comma=True, last=True)),
        ("<p>A dog</p><box>@1</box>, <p>a cat</p><box>@2</box>, <p>a person</p><box>@4</box>", Turn(end=False, comma=False, last=True)),
        ("<p>A dog</p><box>@1</box> and <p>a cat</p><box>@2</box>", Turn(end=True, comma=False, last=False)),
        ("<p>A dog", None),
        ("<p>The dog</p><box>@1</box>", None),
        ("There is <p>one dog</p><box>@1</box>", None),
        ("<p>A dog</p><box>@1</box>.<seg><ref>img-1</ref>a dog<box>@1</box></seg>", None),
    ],
)
def test_a_caption_goes_on_while_a_sure_kind_is_unsaid(vocabulary, written: str, expected: Turn | None):
    assert turn(state_of(vocabulary, written)) == expected


def test_where_nothing_is_sure_the_network_decides(vocabulary):
    assert turn(state_of(vocabulary, "<p>A cup</p><box>@1</box>", SEEN[5:])) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<p>A dog</p><box>@1</box>, <p>", ("a cat", "an umbrella", "two people")),
        ("<p>A dog</p><box>@2</box>, <p>an", ("an umbrella", "two people")),
        ("<p>Two people</p><box>@4</box><box>@5</box> and <p>", ("a dog", "a cat", "an umbrella")),
        ("<p>A person</p><box>@4</box> holding <p>a", ()),
        ("<p>A person</p><box>@4</box> riding <p>a", ()),
        ("<p>", ("A dog", "A cat", "An umbrella", "Two people")),
        ("The dog is here. <p>", ()),
        ("<seg><ref>img-1</ref>a", ()),
    ],
)
def test_what_is_listed_next_is_sure_and_new_and_in_its_number(vocabulary, written: str, expected: tuple[str, ...]):
    assert phrases(state_of(vocabulary, written)) == expected


def test_boxes_that_cover_the_same_are_one_thing_and_many_are_a_group(vocabulary):
    twice = [*SEEN[:1], Region("wolf", 0.6, Box(0.0, 0.2, 0.2, 0.58), GREY)]
    assert phrases(state_of(vocabulary, "<p>", twice)) == ("A dog",)
    flock = [Region("bird", 0.9, Box(0.1 * place, 0.1, 0.1 * place + 0.08, 0.2), GREY) for place in range(6)]
    assert phrases(state_of(vocabulary, "<p>", flock)) == ("A group of birds",)
    assert owed(state_of(vocabulary, "<p>A group of birds</p>", flock)) == (GROUP, (1, 2, 3, 4, 5, 6))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<p>Two people</p>", (2, (4, 5))),
        ("<p>Two people</p><box>@4</box>", (2, (4, 5))),
        ("<p>A person</p><box>@4</box> and <p>another person</p>", (1, (5,))),
        ("<p>A person in a blue shirt</p>", (1, (5,))),
        ("<p>A dog</p><box>@1</box> and <p>a cat", None),
        ("<p>A wolf</p>", None),
        ("<p>The dog</p>", None),
    ],
)
def test_a_phrase_has_as_many_boxes_as_it_says_each_on_such_a_thing(vocabulary, written: str, expected):
    assert owed(state_of(vocabulary, written)) == expected


RIDER = [Region("person", 0.9, Box(0.1, 0.1, 0.3, 0.7), GREY), Region("horse", 0.9, Box(0.1, 0.4, 0.5, 0.9), GREY), SEEN[2]]
PAIR = [SEEN[1], *SEEN[3:5]]
DOGS = [SEEN[0], Region("dog", 0.9, Box(0.5, 0.2, 0.7, 0.6), GREY)]


@pytest.mark.weights
@pytest.mark.parametrize(
    ("seen", "written", "wanted", "expected"),
    [
        (SEEN, "<p>", " The", {" The"}),
        (SEEN, "<p>", " Two", {" Two"}),
        (PAIR, "<p>", " Three", {" A", " Two"}),
        (DOGS, "<p>", " A", {" Two"}),
        (SEEN, "<p> Two", " dogs", {" people"}),
        (SEEN, "<p> A", " person", {" dog", " cat"}),
        (RIDER, "<p> A person</p><box>@1</box>", " riding", {" riding"}),
        (RIDER, "<p> A person</p><box>@1</box>", " holding", {" riding"}),
        (RIDER, "<p>", " An", {" A"}),
        (RIDER, "<p> A person</p><box>@1</box> riding", " on", {"<p>"}),
        (RIDER, "<p> A person</p><box>@1</box> riding<p> a", " dog", {" horse"}),
        (RIDER, "<p> A person</p><box>@1</box> riding<p> a horse</p><box>@2</box>", " on", {" on"}),
        (SEEN[3:5], "<p> Two people</p><box>@1</box><box>@2</box>", " riding", {".", "<|im_end|>"}),
        (SEEN, "<p> A dog</p><box>@1</box>,<p>", " two", {" two"}),
        (SEEN, "<p> A dog</p><box>@1</box>,<p> two", " cats", {" people"}),
        (SEEN, "<p> A dog</p><box>@1</box> and a word<p>", " some", {" some"}),
        (SEEN, "<p> Two people</p><box>@4</box>", ".", {"<box>"}),
        (SEEN[3:5], "<p> Two people</p><box>@1</box><box>@2</box>", ".", {"."}),
        (SEEN, "<p> Two people</p><box>", "[", {"@"}),
        (SEEN, "<p> The people</p><box>", "[", {"["}),
    ],
)
def test_the_network_writes_among_what_is_true(words, seen: list[Region], written: str, wanted: str, expected: set[str]):
    assert following(words, CaptionsAreSeen(words), written, wanted, seen) in expected


FOUR = "There are <p> four dogs</p>"
HERD = [Region("dog", 0.9 - 0.1 * number, Box(0.25 * number, 0.2, 0.25 * number + 0.2, 0.6), GREY) for number in range(4)]
BETWEEN = Region("dog", 0.5, Box(0.1, 0.25, 0.4, 0.55), GREY)


@pytest.mark.parametrize(
    ("question", "written", "expected"),
    [
        ("how many dogs are there?", "", "There"),
        ("How many dogs do you see in the picture?", "There", " are"),
        ("how many dogs", "There are", "<p>"),
        ("how many dogs are there?", "There are<p>", " four"),
        ("how many dogs are there?", "There are<p> four dogs", "</p>"),
        ("how many dogs are there?", FOUR, "<box>"),
        ("how many dogs are there?", FOUR + "<box>", "@"),
        ("how many dogs are there?", FOUR + "<box>@1</box><box>@2</box><box>@3</box>", "<box>"),
        ("how many dogs are there?", FOUR + "<box>@1</box><box>@2</box><box>@3</box><box>@4</box>", "."),
        ("Please tell me, how many dogs are there?", "", "There"),
        ("how many " + "in the " * 2000 + "dogs", "", "."),
        ("remove the cat. how many dogs are there?", "", "."),
        ("remove the cat and tell me how many dogs are there", "", "."),
        ("how many red dogs are there?", "", "."),
        ("how many dogs are barking?", "", "."),
        ("how many cats are there?", "", "."),
        ("where is the dog?", "", "."),
    ],
)
def test_how_many_there_are_is_how_many_are_sure(words, question: str, written: str, expected: str):
    assert following(words, CountsAreSeen(), written, ".", HERD, question) == expected


def test_a_box_that_two_surer_ones_cover_is_no_further_thing(words):
    touching = [Region("dog", score, Box(start, 0.2, start + 0.25, 0.6), GREY) for score, start in ((0.9, 0.0), (0.8, 0.25))]
    assert following(words, CountsAreSeen(), "There are<p>", ".", [*touching, BETWEEN], "how many dogs are there?") == " two"
    assert following(words, CountsAreSeen(), "There are<p>", ".", [*HERD[:2], BETWEEN], "how many dogs are there?") == " three"
    assert following(words, CountsAreSeen(), "There", ".", HERD[:1], "how many dogs are there?") == " is"


def test_all_things_are_counted_together(words):
    seen = [*HERD[:2], Region("cat", 0.9, Box(0.6, 0.2, 0.8, 0.6), GREY)]

    def after(written: str, question: str) -> str:
        return following(words, CountsAreSeen(), written, "<box>", seen, question)

    for thing in ("things", "objects"):
        said = f"There are<p> three {thing}</p>"
        for end, due in ((5, " are"), (12, " three"), (len(said) - 4, "</p>"), (len(said), "<box>")):
            assert after(said[:end], f"how many {thing} are there?") == due
        assert after(f"{said}<box>@1</box><box>@2</box><box>@3</box>", f"how many {thing} are there?") != "<box>"
    assert after("", "how many different things are there?") == "<box>"


def test_animals_are_counted_together_where_all_that_is_there_is_known(words):
    seen = [*HERD[:2], Region("cat", 0.9, Box(0.6, 0.2, 0.8, 0.6), GREY), Region("cup", 0.9, Box(0.6, 0.7, 0.8, 0.9), GREY)]
    assert following(words, CountsAreSeen(), "There are<p>", "<box>", seen, "how many animals are there?") == " three"
    assert following(words, CountsAreSeen(), "", "<box>", seen, "how many vehicles are there?") == "<box>"
    state = state_of(words, "", seen)
    state.asked, state.called = "how many animals are there?", {"vase": "fox"}
    assert counted(state) is None


EDIT = "Here you are.<redit><ref>img-1</ref>make the dogs red<box>@2</box>"


@pytest.mark.parametrize(
    ("question", "written", "expected"),
    [
        ("make the dogs red", EDIT, "<box>"),
        ("make the dogs red", EDIT + "<box>", "@"),
        ("make the dogs red", EDIT + "<box>@1</box><box>@3</box>", "<box>"),
        ("make all the dogs red please", EDIT, "<box>"),
        ("replace the dogs with cats", EDIT, "<box>"),
        ("make the dog red", EDIT, "</redit>"),
        ("make one of the dogs red", EDIT, "</redit>"),
        ("make the two left dogs red", EDIT, "</redit>"),
        ("make the brown dogs red", EDIT, "</redit>"),
        ("remove the dogs with a hat", EDIT, "</redit>"),
        ("make the cats red", EDIT, "</redit>"),
        ("cut out the dogs", EDIT.replace("redit", "seg"), "</redit>"),
    ],
)
def test_several_of_a_kind_are_changed_together(words, question: str, written: str, expected: str):
    assert following(words, ChangesEachOfThem(), written, "</redit>", HERD, question) == expected
    end = following(words, ChangesEachOfThem(), EDIT + "<box>@1</box><box>@3</box><box>@4</box>", "<box>", HERD, "make the dogs red")
    assert end != "<box>", "none is left"


def test_of_a_crowd_no_more_are_pointed_at_than_may_be(words):
    crowd = [Region("dog", 0.9, Box(0.06 * number, 0.2, 0.06 * number + 0.05, 0.6), GREY) for number in range(15)]
    for written, asked, rule in (
        ("There are<p> fifteen dogs</p>", "how many dogs are there?", CountsAreSeen()),
        ("Here you are.<redit><ref>img-1</ref>remove the dogs", "remove the dogs", ChangesEachOfThem()),
    ):
        state = state_of(words, written, crowd)
        state.asked = asked
        for number in range(1, MOST_BOXES + 1):
            for token in (words.tag_ids["<box>"], words.point_base + number, words.tag_ids["</box>"]):
                state.add(token)
        logits = torch.zeros(words.point_base + len(crowd) + 1)
        OnlyKnownTags().apply(logits, state)
        rule.apply(logits, state)
        assert torch.isfinite(logits).any() and not torch.isfinite(logits[words.tag_ids["<box>"]])


@pytest.mark.weights
def test_giraffes_are_counted(model):
    said = answer(model, "giraffes.jpg", "how many giraffes are there?")
    assert said.startswith("There are <p>two giraffes</p>") and said.count("<box>") == 2


def test_no_box_too_many(vocabulary):
    full = "<p>Two people</p><box>@4</box><box>@5</box>"
    assert following(vocabulary, CaptionsAreSeen(vocabulary), full, "<box>", SEEN) != "<box>"


@pytest.mark.weights
@pytest.mark.parametrize(
    ("written", "wanted", "expected"),
    [
        ("<p> The dog</p><box>@1</box> is", " in", " on"),
        ("<p> The dog</p><box>@1</box> is on the", " right", " left"),
        ("<p> The dog</p><box>@1</box> is", " asleep", " asleep"),
        ("<p> The dog</p><box>@1</box> is on the left", ".", "."),
        ("<p> The dog</p><box>@1</box> sits", " in", " in"),
        ("<p> The people</p><box>@5</box><box>@4</box> are on the", " left", " right"),
        (" The dog is", " in", " in"),
    ],
)
def test_a_place_is_that_of_the_box(words, written: str, wanted: str, expected: str):
    assert following(words, PlacesAreMeasured(words), written, wanted, SEEN) == expected


@pytest.mark.weights
def test_a_complete_place_does_not_go_on_to_another(words):
    above = [Region("dog", 0.9, Box(0.4, 0.0, 0.6, 0.3), GREY)]
    for side in (" left", " right"):
        assert following(words, PlacesAreMeasured(words), "<p> The dog</p><box>@1</box> is at the top", side, above) != side


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_preferred_something_may_follow(vocabulary, seed: int):
    """Random networks that like captions: at each place some token is allowed, and nothing stays open."""
    rng = torch.Generator().manual_seed(seed)
    counting = seed % 3 == 0
    state = state_of(vocabulary, "" if counting else "<p>", [SEEN, RIDER, PAIR, DOGS, [*RIDER, *SEEN]][seed % 5])
    state.asked = "how many dogs are there?" if counting else ""
    rules, state.most, state.references = default_filters(vocabulary), 300, {"img-1": vocabulary.encode("img-1")}
    while len(state.written) < state.most:
        logits = torch.randn(vocabulary.point_base + len(state.proposals), generator=rng)
        logits[vocabulary.encode(" A")] += 4.0 if len(state.written) < 3 else 0.0
        logits[[vocabulary.tag_ids[tag] for tag in ("</p>", "<box>", "</box>")]] += 6.0
        for rule in rules:
            rule.apply(logits, state)
        assert torch.isfinite(logits).any()
        if (token := int(logits.argmax())) == vocabulary.end_id:
            break
        state.add(token)
    assert not state.inside and not state.boxes_due


@pytest.fixture(scope="module")
def model():
    from unified_demo.model.tiny import load_multimodal_lm

    settings = Settings()
    return load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model


def answer(model, picture: str, question: str) -> str:
    photo = MediaPart(Artefact("img-1", MediaKind.IMAGE, ASSETS / picture))
    conversation = Conversation((Message("user", (photo, TextPart(question))),))
    return "".join(model.generate(conversation, GenerationOptions(max_new_tokens=120), threading.Event()))


@pytest.mark.weights
@pytest.mark.parametrize(
    ("picture", "words"), [("coffee.jpg", ("cup", "spoon", "dining table")), ("astronaut.jpg", ("person in an orange shirt",))]
)
def test_photos_are_described_by_what_is_sure(model, picture: str, words: tuple[str, ...]):
    said = answer(model, picture, "Describe this picture")
    assert all(f"{word}</p>" in said.lower() for word in words), said
