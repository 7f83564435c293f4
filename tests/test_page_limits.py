"""Bad and odd input: each gets one clear sentence, and what else stood in the composer or the conversation stays."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_site import PHOTO, Site, Visitor, serve

from unified_demo.messages import MediaPart

pytestmark = pytest.mark.browser

MB = 2**20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("media")) as made:
        yield made


@pytest.fixture
def visitor(browser: Any, site: Site) -> Iterator[Visitor]:
    made = Visitor(browser, site.url)
    made.composer.fill("hello")
    yield made
    assert made.composer.input_value() in ("hello", "")
    made.context.close()
    assert made.errors == []


def choose(visitor: Visitor, *files: Path) -> None:
    visitor.page.locator("#um-composer input[type=file]").first.set_input_files([str(file) for file in files])


def test_fifty_files_at_once(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    files = [Path(shutil.copy(PHOTO, tmp_path / f"{number}.jpg")) for number in range(50)]
    choose(visitor, *files)
    notice = visitor.page.locator(".um-notice").get_by_text("50 files were sent; at most 8")
    notice.wait_for()
    assert visitor.page.locator(".um-draft").count() == 8
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.finished()
    assert len([part for part in site.model.turns[-1].messages[-1].parts if isinstance(part, MediaPart)]) == 8
    notice.wait_for()


def test_five_hundred_megabytes(visitor: Visitor, tmp_path: Path) -> None:
    with (tmp_path / "long.mp4").open("wb") as file:
        file.truncate(500 * MB)
    choose(visitor, tmp_path / "long.mp4")
    visitor.page.get_by_text("exceed the maximum allowed size of 200").wait_for()
    assert visitor.composer.input_value() == "hello"


def test_nothing_in_a_file(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    choose(visitor, tmp_path / "empty.png", PHOTO)
    visitor.page.locator(".um-notice").get_by_text("empty.png: The file is empty (0 bytes)").wait_for()
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.finished()
    assert visitor.page.locator(".um-attachment").count() == 1


def test_a_file_that_vanishes_while_it_is_sent(visitor: Visitor, tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    gone.write_bytes(os.urandom(MB))

    def vanish(route: Any) -> None:
        gone.unlink(missing_ok=True)
        route.continue_()

    visitor.page.route("**/upload*", vanish)
    choose(visitor, gone)
    visitor.page.locator(".um-notice").get_by_text("The file did not arrive").wait_for()
    assert visitor.composer.input_value() == "hello"
    visitor.page.unroute("**/upload*")
    assert any("ERR_FILE_NOT_FOUND" in error for error in visitor.errors), "the file was there after all"
    visitor.errors.clear()
    visitor.attach(PHOTO)
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.finished()


def test_two_messages_in_a_row(visitor: Visitor, site: Site) -> None:
    visitor.send("endless")
    visitor.page.wait_for_function("(document.querySelector('.um-text')?.innerText ?? '').includes('word')")
    visitor.composer.fill("hello")
    visitor.composer.press("Enter")
    assert visitor.finished(2).locator(".um-text").inner_text() == "Yousaid:hello"
    first = visitor.page.locator(".um-answer").first
    assert first.get_attribute("data-state") == "stopped"
    assert "word" in first.inner_text()
    assert site.script.closed.wait(60)


def test_each_message_ends_the_answer_before_it(visitor: Visitor, site: Site) -> None:
    """The page script does nothing for it: Gradio sends at Enter, and who sends stops what is being written."""
    for number, text in enumerate(("endless", "endless too", "endless as well", "hello"), 1):
        visitor.composer.fill(text)
        visitor.composer.press("Enter")
        visitor.page.wait_for_function("count => document.querySelectorAll('.um-answer').length === count", arg=number)
    assert visitor.finished(4).locator(".um-text").inner_text() == "Yousaid:hello"
    states = [answer.get_attribute("data-state") for answer in visitor.page.locator(".um-answer").all()]
    assert states == ["stopped", "stopped", "stopped", "done"]


@pytest.mark.parametrize("text", ["🦊👩‍👩‍👧‍👦 emoji ✨", "مرحبا بالعالم (hello) שלום", "x" * 10_000], ids=["emoji", "rtl", "long"])
def test_odd_and_long_text_arrives_as_it_was_typed(visitor: Visitor, site: Site, text: str) -> None:
    visitor.send(text)
    visitor.finished()
    assert visitor.page.locator(".um-said").inner_text() == text
    assert site.model.turns[-1].messages[-1].parts[0].text == text
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_session_of_twenty_messages(visitor: Visitor, site: Site) -> None:
    """No console error in all of it, which the fixture looks at."""
    for number in range(10):
        if number % 4 == 0:
            visitor.attach(PHOTO)
        visitor.send("segment the dog" if number % 2 else f"hello {number}")
        visitor.finished(number + 1)
    assert len(site.model.turns[-1].messages) == 19
    assert visitor.page.locator(".um-answer .um-mask").count() == 5
