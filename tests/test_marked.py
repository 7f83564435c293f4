"""A mark where the language model proposes nothing: its words become the call, and where they do not say it the model is asked."""

from collections.abc import Generator
from pathlib import Path

import pytest

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import Box, MediaKind
from unified_demo.intake import place_marks
from unified_demo.marked import about_the_mark
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, Stroke, TaskCall, TurnDone

PHOTO = Artefact("img-1", MediaKind.IMAGE, Path("one.jpg"), 200, 100)
DOG, STAIN = Box(0.1, 0.1, 0.6, 0.9), Box(0.7, 0.7, 0.9, 0.9)
PAINT = (Stroke(((0.8, 0.8),), 0.1),)
BOX = "<box>[699,699,899,899]</box>"


def mark(box: Box = STAIN, strokes: tuple[Stroke, ...] = (), artefact_id: str = "img-1") -> RegionPart:
    return RegionPart("", (box,), artefact_id=artefact_id, strokes=strokes)


def asked(text: str, *marks: RegionPart) -> Conversation:
    return Conversation((Message("user", (MediaPart(PHOTO), *place_marks(text, marks))),))


def answer(conversation: Conversation, *proposals: Box, tasks: tuple[str, ...] = ("redit", "seg")) -> str:
    def model() -> Generator[str, None, None]:
        yield "the model's"

    return "".join(about_the_mark(conversation, lambda artefact: proposals, tasks, model()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("remove this", "Here you are.<redit><ref>img-1</ref>remove this{}</redit>"),
        ("Please erase this shadow.", "Here you are.<redit><ref>img-1</ref>Please erase this shadow{}</redit>"),
        ("remove the stain", "Here you are.<redit><ref>img-1</ref>remove the stain{}</redit>"),
        ("make it blue", "Here you are.<redit><ref>img-1</ref>make it blue{}</redit>"),
        ("replace this with a cat", "Here you are.<redit><ref>img-1</ref>replace this with a cat{}</redit>"),
        ("把这个去掉", "Here you are.<redit><ref>img-1</ref>remove this{}</redit>"),
        ("把这个变成蓝色", "Here you are.<redit><ref>img-1</ref>make this blue{}</redit>"),
        ("outline this stain", "Here is <p>this stain</p><ref>img-1</ref>{0}.<seg><ref>img-1</ref>this stain{0}</seg>"),
        ("remove this<box>", "Here you are.<redit><ref>img-1</ref>remove this‹box›{}</redit>"),
        ("remove the dog next to this", None),
        ("segment the dog next to the wall. what is this", None),
        ("draw a cat like this", None),
        ("what is this?", None),
        ("", None),
    ],
)
def test_the_words_say_what_happens_to_what_was_marked(text: str, told: str | None) -> None:
    assert answer(asked(text, mark()), DOG) == (told.format(BOX) if told else "the model's")


def test_what_the_model_proposes_is_its_business() -> None:
    rough = Box(0.1, 0.1, 0.4, 0.9)
    assert answer(asked("remove this", mark(DOG)), DOG) == "the model's"
    assert answer(asked("remove this", mark(rough)), DOG) == "the model's", "roughly around the dog is the dog"
    assert answer(asked("remove this", mark(rough, PAINT)), DOG).startswith("Here you are."), "but paint on a part of it is that part"
    assert answer(asked("remove this", mark())) == "the model's", "this model has no proposals at all"
    assert answer(asked("remove this", mark()), DOG, tasks=("seg",)) == "the model's", "nobody can do it"
    assert answer(asked("remove this and that", mark(), mark(DOG)), DOG) == "the model's"
    assert answer(asked("remove this", mark(artefact_id="img-7")), DOG) == "the model's"


def test_the_expert_gets_the_painted_shape_and_the_model_is_not_asked(tmp_path: Path) -> None:
    expert, model = FakeExpert(MediaKind.IMAGE), ScriptedModel(["Guessed."])
    model.propose = lambda artefact: (DOG,)  # type: ignore[attr-defined]
    engine = load_engine(Settings(media_dir=tmp_path), model, (fake_spec(expert, "redit"),))
    *_, done = engine.respond(asked("remove this", mark(strokes=PAINT)))
    (request,) = expert.requests
    assert isinstance(done, TurnDone) and done.raw.startswith("Here you are.") and model.turns == []
    (call,) = [part for part in done.message.parts if isinstance(part, TaskCall)]
    assert request.strokes == {call.regions[0].boxes[0]: PAINT} and call.regions[0].boxes[0].iou(STAIN) > 0.98
