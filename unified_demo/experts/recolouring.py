"""A thing in another colour: its light and shade stay, its hue becomes the colour asked for. Exact image processing, no model."""

import numpy as np

from unified_demo.experts.patches import Mask, Pixels

COLOURS = {
    "red": (200, 25, 30),
    "blue": (30, 70, 200),
    "green": (40, 140, 50),
    "yellow": (245, 205, 30),
    "orange": (240, 125, 20),
    "purple": (120, 45, 160),
    "pink": (245, 130, 175),
    "white": (238, 238, 236),
    "black": (28, 28, 30),
    "grey": (128, 128, 128),
    "gray": (128, 128, 128),
    "brown": (115, 70, 35),
    "golden": (215, 165, 45),
    "gold": (215, 165, 45),
    "silver": (185, 188, 195),
    "turquoise": (40, 190, 180),
    "dark green": (15, 80, 35),
    "dark blue": (20, 35, 110),
    "dark red": (120, 10, 20),
    "light blue": (140, 195, 240),
    "light green": (150, 215, 130),
}
"""sRGB of a mid-tone of the colour."""
LUMA = (0.299, 0.587, 0.114)
_OFFSET = 25.0
"""Added to all brightness before the ratio, so that the noise of a dark thing does not become texture."""
_DARKEST, _BRIGHTEST = 0.3, 2.0


def recolour(picture: Pixels, mask: Mask, colour: str) -> Pixels:
    """The whole picture as if it were made of ``colour`` (a key of COLOURS); a pixel as bright as the mask's median gets it exactly."""
    light = picture.astype(np.float64) @ np.array(LUMA)
    shade = ((light + _OFFSET) / (np.median(light[mask]) + _OFFSET)).clip(_DARKEST, _BRIGHTEST)[..., None]
    tone = np.array(COLOURS[colour], np.float64)
    lit = tone + (255 - tone) * (shade - 1) / (_BRIGHTEST - 1) * 0.8
    return np.where(shade <= 1, tone * shade, lit).round().clip(0, 255).astype(np.uint8)
