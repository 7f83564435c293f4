"""What a brush painted: strokes -> the box around them, the pixels they cover, and which painted region a box means.

A stroke covers all within its radius of the line through its points, as a page draws a line with round ends. It draws nothing itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from unified_demo.grammar import Box
from unified_demo.messages import RegionPart, Stroke

MEANT_IOU = 0.7
"""From this overlap on a language model is told of a proposal in place of the box that was marked (``model/tokens.py``), so a box that it
names means the mark from there on, too."""
_THINNED = 0.125
"""Points closer together than this share of the radius say nothing more."""

Place = npt.NDArray[np.float64]


def painted_mask(strokes: Sequence[Stroke], width: int, height: int) -> npt.NDArray[np.bool_]:
    """Bool H x W: the pixels of a picture of this size that ``strokes`` cover."""
    mask = np.zeros((height, width), bool)
    for stroke in strokes:
        reach = stroke.radius * min(width, height)
        places = np.array(stroke.points) * (width, height)
        for start, end in pairwise([places[0], *places]):
            _cover(mask, start, end, reach)
    return mask


def _cover(mask: npt.NDArray[np.bool_], start: Place, end: Place, reach: float) -> None:
    """All pixels whose middle is within ``reach`` of the line from ``start`` to ``end`` (x, y in pixels)."""
    low = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
    high = np.ceil(np.maximum(start, end) + reach).astype(int)
    part = mask[low[1] : high[1] + 1, low[0] : high[0] + 1]
    rows, columns = np.indices(part.shape)
    across, down = columns + low[0] + 0.5 - start[0], rows + low[1] + 0.5 - start[1]
    along = end - start
    share = ((across * along[0] + down * along[1]) / max(float(along @ along), 1e-12)).clip(0, 1)
    part |= (across - share * along[0]) ** 2 + (down - share * along[1]) ** 2 <= reach**2


def box_around(strokes: Sequence[Stroke], width: int, height: int) -> Box:
    """The box around what ``strokes`` (one at least) cover of a picture of this size."""
    sides = []
    for stroke in strokes:
        xs, ys = zip(*stroke.points, strict=True)
        reach = stroke.radius * min(width, height)
        across, down = reach / width, reach / height
        sides.append((min(xs) - across, min(ys) - down, max(xs) + across, max(ys) + down))
    lefts, tops, rights, bottoms = zip(*sides, strict=True)
    return Box(max(min(lefts), 0.0), max(min(tops), 0.0), min(max(rights), 1.0), min(max(bottoms), 1.0))


def touching(one: Sequence[Stroke], other: Sequence[Stroke], width: int, height: int) -> bool:
    """Whether some pixel is covered by both."""
    return bool((painted_mask(one, width, height) & painted_mask(other, width, height)).any())


def thinned(stroke: Stroke, width: int, height: int) -> Stroke:
    """The same stroke with fewer points: a hand sends many more than its brush is fine."""
    least = (_THINNED * stroke.radius * min(width, height)) ** 2
    kept = [stroke.points[0]]
    for x, y in stroke.points[1:-1]:
        if ((x - kept[-1][0]) * width) ** 2 + ((y - kept[-1][1]) * height) ** 2 >= least:
            kept.append((x, y))
    points = tuple(dict.fromkeys((*kept, stroke.points[-1])))
    return replace(stroke, points=tuple((round(x, 5), round(y, 5)) for x, y in points))


def strokes_meant(box: Box, artefact_id: str, marks: Sequence[RegionPart]) -> tuple[Stroke, ...]:
    """The strokes of the first of ``marks`` that ``box`` in this picture means; none where that was not painted, or there is none."""
    return next(
        (mark.strokes for mark in marks if mark.artefact_id == artefact_id and any(own.iou(box) >= MEANT_IOU for own in mark.boxes)), ()
    )
