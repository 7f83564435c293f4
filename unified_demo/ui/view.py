"""What one answer looks like at this moment, as values: the events of a turn are folded in, nothing is drawn here.

``AnswerView.apply`` has one small method per event type. A thing in a picture (``SceneObject``) keeps its number, and with
it its colour, through the whole conversation: phrases, boxes, calls and masks that mean the same region share it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unified_demo.engine import STOPPED
from unified_demo.experts.region_wishes import thing_of_wish
from unified_demo.grammar import PLANNING_TAGS, TASKS, Box, MediaKind, TimeSpan
from unified_demo.messages import (
    Artefact,
    CallDone,
    CallFailed,
    CallProgress,
    CallStarted,
    Event,
    GrammarWarning,
    MediaPart,
    Message,
    Part,
    RegionFound,
    TaskCall,
    TextDelta,
    TurnDone,
)
from unified_demo.turn import TurnBuilder

SAME_OBJECT_IOU = 0.7
SAME_NAME_IOU = 0.4
"""Two boxes of one picture mean the same thing from this overlap on; less is enough when the words agree."""

WISHES = frozenset(task.value for task, spec in TASKS.items() if spec.needs and spec.gives != MediaKind.MASK)
"""The words of these calls say what shall happen, not what is there."""

StepStatus = Literal["writing", "queued", "running", "done", "failed", "stopped"]
AnswerState = Literal["waiting", "streaming", "done", "stopped", "failed"]


@dataclass
class SceneObject:
    """A thing in the picture or recording ``artefact_id``; ``number`` counts from 1 through the conversation and chooses the colour.
    ``label`` is empty where nobody named it."""

    number: int
    artefact_id: str
    label: str
    boxes: list[Box] = field(default_factory=list)
    masks: list[Artefact] = field(default_factory=list)
    spans: list[TimeSpan] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called in the picture."""
        return self.label or self.artefact_id

    @property
    def placed(self) -> bool:
        """Whether it is known where, or when, it is."""
        return bool(self.boxes or self.masks or self.spans)

    def means(self, artefact_id: str, label: str, box: Box) -> bool:
        if artefact_id != self.artefact_id:
            return False
        overlap = max((own.iou(box) for own in self.boxes), default=0.0)
        return overlap >= SAME_OBJECT_IOU or (overlap >= SAME_NAME_IOU and _same_words(label, self.label))


@dataclass
class Run:
    """A stretch of text; ``phrase`` is the number of its grounded phrase in the answer, None outside of one."""

    text: str
    phrase: int | None = None


@dataclass
class Step:
    """One task call: what is asked, how far it is, what came of it. Seconds are those of the expert.

    ``began`` is when the first step was done (seconds of ``time.monotonic``) and its number.
    """

    index: int
    task: str
    status: StepStatus = "writing"
    call: TaskCall | None = None
    note: str = ""
    step: int = 0
    steps: int = 0
    began: tuple[float, int] | None = None
    preview: Any = None
    seconds: float = 0.0
    error: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    artefacts: tuple[Artefact, ...] = ()
    objects: list[int] = field(default_factory=list)

    @property
    def eta_s(self) -> float:
        """Seconds that the rest will take at the speed so far; 0 when nothing is known yet."""
        if self.began is None or self.step <= self.began[1]:
            return 0.0
        return (time.monotonic() - self.began[0]) / (self.step - self.began[1]) * (self.steps - self.step)


