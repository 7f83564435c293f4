"""Seasons, hours and weathers as drawn pictures have them: sky and land, the light on things, and what falls before them.

The same pixels each time, as of the generator's grounds: one look of a mood is what a small network can learn. Nothing is random here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from unified_demo.experts.grounds import HORIZON, NAMES, PLACES, PLAIN, Colour, ground

Floats = npt.NDArray[np.float32]
FINER = 4
"""What lies on or before a ground is drawn so many times larger, for smooth rims."""


@dataclass(frozen=True)
class Mood:
    """``colours``: sky from top to horizon, land from horizon to bottom; ``light`` multiplies red, green and blue of things.

    ``behind`` and ``before``: what is drawn behind and before the things; ``veil``: a colour and how much of it lies over all.
    """

    colours: tuple[Colour, Colour, Colour, Colour]
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    behind: str = ""
    before: str = ""
    veil: tuple[Colour, float] = ((0, 0, 0), 0.0)


MOODS: dict[str, Mood] = {
    "night": Mood(PLACES["night"], (0.52, 0.57, 0.82), "stars"),
    "sunset": Mood(PLACES["sunset"], (1.0, 0.78, 0.66), "low sun"),
    "dawn": Mood(((140, 165, 215), (255, 205, 185), (132, 145, 118), (88, 102, 82)), (1.0, 0.9, 0.88)),
    "sunny": Mood(((70, 160, 245), (190, 228, 255), (150, 208, 100), (84, 156, 66)), (1.06, 1.04, 0.96), "sun"),
    "winter": Mood(PLACES["snow"], (0.93, 0.97, 1.06), "", "flakes"),
    "spring": Mood(((140, 200, 245), (225, 242, 252), (150, 220, 110), (96, 172, 78)), (1.02, 1.04, 1.0), "blossoms"),
    "summer": Mood(((40, 140, 240), (150, 212, 252), (206, 200, 92), (150, 160, 58)), (1.08, 1.03, 0.9), "sun"),
    "autumn": Mood(((186, 196, 204), (246, 226, 190), (216, 142, 62), (150, 86, 42)), (1.06, 0.94, 0.78), "", "leaves"),
    "rain": Mood(((108, 120, 136), (168, 176, 186), (112, 124, 112), (76, 90, 84)), (0.78, 0.84, 0.9), "", "drops"),
    "fog": Mood(((206, 210, 214), (216, 219, 222), (196, 200, 200), (178, 184, 184)), (1.0, 1.0, 1.0), "", "", ((212, 215, 218), 0.55)),
    "storm": Mood(((36, 40, 56), (96, 98, 116), (62, 72, 66), (36, 44, 42)), (0.6, 0.64, 0.74), "lightning", "drops"),
    "cloudy": Mood(((168, 182, 198), (216, 222, 228), (134, 166, 112), (92, 124, 80)), (0.9, 0.92, 0.94), "clouds"),
}  # fmt: skip
GROUNDS = (*NAMES, *(name for name in MOODS if name not in NAMES))
"""Every ground that can be drawn."""


@cache
def mood_ground(name: str, side: int) -> Floats:
    """(side, side, 3) of 0..255: a mood's sky and land with what lies behind things, or a ground of the generator. KeyError else."""
    if name not in MOODS:
        return np.asarray(ground(name, side), np.float32)
    pixels: Floats = np.repeat(ground_rows(name, side)[:, None], side, axis=1)
    behind = MOODS[name].behind
    return laid(pixels, _drawn(behind, side)) if behind else pixels


def ground_rows(name: str, side: int) -> Floats:
    """(side, 3) of 0..255: the colours of a ground from top to bottom, with nothing on it."""
    if name in PLAIN:
        return np.tile(np.array(PLAIN[name], np.float32), (side, 1))
    top, above, below, bottom = (np.array(colour, np.float32) for colour in (MOODS[name].colours if name in MOODS else PLACES[name]))
    rows = (np.arange(side, dtype=np.float32)[:, None] + 0.5) / side
    column = np.where(rows < HORIZON, top + (above - top) * rows / HORIZON, below + (bottom - below) * (rows - HORIZON) / (1 - HORIZON))
    return column.astype(np.float32)


def lit(pixels: Floats, name: str) -> Floats:
    """Things' colours (..., 3), 0..255, in the light of the mood ``name``; as they are under any other name."""
    return np.minimum(pixels * np.array(MOODS[name].light, np.float32), 255) if name in MOODS else pixels


def unlit(pixels: Floats, name: str) -> Floats:
    """Things' colours as they are without the light and the veil of the mood ``name``, but for what was clipped."""
    if name not in MOODS:
        return pixels
    colour, amount = MOODS[name].veil
    bare = (pixels - amount * np.array(colour, np.float32)) / (1 - amount)
    found: Floats = np.clip(bare / np.array(MOODS[name].light, np.float32), 0, 255).astype(np.float32)
    return found


