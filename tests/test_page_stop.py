"""Stop in every phase of an answer. What works at that moment hears nothing until the test opens a gate, so that a page that
waited for it would never come back."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_site import PHOTO, Site, Visitor, endless_video, serve

from unified_demo import media
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import MediaKind

pytestmark = pytest.mark.browser


class Deaf(FakeExpert):
    """Works at one step until the gate is opened, whatever it is told."""

    def _wait(self, step: int, cancel: threading.Event) -> bool:
        assert self.gate
        return not self.gate.wait(120)


DEAF = Deaf(MediaKind.IMAGE, gate=threading.Event())
FILM = FakeExpert(MediaKind.VIDEO)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    experts = (fake_spec(DEAF, "edit"), fake_spec(FakeExpert(MediaKind.IMAGE), "gen"), fake_spec(FILM, "vgen"))
    with serve(tmp_path_factory.mktemp("media"), experts) as made:
        yield made


def stop(visitor: Visitor) -> None:
    visitor.page.locator("#um-composer .stop-button").click()


def test_while_the_prompt_is_read(visitor: Visitor, site: Site) -> None:
    site.script.gate.clear()
    visitor.send("ponder")
    visitor.page.locator(".um-waiting").wait_for()
    stop(visitor)
    assert visitor.finished().inner_text() == "Stopped before the first word."
    site.script.gate.set()
    visitor.send("hello")
    assert visitor.finished(2).locator(".um-text").inner_text() == "Yousaid:hello"
    assert visitor.page.locator(".um-answer").first.inner_text() == "Stopped before the first word."


def test_while_a_word_is_sought(visitor: Visitor, site: Site) -> None:
    site.script.gate.clear()
    visitor.attach(PHOTO)
    visitor.send("wait for it")
    visitor.page.locator(".um-answer .um-box").wait_for()
    stop(visitor)
    answer = visitor.finished()
    site.script.gate.set()
    assert answer.get_attribute("data-state") == "stopped"
    assert answer.locator(".um-text").inner_text() == "Here is the dog and"
    assert answer.locator(".um-box").count() == 1


def test_while_an_expert_is_in_a_step(visitor: Visitor) -> None:
    assert DEAF.gate
    DEAF.gate.clear()
    visitor.attach(PHOTO)
    visitor.send("slowly")
    visitor.page.locator(".um-answer .um-text").get_by_text("done").wait_for()
    stop(visitor)
    answer = visitor.finished()
    DEAF.gate.set()
    assert answer.locator(".um-text").inner_text() == "Wait.  And  done."
    assert [step.get_attribute("data-status") for step in answer.locator(".um-step").all()] == ["stopped", "stopped"]
    assert answer.locator(".um-output").count() == 0


def test_while_a_result_is_encoded(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate = threading.Event(), threading.Event()

    def encode(*_: Any, **__: Any) -> Any:
        begun.set()
        gate.wait(120)
        raise OSError("too late")

    monkeypatch.setattr(media.MediaStore, "add_video", encode)
    visitor.send("draw a fox")
    assert begun.wait(60)
    stop(visitor)
    answer = visitor.finished()
    gate.set()
    assert [step.get_attribute("data-status") for step in answer.locator(".um-step").all()] == ["done", "stopped", "stopped"]
    assert answer.locator(".um-output img").count() == 1


def test_while_a_video_that_was_sent_is_read(visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, reading = endless_video(tmp_path, monkeypatch)
    visitor.attach(film)
    visitor.send("what happens here?")
    visitor.page.locator("#um-notices").get_by_text("reading the files").wait_for()
    stop(visitor)
    visitor.page.locator("#um-notices").get_by_text("the message waits in the composer").wait_for()
    visitor.page.locator("#um-composer .submit-button").wait_for()
    assert visitor.composer.input_value() == "what happens here?"
    assert visitor.page.locator("#um-composer .thumbnail-item, #um-composer .thumbnail-image").count() == 1
    deadline = time.monotonic() + 60
    while reading and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not reading, "the file is still being read"
    monkeypatch.undo()
    visitor.page.locator("#um-composer .submit-button").click()
    visitor.finished()
    assert visitor.page.locator(".um-attachment video").count() == 1
