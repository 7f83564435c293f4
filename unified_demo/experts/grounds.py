"""The grounds that small generators draw on: eight plain colours and eight drawn places, the same pixels each time.

That a ground has one look only keeps what must be learnt small. Cut-outs are laid on it elsewhere.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

Colour = tuple[int, int, int]

PLAIN: dict[str, Colour] = {
    "white": (245, 245, 246), "black": (28, 28, 32), "gray": (150, 150, 154), "red": (222, 92, 88), "yellow": (250, 222, 120),
    "green": (150, 205, 140), "blue": (140, 185, 235), "pink": (246, 186, 208),
}  # fmt: skip
"""Name of a plain ground -> RGB."""
PLACES: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
    "meadow": ((120, 180, 235), (215, 235, 250), (140, 195, 98), (78, 140, 62)),
    "beach": ((95, 170, 225), (200, 230, 245), (240, 222, 178), (218, 194, 145)),
    "snow": ((165, 190, 225), (220, 230, 242), (250, 251, 254), (214, 224, 240)),
    "night": ((14, 18, 52), (48, 52, 104), (34, 44, 58), (16, 22, 32)),
    "desert": ((240, 190, 120), (252, 228, 180), (226, 172, 104), (188, 126, 70)),
    "sea": ((150, 205, 245), (225, 240, 250), (60, 140, 195), (24, 84, 140)),
    "room": ((232, 222, 205), (244, 238, 226), (190, 150, 110), (150, 110, 78)),
    "sunset": ((90, 60, 125), (250, 150, 105), (88, 72, 88), (50, 42, 58)),
}
"""Name of a place -> RGB of the upper part from top to horizon and of the lower part from horizon to bottom."""
DEFAULT = "white"
HORIZON = 0.5
NAMES = (*PLAIN, *PLACES)
_STARS = 40


@cache
def ground(name: str, side: int) -> Image.Image:
    """RGB, ``side`` x ``side``; KeyError for a name that is not in NAMES. Copy it before drawing on it."""
    if name in PLAIN:
        return Image.new("RGB", (side, side), PLAIN[name])
    top, above, below, bottom = (np.array(colour, np.float32) for colour in PLACES[name])
    rows = (np.arange(side, dtype=np.float32)[:, None] + 0.5) / side
    upper = top + (above - top) * (rows / HORIZON)
    lower = below + (bottom - below) * ((rows - HORIZON) / (1 - HORIZON))
    pixels = np.repeat(np.where(rows < HORIZON, upper, lower)[:, None], side, axis=1)
    if name == "night":
        _stars(pixels, side)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def _stars(pixels: npt.NDArray[np.float32], side: int) -> None:
    rng = np.random.default_rng(7)
    size = max(1, side // 128)
    for row, column in rng.uniform(0, 1, (_STARS, 2)):
        y, x = int(row * HORIZON * 0.9 * side), int(column * (side - size))
        pixels[y : y + size, x : x + size] = (235, 235, 215)
