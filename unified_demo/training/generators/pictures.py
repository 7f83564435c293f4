"""What the small generators learn from: one thing on a ground, or several in boxes, each with its prompt.

A noun has one look, one place and one size where it stands alone, so that little must be learnt; boxes of several things are drawn by
chance. Pixels are made here, latents elsewhere.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.experts.grounds import DEFAULT, NAMES, PLAIN, ground
from unified_demo.grammar import Box
from unified_demo.hues import PAINT_HUES
from unified_demo.nouns import countable, listed, said
from unified_demo.training.generators.autoencoder import SIDE

ALONE = 0.78
"""Longer side of a thing that stands alone, as a share of the picture."""
MOST_THINGS = 4


@dataclass(frozen=True)
class Thing:
    """``paint``: "" for its own colours; ``box``: where its cut-out is fitted in, touching both sides of the tighter direction."""

    noun: str
    paint: str
    box: Box

    @property
    def phrase(self) -> str:
        return f"{self.paint} {self.noun}".strip()


@dataclass(frozen=True)
class Scene:
    """``boxed``: the boxes are part of the request, as in GLIGEN's layouts."""

    things: tuple[Thing, ...]
    ground: str
    boxed: bool = False

    @property
    def prompt(self) -> str:
        """ "a red car on a blue background", "a cat and a dog, beach", "beach"; things count together when they are alike."""
        counts: dict[tuple[str, str], int] = {}
        for thing in self.things:
            counts[thing.noun, thing.paint] = counts.get((thing.noun, thing.paint), 0) + 1
        if not counts:
            return ground_prompt(self.ground)
        words = listed([said(noun, count, paint) for (noun, paint), count in counts.items()])
        if self.ground == DEFAULT:
            return words
        return f"{words} on a {self.ground} background" if self.ground in PLAIN else f"{words}, {self.ground}"


def ground_prompt(name: str) -> str:
    """What asks for an empty ground."""
    return f"a {name} background" if name in PLAIN else name


class Painter:
    """Draws scenes of ``looks`` (noun -> key of its cut-out)."""

    def __init__(self, library: CutoutLibrary, looks: dict[str, str]) -> None:
        self.library, self.looks = library, looks
        self._placed = lru_cache(256)(self._place)

    def paintable(self, noun: str) -> bool:
        info = self.library.catalogue.by_key[self.looks[noun]]
        return info.paint and bool(info.colour)

    def fitted(self, noun: str, box: Box) -> Box:
        """The largest box of the noun's shape in the middle of ``box``."""
        aspect = self.library.catalogue.by_key[self.looks[noun]].aspect
        width, height = box.x1 - box.x0, box.y1 - box.y0
        wide, high = min(width, height * aspect), min(height, width / aspect)
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        return Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)

    def paint(self, scene: Scene, side: int = SIDE) -> Image.Image:
        """RGB, ``side`` x ``side``. MediaError when a cut-out cannot be used."""
        canvas = ground(scene.ground, side).copy()
        for sprite, corner in self._sprites(scene, side):
            canvas.paste(sprite, corner, sprite)
        return canvas

    def paint_layer(self, scene: Scene, side: int) -> Image.Image:
        """As ``paint``, with what is covered by things as fourth channel: RGBA whose colours are those of the whole picture."""
        cover = Image.new("L", (side, side))
        for sprite, corner in self._sprites(scene, side):
            cover.paste(255, corner, sprite)
        picture = self.paint(scene, side)
        picture.putalpha(cover)
        return picture

    def _sprites(self, scene: Scene, side: int) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
        """Each thing's cut-out and where its upper left corner lies, pixels."""
        for thing in scene.things:
            box = self.fitted(thing.noun, thing.box)
            size = (max(2, round((box.x1 - box.x0) * side)), max(2, round((box.y1 - box.y0) * side)))
            yield self._placed(thing.noun, thing.paint, size), (round(box.x0 * side), round(box.y0 * side))

    def _place(self, noun: str, paint: str, size: tuple[int, int]) -> Image.Image:
        return self.library.placed(self.looks[noun], paint, False, 0.0, size)

    def alone(self, noun: str, paint: str = "", place: str = DEFAULT) -> Scene:
        rim = (1 - ALONE) / 2
        return Scene((Thing(noun, paint, Box(rim, rim, 1 - rim, 1 - rim)),), place)

    def all_alone(self) -> Iterator[Scene]:
        """Every noun on every ground, and in every paint on the usual one."""
        for noun in self.looks:
            for place in NAMES:
                yield self.alone(noun, "", place)
            own = self.library.catalogue.by_key[self.looks[noun]].colour
            if self.paintable(noun):
                yield from (self.alone(noun, paint) for paint in PAINT_HUES if paint != own)

    def empty(self) -> Iterator[Scene]:
        """Every ground with nothing on it: the lowest layer of pictures that are put together."""
        yield from (Scene((), place) for place in NAMES)

    def arranged(self, rng: random.Random, boxed: bool) -> Scene:
        """One to four things in boxes of chance that do not meet; counts of one noun in two of five."""
        count = rng.choice((1, 2, 2, 3, 4))
        nouns = list(self.looks)
        same = rng.random() < 0.4
        first = rng.choice([noun for noun in rng.choices(nouns, k=8) if countable(noun)] or nouns)
        chosen = [first] * count if same and countable(first) else rng.sample(nouns, count)
        paint = rng.choice(tuple(PAINT_HUES)) if rng.random() < 0.5 else ""
        boxes = self._boxes(rng, count)
        things = [
            Thing(noun, paint if self.paintable(noun) else "", self.fitted(noun, box)) for noun, box in zip(chosen, boxes, strict=True)
        ]
        return Scene(tuple(things), DEFAULT if rng.random() < 0.4 else rng.choice(NAMES), boxed)

    def _boxes(self, rng: random.Random, count: int) -> list[Box]:
        """Square boxes that do not meet, as large as their number allows."""
        largest = {1: 0.9, 2: 0.5, 3: 0.46, 4: 0.45}[count]
        while True:
            boxes: list[Box] = []
            for _ in range(40):
                side = rng.uniform(0.65, 1.0) * largest
                x, y = rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)
                if all(x >= box.x1 or box.x0 >= x + side or y >= box.y1 or box.y0 >= y + side for box in boxes):
                    boxes.append(Box(x, y, x + side, y + side))
                if len(boxes) == count:
                    return boxes
            largest *= 0.95
