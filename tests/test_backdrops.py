"""What stands behind things, changed all over: they stay as they are."""

from typing import get_args

import numpy as np
import pytest

from unified_demo.experts.backdrops import Backdrop, change_backdrop
from unified_demo.experts.patches import grow


@pytest.mark.parametrize("backdrop", get_args(Backdrop))
def test_behind_things_all_changes_and_they_stay_bit_by_bit(backdrop: Backdrop) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    thing = np.zeros((60, 100), bool)
    thing[20:50, 30:70] = True
    made = change_backdrop(picture, thing, backdrop)
    assert made.dtype == np.uint8 and (made[thing] == picture[thing]).all()
    away = ~grow(thing, 4)
    assert (made[away] != picture[away]).any(-1).mean() > 0.95
    if backdrop == "black and white":
        assert (made[away].max(-1) == made[away].min(-1)).all()
    else:
        assert made[away].mean() < 0.5 * picture[away].mean() if backdrop == "darker" else made[away].std() < 0.7 * picture[away].std()


def test_a_blurred_background_takes_nothing_of_the_thing() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    thing = np.zeros((200, 200), bool)
    thing[80:120, 80:120] = True
    picture[thing] = 255
    assert (change_backdrop(picture, thing, "blurred") == picture).all(), "no halo"


def test_nothing_and_everything_may_be_the_thing() -> None:
    picture = np.full((9, 13, 3), (200, 30, 20), np.uint8)
    assert (change_backdrop(picture, np.ones((9, 13), bool), "black and white") == picture).all()
    assert (change_backdrop(picture, np.zeros((9, 13), bool), "blurred") == picture).all()
