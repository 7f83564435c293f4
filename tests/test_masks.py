"""Run lengths and polygons against pycocotools (its figures for three masks stand here) and by round trip."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from unified_demo.data.masks import decode_runs, encode_runs, fill_polygons
from unified_demo.errors import MediaError

COCO = {
    (4, 5): "0140O0003",
    (30, 40): "01\\<7ZD0000000000000000000000000000000000000000000000000g0",
}
"""What pycocotools 2.0 makes of ``sample``."""


def sample(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 3 : width - 1] = True
    mask[0, 0] = True
    return mask


@pytest.mark.parametrize("size", COCO)
def test_the_spelling_is_that_of_coco(size: tuple[int, int]) -> None:
    assert encode_runs(sample(*size)) == COCO[size]
    assert (decode_runs(COCO[size], *size) == sample(*size)).all()
    assert (decode_runs(COCO[size].encode(), *size) == sample(*size)).all()


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_nothing_is_lost(mask: np.ndarray) -> None:
    assert (decode_runs(encode_runs(mask), *mask.shape) == mask).all()


@given(st.text(max_size=30))
def test_any_text_is_a_mask_or_a_plain_error(text: str) -> None:
    with contextlib.suppress(MediaError):
        assert decode_runs(text, 3, 4).shape == (3, 4)


@pytest.mark.parametrize(("runs", "size"), [("0140O0003", (4, 6)), ("0140O000", (4, 5)), ("\u00e4", (1, 1)), ("p", (1, 1)), ("4", (0, 4))])
def test_damaged_runs_are_refused(runs: str, size: tuple[int, int]) -> None:
    with pytest.raises(MediaError):
        decode_runs(runs, *size)


def test_plain_counts() -> None:
    assert decode_runs([1, 2, 3], 2, 3).tolist() == [[False, True, False], [True, False, False]]


def test_a_pixel_is_inside_when_its_centre_is() -> None:
    mask = fill_polygons([[10, 10, 30, 10, 30, 25, 10, 25]], 40, 50)
    assert mask.sum() == 300, "as pycocotools"
    assert mask[10:25, 10:30].all()
    assert fill_polygons([[0.4, 0.4, 1.4, 0.4, 1.4, 1.6, 0.4, 1.6]], 4, 4).sum() == 2
    assert fill_polygons([[0.6, 0.6, 1.4, 0.6, 1.4, 1.4, 0.6, 1.4]], 4, 4).sum() == 0
    assert fill_polygons([[-9, -9, 90, -9, 90, 90, -9, 90]], 4, 4).all()
    assert not fill_polygons([[0, 0, 4, 4]], 4, 4).any()


def test_polygons_are_united() -> None:
    assert fill_polygons([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]], 4, 4).sum() == 7
