"""Holes in pictures: growing a mask, and pasting a patch so that every pixel outside the mask stays as it was.

Masks are bool H x W, pictures uint8 H x W x 3. Which mask and which patch is the business of the experts.
"""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


def grow(mask: Mask, pixels: int) -> Mask:
    """Every pixel within ``pixels`` (the larger of across and down) of the mask joins it."""
    return _counted(mask, pixels) > 0


def paste_inside(picture: Pixels, patch: Pixels, mask: Mask, feather: int) -> Pixels:
    """``patch`` in the mask, ``picture`` elsewhere, bit by bit. The seam fades in over ``2 * feather`` pixels within the mask;
    where the mask ends at the picture's edge there is no seam."""
    window = (2 * feather + 1) ** 2
    core = _counted(mask, feather) == window
    share = (_counted(core, feather) / window)[..., None] * mask[..., None]
    mixed = picture + share * (patch.astype(np.float64) - picture)
    return np.where(mask[..., None], mixed.round(), picture).astype(np.uint8)


def _counted(mask: Mask, radius: int) -> npt.NDArray[np.int64]:
    """How many pixels of the mask lie in the square of ``radius`` around each pixel; beyond the edge it goes on as at the edge."""
    counts = np.pad(mask, radius, mode="edge").astype(np.int64)
    for axis in (0, 1):
        sums = np.cumsum(counts, axis=axis)
        ends = np.moveaxis(sums, axis, 0)
        first = np.concatenate([np.zeros_like(ends[:1]), ends[: -2 * radius - 1]])
        counts = np.moveaxis(ends[2 * radius :] - first, 0, axis)
    return counts
