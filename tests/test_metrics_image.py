"""Measures of edits: by hand, and against figures of scikit-image 0.26 for two pictures that are made here.

scikit-image and scipy weigh 200 MB, so what they say stands here as numbers.
"""

import math

import numpy as np
import pytest

from unified_demo.evaluation.image_metrics import feature_distance, feature_similarity, patch_shares, psnr, ssim

ROWS, COLUMNS, CHANNELS = np.mgrid[:40, :52, :3]
FIRST = ((7 * ROWS + 3 * COLUMNS + 50 * CHANNELS + ROWS * COLUMNS % 31) % 256).astype(np.uint8)
SECOND = np.clip(FIRST.astype(int) + (ROWS * 5 + COLUMNS * 11 + CHANNELS) % 41 - 20, 0, 255).astype(np.uint8)
PATCH = np.zeros((40, 52), bool)
PATCH[10:20, 15:40] = True
SKIMAGE_PSNR = 26.851733244984572
SKIMAGE_SSIM, SKIMAGE_SSIM_OF_PATCH = 0.8370115041780891, 0.87072908623416
"""peak_signal_noise_ratio(data_range=255); structural_similarity(channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
use_sample_covariance=False), and the mean of its full map over PATCH."""


def test_psnr_by_hand() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    grey = np.full_like(black, 51)
    assert psnr(black, grey) == pytest.approx(20 * math.log10(5))
    assert psnr(black, black) == math.inf


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    assert psnr(FIRST, SECOND) == pytest.approx(SKIMAGE_PSNR)
    assert ssim(FIRST, SECOND) == pytest.approx(SKIMAGE_SSIM)
    assert ssim(FIRST, SECOND, PATCH) == pytest.approx(SKIMAGE_SSIM_OF_PATCH)
    assert ssim(FIRST, FIRST) == pytest.approx(1)


def test_only_the_mask_counts() -> None:
    changed = FIRST.copy()
    changed[:20] = 0
    below = np.zeros(FIRST.shape[:2], bool)
    below[20:] = True
    assert psnr(FIRST, changed, below) == math.inf
    assert psnr(FIRST, changed, ~below) < 20
    below[:26] = False
    assert ssim(FIRST, changed, below) == pytest.approx(1)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="do not compare"):
        psnr(FIRST, SECOND[:-1])
    with pytest.raises(ValueError, match="empty"):
        psnr(FIRST, SECOND, np.zeros(FIRST.shape[:2], bool))
    with pytest.raises(ValueError, match="smaller than the window"):
        ssim(FIRST[:8], SECOND[:8])
    rim = np.zeros(FIRST.shape[:2], bool)
    rim[:2] = True
    with pytest.raises(ValueError, match="rim"):
        ssim(FIRST, SECOND, rim)


def test_shares_of_patches_by_hand() -> None:
    mask = np.zeros((4, 6), bool)
    mask[:, :2] = True
    assert patch_shares(mask, 2, 2) == pytest.approx(np.array([[2 / 3, 0], [2 / 3, 0]]))
    odd = np.zeros((3, 3), bool)
    odd[0, 0] = True
    assert patch_shares(odd, 2, 2) == pytest.approx(np.array([[4 / 9, 0], [0, 0]])), "a pixel that two patches share is split"


def test_feature_distance_outside_and_similarity_inside() -> None:
    first = np.zeros((2, 2, 3))
    first[..., 0] = 2
    second = first.copy()
    second[:, 0] = (0, 5, 0)
    left = np.zeros((8, 8), bool)
    left[:, :4] = True
    assert feature_distance(first, second, left) == pytest.approx(0)
    assert feature_similarity(first, second, left) == pytest.approx(0)
    assert feature_distance(first, second, ~left) == pytest.approx(2), "orthogonal unit vectors are sqrt(2) apart"
    assert feature_distance(first, second) == pytest.approx(1)
    assert feature_similarity(first, 3 * first) == pytest.approx(1)
    assert feature_distance(first, -first) == pytest.approx(4)


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        feature_distance(np.ones((2, 2, 3)), np.ones((2, 3, 3)))
    with pytest.raises(ValueError, match="outside"):
        feature_distance(np.ones((2, 2, 3)), np.ones((2, 2, 3)), np.ones((8, 8), bool))
    with pytest.raises(ValueError, match="channels"):
        feature_similarity(np.ones((2, 3)), np.ones((2, 3)))
