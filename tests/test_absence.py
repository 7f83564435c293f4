"""What is looked for and not there is denied; what is there, or only spoken of, is not."""

import threading
from pathlib import Path

import pytest

from unified_demo.config import GenerationOptions, Settings
from unified_demo.grammar import TASKS, Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.model.absence import absent
from unified_demo.model.tiny import load_multimodal_lm
from unified_demo.zoo import Zoo

ASSETS = Path(__file__).parents[1] / "assets"
LABELS = ("person", "dog", "cup", "orange", "car", "teddy bear", "bear", "mouse")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Where is the person?", "person"),
        ("where are the people", "person"),
        ("find the woman in the picture", "person"),
        ("cut out all the dogs, please", "dog"),
        ("how many cars do you see?", "car"),
        ("please remove the  dog from the photo", "dog"),
        ("is there a teddy bear?", "teddy bear"),
        ("Who is cooking here?", "person"),
        ("who's riding the motorcycle?", "person"),
        ("who are you?", ""),
        ("tell me who is cooking", ""),
        ("where is the cup?", ""),
        ("where is the cup next to the dog?", ""),
        ("find the orange car", ""),
        ("where is the dog house?", ""),
        ("put a dog next to the cup", ""),
        ("would a dog like this?", ""),
        ("where is the bird?", ""),
        ("replace the cup with a dog", ""),
        ("", ""),
    ],
)
def test_only_a_known_kind_that_is_looked_for_outright_can_be_absent(asked: str, expected: str):
    assert absent(asked, LABELS, {"cup", "picture"}) == expected


@pytest.fixture(scope="module")
def model():
    settings = Settings()
    return load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model


def asked(text: str, *more: Part, made_from: str = "") -> Conversation:
    photo = MediaPart(Artefact("img-1", MediaKind.IMAGE, ASSETS / "coffee.jpg"))
    if not made_from:
        return Conversation((Message("user", (photo, TextPart(text), *more)),))
    drawn = (Message("user", (TextPart("draw"),)), Message("assistant", (TaskCall(0, Task.IMAGE_GENERATION, made_from), photo)))
    return Conversation((*drawn, Message("user", (TextPart(text),))))


def answer(model, conversation: Conversation) -> str:
    return "".join(model.generate(conversation, GenerationOptions(max_new_tokens=40), threading.Event()))


@pytest.mark.weights
@pytest.mark.parametrize(
    "text", ["where is the person?", "cut out the person", "remove the man", "how many people are there?", "who is cooking?"]
)
def test_nobody_is_pointed_at_where_nobody_is(model, text: str):
    said = answer(model, asked(text))
    assert said.startswith("I cannot see anybody") and "<" not in said


@pytest.mark.weights
def test_what_is_there_or_marked_or_drawn_so_is_not_denied(model):
    assert "<box>" in answer(model, asked("where is the cup?"))
    marked = asked("remove the dog", RegionPart("this", (Box(0.3, 0.1, 0.7, 0.8),), artefact_id="img-1"))
    drawn = asked("remove the dog", made_from="a dog on a table")
    regions = {"img-1": model.look(drawn.artefacts()["img-1"]).sight.regions}
    denied = [model._nowhere(conversation, regions) for conversation in (asked("remove the dog"), marked, drawn)]
    assert denied == ["dog", "", ""]
