"""One thing of a drawn picture: its whole outline, and the picture without it, by layers (drawn_layers.py). No model is used here.

The ground under a drawing is known to the pixel, so nothing needs to be painted where a thing was.
"""

import numpy as np
from PIL import Image, ImageFilter

from unified_demo.experts.drawn_editing import is_drawn, mostly_flat
from unified_demo.experts.drawn_layers import Apart, take_apart
from unified_demo.experts.drawn_shading import blurred
from unified_demo.experts.patches import Mask, Pixels, grow
from unified_demo.grammar import Box
from unified_demo.media import box_to_pixels
from unified_demo.messages import Artefact

COVERED = 0.3
"""A pixel with so much of a thing is the thing's."""
REACH = 9
ROOM, SPILT = 0.08, 0.1
"""What hangs together with a thing is part of it, if no more than SPILT of all lies beyond its box, grown by ROOM of its sides."""
RIM = 0.012
"""By how much of the picture's longer side the hole is larger than the thing."""
ALL_ROUND = 0.95
SMOOTH = 24
"""What a ground differs from the one that is known, as one drawn by the generator does, goes on into the hole: as it is around, blurred by
this part of the longer side."""


def layers_of(artefact: Artefact, picture: Image.Image) -> Apart | None:
    """None for photographs, and for drawings on a ground that is not known."""
    apart = take_apart(picture) if is_drawn(artefact, picture) or mostly_flat(picture) else None
    return apart if apart and apart.name else None


def on_ground(apart: Apart, mask: Mask) -> bool:
    """Whether the thing has ground all round, or nearly; what overlaps another thing has not."""
    hole = grow(mask, _rim(mask))
    ring = grow(hole, _rim(mask)) & ~hole
    return bool(ring.any() and (apart.cover[ring] <= COVERED).mean() >= ALL_ROUND)


def whole_thing(apart: Apart, mask: Mask, box: Box) -> Mask:
    """``mask``, a segmenter's outline, with all that hangs together with it; as it is where that runs on into another thing."""
    height, width = mask.shape
    solid = apart.cover > COVERED
    thing = mask & solid
    while True:
        grown = (np.asarray(Image.fromarray(thing).convert("L").filter(ImageFilter.MaxFilter(REACH))) > 0) & solid
        if (grown == thing).all():
            break
        thing = grown
    across, down = ROOM * (box.x1 - box.x0), ROOM * (box.y1 - box.y0)
    near = Box(max(0, box.x0 - across), max(0, box.y0 - down), min(1, box.x1 + across), min(1, box.y1 + down))
    x0, y0, x1, y1 = (round(value) for value in box_to_pixels(near, width, height))
    return mask if thing.sum() - thing[y0:y1, x0:x1].sum() > SPILT * thing.sum() else thing | mask


def erased(pixels: Pixels, apart: Apart, mask: Mask) -> Pixels:
    """uint8 H x W x 3: the ground where the thing was, other things and all else bit by bit as before."""
    assert apart.bare is not None
    solid = apart.cover > COVERED
    hole = grow(mask, _rim(mask)) & ~(solid & ~mask)
    known = ~grow(solid | mask, _rim(mask))
    weight = known.astype(np.float32)
    sigma = max(mask.shape) / SMOOTH
    share = np.maximum(blurred(weight, sigma), 1e-6)
    filled = [
        bare + blurred((seen - bare) * weight, sigma) / share
        for seen, bare in zip(np.moveaxis(pixels.astype(np.float32), 2, 0), np.moveaxis(apart.bare, 2, 0), strict=True)
    ]
    return np.where(hole[..., None], np.stack(filled, axis=-1).round().clip(0, 255).astype(np.uint8), pixels)


def _rim(mask: Mask) -> int:
    return max(2, round(RIM * max(mask.shape)))
