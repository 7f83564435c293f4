"""Messages with several wishes, written one by one: "a lighthouse for my wall, and the horn that goes with it".

Two full requests joined by "and" (``requests.draw_several``) are not how most people ask for two things: the second wish has no verb,
the medium is named once, one wish hides in a remark. The messages are in ``several/*.toml``, a file per language; ``{e}`` and ``{f}``
stand for things of the picture or video that is attached. All of them are for training.
"""

import tomllib
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from unified_demo.data.changes import Changer, changed
from unified_demo.data.chinese import ChineseWriter, is_traditional, to_traditional
from unified_demo.data.context import Seen, known_colour
from unified_demo.data.creations import USUAL_SECONDS, sound_prompt
from unified_demo.data.exchanges import Exchange, Outcome, Writer, call, carry_out, numbered
from unified_demo.data.expressions import Expression
from unified_demo.data.understanding import Observer
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.messages import MediaPart, TaskCall, TextPart
from unified_demo.promises import PROMISES_OF_SEVERAL

FOLDER = Path(__file__).with_name("several")
SLOTS = ("e", "f")
TRIES = 6


@dataclass(frozen=True)
class Step:
    """One call of a message: ``told`` may hold a slot; ``of`` is the number, from 1, of the call whose result it works on."""

    task: Task
    told: str
    of: int = 0


@dataclass(frozen=True)
class Bundle:
    """A message and its calls in order."""

    asked: str
    steps: tuple[Step, ...]
    language: str

    @property
    def needs(self) -> frozenset[MediaKind]:
        """What must be attached."""
        return frozenset(kind for step in self.steps if not step.of for kind in TASKS[step.task].needs)

    @property
    def lays_out(self) -> bool:
        """Whether a call of it is a layout: its boxes are written nowhere, so there is no answer to learn, only what is asked for."""
        return any(step.task == Task.LAYOUT_GENERATION for step in self.steps)

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(slot for slot in SLOTS if any(f"{{{slot}}}" in text for text in (self.asked, *(step.told for step in self.steps))))


@cache
def bundles(language: str) -> tuple[Bundle, ...]:
    """The committed messages of a language ("english", "chinese")."""
    rows = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))["wish"]
    return tuple(Bundle(row["ask"], tuple(Step(Task(step[0]), *step[1:]) for step in row["calls"]), language) for row in rows)


@dataclass(frozen=True)
class NamedThing:
    """A thing of the picture or video ``seen``, and what the message calls it."""

    seen: Seen
    asked: str
    expression: Expression


