"""J and F of DAVIS on masks small enough to count by hand, and the disk against distances (and once against scikit-image)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unified_demo.evaluation.video_metrics import (
    VideoScore,
    boundary_accuracy,
    boundary_map,
    dilate,
    masklet_score,
    mean_score,
    region_similarity,
)


def square(x0: int, y0: int, x1: int, y1: int, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_region_similarity_is_the_iou() -> None:
    assert region_similarity(square(0, 0, 10, 10), square(5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert region_similarity(None, square(0, 0, 10, 10)) == 0
    assert region_similarity(None, np.zeros((4, 4), bool)) == 1


def test_boundary_pixels_of_a_square_by_hand() -> None:
    found = boundary_map(square(3, 3, 5, 5, size=8))
    rows = [(y, x) for y, x in zip(*np.nonzero(found), strict=True)]
    assert rows == [(2, 2), (2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3), (4, 4)]


def test_a_mask_cut_by_the_frame_has_no_boundary_there() -> None:
    assert not boundary_map(np.ones((6, 6), bool)).any()
    left_half = square(0, 0, 50, 100)
    assert boundary_map(left_half).sum() == 100


def test_boundaries_within_the_tolerance_match_and_beyond_do_not() -> None:
    truth = square(30, 30, 60, 60)
    assert boundary_accuracy(square(32, 30, 62, 60), truth) == 1.0, "ceil(0.008 x 141.4) = 2 pixels"
    shifted = boundary_accuracy(square(33, 30, 63, 60), truth)
    boundary = 30 * 4
    assert 0 < shifted < 1
    assert boundary_map(truth).sum() == boundary
    assert boundary_accuracy(square(70, 70, 90, 90), truth) == 0


def test_precision_and_recall_of_two_squares_by_hand() -> None:
    truth = square(10, 10, 20, 20)
    assert boundary_accuracy(truth | square(60, 60, 70, 70), truth) == pytest.approx(2 * 0.5 * 1 / 1.5)


def test_missing_objects() -> None:
    nothing, something = np.zeros((50, 50), bool), square(5, 5, 20, 20, size=50)
    assert boundary_accuracy(None, nothing) == 1
    assert boundary_accuracy(None, something) == 0
    assert boundary_accuracy(something, nothing) == 0


@given(arrays(bool, (11, 13), elements=st.booleans()), st.integers(0, 6))
def test_the_disk_holds_what_is_near_enough(mask: np.ndarray, radius: int) -> None:
    rows, columns = np.mgrid[:11, :13]
    expected = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        expected |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    assert (dilate(mask, radius) == expected).all()


def test_the_disk_is_that_of_scikit_image() -> None:
    assert dilate(square(4, 4, 5, 5, size=9), 4).sum(axis=1).tolist() == [1, 5, 7, 7, 9, 7, 7, 5, 1], "skimage.morphology.disk(4)"


def test_a_radius_larger_than_the_frame_fills_it() -> None:
    assert dilate(square(0, 0, 1, 1, size=5), 9).all()


def test_means_over_frames_and_objects() -> None:
    truth = np.stack([square(10, 10, 20, 20)] * 4)
    predicted = truth.copy()
    predicted[0] = False
    assert masklet_score(predicted, truth) == VideoScore(0.75, 0.75)
    assert masklet_score(predicted, truth, inner_frames_only=True) == VideoScore(1.0, 1.0)
    assert masklet_score(None, truth).both == 0
    both = mean_score([VideoScore(0.5, 0.7), VideoScore(0.7, 0.9)])
    assert both.region == pytest.approx(0.6)
    assert both.boundary == pytest.approx(0.8)
    assert both.both == pytest.approx(0.7)
    assert mean_score([]).both == 0


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="frame's size"):
        boundary_accuracy(np.zeros((4, 4), bool), np.zeros((4, 5), bool))
    with pytest.raises(ValueError, match="clip's size"):
        masklet_score(np.zeros((2, 4, 4), bool), np.zeros((3, 4, 4), bool))
    with pytest.raises(ValueError, match="2 frames"):
        masklet_score(None, np.zeros((2, 4, 4), bool), inner_frames_only=True)
