"""One thing of a drawing: its whole outline, what is no drawing, and the ground where it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unified_demo.experts.drawn_layers import take_apart
from unified_demo.experts.drawn_regions import erased, layers_of, on_ground, whole_thing
from unified_demo.experts.moods import mood_ground
from unified_demo.grammar import Box
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact

SIDE = 200
BOX = Box(0.1, 0.2, 0.5, 0.7)
"""Of the apple with its leaf."""


def apple_and_star(name: str = "white") -> Image.Image:
    """A red disc with a leaf on it, and a yellow square far from it."""
    picture = Image.fromarray(mood_ground(name, SIDE).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((25, 60, 95, 130), fill=(200, 30, 40))
    pen.ellipse((55, 44, 85, 66), fill=(90, 200, 40))
    pen.rectangle((140, 60, 180, 100), fill=(250, 200, 30))
    return picture


def disc() -> np.ndarray:
    """What a segmenter finds: the apple without its leaf."""
    mask = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(mask).ellipse((27, 62, 93, 128), fill=1)
    return np.array(mask)


@pytest.mark.parametrize("name", ["white", "beach", "night", "snow"])
def test_a_thing_goes_with_all_that_hangs_together_with_it_and_leaves_no_trace(name: str) -> None:
    picture, bare = apple_and_star(name), mood_ground(name, SIDE)
    apart = take_apart(picture)
    mask = whole_thing(apart, disc(), BOX)
    assert mask[disc()].all() and mask[50, 70] and not mask[:, 130:].any(), "with its leaf, without the star"
    assert on_ground(apart, mask)
    before, after = np.asarray(picture), erased(np.asarray(picture), apart, mask)
    gone = np.abs(after[30:140, 10:110].astype(int) - bare[30:140, 10:110]).max(axis=-1)
    assert (gone <= 6).mean() > 0.99 and (after[:, 130:] == before[:, 130:]).all()


def test_what_the_generator_drew_a_little_off_goes_on_as_it_is_around() -> None:
    shade = np.add.outer(np.linspace(0, 10, SIDE), np.linspace(0, 8, SIDE))[..., None]
    picture = Image.fromarray((np.asarray(apple_and_star(), float) - shade * 0.5).clip(0, 255).astype(np.uint8))
    apart = take_apart(picture)
    after = erased(np.asarray(picture), apart, whole_thing(apart, disc(), BOX)).astype(float)
    wished = mood_ground("white", SIDE) - shade * 0.5
    assert np.abs(after - wished)[30:140, 10:110].mean() < 1.2


def test_what_overlaps_another_thing_stays_apart_from_it() -> None:
    picture = apple_and_star()
    ImageDraw.Draw(picture).rectangle((90, 70, 150, 120), fill=(40, 60, 200))
    apart = take_apart(picture)
    mask = whole_thing(apart, disc(), BOX)
    assert (mask == disc()).all() and not on_ground(apart, mask)


def test_photographs_have_no_layers_and_drawings_on_unknown_grounds_have_none(tmp_path: Path) -> None:
    def kept(picture: Image.Image) -> Artefact:
        return MediaStore(tmp_path).add_image(picture, "img-1")

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    assert layers_of(kept(noise), noise) is None
    odd = Image.new("RGB", (90, 90), (12, 180, 170))
    odd.paste((200, 60, 50), (30, 30, 60, 60))
    assert layers_of(kept(odd), odd) is None
    plain = apple_and_star()
    assert layers_of(kept(plain), plain) is not None
    meadow = apple_and_star("meadow")
    assert layers_of(replace(kept(meadow), recipe={"layout": []}), meadow) is not None
