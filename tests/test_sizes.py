"""Sizes of pictures: what words ask for, what is allowed, enlarging with sharp edges, and the experts that heed it."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertRequest, Output, Progress
from unified_demo.experts.restyling import RESIZED, RestylingExpert
from unified_demo.experts.sizes import MOST, Size, enlarged, read_size
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact


@pytest.mark.parametrize(
    ("words", "left", "size"),
    [
        ("a castle in 512 pixels", "a castle", Size(512, 512)),
        ("a castle in 512", "a castle", Size(512, 512)),
        ("two cats, 1024x768 px", "two cats", Size(1024, 768)),
        ("a fox 800 by 600", "a fox", Size(800, 600)),
        ("a watercolour, 600 pixels wide", "a watercolour", Size(600, 600)),
        ("a bigger picture of a dragon", "a dragon", Size(factor=2)),
        ("a fox in high resolution", "a fox", Size(factor=2)),
        ("make it twice as large", "make it", Size(factor=2)),
        ("upscale it by 4x please", "it please", Size(factor=4)),
        ("upscale the photo", "the photo", Size(factor=2)),
        ("enlarge the picture to 1000 px", "", Size(1000, 1000)),
        ("make this picture larger", "", Size(factor=2)),
        ("a house, 4k", "a house", Size(3840, 3840)),
    ],
)
def test_words_ask_for_a_size(words: str, left: str, size: Size) -> None:
    assert read_size(words) == (left, size)


@pytest.mark.parametrize(
    "words", ["a larger dog", "15 stars", "a double bed", "2x dogs", "8-bit pixel art", "make the dog bigger", "a snowy day", ""]
)
def test_other_words_ask_for_none(words: str) -> None:
    assert read_size(words) == (words, None)


def test_new_pictures_get_both_sides_and_old_ones_keep_their_shape() -> None:
    assert Size(640, 360).drawn(256) == (640, 360) and Size(factor=2).drawn(256) == (512, 512)
    assert Size(512, 512).kept((100, 50)) == (512, 256) and Size(factor=3).kept((100, 50)) == (300, 150)
    for wrong in (Size(MOST + 1, MOST + 1), Size(20, 20), Size(factor=9)):
        with pytest.raises(ExpertError, match=f"64 to {MOST} on each side"):
            wrong.drawn(256)
        with pytest.raises(ExpertError, match="was asked for"):
            wrong.kept((256, 200))


def drawing(side: int) -> Image.Image:
    """Discs and a line, smooth at their rims."""
    large = Image.new("RGB", (8 * side, 8 * side), (245, 245, 246))
    pen = ImageDraw.Draw(large)
    pen.ellipse((side, side, 6 * side, 5 * side), fill=(200, 60, 50))
    pen.ellipse((2 * side, 2 * side, 3 * side, 3 * side), fill=(20, 20, 60))
    pen.line((side, 7 * side, 7 * side, 4 * side), fill=(40, 120, 60), width=side // 2)
    return large.resize((side, side), Image.Resampling.BOX)


def test_enlarging_is_nearer_to_the_large_drawing_than_a_plain_filter_and_has_no_halo() -> None:
    wished, small = np.asarray(drawing(256), float), drawing(128)
    ours = np.asarray(enlarged(small, (256, 256)), float)
    plain = np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC), float)
    assert ((ours - wished) ** 2).mean() < 0.8 * ((plain - wished) ** 2).mean()
    before = np.asarray(small)
    assert ours.min() >= before.min() and ours.max() <= before.max(), "nothing is darker or brighter than it was"
    assert enlarged(small, (64, 30)).size == (64, 30)
    assert enlarged(small.convert("RGBA").convert("RGBa"), (300, 300)).mode == "RGBa"


# ---- whole pictures ----


@pytest.fixture
def picture(tmp_path: Path) -> Artefact:
    return MediaStore(tmp_path).add_image(drawing(128).crop((0, 0, 128, 96)), "img-1")


def outputs(prompt: str, picture: Artefact, **more: object) -> list[Output]:
    events = list(RestylingExpert(None).run(ExpertRequest(prompt, (picture,), **more)))  # type: ignore[arg-type]
    assert events and isinstance(events[0], Progress)
    return [event for event in events if isinstance(event, Output)]


def test_a_picture_is_enlarged_on_request(picture: Artefact) -> None:
    for prompt, size in (
        ("make it look like a 512 pixel photo", (512, 384)),
        ("upscale this to 512 pixels", (512, 384)),
        ("make it bigger", (256, 192)),
        ("in 3 times the size", (384, 288)),
    ):
        (output,) = outputs(prompt, picture)
        assert output.value.size == size and output.of == "img-1" and output.label == prompt
        assert output.recipe == {"method": RESIZED, "width": size[0], "height": size[1]}


def test_a_change_and_a_size_are_done_together(picture: Artefact) -> None:
    (output,) = outputs("make it sepia, twice as large", picture)
    assert output.value.size == (256, 192) and output.recipe["style"] == "sepia" and output.recipe["width"] == 256
    with pytest.raises(ExpertError, match="not among the changes"):
        outputs("put it on the moon in 512 px", picture)
    with pytest.raises(ExpertError, match="4096 pixels"):
        outputs("in 4096 px", replace(picture, width=64, height=64))


def test_a_cancelled_enlarging_gives_nothing(picture: Artefact) -> None:
    stopped = threading.Event()
    stopped.set()
    assert not outputs("make it bigger", picture, cancel=stopped)
