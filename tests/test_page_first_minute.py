"""The first minute in a real browser: how loading goes, that it failed and why, what the banner owns up to; then the inspector."""

import logging
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_site import PHOTO, SLACK_PX, SPELT, Visitor, places

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Settings
from unified_demo.errors import ModelLoadError
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import TASKS
from unified_demo.messages import Conversation
from unified_demo.model_facts import ModelFacts
from unified_demo.ui.chat import build_chat
from unified_demo.ui.serve import ServeOptions, launch_options

pytestmark = pytest.mark.browser

DAMAGED = "The file of the language model is damaged; fetch it again."
PROGRESS = "loading weights: 12 of 88 MB"
GATES = {"gate_0": 0.7, "gate_1": 0.3, "layer_9_gate_0": 0.6, "layer_9_gate_1": 0.4, "layer_10_gate_0": 0.8, "layer_10_gate_1": 0.2}


class GatedModel:
    """Loads once the test opens the gate; at the first try what it reads is damaged. Its answer takes its time in each phase."""

    def __init__(self, fails: bool) -> None:
        self.gate = threading.Event()
        self.fails = fails
        self.loaded = False

    def load(self) -> None:
        if self.loaded:
            return
        logging.getLogger("unified_demo.zoo").info(PROGRESS)
        self.gate.wait(120)
        if self.fails:
            self.fails = False
            raise ModelLoadError(DAMAGED)
        self.loaded = True

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        started = time.perf_counter()
        cancel.wait(0.2)
        prefilled = time.perf_counter()
        yield f"Here is <p>the dog</p><box>{SPELT}</box>. "
        yield f"<seg>the dog<box>{SPELT}</box></seg>"
        cancel.wait(0.2)
        yield " Done."
        decoded = time.perf_counter()
        return {"prefill_s": prefilled - started, "decode_s": decoded - prefilled, "tokens": 3.0, **GATES}