class AnswerView:
    """One answer, built up by ``apply(event)``.

    ``artefacts`` are those of the conversation, ``known`` the things that earlier answers pointed at; neither is changed.
    ``lock`` is held while it changes, and by who draws it, for one thread writes the answer and others show it.
    """

    def __init__(self, artefacts: Mapping[str, Artefact], known: tuple[SceneObject, ...] = ()) -> None:
        self.lock = threading.RLock()
        self.artefacts: dict[str, Artefact] = dict(artefacts)
        self.known = known
        self.runs: list[Run] = []
        self.phrases: dict[int, int | None] = {}
        self.objects: dict[int, SceneObject] = {}
        self.steps: dict[int, Step] = {}
        self.warnings: list[str] = []
        self.raw = ""
        self.timings: dict[str, float] = {}
        self.state: AnswerState = "waiting"
        self.note = ""
        self.error = ""
        self.version = 0
        self.liked: bool | None = None
        self.told: list[Event] = []
        self.told_again: list[Event] = []
        self._builder: TurnBuilder | None = TurnBuilder()
        self._final: Message | None = None

    # ---- what the page asks ----

    @property
    def finished(self) -> bool:
        return self.state in ("done", "stopped", "failed")

    def message(self) -> Message:
        """The assistant's message, complete or as far as it came."""
        return self._final or (self._builder or TurnBuilder()).message()

    def pictures(self) -> list[Artefact]:
        """The pictures this answer points into, in order of the first thing found."""
        ids = dict.fromkeys(thing.artefact_id for thing in self.objects.values() if thing.placed)
        return [self.artefacts[key] for key in ids if key in self.artefacts]

    def things_in(self, picture: Artefact) -> list[SceneObject]:
        """What this answer points at in ``picture``."""
        return [thing for thing in self.objects.values() if thing.artefact_id == picture.id and thing.placed]

    def outputs(self) -> list[Artefact]:
        """What the experts returned besides masks, in order."""
        return [artefact for step in self.steps.values() for artefact in step.artefacts if artefact.kind != MediaKind.MASK]

    def tasks(self) -> dict[int, str]:
        """The task of each call, by its number."""
        return {index: step.task for index, step in self.steps.items()}

    def all_objects(self) -> tuple[SceneObject, ...]:
        """Things known before this answer and those it added; this answer's version wins."""
        merged = {thing.number: thing for thing in self.known}
        merged.update(self.objects)
        return tuple(merged.values())

    # ---- events ----

    def apply(self, event: Event) -> None:
        """Fold one event in. Unknown kinds are ignored, so that a newer engine does not break the page."""
        with self.lock:
            if self.finished:
                return
            if self._builder:
                self._builder.add(event)
            _remember(self.told, event)
            self.state, self.note = "streaming", ""
            handler = _HANDLERS.get(type(event))
            if handler:
                handler(self, event)

    def apply_again(self, event: Event) -> None:
        """Fold in an event of a call that is carried out once more, after the answer was complete."""
        with self.lock:
            if isinstance(event, CallDone):
                self._final = _with_outputs(self.message(), event)
            _HANDLERS[type(event)](self, event)
            _remember(self.told_again, event)
            self.version += 1

    def wait_again(self, index: int) -> None:
        """The call with this number is about to be carried out once more."""
        old = self.steps[index]
        self.steps[index] = Step(index, old.task, "queued", old.call, objects=old.objects)
        self.version += 1

    def judge(self, liked: bool | None) -> None:
        """What the visitor thinks of the answer; None: nothing."""
        with self.lock:
            self.liked = liked
            self.version += 1

    def stop(self) -> None:
        """The visitor closed the turn: keep what is there."""
        if not self.finished:
            self._settle("stopped")

    def fail(self, sentence: str) -> None:
        """Nothing more will come; a complete answer stays as it is."""
        if not self.finished:
            self.error = sentence
            self._settle("failed")

    def _settle(self, state: AnswerState) -> None:
        with self.lock:
            self.state, self.note = state, ""
            for step in self.steps.values():
                if step.status in ("writing", "queued", "running"):
                    step.status = "stopped"
            self._slim()

    def _slim(self) -> None:
        """Let go of what a complete answer needs no more: of the conversation's artefacts it keeps those that it shows."""
        self._final, self._builder = self.message(), None
        shown = {thing.artefact_id for thing in self.objects.values()}
        shown |= {artefact.id for step in self.steps.values() for artefact in step.artefacts}
        latest = self._latest_picture()
        self.artefacts = {name: artefact for name, artefact in self.artefacts.items() if name in shown or name == latest}

    def _on_text(self, event: TextDelta) -> None:
        if event.phrase is not None and event.phrase not in self.phrases:
            self.phrases[event.phrase] = self._new_object(event.text).number
        if self.runs and self.runs[-1].phrase == event.phrase:
            self.runs[-1].text += event.text
        else:
            self.runs.append(Run(event.text, event.phrase))

    def _on_region(self, event: RegionFound) -> None:
        artefact_id = event.artefact_id or self._latest_picture()
        provisional = self.objects.get(self.phrases.get(event.phrase) or 0)
        if event.span and provisional:
            provisional.artefact_id, provisional.label = artefact_id or "", event.text
            provisional.spans.append(event.span)
        if event.box is None or artefact_id is None:
            return
        found = self._find(artefact_id, event.text, event.box)
        if found and found is not provisional:
            found.label = found.label or event.text
            if provisional and not provisional.placed:
                self.objects.pop(provisional.number)
            self.phrases[event.phrase] = found.number
        else:
            found = provisional or self._new_object(event.text)
            found.artefact_id, found.label = artefact_id, event.text
            self.phrases[event.phrase] = found.number
        _add_box(found, event.box)

    def _on_call_started(self, event: CallStarted) -> None:
        self.steps[event.index] = Step(event.index, event.task)

    def _on_call(self, event: TaskCall) -> None:
        step = self.steps.setdefault(event.index, Step(event.index, event.task))
        step.call, step.status = event, "queued"
        for region in () if event.task in PLANNING_TAGS else event.regions:
            artefact_id = region.artefact_id or next(iter(event.refs), None) or self._latest_picture()
            for box in region.boxes:
                if artefact_id:
                    step.objects.append(self._object_at(artefact_id, _name(event.task, region.phrase), box).number)

    def _on_progress(self, event: CallProgress) -> None:
        step = self.steps.setdefault(event.index, Step(event.index, ""))
        step.status, step.note, step.step, step.steps = "running", event.note, event.step, event.steps
        if event.step and step.began is None:
            step.began = (time.monotonic(), event.step)
        step.preview = event.preview if event.preview is not None else step.preview

    def _on_done(self, event: CallDone) -> None:
        step = self.steps.setdefault(event.index, Step(event.index, ""))
        step.status, step.seconds, step.artefacts = "done", event.seconds, event.artefacts
        step.recipe = {
            name: value for recipe in (*(made.recipe for made in event.artefacts), event.recipe) for name, value in recipe.items()
        }
        step.preview = None
        for artefact in event.artefacts:
            self.artefacts[artefact.id] = artefact
            if artefact.kind == MediaKind.MASK and artefact.of:
                self._object_of_mask(artefact, step).masks.append(artefact)

    def _on_failed(self, event: CallFailed) -> None:
        step = self.steps.setdefault(event.index, Step(event.index, ""))
        stopped = event.error == STOPPED
        step.preview = None
        step.status, step.seconds, step.error = ("stopped" if stopped else "failed"), event.seconds, "" if stopped else event.error

    def _on_warning(self, event: GrammarWarning) -> None:
        self.warnings.append(event.message)

    def _on_turn_done(self, event: TurnDone) -> None:
        self._final, self.raw, self.timings = event.message, event.raw, dict(event.timings)
        for phrase, number in self.phrases.items():
            thing = self.objects.get(number or 0)
            if thing and not thing.placed:
                self.objects.pop(thing.number)
                self.phrases[phrase] = None
        self._settle("stopped" if event.stopped else "done")

    # ---- things in pictures ----

    def _latest_picture(self) -> str | None:
        return next((key for key, artefact in reversed(self.artefacts.items()) if artefact.kind == MediaKind.IMAGE), None)

    def _new_object(self, label: str) -> SceneObject:
        number = max((thing.number for thing in (*self.known, *self.objects.values())), default=0) + 1
        self.objects[number] = SceneObject(number, "", label)
        return self.objects[number]

    def _find(self, artefact_id: str, label: str, box: Box) -> SceneObject | None:
        """The thing meant by words and box: one of this answer, else one of earlier answers (copied without its masks)."""
        own = next((thing for thing in self.objects.values() if thing.means(artefact_id, label, box)), None)
        earlier = next((thing for thing in self.known if thing.means(artefact_id, label, box)), None)
        if own or not earlier:
            return own
        return self.objects.setdefault(earlier.number, SceneObject(earlier.number, artefact_id, label or earlier.label))

    def _object_at(self, artefact_id: str, label: str, box: Box) -> SceneObject:
        thing = self._find(artefact_id, label, box) or self._new_object(label)
        thing.artefact_id, thing.label = artefact_id, thing.label or label
        _add_box(thing, box)
        return thing

    def _object_of_mask(self, mask: Artefact, step: Step) -> SceneObject:
        name = _name(step.task, mask.label)
        if mask.box:
            return self._object_at(mask.of or "", name, mask.box)
        asked = [self.objects[number] for number in step.objects if number in self.objects]
        thing = asked[0] if asked else self._new_object(name)
        thing.artefact_id = mask.of or ""
        return thing


