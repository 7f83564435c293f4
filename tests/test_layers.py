"""Transparent layers: what a prompt names and where it lies, cutting out, laying, and the experts around a pipeline that draws discs."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.adding import Adder
from unified_demo.experts.arrangement import Arrangement, Group, Touch, arrange
from unified_demo.experts.base import ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, PipelineSource
from unified_demo.experts.layered import MOST_SIDE, LayeredExpert
from unified_demo.experts.layers import LayerPainter, Placed, cut_out, lay, settled
from unified_demo.experts.vocabulary import Vocabulary
from unified_demo.grammar import Box
from unified_demo.messages import RegionPart
from unified_demo.nouns import IN_THE_SKY

SIDE, PAPER = 64, (245, 245, 246)
WORDS = Vocabulary(
    frozenset({"cat", "dog", "ball", "glasses", "book", "books"}),
    frozenset({"red", "black", "white", "beach", "sand", "background", "left", "right", "above", "below", "on", "of"}),
    paints=frozenset({"red", "blue"}),
    grounds={
        "red": "a red background", "black": "a black background", "white": "", "beach": "beach", "sand": "beach",
    },
)  # fmt: skip


class DrawsDiscs:
    """A pipeline's call: a red disc for a prompt with "red", an empty picture for "glasses", sand for grounds, else a grey disc."""

    scheduler = object()

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, prompts: list[str], generator: list[Any], callback_on_step_end: Any, **options: Any) -> Any:
        assert len(generator) == len(prompts) and options["height"] == options["width"] == SIDE
        self.prompts = prompts
        for step in range(options["num_inference_steps"]):
            callback_on_step_end(self, step, 0, {"latents": np.zeros(3)})
        return type("Answer", (), {"images": [self.picture(prompt) for prompt in prompts]})

    def picture(self, prompt: str) -> Image.Image:
        rows, columns = np.mgrid[:SIDE, :SIDE]
        cover = ((rows - SIDE / 2 + 0.5) ** 2 + (columns - SIDE / 2 + 0.5) ** 2 < 24**2) & (prompt not in ("glasses", "beach"))
        pixels = np.full((SIDE, SIDE, 4), (*((220, 200, 150) if prompt == "beach" else PAPER), 0), np.uint8)
        pixels[cover] = (220, 20, 20, 255) if "red" in prompt else (90, 90, 90, 255)
        return Image.fromarray(pixels)


@pytest.fixture
def discs() -> DrawsDiscs:
    return DrawsDiscs()


@pytest.fixture
def painter(discs: DrawsDiscs, tmp_path: Path) -> LayerPainter:
    return LayerPainter(Pipeline(PipelineSource(str(tmp_path), "StableDiffusionPipeline", 1, 1.5, SIDE), discs), WORDS, PAPER)


def drawn(painter: LayerPainter, request: ExpertRequest) -> Output:
    painter.pipeline.words = WORDS
    (output,) = [event for event in LayeredExpert(painter).run(request) if isinstance(event, Output)]
    return output


@pytest.mark.parametrize(
    ("prompt", "arrangement"),
    [
        ("a cat", Arrangement((Group("cat"),))),
        ("three red balls and a dog on the beach", Arrangement((Group("red ball", 3), Group("dog", 1, "above")), "beach")),
        ("a cat to the left of a dog", Arrangement((Group("cat", 1, "left"), Group("dog")))),
        ("books", Arrangement((Group("books"),))),
        ("three books", Arrangement((Group("book", 3),))),
        ("dogs, sand", Arrangement((Group("dog", 2),), "beach")),
        ("glasses on a red background", Arrangement((Group("glasses", 1, "above"),), "a red background")),
        ("a black cat on a white background", Arrangement((Group("cat", 1, "above"),), "", ("black",))),
        ("the beach", Arrangement((), "beach")),
    ],
)
def test_what_a_prompt_names(prompt: str, arrangement: Arrangement) -> None:
    assert arrange(prompt, WORDS) == arrangement


