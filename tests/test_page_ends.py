"""The end of an answer, and of the conversation, in a real browser: what is clicked just then, and who is kept there."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from page_site import PHOTO, Site, Visitor, chips, drag, serve

from unified_demo.ui import chat, visit

pytestmark = pytest.mark.browser

ROOM = "document.querySelector('#um-conversation .bubble-wrap')"
REST = f"({ROOM}.scrollHeight - {ROOM}.clientHeight - {ROOM}.scrollTop)"
"""How far the conversation is from its end, in pixels."""
AT_END = f"{REST} < 10"
LATER_MS = 500
SCROLL_UP_WHEN_COMPLETE = f"""() => {{
  const look = () => {{
    window.complete = document.querySelector('.um-answer[data-state=done]') && document.querySelector('#um-composer .submit-button');
    if (window.complete) {ROOM}.scrollTop = 0; else requestAnimationFrame(look);
  }};
  look();
}}"""
low = pytest.mark.parametrize("visitor", [{"viewport": {"width": 1280, "height": 600}}], indirect=True, ids=["low"])
"""A window lower than an answer with a picture."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media")) as made:
        yield made


def press(visitor: Visitor, message: Any) -> None:
    """The button in ``message`` that makes its picture an input: down, not up again."""
    message.get_by_role("button", name="Use img-1 as input").hover()
    visitor.page.mouse.down()


@low
def test_what_is_pressed_at_the_end_is_clicked(visitor: Visitor, site: Site) -> None:
    """Though the last words push the page up before it is released."""
    site.script.gate.clear()
    visitor.attach(PHOTO)
    visitor.send("wait")
    visitor.page.locator(".um-answer .um-box").first.wait_for()
    visitor.page.wait_for_function(AT_END)
    press(visitor, visitor.page.locator(".um-answer"))
    site.script.gate.set()
    visitor.finished()
    visitor.page.wait_for_timeout(LATER_MS)
    visitor.page.mouse.up()
    chips(visitor, 1)
    visitor.page.wait_for_function(AT_END)


@low
def test_what_is_pressed_right_behind_the_end_is_clicked(visitor: Visitor, site: Site) -> None:
    """By who scrolls up in the moment in which the answer is complete."""
    visitor.page.evaluate(SCROLL_UP_WHEN_COMPLETE)
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.page.wait_for_function("window.complete")
    press(visitor, visitor.page.locator(".um-question"))
    visitor.page.wait_for_timeout(LATER_MS)
    visitor.page.mouse.up()
    chips(visitor, 1)
    assert visitor.page.evaluate(f"{ROOM}.scrollTop") < 10


