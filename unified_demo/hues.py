"""Hues: the paints that a thing can have, and RGB as hue, saturation and value. It knows no pictures and no files."""

import numpy as np
import numpy.typing as npt

PAINT_HUES = {"red": 0.0, "orange": 28.0, "yellow": 54.0, "green": 120.0, "blue": 220.0, "purple": 274.0, "pink": 326.0}
"""Middle of each colour's range in ``regions.colour_shares``, degrees."""


def to_hsv(rgb: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Hue in degrees, saturation and value 0..1 of (..., 3) RGB 0..1."""
    value, low = rgb.max(-1), rgb.min(-1)
    chroma = value - low
    safe = np.maximum(chroma, 1e-6)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(value == red, ((green - blue) / safe) % 6, np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4))
    return hue * 60, chroma / np.maximum(value, 1e-6), value


def from_hsv(hue: npt.NDArray, saturation: npt.NDArray, value: npt.NDArray) -> npt.NDArray:
    """Inverse of ``to_hsv``."""
    turns = (np.array([5.0, 3.0, 1.0], np.float32) + (hue / 60)[..., None]) % 6
    share = np.clip(np.minimum(turns, 4 - turns), 0, 1)
    return value[..., None] * (1 - saturation[..., None] * share)
