"""Requests that change what is there: whole pictures, whole clips, one thing in a picture.

What an edit makes of the scene is kept as the outcome, so that later turns speak of the changed picture.
"""

from dataclasses import replace

from unified_demo.data.arrangements import place_for
from unified_demo.data.context import Choice, Seen, with_colour, with_label, with_size, with_thing, without_colours, without_thing
from unified_demo.data.dialogues import HERE
from unified_demo.data.exchanges import Exchange, Outcome, Writer, call
from unified_demo.data.expressions import Expression
from unified_demo.data.wordings import Phrasing, draw_change, draw_content, entries
from unified_demo.grammar import MediaKind, Task
from unified_demo.messages import Part, RegionPart, TextPart

OPERATIONS = ("remove", "replace", "add", "recolour", "resize")
SIZES = {"bigger": 1.4, "smaller": 0.7}
"""How much longer a side becomes."""
SIDES = {
    "left": ("on the left", "at the left side", "on the left side of the picture"),
    "right": ("on the right", "at the right side", "on the right side of the picture"),
    "top": ("at the top", "in the upper part"),
    "bottom": ("at the bottom", "in the foreground"),
    "middle": ("in the middle", "in the centre"),
}
BESIDE = {
    "left of": ("to the left of {e}", "left of {e}"),
    "right of": ("to the right of {e}", "right of {e}", "next to {e}", "beside {e}"),
    "above": ("above {e}", "over {e}"),
    "below": ("below {e}", "under {e}"),
    "on": ("on {e}", "on top of {e}"),
}
GENERIC = {
    MediaKind.IMAGE: ("edit the picture", "change something", "make it nicer", "can you edit photos?"),
    MediaKind.VIDEO: ("edit the video", "change the clip a bit", "make the video nicer"),
}


