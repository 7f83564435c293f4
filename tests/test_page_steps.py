"""Steps of an answer: counter and time left, one cancelled, one tried again, settings that are used."""

from collections.abc import Iterator
from typing import Any

import pytest
from page_site import PHOTO, Site, Visitor, serve

from unified_demo.errors import ExpertError
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import MediaKind
from unified_demo.ui import chat, visit

pytestmark = pytest.mark.browser

SLOW = FakeExpert(MediaKind.IMAGE, steps=400, delay_s=0.1)
FRAGILE = FakeExpert(MediaKind.IMAGE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media"), (fake_spec(SLOW, "edit"), fake_spec(FRAGILE, "gen"))) as made:
        yield made


def test_a_step_counts_tells_the_time_left_and_is_cancelled_alone(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("slowly")
    step = visitor.page.locator(".um-step").first
    step.locator(".um-eta").wait_for()
    assert step.locator(".um-step-count").inner_text().endswith("/400")
    visitor.page.get_by_role("button", name="Cancel this step").first.dispatch_event("pointerdown", {"bubbles": True})
    answer = visitor.finished()
    assert [one.get_attribute("data-status") for one in answer.locator(".um-step").all()] == ["stopped", "done"]
    assert answer.get_attribute("data-state") == "done"
    assert answer.locator(".um-output").count() == 1


def test_a_failed_step_is_tried_again_without_the_answer(visitor: Visitor, site: Site) -> None:
    FRAGILE.error = ExpertError("The brush is dry.")
    visitor.page.get_by_label("Seed").fill("7")
    visitor.page.get_by_label("Seed").press("Enter")
    visitor.send("draw a fox")
    answer = visitor.finished()
    assert answer.locator(".um-step").first.get_attribute("data-status") == "failed"
    assert answer.locator(".um-error").first.inner_text() == "The brush is dry."
    assert answer.locator(".um-error").first.is_visible()
    assert not answer.locator(".um-step dl").first.is_visible(), "its facts are folded"
    turns = len(site.model.turns)
    FRAGILE.error = None
    answer.get_by_role("button", name="Try this step again").first.click()
    visitor.page.locator(".um-step[data-status=done]").wait_for()
    visitor.page.locator("#um-composer .submit-button").wait_for()
    assert len(site.model.turns) == turns
    assert answer.locator(".um-output img").count() == 1
    step = answer.locator(".um-step").first
    step.locator("summary").click()
    assert "seed\n7" in step.locator("dl").inner_text()
    assert step.locator(".um-badge").inner_text() == "Apache-2.0"
    visitor.send("hello")
    visitor.finished(2)
    assert "img-1" in site.model.turns[-1].artefacts()


def test_of_a_long_conversation_the_end_is_shown_and_works(browser: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (visit, chat):
        monkeypatch.setattr(module, "WINDOW", 2)
    visitor = Visitor(browser, site.url)
    earlier = visitor.page.locator(".um-earlier")
    visitor.send("hello")
    visitor.finished()
    visitor.send("hello again")
    earlier.get_by_text("Show the 2 messages before").wait_for()
    visitor.finished()
    FRAGILE.error = ExpertError("The brush is dry.")
    visitor.send("draw a fox")
    earlier.get_by_text("Show the 4 messages before").wait_for()
    answer = visitor.finished()
    FRAGILE.error = None
    answer.get_by_role("button", name="Try this step again").first.click()
    visitor.page.locator(".um-step[data-status=done]").wait_for()
    visitor.page.locator("#um-composer .submit-button").wait_for()
    earlier.click()
    earlier.get_by_text("Show the 2 messages before").wait_for()
    assert visitor.page.locator(".um-question").count() == visitor.page.locator(".um-answer").count() == 2
    earlier.click()
    visitor.page.wait_for_function("() => document.querySelectorAll('.um-answer').length === 3")
    assert earlier.count() == 0 and visitor.errors == []
    visitor.context.close()


def test_settings_of_experts_that_draw_reach_them(visitor: Visitor) -> None:
    FRAGILE.error = None
    steps, strength = visitor.page.get_by_label("Steps"), visitor.page.get_by_label("Strength")
    steps.fill("none")
    steps.blur()
    visitor.page.locator(".um-notice").get_by_text("a whole number is expected").wait_for()
    steps.fill("12")
    steps.blur()
    visitor.page.locator(".um-notice").wait_for(state="detached")
    strength.fill("0.25")
    strength.press("Enter")
    visitor.send("draw a fox")
    visitor.finished()
    request = FRAGILE.requests[-1]
    assert (request.steps, request.guidance, request.strength) == (12, None, 0.25)


def test_words_that_an_expert_left_out_are_told(visitor: Visitor) -> None:
    FRAGILE.error, FRAGILE.recipe = None, {"left_out": ["zebrafinch"]}
    visitor.send("draw a fox")
    assert visitor.finished().locator(".um-left-out").inner_text() == "Words it does not know were left out: zebrafinch."
