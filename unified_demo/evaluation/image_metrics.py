"""Measures of edited pictures: PSNR and SSIM where nothing should change, feature distance outside and similarity inside a mask.

Pictures are uint8 H x W x 3 of one size, masks bool H x W that are True where the edit may happen. Pure functions of arrays;
features (DINOv2 here) come from outside as patch rows x patch columns x channels.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from unified_demo.evaluation.metrics import Mask

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Look = Callable[[Pixels], Floats]
"""A picture to its features."""
PEAK = 255.0
_SIGMA = 1.5
_RADIUS = 5
_STABLE = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def psnr(first: Pixels, second: Pixels, where: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB over the pixels of ``where`` (all without it); inf when they are equal.

    10 log10(255^2 / mean squared error). Raises ValueError when sizes differ or ``where`` is empty.
    """
    _check(first, second, where)
    error = (first.astype(np.float64) - second.astype(np.float64)) ** 2
    chosen = error if where is None else error[where]
    mean = float(chosen.mean())
    return 10 * math.log10(PEAK**2 / mean) if mean else math.inf


def ssim(first: Pixels, second: Pixels, where: Mask | None = None) -> float:
    """Structural similarity (Wang et al., IEEE TIP 13, 2004), -1..1, mean over channels and over the pixels of ``where``.

    Gaussian window of 11 x 11 with sigma 1.5, K1 0.01, K2 0.03. Windows that leave the picture are not counted. ValueError when
    sizes differ, a side is under 11 pixels, or no counted window is centred in ``where``.
    """
    _check(first, second, where)
    if min(first.shape[:2]) < 2 * _RADIUS + 1:
        raise ValueError(f"A picture of {first.shape[1]} x {first.shape[0]} pixels is smaller than the window of {2 * _RADIUS + 1}.")
    one, two = first.astype(np.float64), second.astype(np.float64)
    mean_one, mean_two = _blur(one), _blur(two)
    variance_one = _blur(one * one) - mean_one**2
    variance_two = _blur(two * two) - mean_two**2
    covariance = _blur(one * two) - mean_one * mean_two
    light, contrast = _STABLE
    similar = (2 * mean_one * mean_two + light) * (2 * covariance + contrast)
    similar /= (mean_one**2 + mean_two**2 + light) * (variance_one + variance_two + contrast)
    if where is None:
        return float(similar.mean())
    inner = where[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    if not inner.any():
        raise ValueError("No window lies where the similarity is asked for; the mask leaves only the picture's rim.")
    return float(similar[inner].mean())


def feature_distance(first: Floats, second: Floats, mask: Mask | None = None) -> float:
    """LPIPS-style distance (arXiv 1801.03924, without its learnt weights), 0..4, of what lies outside ``mask``.

    Features rows x columns x channels; each is scaled to length 1, squared differences are summed over channels and averaged over
    patches, a patch counting by the share of its pixels outside. ValueError when shapes differ or nothing lies outside.
    """
    one, two = _unit(first), _unit(second)
    _same(one, two)
    return _weighted(((one - two) ** 2).sum(-1), _shares(~mask, one) if mask is not None else None, "outside")


def feature_similarity(first: Floats, second: Floats, mask: Mask | None = None) -> float:
    """Mean cosine of the patches inside ``mask`` (all without it), -1..1; weights and errors as ``feature_distance``."""
    one, two = _unit(first), _unit(second)
    _same(one, two)
    return _weighted((one * two).sum(-1), _shares(mask, one) if mask is not None else None, "inside")


def patch_shares(mask: Mask, rows: int, columns: int) -> Floats:
    """(rows, columns): for each patch of an even grid the share of its area that the mask covers, 0..1."""
    return _cover(mask.shape[0], rows) @ mask.astype(np.float64) @ _cover(mask.shape[1], columns).T


def _cover(pixels: int, cells: int) -> Floats:
    """(cells, pixels): how much of each cell each pixel makes up; rows sum to 1."""
    edges = np.arange(cells + 1) * pixels / cells
    starts = np.arange(pixels)
    shared = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.clip(shared, 0, None) * cells / pixels


def _shares(mask: Mask | None, features: Floats) -> Floats:
    assert mask is not None
    return patch_shares(mask, features.shape[0], features.shape[1])


def _unit(features: Floats) -> Floats:
    if features.ndim != 3:
        raise ValueError(f"Features are rows x columns x channels, these have shape {features.shape}.")
    values = features.astype(np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-10)


def _same(one: Floats, two: Floats) -> None:
    if one.shape != two.shape:
        raise ValueError(f"Features of shape {one.shape} and {two.shape} do not compare; look at both pictures at one size.")


def _weighted(values: Floats, weights: Floats | None, side: str) -> float:
    if weights is None:
        return float(values.mean())
    total = float(weights.sum())
    if total <= 0:
        raise ValueError(f"No pixel lies {side} the mask, so there is nothing to compare.")
    return float((values * weights).sum() / total)


def _check(first: Pixels, second: Pixels, where: Mask | None) -> None:
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(f"Pictures of shape {first.shape} and {second.shape} do not compare; both must be H x W x 3 of one size.")
    if where is not None and where.shape != first.shape[:2]:
        raise ValueError(f"The mask is {where.shape} and the picture {first.shape[:2]}; both must have one size.")
    if where is not None and not where.any():
        raise ValueError("The mask is empty, so there is nothing to compare.")


def _blur(values: Floats) -> Floats:
    """Gaussian mean over every whole window of H x W x channels: (H - 10) x (W - 10) x channels."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    height, width = values.shape[:2]
    size = 2 * _RADIUS
    rows = sum(weight * values[start : height - size + start] for start, weight in enumerate(kernel))
    blurred: Floats = np.asarray(sum(weight * rows[:, start : width - size + start] for start, weight in enumerate(kernel)))
    return blurred
