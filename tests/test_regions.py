"""Regions: colours of painted patches, ranks and flags of hand-made boxes, weights of neighbours, the order of reading."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.grammar import Box
from unified_demo.regions import (
    COLOURS,
    PARTS,
    PLACE_WIDTH,
    RELATIONS,
    WHOLE_PICTURE,
    Region,
    colour_shares,
    neighbour_weights,
    place_features,
    region_colours,
    sort_regions,
    with_second_names,
    with_whole_picture,
    without_feature,
)

PAINTS = {
    "black": [(0, 0, 0), (30, 30, 35)],
    "white": [(255, 255, 255), (235, 240, 238)],
    "gray": [(128, 128, 128), (160, 165, 170)],
    "red": [(220, 20, 30), (255, 0, 0)],
    "orange": [(255, 140, 0), (240, 120, 20)],
    "yellow": [(250, 220, 30), (255, 255, 0)],
    "green": [(30, 160, 40), (0, 100, 0)],
    "blue": [(20, 60, 200), (90, 160, 230)],
    "purple": [(130, 40, 190), (100, 30, 160)],
    "pink": [(250, 120, 190), (255, 20, 147)],
    "brown": [(110, 70, 40), (140, 90, 60)],
}
NO_COLOURS = np.zeros((PARTS, len(COLOURS)), np.float32)
RANKS, FROM_ALL, PLACES, COUNTS = 12, 21, 25, 31
"""Where the blocks of a row of place_features begin."""


def thing(label: str, *box: float, score: float = 0.9) -> Region:
    return Region(label, score, Box(*box), NO_COLOURS)


def row(rows: np.ndarray, index: int, start: int, count: int) -> list[float]:
    return rows[index, start : start + count].tolist()


# ---- colours ----


def test_every_colour_is_painted() -> None:
    assert tuple(PAINTS) == COLOURS


@pytest.mark.parametrize(("name", "paint"), [(name, paint) for name, paints in PAINTS.items() for paint in paints])
def test_a_painted_patch_has_its_colour(name: str, paint: tuple[int, int, int]) -> None:
    shares = colour_shares(np.full((6, 5, 3), paint, np.uint8))
    assert shares.dtype == np.float32
    assert shares.sum() == pytest.approx(1)
    assert COLOURS[int(shares.argmax())] == name
    assert shares.max() == 1


def test_two_paints_share_a_patch() -> None:
    patch = np.full((4, 4, 3), (220, 20, 30), np.uint8)
    patch[:1] = (255, 255, 255)
    shares = colour_shares(patch)
    assert shares[COLOURS.index("red")] == 0.75
    assert shares[COLOURS.index("white")] == 0.25


def test_an_empty_patch_has_no_colour() -> None:
    assert colour_shares(np.zeros((0, 4, 3), np.uint8)).tolist() == [0] * len(COLOURS)


def test_head_shirt_and_trousers_have_their_own_colours() -> None:
    picture = np.full((300, 200, 3), 255, np.uint8)
    picture[100:150, 60:140] = PAINTS["orange"][0]
    picture[150:200, 60:140] = PAINTS["blue"][0]
    picture[200:250, 60:140] = PAINTS["green"][0]
    shares = region_colours(picture, Box(50 / 200, 100 / 300, 150 / 200, 250 / 300))
    assert shares.shape == (PARTS, len(COLOURS))
    assert np.allclose(shares.sum(1), 1)
    assert [COLOURS[int(part.argmax())] for part in shares[1:]] == ["orange", "blue", "green"]
    assert {COLOURS[index] for index in np.flatnonzero(shares[0])} == {"orange", "blue", "green"}, "the sides of the box are background"


@pytest.mark.parametrize("box", [Box(0.999, 0.999, 1, 1), Box(0, 0, 0.001, 0.001), Box(0, 0, 1, 1), Box(0, 0.9995, 1, 1)])
def test_colours_of_thin_boxes_and_of_a_large_picture(box: Box) -> None:
    picture = np.full((700, 900, 3), PAINTS["purple"][0], np.uint8)
    shares = region_colours(picture, box)
    assert np.allclose(shares[:, COLOURS.index("purple")], 1)


# ---- place ----


def test_geometry_of_a_box() -> None:
    rows = place_features([thing("dog", 0.1, 0.2, 0.5, 0.4, score=0.75)])
    assert rows.shape == (1, PLACE_WIDTH)
    expected = [0.1, 0.2, 0.5, 0.4, 0.3, 0.3, 0.4, 0.2, 0.08, 0.08**0.5, np.log(2) / 2, 0.75]
    assert rows[0, :RANKS] == pytest.approx(expected, abs=1e-6)


def test_ranks_among_things_of_the_same_kind() -> None:
    left, middle, right = thing("dog", 0.0, 0.5, 0.1, 0.6), thing("dog", 0.3, 0.1, 0.7, 0.5), thing("dog", 0.8, 0.3, 1.0, 0.5)
    rows = place_features([left, middle, right, thing("cat", 0.9, 0.9, 1.0, 1.0)])
    assert row(rows, 0, RANKS, 3) == [1, 0, 0], "leftmost"
    assert row(rows, 1, RANKS, 3) == [0, 0, 0.5]
    assert row(rows, 2, RANKS, 3) == [0, 1, 1], "rightmost"
    assert row(rows, 1, RANKS + 3, 3) == [1, 0, 0], "highest"
    assert row(rows, 0, RANKS + 3, 3) == [0, 1, 1], "lowest"
    assert row(rows, 0, RANKS + 6, 3) == [1, 0, 0], "smallest"
    assert row(rows, 1, RANKS + 6, 3) == [0, 1, 1], "largest"
    assert row(rows, 3, RANKS, 9) == [0, 0, 0.5] * 3, "alone of its kind"


def test_ranks_among_everything_leave_the_whole_picture_out() -> None:
    regions = with_whole_picture([thing("dog", 0.0, 0.0, 0.2, 0.2), thing("cat", 0.5, 0.5, 1.0, 1.0)], NO_COLOURS, None)
    rows = place_features(regions)
    assert row(rows, 1, FROM_ALL, 4) == [1, 0, 1, 0], "leftmost and smallest of all"
    assert row(rows, 2, FROM_ALL, 4) == [0, 1, 0, 1], "rightmost and largest of all, though the picture is larger"


def test_places_counts_and_the_middle() -> None:
    regions = [thing("dog", 0.2 * place, 0.4, 0.2 * place + 0.1, 0.6) for place in range(5)]
    rows = place_features(regions)
    assert row(rows, 0, PLACES, 6) == [0, 0, 0, 0, 0, 0], "the first is told by its rank"
    assert row(rows, 1, PLACES, 6) == [1, 0, 0, 0, 0, 1], "second from the left, fourth from the right"
    assert row(rows, 3, PLACES, 6) == [0, 0, 1, 1, 0, 0], "second from the right"
    assert row(rows, 2, COUNTS, 6) == [0, 0, 0, 0, 0.5, 1], "five, and this is the middle one"
    assert rows[1, COUNTS + 5] == 0
    assert row(place_features(regions[:3]), 0, COUNTS, 4) == [0, 0, 1, 0]


def test_doubtful_boxes_do_not_count() -> None:
    dogs = [thing("dog", 0.1, 0.1, 0.2, 0.2), thing("dog", 0.5, 0.1, 0.6, 0.2)]
    rows = place_features([*dogs, thing("dog", 0.8, 0.1, 0.9, 0.2, score=0.2)])
    assert row(rows, 1, RANKS, 3) == [0, 1, 1], "the rightmost sure dog"
    assert row(rows, 1, COUNTS, 4) == [0, 1, 0, 0]


# ---- neighbours ----

HOLDING, INSIDE, LEFT_OF, RIGHT_OF, BELOW = 1, 2, 3, 4, 5


def test_who_holds_whom() -> None:
    person, cup, far = thing("person", 0.1, 0.1, 0.5, 0.9), thing("cup", 0.2, 0.4, 0.3, 0.5), thing("car", 0.8, 0.8, 1.0, 1.0)
    weights = neighbour_weights([person, cup, far])
    assert weights[0, 0, 1] == weights[0, 1, 0] == 1, "overlap in full"
    assert weights[HOLDING, 1].tolist() == [1, 0, 0], "the cup is held by the person"
    assert weights[INSIDE, 0].tolist() == [0, 1, 0]
    assert weights[HOLDING, 0].tolist() == [0, 0, 0]
    assert weights[:3, 2].sum() == 0, "nothing overlaps the car"


def test_left_right_and_below() -> None:
    left, right, below = thing("a", 0.1, 0.1, 0.3, 0.3), thing("b", 0.35, 0.1, 0.55, 0.3), thing("c", 0.1, 0.32, 0.3, 0.5)
    weights = neighbour_weights([left, right, below])
    assert weights[RIGHT_OF, 0, 1] > 0.5
    assert weights[LEFT_OF, 1, 0] > 0.2
    assert weights[LEFT_OF, 0, 1] == weights[RIGHT_OF, 1, 0] == 0
    assert weights[BELOW, 0, 2] > 0.5
    assert weights[BELOW, 0, 1] == weights[BELOW, 2, 0] == 0


_corner = st.integers(0, 900).map(lambda number: number / 1000)
_side = st.integers(10, 100).map(lambda number: number / 1000)
_things = st.lists(st.tuples(_corner, _corner, _side, _side), min_size=0, max_size=12)


@given(_things)
def test_neighbours_are_others_and_never_the_whole_picture(places: list[tuple[float, float, float, float]]) -> None:
    found = [thing("dog", x, y, min(1.0, x + width), min(1.0, y + height)) for x, y, width, height in places]
    regions = with_whole_picture(found, NO_COLOURS, None)
    weights = neighbour_weights(regions)
    assert weights.shape == (RELATIONS, len(regions), len(regions))
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-5).all()
    assert not weights[:, 0].any(), "the whole picture has no neighbours"
    assert not weights[:, :, 0].any(), "and is nobody's"
    assert not np.diagonal(weights, axis1=1, axis2=2).any()
    assert np.isfinite(place_features(regions)).all()


@given(_things)
def test_regions_are_read_from_left_to_right(places: list[tuple[float, float, float, float]]) -> None:
    found = [thing("dog", x, y, min(1.0, x + width), min(1.0, y + height)) for x, y, width, height in places]
    centres = [region.box.x0 + region.box.x1 for region in sort_regions(found)]
    assert centres == sorted(centres)
    ordered = with_whole_picture(found, NO_COLOURS, None)
    assert ordered[0].label == WHOLE_PICTURE
    assert ordered[0].box == Box(0, 0, 1, 1)
    assert ordered[1:] == sort_regions(found)


def test_without_feature_keeps_the_rest() -> None:
    region = Region("dog", 0.5, Box(0, 0, 1, 1), NO_COLOURS, np.ones(384, np.float32), (("cat", 0.2),))
    bare = without_feature(region)
    assert bare.feature is None
    assert (bare.label, bare.score, bare.box, bare.others) == (region.label, region.score, region.box, region.others)


def test_a_likely_second_name_is_a_proposal_of_its_own() -> None:
    colours = np.zeros((PARTS, len(COLOURS)), np.float32)
    region = Region("fork", 0.46, Box(0.1, 0.1, 0.4, 0.4), colours, None, (("spoon", 0.38), ("knife", 0.05)))
    assert [(item.label, item.score, item.box, item.others) for item in with_second_names([region])] == [
        ("fork", 0.46, region.box, ()),
        ("spoon", 0.38, region.box, ()),
    ]