class Changer(Writer):
    """Writes requests that change pictures and clips."""

    def picture(self) -> Exchange | None:
        return self._whole("edit", Task.IMAGE_EDITING, MediaKind.IMAGE)

    def film(self) -> Exchange | None:
        return self._whole("vedit", Task.VIDEO_EDITING, MediaKind.VIDEO)

    def _whole(self, task: str, tag: Task, kind: MediaKind) -> Exchange | None:
        change = draw_change(self.rng)
        values = {"do": change.do, "state": change.state, "noun": change.noun}
        choice = self.pick(kind)
        if not choice:
            return self.nothing_there(task, "", kind, values)
        if self.rng.random() < 0.03:
            asked = TextPart(self.rng.choice(GENERIC[kind]))
            return Exchange(task, (f"{task}.unsaid",), (asked,), (TextPart("What shall I change in it?"),), "clarify")
        phrasing = self.phrasing(task)
        answer = (self.say(f"Here it is {change.state}.", "Here you are."), call(tag, change.call, (choice.seen.id,)))
        outcome = changed(choice.seen, change.call)
        user = self.ask(phrasing, values, choice.name)
        return Exchange(task, (phrasing.id,), user, answer, "call", ((outcome,),), choice.seen.id)

    # ---- one thing ----

    def region_edit(self) -> Exchange | None:
        operation = self.rng.choice(OPERATIONS)
        operation = self.rng.choice(list(SIZES)) if operation == "resize" else operation
        new, colour = draw_content(self.rng, self.context.part), self.rng.choice(entries("content", "colours"))
        values = {"new": new, "colour": colour, "where": "on the left"}
        if not self.context.of_kind(MediaKind.IMAGE):
            return self.nothing_there("redit", operation, MediaKind.IMAGE, values | {"e": f"the {self.rng.choice(self.context.labels)}"})
        choice = self.pick(MediaKind.IMAGE, self.known(MediaKind.IMAGE))
        if not choice:
            return None
        phrasing = self.phrasing("redit", operation)
        refused = self._refused(phrasing, values, choice) if operation != "add" and self.rng.random() < 0.12 else None
        if refused:
            return refused
        if operation == "add":
            return self._add(phrasing, values, choice)
        return self._change(phrasing, values, choice)

    def _refused(self, phrasing: Phrasing, values: dict[str, str], choice: Choice) -> Exchange | None:
        assert choice.seen.scene is not None
        if self.rng.random() < 0.6:
            label = self.absent_label(choice.seen.scene)
            return self.not_seen(phrasing, values | {"e": f"the {label}"}, choice, label) if label else None
        label = self.several_alike(choice.seen)
        return self.which_one(phrasing, values | {"e": f"the {label}"}, choice, label) if label else None

    def _change(self, phrasing: Phrasing, values: dict[str, str], choice: Choice) -> Exchange | None:
        expression = self.expression(choice.seen, single=True)
        if not expression:
            return None
        shown = self.shown(choice.seen, expression)
        asked = HERE if shown else self.casual(expression.asked)
        user = self.ask(phrasing, values | {"e": asked}, choice.name, shown)
        prompt, said, outcome = self.done(phrasing.operation, values, choice.seen, expression)
        region = self.region(choice.seen, prompt, expression.targets)
        answer = (TextPart(said), call(Task.REASONING_EDITING, prompt, (choice.seen.id,), (region,)))
        scene = choice.seen.scene
        assert scene is not None
        plain = replace(expression, said=f"the {scene.regions[expression.targets[0]].label}")
        topic = plain if phrasing.operation in ("recolour", *SIZES) else None
        return Exchange("redit", (phrasing.id,), user, answer, "call", ((outcome,),), choice.seen.id, topic)

    def done(self, operation: str, values: dict[str, str], seen: Seen, expression: Expression) -> tuple[str, str, Outcome]:
        """What the expert is told, what the user is told, and what comes out."""
        scene, target, thing = seen.scene, expression.targets[0], expression.said
        assert scene is not None
        if operation == "remove":
            return f"remove {thing}", f"Here it is without {thing}.", Outcome(without_thing(scene, target))
        if operation == "replace":
            label = values["new"].split(" ", 1)[1]
            outcome = Outcome(with_label(scene, target, label, self.rng), label=label)
            return f"replace {thing} with {values['new']}", f"Now there is {values['new']} instead.", outcome
        if operation in SIZES:
            return f"make {thing} {operation}", f"Now it is {operation}.", Outcome(with_size(scene, target, SIZES[operation]))
        colour = values["colour"]
        return f"make {thing} {colour}", f"Now it is {colour}.", Outcome(with_colour(scene, target, colour))

    def _add(self, phrasing: Phrasing, values: dict[str, str], choice: Choice) -> Exchange | None:
        beside = None if self.rng.random() < 0.5 else self.expression(choice.seen, single=True)
        added = self.added(choice.seen, values["new"], beside)
        if not added:
            return None
        where, answer, outcome = added
        user = self.ask(phrasing, values | {"where": where}, choice.name)
        return Exchange("redit", (phrasing.id,), user, answer, "call", ((outcome,),), choice.seen.id)

    def added(self, seen: Seen, new: str, beside: Expression | None, called: str = "") -> tuple[str, tuple[Part, ...], Outcome] | None:
        """Where the user wants ``new``: somewhere in the picture, or ``beside`` a thing that the user calls so (``called``); the answer
        with its call, and what comes out. None where there is no room."""
        scene = seen.scene
        assert scene is not None
        side = self.rng.choice(list(BESIDE if beside else SIDES))
        if beside:
            where = self.rng.choice(BESIDE[side]).format(e=called or beside.asked)
            said, box = BESIDE[side][0].format(e=beside.said), place_for(side, scene.regions[beside.targets[0]].box)
        else:
            where, said, box = self.rng.choice(SIDES[side]), SIDES[side][0], place_for(side, None)
        if box is None:
            return None
        prompt = f"add {new} {said}"
        region = RegionPart(prompt, (box,), artefact_id=seen.id)
        answer = (TextPart(f"Here is {new} {said}."), call(Task.REASONING_EDITING, prompt, (seen.id,), (region,)))
        label = new.split(" ", 1)[1]
        return where, answer, Outcome(with_thing(scene, label, box, self.rng), label=label)


def changed(seen: Seen, prompt: str) -> Outcome:
    """What a change of the whole picture or clip gives: the same things in the same places, in other colours."""
    return Outcome(without_colours(seen.scene) if seen.scene else None, tuple(seen.spans.items()), label=prompt)
