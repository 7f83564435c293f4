"""The sheet of edits that may be passed on: every style once, every sure thing removed, whatever comes of it."""

from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.edit_sheet import WIDTH, contents, draw, wishes
from unified_demo.assembly import load_engine
from unified_demo.experts.restyling import styles
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.model.detection import Detection


class TwoThings:
    def detect(self, picture: Image.Image) -> list[Detection]:
        return [Detection("dog", 0.9, Box(0.1, 0.1, 0.5, 0.5)), Detection("cat", 0.2, Box(0.5, 0.5, 0.9, 0.9))]


def test_nothing_is_selected(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "navy").save(tmp_path / "a.jpg")
    edits, removes = FakeExpert(MediaKind.IMAGE), FakeExpert(MediaKind.IMAGE)
    specs = (fake_spec(edits, Task.IMAGE_EDITING.value), fake_spec(removes, Task.REASONING_EDITING.value))
    detector: Any = TwoThings()
    out = tmp_path / "sheet.webp"
    count = draw(load_engine(model=ScriptedModel(()), experts=specs), wishes([tmp_path / "a.jpg"], detector), out)
    assert count == len(styles()) + 1 and len(edits.requests) == len(styles())
    assert [request.prompt for request in removes.requests] == ["remove the dog"]
    with Image.open(out) as sheet:
        assert sheet.width == WIDTH


def test_content_goes_to_places_of_chance_and_in_the_place_of_what_is_there(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "navy").save(tmp_path / "a.jpg")
    detector: Any = TwoThings()
    asked = list(contents([tmp_path / "a.jpg"], detector, ["ant", "bee", "cat", "dog", "egg"], 4))
    assert [wish.split()[0] for _, _, wish, _ in asked] == ["add", "add", "add", "replace"]
    assert asked[3][2].startswith("replace the dog with a") and asked[3][3] == Box(0.1, 0.1, 0.5, 0.5)
    assert asked == list(contents([tmp_path / "a.jpg"], detector, ["ant", "bee", "cat", "dog", "egg"], 4))
