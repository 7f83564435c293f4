"""Listeners of the page without a browser: what is refused while an answer is being written."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import ScriptedModel
from unified_demo.messages import Conversation
from unified_demo.ui import work
from unified_demo.ui.chat import _Page
from unified_demo.ui.examples import ASSETS
from unified_demo.ui.visit import Visit


def endless(_: Conversation) -> Iterator[str]:
    return itertools.repeat("word ")


def test_a_refused_message_stops_the_answer_and_gives_the_send_button_back(tmp_path: Path) -> None:
    page = _Page(load_engine(Settings(media_dir=tmp_path), ScriptedModel(endless), ()))
    page.build()
    visit = Visit()
    list(page.send({"text": "go on and on"}, visit))
    running = page.follow(visit)
    while not (visit.turn and visit.turn.view.runs):
        next(running)
    *_, last = page.send({"text": ""}, visit)
    assert "The message is empty" in last[page.notice]
    assert last[page.composer].submit_btn is True
    assert last[page.composer].stop_btn is False
    assert len(last[page.chatbot]) == 2
    *_, end = running
    assert end == last[page.chatbot]
    assert page.rest(visit)[page.composer].submit_btn is True
    assert [view.state for view in visit.answers] == ["stopped"]


def test_what_a_step_shows_the_next_one_shows_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio's script folds the next step's differences into one that a slow browser has not shown yet: what a step took back would
    never be seen there, such as the key of the conversation, or the button that stops the answer."""
    monkeypatch.setattr(work, "BEAT_S", 0.02)
    gate = threading.Event()

    def waiting(_: Conversation) -> Iterator[str]:
        yield "now "
        gate.wait(60)
        yield "then"

    page = _Page(load_engine(Settings(media_dir=tmp_path), ScriptedModel(waiting), ()))
    page.build()
    visit = Visit()
    read, slowly = page.reader._read, threading.Event()
    monkeypatch.setattr(page.reader, "_read", lambda *given: (slowly.wait(60), read(*given))[1])
    begun = page.send({"text": "look", "files": [str(ASSETS / "dog.jpg")]}, visit)
    steps = [next(begun), next(begun)]
    slowly.set()
    for step in begun:
        steps.append(step)
    assert all(before.keys() <= after.keys() for before, after in itertools.pairwise(steps))
    assert all(step[page.composer].stop_btn is True for step in steps)
    assert visit.key and set(steps[-1]) >= {page.kept, page.chatbot, page.composer}
    looking = page.follow(visit)
    shown = [next(looking) for _ in range(5)]
    assert all(len(messages) == 2 for messages in shown)
    gate.set()
    assert "then" in str(list(looking)[-1])
