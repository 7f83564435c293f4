"""Which experts exist and which are in memory: loaded on first use, one lock each, unloaded by least recent use.

The registry keeps the sum of ``ExpertSpec.memory_bytes`` of loaded experts under a budget. On an accelerator the least recently used
one that can move waits in main memory (parked) as long as there is room, then on disk. It knows nothing of what an expert does;
validation of calls is the router's business.
"""

import gc
import itertools
import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from unified_demo.errors import ModelLoadError, RoutingError, UnifiedError
from unified_demo.experts.base import Expert, ExpertSpec
from unified_demo.messages import Artefact

log = logging.getLogger(__name__)

WAIT_FOR_MEMORY_S = 120.0
"""How long a load waits for a running expert to finish when its memory is needed."""


class _Slot:
    """One expert: its spec, its lock, and the loaded model or None. ``users`` counts requests that hold it; ``parked``: it is loaded,
    but waits in main memory."""

    def __init__(self, spec: ExpertSpec) -> None:
        self.spec = spec
        self.lock = threading.RLock()
        self.expert: Expert | None = None
        self.users = 0
        self.last_used = 0
        self.parked = False


class ExpertRegistry:
    """Thread-safe. An expert serves one request at a time; different experts run side by side."""

    def __init__(self, specs: Sequence[ExpertSpec], max_memory_bytes: int, parked_bytes: int = 0, device: str = "cpu") -> None:
        """``parked_bytes``: what may wait in main memory while ``device`` is an accelerator."""
        self._slots = {spec.task: _Slot(spec) for spec in specs}
        if len(self._slots) != len(specs):
            raise ModelLoadError(f"Two experts are declared for one task among {[spec.task for spec in specs]}; keep one for each.")
        self._max_memory_bytes, self._parked_bytes, self.device = max_memory_bytes, parked_bytes, device
        self._loading = threading.RLock()
        self._clock = itertools.count(1)

    def tasks(self) -> tuple[str, ...]:
        """Tags of the tasks that have an expert, in the order given."""
        return tuple(self._slots)

    def spec(self, task: str) -> ExpertSpec:
        return self._slot(task).spec

    def loaded(self) -> tuple[str, ...]:
        """Tasks whose expert is ready to work, least recently used first."""
        return tuple(slot.spec.task for slot in self._by_use() if not slot.parked)

    def parked(self) -> tuple[str, ...]:
        """Tasks whose expert waits in main memory, least recently used first."""
        return tuple(slot.spec.task for slot in self._by_use() if slot.parked)

    @contextmanager
    def acquire(self, task: str) -> Iterator[Expert]:
        """Hold the loaded expert of a task; waits while another request uses it.

        Raises RoutingError for an unknown task and whatever the loader raises; a failed load is tried again next time.
        """
        slot = self._slot(task)
        with slot.lock:
            slot.users += 1
            try:
                yield self._loaded_expert(slot)
            finally:
                slot.users -= 1
                slot.last_used = next(self._clock)

    def prepare(self, task: str, inputs: Sequence[Artefact] = ()) -> None:
        """Load the expert early and let it look at its inputs; a failure is logged and shows again in the real call."""
        try:
            with self.acquire(task) as expert:
                early = getattr(expert, "prepare", None)
                if early is not None:
                    early(tuple(inputs))
        except (UnifiedError, OSError, RuntimeError, ValueError) as exc:
            log.warning("'%s' could not be prepared: %s", task, exc)

    def relieve(self, task: str) -> bool:
        """Memory ran out while ``task`` worked: the largest idle expert leaves. False when there is none."""
        with self._loading:
            idle = [self._slot(other) for other in self.loaded() if other != task]
            for slot in sorted(idle, key=lambda slot: slot.spec.memory_bytes, reverse=True):
                self._leave(slot, 0.0)
                if slot.expert is None or slot.parked:
                    return True
        _empty_cache()
        return False

    def _by_use(self) -> list[_Slot]:
        return sorted((slot for slot in self._slots.values() if slot.expert is not None), key=lambda slot: slot.last_used)

    def _slot(self, task: str) -> _Slot:
        if task not in self._slots:
            known = ", ".join(self._slots) or "none"
            raise RoutingError(f"There is no expert for the task '{task}'; available are: {known}.")
        return self._slots[task]

    def _loaded_expert(self, slot: _Slot) -> Expert:
        slot.last_used = next(self._clock)
        if slot.expert is None or slot.parked:
            with self._loading:
                self._make_room(slot.spec)
                started = time.monotonic()
                if slot.expert is None:
                    slot.expert = slot.spec.load()
                else:
                    slot.expert.move_to(self.device)  # type: ignore[attr-defined]
                    slot.parked = False
                log.info("loaded %s in %.1f s", slot.spec.name, time.monotonic() - started)
        return slot.expert

    def _make_room(self, wanted: ExpertSpec) -> None:
        """Unload least recently used experts until ``wanted`` fits; idle ones first, then wait for running ones."""
        if wanted.memory_bytes > self._max_memory_bytes:
            need, budget = wanted.memory_bytes / 2**30, self._max_memory_bytes / 2**30
            raise ModelLoadError(
                f"{wanted.name} needs {need:.1f} GB and the memory budget of experts is {budget:.1f} GB; raise --max-memory, use "
                "--offload, or choose a smaller expert."
            )
        for patience in (0.0, WAIT_FOR_MEMORY_S):
            for task in self.loaded():
                if self._held_bytes() + wanted.memory_bytes <= self._max_memory_bytes:
                    return
                self._leave(self._slots[task], patience)
        if self._held_bytes() + wanted.memory_bytes > self._max_memory_bytes:
            raise ModelLoadError(
                f"{wanted.name} does not fit beside the experts now running ({', '.join(self.loaded())}); try again later."
            )

    def _held_bytes(self) -> int:
        return sum(slot.spec.memory_bytes for slot in self._by_use() if not slot.parked)

    def _leave(self, slot: _Slot, patience_s: float) -> None:
        """The expert makes room if it is idle within ``patience_s``: to main memory where it can and may, else altogether."""
        if not slot.lock.acquire(timeout=patience_s):
            return
        try:
            if slot.users:
                return
            if self._may_park(slot):
                slot.expert.move_to("cpu")  # type: ignore[union-attr]
                slot.parked = True
            else:
                slot.expert = None
        finally:
            slot.lock.release()
        _empty_cache()
        log.info("%s %s", "parked" if slot.parked else "unloaded", slot.spec.name)

    def _may_park(self, slot: _Slot) -> bool:
        """Whether main memory takes it, after those that wait longest there have left; one that is about to work again leaves anyway."""
        if self.device == "cpu" or not hasattr(slot.expert, "move_to"):
            return False
        waiting = [other for other in self._by_use() if other.parked and not other.users]
        room = self._parked_bytes - slot.spec.memory_bytes
        while waiting and sum(other.spec.memory_bytes for other in waiting) > room >= 0:
            longest = waiting.pop(0)
            longest.expert, longest.parked = None, False
        return sum(other.spec.memory_bytes for other in waiting) <= room


def _empty_cache() -> None:
    """Hands freed memory back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