class SeveralWriter(Writer):
    """Writes one message with several wishes, with its answer."""

    def bundle(self, language: str) -> Exchange | None:
        """None where no message that was drawn can mean what is attached: one picture, one video, with things to name."""
        answerable = [bundle for bundle in bundles(language) if not bundle.lays_out]
        for _ in range(TRIES):
            drawn = self.rng.choice(answerable)
            made = self.filled(drawn) if all(self._sent(kind) for kind in drawn.needs) else None
            if made:
                return made
        return None

    def _sent(self, kind: MediaKind) -> bool:
        """Whether the one of its kind was sent by the user: the messages speak of "my photo"."""
        of_kind = self.context.of_kind(kind)
        return len(of_kind) == 1 and not of_kind[0].made

    def filled(self, bundle: Bundle) -> Exchange | None:
        """The message about what is attached; None where that has no such things."""
        things = self._named_things(bundle)
        if things is None:
            return None
        later = copy(self.context)
        later.seen, later.focus = dict(self.context.seen), dict(self.context.focus)
        calls: list[TaskCall] = []
        outcomes: list[tuple[Outcome, ...]] = []
        given: list[str] = []
        for step in bundle.steps:
            about = self._about(step, later.seen, given)
            made, gives = self._step(step, about, things)
            parts = carry_out(later, Exchange(step.task.value, (), (), (made,), "call", (gives,)))
            given.append(next(part.artefact.id for part in parts if isinstance(part, MediaPart)))
            calls.append(made)
            outcomes.append(gives)
        attached = next((self.context.of_kind(kind)[0].id for kind in bundle.needs), "")
        asked = bundle.asked.format(**{slot: thing.asked for slot, thing in things.items()})
        name = "several.chinese" if bundle.language == "chinese" else "several.wish"
        answer = (TextPart(PROMISES_OF_SEVERAL[len(calls)]), *numbered(calls))
        return Exchange("several", (name,), (TextPart(asked),), answer, "call", tuple(outcomes), attached)

    def _named_things(self, bundle: Bundle) -> dict[str, NamedThing] | None:
        """The things that the slots stand for; None where the picture or video has no such things."""
        things: dict[str, NamedThing] = {}
        kind = MediaKind.VIDEO if MediaKind.VIDEO in bundle.needs else MediaKind.IMAGE
        known = self.known(kind)
        for slot in bundle.slots:
            if not known:
                return None
            if bundle.language == "chinese":
                found = ChineseWriter(self.rng, self.context).thing(known[0], single=True)
                if found and is_traditional(bundle.asked):
                    found = (found[0].translate(to_traditional()), found[1])
            else:
                expression = self.expression(known[0], single=True)
                found = (self.casual(expression.asked), expression) if expression else None
            if not found or any(found[1].targets == other.expression.targets for other in things.values()):
                return None
            things[slot] = NamedThing(known[0], *found)
        return things

    def _about(self, step: Step, seen: dict[str, Seen], given: list[str]) -> Seen | None:
        if step.of:
            return seen[given[step.of - 1]]
        kind = next(iter(TASKS[step.task].needs), None)
        return self.context.of_kind(kind)[0] if kind else None

    def _step(self, step: Step, about: Seen | None, things: dict[str, NamedThing]) -> tuple[TaskCall, tuple[Outcome, ...]]:
        slot = next((slot for slot in SLOTS if f"{{{slot}}}" in step.told), "")
        told = step.told.format(**{slot: thing.expression.said for slot, thing in things.items()})
        if about is None:
            prompt = sound_prompt(told, USUAL_SECONDS) if step.task == Task.AUDIO_GENERATION else told
            return call(step.task, prompt), (Outcome(label=told),)
        if step.task in (Task.IMAGE_SEGMENTATION, Task.VIDEO_SEGMENTATION):
            answer, outcomes = Observer(self.rng, self.context).called(step.task.value, things[slot].seen, things[slot].expression)
            return _moved(next(part for part in answer if isinstance(part, TaskCall)), about), outcomes
        if step.task == Task.REASONING_EDITING:
            seen, thing = things[slot].seen, things[slot].expression
            made = call(step.task, told, (seen.id,), (self.region(seen, told, thing.targets),))
            return _moved(made, about), (self._after(step.told, things[slot]) if about is seen else Outcome(),)
        outcome = Outcome(about.scene, label=told) if step.task == Task.IMAGE_TO_VIDEO else changed(about, told)
        return call(step.task, told, (about.id,)), (outcome,)

    def _after(self, frame: str, thing: NamedThing) -> Outcome:
        """What "remove {e}", "replace {e} with a cat", "make {e} red" leave; nothing is known after a colour that nobody draws."""
        operation, _, rest = frame.partition(" ")
        values = {"new": rest.partition(" with ")[2], "colour": rest.removeprefix("{e} ").removeprefix("{f} ")}
        if operation == "make" and not known_colour(values["colour"]):
            return Outcome()
        return Changer(self.rng, self.context).done({"make": "recolour"}.get(operation, operation), values, thing.seen, thing.expression)[2]


def _moved(made: TaskCall, about: Seen) -> TaskCall:
    """The same call, on what an earlier one gave."""
    return replace(made, refs=(about.id,), regions=tuple(replace(region, artefact_id=about.id) for region in made.regions))
