"""Clips in which things move: frames with the exact mask of each thing in each frame (masklets), and words for the motions.

A clip plan is a scene plan with motions, drawn without pixels; rendering it gives frames. There is no motion blur and no camera
motion, so that masks stay exact.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from unified_demo.data.catalogue import Catalogue
from unified_demo.data.compose import Composed, Layer, background_of, lay, layer_of, shadows_of
from unified_demo.data.cutouts import CutoutLibrary, scaled
from unified_demo.data.plans import ScenePlan, draw_plan
from unified_demo.data.split import Part
from unified_demo.errors import MediaError

WORDS = {
    "left": ("moves left", "moves to the left", "slides to the left", "goes left"),
    "right": ("moves right", "moves to the right", "slides to the right", "goes right"),
    "up": ("moves up", "rises", "goes up"),
    "down": ("moves down", "sinks", "goes down"),
    "grows": ("grows", "gets bigger", "becomes larger"),
    "shrinks": ("shrinks", "gets smaller", "becomes smaller"),
    "spins": ("spins", "rotates", "turns round and round"),
    "jumps": ("jumps", "hops", "bounces"),
    "shakes": ("shakes", "trembles", "wobbles"),
}
"""Kind of motion -> words that say it of one thing."""
LONGER_SIDE = 384
UPRIGHT_MOTIONS = ("left", "right", "grows", "shrinks", "jumps", "shakes")
MIN_TRAVEL = 0.15


@dataclass(frozen=True)
class Motion:
    """``thing``: index of the plan's object; ``amount``: share of the picture travelled, factor of size, or turns (clockwise)."""

    thing: int
    kind: str
    amount: float
    words: str

    def state(self, time: float) -> tuple[float, float, float, float]:
        """(shift right, shift down) as shares of the picture, factor of size, degrees counter-clockwise, at ``time`` 0..1."""
        smooth = time * time * (3 - 2 * time)
        if self.kind in ("left", "right"):
            return (-1 if self.kind == "left" else 1) * self.amount * smooth, 0.0, 1.0, 0.0
        if self.kind in ("up", "down"):
            return 0.0, (-1 if self.kind == "up" else 1) * self.amount * smooth, 1.0, 0.0
        if self.kind in ("grows", "shrinks"):
            return 0.0, 0.0, 1 + (self.amount - 1) * smooth, 0.0
        if self.kind == "spins":
            return 0.0, 0.0, 1.0, -360 * self.amount * time
        if self.kind == "jumps":
            return 0.0, -self.amount * abs(math.sin(math.pi * 2 * time)), 1.0, 0.0
        return self.amount * math.sin(2 * math.pi * 4 * time), 0.0, 1.0, 0.0


@dataclass(frozen=True)
class ClipPlan:
    """A scene and what moves in it; ``count`` frames at ``fps``."""

    scene: ScenePlan
    motions: tuple[Motion, ...]
    count: int = 16
    fps: float = 8.0

    @property
    def duration_s(self) -> float:
        return self.count / self.fps


@dataclass(frozen=True)
class Clip:
    """``frames`` in order; ``frames[t].masks[i]`` is the masklet of object i of ``plan.scene``."""

    plan: ClipPlan
    frames: tuple[Composed, ...]

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        return tuple(frame.image for frame in self.frames)


def draw_clip_plan(rng: random.Random, catalogue: Catalogue, part: Part = "train", *, count: int = 16, fps: float = 8.0) -> ClipPlan:
    """One to three things of a small scene move, each in its own way; MediaError when nothing found room to move."""
    for _ in range(12):
        scene = draw_plan(rng, catalogue, part, max_objects=5)
        scene = _smaller(replace(scene, links=()))
        movers = rng.sample(range(len(scene.objects)), min(len(scene.objects), rng.choice((1, 1, 2, 3))))
        motions = tuple(motion for thing in sorted(movers) if (motion := _draw_motion(rng, scene, thing)) is not None)
        if motions:
            return ClipPlan(scene, motions, count, fps)
    raise MediaError("No scene was found in which something has room to move; the catalogue may be too small.")


def _smaller(scene: ScenePlan) -> ScenePlan:
    factor = LONGER_SIDE / max(scene.width, scene.height)
    return replace(scene, width=round(scene.width * factor), height=round(scene.height * factor))


