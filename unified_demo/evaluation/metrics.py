"""Measures of referring expression grounding and segmentation, as pure functions of numbers and arrays.

Acc@0.5 as in RefCOCO; gIoU and cIoU as in LISA (arXiv 2308.00692): the mean of the per-sample mask IoUs, and the summed
intersections over the summed unions. No files, no models.
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