@low
def test_the_end_is_followed_by_who_is_there_alone(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    visitor.send("endless")
    page = visitor.page
    grown = f"least => {ROOM}.scrollHeight > least"
    page.wait_for_function(grown, arg=page.evaluate(f"{ROOM}.scrollHeight") + 100)
    assert page.evaluate(AT_END)
    page.locator(".um-answer").last.hover()
    top = page.evaluate(f"{ROOM}.scrollTop")
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(LATER_MS)
    page.wait_for_function(grown, arg=page.evaluate(f"{ROOM}.scrollHeight") + 100)
    assert page.evaluate(f"{ROOM}.scrollTop") < top
    page.mouse.wheel(0, 100_000)
    page.wait_for_function(AT_END)
    page.wait_for_function(grown, arg=page.evaluate(f"{ROOM}.scrollHeight") + 100)
    page.wait_for_function(AT_END)
    page.locator("#um-composer .stop-button").click()
    visitor.finished(2)


@low
def test_chips_hide_nothing_of_the_end(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    answer = visitor.finished()
    visitor.page.wait_for_timeout(LATER_MS)
    height = visitor.page.evaluate(f"{ROOM}.clientHeight")
    answer.get_by_role("button", name="Use img-1 as input").click()
    chips(visitor, 1)
    assert visitor.page.evaluate(f"{ROOM}.clientHeight") < height
    visitor.page.wait_for_function(AT_END)


@low
def test_earlier_messages_come_without_a_jump_to_the_end(visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (visit, chat):
        monkeypatch.setattr(module, "WINDOW", 2)
    visitor.page.reload()
    visitor.wait_for_the_model()
    visitor.attach(PHOTO)
    visitor.send("segment the dog")
    visitor.finished()
    visitor.send("segment the dog")
    visitor.page.get_by_text("Show the 2 messages before").wait_for()
    visitor.finished()
    visitor.page.wait_for_function(AT_END)
    visitor.page.locator(".um-earlier").click()
    visitor.finished(2)
    visitor.page.wait_for_timeout(LATER_MS)
    assert visitor.page.evaluate(REST) > 100


def test_a_chip_stays_that_comes_while_the_end_of_an_answer_is_drawn(visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last drawing has begun before the click and arrives after it."""
    begun, go = threading.Event(), threading.Event()

    def slow(*facts: Any) -> Any:
        begun.set()
        go.wait(60)
        return inspector_html(*facts)

    inspector_html = chat.inspector_html
    monkeypatch.setattr(chat, "inspector_html", slow)
    visitor.attach(PHOTO)
    visitor.send("hello")
    assert begun.wait(60)
    visitor.page.get_by_role("button", name="Use img-1 as input").click()
    chips(visitor, 1)
    go.set()
    visitor.finished()
    visitor.page.wait_for_timeout(LATER_MS)
    chips(visitor, 1)


def test_a_mark_is_not_lost_while_another_is_on_its_way(visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go = threading.Event(), threading.Event()

    def slow(*_: object) -> tuple[()]:
        looking.set()
        go.wait(60)
        return ()

    monkeypatch.setattr(chat._Page, "_proposals", slow)
    visitor.attach(PHOTO)
    visitor.send("hello")
    visitor.finished()
    stage = visitor.page.locator(".um-attachment .um-stage")
    stage.click()
    assert looking.wait(60)
    drag(visitor, stage, (0.1, 0.1, 0.5, 0.5))
    visitor.page.wait_for_timeout(LATER_MS)
    go.set()
    chips(visitor, 2)


def test_what_is_typed_while_a_message_is_on_its_way_is_not_lost(visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server empties the composer when it has taken the message, and Gradio drops what is sent before that."""
    go = threading.Event()

    def slow(*message: Any) -> Any:
        go.wait(60)
        return user_message(*message)

    user_message = chat.user_message
    monkeypatch.setattr(chat, "user_message", slow)
    visitor.send("hello")
    visitor.composer.fill("what is")
    go.set()
    visitor.finished()
    visitor.page.wait_for_timeout(LATER_MS)
    assert visitor.composer.input_value() == "what is"
    go.clear()
    visitor.composer.press("Enter")
    visitor.composer.press("Enter")  # by who is impatient: it is sent once
    visitor.composer.fill("and that?")
    visitor.composer.press("Enter")
    go.set()
    assert visitor.finished(3).locator(".um-text").inner_text() == "Yousaid:andthat?"
    visitor.page.wait_for_timeout(LATER_MS)
    assert visitor.composer.input_value() == ""
    said = [question.inner_text() for question in visitor.page.locator(".um-question .um-said").all()]
    assert said == ["hello", "what is", "and that?"]


def test_a_message_at_which_the_server_failed_does_not_hold_up_the_next(
    visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def broken(*_: Any) -> Any:
        failed.set()
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(chat, "user_message", broken)
        visitor.send("hello")
        assert failed.wait(60)
        visitor.page.wait_for_timeout(LATER_MS)
    visitor.composer.fill("again")
    visitor.composer.press("Enter")
    assert visitor.finished().locator(".um-text").inner_text() == "Yousaid:again"
