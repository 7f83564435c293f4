"""What stands behind the things of a picture, changed all over: blurred, without colour, or darker. The things stay bit by bit.

Which things they are is the business of region_editing.py and of the language model.
"""

from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from unified_demo.experts.patches import Mask, Pixels, paste_inside

Backdrop = Literal["blurred", "black and white", "darker"]
BLUR = 0.014
"""Radius, as a share of the longer side."""
DARKER = 0.4
SEAM = 0.002
"""Of the longer side; the change fades in over twice that."""


def change_backdrop(picture: Pixels, things: Mask, backdrop: Backdrop) -> Pixels:
    """uint8 H x W x 3 and bool H x W -> the picture, every pixel of ``things`` as before."""
    side = max(things.shape)
    if backdrop == "blurred":
        changed = _blurred(picture, ~things, BLUR * side)
    elif backdrop == "darker":
        changed = (picture * DARKER).round().astype(np.uint8)
    else:
        changed = np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))
    return paste_inside(picture, changed, ~things, feather=max(1, round(SEAM * side)))


def _blurred(picture: Pixels, seen: Mask, radius: float) -> Pixels:
    """Gaussian over what is ``seen`` alone, so that the things leave no halo."""
    blur = ImageFilter.GaussianBlur(radius)
    light = np.asarray(Image.fromarray(picture * seen[..., None]).filter(blur), np.float64)
    share = np.asarray(Image.fromarray(seen.astype(np.uint8) * 255).filter(blur), np.float64)[..., None] / 255
    return (light / np.maximum(share, 1 / 255)).clip(0, 255).round().astype(np.uint8)
