"""Pairs for the editor: the same things at the same places, before and after an edit of the whole picture, rendered from cut-outs.

Styles are those in which an emoji exists; line art is drawn from the flat ones. Held-out nouns stay out of training (data/split.py).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from unified_demo.data.catalogue import Catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.split import Part, part_of_noun
from unified_demo.errors import MediaError
from unified_demo.experts.drawn_edits import DrawnEdit, drawn_edits
from unified_demo.experts.drawn_layers import line_art, repainted
from unified_demo.experts.grounds import DEFAULT
from unified_demo.experts.moods import GROUNDS, finished, laid, lit, mood_ground
from unified_demo.grammar import Box
from unified_demo.hues import PAINT_HUES

STYLES = {"3d": "emoji", "flat": "emoji-flat", "soft": "emoji-modern", "line": "emoji-flat"}
"""Style -> what the keys of its cut-outs begin with."""
STORED = 208
"""Longer side of a kept cut-out, pixels."""
UNASKED, SOFT = 0.08, 0.4
"""Share of pairs without an edit; how often soft shades are asked for, other styles being 1."""


@dataclass(frozen=True)
class Item:
    """A thing: ``code`` of the emoji, where it is fitted in, mirrored or not."""

    code: str
    box: Box
    flip: bool


@dataclass(frozen=True)
class Look:
    """``ground``: of moods.GROUNDS; a mood lights the things as well. ``paint``: "" for their own colours."""

    style: str
    ground: str
    paint: str = ""


@dataclass(frozen=True)
class Pair:
    """``edits``: none when the picture stays as it is."""

    items: tuple[Item, ...]
    before: Look
    after: Look
    edits: tuple[DrawnEdit, ...]


class SceneMaker:
    """Draws pairs by chance and renders them; pictures are (side, side, 3) bytes. MediaError when no cut-out exists in two styles."""

    def __init__(self, library: CutoutLibrary, part: Part) -> None:
        self.library = library
        self.nouns = _codes(library.catalogue, part)
        self.codes = sorted(self.nouns)
        self.styles = tuple(
            style for style, prefix in STYLES.items() if all(f"{prefix}:{code}" in library.catalogue.by_key for code in self.codes)
        )
        if len(self.codes) < 2 or not {"3d", "flat"} <= {*self.styles}:
            raise MediaError("Edits of drawings need things in several styles; fetch fluent-emoji-3d, fluent-emoji-flat, emojibase-data.")
        self._kept: dict[tuple[str, str], Image.Image] = {}

    def pair(self, rng: random.Random, edits: Sequence[DrawnEdit]) -> Pair:
        """A scene by chance, and how it shall look after the edits."""
        items = self._items(rng)
        before = Look(self._style(rng), self._ground(rng), rng.choice(tuple(PAINT_HUES)) if rng.random() < 0.12 else "")
        if before.style == "line":
            before = replace(before, ground=DEFAULT, paint="")
        return Pair(items, before, changed(before, edits), tuple(edits))

    def restyling(self, rng: random.Random) -> Pair:
        """What the network learns: things in another style on the same ground; now and then nothing is asked and nothing changes."""
        edits = [edit for edit in drawn_edits().values() if edit.kind == "style" and edit.name in self.styles]
        weights = [SOFT if edit.name == "soft" else 1.0 for edit in edits]
        wish = () if rng.random() < UNASKED else tuple(rng.choices(edits, weights))
        pair = self.pair(rng, wish)
        after = replace(pair.after, ground=pair.before.ground)
        return replace(pair, after=after)

    def render(self, pair: Pair, look: Look, side: int) -> npt.NDArray[np.uint8]:
        layer = Image.new("RGBa", (side, side))
        for item in pair.items:
            box = item.box
            size = (max(2, round((box.x1 - box.x0) * side)), max(2, round((box.y1 - box.y0) * side)))
            thing = self._thing(item, look.style, size)
            layer.paste(thing, (round(box.x0 * side), round(box.y0 * side)), thing.getchannel("a"))
        things = np.asarray(layer, np.float32)
        if look.paint:
            cover = things[..., 3:]
            things = np.concatenate(
                [repainted((things[..., :3] * 255 / np.maximum(cover, 1)).astype(np.float32), look.paint) * cover / 255, cover], axis=-1
            )
        weighted = np.concatenate([np.minimum(lit(things[..., :3], look.ground), things[..., 3:]), things[..., 3:]], axis=-1)
        picture = finished(laid(mood_ground(look.ground, side), weighted), look.ground)
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def both(self, pair: Pair, side: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        return self.render(pair, pair.before, side), self.render(pair, pair.after, side)

    def _items(self, rng: random.Random) -> tuple[Item, ...]:
        """One large thing, or up to four whose middles lie apart."""
        count = rng.choice((1, 1, 1, 2, 2, 3, 4))
        cells = [(0.5, 0.5)] if count == 1 else [(0.27, 0.28), (0.73, 0.28), (0.27, 0.73), (0.73, 0.73)]
        items = []
        for x, y in rng.sample(cells, count):
            code = rng.choice(self.codes)
            aspect = self.library.catalogue.by_key[f"emoji:{code}"].aspect
            largest = rng.uniform(0.5, 0.9) if count == 1 else rng.uniform(0.28, 0.5)
            wide, high = min(largest, largest * aspect), min(largest, largest / aspect)
            x += rng.uniform(-0.5, 0.5) * max(0.0, 0.96 - wide if count == 1 else 0.04)
            y += rng.uniform(-0.5, 0.5) * max(0.0, 0.96 - high if count == 1 else 0.04)
            left, top = min(max(x - wide / 2, 0), 1 - wide), min(max(y - high / 2, 0), 1 - high)
            items.append(Item(code, Box(left, top, left + wide, top + high), rng.random() < 0.5))
        return tuple(items)

    def _style(self, rng: random.Random) -> str:
        draw = rng.random()
        return "3d" if draw < 0.55 else "flat" if draw < 0.78 else "line" if draw < 0.9 or "soft" not in self.styles else "soft"

    def _ground(self, rng: random.Random) -> str:
        return DEFAULT if rng.random() < 0.5 else rng.choice(GROUNDS)

    def _thing(self, item: Item, style: str, size: tuple[int, int]) -> Image.Image:
        """RGBa of exactly ``size``."""
        thing = self._stored(item.code, style).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        if item.flip:
            thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return line_art(thing) if style == "line" else thing

    def _stored(self, code: str, style: str) -> Image.Image:
        key = f"{STYLES[style]}:{code}"
        if (code, key) not in self._kept:
            picture = self.library.sprite(key).convert("RGBa")
            scale = min(1.0, STORED / max(picture.size))
            small = (max(2, round(picture.width * scale)), max(2, round(picture.height * scale)))
            self._kept[code, key] = picture.resize(small, Image.Resampling.LANCZOS)
        return self._kept[code, key]


def changed(look: Look, edits: Sequence[DrawnEdit]) -> Look:
    """Line art is drawn on paper unless a ground is asked for; its things have their own colours again once they are drawn otherwise."""
    for edit in edits:
        if edit.kind == "style":
            look = replace(look, style=edit.name)
            if edit.name == "line":
                look = replace(look, ground=DEFAULT, paint="")
        elif edit.kind == "ground":
            look = replace(look, ground=edit.name.removesuffix(" background"))
        else:
            look = replace(look, paint=edit.name)
    return look


def _codes(catalogue: Catalogue, part: Part) -> dict[str, str]:
    """Code -> noun of every emoji that exists in 3-D and flat and whose noun is of the part."""
    flat = {info.key.split(":", 1)[1] for info in catalogue.cutouts if info.key.startswith("emoji-flat:")}
    emoji = ((info.key.split(":", 1)[1], info.noun) for info in catalogue.cutouts if info.key.startswith("emoji:"))
    return {code: noun for code, noun in emoji if code in flat and part_of_noun(noun) == part}
