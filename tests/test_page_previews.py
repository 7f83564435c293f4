"""What is seen of an expert that draws: a preview while it works, then what it took and under which licence."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_site import Visitor, serve

from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import MediaKind

pytestmark = pytest.mark.browser

LICENCE = "CC-BY-NC-4.0"


def test_a_preview_is_there_while_the_step_runs_and_goes_at_its_end(browser: Any, tmp_path: Path) -> None:
    showing = FakeExpert(MediaKind.VIDEO, gate=threading.Event(), gate_step=2, previews=True)
    bound = replace(fake_spec(showing, "vgen"), licence=LICENCE, commercial_use=False)
    with serve(tmp_path, (fake_spec(task="gen"), bound)) as site:
        visitor = Visitor(browser, site.url)
        visitor.page.get_by_label("Steps").fill("5")
        visitor.page.get_by_label("Steps").blur()
        visitor.page.get_by_label("Guidance").fill("6.5")
        visitor.page.get_by_label("Guidance").press("Enter")
        visitor.send("draw a fox")
        still, moving = (visitor.page.locator(f".um-step[data-index='{index}']") for index in (0, 1))
        preview = moving.locator(".um-preview")
        preview.wait_for()
        assert moving.get_attribute("data-status") == "running"
        assert moving.locator(".um-step-count").inner_text() == "1/5"
        assert preview.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [64, 48]
        showing.gate.set()
        visitor.finished()
        assert moving.get_attribute("data-status") == "done"
        assert visitor.page.locator(".um-preview").count() == 0
        badge, free = moving.locator(".um-badge"), still.locator(".um-badge")
        assert (badge.get_attribute("data-free"), badge.inner_text()) == ("no", "non-commercial")
        assert (free.get_attribute("data-free"), free.inner_text()) == ("yes", "Apache-2.0")
        for step, licence in ((still, "Apache-2.0"), (moving, LICENCE)):
            step.locator("summary").click()
            facts = step.locator("dl").inner_text()
            assert "steps\n5" in facts and "guidance\n6.5" in facts and f"licence\n{licence}" in facts
        visitor.context.close()
        assert visitor.errors == []
