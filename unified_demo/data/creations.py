"""Requests for something new: pictures, pictures with things in their places, videos, pictures that move, sounds.

Prompts come from the slot words, boxes from ``arrangements``. Every writer gives an Exchange or None when nothing fits.
"""

import numpy as np

from unified_demo.data.context import Event, Seen
from unified_demo.data.exchanges import Exchange, Outcome, Writer, call, countable_of
from unified_demo.data.layout_prompts import Planned, draw_planned, told
from unified_demo.data.scenes import Scene, draw_colours
from unified_demo.data.wordings import draw_film, draw_prompt, draw_sound, entries
from unified_demo.grammar import Box, MediaKind, Task, TimeSpan
from unified_demo.messages import RegionPart, TextPart
from unified_demo.promises import PROMISES
from unified_demo.regions import Region, with_whole_picture

USUAL_SECONDS = 5


class Creator(Writer):
    """Writes requests for new pictures, videos and sounds."""

    def picture(self, given: str = "") -> Exchange:
        """A picture of ``given``, or of a drawn prompt."""
        prompt = given or draw_prompt(self.rng, self.context.part)
        phrasing = self.phrasing("gen")
        answer = (self.say(*PROMISES[Task.IMAGE_GENERATION]), call(Task.IMAGE_GENERATION, prompt))
        return Exchange("gen", (phrasing.id,), self.ask(phrasing, {"p": prompt}), answer, "call", ((Outcome(label=prompt),),))

    def film(self) -> Exchange | None:
        prompt = draw_film(self.rng, self.context.part)
        phrasing = self.phrasing("vgen")
        answer = (self.say(*PROMISES[Task.VIDEO_GENERATION]), call(Task.VIDEO_GENERATION, prompt))
        return Exchange("vgen", (phrasing.id,), self.ask(phrasing, {"p": prompt}), answer, "call", ((Outcome(label=prompt),),))

    def sound(self) -> Exchange | None:
        sound, seconds = draw_sound(self.rng, self.context.part), USUAL_SECONDS
        phrasing = self.phrasing("agen")
        length = ""
        if "for" in phrasing.slots and self.rng.random() < 0.4:
            seconds = self.rng.choice([2, 3, 4, 6, 8, 10, 12, 15, 20, 30])
            length = self.rng.choice([f", {seconds} seconds", f" for {seconds} seconds", f", {seconds} s long"])
        answer = (self.say(*PROMISES[Task.AUDIO_GENERATION]), call(Task.AUDIO_GENERATION, sound_prompt(sound, seconds)))
        outcome = Outcome(label=sound, events=(Event(sound, TimeSpan(0.0, 1.0)),))
        return Exchange("agen", (phrasing.id,), self.ask(phrasing, {"s": sound, "for": length}), answer, "call", ((outcome,),))

    def moving_picture(self) -> Exchange | None:
        if not self.context.of_kind(MediaKind.IMAGE):
            return self.nothing_there("ivgen", "", MediaKind.IMAGE, {"m": self._motion(None)})
        choice = self.pick(MediaKind.IMAGE)
        assert choice is not None
        motion = self._motion(choice.seen)
        phrasing = self.phrasing("ivgen")
        answer = (self.say(*PROMISES[Task.IMAGE_TO_VIDEO]), call(Task.IMAGE_TO_VIDEO, motion, (choice.seen.id,)))
        user = self.ask(phrasing, {"m": motion}, choice.name)
        outcome = Outcome(choice.seen.scene, label=motion)
        return Exchange("ivgen", (phrasing.id,), user, answer, "call", ((outcome,),), choice.seen.id)

    def _motion(self, seen: Seen | None) -> str:
        if seen and seen.scene and seen.scene.things and self.rng.random() < 0.5:
            alone = [index for index in seen.scene.things if len(self.describer(seen).by_label[seen.scene.regions[index].label]) == 1]
            if alone:
                thing = "the " + seen.scene.regions[self.rng.choice(alone)].label
                return self.rng.choice(entries("videos", "thing_motions", self.context.part)).format(t=thing)
        return self.rng.choice(entries("videos", "motions", self.context.part))

    # ---- layouts ----

    def layout(self, given: Planned | None = None) -> Exchange | None:
        """Boxes for what a prompt names, planned from its counts or its relation; the prompt is drawn where none is given."""
        prompt, groups = given or draw_planned(self.rng, self.context.labels, countable_of(self.context.labels))
        regions = tuple(RegionPart(group.phrase, group.boxes) for group in groups)
        phrasing = self.phrasing("layout")
        scene = self._scene_of([(group.label, box) for group in groups for box in group.boxes])
        answer = (
            self.say(*PROMISES[Task.LAYOUT_GENERATION]),
            call(Task.LAYOUT_GENERATION, told(prompt, groups), (), regions),
        )
        outcome = Outcome(scene, label=prompt)
        return Exchange("layout", (phrasing.id,), self.ask(phrasing, {"p": prompt}), answer, "call", ((outcome,),))

    def _scene_of(self, things: list[tuple[str, Box]]) -> Scene:
        regions = [Region(label, 0.9, box, draw_colours(self.rng, label)) for label, box in things]
        whole = np.mean([region.colours for region in regions], axis=0).astype(np.float32)
        ordered = with_whole_picture(regions, whole, None)
        return Scene(tuple(ordered), tuple(range(1, len(ordered))))

    # ---- asking back ----

    def unsaid(self, task: str) -> Exchange:
        """Somebody wants something new and does not say what."""
        asked, back = self.rng.choice(UNSAID[task])
        return Exchange(task, (f"{task}.unsaid",), (TextPart(asked),), (TextPart(back),), "clarify")


def sound_prompt(sound: str, seconds: int) -> str:
    """What the expert for sounds is told: the sound and its length."""
    return f"{sound}, {seconds} seconds"


UNSAID = {
    "gen": (
        ("draw something", "What shall I draw?"),
        ("make me a picture", "What shall it show?"),
        ("can you paint?", "Yes. What shall I paint?"),
    ),
    "vgen": (("make a video", "What shall it show?"), ("I want a clip", "What shall the clip show?")),
    "agen": (("make a sound", "Which sound shall I make?"), ("can you make noises?", "Yes. Which sound would you like?")),
    "layout": (("plan a picture", "What shall be in it, and where?"), ("arrange some things for me", "Which things, and where?")),
}
"""Wishes that say too little: (what is asked, what is asked back)."""
