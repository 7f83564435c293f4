"""A closed tab ends its work by its own last word, whatever is being done; nothing else could: here the patience with a lost connection
has no end."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_site import PHOTO, WAIT_MS, Site, Visitor, endless_video, serve

from unified_demo import media
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import MediaKind
from unified_demo.ui import work

pytestmark = pytest.mark.browser

PATIENCE_S = WAIT_MS / 1000
SLOW = FakeExpert(MediaKind.IMAGE, gate=threading.Event())
"""In its first step until it is cancelled."""
FILM = FakeExpert(MediaKind.VIDEO)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    with serve(folder / "media", (fake_spec(SLOW, "edit"), fake_spec(FILM, "vgen")), folder / "kept.sqlite") as made:
        yield made


@pytest.fixture(autouse=True)
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "GRACE_S", 3600.0)


@pytest.fixture
def visitor(browser: Any, site: Site) -> Iterator[Visitor]:
    """Its errors are not looked at: Gradio's script complains of the streams that a page breaks off which goes."""
    made = Visitor(browser, site.url)
    yield made
    made.context.close()


def close(visitor: Visitor, known: bool = True) -> None:
    """As a hand does it, once the page knows which conversation it shows, if it shall. Its last word is called out first, for a busy
    Chromium gives up a page that is slow to unload."""
    if known:
        visitor.page.wait_for_function("() => sessionStorage.getItem('um-conversation')")
    visitor.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    visitor.page.close(run_before_unload=True)


def stopped_answer(visitor: Visitor, url: str) -> Any:
    """What a new tab of the same browser finds of it."""
    page = visitor.context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Conversations").click()
    page.locator("#um-kept .um-open").click()
    answer = page.locator(".um-answer[data-state=stopped]")
    answer.wait_for()
    return answer


def test_while_words_are_written(visitor: Visitor, site: Site) -> None:
    visitor.send("endless")
    visitor.page.locator(".um-text").get_by_text("word").wait_for()
    close(visitor)
    assert site.script.closed.wait(PATIENCE_S)
    assert "word" in stopped_answer(visitor, site.url).inner_text()


def test_in_a_step_of_an_expert(visitor: Visitor, site: Site) -> None:
    visitor.attach(PHOTO)
    visitor.send("slowly")
    visitor.page.locator(".um-answer .um-text").get_by_text("done").wait_for()
    close(visitor)
    assert SLOW.requests[-1].cancel.wait(PATIENCE_S)
    answer = stopped_answer(visitor, site.url)
    assert answer.locator(".um-step").first.get_attribute("data-status") == "stopped"
    assert answer.locator(".um-text").inner_text() == "Wait.  And  done."


def test_while_a_result_is_encoded(visitor: Visitor, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate = threading.Event(), threading.Event()

    def encode(*_: Any, **__: Any) -> Any:
        begun.set()
        gate.wait(120)
        raise OSError("too late")

    monkeypatch.setattr(media.MediaStore, "add_video", encode)
    visitor.send("task vgen")
    assert begun.wait(PATIENCE_S)
    close(visitor)
    assert FILM.requests[-1].cancel.wait(PATIENCE_S)
    answer = stopped_answer(visitor, site.url)
    gate.set()
    assert answer.locator(".um-step").get_attribute("data-status") == "stopped"
    assert answer.locator(".um-text").inner_text().strip() == "On it."


def test_while_a_video_that_was_sent_is_read(visitor: Visitor, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written yet, so no word is needed: the connection is all that holds the reading."""
    film, reading = endless_video(tmp_path, monkeypatch)
    visitor.attach(film)
    turns = len(site.model.turns)
    visitor.send("what happens here?")
    visitor.page.locator("#um-notices").get_by_text("reading the files").wait_for()
    assert reading
    visitor.page.close(run_before_unload=True)
    wait_until_unread(reading)
    assert len(site.model.turns) == turns


@pytest.mark.parametrize("told", [True, False], ids=["by its word", "by its connection"])
def test_while_a_video_that_was_not_sent_is_read(
    visitor: Visitor, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    film, reading = endless_video(tmp_path, monkeypatch)
    visitor.attach(film)
    wait_for(lambda: bool(reading), "the file is not read")
    if not told:
        visitor.page.evaluate("() => { navigator.sendBeacon = () => true; }")
    close(visitor, known=False)
    wait_until_unread(reading)


def test_before_the_page_knows_its_conversation(visitor: Visitor, site: Site) -> None:
    """As between a question and the first sign of its answer."""
    visitor.page.evaluate("() => { Storage.prototype.setItem = () => {}; }")
    visitor.send("endless")
    visitor.page.locator(".um-text").get_by_text("word").wait_for()
    assert visitor.page.evaluate("sessionStorage.getItem('um-conversation')") is None
    close(visitor, known=False)
    assert site.script.closed.wait(PATIENCE_S)


def wait_for(happened: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert happened(), otherwise


def wait_until_unread(reading: list[int]) -> None:
    wait_for(lambda: not reading, "the file is still being read")