def test_boxes_follow_sides_and_never_meet() -> None:
    def middles(prompt: str) -> list[tuple[float, float]]:
        return [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in arrange(prompt, WORDS).boxes()]

    assert middles("a cat to the left of a dog") == middles("a dog and a cat") == [(0.25, 0.5), (0.75, 0.5)]
    assert middles("a cat right of a dog") == [(0.75, 0.5), (0.25, 0.5)]
    assert middles("a cat above a dog") == middles("a cat below a dog")[::-1] == [(0.5, 0.25), (0.5, 0.75)]
    for count in range(1, 13):
        boxes = Arrangement((Group("cat", count),)).boxes()
        assert len(boxes) == count
        assert all(one.iou(other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])
    for prompt in ("100 cats", f"{10**9} cats", "9" * 5000 + " cats"):
        with pytest.raises(ExpertError, match="up to 12"):
            arrange(prompt, WORDS).boxes()


def test_the_sun_stands_above_what_is_not_in_the_sky() -> None:
    for phrases in (
        ["a house", "the yellow sun"],
        ["moon", "cat"],
        ["palm tree", "palm tree", "sun"],
        ["cloud", "cat", "cloud", "dog", "sun"],
    ):
        boxes = Arrangement(tuple(Group(phrase, 1) for phrase in phrases)).boxes()
        high = [phrase.split()[-1] in IN_THE_SKY for phrase in phrases]
        tops = [[box.y0 for box, above in zip(boxes, high, strict=True) if above is wanted] for wanted in (True, False)]
        assert max(tops[0]) <= min(tops[1]) and min(tops[0]) < max(tops[1])
        assert all(one.iou(other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])
    with_side = Arrangement((Group("cat", 1, "right"), Group("sun", 1)))
    assert with_side.boxes()[0].x0 > with_side.boxes()[1].x0, "a side that is told counts"


THINGS = Vocabulary(
    frozenset({"fox", "horse", "sofa", "car", "hat", "vase", "flower", "bowl", "rice", "basket", "apple", "tree", "house", "dog"}),
    frozenset({"red", "snow"}),
    paints=frozenset({"red"}),
    grounds={"snow": "snow"},
)


@pytest.mark.parametrize(
    ("prompt", "groups"),
    [
        ("a fox riding a horse", (Group("fox", 1, "on"), Group("horse"))),
        ("two foxes on a sofa", (Group("fox", 2, "on"), Group("sofa"))),
        ("a fox in a red car in the snow", (Group("fox", 1, "in"), Group("red car"))),
        ("flowers in a vase", (Group("flower", 2, "in"), Group("vase"))),
        ("a basket of apples", (Group("apple", 2, "in"), Group("basket"))),
        ("a bowl of rice", (Group("rice"),)),
        ("a fox with a red hat", (Group("fox", 1, "with"), Group("red hat"))),
        ("a fox in a hat", (Group("fox", 1, "with"), Group("hat"))),
        ("a fox with a horse", (Group("fox"), Group("horse"))),
        ("a fox in a house", (Group("fox"), Group("house"))),
        ("a fox on the snow and a dog", (Group("fox"), Group("dog"))),
        ("a tiny fox and a huge tree", (Group("fox", size=0.4), Group("tree", size=1.4))),
    ],
)
def test_how_things_touch_and_how_large_they_are(prompt: str, groups: tuple[Group, ...]) -> None:
    assert arrange(prompt, THINGS).groups == groups


def test_what_was_followed_is_not_called_left_out(painter: LayerPainter) -> None:
    assert arrange("a sleepy tiny fox riding a horse", THINGS).heeded == ("tiny", "riding")
    assert arrange("a bowl of rice", THINGS).left_out == ("bowl",)
    six = arrange("six sleepy foxes", THINGS)
    assert six.groups == (Group("fox", 6),) and six.heeded == ("six",)
    painter.words = WORDS
    assert drawn(painter, ExpertRequest("a sleepy tiny dog")).recipe["left_out"] == ["sleepy"]
    assert "left_out" not in drawn(painter, ExpertRequest("a tiny dog")).recipe


