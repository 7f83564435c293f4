"""The page in a real browser: what is seen, hovered, stopped, retried and refused. Every test also refuses console errors."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_site import PHOTO, SLACK_PX, SPELT, Site, Visitor, edges, expected_edges, places, serve
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import ScriptedModel
from unified_demo.ui.chat import build_chat
from unified_demo.ui.examples import EXAMPLES, MOST_EXAMPLES
from unified_demo.ui.serve import ServeOptions, launch_options

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media")) as made:
        yield made


def test_photo_to_text_box_and_mask(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    answer = visitor.finished()
    assert answer.locator(".um-text").inner_text().strip() == "I see the dog here."
    for raw in ("<p>", "<box>", "<seg>", SPELT):
        assert raw not in visitor.page.locator("body").inner_text()
    image = answer.locator(".um-stage img")
    assert image.evaluate("image => image.complete && image.naturalWidth") == 1024
    shown, box = places(image, answer.locator(".um-box"))
    assert edges(box) == pytest.approx(expected_edges(shown), abs=SLACK_PX)
    outline = answer.locator(".um-mask")
    assert len(outline.get_attribute("d")) > 10
    drawn = outline.evaluate(
        "path => { const box = path.getBBox(), m = path.getScreenCTM();"
        " return [box.x * m.a + m.e, box.y * m.d + m.f, (box.x + box.width) * m.a + m.e, (box.y + box.height) * m.d + m.f]; }"
    )
    assert drawn == pytest.approx(expected_edges(shown), abs=SLACK_PX)
    colours = {
        answer.locator(part).first.evaluate("element => getComputedStyle(element).getPropertyValue('--hue')")
        for part in ("mark", ".um-thing", ".um-label")
    }
    assert len(colours) == 1


def test_the_step_of_the_expert_tells_seconds_and_licence(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    step = visitor.finished().locator(".um-step")
    assert step.get_attribute("data-status") == "done"
    assert step.locator(".um-clock").inner_text().endswith(" s")
    step.locator("summary").click()
    facts = step.locator("dl").inner_text()
    assert "Apache-2.0" in facts
    assert "mask-1" in facts


def test_the_box_is_there_while_the_sentence_goes_on(visitor: Visitor, site: Site) -> None:
    site.script.gate.clear()
    visitor.attach(PHOTO)
    visitor.send("wait for it")
    visitor.page.locator(".um-answer .um-box").wait_for()
    assert visitor.page.locator(".um-answer").get_attribute("data-state") == "streaming"
    assert "the rest" not in visitor.page.locator(".um-text").inner_text()
    visitor.page.evaluate("document.querySelector('.um-stage img').isTheSame = true")
    site.script.gate.set()
    assert visitor.finished().locator(".um-text").inner_text() == "Here is the dog and the rest."
    assert visitor.page.evaluate("document.querySelector('.um-stage img').isTheSame"), "the picture was drawn anew and would flicker"


def test_phrase_and_region_light_each_other(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    answer = visitor.finished()
    phrase, region = answer.locator("mark.um-phrase"), answer.locator(".um-thing")
    lit = visitor.page.locator(".um-thing.is-lit")
    phrase.hover()
    lit.wait_for()
    visitor.page.mouse.move(2, 2)
    lit.wait_for(state="detached")
    region.locator(".um-mask").hover()
    visitor.page.locator("mark.um-phrase.is-lit").wait_for()
    visitor.page.mouse.move(2, 2)
    phrase.focus()
    lit.wait_for()
    visitor.page.keyboard.press("Escape")
    lit.wait_for(state="detached")
    region.focus()
    visitor.page.locator("mark.um-phrase.is-lit").wait_for()


def test_stop_keeps_the_partial_answer_and_closes_the_model(visitor: Visitor, site: Site) -> None:
    visitor.send("endless")
    visitor.page.wait_for_function("(document.querySelector('.um-text')?.innerText ?? '').split('word').length > 4")
    visitor.page.locator("#um-composer .stop-button").click()
    answer = visitor.finished()
    assert answer.get_attribute("data-state") == "stopped"
    assert answer.locator(".um-text").inner_text().startswith("word word word")
    assert site.script.closed.wait(60)
    visitor.send("hello")
    assert visitor.finished(2).locator(".um-text").inner_text() == "Yousaid:hello"


def test_closing_the_window_closes_the_model(browser: Any, site: Site) -> None:
    leaving = Visitor(browser, site.url)
    leaving.send("endless")
    leaving.page.wait_for_function("(document.querySelector('.um-text')?.innerText ?? '').includes('word')")
    leaving.context.close()
    assert site.script.closed.wait(60)


def test_retry_keeps_the_picture(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    before = len(site.model.turns)
    visitor.press("Retry")
    answer = visitor.finished()
    visitor.page.locator(".um-answer .um-mask").wait_for()
    answer.locator(".um-box").wait_for()
    assert answer.locator(".um-box").count() == 1
    assert visitor.page.locator(".um-attachment img").count() == 1
    assert len(site.model.turns) == before + 1
    assert site.model.turns[-1] == site.model.turns[-2]


def test_undo_gives_text_and_picture_back(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    visitor.press("Undo")
    visitor.page.locator(".um-answer").wait_for(state="detached")
    visitor.page.wait_for_function("document.querySelector('#um-composer textarea').value === 'segment the dog'")
    visitor.page.locator("#um-composer .submit-button").click()
    assert visitor.finished().locator(".um-mask").count() == 1


def test_clear_forgets_everything(visitor: Visitor, site: Site) -> None:
    visitor.send("hello")
    visitor.finished()
    visitor.press("Clear")
    visitor.page.locator(".um-welcome").wait_for()
    visitor.send("again")
    visitor.finished()
    assert len(site.model.turns[-1].messages) == 1


def test_clear_while_an_answer_is_written(visitor: Visitor, site: Site) -> None:
    visitor.send("endless")
    visitor.page.wait_for_function("(document.querySelector('.um-text')?.innerText ?? '').includes('word')")
    visitor.press("Clear")
    visitor.page.locator(".um-welcome").wait_for()
    assert site.script.closed.wait(60)
    visitor.send("hello")
    assert visitor.finished().locator(".um-text").inner_text() == "Yousaid:hello"


@pytest.mark.parametrize(
    "visitor", [{"locale": "en-GB"}, {"locale": "zh-CN"}, {"locale": "fr-FR"}], indirect=True, ids=lambda one: one["locale"]
)
def test_an_example_card_asks_at_once_in_every_language(visitor: Visitor, site: Site) -> None:
    """Its pictures load, and what is asked is the English sentence that it shows, for that is what the tiny model was taught."""
    chinese = visitor.page.evaluate("navigator.language").startswith("zh")
    visitor.page.locator(".um-welcome").get_by_text("给它一张图片" if chinese else "Show it a picture").wait_for()
    cards = visitor.page.locator(".example")
    offered = [text for _, text, task in EXAMPLES if task in ("", "seg")][:MOST_EXAMPLES]
    cards.nth(len(offered) - 1).wait_for()
    assert cards.count() == len(offered)
    visitor.page.wait_for_function("[...document.querySelectorAll('.example img')].every(one => one.complete && one.naturalWidth > 0)")
    cards.filter(has_text=EXAMPLES[0][1]).click()
    answer = visitor.finished()
    assert answer.locator(".um-mask").count() == 1
    assert answer.locator(".um-step-title").inner_text() == ("图像分割" if chinese else "Segmentation")
    assert visitor.page.locator(".um-attachment img").count() == 1
    assert site.model.turns[-1].messages[-1].parts[-1].text == EXAMPLES[0][1]


def test_raw_representation_on_demand(visitor: Visitor) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    visitor.page.get_by_label("Raw representation").check()
    raw = visitor.page.locator(".um-raw pre")
    raw.wait_for()
    assert f"<seg>the dog<box>{SPELT}</box></seg>" in raw.inner_text()
    visitor.page.get_by_label("Raw representation").uncheck()
    raw.wait_for(state="detached")


def test_what_a_visitor_types_is_text(visitor: Visitor) -> None:
    evil = f"<p>me</p><box>{SPELT}</box> <img src=x onerror=alert(1)> **bold**"
    visitor.send(evil)
    answer = visitor.finished()
    assert visitor.page.locator(".um-said").inner_text() == evil
    assert answer.locator(".um-box").count() == 0
    assert answer.locator("img").count() == 0


def test_nothing_too_much_and_broken_files_are_told_and_kept(visitor: Visitor, tmp_path: Path) -> None:
    notice = visitor.page.locator(".um-notice")
    visitor.page.locator("#um-composer .submit-button").click()
    notice.get_by_text("The message is empty").wait_for()
    visitor.send("x" * 10_001)
    notice.get_by_text("10,001 characters").wait_for()
    assert len(visitor.composer.input_value()) == 10_001
    broken = tmp_path / "broken.png"
    broken.write_text("this is no picture")
    visitor.attach(broken)
    visitor.send("what is this?")
    notice.get_by_text("broken.png").wait_for()
    assert visitor.composer.input_value() == "what is this?"
    assert visitor.page.locator(".um-answer").count() == 0


def test_a_failed_expert_says_why_and_the_conversation_goes_on(visitor: Visitor) -> None:
    visitor.send("broken")
    answer = visitor.finished()
    assert answer.locator(".um-step[data-status=failed]").count() == 1
    assert answer.locator(".um-error").inner_text().endswith(".")
    visitor.send("hello")
    assert visitor.finished(2).locator(".um-text").inner_text() == "Yousaid:hello"


def test_two_visitors_do_not_mix(browser: Any, site: Site) -> None:
    first, second = Visitor(browser, site.url), Visitor(browser, site.url)
    first.send("endless")
    second.send("I am the second")
    assert second.finished().locator(".um-text").inner_text() == "Yousaid:Iamthesecond"
    first.page.locator("#um-composer .stop-button").click()
    assert "second" not in first.finished().inner_text()
    for visitor in (first, second):
        visitor.context.close()
        assert visitor.errors == []


@pytest.mark.parametrize("visitor", [{"color_scheme": "dark"}], indirect=True)
def test_dark_follows_the_system_and_the_switch(visitor: Visitor) -> None:
    def brightness() -> int:
        colour = visitor.page.evaluate("getComputedStyle(document.querySelector('.gradio-container')).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    assert brightness() < 120
    visitor.page.get_by_label("Light or dark").click()
    assert brightness() > 690


def test_the_page_speaks_chinese_and_remembers_it(visitor: Visitor, tmp_path: Path) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    visitor.page.locator("[data-um=language]").click()
    visitor.page.get_by_placeholder("就一张图片提问").wait_for()
    assert "图像分割" in visitor.page.locator(".um-step-title").inner_text()
    (tmp_path / "empty.png").touch()
    visitor.attach(tmp_path / "empty.png")
    visitor.page.locator(".um-notice").get_by_text("文件是空的").wait_for()
    visitor.page.reload()
    visitor.page.locator(".um-welcome").get_by_text("给它一张图片").wait_for()
    visitor.page.locator(".example").get_by_text("分割这只狗（Segment the dog）").wait_for()
    visitor.page.locator("[data-um=language]").click()
    visitor.page.locator(".um-welcome").get_by_text("Show it a picture").wait_for()


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 390, "height": 844}, "has_touch": True}], indirect=True)
def test_a_phone_shows_everything_without_scrolling_sideways(visitor: Visitor) -> None:
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    answer = visitor.finished()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
    stage, box, label = places(answer.locator(".um-stage"), answer.locator(".um-box"), answer.locator(".um-label"))
    assert stage["width"] <= 390
    assert edges(box) == pytest.approx(expected_edges(stage), abs=SLACK_PX)
    assert label["x"] >= stage["x"] and label["x"] + label["width"] <= stage["x"] + stage["width"] + 0.5
    assert label["y"] >= stage["y"] - 0.5 and label["y"] + label["height"] <= stage["y"] + stage["height"] + 0.5
    visitor.page.get_by_label("Inspector").click()
    visitor.page.get_by_label("Raw representation").check()
    visitor.page.locator(".um-raw pre").wait_for()


def test_a_small_tall_picture_keeps_its_boxes_in_place(visitor: Visitor, tmp_path: Path) -> None:
    tall = tmp_path / "tall.png"
    Image.new("RGB", (60, 300), "teal").save(tall)
    visitor.attach(tall)
    visitor.send("segment the dog")
    answer = visitor.finished()
    shown, box = places(answer.locator(".um-stage img"), answer.locator(".um-box"))
    assert shown["width"] / shown["height"] == pytest.approx(0.2, abs=0.01)
    assert edges(box) == pytest.approx(expected_edges(shown), abs=SLACK_PX)


def test_the_first_question_waits_for_the_weights_and_can_be_stopped(
    browser: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unified_demo")

    class Slow(ScriptedModel):
        gate = threading.Event()

        def load(self) -> None:
            logging.getLogger("unified_demo.zoo").info("loading weights: 12 of 88 MB")
            self.gate.wait(120)

    engine = load_engine(Settings(media_dir=tmp_path), Slow(["Here ", "I am."]), ())
    blocks = build_chat(engine)
    _, url, _ = blocks.launch(**launch_options(engine, ServeOptions()), prevent_thread_lock=True, quiet=True)
    try:
        visitor = Visitor(browser, url, loaded=False)
        visitor.send("hello")
        visitor.page.locator(".um-waiting").get_by_text("loading weights: 12 of 88 MB").wait_for()
        visitor.page.locator("#um-composer .stop-button").click()
        assert visitor.finished().inner_text() == "Stopped before the first word."
        visitor.send("hello again")
        visitor.page.locator(".um-waiting").get_by_text("loading weights").wait_for()
        Slow.gate.set()
        assert visitor.finished(2).locator(".um-text").inner_text() == "Here I am."
        visitor.wait_for_the_model()
        visitor.context.close()
        assert visitor.errors == []
    finally:
        Slow.gate.set()
        blocks.close()


@pytest.mark.weights
def test_the_real_model_finds_and_cuts_out_a_dog(browser: Any, tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path))
    blocks = build_chat(engine)
    _, url, _ = blocks.launch(**launch_options(engine, ServeOptions()), prevent_thread_lock=True, quiet=True)
    try:
        visitor = Visitor(browser, url, patience_ms=180_000)
        visitor.attach(PHOTO)
        visitor.send("Segment the dog.")
        answer = visitor.finished()
        assert answer.get_attribute("data-state") == "done"
        assert answer.locator(".um-text").inner_text().strip()
        shown, found = places(answer.locator(".um-stage img"), answer.locator(".um-box").first)
        dog = (0.03, 0.03, 0.88, 0.96)
        want = (shown["x"] + dog[0] * shown["width"], shown["y"] + dog[1] * shown["height"])
        assert found["x"] == pytest.approx(want[0], abs=0.12 * shown["width"])
        assert found["y"] == pytest.approx(want[1], abs=0.12 * shown["height"])
        assert found["width"] == pytest.approx((dog[2] - dog[0]) * shown["width"], rel=0.2)
        assert answer.locator(".um-step[data-status=done]").count() == 1
        assert len(answer.locator(".um-mask").first.get_attribute("d")) > 100
        for raw in ("<p>", "<box>", "<seg>"):
            assert raw not in visitor.page.locator("body").inner_text()
        assert visitor.errors == []
        visitor.context.close()
    finally:
        blocks.close()
