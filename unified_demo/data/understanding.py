"""Requests to understand what is there: outline, follow, find, describe, answer; for pictures, videos and sounds.

Every referring expression fits exactly its target (see ``expressions``); what is not there is refused, what is unclear asked back.
"""

from unified_demo.data.captions import caption, listed
from unified_demo.data.context import KIND_WORDS, Choice, Seen
from unified_demo.data.dialogues import HERE
from unified_demo.data.exchanges import Exchange, Outcome, Writer, call, capital, countable_of
from unified_demo.data.expressions import Expression
from unified_demo.data.planned import PlannedScene
from unified_demo.data.reasons import PURPOSES_FILE, reason_about
from unified_demo.data.roles import Asked, ask_about_links
from unified_demo.data.scenes import Scene
from unified_demo.data.wordings import Phrasing, entries
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.messages import Part, RegionPart, TextPart
from unified_demo.nouns import countable, definite, is_plural, plural, said
from unified_demo.regions import COLOURS, place_of

QUESTIONS = ("count", "count", "exists", "exists", "colour", "where", "what", "beside", "reason", "reason")
REASONED = 0.3
"""Share of requests for an outline that ask what a thing is for, where the scene allows it."""
LINKED_SHARE = 0.3
"""Share of the requests above that ask who does what where the scene knows relations; they more often find a question than the others."""
CLEAR = 1.5
"""The biggest thing must be so many times as large as the next one to be called so."""


def _grown(expression: Expression) -> Expression | None:
    """One may say "it" only of a single thing."""
    return expression if len(expression.targets) == 1 else None


