"""What is painted with the brush is shown, kept and edited as it was painted, from the hand in the browser to the pixels of the result."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_site import PHOTO, Site, Visitor, chips, serve, wait_for_turns
from PIL import Image

from unified_demo.experts.base import ExpertSpec
from unified_demo.experts.patches import Mask, Pixels, grow
from unified_demo.experts.region_editing import RegionEditingExpert, growth_of
from unified_demo.experts.segmentation import SegmentationExpert
from unified_demo.grammar import MediaKind, Task
from unified_demo.messages import Conversation, RegionPart, Stroke
from unified_demo.strokes import painted_mask

pytestmark = pytest.mark.browser

STAIN = ((0.3, 0.3), (0.5, 0.4)), ((0.4, 0.25), (0.4, 0.5))
"""Two strokes that cross."""
BRUSH = 0.035


class Blind:
    """Stands for a segmenter that must not be asked, and for a remover that fills the hole with one grey."""

    def embed(self, image: Image.Image) -> None:
        pytest.fail("nothing is outlined where it was painted")

    def fill(self, picture: Pixels, hole: Mask) -> Pixels:
        return np.full_like(picture, 100)


def editor() -> ExpertSpec:
    made = RegionEditingExpert(SegmentationExpert(Blind()), Blind())  # type: ignore[arg-type]
    needs = (MediaKind.IMAGE,)
    return ExpertSpec(Task.REASONING_EDITING.value, "grey", "removes", needs, MediaKind.IMAGE, "MIT", (), 0, lambda: made)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("paint")
    with serve(folder / "media", [editor()], kept=folder / "kept.sqlite") as made:
        yield made


def paint(visitor: Visitor, stage: Any, lines: Sequence[Sequence[tuple[float, float]]]) -> None:
    for line in lines:
        frame = stage.bounding_box()
        places = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in line]
        told = stage.locator(".um-stroke:not(.um-rubber) polyline").count()
        visitor.page.mouse.move(*places[0])
        visitor.page.mouse.down()
        for place in places[1:]:
            visitor.page.mouse.move(*place, steps=6)
        visitor.page.mouse.up()
        stage.locator(".um-stroke:not(.um-rubber) polyline").nth(told).wait_for(state="attached")


def painted_in(visitor: Visitor) -> Any:
    """The photo in the composer, painted over in the viewer."""
    visitor.attach(PHOTO)
    visitor.page.locator(".um-draft > button").click()
    visitor.page.get_by_label("Brush").check()
    stage = visitor.page.locator("#um-viewer .um-stage")
    stage.locator("img").evaluate("image => image.decode()")
    paint(visitor, stage, STAIN)
    return stage


def leave(visitor: Visitor) -> None:
    visitor.page.keyboard.press("Escape")
    visitor.page.locator("#um-viewer").wait_for(state="detached")


def marks(conversation: Conversation) -> list[RegionPart]:
    return [part for part in conversation.messages[-1].parts if isinstance(part, RegionPart)]


def overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


covered = partial(painted_mask, [Stroke(line, BRUSH) for line in STAIN])


def test_what_was_painted_is_removed_and_every_other_pixel_stays(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    stage = painted_in(visitor)
    assert chips(visitor, 1).locator("polyline").count() == 2, "strokes that cross are one region"
    line, drawn = stage.locator(".um-stroke polyline").first, stage.bounding_box()
    x0, x1 = (drawn["x"] + share * drawn["width"] for share in (0.3, 0.5))
    shown = line.evaluate("line => { const { left, right } = line.getBoundingClientRect(); return [left, right]; }")
    assert shown == pytest.approx([x0, x1], abs=2), "the paint lies where the hand was"
    leave(visitor)
    visitor.send("remove this")
    answer = visitor.finished()
    (mark,) = marks(site.model.turns[-1])
    with Image.open(PHOTO) as photo:
        before = np.asarray(photo.convert("RGB"))
    assert overlap(painted_mask(mark.strokes, before.shape[1], before.shape[0]), covered(before.shape[1], before.shape[0])) > 0.95
    with visitor.page.expect_download() as saved:
        answer.locator('.um-output[data-artefact="img-2"] a[download]').dispatch_event("click")
    file = tmp_path / "img-2.png"
    saved.value.save_as(file)
    after = np.asarray(Image.open(file))
    brushed = painted_mask(mark.strokes, before.shape[1], before.shape[0])
    hole = grow(brushed, growth_of(brushed, mark.boxes[0]))
    kept = ~hole
    stored = np.asarray(
        Image.open(next(part.artefact.path for part in site.model.turns[-1].messages[-1].parts if hasattr(part, "artefact")))
    )
    assert (after[kept] == stored[kept]).all() and (after[brushed] == 100).all(axis=1).mean() > 0.95
    assert visitor.errors == []


def test_paint_comes_back_with_a_reload_and_an_edit(visitor: Visitor, site: Site) -> None:
    painted_in(visitor)
    leave(visitor)
    visitor.send("what is this?")
    visitor.finished()
    (before,) = marks(site.model.turns[-1])
    visitor.page.reload()
    visitor.wait_for_the_model()
    said = visitor.page.locator(".um-question .um-marked")
    said.locator("polyline").nth(1).wait_for(state="attached")
    said.hover()
    visitor.page.locator(".um-attachment .um-hint polyline").nth(1).wait_for(state="attached")
    visitor.page.get_by_role("button", name="Edit").click()
    assert chips(visitor, 1).locator("polyline").count() == 2
    turns = len(site.model.turns)
    visitor.send("what is that?")
    wait_for_turns(visitor, site, turns + 1)
    visitor.finished()
    (after,) = marks(site.model.turns[-1])
    assert after.strokes == before.strokes and after.phrase == "that"
    assert visitor.errors == []


def test_a_wider_brush_paints_wider_strokes(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.page.locator(".um-draft > button").click()
    width = visitor.page.get_by_label("Stroke width")
    assert not width.is_visible(), "a box has none"
    visitor.page.get_by_label("Brush").check()
    width.fill("100")
    stage = visitor.page.locator("#um-viewer .um-stage")
    paint(visitor, stage, [((0.3, 0.3), (0.6, 0.6))])
    leave(visitor)
    visitor.send("hello")
    visitor.finished()
    ((stroke,),) = [mark.strokes for mark in marks(site.model.turns[-1])]
    assert stroke.radius == pytest.approx(0.12)
