"""Answers outlive the page that asked for them, for as long as somebody may come back."""

import gc
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from unified_demo.messages import Message, TextPart
from unified_demo.ui import work
from unified_demo.ui.visit import Visit
from unified_demo.ui.work import Work, Works

PATIENCE_S = 20.0


@pytest.fixture
def visit() -> Visit:
    made = Visit(owner="ann")
    made.begin(Message("user", (TextPart("hello"),)))
    return made


@pytest.fixture
def works() -> Works:
    return Works(4)


def begin(works: Works, visit: Visit, go_on: threading.Event | None = None) -> tuple[Work, threading.Event]:
    """Work of three steps that waits for ``go_on`` before the last; without it, it goes on until it is cancelled."""
    cancel = threading.Event()

    def steps() -> Iterator[None]:
        yield
        yield
        while not cancel.is_set() and not (go_on and go_on.is_set()):
            time.sleep(0.005)
        yield

    return works.start(visit, cancel, steps), cancel


def test_who_looks_on_sees_every_change_or_the_last_and_then_the_end(works: Works, visit: Visit) -> None:
    go_on = threading.Event()
    made, cancel = begin(works, visit, go_on)
    looking = made.watch()
    assert next(looking) in (True, False)
    go_on.set()
    assert list(looking)[-1] is True
    assert not cancel.is_set()
    assert works.of(visit) is None


def test_a_broken_connection_leaves_the_work_alone_and_a_second_page_sees_its_end(works: Works, visit: Visit) -> None:
    go_on = threading.Event()
    made, cancel = begin(works, visit, go_on)
    first = made.watch()
    next(first)
    first.close()
    time.sleep(0.05)
    assert not cancel.is_set()
    assert works.at("ann", visit.key) is made
    second = made.watch()
    next(second)
    go_on.set()
    assert list(second)
    assert not cancel.is_set()


def test_nobody_for_a_while_stops_the_work(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "GRACE_S", 0.02)
    made, cancel = begin(works, visit)
    looking = made.watch()
    next(looking)
    looking.close()
    assert cancel.wait(PATIENCE_S)


