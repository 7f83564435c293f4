"""What captions owe to what was seen: which kinds are unsaid, when a caption may end, the colour of a shirt."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_model import make_network

from unified_demo.config import GenerationOptions, Settings
from unified_demo.grammar import TASK_TAGS, TASKS, Box, MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart
from unified_demo.model.caption_rules import Turn, kinds, shirts, turn
from unified_demo.model.decoding_state import DecodingState
from unified_demo.regions import COLOURS, PARTS, SURE, Floats, Region, with_whole_picture

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
        ("<p>A dog</p><box>@1</box>, <p>", ("cat", "umbrella", "person")),
        ("<p>A dog</p><box>@1</box>, <p>a", ("cat", "person")),
        ("<p>A dog</p><box>@1</box>, <p>an", ("umbrella",)),
        ("<p>A dog</p><box>@2</box>, <p>an", ("umbrella",)),
        ("<p>A dog</p><box>@2</box>, <p>a", ("person",)),
        ("<p>A dog</p><box>@1</box>, <p>a cat", ()),
        ("<p>A person</p><box>@4</box> holding <p>a", ()),
        ("<p>a", ()),
    ],
)
def test_what_is_listed_next_is_sure_and_new(vocabulary, written: str, expected: tuple[str, ...]):
    assert kinds(state_of(vocabulary, written)) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<p>A person", ("red",)),
        ("<p>A person in a", ("red",)),
        ("<p>A person</p><box>@4</box> and <p>a person", ("blue",)),
        ("<p>A dog", None),
        ("<p>A person in a red shirt", None),
        ("<p>The person", None),
    ],
)
def test_a_shirt_has_the_colour_of_the_largest_person_who_is_unsaid(vocabulary, written: str, expected: tuple[str, ...] | None):
    assert shirts(state_of(vocabulary, written)) == expected


def test_who_wears_no_plain_colour_has_no_shirt(vocabulary):
    assert shirts(state_of(vocabulary, "<p>A person", [Region("person", 0.9, Box(0.5, 0.1, 0.7, 0.9), GREY)])) == ()


@pytest.mark.weights
@pytest.mark.parametrize(
    ("picture", "words"), [("coffee.jpg", ("cup", "spoon", "dining table")), ("astronaut.jpg", ("person in an orange shirt",))]
)
def test_photos_are_described_by_what_is_sure(picture: str, words: tuple[str, ...]):
    from unified_demo.model.backend import Zoo, load_multimodal_lm

    settings = Settings()
    model = load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model
    photo = MediaPart(Artefact("img-1", MediaKind.IMAGE, ASSETS / picture))
    asked = Conversation((Message("user", (photo, TextPart("Describe this picture"))),))
    answer = "".join(model.generate(asked, GenerationOptions(max_new_tokens=120), threading.Event()))
    assert all(f"{word}</p>" in answer.lower() for word in words), answer
