"""The engine: one turn of a conversation, from the user's message to a stream of events. Stateless between turns.

Text is generated in the caller's thread; a task call runs in a worker thread of the turn from the moment its close
tag is parsed, so text and experts overlap. Closing the iterator, or setting ``cancel``, stops both within one step.
It renders nothing, opens no page and knows neither the model's nor the experts' insides.
"""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, Protocol

from unified_demo.config import GenerationOptions, Settings
from unified_demo.errors import UnifiedError
from unified_demo.experts.base import Output, Progress
from unified_demo.grammar import TASK_TAGS, Box, MediaKind
from unified_demo.intake import NOTHING_SENT, check_text
from unified_demo.marked import about_the_mark
from unified_demo.media import MediaStore
from unified_demo.messages import (
    Artefact,
    CallDone,
    CallFailed,
    CallProgress,
    CallStarted,
    Conversation,
    Event,
    GrammarWarning,
    ParserEvent,
    RegionFound,
    TaskCall,
    TextDelta,
    TextPart,
    TurnDone,
)
from unified_demo.model_facts import ModelFacts
from unified_demo.parser import StreamParser
from unified_demo.remembered import shown_after
from unified_demo.router import Router, missing_kind
from unified_demo.turn import TurnBuilder
from unified_demo.unread import speaks_of_what_came, unread_sentence

log = logging.getLogger(__name__)

MADE_WITH = "UnifiedMLLM Demo, by machine (trainedAlgorithmicMedia)"
"""Stands in the metadata of every output; the word in brackets is IPTC's for what a trained model made."""
STOPPED = "stopped"
UNFINISHED = "the call was not written to its end; ask again"
_POLL_S = 0.02
_STOP_GRACE_S = 0.3
"""How long a stopped turn waits for its expert to notice; the thread then ends by itself after its current step."""


class LanguageBackend(Protocol):
    """What the engine needs of a model.

    ``load`` is idempotent and thread-safe. ``generate`` yields surface text and returns timings
    ({"prefill_s", "decode_s", "tokens", ...}); it ends within one step once ``cancel`` is set. Generators of several
    turns are advanced alternately, one step at a time and maybe from changing threads: keep all state inside
    the generator, and no thread-local mode (``inference_mode``) open across a ``yield``. One that has ``reads``, a tuple of media
    kinds, is not asked about others (``unread.py``), unless its ``wants_something_new(conversation)`` says that they do not matter.
    """

    def load(self) -> None: ...

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]: ...


class TurnCancel(threading.Event):
    """Ends a turn when it is set, and with it all of its calls; ``of_call`` ends one call alone."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._calls: dict[int, threading.Event] = {}

    def of_call(self, index: int) -> threading.Event:
        """The flag of the call with this number; it may be asked for, and set, before the call is written."""
        with self._guard:
            flag = self._calls.setdefault(index, threading.Event())
        if self.is_set():
            flag.set()
        return flag

    def set(self) -> None:
        super().set()
        with self._guard:
            for flag in self._calls.values():
                flag.set()


class FairLock:
    """Mutual exclusion, first come first served: two turns that ask again and again alternate."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tickets: deque[threading.Event] = deque()

    @contextmanager
    def held(self, cancel: threading.Event) -> Iterator[bool]:
        """Wait for the lock; gives False, without the lock, when ``cancel`` was set while waiting."""
        ticket = threading.Event()
        with self._guard:
            self._tickets.append(ticket)
            self._tickets[0].set()
        try:
            while not ticket.wait(_POLL_S) and not cancel.is_set():
                pass
            yield ticket.is_set()
        finally:
            with self._guard:
                self._tickets.remove(ticket)
                if self._tickets:
                    self._tickets[0].set()


