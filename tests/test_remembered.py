"""What was drawn here is known without looking: from the recipe of a drawing, through edits, into an answer."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Settings
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import TASKS, Box, MediaKind, spell_box
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart, TurnDone
from unified_demo.remembered import CARRIED, DRAWN, Shown, shown_after, shown_in

CUP, FOX = Box(0.1, 0.2, 0.4, 0.8), Box(0.6, 0.4, 0.8, 0.8)
LAYOUT = [{"phrase": "a red cup", "box": list(CUP.as_tuple())}, {"phrase": "a fox", "box": list(FOX.as_tuple())}]


def drawing(path: Path = Path("1.png"), **recipe: Any) -> Artefact:
    return Artefact("img-1", MediaKind.IMAGE, path, 64, 64, recipe=recipe or {DRAWN: LAYOUT})


def after(recipe: Mapping[str, Any], *boxes: Box, task: str = "redit", before: Artefact | None = None) -> list[tuple[str, Box]]:
    """What is known of the picture behind an edit of the drawing."""
    call = TaskCall(0, task, "as told", ("img-1",), (RegionPart("it", boxes),) if boxes else ())
    carried = shown_after(call, "img-1", recipe, {"img-1": before or drawing()})
    return [(one.phrase, one.box) for one in shown_in(drawing(**carried, made="here"))]


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {DRAWN: None},
        {DRAWN: "a cup"},
        {DRAWN: {"phrase": "a cup"}},
        {DRAWN: [1, None, [], {}, {"phrase": 3, "box": [0, 0, 1, 1]}, {"phrase": "a cup"}, {"phrase": "a cup", "box": None}]},
        {DRAWN: [{"phrase": "a cup", "box": box} for box in ([0, 0, 1], [0, 0, 1, 2], [1, 0, 0, 1], ["a", 0, 1, 1], [float("nan")] * 4)]},
    ],
)
def test_recipes_that_say_nothing_of_it_are_not_believed(recipe: dict[str, Any]) -> None:
    assert shown_in(drawing(**recipe, made="here")) == ()


def test_a_drawing_shows_what_was_drawn() -> None:
    assert shown_in(drawing()) == (Shown("a red cup", CUP), Shown("a fox", FOX))


@pytest.mark.parametrize(
    ("recipe", "kept"),
    [
        ({"operation": "recolour", "new": "blue"}, [("a red cup", CUP), ("a fox", FOX)]),
        ({"operation": "backdrop", "new": "blurred"}, [("a red cup", CUP), ("a fox", FOX)]),
        ({"operation": "remove"}, [("a fox", FOX)]),
        ({"operation": "replace", "new": "a tree"}, [("a fox", FOX), ("a tree", CUP)]),
        ({"operation": "add", "new": "a tree"}, [("a red cup", CUP), ("a fox", FOX), ("a tree", CUP)]),
        ({"operation": "resize", "new": "smaller", "factor": 0.7}, [("a fox", FOX), ("a red cup", Box(0.145, 0.38, 0.355, 0.8))]),
        ({"operation": "resize", "new": "smaller"}, []),
        ({}, []),
    ],
)
def test_an_edited_region_changes_what_is_there(recipe: dict[str, Any], kept: list[tuple[str, Box]]) -> None:
    assert after(recipe, CUP) == kept


def test_an_edit_of_the_whole_picture_and_a_film_of_it_begin_with_everything_where_it_is() -> None:
    assert after({}, task="edit") == after({}, task="ivgen") == after({}, task="vedit") == [("a red cup", CUP), ("a fox", FOX)]
    assert after({}, task="seg") == after({DRAWN: []}, task="edit") == after({}, task="edit", before=drawing(made="elsewhere")) == []


def test_the_engine_keeps_it_with_the_result(tmp_path: Path) -> None:
    drawer, editor = FakeExpert(MediaKind.IMAGE), FakeExpert(MediaKind.IMAGE)
    drawer.recipe, editor.recipe = {DRAWN: LAYOUT}, {"operation": "remove"}
    script = ["<gen>a red cup and a fox</gen>", "<redit><ref>img-1</ref>remove the cup<box>[100,200,400,800]</box></redit>"]
    model = ScriptedModel(lambda _: iter(script))
    engine = load_engine(Settings(media_dir=tmp_path), model, (fake_spec(drawer, "gen"), fake_spec(editor, "redit")))
    events = engine.respond(Conversation((Message("user", (TextPart("a cup and a fox, then without the cup"),)),)))
    (done,) = [event for event in events if isinstance(event, TurnDone)]
    first, second = (part.artefact for part in done.message.parts if isinstance(part, MediaPart))
    assert shown_in(first) == (Shown("a red cup", CUP), Shown("a fox", FOX)) and second.recipe[CARRIED] == LAYOUT[1:]


@pytest.mark.weights
def test_the_committed_model_speaks_of_its_drawings_by_what_they_were_made_from(tmp_path: Path) -> None:
    """Two blots on paper, which no detector would name."""
    from unified_demo.model.tiny import load_multimodal_lm
    from unified_demo.zoo import Zoo

    paper = Image.new("RGB", (128, 128), "white")
    for box, colour in ((CUP, "red"), (FOX, "yellow")):
        ImageDraw.Draw(paper).ellipse([128 * number for number in box.as_tuple()], fill=colour)
    paper.save(tmp_path / "1.png")
    rows = [{"phrase": f"a {noun}", "box": row["box"]} for noun, row in zip(("red octopus", "yellow crown"), LAYOUT, strict=True)]
    settings = Settings()
    model = load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model

    def answer(text: str) -> str:
        made = Message("assistant", (TaskCall(0, "gen", "two things"), MediaPart(drawing(tmp_path / "1.png", **{DRAWN: rows}))))
        asked = Conversation((Message("user", (TextPart("draw two things"),)), made, Message("user", (TextPart(text),))))
        return "".join(model.generate(asked, GenerationOptions(), threading.Event()))

    crown = f"<box>{spell_box(FOX)}</box>"
    assert answer("where is the crown?") == f"<p>The crown</p>{crown} is on the right."
    assert answer("make the crown blue") == f"Now it is blue.<redit><ref>img-1</ref>make the crown blue{crown}</redit>"
    told = answer("what do you see?")
    assert "octopus</p>" in told and "crown</p>" in told and crown in told
