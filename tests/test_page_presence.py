"""Lost connections, reloads and closed tabs while an answer is being written."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from page_site import PHOTO, Site, Visitor, serve

from unified_demo.ui import work

pytestmark = pytest.mark.browser

LONG_S = 60.0


class Wire:
    """A connection to ``url`` at ``self.url`` that can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._target = ("127.0.0.1", int(url.rstrip("/").rsplit(":", 1)[1]))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.whole = True
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.whole = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            if not self.whole:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A reload may take its time here: the machine is busy."""
    monkeypatch.setattr(work, "LEAVE_S", LONG_S)
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as made:
        yield made


def ask(visitor: Visitor, site: Site) -> None:
    """A question whose answer waits in the middle, at the gate of the script."""
    site.script.gate.clear()
    visitor.attach(PHOTO)
    visitor.send("wait for it")
    visitor.page.locator(".um-answer .um-box").wait_for()


def test_a_reload_in_the_middle_shows_the_answer_going_on(browser: Any, site: Site) -> None:
    visitor = Visitor(browser, site.url)
    ask(visitor, site)
    visitor.composer.fill("the next question")
    visitor.page.reload()
    visitor.errors.clear()  # Gradio's script complains of the stream that the leaving page breaks off
    visitor.page.locator(".um-answer[data-state=streaming] .um-box").wait_for()
    visitor.page.locator("#um-composer .stop-button").wait_for()
    assert visitor.composer.input_value() == "the next question"
    site.script.gate.set()
    assert visitor.finished().locator(".um-text").inner_text() == "Here is the dog and the rest."
    assert len(site.model.turns) == 1
    visitor.context.close()
    assert visitor.errors == []


def test_a_lost_connection_ends_nothing_and_the_page_comes_back_by_itself(browser: Any, site: Site) -> None:
    wire = Wire(site.url)
    visitor = Visitor(browser, wire.url)
    ask(visitor, site)
    wire.cut()
    visitor.page.get_by_text("Connection to the server was lost").wait_for()
    site.script.gate.set()
    wire.whole = True
    visitor.page.get_by_text("Connection to the server was lost").wait_for(state="detached")
    assert visitor.finished().locator(".um-text").inner_text() == "Here is the dog and the rest."
    assert len(site.model.turns) == 1
    visitor.context.close()


def test_a_closed_tab_stops_the_work_and_keeps_what_was_said(browser: Any, tmp_path: Path) -> None:
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site:
        visitor = Visitor(browser, site.url)
        visitor.send("endless")
        visitor.page.wait_for_function("(document.querySelector('.um-text')?.innerText ?? '').includes('word')")
        before = threading.active_count()
        visitor.page.close(run_before_unload=True)
        assert site.script.closed.wait(work.GRACE_S / 2), "only the patience with a lost connection ended it"
        again = visitor.context.new_page()
        again.goto(site.url)
        again.get_by_role("button", name="Conversations").click()
        again.locator("#um-kept .um-open").click()
        again.locator(".um-answer[data-state=stopped]").get_by_text("word").wait_for()
        assert threading.active_count() <= before + 2
        visitor.context.close()


def test_two_windows_of_one_visitor(browser: Any, site: Site) -> None:
    """They look on at one answer and either can stop it; when both go on afterwards, the conversation becomes two."""
    visitor = Visitor(browser, site.url)
    ask(visitor, site)
    second = visitor.context.new_page()
    second.goto(site.url)
    second.get_by_role("button", name="Conversations").click()
    second.locator("#um-kept .um-open").click()
    second.locator(".um-answer[data-state=streaming] .um-box").wait_for()
    second.locator("#um-composer .stop-button").click()
    second.locator(".um-answer[data-state=stopped]").wait_for()
    assert visitor.finished().get_attribute("data-state") == "stopped"
    site.script.gate.set()
    second.locator("#um-composer textarea").fill("hello")
    second.locator("#um-composer .submit-button").click()
    second.get_by_text("Yousaid:hello").wait_for()
    assert len(site.model.turns[-1].messages) == 3
    assert second.locator("#um-kept .um-open").count() == 1
    visitor.send("and here")
    assert visitor.finished(2).locator(".um-text").inner_text() == "Yousaid:andhere"
    assert [part.text for part in site.model.turns[-1].messages[-1].parts] == ["and here"]
    assert visitor.page.locator("#um-kept .um-open").count() == 2
    visitor.context.close()
    assert visitor.errors == []