def _name(task: str, words: str) -> str:
    """What the words of a call, or of what came of it, call the thing."""
    return thing_of_wish(words) if task in WISHES else words


def _add_box(thing: SceneObject, box: Box) -> None:
    if all(own.iou(box) < SAME_OBJECT_IOU for own in thing.boxes):
        thing.boxes.append(box)


def _remember(told: list[Event], event: Event) -> None:
    """Events from which the view can be built again: text in one piece, progress left out."""
    last = told[-1] if told else None
    if isinstance(event, TextDelta) and isinstance(last, TextDelta) and last.phrase == event.phrase:
        told[-1] = TextDelta(last.text + event.text, event.phrase)
    elif not isinstance(event, CallProgress):
        told.append(event)


def _with_outputs(message: Message, done: CallDone) -> Message:
    """What a call returned stands behind the call."""
    parts: list[Part] = []
    for part in message.parts:
        parts.append(part)
        if isinstance(part, TaskCall) and part.index == done.index:
            parts += [MediaPart(artefact) for artefact in done.artefacts]
    return Message(message.role, tuple(parts))


def _same_words(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


_HANDLERS: dict[type, Callable[[AnswerView, Any], None]] = {
    TextDelta: AnswerView._on_text,
    RegionFound: AnswerView._on_region,
    CallStarted: AnswerView._on_call_started,
    TaskCall: AnswerView._on_call,
    CallProgress: AnswerView._on_progress,
    CallDone: AnswerView._on_done,
    CallFailed: AnswerView._on_failed,
    GrammarWarning: AnswerView._on_warning,
    TurnDone: AnswerView._on_turn_done,
}
