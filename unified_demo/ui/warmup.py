"""Loads the model in the background while the page is already served, and says how far it is.

The note is the last line that the package logged while loading. One warm-up per process; nothing here draws.
"""

import logging
import threading
from collections.abc import Iterator
from typing import Literal

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError

log = logging.getLogger(__name__)

LOADING = "loading weights …"
_BEAT_S = 0.2


class Warmup:
    """``start`` once; ``state`` tells the rest. After a failure the next question, in ``wait``, tries again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._done = threading.Event()
        self.state: Literal["idle", "loading", "ready", "failed"] = "idle"
        self.note = LOADING
        self.error = ""

    def start(self, again: bool = False) -> None:
        """Nothing happens when it is under way or done, nor after a failure, unless it shall be tried ``again``."""
        with self._lock:
            if self.state in ("loading", "ready") or (self.state == "failed" and not again):
                return
            self.state, self.note, self.error = "loading", LOADING, ""
            self._done.clear()
            threading.Thread(target=self._load, name="unified_demo-warmup", daemon=True).start()

    def wait(self, cancel: threading.Event) -> Iterator[str]:
        """Yields the note about five times a second until the weights are there, loading failed, or ``cancel`` is set."""
        self.start(again=True)
        while not self._done.wait(_BEAT_S) and not cancel.is_set():
            yield self.note

    def _load(self) -> None:
        listener = _Listener(self)
        logging.getLogger("unified_demo").addHandler(listener)
        try:
            self._engine.load()
            self.state = "ready"
        except UnifiedError as exc:
            log.warning("the model did not load: %s", exc)
            self.state, self.error = "failed", str(exc)
        except (OSError, ImportError, MemoryError, RuntimeError, ValueError) as exc:
            log.exception("the model did not load")
            self.state, self.error = "failed", f"The model could not be loaded ({type(exc).__name__}: {exc}); see the server's log."
        finally:
            logging.getLogger("unified_demo").removeHandler(listener)
            self._done.set()


class _Listener(logging.Handler):
    def __init__(self, warmup: Warmup) -> None:
        super().__init__(logging.INFO)
        self._warmup = warmup

    def emit(self, record: logging.LogRecord) -> None:
        self._warmup.note = record.getMessage()[:120]
