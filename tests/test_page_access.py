"""Everybody can use the page: axe finds nothing serious in any state, in light and dark, on a desktop and on a phone."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_site import PHOTO, Site, Visitor, serious, serve

from unified_demo.fakes import fake_spec

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("axe_playwright_python") is None, reason="axe is missing (pip install axe-playwright-python)"),
]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    with serve(folder / "media", [fake_spec(task=task) for task in ("gen", "vgen", "agen")], folder / "kept.sqlite") as made:
        yield made


@pytest.mark.parametrize("manner", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious(browser: Any, site: Site, manner: dict[str, Any]) -> None:
    visitor = Visitor(browser, site.url, **manner)
    assert serious(visitor) == []
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    answer = visitor.finished()
    answer.locator(".um-tools button").first.focus()
    visitor.page.get_by_role("button", name="Use img-1 as input").last.click()
    visitor.page.locator("#um-chips .um-marked").wait_for()
    assert serious(visitor) == []
    visitor.page.get_by_role("button", name="Inspect img-1").last.click()
    visitor.page.locator("#um-viewer").wait_for()
    assert serious(visitor) == []
    visitor.page.keyboard.press("Escape")
    visitor.send("draw a fox")
    visitor.finished(2)
    visitor.page.get_by_role("button", name="Conversations").click()
    visitor.page.locator("#um-search").wait_for()
    assert serious(visitor) == []
    visitor.context.close()
    assert visitor.errors == []


@pytest.mark.parametrize("manner", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious_while_answers_are_written_and_after_they_failed(
    browser: Any, site: Site, manner: dict[str, Any]
) -> None:
    visitor = Visitor(browser, site.url, **manner)
    visitor.send("broken")
    visitor.finished()
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.page.locator(".um-notice").wait_for()
    visitor.page.locator(".um-step summary").click()
    if manner is PHONE:
        visitor.page.get_by_label("Inspector").click()
    visitor.page.get_by_label("Raw representation").check()
    visitor.page.locator(".um-raw pre").wait_for()
    assert serious(visitor) == []
    visitor.page.get_by_label("Raw representation").uncheck()
    if manner is PHONE:
        visitor.page.get_by_label("Inspector").click()
    site.script.gate.clear()
    visitor.attach(PHOTO)
    visitor.send("wait for it")
    visitor.page.locator(".um-answer .um-box").wait_for()
    assert serious(visitor) == []
    site.script.gate.set()
    visitor.finished(2)
    visitor.page.locator("[data-um=language]").click()
    visitor.page.get_by_placeholder("就一张图片提问").wait_for()
    assert serious(visitor) == []
    visitor.context.close()
    assert visitor.errors == []


@pytest.mark.parametrize("manner", [{}, {**PHONE, "color_scheme": "dark"}], ids=["light", "dark phone"])
def test_axe_finds_nothing_serious_in_data_recorder_and_camera(browser: Any, site: Site, manner: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", np.arange(1, 401.0).reshape(20, 20))
    visitor = Visitor(browser, site.url, permissions=["microphone", "camera"], **manner)
    page = visitor.page
    visitor.attach_all([tmp_path / "depth.npy"])
    assert serious(visitor) == []
    visitor.send("look")
    visitor.finished()
    page.locator('#um-conversation [data-artefact="depth-1"]').hover()
    page.get_by_role("button", name="Inspect depth-1").click()
    page.locator("#um-viewer").wait_for()
    assert serious(visitor) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Record audio").click()
    page.get_by_role("button", name="Start recording").wait_for()
    assert serious(visitor) == []
    page.get_by_role("button", name="Record audio").click()
    page.get_by_role("button", name="Picture from the camera").click()
    page.locator(".um-snap:not([disabled])").wait_for()
    assert serious(visitor) == []
    visitor.context.close()
    assert visitor.errors == []
