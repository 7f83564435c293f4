"""Videos and sounds in the browser: masks that change with the frame, spans of time that can be gone to."""

from pathlib import Path
from typing import Any

import pytest
from page_site import SLACK_PX, Visitor, edges, expected_edges, places, serve

from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import MediaKind

pytestmark = pytest.mark.browser


def test_masks_of_a_video_go_with_its_frames_and_a_span_goes_to_its_moment(browser: Any, tmp_path: Path) -> None:
    experts = [fake_spec(task=task) for task in ("gen", "vgen", "agen")] + [fake_spec(FakeExpert(MediaKind.MASK), "vseg")]
    with serve(tmp_path, experts) as site:
        visitor = Visitor(browser, site.url)
        visitor.send("draw a fox")
        visitor.finished()
        visitor.send("follow the fox")
        answer = visitor.finished(2)
        stage = answer.locator('[data-artefact="vid-1"] .um-stage')
        assert stage.locator(".um-masklet path").count() == 2
        shown = stage.locator(".um-masklet path:visible")
        video = stage.locator("video")
        stage.scroll_into_view_if_needed()
        for seconds, frame in ((0.1, 0), (0.8, 1), (0.2, 0)):
            video.evaluate("(video, at) => { video.currentTime = at; }", seconds)
            visitor.page.wait_for_function(
                "frame => [...document.querySelectorAll('.um-masklet path')].findIndex(one => one.style.display !== 'none') === frame",
                arg=frame,
            )
            visitor.page.wait_for_function(
                "seen => getComputedStyle(document.querySelector('.um-thing.um-masked .um-box')).opacity === seen",
                arg="1" if frame == 0 else "0",
            )
        assert shown.count() == 1
        frame, mask = places(stage, shown)
        one_pixel_of_the_video = frame["width"] / 64
        assert edges(mask) == pytest.approx(expected_edges(frame), abs=SLACK_PX + 2 * one_pixel_of_the_video)

        visitor.send("when does it bark")
        answer = visitor.finished(3)
        span = answer.locator('[data-artefact="aud-1"] .um-span')
        line, bar = places(answer.locator(".um-timeline"), span)
        assert (bar["x"] - line["x"]) / line["width"] == pytest.approx(0.25, abs=0.02)
        assert bar["width"] / line["width"] == pytest.approx(0.25, abs=0.02)
        answer.locator("mark.um-phrase").hover()
        answer.locator(".um-span.is-lit").wait_for()
        span.click()
        assert answer.locator("audio").evaluate("sound => sound.currentTime") == pytest.approx(0.25, abs=0.02)
        visitor.context.close()
        assert visitor.errors == []