def test_sizes_stay_in_their_cells() -> None:
    tiny, usual, huge = (arrange(f"a {size} fox".replace("  ", " "), THINGS).boxes()[0] for size in ("tiny", "", "huge"))
    assert tiny.area < usual.area < huge.area <= 1
    boxes = arrange("a huge fox, a huge dog and a huge tree", THINGS).boxes()
    assert all(one.iou(other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])


def test_things_are_moved_to_what_they_touch() -> None:
    layers = [Image.new("RGBA", (50, 50), "red"), Image.new("RGBA", (100, 40), "blue")]
    on, under = Placed("fox", Box(0.3, 0, 0.7, 0.4), Touch(1, 0.25)), Placed("sofa", Box(0.1, 0.4, 0.9, 1.0))
    moved, still = settled([on, under], layers, (200, 200))
    assert still == under and moved.box.y1 == pytest.approx(1 - 0.32 * 0.75), "a quarter of what is 64 of 200 pixels high"
    assert moved.box.y1 - moved.box.y0 == pytest.approx(0.4) and (moved.box.x0, moved.box.x1) == (0.3, 0.7)
    notched = layers[1].copy()
    notched.paste((0, 0, 0, 0), (30, 0, 70, 20))
    assert settled([on, under], [layers[0], notched], (200, 200))[0].box.y1 > moved.box.y1, "it stands where the other begins under it"
    assert settled([on, under], [layers[0], None], (200, 200)) == [on, under]


def test_a_picture_of_the_size_that_is_asked_for(painter: LayerPainter) -> None:
    wide = drawn(painter, ExpertRequest("a red ball, 160x96"))
    assert (
        wide.value.size == (160, 96) and (wide.recipe["width"], wide.recipe["height"]) == (160, 96) and wide.label == "a red ball, 160x96"
    )
    assert drawn(painter, ExpertRequest("a bigger picture of a red ball")).value.size == (2 * SIDE, 2 * SIDE)
    with pytest.raises(ExpertError, match=f"64 to {MOST_SIDE} on each side"):
        drawn(painter, ExpertRequest("a red ball in 4k"))
    with pytest.raises(ExpertError, match="no words"):
        drawn(painter, ExpertRequest("512 px"))


def test_a_layer_is_trimmed_and_free_of_paper(discs: DrawsDiscs) -> None:
    half = np.asarray(discs.picture("red ball")).copy()
    edge = half[31, 8]
    half[31, 7] = (*((np.array(edge[:3], float) + PAPER) / 2).round(), 129)
    half[0, 0, 3] = 255
    half[2:8, 30:32] = half[31, 31]
    layer = cut_out(Image.fromarray(half), PAPER)
    assert layer is not None and layer.size == (49, 54), "a speck is left out, a stem is not"
    assert np.abs(np.asarray(layer)[29, 0, :3].astype(int) - edge[:3]).max() <= 8
    assert cut_out(discs.picture("glasses"), PAPER) is None


def test_a_piece_that_nobody_sees_on_paper_is_none() -> None:
    """The decoder's cover may tell of a disc that the generator hardly drew; white things keep what belongs to them."""

    def picture(disc: tuple[int, int, int], apart: tuple[int, int, int]) -> Image.Image:
        pixels = np.full((SIDE, SIDE, 4), (*PAPER, 0), np.uint8)
        pixels[20:50, 10:40] = (*disc, 255)
        pixels[4:14, 48:58] = (*apart, 255)
        return Image.fromarray(pixels)

    sizes = {
        (colour, apart): layer.size
        for colour in ((90, 90, 90), (240, 238, 246))
        for apart in ((236, 228, 246), (200, 190, 240))
        if (layer := cut_out(picture(colour, apart), PAPER))
    }
    assert sizes[(90, 90, 90), (236, 228, 246)] == (30, 30), "the pale piece is gone"
    assert sizes[(90, 90, 90), (200, 190, 240)] == (48, 46), "one that is seen stays"
    assert sizes[(240, 238, 246), (236, 228, 246)] == (48, 46), "where nothing is seen, all stays"


