"""The benchmark ``drawn_layouts``: plans are drawn by whatever expert is there, refused prompts count, and the detector is asked."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_benchmarks import FakeSubjects, context, figures_of
from tiny_cutouts import write_tiny_assets

from unified_demo.data.catalogue import Catalogue, write_catalogue
from unified_demo.errors import ExpertError
from unified_demo.evaluation.drawn_layouts import DrawnLayouts
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.fakes import fake_spec
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.model.detection import Detection

DOG, CAT = (200, 40, 40), (40, 40, 200)


class Painter:
    """Dogs red, cats blue; knows nothing else."""

    gives = MediaKind.IMAGE

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        picture = Image.new("RGB", (100, 100), "white")
        for region in request.regions:
            if region.phrase not in ("dog", "cat"):
                raise ExpertError(f"'{region.phrase}' cannot be drawn.")
            picture.paste(DOG if region.phrase == "dog" else CAT, tuple(round(100 * side) for side in region.boxes[0].as_tuple()))
        yield Progress(1, 1)
        yield Output(MediaKind.IMAGE, picture)


class Seer:
    labels = ("dog", "cat")

    def detect(self, picture: Image.Image) -> list[Detection]:
        pixels, found = np.asarray(picture), []
        for label, colour in (("dog", DOG), ("cat", CAT)):
            rows, columns = np.nonzero((pixels == colour).all(-1))
            if len(rows):
                x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                found.append(Detection(label, 0.9, Box(x0 / 100, y0 / 100, x1 / 100, y1 / 100)))
        return found


class Subjects(FakeSubjects):
    def detector(self) -> Seer:  # type: ignore[override]
        return Seer()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "nsr1k"
    folder.mkdir()
    left = {"obj1": ["dog", [0.05, 0.3, 0.3, 0.3]], "obj2": ["cat", [0.6, 0.3, 0.3, 0.3]], "relation": "left", "type": "template"}
    unknown = {**left, "obj1": ["zork", [0.05, 0.3, 0.3, 0.3]]}
    rows = [{"id": 1, "prompt": "a dog to the left of a cat", **left}, {"id": 2, "prompt": "a zork to the left of a cat", **unknown}]
    (folder / "spatial.val.json").write_text(json.dumps(rows))
    one = {"id": 3, "prompt": "one dog", "num_object": [["dog", 1]], "object_list": [["dog", [0.1, 0.1, 0.3, 0.3]]], "sub-type": "real"}
    (folder / "counting.val.json").write_text(json.dumps([one]))
    return tmp_path


def write_library(folder: Path, shown: dict[str, str]) -> Catalogue:
    """Assets in which a noun is shown by one of the tiny cut-outs."""
    tiny = write_tiny_assets(folder)
    catalogue = Catalogue(tuple(replace(tiny.by_noun[other][0], noun=noun) for noun, other in shown.items()))
    write_catalogue(catalogue, folder)
    return catalogue


def subjects(script: tuple[str, ...] = ()) -> Subjects:
    painter: Any = Painter()
    return Subjects(script, (fake_spec(painter, Task.LAYOUT_GENERATION.value),))


def test_what_is_drawn_is_looked_at_and_what_is_refused_is_not_fulfilled(data: Path) -> None:
    result = DrawnLayouts().run(context(data, subjects(), systems=("annotation", "rule")))
    for system in ("annotation", "rule"):
        spatial = figures_of(result, system, "spatial").figures
        assert (spatial["planned"], spatial["drawn"], spatial["detector"], spatial["detector, drawn"]) == (1.0, 0.5, 0.5, 1.0)
        assert spatial["features"] is None and spatial["seen"] == 1.0, "nobody judges by features without the assets"
    assert figures_of(result, "annotation", "counting").figures["detector"] == 1.0
    assert "zork" in next(sample["error"] for sample in result.samples if sample["id"] == 2)
    assert (data / "out" / "annotation.webp").is_file()


def test_the_models_plan_is_drawn_as_it_is(data: Path) -> None:
    script = ("<layout>dog<box>[600,300,900,600]</box>cat<box>[50,300,350,600]</box></layout>",) * 3
    result = DrawnLayouts().run(context(data, subjects(script), systems=("model",)))
    assert figures_of(result, "model", "spatial").figures["planned"] == 0
    assert figures_of(result, "model", "spatial").figures["detector, drawn"] == 0


def test_the_assets_may_call_things_otherwise(data: Path) -> None:
    """ "tv" is a cut-out of a "television"; what the judge names is the set's word again."""
    library = write_library(data / "assets", {"television": "cat", "dog": "ball"})
    rows = [{"id": 1, "prompt": "a tv to the left of a dog", "obj1": ["tv", [0.05, 0.3, 0.3, 0.3]], "obj2": ["dog", [0.6, 0.3, 0.3, 0.3]],
             "relation": "left", "type": "template"}]  # fmt: skip
    (data / "nsr1k" / "spatial.val.json").write_text(json.dumps(rows))
    assert "television" in {info.noun for info in library.cutouts}
    result = DrawnLayouts().run(context(data, subjects(), systems=("cut-outs",)))
    figures = figures_of(result, "cut-outs", "spatial").figures
    assert (figures["drawn"], figures["features"]) == (1.0, 1.0)
