"""The removal benchmark with a detector that finds red patches and experts that remove them, more or less."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.errors import ExpertError
from unified_demo.evaluation.benchmark import Context, NotReady, Result
from unified_demo.evaluation.referring import Thing
from unified_demo.evaluation.removal import RemovalBenchmark, finds, paint_over
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import load_image, mask_to_box
from unified_demo.model.detection import Detection

DOG = Box(0.2, 0.2, 0.5, 0.6)


class RedDetector:
    """One dog round all that is red, one cat round all that is blue."""

    labels = ("dog", "cat")

    def detect(self, picture: Image.Image, threshold: float = 0.1, limit: int = 32, tiled: bool = True) -> list[Detection]:
        pixels = np.asarray(picture).astype(int)
        found = []
        for label, channel in (("dog", 0), ("cat", 2)):
            box = mask_to_box(pixels[..., channel] > pixels.sum(axis=2) - pixels[..., channel] + 40)
            found += [Detection(label, 0.9, box)] if box else []
        return found


class Painting(FakeExpert):
    """Paints the grown box in one colour; may touch a far pixel or fail."""

    def __init__(self, colour: tuple[int, int, int] = (90, 90, 90), touches: bool = False, fails: bool = False) -> None:
        super().__init__(MediaKind.IMAGE)
        self.colour, self.touches, self.fails = colour, touches, fails

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        self.requests.append(request)
        if self.fails:
            raise ExpertError("It is too hard.")
        pixels = np.array(load_image(request.inputs[0]))
        pixels[14:50, 18:52] = self.colour
        if self.touches:
            pixels[79, 99] = 255 - pixels[79, 99]
        yield Output(MediaKind.IMAGE, Image.fromarray(pixels))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "eval_coco"
    folder.mkdir()
    pixels = np.full((80, 100, 3), 90, np.uint8)
    pixels[16:48, 20:50] = (220, 20, 20)
    Image.fromarray(pixels).save(folder / "a.png")
    corners = [DOG.x0, DOG.y0, DOG.x1, DOG.y0, DOG.x1, DOG.y1, DOG.x0, DOG.y1]
    things = [
        {"label": "dog", "crowd": False, "box": list(DOG.as_tuple()), "polygons": [corners]},
        {"label": "bird", "crowd": False, "box": [0.6, 0.2, 0.9, 0.6], "polygons": [[0.6, 0.2, 0.9, 0.2, 0.9, 0.6]]},
        {"label": "dog", "crowd": False, "box": [0, 0, 1, 1], "polygons": [[0, 0, 1, 0, 1, 1]]},
    ]
    (folder / "annotations.json").write_text(json.dumps([{"image": "a.png", "objects": things}]))
    return tmp_path


def measured(data: Path, expert: FakeExpert | None, **fields: Any) -> Result:
    specs = (fake_spec(expert, Task.REASONING_EDITING.value),) if expert else ()
    engine = load_engine(model=ScriptedModel(()), experts=specs)
    subjects: Any = SimpleNamespace(router_only=lambda: engine, detector=RedDetector)
    return RemovalBenchmark().run(Context(data / "out", subjects, Settings(), data, **fields))


def figures(result: Result, system: str = "expert") -> Any:
    return next(row.figures for row in result.rows if (row.system, row.group) == (system, "all"))


def test_only_what_the_detector_finds_is_to_be_removed(photos: Path) -> None:
    expert = Painting()
    result = measured(photos, expert)
    assert [(request.prompt, request.regions[0].boxes) for request in expert.requests] == [("remove the dog", (DOG,))]
    assert {row.group for row in result.rows} == {"all", "5 to 15 %"}
    assert (photos / "out" / "removal-expert.webp").is_file() and (photos / "out" / "removal-painted-over.webp").is_file()


def test_a_removal_is_judged_by_what_is_seen_then(photos: Path) -> None:
    good = figures(measured(photos, Painting(), systems=("expert",)))
    assert (good["gone"], good["nothing new"], good["outside identical"], good["errors"]) == (1, 1, 1, 0)
    assert good["changed"] == pytest.approx(30 * 32 / 8000)
    assert figures(measured(photos, Painting((250, 0, 0)), systems=("expert",)))["gone"] == 0
    assert figures(measured(photos, Painting((0, 0, 250)), systems=("expert",)))["nothing new"] == 0
    assert figures(measured(photos, Painting(touches=True), systems=("expert",)))["outside identical"] == 0
    failed = figures(measured(photos, Painting(fails=True), systems=("expert",)))
    assert (failed["gone"], failed["errors"]) == (0, 1)


def test_the_baselines_are_what_they_are_called(photos: Path) -> None:
    result = measured(photos, None)
    assert next(row.note for row in result.rows if row.system == "expert") == "no expert yet"
    assert figures(result, "unchanged") == {"gone": 0, "nothing new": 1, "outside identical": 1, "changed": 0, "errors": 0}
    assert figures(result, "painted over")["gone"] == 1


def test_without_photos_it_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(NotReady):
        RemovalBenchmark().run(Context(tmp_path, SimpleNamespace(), Settings()))  # type: ignore[arg-type]


def test_painting_over_takes_the_colour_round_the_box() -> None:
    picture = np.full((80, 100, 3), 60, np.uint8)
    picture[16:48, 20:50] = 200
    painted = paint_over(picture, DOG)
    assert (painted == 60).all()


def test_a_second_name_counts() -> None:
    thing = Thing("wolf", DOG, ())
    assert finds([Detection("dog", 0.9, DOG, (("wolf", 0.4),))], thing) and not finds([Detection("dog", 0.9, DOG, (("wolf", 0.2),))], thing)