@pytest.mark.parametrize("order", ["word first", "connection first"])
def test_a_closed_page_says_so_and_stops_the_work(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(work, "LEAVE_S", 0.02)
    made, cancel = begin(works, visit)
    looking = made.watch()
    next(looking)
    steps = [lambda: works.presence(visit.key, "leaving"), looking.close]
    for step in steps if order == "word first" else reversed(steps):
        step()
    assert cancel.wait(PATIENCE_S)


@pytest.mark.parametrize("order", ["request first", "word first"])
def test_a_window_that_goes_holds_nothing(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """Nobody closes a request to look on that reached Gradio as its window went."""
    monkeypatch.setattr(work, "LEAVE_S", 0.5)
    made, cancel = begin(works, visit)
    looking = made.watch(visit.window)
    if order == "request first":
        next(looking)
    works.presence(visit.key, "leaving", visit.window)
    next(looking)
    assert cancel.wait(PATIENCE_S)
    assert list(looking)[-1] is True


def test_a_window_that_goes_takes_no_other_with_it(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LEAVE_S", 0.02)
    made, cancel = begin(works, visit)
    looking = made.watch("first")
    next(looking)
    works.presence(visit.key, "leaving", "second")
    time.sleep(0.2)
    assert not cancel.is_set()
    cancel.set()


def test_a_closed_page_ends_the_work_within_a_second(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the delays that are asked for, not by a clock: the first alarm after the page's word ends it, if its connection is known to be
    gone by then, which shows at the next sign that is sent."""
    alarms: list[tuple[float, Callable[[], None]]] = []

    class Alarm(threading.Thread):
        def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
            super().__init__()
            alarms.append((seconds, ring))

        def cancel(self) -> None:
            """The answer is over."""

    monkeypatch.setattr(threading, "Timer", Alarm)
    made, cancel = begin(works, visit)
    looking = made.watch()
    next(looking)
    alarms.clear()
    works.presence(visit.key, "leaving")
    looking.close()
    (delay, ring), *_ = alarms
    assert work.BEAT_S + work.PACE_S < delay < 1
    assert not cancel.is_set()
    ring()
    assert cancel.is_set()


def test_a_reloaded_page_is_here_again_in_time(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LEAVE_S", 0.2)
    made, cancel = begin(works, visit)
    looking = made.watch()
    next(looking)
    works.presence(visit.key, "leaving")
    looking.close()
    works.presence(visit.key, "here")
    time.sleep(0.5)
    assert not cancel.is_set()
    cancel.set()


def test_another_window_keeps_the_work_alive(works: Works, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LEAVE_S", 0.02)
    made, cancel = begin(works, visit)
    first, second = made.watch(), made.watch()
    next(first), next(second)
    works.presence(visit.key, "leaving")
    first.close()
    time.sleep(0.2)
    assert not cancel.is_set()
    cancel.set()


def test_strangers_and_wrong_words_change_nothing(works: Works, visit: Visit) -> None:
    _, cancel = begin(works, visit)
    assert works.at("bob", visit.key) is None
    works.presence("another key", "leaving")
    works.presence(visit.key, "nonsense")
    assert not cancel.is_set()
    cancel.set()


@pytest.mark.parametrize("order", ["question first", "word first"])
def test_a_window_that_asks_and_goes_at_once(works: Works, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """It does not know the key of the conversation yet, and its word may be faster than its question."""
    monkeypatch.setattr(work, "LEAVE_S", 0.02)
    visit = Visit(owner="ann")
    works.enter(visit, "session")
    turn = visit.begin(Message("user", (TextPart("hello"),)))

    def ask() -> None:
        works.start(visit, turn.cancel, lambda: iter(turn.cancel.wait, True))

    steps = [ask, lambda: works.presence("", "leaving", visit.window)]
    for step in steps if order == "question first" else reversed(steps):
        step()
    assert turn.cancel.wait(PATIENCE_S)


@pytest.mark.parametrize("begin_reading", [Visit.begin_peeking, Visit.begin_reading])
def test_files_of_a_window_that_went_are_read_no_further(works: Works, begin_reading: Callable[[Visit], threading.Event]) -> None:
    visit = Visit(owner="ann")
    works.enter(visit, "session")
    before = begin_reading(visit)
    works.presence("", "leaving", visit.window)
    assert before.is_set()
    assert begin_reading(visit).is_set(), "asked for with its last breath"
    works.presence("", "here", visit.window)
    assert not begin_reading(visit).is_set(), "the browser shows the page again"


def test_files_of_a_window_whose_connection_broke_are_read_no_further(works: Works) -> None:
    visit = Visit(owner="ann")
    works.enter(visit, "session")
    before = visit.begin_peeking()
    works.disconnected("another session")
    assert not before.is_set()
    works.disconnected("session")
    assert before.is_set()
    assert not visit.begin_peeking().is_set(), "it may be connected again"


def test_windows_that_are_gone_are_forgotten(works: Works) -> None:
    visit = Visit(owner="ann")
    window = visit.window
    works.enter(visit, "session")
    del visit
    gc.collect()
    works.presence("", "leaving", window)
    works.disconnected("session")
    assert not works._visits
    assert not works._sessions


def test_nothing_waits_for_a_page_once_the_answer_is_over(works: Works, visit: Visit) -> None:
    """Each answer left a thread behind for a minute, and what it held."""
    before = {one for one in threading.enumerate() if isinstance(one, threading.Timer)}
    go_on = threading.Event()
    made, _ = begin(works, visit, go_on)
    first = made.watch()
    next(first)
    first.close()
    waiting = {one for one in threading.enumerate() if isinstance(one, threading.Timer)} - before
    assert waiting
    go_on.set()
    assert list(made.watch())
    for alarm in waiting:
        alarm.join(PATIENCE_S)
        assert not alarm.is_alive()
