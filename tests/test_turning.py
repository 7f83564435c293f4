"""Pictures turned, mirrored and cut: what words ask for, the pixels, and where things are then."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.config import Settings
from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertRequest, Output
from unified_demo.experts.restyling import TURNED, load_restyling
from unified_demo.experts.turning import TURNS, read_turn, turned
from unified_demo.grammar import Box
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, TaskCall
from unified_demo.model.outright import outright
from unified_demo.remembered import DRAWN, TURN, shown_after
from unified_demo.zoo import Zoo

QUADRANTS = np.array([[0, 60, 120], [180, 220, 250]], np.uint8).repeat(20, 0).repeat(20, 1)[..., None].repeat(3, 2)


@pytest.fixture
def picture(tmp_path: Path) -> Artefact:
    return MediaStore(tmp_path).add_image(Image.fromarray(QUADRANTS), "img-1")


@pytest.mark.parametrize(
    ("words", "turn"),
    [
        ("rotate it 90 degrees", "right"),
        ("rotate left", "left"),
        ("Rotate the picture by 90 degrees counterclockwise.", "left"),
        ("rotate 270°", "left"),
        ("rotate by 180 degrees", "over"),
        ("turn it upside down", "over"),
        ("turn the photo to the left", "left"),
        ("flip it horizontally", "mirrored"),
        ("mirror the image", "mirrored"),
        ("flip vertically", "flipped"),
        ("rotate it 45 degrees", ""),
        ("turn it into a painting", ""),
        ("turn", ""),
        ("flip the cat", ""),
        ("", ""),
    ],
)
def test_a_turn_is_read_from_the_words(words: str, turn: str) -> None:
    assert read_turn(words) == turn
    if turn:
        assert outright(f"please {words.rstrip('.')}, thanks") == ("edit", words.rstrip(".").lower())


@pytest.mark.parametrize("turn", TURNS)
def test_what_was_remembered_turns_with_the_picture(turn: str) -> None:
    marked = np.zeros((40, 80), np.uint8)
    marked[4:16, 8:24] = 255
    after = np.asarray(turned(Image.fromarray(marked), turn))
    drawing = Artefact("img-1", "img", Path("x"), recipe={DRAWN: [{"phrase": "a cup", "box": [0.1, 0.1, 0.3, 0.4]}]})  # type: ignore[arg-type]
    (row,) = shown_after(TaskCall(0, "edit", "turn", ("img-1",)), "img-1", {TURN: turn}, {"img-1": drawing})["shows"]
    height, width = after.shape
    rows, columns = np.nonzero(after)
    assert row["box"] == pytest.approx([columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height])


@pytest.mark.weights
def test_the_editor_turns_a_picture_and_every_pixel_stays(picture: Artefact) -> None:
    settings = Settings()
    expert = load_restyling(Zoo(settings.cache_dir, settings.weights_dir))
    *_, made = expert.run(ExpertRequest("rotate it 90 degrees", (picture,)))
    assert isinstance(made, Output) and made.recipe == {"method": TURNED, TURN: "right"}
    assert (np.asarray(made.value) == np.rot90(QUADRANTS, -1)).all()
    cancelled = threading.Event()
    cancelled.set()
    assert not any(isinstance(event, Output) for event in expert.run(ExpertRequest("flip it", (picture,), cancel=cancelled)))
    with pytest.raises(ExpertError, match="'rotate it 45 degrees' is not among"):
        list(expert.run(ExpertRequest("rotate it 45 degrees", (picture,))))


def test_what_lies_in_a_cut_is_remembered_there() -> None:
    layout = [{"phrase": "a cup", "box": [0.2, 0.2, 0.4, 0.6]}, {"phrase": "a fox", "box": [0.6, 0.2, 0.8, 0.8]}]
    drawing = Artefact("img-1", "img", Path("x"), recipe={DRAWN: layout})  # type: ignore[arg-type]
    call = TaskCall(0, "redit", "crop to the cup", ("img-1",))

    def after(cut: object) -> list[tuple[str, list[float]]]:
        shown = shown_after(call, "img-1", {"operation": "crop", "cut": cut}, {"img-1": drawing})
        return [(row["phrase"], row["box"]) for row in shown.get("shows", [])]

    assert after([0.1, 0.1, 0.5, 0.7]) == [("a cup", pytest.approx([0.25, 0.1667, 0.75, 0.8333], abs=1e-3))]
    assert [phrase for phrase, _ in after([0, 0, 1, 1])] == ["a cup", "a fox"]
    ((_, box),) = after([0.25, 0.0, 0.55, 0.9])
    assert box[0] == 0 and Box(*box).area > 0
    assert after(None) == after([1, 2]) == after([0.5, 0, 0.1, 1]) == after("abcd") == []
