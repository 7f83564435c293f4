"""Measures against cases computed by hand."""

import numpy as np
import pytest

from unified_demo.evaluation.metrics import (
    Overlap,
    accuracy_at,
    cumulative_iou,
    generalised_iou,
    mask_overlap,
    mean_iou,
    overall_iou,
    precision_at,
)


def mask(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_overlap_counts_pixels() -> None:
    overlap = mask_overlap(mask("##.", "##."), mask(".##", ".##"))
    assert overlap == Overlap(shared=2, union=6)
    assert overlap.iou == pytest.approx(1 / 3)


def test_no_mask_counts_as_an_empty_one() -> None:
    assert mask_overlap(None, mask("#.", "#.")) == Overlap(0, 2)
    assert mask_overlap(None, mask("..")).iou == 1.0


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(1, 3\)"):
        mask_overlap(mask("##"), mask("###"))


def test_generalised_is_the_mean_and_cumulative_is_weighted_by_pixels() -> None:
    overlaps = [Overlap(90, 100), Overlap(0, 10), Overlap(5, 10)]
    assert generalised_iou(overlaps) == pytest.approx((0.9 + 0 + 0.5) / 3)
    assert cumulative_iou(overlaps) == pytest.approx(95 / 120)


def test_accuracy_includes_the_threshold() -> None:
    assert accuracy_at([0.5, 0.49, 0.9, 0.0]) == 0.5
    assert accuracy_at([0.8, 0.7], threshold=0.75) == 0.5


def test_no_samples_give_zero() -> None:
    assert (accuracy_at([]), generalised_iou([]), cumulative_iou([])) == (0.0, 0.0, 0.0)


def test_refcoco_names_for_the_same_numbers() -> None:
    overlaps = [Overlap(1, 2), Overlap(90, 100), Overlap(0, 10)]
    assert mean_iou(overlaps) == generalised_iou(overlaps) == pytest.approx((0.5 + 0.9) / 3)
    assert overall_iou(overlaps) == cumulative_iou(overlaps) == pytest.approx(91 / 112)


def test_precision_at_thresholds() -> None:
    found = precision_at([Overlap(1, 2), Overlap(90, 100), Overlap(0, 10), Overlap(75, 100)])
    assert found == {0.5: 0.75, 0.6: 0.5, 0.7: 0.5, 0.8: 0.25, 0.9: 0.25}
    assert precision_at([], [0.5]) == {0.5: 0.0}