class Observer(Writer):
    """Writes requests to outline, follow and find things, and to describe what is there."""

    def outline(self) -> Exchange | None:
        if self.rng.random() < REASONED:
            choice = self.pick(MediaKind.IMAGE, self.known(MediaKind.IMAGE))
            reasoned = self.reasoned(self.phrasing("seg", "reason"), choice) if choice and not self.manner else None
            if reasoned:
                return reasoned
        return self._pointed("seg", MediaKind.IMAGE)

    def reasoned(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        """What a thing is for, or who does what with it, without its name."""
        scene = choice.seen.scene
        assert scene is not None
        linked = ask_about_links(self.rng, scene) if scene.links and self.rng.random() < LINKED_SHARE else None
        asked = linked or self._purpose(scene)
        if not asked:
            return None
        label = scene.regions[asked.targets[0]].label
        thing = Expression(f"the {label}", asked.said, asked.targets, "relation" if linked else "hint")
        noun = capital(definite(label, len(asked.targets)))
        answer: tuple[Part, ...] = (self.region(choice.seen, noun, asked.targets), TextPart(f" {asked.why}."))
        user = self.ask(phrasing, {"q": asked.question}, choice.name)
        if phrasing.task != "seg":
            return Exchange(phrasing.task, (phrasing.id,), user, answer, "answer", (), choice.seen.id, _grown(thing))
        region = self.region(choice.seen, thing.said, asked.targets)
        answer = (*answer, call(Task.IMAGE_SEGMENTATION, thing.said, (choice.seen.id,), (region,)))
        outcomes = tuple(Outcome(label=thing.said, box=box) for box in region.boxes)
        return Exchange("seg", (phrasing.id,), user, answer, "call", (outcomes,), choice.seen.id, _grown(thing))

    def _purpose(self, scene: Scene) -> Asked | None:
        if isinstance(scene, PlannedScene) and scene.plan is not None:
            found = reason_about(self.rng, [(item.noun, item.category) for item in scene.plan.objects])
        else:
            there = [scene.regions[index].label for index in scene.things] + [label for label, _ in scene.unseen]
            found = reason_about(self.rng, [(label, "") for label in sorted(set(there))], table=PURPOSES_FILE)
            found = found if found and there.count(found[1]) == 1 else None
        targets = tuple(index for index in scene.things if found and scene.regions[index].label == found[1])
        if not found or not targets:
            return None
        fact, noun = found
        return Asked(self.rng.choice(fact.ask), targets, definite(noun, len(targets)), fact.why)

    def follow(self) -> Exchange | None:
        return self._pointed("vseg", MediaKind.VIDEO)

    def find(self) -> Exchange | None:
        roll = self.rng.random()
        if roll < 0.15 and self.context.of_kind(MediaKind.VIDEO):
            return self._when_seen()
        if roll < 0.35 and self.context.of_kind(MediaKind.AUDIO):
            return self._when_heard()
        return self._pointed("ground", MediaKind.IMAGE)

    def _pointed(self, task: str, kind: MediaKind) -> Exchange | None:
        """Outline, follow or find: the same words for the thing, another answer."""
        operation = "image" if task == "ground" else ""
        if not self.context.of_kind(kind):
            thing = f"the {self.rng.choice(self.context.labels)}"
            return self.nothing_there(task, operation, kind, {"e": thing, "one": thing})
        choice = self.pick(kind, self.known(kind))
        if not choice:
            return None
        refused = self._refused(task, operation, choice) if self.rng.random() < 0.12 and not self.forced else None
        if refused:
            return refused
        if task == "ground" and self.rng.random() < 0.3:
            return self._several(choice)
        expression = self.expression(choice.seen, single=task == "vseg")
        if not expression:
            return None
        phrasing = self.phrasing(task, operation, frozenset({"one"}) if self.plural(choice.seen, expression) else frozenset())
        shown = self.shown(choice.seen, expression)
        asked = HERE if shown else self.casual(expression.asked)
        user = self.ask(phrasing, {"e": asked, "one": asked}, choice.name, shown)
        if task == "ground":
            return Exchange(
                task, (phrasing.id,), user, self._found(choice.seen, expression), about=choice.seen.id, topic=_grown(expression)
            )
        answer, outcome = self.called(task, choice.seen, expression)
        return Exchange(task, (phrasing.id,), user, answer, "call", (outcome,), choice.seen.id, _grown(expression))

    def _refused(self, task: str, operation: str, choice: Choice) -> Exchange | None:
        assert choice.seen.scene is not None
        if self.rng.random() < 0.65:
            label = self.absent_label(choice.seen.scene)
            if not label:
                return None
            tail = self.rng.choice(["", "", " on the left", " on the right", " in the background"])
            values = {"e": f"the {label}{tail}", "one": f"the {label}{tail}"}
            return self.not_seen(self.phrasing(task, operation), values, choice, label)
        label = self.several_alike(choice.seen)
        if not label or task == "ground":
            return None
        return self.which_one(self.phrasing(task, operation), {"e": f"the {label}", "one": f"the {label}"}, choice, label)

    def called(self, task: str, seen: Seen, expression: Expression) -> tuple[tuple[Part, ...], tuple[Outcome, ...]]:
        region = self.region(seen, expression.said, expression.targets)
        tag = Task(task)
        made = call(tag, expression.said, (seen.id,), (region,))
        if tag == Task.VIDEO_SEGMENTATION:
            return (TextPart(f"I will follow {expression.said}."), made), (Outcome(label=expression.said, box=region.boxes[0]),)
        verb = f"Here {self.be(seen, expression.targets)} "
        outcomes = tuple(Outcome(label=expression.said, box=box) for box in region.boxes)
        return (TextPart(verb), region, TextPart("."), made), outcomes

    def _found(self, seen: Seen, expression: Expression) -> tuple[Part, ...]:
        if len(expression.targets) > 1 or expression.kind in ("place", "order"):
            be = self.be(seen, expression.targets)
            return TextPart(f"Here {be} "), self.region(seen, expression.said, expression.targets), TextPart(".")
        place = place_of(self.region(seen, "", expression.targets).boxes[0])
        be = self.be(seen, expression.targets)
        return self.region(seen, capital(expression.said), expression.targets), TextPart(f" {be} {place}.")

    def _several(self, choice: Choice) -> Exchange | None:
        """Several things in one request, each with its own region."""
        drawn = [self.describer(choice.seen).any() for _ in range(self.rng.randint(2, 5))]
        wanted = list({expression.said: expression for expression in drawn if expression}.values())
        if len(wanted) < 2:
            return None
        phrasing = self.phrasing("ground", "image", frozenset({"one"}))
        asked = ", ".join(one.asked for one in wanted[:-1]) + self.rng.choice([" and ", ", "]) + wanted[-1].asked
        shown: list[Part] = [self.region(choice.seen, one.said, one.targets) for one in wanted]
        answer = (TextPart("Here are "), *listed(shown), TextPart("."))
        return Exchange("ground", (phrasing.id,), self.ask(phrasing, {"e": asked}, choice.name), answer, about=choice.seen.id)

    # ---- times ----

    def _when_seen(self) -> Exchange | None:
        choice = self.pick(MediaKind.VIDEO, self.known(MediaKind.VIDEO))
        if not choice or not choice.seen.scene:
            return None
        phrasing = self.phrasing("ground", "video")
        alone = [same[0] for label, same in self.describer(choice.seen).by_label.items() if len(same) == 1 and not is_plural(label)]
        if not alone or self.rng.random() < 0.1:
            label = self.absent_label(choice.seen.scene)
            return self.not_seen(phrasing, {"one": f"the {label}"}, choice, label) if label else None
        index = self.rng.choice(alone)
        label = choice.seen.scene.regions[index].label
        span = choice.seen.spans.get(index)
        answer: tuple[Part, ...] = (TextPart(f"The {label} is there all the time."),)
        if span:
            answer = (RegionPart(f"The {label}", (), (span,), choice.seen.id), TextPart(" is seen then."))
        user = self.ask(phrasing, {"one": f"the {label}"}, choice.name)
        return Exchange("ground", (phrasing.id,), user, answer, about=choice.seen.id)

    def _when_heard(self) -> Exchange | None:
        choice = self.pick(MediaKind.AUDIO)
        if not choice or not choice.seen.events:
            return None
        phrasing = self.phrasing("ground", "sound")
        heard = {event.name for event in choice.seen.events}
        if self.rng.random() < 0.15:
            name = self.rng.choice([name for name in entries("sounds", "names", self.context.part) if name not in heard])
            answer: tuple[Part, ...] = (TextPart(f"I do not hear {name} in this {KIND_WORDS[MediaKind.AUDIO][1]}."),)
            user = self.ask(phrasing, {"s": name}, choice.name)
            return Exchange("ground", (phrasing.id,), user, answer, "refuse", about=choice.seen.id)
        event = self.rng.choice(choice.seen.events)
        answer = (TextPart("I hear "), RegionPart(event.name, (), (event.span,), choice.seen.id), TextPart("."))
        return Exchange("ground", (phrasing.id,), self.ask(phrasing, {"s": event.name}, choice.name), answer, about=choice.seen.id)

    # ---- descriptions ----

    def describe(self) -> Exchange | None:
        kinds = [kind for kind in (MediaKind.IMAGE, MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO) if self.context.of_kind(kind)]
        kind = self.forced.seen.kind if self.forced else self.rng.choice(kinds or [MediaKind.IMAGE])
        operation = {MediaKind.IMAGE: "image", MediaKind.VIDEO: "video", MediaKind.AUDIO: "sound"}[kind]
        if not kinds:
            return self.nothing_there("caption", operation, kind, {})
        choice = self.pick(kind, [seen for seen in self.context.of_kind(kind) if seen.scene or seen.events])
        if not choice:
            return None
        phrasing = self.phrasing("caption", operation)
        answer = self._heard(choice.seen) if kind == MediaKind.AUDIO else self._caption(choice.seen)
        return Exchange("caption", (phrasing.id,), self.ask(phrasing, {}, choice.name), answer, about=choice.seen.id)

    def _caption(self, seen: Seen) -> tuple[Part, ...]:
        assert seen.scene is not None
        return caption(seen.scene, lambda phrase, targets: self.region(seen, phrase, targets), self.rng)

    def _heard(self, seen: Seen) -> tuple[Part, ...]:
        parts: list[Part] = [TextPart("I hear ")]
        for place, event in enumerate(seen.events):
            parts += [TextPart(", then ")] if place else []
            parts.append(RegionPart(event.name, (), (event.span,), seen.id))
        return (*parts, TextPart("."))


class Answerer(Observer):
    """Writes questions about a picture: how many, is there, what colour, where, what, beside what."""

    def question(self) -> Exchange | None:
        operation = self.rng.choice(QUESTIONS)
        label = self.rng.choice(countable_of(self.context.labels))
        values = {"n": plural(label), "a": said(label, 1), "one": f"the {label}", "q": "What would keep you dry in the rain?"}
        if not self.context.of_kind(MediaKind.IMAGE):
            return self.nothing_there("question", operation, MediaKind.IMAGE, values)
        choice = self.pick(MediaKind.IMAGE, self.known(MediaKind.IMAGE))
        if not choice:
            return None
        phrasing = self.phrasing("question", operation)
        return getattr(self, f"_{operation}")(phrasing, choice)

    def _exchange(
        self, phrasing: Phrasing, values: dict[str, str], choice: Choice, answer: tuple[Part, ...], topic: Expression | None = None
    ) -> Exchange:
        user = self.ask(phrasing, values, choice.name)
        return Exchange("question", (phrasing.id,), user, answer, "answer", (), choice.seen.id, topic)

    def _some_label(self, seen: Seen) -> str | None:
        """A countable kind of thing that is there, or one time in three one that is not."""
        assert seen.scene is not None
        if self.rng.random() < 0.33:
            label = self.absent_label(seen.scene)
            return label if label and countable(label) else None
        found = [label for label, same in self.describer(seen).by_label.items() if countable(label) and len(same) <= 10]
        return self.rng.choice(found) if found else None

    def _noun(self, seen: Seen, label: str) -> str:
        """The label or another name for it, in the singular."""
        noun = self.describer(seen).noun(label)
        return noun if countable(noun) else label

    def _count(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        label = self._some_label(choice.seen)
        if not label:
            return None
        found = tuple(self.describer(choice.seen).by_label.get(label, ()))
        values = {"n": plural(self._noun(choice.seen, label))}
        if not found:
            return self._exchange(phrasing, values, choice, (TextPart(f"I see no {plural(label)} here."),))
        phrase = f"one {label}" if len(found) == 1 else said(label, len(found))
        lead = TextPart("There is " if len(found) == 1 else "There are ")
        return self._exchange(phrasing, values, choice, (lead, self.region(choice.seen, phrase, found), TextPart(".")))

    def _exists(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        label = self._some_label(choice.seen)
        if not label:
            return None
        found = tuple(self.describer(choice.seen).by_label.get(label, ()))
        noun = self._noun(choice.seen, label)
        values = {"n": plural(noun), "a": said(noun, 1)}
        if not found:
            return self._exchange(phrasing, values, choice, (TextPart(f"No, I cannot see {said(label, 1)} here."),))
        lead = TextPart("Yes, there is " if len(found) == 1 else "Yes, there are ")
        topic = Expression(f"the {label}", f"the {label}", found, "name") if len(found) == 1 else None
        region = self.region(choice.seen, said(label, len(found)), found)
        return self._exchange(phrasing, values, choice, (lead, region, TextPart(".")), topic)

    def _colour(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        expression = self.expression(choice.seen, single=True)
        if not expression or expression.kind == "colour" or self.plural(choice.seen, expression):
            return None
        assert choice.seen.scene is not None
        shares = choice.seen.scene.regions[expression.targets[0]].colours[0]
        order = shares.argsort()[::-1]
        if shares[order[0]] < 0.3:
            return None
        colours = COLOURS[order[0]] + (f" and {COLOURS[order[1]]}" if shares[order[1]] > 0.25 else "")
        answer = (self.region(choice.seen, capital(expression.said), expression.targets), TextPart(f" is mostly {colours}."))
        return self._exchange(phrasing, {"one": expression.asked}, choice, answer, expression)

    def _where(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        expression = self.expression(choice.seen, single=True)
        if not expression or expression.kind == "place" or self.plural(choice.seen, expression):
            return None
        region = self.region(choice.seen, capital(expression.said), expression.targets)
        answer = (region, TextPart(f" is {place_of(region.boxes[0])}."))
        return self._exchange(phrasing, {"one": expression.asked}, choice, answer, expression)

    def _what(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        scene = choice.seen.scene
        assert scene is not None
        by_size = sorted(scene.things, key=lambda index: -scene.regions[index].box.area)
        if len(by_size) > 1 and scene.regions[by_size[0]].box.area < CLEAR * scene.regions[by_size[1]].box.area:
            return None
        name = scene.names.get(by_size[0], scene.regions[by_size[0]].label)
        answer = (TextPart("It is "), self.region(choice.seen, said(name, 1), (by_size[0],)), TextPart("."))
        topic = Expression(f"the {name}", f"the {name}", (by_size[0],), "name")
        return self._exchange(phrasing, {}, choice, answer, topic)

    def _beside(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        """The nearest neighbour, when it is clearly the nearest."""
        expression = self.expression(choice.seen, single=True)
        scene = choice.seen.scene
        if not expression or scene is None or len(scene.things) < 2 or self.plural(choice.seen, expression):
            return None
        target = expression.targets[0]
        gaps = sorted((_gap(scene.regions[target].box, scene.regions[other].box), other) for other in scene.things if other != target)
        if gaps[0][0] > 0.25 or (len(gaps) > 1 and gaps[1][0] < gaps[0][0] + 0.08):
            return None
        nearest = gaps[0][1]
        region = self.region(choice.seen, capital(said(scene.regions[nearest].label, 1)), (nearest,))
        beside = TextPart(f" {self.be(choice.seen, (nearest,))} next to {expression.said}.")
        return self._exchange(phrasing, {"one": expression.asked}, choice, (region, beside))

    def _reason(self, phrasing: Phrasing, choice: Choice) -> Exchange | None:
        return self.reasoned(phrasing, choice)


def _gap(first: Box, second: Box) -> float:
    """Gap between two boxes plus a little of the distance of their centres, in shares of the picture."""
    gap_x, gap_y = (
        max(0.0, max(first.x0, second.x0) - min(first.x1, second.x1)),
        max(0.0, max(first.y0, second.y0) - min(first.y1, second.y1)),
    )
    (x, y), (u, v) = ((box.x0 + box.x1, box.y0 + box.y1) for box in (first, second))
    return (gap_x**2 + gap_y**2) ** 0.5 + 0.05 * ((x - u) ** 2 + (y - v) ** 2) ** 0.5
