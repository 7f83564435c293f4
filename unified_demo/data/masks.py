"""Masks as numbers that fit in a line of JSON: COCO's run lengths and polygons, to and from bool H x W arrays.

Run lengths go down the columns, as COCO counts them, and are spelt as its compressed strings (cocoapi, maskApi.c), so that other
tools read them. No files; sizes are checked before anything is allocated.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from unified_demo.errors import MediaError

Mask = npt.NDArray[np.bool_]
Polygon = Sequence[float]
"""x, y, x, y, ... in pixels of the picture (edges, not pixel centres), at least three corners."""
MAX_PIXELS = 100_000_000


def encode_runs(mask: Mask) -> str:
    """A bool H x W mask as COCO's compressed run lengths; the size is not part of it."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = [0, *changes.tolist(), flat.size]
    counts = [stop - start for start, stop in pairwise(edges)]
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return "".join(_spell(count - counts[index - 2] if index > 2 else count) for index, count in enumerate(counts))


def decode_runs(runs: str | bytes | Sequence[int], height: int, width: int) -> Mask:
    """Inverse of ``encode_runs``; also takes COCO's plain list of counts. MediaError when the counts do not fill height x width."""
    if min(height, width) <= 0 or height * width > MAX_PIXELS:
        raise MediaError(f"A mask of {width} x {height} pixels cannot be; up to {MAX_PIXELS} pixels are allowed.")
    counts = _read(runs) if isinstance(runs, str | bytes) else [int(count) for count in runs]
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise MediaError(f"The run lengths cover {sum(counts)} pixels and the picture has {height * width}; the mask is damaged.")
    flat = np.zeros(height * width, bool)
    for index, (start, stop) in enumerate(pairwise(accumulate(counts, initial=0))):
        if index % 2:
            flat[start:stop] = True
    return flat.reshape((height, width), order="F")


def _spell(number: int) -> str:
    """Five bits a character from the low end, bit 6 when more follow, plus 48; the sign is that of the last bits."""
    letters = []
    more = True
    while more:
        bits = number & 0x1F
        number >>= 5
        more = number != -1 if bits & 0x10 else number != 0
        letters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(letters)


def _read(runs: str | bytes) -> list[int]:
    counts: list[int] = []
    number, shift = 0, 0
    for letter in runs.encode("ascii", "replace") if isinstance(runs, str) else runs:
        bits = letter - 48
        if not 0 <= bits < 64:
            raise MediaError(f"'{chr(letter)}' does not occur in compressed run lengths; the mask is damaged.")
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number, shift = 0, 0
    if shift:
        raise MediaError("The run lengths end within a number; the mask is damaged.")
    return counts


def fill_polygons(polygons: Sequence[Polygon], height: int, width: int) -> Mask:
    """The union of polygons as a mask: a pixel belongs to one when its centre lies inside (even-odd rule)."""
    mask = np.zeros((height, width), bool)
    for polygon in polygons:
        corners = list(zip(polygon[::2], polygon[1::2], strict=False))
        if len(corners) >= 3:
            _fill(mask, corners)
    return mask


def _fill(mask: Mask, corners: list[tuple[float, float]]) -> None:
    height, width = mask.shape
    edges = list(pairwise([*corners, corners[0]]))
    ys = [y for _, y in corners]
    for row in range(max(0, math.floor(min(ys))), min(height, math.ceil(max(ys)))):
        middle = row + 0.5
        crossings = sorted(x0 + (middle - y0) * (x1 - x0) / (y1 - y0) for (x0, y0), (x1, y1) in edges if (y0 <= middle) != (y1 <= middle))
        for start, stop in zip(crossings[::2], crossings[1::2], strict=False):
            mask[row, max(0, math.ceil(start - 0.5)) : max(0, min(width, math.ceil(stop - 0.5)))] = True
