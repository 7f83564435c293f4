"""A long visit: every expert, marks, edits, undo, retries, stop, viewer, drawer and both languages in one conversation of twenty messages.

Not one console error in all of it, not one request to another machine, and axe finds nothing serious at its end.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from page_site import PHOTO, Site, Visitor, chips, drag, regions, serious, serve, wait_for_turns

from unified_demo.errors import ExpertError
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import MediaKind, Task

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("axe_playwright_python") is None, reason="axe is missing (pip install axe-playwright-python)"),
]

FRAGILE = FakeExpert(MediaKind.IMAGE)
OTHERS = [task.value for task in Task if task not in (Task.IMAGE_SEGMENTATION, Task.IMAGE_GENERATION)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    experts = [fake_spec(FRAGILE, "gen"), *(fake_spec(task=task) for task in OTHERS)]
    with serve(folder / "media", experts, folder / "kept.sqlite") as made:
        yield made


def asked(visitor: Visitor, count: int, text: str) -> Any:
    """Send ``text``, the question with this number; the answer to it, complete."""
    visitor.send(text)
    return visitor.finished(count)


def test_twenty_messages_with_all_that_the_page_can_do(visitor: Visitor, site: Site) -> None:
    page = visitor.page
    # Look and point.
    visitor.attach(PHOTO)
    answer = asked(visitor, 1, "segment the dog")
    assert answer.locator(".um-mask").count() == 1
    drag(visitor, answer.locator(".um-stage"), (0.6, 0.1, 0.85, 0.4))
    chips(visitor, 1)
    asked(visitor, 2, "what is this?")
    assert len(regions(site.model.turns[-1])) == 1

    # A step fails, and is tried again.
    FRAGILE.error = ExpertError("The brush is dry.")
    drawn = asked(visitor, 3, "draw a fox")
    assert [step.get_attribute("data-status") for step in drawn.locator(".um-step").all()] == ["failed", "done", "done"]
    FRAGILE.error = None
    drawn.get_by_role("button", name="Try this step again").click()
    drawn.locator(".um-step[data-status=done]").nth(2).wait_for()
    page.locator("#um-composer .submit-button").wait_for()

    # What experts made is used by others.
    for number, task in enumerate(("vseg", "edit", "redit", "layout", "ivgen", "vedit"), 4):
        answer = asked(visitor, number, f"task {task}")
        assert answer.locator(".um-step").get_attribute("data-status") == "done", f"{task}: {answer.inner_text()}"
        assert answer.locator(".um-mask, .um-output").count() >= 1, task

    # An answer is stopped; its question is taken back and another asked.
    site.script.gate.clear()
    visitor.send("wait for it")
    page.locator(".um-answer").nth(9).locator(".um-box").wait_for()
    page.locator("#um-composer .stop-button").click()
    assert visitor.finished(10).get_attribute("data-state") == "stopped"
    site.script.gate.set()
    visitor.press("Undo")
    page.wait_for_function("document.querySelector('#um-composer textarea').value === 'wait for it'")
    assert page.locator(".um-answer").count() == 9
    asked(visitor, 10, "when does it bark?")

    # The last question is edited, then asked again as it is.
    page.locator(".um-question").last.hover()
    page.get_by_role("button", name="Edit").last.click()
    page.locator(".um-editing").wait_for()
    page.wait_for_function("document.querySelector('#um-composer textarea').value === 'when does it bark?'")
    visitor.send("segment the fox")
    page.locator(".um-said").get_by_text("segment the fox").wait_for()
    visitor.finished(10)
    turns = len(site.model.turns)
    page.locator(".um-question [data-um=retry]").last.click()
    wait_for_turns(visitor, site, turns + 1)
    page.locator(".um-answer").nth(9).locator(".um-mask").wait_for()
    visitor.finished(10)
    assert site.model.turns[-1] == site.model.turns[-2]

    # The viewer, the drawer, the other language and back.
    drawn.locator(".um-output").first.hover()
    drawn.get_by_role("button", name="Inspect img-").first.click()
    page.locator("#um-viewer").get_by_label("Opacity").fill("70")
    page.keyboard.press("Escape")
    page.locator("#um-viewer").wait_for(state="detached")
    page.get_by_role("button", name="Conversations").click()
    page.locator("#um-search :is(input, textarea)").fill("dog")
    page.locator("#um-kept .um-open").get_by_text("segment the dog").wait_for()
    page.locator("[data-um=language]").click()
    page.get_by_placeholder("就一张图片提问").wait_for()
    page.locator(".um-question-tools").get_by_text("重试").last.wait_for(state="attached")
    page.locator("[data-um=language]").click()
    page.get_by_placeholder("Ask about a picture").wait_for()

    visitor.finished(10)
    assert len(site.model.turns[-1].messages) + 1 == 20
    assert {step for turn in page.locator(".um-step").all() if (step := turn.get_attribute("data-status"))} == {"done"}
    page.locator(".um-question [data-um=retry]").first.click()
    page.locator(".um-question [data-sure]").wait_for()
    assert serious(visitor) == []
