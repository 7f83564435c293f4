"""Judging drawn pictures: what is found in made-up ones, and the benchmark with cut-outs, with an expert and without one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_benchmarks import FakeSubjects, coarse, context, figures_of
from tiny_cutouts import write_tiny_assets

from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.evaluation.generation import Case, Drawable, Generation, Wanted, score
from unified_demo.evaluation.generation_metrics import crop, descriptor, filled, foreground, painted, parts
from unified_demo.experts.base import Output
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import Box, MediaKind, Task

BOXES = (Box(0.1, 0.1, 0.4, 0.4), Box(0.6, 0.5, 0.9, 0.9))


def drawing(*boxes: Box, colour: tuple[int, int, int] = (200, 40, 40)) -> np.ndarray:
    picture = Image.new("RGB", (200, 200), (240, 240, 245))
    for box in boxes:
        ImageDraw.Draw(picture).ellipse([value * 199 for value in box.as_tuple()], fill=colour)
    return np.asarray(picture)


def test_things_are_what_differs_from_the_rim() -> None:
    assert not foreground(drawing()).any() and not parts(foreground(drawing()))
    assert len(parts(foreground(drawing(BOXES[0])))) == 1
    assert len(parts(foreground(drawing(*BOXES)))) == 2
    touching = (Box(0.2, 0.2, 0.5, 0.5), Box(0.45, 0.2, 0.75, 0.5))
    assert len(parts(foreground(drawing(*touching)))) == 1
    speck = Box(0.5, 0.5, 0.53, 0.53)
    assert len(parts(foreground(drawing(BOXES[0], speck)))) == 1, "specks are no things"


def test_the_paint_is_that_of_the_thing_not_of_the_ground() -> None:
    assert painted(drawing(BOXES[1])) == "red"
    assert painted(drawing(BOXES[1], colour=(40, 90, 210))) == "blue"
    assert painted(drawing(BOXES[1], colour=(60, 60, 60))) == ""
    assert painted(drawing()) == ""


def test_boxes_are_filled_by_what_lies_in_them() -> None:
    found = filled(drawing(*BOXES), BOXES)
    assert all(box is not None and box.iou(wanted) > 0.85 for box, wanted in zip(found, BOXES, strict=True))
    assert filled(drawing(BOXES[0]), BOXES)[1] is None
    small = filled(drawing(Box(0.1, 0.1, 0.25, 0.25)), BOXES)[0]
    assert small is not None and small.iou(BOXES[0]) < 0.4
    pixels = crop(drawing(*BOXES), BOXES[0])
    assert pixels.shape[0] == pixels.shape[1] == 72 and tuple(pixels[36, 36]) == (200, 40, 40)


@pytest.fixture
def drawable(tmp_path: Path) -> Drawable:
    return Drawable(CutoutLibrary(tmp_path / "assets", write_tiny_assets(tmp_path / "assets")))


def test_cases_are_always_the_same_and_of_every_kind(drawable: Drawable) -> None:
    cases = drawable.cases()
    assert cases == drawable.cases()
    groups = {case.group: [other for other in cases if other.group == case.group] for case in cases}
    assert set(groups) == {"noun", "colour", "count", "layout"} and len(groups["noun"]) == 13
    assert {len(case.things) for case in groups["count"]} == {1, 2, 3, 4}
    assert all(case.things[0].paint in case.prompt for case in groups["colour"])
    for case in (*groups["count"], *groups["layout"]):
        boxes = [thing.box for thing in case.things]
        assert all(one.iou(other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])


def test_a_perfect_drawing_is_right_and_a_wrong_one_is_not(drawable: Drawable) -> None:
    gallery = drawable.gallery(coarse)
    assert gallery.features.shape[0] == 13 and np.allclose((gallery.features**2).sum(1), 1, atol=1e-5)
    fox = Case("noun", "a fox", (Wanted("fox", Box(0.11, 0.11, 0.89, 0.89)),), 0)
    assert score(fox, drawable.draw(fox), gallery, coarse) == {"drawn": 1.0, "top 1": 1.0, "top 5": 1.0}
    car = Case("noun", "a car", (Wanted("car", Box(0.11, 0.11, 0.89, 0.89)),), 0)
    assert score(fox, drawable.draw(car), gallery, coarse)["top 1"] == 0.0
    assert score(fox, None, gallery, coarse) == {"drawn": 0.0}
    assert descriptor(drawable.draw(car), coarse) @ descriptor(drawable.draw(car), coarse) == pytest.approx(1, abs=1e-5)


class Artist(FakeExpert):
    """Draws red discs where boxes are, one in the middle without."""

    def run(self, request: Any) -> Any:
        boxes = [box for region in request.regions for box in region.boxes] or [Box(0.2, 0.2, 0.8, 0.8)]
        yield Output(MediaKind.IMAGE, Image.fromarray(drawing(*boxes)))


def test_without_an_expert_the_row_says_so(tmp_path: Path) -> None:
    write_tiny_assets(tmp_path / "assets")
    result = Generation().run(context(tmp_path, FakeSubjects((), ()), systems=("expert",)))
    assert [row.note for row in result.rows] == ["no expert yet"]


def test_expert_and_cut_outs_are_measured_side_by_side(tmp_path: Path) -> None:
    write_tiny_assets(tmp_path / "assets")
    experts = tuple(fake_spec(Artist(), task.value) for task in (Task.IMAGE_GENERATION, Task.LAYOUT_GENERATION))
    result = Generation().run(context(tmp_path, FakeSubjects((), experts), limit=40))
    best = {group: figures_of(result, "cut-outs", group).figures for group in ("noun", "colour", "count", "layout")}
    assert (best["noun"]["top 1"] or 0) >= 0.8, "apple and ball look the same here"
    assert best["colour"]["colour"] == 1 and best["count"]["count"] == 1
    assert (best["layout"]["IoU"] or 0) > 0.8
    mine = {group: figures_of(result, "expert", group).figures for group in best}
    assert (mine["noun"]["top 1"] or 0) < 0.5 and (mine["layout"]["IoU"] or 0) > 0.5
    assert 0 < (mine["count"]["count"] or 0) < 1, "one disc is right where one thing is asked for"
    assert (tmp_path / "out" / "expert-layout.webp").is_file() and len(result.samples) == 80
