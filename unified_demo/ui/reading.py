"""The files of the composer are read and stored: at once for the marks, or watched when they are sent, for a long video takes its time.

Newer files, or stop, end it within a frame. What was wrong with a file is told by who sends it.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for

from unified_demo.engine import Engine
from unified_demo.intake import read_uploads
from unified_demo.ui.visit import Visit
from unified_demo.ui.work import BEAT_S

READERS = 4
"""Messages whose files are read at the same time."""


class Reader:
    """One for the page. What was read becomes the visit's drafts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(READERS, "unified_demo-reader")

    def read(self, files: list[str], visit: Visit) -> list[str]:
        """Read now; returns a complaint for each file that cannot be used. Nothing changes when it was ended."""
        return self._read(files, visit, visit.begin_peeking())

    def watch(self, files: list[str], visit: Visit, cancel: threading.Event) -> Iterator[None]:
        """Yields a sign now and then until all is read, or ``cancel`` is set; closing ends the reading."""
        if not files:
            return
        job = self._pool.submit(self._read, files, visit, cancel)
        try:
            while job not in wait_for([job], BEAT_S).done and not cancel.is_set():
                yield
        finally:
            if not job.done():
                cancel.set()

    def _read(self, files: list[str], visit: Visit, cancel: threading.Event) -> list[str]:
        limits = self._engine.settings.limits
        found, complaints = read_uploads(files, visit.base(), self._engine.store, limits, visit.stored(), cancel)
        if not cancel.is_set():
            visit.attach(dict(found))
        return complaints