class Engine:
    """Model, experts and store behind one method. Safe for several users at once: the model does one step for each in turn."""

    def __init__(self, model: LanguageBackend, router: Router, store: MediaStore, settings: Settings, speaker: ModelFacts) -> None:
        """``speaker``: what is told of ``model``."""
        self.model = model
        self.speaker = speaker
        self.router = router
        self.store = store
        self.settings = settings
        self.model_lock = FairLock()

    def load(self) -> None:
        """Load the language model now instead of at the first turn. Raises ModelLoadError."""
        self.model.load()

    def tasks(self) -> tuple[str, ...]:
        """Tags of the tasks that are offered: exactly those with an expert."""
        return self.router.tasks()

    def reads(self) -> set[MediaKind]:
        """Kinds that the model takes in, or an expert on offer works on; all of them for a model that does not say."""
        needs = {kind for task in self.tasks() for kind in self.router.registry.spec(task).needs}
        return needs | set(getattr(self.model, "reads", tuple(MediaKind)))

    def unread(self, conversation: Conversation) -> str:
        """The sentence that answers a message whose files nobody can read; empty where the model is to answer."""
        sentence = unread_sentence(conversation, self.reads())
        if not sentence or speaks_of_what_came(conversation):
            return sentence
        wants_new = getattr(self.model, "wants_something_new", None)
        return "" if wants_new and wants_new(conversation) else sentence

    def propose(self, artefact: Artefact) -> tuple[Box, ...]:
        """Boxes of what the model sees in a picture; none when it has no such notion. MediaError when the file is gone."""
        propose = getattr(self.model, "propose", None)
        return propose(artefact) if propose else ()

    def respond(
        self, conversation: Conversation, options: GenerationOptions | None = None, cancel: threading.Event | None = None
    ) -> Generator[Event, None, None]:
        """Answer the last message of ``conversation``; the last event is TurnDone with the assistant's message.

        ``cancel`` set from outside ends the turn within one step, still with a TurnDone (``stopped``) that keeps the
        partial answer; a TurnCancel can also end one call alone. Closing the iterator ends the turn without further events.
        What goes wrong in a call becomes its CallFailed and leaves the others standing. Raises UnifiedError (nothing to
        answer, text too long), ModelLoadError (weights missing), MediaError (a picture of the conversation is gone) and
        whatever the model raises.
        """
        self._check(conversation)
        turn = _Turn(self, conversation, options or GenerationOptions(), cancel or threading.Event())
        try:
            yield from turn.events()
        finally:
            turn.stop()

    def repeat(
        self, conversation: Conversation, call: TaskCall, options: GenerationOptions | None = None, cancel: TurnCancel | None = None
    ) -> Generator[Event, None, None]:
        """Carry out ``call``, which stands in ``conversation``, once more: its CallProgress, then CallDone or CallFailed."""
        cancel = cancel or TurnCancel()
        calls = _Calls(self.router, self.store, conversation, options or GenerationOptions(), cancel)
        ended = False
        try:
            calls.start(call)
            for event in calls.finish():
                ended = ended or isinstance(event, CallDone | CallFailed)
                yield event
            if not ended:
                yield CallFailed(call.index, 0.0, STOPPED)
        finally:
            cancel.set()
            calls.close()

    def _check(self, conversation: Conversation) -> None:
        if not conversation.messages or conversation.messages[-1].role != "user" or not conversation.messages[-1].parts:
            raise UnifiedError(NOTHING_SENT)
        text = "".join(part.text for part in conversation.messages[-1].parts if isinstance(part, TextPart))
        check_text(text, self.settings.limits)


