"""Answers that are being written, each on a thread of its own, so that they outlive a lost connection or a reload of the page.

Who goes says so where it can: the page's last word (``leaving``) means a closed tab or a reload, and a reload comes back before
anything else of it is loaded (``here``). So a closed tab stops the work after LEAVE_S, and a connection that breaks without a
word (network, sleeping phone) leaves it GRACE_S, longer than a change of network takes, shorter than a long video costs. What
was written until then is kept in any case. Files that are read for a window are not: with it, or its connection, that ends at
once. Nothing is drawn here.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from unified_demo.ui.visit import Visit

LEAVE_S = 0.9
GRACE_S = 60.0
STOP_S = 0.45
"""Longer than the engine waits for an expert that was told to stop. What is not over then (one long step of the model) is let go."""
PACE_S = 0.1
"""Changes are shown this far apart: words come faster, and a browser needs 60 ms of a core for each, which the model needs too."""
BEAT_S = 0.3
"""A page that looks on gives a sign at least this often; only then is it noticed that nobody looks any more."""


class Work:
    """One answer that is being written for ``visit``; ``cancel`` ends it. Made by ``Works.start``."""

    def __init__(self, visit: Visit, cancel: threading.Event) -> None:
        self.visit = visit
        self.key = visit.key
        self.cancel = cancel
        self._told = threading.Condition()
        self._version = 0
        self._over = False
        self._watching: list[str] = []
        self._gone: set[str] = set()
        self._arrivals = 0
        self._left_at = -1
        self._alarms: set[threading.Timer] = set()
        self._wait_for_somebody(GRACE_S)

    def watch(self, window: str = "") -> Generator[bool, None, None]:
        """Until the work is over: True when there is something new to draw, False when it only gives a sign. ``window`` looks on."""
        seen = -1
        with self._watched(window):
            while True:
                with self._told:
                    if not self._over and self._version == seen:
                        self._told.wait(BEAT_S)
                    fresh, seen, over = self._version > seen, self._version, self._over
                yield fresh
                if over:
                    return
                if fresh:
                    self.ends_within(PACE_S)

    def ends_within(self, seconds: float) -> bool:
        with self._told:
            return self._told.wait_for(lambda: self._over, seconds)

    def shared(self) -> bool:
        """Whether several windows look on."""
        return self._looking() > 1

    def here(self, window: str) -> None:
        """A page says that it comes back."""
        with self._told:
            self._gone.discard(window)
            self._arrivals += 1

    def leaving(self, window: str) -> None:
        """A page says that it goes."""
        with self._told:
            self._left_at = self._arrivals
            self._gone |= {window} - {""}
        self._wait_for_somebody(LEAVE_S)

    def changed(self, over: bool = False) -> None:
        with self._told:
            self._version += 1
            self._over = self._over or over
            if self._over:  # else each would hold a thread, and this, for a minute more
                for alarm in self._alarms:
                    alarm.cancel()
                self._alarms.clear()
            self._told.notify_all()

    @contextmanager
    def _watched(self, window: str) -> Iterator[None]:
        with self._told:
            self._arrivals += window not in self._gone
            self._watching.append(window)
        try:
            yield
        finally:
            with self._told:
                self._watching.remove(window)
                said = self._left_at == self._arrivals
            self._wait_for_somebody(LEAVE_S if said else GRACE_S)

    def _looking(self) -> int:
        """How many look on, but for windows that said that they go: Gradio may carry out what one asked for last for nobody, to its end."""
        return sum(window not in self._gone for window in self._watching)

    def _wait_for_somebody(self, seconds: float) -> None:
        """End the work when nobody came within ``seconds`` and nobody looks on."""
        arrivals = self._arrivals

        def end() -> None:
            with self._told:
                self._alarms.discard(alarm)
                nobody = not self._looking() and self._arrivals == arrivals
            if nobody:
                self.cancel.set()

        alarm = threading.Timer(seconds, end)
        alarm.daemon = True
        with self._told:
            if self._over:
                return
            self._alarms.add(alarm)
        alarm.start()


class Works:
    """The answers that are being written now, by the key of their conversation, ``places`` at a time; further ones wait. Thread-safe."""

    def __init__(self, places: int) -> None:
        self._running: dict[str, Work] = {}
        self._visits: WeakValueDictionary[str, Visit] = WeakValueDictionary()
        self._sessions: WeakValueDictionary[str, Visit] = WeakValueDictionary()
        self._places = threading.Semaphore(places)

    def enter(self, visit: Visit, session: str | None) -> None:
        """A window has opened, in this session of Gradio."""
        self._visits[visit.window] = visit
        if session:
            self._sessions[session] = visit

    def start(self, visit: Visit, cancel: threading.Event, steps: Callable[[], Iterator[Any]]) -> Work:
        """Take ``steps()`` on a thread of its own; each one is something new to draw. Its errors are its own business."""
        work = Work(visit, cancel)
        self._running[work.key] = work
        if visit.has_left():
            work.leaving(visit.window)

        def run() -> None:
            try:
                with self._places:
                    for _ in steps():
                        work.changed()
            finally:
                self.let_go(work)

        threading.Thread(target=run, name="unified_demo-answer", daemon=True).start()
        return work

    def let_go(self, work: Work) -> None:
        """It is over for all who look on, even if its thread is still in its last step."""
        if self._running.get(work.key) is work:
            del self._running[work.key]
        work.changed(over=True)

    def of(self, visit: Visit) -> Work | None:
        """What is being written for ``visit``, or for another window on which it looks."""
        work = self._running.get(visit.key)
        return work if work and work.cancel is visit.running() else None

    def at(self, owner: str, key: str) -> Work | None:
        """What is being written in the conversation ``key`` of ``owner``."""
        work = self._running.get(key)
        return work if work and work.visit.owner == owner else None

    def presence(self, key: str, word: str, window: str = "") -> None:
        """What the page script says of ``window``, as far as it knows which it is: it is ``here`` (again), or ``leaving``. A window that
        has just asked may not know the ``key`` yet, and its last word may come before its question. Both are secrets; unknown ones
        change nothing."""
        if word not in ("here", "leaving"):
            return
        visit = self._visits.get(window)
        if visit:
            visit.come_back() if word == "here" else visit.leave()
        work = self._running.get(key) or (self.of(visit) if visit else None)
        if work:
            (work.here if word == "here" else work.leaving)(window)

    def disconnected(self, session: str | None) -> None:
        """The connection of a window broke, perhaps because it went without a word: its files are read for nobody."""
        visit = self._sessions.get(session or "")
        if visit:
            visit.stop_reading()