def test_a_layer_fits_its_box_and_stands_on_its_lower_side() -> None:
    canvas = Image.new("RGB", (100, 200), "white")
    lay(canvas, Image.new("RGBA", (10, 10), "red"), Box(0.2, 0.1, 0.8, 0.9))
    rows, columns = np.nonzero(np.asarray(canvas)[..., 1] == 0)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (20, 79, 120, 179)


def test_one_thing_and_several_on_a_ground(painter: LayerPainter, discs: DrawsDiscs) -> None:
    one = drawn(painter, ExpertRequest("a red ball"))
    assert one.value.size == (SIDE, SIDE) and discs.prompts == ["red ball"] and "ground" not in one.recipe
    several = drawn(painter, ExpertRequest("two red balls and a dog, beach"))
    assert discs.prompts == ["red ball", "dog", "beach"], "equal things are drawn once"
    assert several.value.size == (2 * SIDE, 2 * SIDE) and several.recipe["ground"] == "beach"
    pixels = np.asarray(several.value)
    assert tuple(pixels[0, 0]) == (220, 200, 150)
    for thing in several.recipe["layout"]:
        x, y = (round((thing["box"][low] + thing["box"][low + 2]) * SIDE) for low in (0, 1))
        assert tuple(pixels[y, x]) == ((220, 20, 20) if thing["phrase"] == "red ball" else (90, 90, 90))
    assert discs.prompts and drawn(painter, ExpertRequest("the beach")).value.size == (SIDE, SIDE)
    assert drawn(painter, ExpertRequest("a black cat")).recipe["left_out"] == ["black"]


def test_phrases_land_in_their_boxes(painter: LayerPainter) -> None:
    regions = (RegionPart("a red ball", (Box(0.05, 0.5, 0.45, 0.9),)), RegionPart("two dogs", (Box(0.5, 0.1, 1.0, 0.6),)))
    output = drawn(painter, ExpertRequest("a red ball left of two dogs", regions=regions))
    pixels = np.asarray(output.value).astype(int)
    rows, columns = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 60))
    found = Box(columns.min() / 128, rows.min() / 128, (columns.max() + 1) / 128, (rows.max() + 1) / 128)
    assert found.iou(Box(0.05, 0.5, 0.45, 0.9)) > 0.9
    dogs = [Box(*thing["box"]) for thing in output.recipe["layout"] if thing["phrase"] == "dog"]
    assert len(dogs) == 2 and all(0.5 <= box.x0 < box.x1 <= 1 and 0.1 <= box.y0 < box.y1 <= 0.6 for box in dogs)


@pytest.mark.parametrize(
    ("prompt", "told"), [("a dragon", "'dragon'"), ("", "no words"), ("glasses", "came out empty"), ("white", "please name")]
)
def test_what_cannot_be_drawn_is_said(painter: LayerPainter, prompt: str, told: str) -> None:
    with pytest.raises(ExpertError, match=told):
        drawn(painter, ExpertRequest(prompt))


def test_what_is_added_covers_nothing_but_itself(painter: LayerPainter) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    run = Adder(painter).paint(ExpertRequest("add a red ball"), picture, Box(0.5, 0.25, 0.75, 0.75), "a red ball")
    while True:
        try:
            next(run)
        except StopIteration as end:
            painted = end.value
            break
    changed = (painted != picture).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (60, 89, 30, 59), "fitted, on the lower side of the box"
    assert tuple(painted[45, 75]) == (220, 20, 20) and not changed[30, 60], "the corners of the disc's box stay"


def test_cancelling_gives_no_picture(painter: LayerPainter) -> None:
    stop = threading.Event()
    stop.set()
    assert not [event for event in LayeredExpert(painter).run(ExpertRequest("a cat", cancel=stop)) if isinstance(event, Output)]
