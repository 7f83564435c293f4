"""Measures of video object segmentation: region similarity J, boundary accuracy F and their mean, as pure functions of masks.

Definitions of DAVIS (arXiv 1704.00675, after Perazzi et al., CVPR 2016). An object is a stack of bool frames x H x W. No files,
no models; a mask at another size than its frame is refused, not resized.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unified_demo.evaluation.metrics import Mask, mask_overlap

Masklet = npt.NDArray[np.bool_]
"""One object through a clip: bool, frames x H x W."""
BOUNDARY_TOLERANCE = 0.008
"""Boundaries match within this share of the frame's diagonal, rounded up to pixels."""


@dataclass(frozen=True)
class VideoScore:
    """All 0..1. ``region`` J, ``boundary`` F, each the mean over frames (or over objects)."""

    region: float
    boundary: float

    @property
    def both(self) -> float:
        """J&F, the mean of the two."""
        return (self.region + self.boundary) / 2


def region_similarity(predicted: Mask | None, truth: Mask) -> float:
    """J of one frame: IoU of the masks, 0..1; two empty masks count 1."""
    return mask_overlap(predicted, truth).iou


def boundary_accuracy(predicted: Mask | None, truth: Mask, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """F of one frame: F1 of boundary precision and recall, 0..1. Masks bool H x W of one size, else ValueError.

    A boundary pixel matches when the other boundary passes within ceil(tolerance x diagonal) pixels (a disk). Two masks
    without boundary count 1, one without counts 0, as in the DAVIS code.
    """
    predicted = np.zeros_like(truth) if predicted is None else predicted
    if predicted.shape != truth.shape:
        raise ValueError(f"The predicted mask is {predicted.shape} and the true one {truth.shape}; both must have the frame's size.")
    radius = math.ceil(tolerance * math.hypot(*truth.shape))
    ours, theirs = boundary_map(predicted), boundary_map(truth)
    count_ours, count_theirs = int(ours.sum()), int(theirs.sum())
    if not count_ours or not count_theirs:
        return float(count_ours == count_theirs)
    precision = float((ours & dilate(theirs, radius)).sum()) / count_ours
    recall = float((theirs & dilate(ours, radius)).sum()) / count_theirs
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_map(mask: Mask) -> Mask:
    """One pixel wide boundary: True where a pixel differs from its right, lower or lower right neighbour.

    Nothing lies beyond the frame's edge, so a mask that is cut there has no boundary along it.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])


def dilate(mask: Mask, radius: int) -> Mask:
    """The mask grown by a disk: all pixels at most ``radius`` away (Euclid, pixel centres) from a True one."""
    height, width = mask.shape
    grown = np.zeros_like(mask)
    before = np.concatenate([np.zeros((height, 1), np.int64), np.cumsum(mask, axis=1)], axis=1)
    columns = np.arange(width)
    for shift in range(-radius, radius + 1):
        reach = math.isqrt(radius * radius - shift * shift)
        right = np.minimum(columns + reach + 1, width)
        row_hit = before[:, right] > before[:, np.maximum(columns - reach, 0)]
        if shift >= 0:
            grown[shift:] |= row_hit[: max(height - shift, 0)]
        else:
            grown[:shift] |= row_hit[-shift:]
    return grown


def masklet_score(predicted: Masklet | None, truth: Masklet, inner_frames_only: bool = False) -> VideoScore:
    """J and F of one object, means over its frames. Stacks frames x H x W of one shape, else ValueError.

    ``inner_frames_only``: leave out the first and the last frame, as DAVIS does where the first mask is given.
    """
    predicted = np.zeros_like(truth) if predicted is None else predicted
    if predicted.shape != truth.shape:
        raise ValueError(f"The predicted masklet is {predicted.shape} and the true one {truth.shape}; both must have the clip's size.")
    frames = range(1, len(truth) - 1) if inner_frames_only else range(len(truth))
    if not frames:
        raise ValueError(f"A clip of {len(truth)} frames leaves none to measure.")
    regions = [region_similarity(predicted[frame], truth[frame]) for frame in frames]
    boundaries = [boundary_accuracy(predicted[frame], truth[frame]) for frame in frames]
    return VideoScore(sum(regions) / len(regions), sum(boundaries) / len(boundaries))


def mean_score(scores: Sequence[VideoScore]) -> VideoScore:
    """The mean over objects, each counting the same, as DAVIS averages; zeros without objects."""
    if not scores:
        return VideoScore(0.0, 0.0)
    return VideoScore(sum(score.region for score in scores) / len(scores), sum(score.boundary for score in scores) / len(scores))