def finished(pixels: Floats, name: str, size: tuple[int, int] | None = None) -> Floats:
    """The picture (h, w, 3) with what is before the things; ``size``: width and height of one that is not square."""
    if name not in MOODS:
        return pixels
    mood = MOODS[name]
    colour, amount = mood.veil
    if amount:
        pixels = pixels + (np.array(colour, np.float32) - pixels) * amount
    if not mood.before:
        return pixels
    wide, high = size or (len(pixels), len(pixels))
    return laid(pixels, _drawn(mood.before, max(wide, high))[:high, :wide])


def laid(below: Floats, above: Floats) -> Floats:
    """(h, w, 4) with weighted colours over (h, w, 3)."""
    found: Floats = (below * (1 - above[..., 3:] / 255) + above[..., :3]).astype(np.float32)
    return found


@cache
def _drawn(name: str, side: int) -> Floats:
    """(side, side, 4), colours weighted by cover."""
    large = Image.new("RGBA", (FINER * side, FINER * side))
    _PENS[name](ImageDraw.Draw(large), FINER * side)
    return np.asarray(large.convert("RGBa").resize((side, side), Image.Resampling.BOX), np.float32)


def _places(count: int, seed: int, top: float = 0.0, bottom: float = 1.0) -> npt.NDArray[np.float64]:
    """(count, 2) x and y, spread evenly without a pattern that is seen (a sequence of low discrepancy)."""
    steps = np.arange(1, count + 1)[:, None] * np.array([0.7548776662, 0.5698402910]) + 0.137 * seed
    return steps % 1 * np.array([1, bottom - top]) + np.array([0, top])


def _dots(pen: ImageDraw.ImageDraw, side: int, places: npt.NDArray, radius: float, colours: tuple[Colour, ...]) -> None:
    for number, (x, y) in enumerate(places * side):
        size = radius * side * (0.7 + 0.3 * (number % 3))
        pen.ellipse((x - size, y - size, x + size, y + size), fill=colours[number % len(colours)])


def _stars(pen: ImageDraw.ImageDraw, side: int) -> None:
    _dots(pen, side, _places(40, 1, 0, 0.45), 0.005, ((235, 235, 215),))
    pen.ellipse((0.78 * side, 0.07 * side, 0.92 * side, 0.21 * side), fill=(240, 236, 200))


def _low_sun(pen: ImageDraw.ImageDraw, side: int) -> None:
    pen.pieslice((0.7 * side, 0.4 * side, 0.9 * side, 0.6 * side), 180, 360, fill=(255, 226, 150))


def _sun(pen: ImageDraw.ImageDraw, side: int) -> None:
    pen.ellipse((0.76 * side, 0.06 * side, 0.94 * side, 0.24 * side), fill=(255, 222, 84))


def _flakes(pen: ImageDraw.ImageDraw, side: int) -> None:
    _dots(pen, side, _places(70, 2), 0.011, ((255, 255, 255),))


def _blossoms(pen: ImageDraw.ImageDraw, side: int) -> None:
    _dots(pen, side, _places(48, 3, 0.53, 1), 0.014, ((255, 180, 205), (255, 255, 250), (250, 226, 110)))


def _leaves(pen: ImageDraw.ImageDraw, side: int) -> None:
    colours = ((214, 96, 36), (236, 168, 44), (168, 62, 34))
    for number, (x, y) in enumerate(_places(36, 4) * side):
        wide, high = (0.02, 0.012) if number % 2 else (0.012, 0.02)
        pen.ellipse((x - wide * side, y - high * side, x + wide * side, y + high * side), fill=colours[number % 3])


def _drops(pen: ImageDraw.ImageDraw, side: int) -> None:
    for x, y in _places(64, 5) * side:
        pen.line((x, y, x - 0.018 * side, y + 0.07 * side), fill=(205, 220, 238, 190), width=max(1, round(0.007 * side)))


def _lightning(pen: ImageDraw.ImageDraw, side: int) -> None:
    bolt = ((0.2, 0.0), (0.14, 0.2), (0.2, 0.2), (0.12, 0.46), (0.27, 0.15), (0.21, 0.15), (0.27, 0.0))
    pen.polygon([(x * side, y * side) for x, y in bolt], fill=(255, 244, 160))


def _clouds(pen: ImageDraw.ImageDraw, side: int) -> None:
    for x, y, size in ((0.18, 0.16, 0.09), (0.55, 0.1, 0.07), (0.84, 0.2, 0.1)):
        for across, down, part in ((-1.1, 0.25, 0.7), (0, 0, 1), (1.1, 0.25, 0.75)):
            middle, radius = ((x + across * size) * side, (y + down * size) * side), part * size * side
            pen.ellipse((middle[0] - radius, middle[1] - 0.7 * radius, middle[0] + radius, middle[1] + 0.7 * radius), fill=(244, 246, 248))


_PENS: dict[str, Callable[[ImageDraw.ImageDraw, int], None]] = {
    "stars": _stars, "low sun": _low_sun, "sun": _sun, "flakes": _flakes, "blossoms": _blossoms, "leaves": _leaves, "drops": _drops,
    "lightning": _lightning, "clouds": _clouds,
}  # fmt: skip