@pytest.fixture
def served(tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[tuple[GatedModel, str]]:
    """A page over a GatedModel and fake experts for two tasks; the parameter says whether its first load fails."""
    caplog.set_level(logging.INFO, "unified_demo")
    model = GatedModel(fails=request.param)
    experts = (fake_spec(FakeExpert(delay_s=0.1)), fake_spec(task="gen"))
    engine = load_engine(Settings(media_dir=tmp_path), model, experts)
    engine.speaker = ModelFacts("a gated model", "MIT", "bfloat16", "cpu")
    blocks = build_chat(engine)
    _, url, _ = blocks.launch(**launch_options(engine, ServeOptions()), prevent_thread_lock=True, quiet=True)
    yield model, url
    model.gate.set()
    blocks.close()


@pytest.mark.parametrize("served", [True], indirect=True)
def test_the_header_tells_how_loading_goes_that_it_failed_and_that_it_is_ready(browser: Any, served: tuple[GatedModel, str]) -> None:
    model, url = served
    visitor = Visitor(browser, url, loaded=False)
    status = visitor.page.locator(".um-status")
    visitor.page.locator(".um-status[data-state=loading]").get_by_text(PROGRESS).wait_for()
    assert visitor.page.locator('#um-facts [data-loaded="yes"]').count() == 0
    model.gate.set()
    visitor.page.locator(".um-status[data-state=failed]").wait_for()
    assert status.inner_text() == "model not loaded" and status.get_attribute("title") == DAMAGED
    visitor.page.locator("#um-notices .um-notice").get_by_text(DAMAGED).wait_for()
    visitor.page.locator("#um-facts .um-error").get_by_text(DAMAGED).wait_for()
    model.gate.clear()
    visitor.send("hello")
    visitor.page.locator(".um-waiting").get_by_text(PROGRESS).wait_for()
    model.gate.set()
    assert visitor.finished().get_attribute("data-state") == "done"
    visitor.page.locator(".um-status[data-state=ready]").wait_for()
    assert status.inner_text() == "tiny profile · ready" == status.get_attribute("title")
    assert visitor.page.locator("#um-facts .um-error").count() == 0
    visitor.context.close()
    assert visitor.errors == []


@pytest.mark.parametrize("served", [False], indirect=True)
def test_a_phone_sees_what_the_profile_lacks_with_the_inspector_closed(browser: Any, served: tuple[GatedModel, str]) -> None:
    _, url = served
    visitor = Visitor(browser, url, loaded=False, viewport={"width": 390, "height": 844}, has_touch=True)
    banner = visitor.page.locator(".um-honest")
    line = visitor.page.locator(".um-banner > summary")
    line.wait_for()
    whole, card = places(visitor.page.locator("#um-conversation"), visitor.page.locator("#um-conversation .example").nth(3))
    assert card["y"] + card["height"] <= whole["y"] + whole["height"], "four cards are seen without scrolling"
    (shown,) = places(line)
    assert shown["height"] < 45, "one line"
    line.tap()
    banner.wait_for()
    lacks = ", ".join(spec.title for task, spec in TASKS.items() if task.value not in ("seg", "gen"))
    assert f"Not yet: {lacks}. The full profile" in banner.inner_text()
    assert not visitor.page.locator("#um-facts").is_visible()
    banner.scroll_into_view_if_needed()
    (shown,) = places(banner)
    assert shown["x"] >= 0 and shown["x"] + shown["width"] <= 390 and shown["height"] > 0
    visitor.context.close()
    assert visitor.errors == []


@pytest.mark.parametrize("served", [False], indirect=True)
def test_the_inspector_explains_its_words(browser: Any, served: tuple[GatedModel, str]) -> None:
    _, url = served
    visitor = Visitor(browser, url, loaded=False)
    terms = visitor.page.locator("#um-facts .um-terms")
    terms.locator("summary").click()
    told = terms.locator("dl").inner_text()
    assert "Temperature\n0 takes the likeliest word each time" in told
    for field in visitor.page.locator("#um-inspector :is(#um-options, #um-drawing) label span:visible").all():
        assert field.inner_text().strip() in told
    visitor.context.close()
    assert visitor.errors == []


@pytest.mark.parametrize("served", [False], indirect=True)
def test_the_inspector_shows_when_what_was_done_through_which_adapters_and_what_is_loaded(
    browser: Any, served: tuple[GatedModel, str]
) -> None:
    model, url = served
    model.gate.set()
    visitor = Visitor(browser, url)
    facts = visitor.page.locator("#um-facts")
    assert facts.locator(".um-gantt").count() == 0
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    assert visitor.finished().locator(".um-step[data-status=done]").count() == 1
    facts.locator(".um-gantt i[data-kind=expert]").wait_for()
    track, read, write, expert = places(
        facts.locator(".um-gantt div").first, *(facts.locator(f".um-gantt i[data-kind={kind}]") for kind in ("read", "write", "expert"))
    )
    assert facts.locator(".um-gantt i").count() == 3
    assert track["x"] - 0.5 <= read["x"] and read["x"] + read["width"] == pytest.approx(write["x"], abs=SLACK_PX)
    assert write["x"] < expert["x"] < write["x"] + write["width"], "the expert began while the answer was being written"
    assert expert["x"] + expert["width"] <= track["x"] + track["width"] + 0.5
    assert min(read["width"], write["width"], expert["width"]) > 2
    first, second = places(*facts.locator(".um-gates i").all())
    assert first["width"] / second["width"] == pytest.approx(GATES["gate_0"] / GATES["gate_1"], rel=0.1)
    assert facts.locator(".um-layers i").count() == 4
    assert facts.locator('[data-loaded="yes"] b').all_inner_texts() == ["Language model", "Segmentation"]
    assert facts.locator('[data-loaded="no"] b').all_inner_texts() == ["Image generation"]
    assert "a gated model · MIT" in facts.locator('[data-loaded="yes"]').first.inner_text()
    assert facts.locator(".um-setting dd").all_inner_texts() == ["tiny", "bfloat16", "cpu"]
    visitor.context.close()
    assert visitor.errors == []
