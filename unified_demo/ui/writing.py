"""An answer is written: the engine's events folded into the visit's view, on the thread of a ``Work``; what came of it is kept.

What goes wrong becomes a sentence in the answer. Nothing is drawn here.
"""

import logging
from collections.abc import Iterator
from contextlib import closing

from unified_demo.engine import Engine, TurnCancel
from unified_demo.errors import UnifiedError
from unified_demo.messages import TaskCall
from unified_demo.ui.drawer import Drawer
from unified_demo.ui.visit import Turn, Visit
from unified_demo.ui.warmup import Warmup

log = logging.getLogger(__name__)

BROKEN_TURN = "Something went wrong while answering; the conversation is kept, please try again."


class Writer:
    """One for the page; what belongs to one visitor lies in the Visit."""

    def __init__(self, engine: Engine, warmup: Warmup, drawer: Drawer) -> None:
        self._engine = engine
        self._warmup = warmup
        self._drawer = drawer

    def write(self, turn: Turn, visit: Visit) -> Iterator[None]:
        """Write the answer, one yield per change; what came of it when it is stopped, or something fails, stays in the visit."""
        try:
            yield from self._run(turn, visit)
        except UnifiedError as exc:
            turn.view.fail(str(exc))
        except Exception:
            log.exception("the turn failed")
            turn.view.fail(BROKEN_TURN)
        finally:
            turn.cancel.set()
            self.settle(turn, visit)

    def settle(self, turn: Turn, visit: Visit) -> None:
        """Put what was said so far into the conversation and keep it; nothing when ``turn`` is no longer the visit's."""
        current = visit.turn is turn
        visit.settle(turn)
        if current:
            self._drawer.keep(visit)

    def repeat(self, call: TaskCall, answer: int, cancel: TurnCancel, visit: Visit) -> Iterator[None]:
        """Carry out one call of a complete answer once more."""
        try:
            with closing(self._engine.repeat(visit.conversation, call, visit.options, cancel)) as events:
                for happened in events:
                    visit.answers[answer].apply_again(happened)
                    yield
        finally:
            cancel.set()
            visit.settle_again()
            self._drawer.keep(visit)

    def _run(self, turn: Turn, visit: Visit) -> Iterator[None]:
        """Wait for the weights, then fold the engine's events into the view."""
        for note in self._warmup.wait(turn.cancel):
            turn.view.note = note
            yield
        if turn.cancel.is_set():
            return
        if self._warmup.error:
            raise UnifiedError(self._warmup.error)
        with closing(self._engine.respond(visit.conversation, visit.options, turn.cancel)) as events:
            for event in events:
                turn.view.apply(event)
                yield
