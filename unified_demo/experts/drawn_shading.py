"""Flat drawings made round by a rule: a height from how far a place lies inside its thing and inside its patch of one colour, and light.

Things that have shades already are told apart, for a second light makes them worse (docs/experiments.md). No shadow falls on the ground.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from unified_demo.experts.drawn_layers import STEP, Apart, Floats

Mask = npt.NDArray[np.bool_]

DRAWN_AT = 256
"""Reaches below are pixels of pictures whose longer side is this."""
WHOLE, PART = 24, 8
"""How far inside a thing, and inside a patch of one colour, the surface still rises."""
SOFT_WHOLE = 20
SOLID_LIGHT, SOFT_LIGHT = 0.35, 0.2
"""How much brighter and darker a slope is than what faces the viewer."""
LIGHT = np.array([-0.453, -0.655, 0.604], np.float32)
"""Unit vector to the light: from the left, from above, from the viewer (x right, y down)."""
COMMON, COARSE, FLAT = 12, 4, 0.63
"""Things are flat when their COMMON most usual colours, told apart in steps of COARSE, have so many of their pixels:
0.66 and more of 20 flat drawings and line art, up to 0.61 of 20 shaded ones."""
_INSIDE = 5


def has_shades(apart: Apart) -> bool:
    """Whether the things are more than a few colours; so is nothing at all."""
    return flatness(apart) < FLAT


def flatness(apart: Apart) -> float:
    """Share of the things' pixels that have one of a few colours; 0 where there are none."""
    inside = np.asarray(_image(apart.cover > 0.5).filter(ImageFilter.MinFilter(_INSIDE))) > 0
    shades = (apart.colours[inside] // COARSE).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    counts = np.unique(shades, return_counts=True)[1]
    return float(np.sort(counts)[-COMMON:].sum() / max(1, len(shades)))


def solid(apart: Apart) -> Apart:
    """3-D: things and their patches bulge."""
    return _lit(apart, WHOLE, PART, SOLID_LIGHT)


def soft(apart: Apart) -> Apart:
    """Things bulge a little as wholes."""
    return _lit(apart, SOFT_WHOLE, 0, SOFT_LIGHT)


def _lit(apart: Apart, whole: int, part: int, light: float) -> Apart:
    """Lambert's law on the heights of both reaches."""
    covered, scale = apart.cover > 0.5, max(apart.cover.shape) / DRAWN_AT
    height = blurred(_bulge(covered, whole * scale), 2.5 * scale)
    if part:
        height += 0.8 * blurred(_bulge(covered & ~_borders(apart), part * scale), 1.2 * scale)
    down, across = np.gradient(height)
    facing = (LIGHT[2] - across * LIGHT[0] - down * LIGHT[1]) / np.sqrt(1 + across**2 + down**2)
    lit = np.clip(apart.colours * (1 + light * (facing - LIGHT[2]))[..., None], 0, 255)
    return replace(apart, colours=lit.astype(np.float32))


def _borders(apart: Apart) -> Mask:
    """Where two of few colours meet."""
    few = np.asarray(apart.few_colours(), np.int16)
    border = np.zeros(few.shape[:2], bool)
    border[:-1] |= np.abs(np.diff(few, axis=0)).max(-1) > STEP
    border[:, :-1] |= np.abs(np.diff(few, axis=1)).max(-1) > STEP
    return border


def _bulge(mask: Mask, reach: float) -> Floats:
    """A quarter of a circle from the mask's rim up to ``reach`` pixels inside; as high as it is wide."""
    steps = max(2, round(reach))
    left, inside = np.zeros(mask.shape, np.float32), _image(np.pad(mask, 1))
    for _ in range(steps):
        inside = inside.filter(ImageFilter.MinFilter(3))
        left += np.asarray(inside)[1:-1, 1:-1] > 0
    height: Floats = steps * np.sqrt(1 - (1 - left / steps) ** 2)
    return height


def blurred(values: Floats, sigma: float) -> Floats:
    """Gaussian, the rim repeated."""
    reach = max(1, int(3 * sigma))
    weights = np.exp(-(np.arange(-reach, reach + 1, dtype=np.float32) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if axis == side else (0, 0) for side in (0, 1)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis)
        values = (windows @ (weights / weights.sum())).astype(np.float32)
    return values


def _image(mask: Mask) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * 255)