def _draw_motion(rng: random.Random, scene: ScenePlan, thing: int) -> Motion | None:
    """A motion that keeps the thing in the picture."""
    item = scene.objects[thing]
    box = item.box
    kinds = list(WORDS) if item.category not in ("person", "furniture", "building", "plant") else list(UPRIGHT_MOTIONS)
    rng.shuffle(kinds)
    room = {"left": box.x0, "right": 1 - box.x1, "up": box.y0, "down": 1 - box.y1, "jumps": box.y0}
    width, height = box.x1 - box.x0, box.y1 - box.y0
    for kind in kinds:
        words = rng.choice(WORDS[kind])
        if kind == "jumps":
            amount = min(room[kind] * 0.95, rng.uniform(0.1, 0.3))
            if amount >= 0.08:
                return Motion(thing, kind, amount, words)
        elif kind in room and room[kind] >= MIN_TRAVEL:
            return Motion(thing, kind, rng.uniform(MIN_TRAVEL, room[kind]), words)
        elif kind == "grows":
            most = min(1 + 2 * min(box.x0, 1 - box.x1) / width, 1 + box.y0 / height, 2.4)
            if most >= 1.4:
                return Motion(thing, kind, rng.uniform(1.4, most), words)
        elif kind == "shrinks" and min(width * scene.width, height * scene.height) > 40:
            return Motion(thing, kind, rng.uniform(0.4, 0.65), words)
        elif (
            kind == "spins"
            and 0.5 < width * scene.width / (height * scene.height) < 2
            and min(box.x0, box.y0, 1 - box.x1, 1 - box.y1) > 0.2 * max(width, height)
        ):
            return Motion(thing, kind, rng.choice((0.5, 1.0, 1.5)) * rng.choice((-1, 1)), words)
        elif kind == "shakes" and min(box.x0, 1 - box.x1) > 0.03:
            return Motion(thing, kind, rng.uniform(0.015, 0.03), words)
    return None


def render_clip(plan: ClipPlan, library: CutoutLibrary) -> Clip:
    """All frames; the same for the same plan and files. MediaError names a cut-out that cannot be used."""
    scene = plan.scene
    background = background_of(scene, library)
    still = [layer_of(item, scene, library) for item in scene.objects]
    shadows = shadows_of(scene)
    moving = {motion.thing: motion for motion in plan.motions}
    frames = []
    for number in range(plan.count):
        time = number / max(1, plan.count - 1)
        layers = [_moved(layer, moving[index], time, scene) if index in moving else layer for index, layer in enumerate(still)]
        strengths = [_shadow(strength, moving.get(index), time) for index, strength in enumerate(shadows)]
        frames.append(lay(background, layers, strengths))
    return Clip(plan, tuple(frames))


def _moved(layer: Layer, motion: Motion, time: float, scene: ScenePlan) -> Layer:
    """The layer at a time: shifted, scaled about its foot, turned about its middle."""
    right, down, factor, turn = motion.state(time)
    sprite = layer.sprite
    left, top = layer.left + round(right * scene.width), layer.top + round(down * scene.height)
    if factor != 1.0:
        size = (max(2, round(sprite.width * factor)), max(2, round(sprite.height * factor)))
        left, top = left + (sprite.width - size[0]) // 2, top + sprite.height - size[1]
        sprite = scaled(sprite, size)
    if turn % 360:
        turned = sprite.convert("RGBa").rotate(turn, Image.Resampling.BICUBIC, expand=True).convert("RGBA")
        left, top = left + (sprite.width - turned.width) // 2, top + (sprite.height - turned.height) // 2
        sprite = turned
    return Layer(sprite, left, top)


def _shadow(strength: float, motion: Motion | None, time: float) -> float:
    """A thing in the air or turning throws none; one that jumps or rises loses it on the way."""
    if motion is None or motion.kind in ("left", "right", "grows", "shrinks", "shakes"):
        return strength
    return strength if abs(motion.state(time)[1]) < 0.005 and motion.kind != "spins" else 0.0


def draw_clip(rng: random.Random, catalogue: Catalogue, library: CutoutLibrary, part: Part = "train") -> Clip:
    """Draw a plan and render it."""
    return render_clip(draw_clip_plan(rng, catalogue, part), library)


def sentences(plan: ClipPlan) -> Sequence[str]:
    """What happens, one plain sentence for each motion: "the red car moves left"."""
    made = []
    for motion in plan.motions:
        item = plan.scene.objects[motion.thing]
        alone = sum(other.noun == item.noun for other in plan.scene.objects) == 1
        colour = f"{item.colour} " if item.colour else ""
        made.append(f"{'the' if alone else 'one'} {colour}{item.noun} {motion.words}")
    return made
