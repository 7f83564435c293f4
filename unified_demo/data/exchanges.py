"""One request with its answer, and what writers of requests share: wording, naming artefacts, refusing, asking back.

An Exchange carries what its calls give, so that a conversation can go on with the outputs. It draws no scenes.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from unified_demo.data.context import KIND_WORDS, Choice, Context, Event, Seen, choose_artefact
from unified_demo.data.dialogues import NO_PICTURE, SHOWN, mark
from unified_demo.data.expressions import Describer, Expression
from unified_demo.data.knowledge import knowledge
from unified_demo.data.reports import jitter
from unified_demo.data.scenes import Scene
from unified_demo.data.wordings import Phrasing, choose
from unified_demo.grammar import TASKS, Box, MediaKind, Task, TimeSpan
from unified_demo.messages import Artefact, MediaPart, Part, RegionPart, TaskCall, TextPart
from unified_demo.nouns import countable, is_plural, said

MARKED = 0.1
"""Share of single things that are marked in the picture instead of described."""
Manner = Literal["call", "answer", "refuse", "clarify"]


@dataclass(frozen=True)
class Outcome:
    """What one output of a call will show; the kind follows from the task."""

    scene: Scene | None = None
    spans: tuple[tuple[int, TimeSpan], ...] = ()
    events: tuple[Event, ...] = ()
    label: str = ""
    box: Box | None = None


@dataclass(frozen=True)
class Exchange:
    """``user`` and ``answer`` are parts of messages without media; ``outcomes`` lists the outputs of each call in order.

    ``task`` is what was asked for, also when the answer refuses or asks back; ``about`` the artefact it concerns.
    """

    task: str
    templates: tuple[str, ...]
    user: tuple[Part, ...]
    answer: tuple[Part, ...]
    manner: Manner = "answer"
    outcomes: tuple[tuple[Outcome, ...], ...] = ()
    about: str = ""
    topic: Expression | None = None

    def calls(self) -> list[TaskCall]:
        return [part for part in self.answer if isinstance(part, TaskCall)]

    @property
    def chinese(self) -> bool:
        """The request is in Chinese and fills no template."""
        return any(name.endswith(".chinese") for name in self.templates)


class Writer:
    """What every writer of requests needs: chance, the conversation so far, and the words for both."""

    def __init__(self, rng: random.Random, context: Context, manner: str = "", forced: Choice | None = None) -> None:
        """``manner`` restricts the phrasings, ``forced`` the artefact: both for requests that are part of a longer one."""
        self.rng, self.context, self.manner, self.forced = rng, context, manner, forced

    def phrasing(self, task: str, operation: str = "", lacking: frozenset[str] = frozenset()) -> Phrasing:
        return choose(self.rng, task, operation, self.context.part, lacking, self.manner)

    def pick(self, kind: MediaKind, useful: Sequence[Seen] | None = None) -> Choice | None:
        """The artefact that the request is about; None when the forced one is of no use."""
        if self.forced:
            return self.forced if useful is None or self.forced.seen in useful else None
        return choose_artefact(self.rng, self.context, kind, useful)

    def ask(self, phrasing: Phrasing, values: Mapping[str, str], name: str = "", shown: RegionPart | None = None) -> tuple[Part, ...]:
        """The user's words; ``name`` says which artefact is meant, ``shown`` is marked in it and stands where its phrase is."""
        text = phrasing.fill(values)
        text = self._named(text, name) if name else text
        return mark(text, shown) if shown else (TextPart(text),)

    def shown(self, seen: Seen, expression: Expression) -> RegionPart | None:
        """Now and then a single thing in a picture is marked, roughly, instead of described."""
        if len(expression.targets) != 1 or seen.kind != MediaKind.IMAGE or self.rng.random() >= MARKED:
            return None
        (box,) = self.region(seen, "", expression.targets).boxes
        return RegionPart(self.rng.choice(SHOWN), (jitter(self.rng, box, 0.06),), artefact_id=seen.id)

    def _named(self, text: str, name: str) -> str:
        frames = ["{n}: {t}", "in {n}: {t}", "{t} (I mean {n})", "about {n}: {t}", "now {n}: {t}", "take {n}, {t}"]
        if text[-1] not in ".?!":
            frames += ["{t}, in {n}", "{t} in {n}", "{t}, {n} I mean", "{t} - {n}"]
        return self.rng.choice(frames).format(t=text, n=name)

    def casual(self, phrase: str) -> str:
        """Now and then what people really type: no article, "that" for "the", capitals."""
        roll = self.rng.random()
        if phrase.startswith("the "):
            if roll < 0.1:
                return phrase[4:]
            if roll < 0.15:
                return "that " + phrase[4:]
        return phrase.upper() if roll > 0.995 else phrase

    def say(self, *options: str) -> TextPart:
        return TextPart(self.rng.choice(options))

    def region(self, seen: Seen, phrase: str, targets: tuple[int, ...]) -> RegionPart:
        assert seen.scene is not None
        return RegionPart(phrase, tuple(seen.scene.regions[index].box for index in targets), artefact_id=seen.id)

    def be(self, seen: Seen, targets: tuple[int, ...]) -> str:
        """ "is" or "are"."""
        assert seen.scene is not None
        return "are" if len(targets) > 1 or is_plural(seen.scene.regions[targets[0]].label) else "is"

    def plural(self, seen: Seen, expression: Expression) -> bool:
        """Whether one asks of it with "are"."""
        return self.be(seen, expression.targets) == "are" or is_plural(expression.asked.split(" on ")[0])

    def describer(self, seen: Seen) -> Describer:
        assert seen.scene is not None
        return Describer(seen.scene, self.rng)

    def expression(self, seen: Seen, single: bool = False) -> Expression | None:
        """Words for one or several things of a picture; None when nothing can be singled out."""
        describer = self.describer(seen)
        for _ in range(8):
            made = describer.any()
            if made and not (single and len(made.targets) > 1):
                return made
        return None

    def known(self, kind: MediaKind) -> list[Seen]:
        """Artefacts of the kind whose things are known."""
        return [seen for seen in self.context.of_kind(kind) if seen.scene and seen.scene.things]

    def absent_label(self, scene: Scene) -> str | None:
        """A kind of thing that is not in the scene, not even as a doubt, nor under another name."""
        present = {region.label for region in scene.regions}
        called = present | {name for label in present for name in knowledge().get(label, {}).get("names", [])}
        for _ in range(8):
            label = self.rng.choice(self.context.labels)
            if label not in called and not called & set(knowledge().get(label, {}).get("names", [])):
                return label
        return None

    # ---- answers without a call ----

    def nothing_there(self, task: str, operation: str, kind: MediaKind, values: Mapping[str, str]) -> Exchange:
        """The request needs a picture, video or sound and there is none."""
        phrasing = self.phrasing(task, operation)
        return Exchange(task, (phrasing.id,), self.ask(phrasing, values), (TextPart(no_media(kind)),), "refuse")

    def not_seen(self, phrasing: Phrasing, values: Mapping[str, str], choice: Choice, label: str) -> Exchange:
        kind = KIND_WORDS[choice.seen.kind][0]
        answer = (TextPart(f"I cannot see {said(label, 1)} in this {kind}."),)
        return Exchange(phrasing.task, (phrasing.id,), self.ask(phrasing, values, choice.name), answer, "refuse", about=choice.seen.id)

    def which_one(self, phrasing: Phrasing, values: Mapping[str, str], choice: Choice, label: str) -> Exchange:
        """Several things are called so: show them and ask back."""
        targets = tuple(self.describer(choice.seen).by_label[label])
        region = self.region(choice.seen, said(label, len(targets)), targets)
        answer: tuple[Part, ...] = (TextPart("I see "), region, TextPart("; which one do you mean?"))
        return Exchange(phrasing.task, (phrasing.id,), self.ask(phrasing, values, choice.name), answer, "clarify", about=choice.seen.id)

    def several_alike(self, seen: Seen) -> str | None:
        """A label that two to six things of the picture share."""
        found = [label for label, same in self.describer(seen).by_label.items() if 2 <= len(same) <= 6 and countable(label)]
        return self.rng.choice(found) if found else None


