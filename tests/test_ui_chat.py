"""Listeners of the page without a browser: what is refused while an answer is being written."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import ScriptedModel
from unified_demo.messages import Conversation
from unified_demo.ui.chat import _Page
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
