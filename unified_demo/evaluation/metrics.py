"""Measures of referring expression grounding and segmentation, as pure functions of numbers and arrays.

Acc@0.5 as in RefCOCO; gIoU and cIoU as in LISA (arXiv 2308.00692): the mean of the per-sample mask IoUs, and the summed
intersections over the summed unions. The RefCOCO literature (LAVT, arXiv 2112.02244) calls the same two numbers mIoU and
oIoU and adds P@k. No files, no models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """Pixels that a predicted and a true mask share, and pixels that belong to either."""

    shared: int
    union: int

    @property
    def iou(self) -> float:
        """0..1; two empty masks agree, which counts 1."""
        return self.shared / self.union if self.union else 1.0


def mask_overlap(predicted: Mask | None, truth: Mask) -> Overlap:
    """Compare two bool H x W masks; None is an empty prediction. Raises ValueError when the sizes differ."""
    if predicted is None:
        return Overlap(0, int(truth.sum()))
    if predicted.shape != truth.shape:
        raise ValueError(f"The predicted mask is {predicted.shape} and the true one {truth.shape}; both must have the picture's size.")
    return Overlap(int((predicted & truth).sum()), int((predicted | truth).sum()))


def accuracy_at(ious: Sequence[float], threshold: float = 0.5) -> float:
    """Share of samples whose box IoU is at least ``threshold``; 0 without samples."""
    return sum(iou >= threshold for iou in ious) / len(ious) if ious else 0.0


def generalised_iou(overlaps: Sequence[Overlap]) -> float:
    """gIoU: the mean of the mask IoUs, 0..1; 0 without samples. Each sample counts the same."""
    return sum(overlap.iou for overlap in overlaps) / len(overlaps) if overlaps else 0.0


def cumulative_iou(overlaps: Sequence[Overlap]) -> float:
    """cIoU: all shared pixels over all pixels of either, 0..1; 0 without samples. Large things count more."""
    union = sum(overlap.union for overlap in overlaps)
    return sum(overlap.shared for overlap in overlaps) / union if union else 0.0


def mean_iou(overlaps: Sequence[Overlap]) -> float:
    """mIoU as LAVT (arXiv 2112.02244) reports it for RefCOCO: the same number as ``generalised_iou``."""
    return generalised_iou(overlaps)


def overall_iou(overlaps: Sequence[Overlap]) -> float:
    """oIoU as LAVT (arXiv 2112.02244) reports it for RefCOCO: the same number as ``cumulative_iou``."""
    return cumulative_iou(overlaps)


PRECISION_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def precision_at(overlaps: Sequence[Overlap], thresholds: Sequence[float] = PRECISION_THRESHOLDS) -> dict[float, float]:
    """P@k: for each threshold the share of samples whose mask IoU reaches it (at least, as LAVT counts); 0 without samples."""
    ious = [overlap.iou for overlap in overlaps]
    return {threshold: accuracy_at(ious, threshold) for threshold in thresholds}