class _Calls:
    """The task calls of one turn, carried out in order by one worker thread; its events wait in a queue."""

    def __init__(
        self, router: Router, store: MediaStore, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> None:
        self._router = router
        self._store = store
        self._conversation = conversation
        self._options = options
        self._cancel = cancel
        self._artefacts = conversation.artefacts()
        self._given: Counter[MediaKind] = Counter()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unified_demo-expert")
        self._jobs: dict[Future[None], int | None] = {}
        self._grace_s = _STOP_GRACE_S

    def prepare(self, task: str) -> None:
        """Warm the expert up while the payload of its call is still being written."""
        if task not in self._router.tasks():
            return
        needs = self._router.registry.spec(task).needs
        inputs = tuple(artefact for artefact in self._conversation.artefacts().values() if artefact.kind in needs)
        job = self._pool.submit(self._router.registry.prepare, task, inputs if len(inputs) == 1 else ())
        self._jobs[job] = None

    def start(self, call: TaskCall) -> None:
        self._jobs[self._pool.submit(self._run, call)] = call.index

    def ready(self) -> Iterator[Event]:
        """Events that wait, without waiting for more."""
        while not self._events.empty():
            yield self._events.get()

    def finish(self) -> Iterator[Event]:
        """Events until all calls are done, or shortly after a cancel. A bug in keeping a result fails its call, not the turn."""
        while not all(job.done() for job in self._jobs):
            if self._cancel.is_set():
                self._wait(list(self._jobs))
                break
            try:
                yield self._events.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        yield from self.ready()
        for job, index in self._jobs.items():
            error = job.exception() if job.done() else None
            if error:
                log.error("the worker failed", exc_info=error)
            if error and index is not None:
                yield CallFailed(
                    index, 0.0, f"The result could not be kept ({type(error).__name__}); the rest of the answer stands, try again."
                )

    def close(self) -> None:
        """No further call starts; a running one has been told by ``cancel`` and is given a moment to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._wait([job for job in self._jobs if not job.done()]):
            self._pool.shutdown(wait=True)

    def _wait(self, jobs: Sequence[Future[None]]) -> bool:
        """Give them a moment to end, once in a turn; True when all have."""
        grace_s, self._grace_s = self._grace_s, 0.0
        return not wait_for(jobs, timeout=grace_s).not_done

    def _run(self, call: TaskCall) -> None:
        cancel = self._cancel.of_call(call.index) if isinstance(self._cancel, TurnCancel) else self._cancel
        started = time.perf_counter()
        try:
            artefacts, recipe = ((), {}) if cancel.is_set() else self._carry_out(call, cancel)
        except (UnifiedError, OSError) as exc:
            log.warning("call %d (%s) failed: %s", call.index, call.task, exc)
            self._events.put(CallFailed(call.index, time.perf_counter() - started, str(exc)))
            return
        seconds = time.perf_counter() - started
        if cancel.is_set():
            self._events.put(CallFailed(call.index, seconds, STOPPED))
        else:
            self._events.put(CallDone(call.index, seconds, artefacts, {**recipe, "seconds": round(seconds, 3)}))

    def _carry_out(self, call: TaskCall, cancel: threading.Event) -> tuple[tuple[Artefact, ...], dict[str, Any]]:
        """Run one call; its outputs are stored and join the artefacts that later calls may refer to."""
        outputs: list[Artefact] = []
        recipe: dict[str, Any] = {"made_with": MADE_WITH, "task": call.task, "prompt": call.prompt, "seed": self._options.seed}
        options, marks = self._options, self._conversation.marks()
        with closing(self._router.dispatch(call, self._artefacts, options.seed, cancel, options.drawing, marks)) as events:
            for event in events:
                if isinstance(event, Progress):
                    self._events.put(CallProgress(call.index, event.step, event.steps, event.note, event.preview))
                    continue
                spec = self._router.registry.spec(call.task)
                recipe |= {
                    "expert": spec.name,
                    "weights": list(spec.weights),
                    "licence": spec.licence,
                    "commercial_use": spec.commercial_use,
                }
                outputs.append(self._keep(event, recipe | shown_after(call, event.of, event.recipe, self._artefacts)))
        return tuple(outputs), recipe

    def _keep(self, output: Output, recipe: dict[str, Any]) -> Artefact:
        fields = {"of": output.of, "label": output.label, "box": output.box, "recipe": {**recipe, **output.recipe}}
        artefact_id = self._conversation.next_id(output.kind, self._given[output.kind])
        if output.kind == MediaKind.MASK:
            artefact = self._store.add_mask(output.value, artefact_id, output.fps, **fields)
        elif output.kind == MediaKind.VIDEO:
            artefact = self._store.add_video(output.value, output.fps, artefact_id, **fields)
        elif output.kind == MediaKind.AUDIO:
            artefact = self._store.add_sound(output.value, artefact_id, **fields)
        else:
            artefact = self._store.add_image(output.value, artefact_id, **fields)
        self._given[output.kind] += 1
        self._artefacts[artefact_id] = artefact
        return artefact


class _Turn:
    """One turn: parser, calls, the message that grows and the clock."""

    def __init__(self, engine: Engine, conversation: Conversation, options: GenerationOptions, cancel: threading.Event) -> None:
        self._engine = engine
        self._conversation = conversation
        self._options = options
        self._cancel = cancel
        self._parser = StreamParser(dict.fromkeys((*TASK_TAGS, *engine.tasks())))
        self._calls = _Calls(engine.router, engine.store, conversation, options, cancel)
        self._builder = TurnBuilder()
        self._artefacts = conversation.artefacts()
        self._started = time.perf_counter()
        self._timings: dict[str, float] = {}
        self._raw: list[str] = []
        self._warnings: list[str] = []
        self._open_calls: dict[int, float] = {}
        self._over = False

    def events(self) -> Iterator[Event]:
        unread = self._engine.unread(self._conversation)
        if not unread:
            self._engine.model.load()
        engine = self._engine
        about = about_the_mark(self._conversation, engine.propose, engine.tasks(), self._deltas())
        with closing(about), closing(self._say(unread) if unread else about) as deltas:
            for delta in deltas:
                self._raw.append(delta)
                yield from self._note(self._calls.ready())
                yield from self._settle(self._parser.feed(delta))
        yield from self._settle(self._parser.close())
        yield from self._note(self._calls.finish())
        stopped = self._cancel.is_set()
        for index, started in self._open_calls.items():
            yield CallFailed(index, time.perf_counter() - started, STOPPED if stopped else UNFINISHED)
        self._timings["total_s"] = self._elapsed()
        self._over = True
        yield TurnDone(self._builder.message(), "".join(self._raw), dict(self._timings), tuple(self._warnings), stopped)

    def stop(self) -> None:
        """End of the turn, however it came; before its last event nobody waits for model and experts any more."""
        if not self._over:
            self._cancel.set()
        self._calls.close()

    def _say(self, sentence: str) -> Generator[str, None, None]:
        """What needs no model."""
        yield sentence

    def _deltas(self) -> Generator[str, None, None]:
        """The model's text, one step at a time under the engine's lock; notes the model's timings."""
        stream = self._engine.model.generate(self._conversation, self._options, self._cancel)
        first_delta_s: float | None = None
        tokens = 0
        reported: dict[str, float] = {}
        try:
            while True:
                with self._engine.model_lock.held(self._cancel) as granted:
                    if not granted or self._cancel.is_set():
                        break
                    delta, reported = _advance(stream)
                if delta is None:
                    break
                tokens += 1
                first_delta_s = self._elapsed() if first_delta_s is None else first_delta_s
                yield delta
        finally:
            stream.close()
            end_s = self._elapsed()
            prefill_s = end_s if first_delta_s is None else first_delta_s
            self._timings |= {"prefill_s": prefill_s, "decode_s": end_s - prefill_s, "tokens": tokens, **reported}

    def _settle(self, events: Iterable[ParserEvent]) -> Iterator[Event]:
        """Complete what the parser found, start what it calls for, and pass it on."""
        for event in events:
            settled = self._place(event) if isinstance(event, RegionFound) else event
            yield from self._note((settled,))
            if isinstance(settled, CallStarted):
                self._calls.prepare(settled.task)
            elif isinstance(settled, TaskCall):
                self._calls.start(settled)

    def _place(self, region: RegionFound) -> Event:
        """Without a reference a box lies in the most recent picture and a span in the most recent video or sound; one in an unknown
        artefact is only a warning."""
        kinds = (MediaKind.VIDEO, MediaKind.AUDIO) if region.box is None else (MediaKind.IMAGE,)
        latest = next((key for key in reversed(self._artefacts) if self._artefacts[key].kind in kinds), None)
        artefact_id = region.artefact_id or latest
        if artefact_id in self._artefacts:
            return replace(region, artefact_id=artefact_id)
        missing = f"there is no {artefact_id} in this conversation" if artefact_id else missing_kind(kinds[0])
        return GrammarWarning(f"The region of '{region.text}' was left out: {missing}.", region.text)

    def _note(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass events on and keep the message, the warnings, the open calls and the clock up to date."""
        for event in events:
            self._builder.add(event)
            match event:
                case TextDelta():
                    self._timings.setdefault("first_text_s", self._elapsed())
                case RegionFound():
                    self._timings.setdefault("first_box_s", self._elapsed())
                case CallStarted():
                    self._open_calls[event.index] = time.perf_counter()
                case TaskCall():
                    self._timings[f"call_{event.index}_start_s"] = self._elapsed()
                case CallDone() | CallFailed():
                    self._timings[f"call_{event.index}_end_s"] = self._elapsed()
                    self._open_calls.pop(event.index, None)
                    if isinstance(event, CallDone):
                        self._timings.setdefault("first_output_s", self._elapsed())
                case GrammarWarning():
                    self._warnings.append(event.message)
            yield event

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


def _advance(stream: Generator[str, None, dict[str, float]]) -> tuple[str | None, dict[str, float]]:
    """The next delta, or None and the timings that the model reports at its end."""
    try:
        return next(stream), {}
    except StopIteration as end:
        return None, end.value or {}
