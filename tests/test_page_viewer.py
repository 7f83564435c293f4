"""The viewer shows what was found at any size, and as opaque as the visitor wants; a video's timeline shows when."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_site import PHOTO, SLACK_PX, Site, Visitor, edges, expected_edges, places, serve

from unified_demo.media import MediaStore

pytestmark = pytest.mark.browser

OUTLINE = (
    "path => { const box = path.getBBox(), m = path.getScreenCTM();"
    " return [box.x * m.a + m.e, box.y * m.d + m.f, (box.x + box.width) * m.a + m.e, (box.y + box.height) * m.d + m.f]; }"
)
"""Edges of a path on the screen, without its stroke."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media")) as made:
        yield made


def test_box_and_mask_are_in_the_viewer_and_stay_vectors_at_any_size(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    small = visitor.finished().locator(".um-stage")
    shape = small.locator("path.um-mask").get_attribute("d")
    (before,) = places(small)
    visitor.page.get_by_role("button", name="Inspect img-1").last.dispatch_event("click")
    large = visitor.page.locator("#um-viewer .um-stage")
    widths = [before["width"]]
    for width, height in ((1280, 860), (2200, 1500)):
        visitor.page.set_viewport_size({"width": width, "height": height})
        visitor.page.wait_for_function(
            "least => document.querySelector('#um-viewer .um-stage').getBoundingClientRect().width > least", arg=widths[-1] + 20
        )
        shown, box = places(large, large.locator(".um-box"))
        widths.append(shown["width"])
        assert edges(box) == pytest.approx(expected_edges(shown), abs=SLACK_PX)
        mask = large.locator("path.um-mask")
        assert mask.get_attribute("d") == shape
        assert mask.evaluate(OUTLINE) == pytest.approx(expected_edges(shown), abs=SLACK_PX)
        assert large.locator("canvas, image, foreignObject").count() == 0, "nothing drawn in pixels lies over the picture"
    assert widths[-1] > 1024, "larger than the picture itself"


def test_opacity_is_that_of_the_masks(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    visitor.page.get_by_role("button", name="Inspect img-1").last.dispatch_event("click")
    visitor.page.locator("#um-viewer path.um-mask").wait_for()
    slider = visitor.page.get_by_label("Opacity")
    assert slider.input_value() == "42"
    opaque = (
        "wanted => ['#um-viewer', '#um-conversation'].every(place =>"
        " Math.abs(getComputedStyle(document.querySelector(`${place} path.um-mask`)).fillOpacity - wanted) < 0.005)"
    )
    for percent in (42, 80, 0):
        slider.fill(str(percent))
        visitor.page.wait_for_function(opaque, arg=percent / 100)


def test_a_span_on_the_timeline_of_a_video_that_was_sent(visitor: Visitor, tmp_path: Path) -> None:
    """The answer names no recording: a span of time lies in the latest video or sound, though a picture came after it."""
    frames = np.random.default_rng(0).integers(0, 255, (16, 48, 64, 3), np.uint8)
    film = MediaStore(tmp_path).add_video(frames, 8.0, "vid-1").path
    visitor.page.locator("#um-composer input[type=file]").first.set_input_files([str(film), str(PHOTO)])
    visitor.page.locator(".um-draft").wait_for()
    visitor.send("what is in the film?")
    answer = visitor.finished()
    shown = answer.locator('[data-artefact="vid-1"]')
    line, bar = places(shown.locator(".um-timeline"), shown.locator(".um-span"))
    quarter = line["width"] / 4
    assert (bar["x"], bar["width"]) == pytest.approx((line["x"] + quarter, quarter), abs=SLACK_PX)
    assert answer.locator('[data-artefact="img-1"]').count() == 0
    answer.locator("mark.um-phrase").hover()
    shown.locator(".um-span.is-lit").wait_for()
    assert "a fox, 0.5–1.0 s" in shown.locator(".um-span").get_attribute("aria-label")
    shown.locator("video").evaluate("video => video.readyState > 0 || new Promise(done => { video.onloadedmetadata = done; })")
    shown.locator(".um-span").click()
    visitor.page.wait_for_function("Math.abs(document.querySelector('.um-answer video').currentTime - 0.5) < 0.02")
