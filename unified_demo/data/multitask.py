"""Dialogues of several turns and tasks, in which turns refer back to inputs and outputs.

Requests come from ``requests``; this module adds uploads, what one says next ("now make it bigger", "go back to the original and
..."), and keeps the artefacts exactly as the engine would. It reads and writes no files.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from unified_demo.data.changes import SIZES, Changer, changed
from unified_demo.data.context import Context, Seen, known_colour, names_of, with_colour, with_size, without_thing
from unified_demo.data.creations import sound_prompt
from unified_demo.data.exchanges import Exchange, Manner, Outcome, Writer, call, capital, carry_out
from unified_demo.data.expressions import Expression
from unified_demo.data.requests import draw_request
from unified_demo.data.scenes import Scene
from unified_demo.data.wordings import SubSet, draw_change, draw_content, entries
from unified_demo.grammar import TASK_TAGS, TASKS, Box, MediaKind, Task
from unified_demo.messages import Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.regions import place_of

SceneSource = Callable[[random.Random], Scene]

WEIGHTS = {
    "seg": 8, "ground": 6, "redit": 11, "edit": 6, "question": 6, "caption": 9, "gen": 6, "layout": 4, "ivgen": 7, "several": 14,
    "chat": 5, "vseg": 5, "vgen": 7, "vedit": 4, "agen": 5,
}  # fmt: skip
"""How often each task is asked for; what needs a video counts twice while there is one."""
FOLLOWS, UPLOADS = 0.45, 0.1
"""Shares of turns that go on from the turn before, and that bring a new upload."""
STARTS: tuple[tuple[MediaKind, ...], ...] = (
    (MediaKind.IMAGE,), (MediaKind.IMAGE,), (MediaKind.IMAGE,), (MediaKind.IMAGE,), (MediaKind.IMAGE,), (MediaKind.IMAGE,),
    (MediaKind.IMAGE, MediaKind.IMAGE), (MediaKind.IMAGE, MediaKind.IMAGE), (), (), (MediaKind.AUDIO,), (MediaKind.VIDEO,),
    (MediaKind.VIDEO,), (MediaKind.IMAGE, MediaKind.VIDEO), (MediaKind.IMAGE, MediaKind.AUDIO),
)  # fmt: skip
"""What comes with the first message."""


@dataclass(frozen=True)
class Dialogue:
    """A finished conversation: one exchange per turn, and what every picture, video and sound of it shows."""

    conversation: Conversation
    exchanges: tuple[Exchange, ...]
    seen: dict[str, Seen]
    part: SubSet = "train"


def write_dialogue(
    rng: random.Random,
    draw: SceneSource,
    labels: tuple[str, ...],
    turns: int,
    part: SubSet = "train",
    settle: Callable[[Scene], Scene] | None = None,
    only: str = "",
) -> Dialogue:
    """``turns`` requests with answers about scenes from ``draw``; ``labels`` are the names of things there may be.

    ``only``: each request is of this task, where one can be made of what is attached.
    ``settle`` is done to every scene before it is spoken of (``compact.compact_scene`` for records).
    """
    context = Context(labels, part, settle=settle)
    messages: list[Message] = []
    exchanges: list[Exchange] = []
    uploads = rng.choice(STARTS)
    while len(exchanges) < turns:
        media = tuple(_attach(rng, context, kind, draw) for kind in uploads)
        exchange = (draw_request(rng, only, context) if only else None) or _next(rng, context, exchanges, uploads)
        messages.append(Message("user", (*media, *exchange.user)))
        messages.append(Message("assistant", carry_out(context, exchange)))
        exchanges.append(exchange)
        uploads = (rng.choice([MediaKind.IMAGE] * 6 + [MediaKind.VIDEO, MediaKind.AUDIO]),) if rng.random() < UPLOADS else ()
    return Dialogue(Conversation(tuple(messages)), tuple(exchanges), context.seen, part)


def _attach(rng: random.Random, context: Context, kind: MediaKind, draw: SceneSource) -> Part:
    scene = draw(rng) if kind != MediaKind.AUDIO else None
    context.topic = None
    return MediaPart(context.attach(kind, scene, rng).artefact)


def _next(rng: random.Random, context: Context, before: list[Exchange], uploads: tuple[MediaKind, ...]) -> Exchange:
    if before and not uploads and rng.random() < FOLLOWS:
        followed = Follower(rng, context, before[-1]).any()
        if followed:
            return followed
    while True:
        weights = [weight * _wanted(context, task) * _welcome(task, uploads) for task, weight in WEIGHTS.items()]
        made = draw_request(rng, rng.choices(list(WEIGHTS), weights)[0], context)
        if made:
            return made


def _welcome(task: str, uploads: tuple[MediaKind, ...]) -> float:
    """Whoever sends something mostly speaks of it."""
    return 1.0 if not uploads or any(kind in _needs(task) for kind in uploads) else 0.08


@cache
def _needs(task: str) -> tuple[MediaKind, ...]:
    """What a request of the task may be about."""
    if task in TASK_TAGS:
        return TASKS[Task(task)].needs
    return {
        "question": (MediaKind.IMAGE,), "several": (MediaKind.IMAGE, MediaKind.VIDEO),
        "caption": (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO),
        "ground": (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO),
    }.get(task, ())  # fmt: skip


def _wanted(context: Context, task: str) -> float:
    """Tasks without what they need are rare (the answer then says so); a video that is there is used."""
    needs = _needs(task)
    if task != "several" and needs and not any(context.of_kind(kind) for kind in needs):
        return 0.12
    return 2.0 if needs == (MediaKind.VIDEO,) else 1.0


CORRECTED = ("seg", "ground", "redit")


class Follower(Writer):
    """Writes what one says next, given the exchange before."""

    def __init__(self, rng: random.Random, context: Context, last: Exchange) -> None:
        super().__init__(rng, context)
        self.last = last

    def any(self) -> Exchange | None:
        """A turn that goes on from the last one; None when nothing fits."""
        makers: list[Callable[[], Exchange | None]] = []
        if self._topic():
            makers += [self.segment, self.find, self.remove, self.recolour, self.bigger, self.bigger, self.beside, self.beside]
        if self.last.task in CORRECTED and self.rng.random() < 0.4:
            makers.append(self.correct)
        if self.last.manner == "call":
            makers += {
                "seg": [self.other], "gen": [self.another, self.restyle], "vgen": [self.another, self.refilm],
                "agen": [self.another, self.length, self.length], "edit": [self.same, self.same], "layout": [self.another],
            }.get(self.last.task, [])  # fmt: skip
        spoken = self.context.seen.get(self.context.spoken)
        if not makers or self.rng.random() < 0.15:
            if not spoken or spoken.kind == MediaKind.AUDIO or self.last.task == "chat" or self.rng.random() < 0.5:
                return None
            makers = [self.change, self.original, *([self.animate] if spoken.kind == MediaKind.IMAGE and spoken.made else [])]
        self.rng.shuffle(makers)
        for make in makers:
            made = make()
            if made:
                return made
        return None

    def _topic(self) -> tuple[Seen, Expression] | None:
        """The picture and the thing in it that "it" stands for."""
        if not self.context.topic:
            return None
        seen = self.context.seen[self.context.topic[0]]
        return (seen, self.context.topic[1]) if seen.kind == MediaKind.IMAGE and seen.scene else None

    # ---- the thing last spoken of ----

    def segment(self) -> Exchange | None:
        seen, thing = self._topic() or (None, None)
        if not seen or not thing or self.last.task == "seg":
            return None
        region = self.region(seen, thing.said, thing.targets)
        verb = f"Here {self.be(seen, thing.targets)} "
        answer = (TextPart(verb), region, TextPart("."), call(Task.IMAGE_SEGMENTATION, thing.said, (seen.id,), (region,)))
        return self._exchange("seg", "segment", {}, answer, (Outcome(label=thing.said, box=region.boxes[0]),), seen, thing)

    def find(self) -> Exchange | None:
        seen, thing = self._topic() or (None, None)
        if not seen or not thing or self.last.task == "ground":
            return None
        region, be = self.region(seen, capital(thing.said), thing.targets), self.be(seen, thing.targets)
        return self._exchange("ground", "find", {}, (region, TextPart(f" {be} {place_of(region.boxes[0])}.")), (), seen, thing)

    def remove(self) -> Exchange | None:
        seen, thing = self._topic() or (None, None)
        if not seen or not thing or seen.scene is None:
            return None
        outcome = Outcome(without_thing(seen.scene, thing.targets[0]))
        return self._region_edit("remove", {}, f"remove {thing.said}", f"Here it is without {thing.said}.", outcome, None)

    def recolour(self) -> Exchange | None:
        seen, thing = self._topic() or (None, None)
        if not seen or not thing or seen.scene is None:
            return None
        colour = self.rng.choice(entries("content", "colours", self.context.part))
        plain = replace(thing, said=f"the {seen.scene.regions[thing.targets[0]].label}")
        outcome = Outcome(with_colour(seen.scene, thing.targets[0], colour))
        return self._region_edit("recolour", {"colour": colour}, f"make {plain.said} {colour}", f"Now it is {colour}.", outcome, plain)

    def bigger(self) -> Exchange | None:
        seen, thing = self._topic() or (None, None)
        if not seen or not thing or seen.scene is None:
            return None
        size = self.rng.choice(("bigger", "bigger", "smaller"))
        plain = replace(thing, said=f"the {seen.scene.regions[thing.targets[0]].label}")
        outcome = Outcome(with_size(seen.scene, thing.targets[0], SIZES[size]))
        return self._region_edit(size, {}, f"make {plain.said} {size}", f"Now it is {size}.", outcome, plain)

    def _region_edit(
        self, operation: str, values: dict[str, str], prompt: str, said: str, outcome: Outcome, topic: Expression | None
    ) -> Exchange | None:
        seen, thing = self._topic() or (None, None)
        assert seen is not None and thing is not None
        region = self.region(seen, prompt, thing.targets)
        answer = (TextPart(said), call(Task.REASONING_EDITING, prompt, (seen.id,), (region,)))
        return self._exchange("redit", operation, values, answer, (outcome,), seen, topic)

    def beside(self) -> Exchange | None:
        """Something new next to it."""
        seen, thing = self._topic() or (None, None)
        if not seen or not thing or len(thing.targets) > 1:
            return None
        new = draw_content(self.rng, self.context.part)
        added = Changer(self.rng, self.context).added(seen, new, thing, "it")
        if not added:
            return None
        where, answer, outcome = added
        return self._exchange("redit", "beside", {"new": new, "where": where}, answer, (outcome,), seen, None)

    # ---- the wrong thing ----

    def correct(self) -> Exchange | None:
        """Another thing than the one that was outlined, found, removed or changed, in the picture as it was before."""
        seen = self.context.seen.get(self.last.about)
        if not seen or seen.kind != MediaKind.IMAGE or not seen.scene or self.last.manner not in ("call", "answer"):
            return None
        pointed = [part for part in self.last.answer if isinstance(part, RegionPart)]
        pointed += [region for call_ in self.last.calls() for region in call_.regions]
        thing = self._unlike({box for region in pointed for box in region.boxes}, seen)
        if not pointed or not thing:
            return None
        asked = (
            re.sub(rf"\b{re.escape(seen.scene.regions[thing.targets[0]].label)}\b", "one", thing.asked)
            if self.rng.random() < 0.6
            else thing.asked
        )
        values = {"e": thing.asked if asked == "the one" else asked}
        if self.last.task == "redit":
            return self._redone(seen, thing, values)
        be, region = self.be(seen, thing.targets), self.region(seen, thing.said, thing.targets)
        if self.last.task == "ground":
            answer: tuple[Part, ...] = (replace(region, phrase=capital(thing.said)), TextPart(f" {be} {place_of(region.boxes[0])}."))
            return self._exchange("ground", "correct", values, answer, (), seen, thing)
        answer = (TextPart(f"Here {be} "), region, TextPart("."), call(Task.IMAGE_SEGMENTATION, thing.said, (seen.id,), (region,)))
        return self._exchange("seg", "correct", values, answer, (Outcome(label=thing.said, box=region.boxes[0]),), seen, thing)

    def _unlike(self, told: set[Box], seen: Seen) -> Expression | None:
        """Words for one thing of the picture that is in none of the boxes, rather one of the same kind."""
        assert seen.scene is not None
        boxes = [region.box for region in seen.scene.regions]
        kinds = {seen.scene.regions[index].label for index in seen.scene.things if boxes[index] in told}
        found = [made for _ in range(6) if (made := self.expression(seen, single=True)) and boxes[made.targets[0]] not in told]
        alike = [made for made in found if seen.scene.regions[made.targets[0]].label in kinds]
        return next(iter(alike or found), None)

    def _redone(self, seen: Seen, thing: Expression, values: dict[str, str]) -> Exchange | None:
        """The last edit of one thing, done to another."""
        edit = re.fullmatch(r"(remove|make) .+? ?(\w*)", self.last.calls()[0].prompt) if self.last.calls() else None
        if not edit:
            return None
        given = edit[2] if edit[1] == "make" else ""
        operation = "remove" if edit[1] == "remove" else given if given in SIZES else "recolour"
        if operation == "recolour" and not known_colour(given):
            return None
        prompt, said, outcome = Changer(self.rng, self.context).done(operation, {"colour": given}, seen, thing)
        region = self.region(seen, prompt, thing.targets)
        answer = (TextPart(said), call(Task.REASONING_EDITING, prompt, (seen.id,), (region,)))
        return self._exchange("redit", "correct", values, answer, (outcome,), seen, None)

    # ---- the next thing ----

    def other(self) -> Exchange | None:
        seen = self.context.seen.get(self.last.about)
        if not seen or not seen.scene or not seen.scene.things:
            return None
        thing = self.expression(seen)
        if not thing or (self.last.topic and thing.said == self.last.topic.said):
            return None
        region = self.region(seen, thing.said, thing.targets)
        verb = f"Here {self.be(seen, thing.targets)} "
        answer = (TextPart(verb), region, TextPart("."), call(Task.IMAGE_SEGMENTATION, thing.said, (seen.id,), (region,)))
        outcomes = tuple(Outcome(label=thing.said, box=box) for box in region.boxes)
        return self._exchange("seg", "other", {"e": thing.asked}, answer, outcomes, seen, thing if len(thing.targets) == 1 else None)

    # ---- the picture or clip last spoken of ----

    def change(self) -> Exchange | None:
        return self._whole(self.context.seen[self.context.spoken], "change", {})

    def original(self) -> Exchange | None:
        """Back to an earlier picture or clip, by name."""
        spoken = self.context.seen[self.context.spoken]
        earlier = [seen for seen in self.context.of_kind(spoken.kind) if seen.id != spoken.id]
        if not earlier:
            return None
        seen = self.rng.choice(earlier)
        return self._whole(seen, "original", {"name": self.rng.choice(names_of(self.context, seen))})

    def _whole(self, seen: Seen, operation: str, values: dict[str, str], prompt: str = "", state: str = "") -> Exchange:
        change = draw_change(self.rng)
        if not prompt:
            prompt, state = change.call, change.state
            values = values | {"do": change.do, "state": change.state}
        tag = Task.VIDEO_EDITING if seen.kind == MediaKind.VIDEO else Task.IMAGE_EDITING
        answer = (TextPart(f"Here it is {state}." if state else "Here you are."), call(tag, prompt, (seen.id,)))
        return self._exchange(tag.value, operation, values, answer, (changed(seen, prompt),), seen, None)

    def same(self) -> Exchange | None:
        """The last edit once more, on another picture."""
        done = self.last.calls()[0]
        others = [seen for seen in self.context.of_kind(MediaKind.IMAGE) if seen.id not in (self.last.about, self.context.spoken)]
        if not others:
            return None
        seen = self.rng.choice(others)
        return self._whole(seen, "same", {"name": self.rng.choice(names_of(self.context, seen))}, done.prompt)

    def animate(self) -> Exchange | None:
        seen = self.context.seen[self.context.spoken]
        motion = self.rng.choice(entries("videos", "motions", self.context.part))
        answer = (TextPart("Here it moves."), call(Task.IMAGE_TO_VIDEO, motion, (seen.id,)))
        return self._exchange("ivgen", "animate", {"m": motion}, answer, (Outcome(seen.scene, label=motion),), seen, None)

    # ---- what was just made ----

    def another(self) -> Exchange | None:
        return self._again("another", {}, lambda prompt: prompt) if self.rng.random() < 0.5 else None

    def restyle(self) -> Exchange | None:
        style = self.rng.choice(entries("pictures", "styles", self.context.part))
        return self._again("restyle", {"style": style}, lambda prompt: f"{prompt.split(', ')[0]}, {style}")

    def refilm(self) -> Exchange | None:
        manner = self.rng.choice(entries("videos", "manners", self.context.part))
        return self._again("refilm", {"manner": manner}, lambda prompt: f"{prompt} {manner}")

    def length(self) -> Exchange | None:
        seconds = self.rng.choice([2, 3, 6, 8, 10, 12, 15, 20, 30])
        return self._again("length", {"seconds": str(seconds)}, lambda prompt: sound_prompt(prompt.rsplit(", ", 1)[0], seconds))

    def _again(self, operation: str, values: dict[str, str], renew: Callable[[str], str]) -> Exchange | None:
        done: TaskCall = self.last.calls()[0]
        prompt = renew(done.prompt)
        outcome = replace(self.last.outcomes[0][0], label=prompt)
        answer = (TextPart("Here you are."), replace(done, prompt=prompt))
        return self._exchange(self.last.task, operation, values, answer, (outcome,), None, None)

    def _exchange(
        self,
        task: str,
        operation: str,
        values: dict[str, str],
        answer: tuple[Part, ...],
        outcomes: tuple[Outcome, ...],
        about: Seen | None,
        topic: Expression | None,
    ) -> Exchange:
        phrasing = self.phrasing("followup", operation)
        manner: Manner = "call" if outcomes else "answer"
        given = (outcomes,) if outcomes else ()
        return Exchange(task, (phrasing.id,), self.ask(phrasing, values), answer, manner, given, about.id if about else "", topic)