def no_media(kind: MediaKind) -> str:
    """The sentence for a conversation that lacks what a request needs."""
    return NO_PICTURE.replace("picture", KIND_WORDS[kind][0])


@lru_cache(maxsize=8)
def countable_of(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of which one may say "two ..."."""
    return tuple(label for label in labels if countable(label))


def call(task: Task, prompt: str, refs: tuple[str, ...] = (), regions: tuple[RegionPart, ...] = ()) -> TaskCall:
    return TaskCall(0, task, prompt, refs, regions)


def capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


def carry_out(context: Context, exchange: Exchange) -> tuple[Part, ...]:
    """The answer as the engine leaves it: behind each call what it gave, under the next ids; the context grows accordingly."""
    parts: list[Part] = []
    done = 0
    for part in exchange.answer:
        parts.append(part)
        if isinstance(part, TaskCall):
            parts += [MediaPart(_produce(context, part, outcome).artefact) for outcome in exchange.outcomes[done]]
            done += 1
    made = [part.artefact for part in parts if isinstance(part, MediaPart)]
    if exchange.about in context.seen and not any(artefact.kind in context.focus for artefact in made):
        about = context.seen[exchange.about]
        context.focus[about.kind] = context.spoken = about.id
    pictures = [artefact.id for artefact in made if artefact.kind == MediaKind.IMAGE]
    if exchange.topic:
        context.topic = (pictures[-1] if pictures else exchange.about, exchange.topic)
    elif exchange.task != "chat":
        context.topic = None
    return tuple(parts)


def _produce(context: Context, made_by: TaskCall, outcome: Outcome) -> Seen:
    kind = TASKS[Task(made_by.task)].gives
    of = made_by.refs[0] if kind == MediaKind.MASK and made_by.refs else None
    artefact = Artefact(context.next_id(kind), kind, Path("output"), of=of, label=outcome.label, box=outcome.box)
    return context.add(Seen(artefact, outcome.scene, dict(outcome.spans), outcome.events, made_by.task, made_by.prompt))


def numbered(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of one answer with its calls counted from 0."""
    count = 0
    done: list[Part] = []
    for part in parts:
        if isinstance(part, TaskCall):
            part, count = replace(part, index=count), count + 1
        done.append(part)
    return tuple(done)
