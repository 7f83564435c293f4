"""Pixels of scenes: exact masks and boxes, paint, broken files, and what cameras do to pictures."""

import logging
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cutouts import THINGS, write_tiny_assets

from unified_demo.data.augment import as_jpeg, augment
from unified_demo.data.catalogue import Catalogue
from unified_demo.data.compose import Layer, lay, layer_of, mask_box, render_plan, shadow_patch
from unified_demo.data.cutouts import CutoutLibrary, painted, scaled
from unified_demo.data.plans import DRAWN, PAINTS, Placed, ScenePlan, draw_plan
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.hues import PAINT_HUES
from unified_demo.regions import COLOURS, colour_shares


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Catalogue]:
    folder = tmp_path_factory.mktemp("assets")
    return folder, write_tiny_assets(folder)


@pytest.fixture
def library(assets: tuple[Path, Catalogue]) -> CutoutLibrary:
    return CutoutLibrary(*assets)


def small_plan(objects: list[Placed], background: str = "drawn:plain") -> ScenePlan:
    return ScenePlan(7, 160, 120, background, tuple(objects), ())


def ball(x0: int, y0: int, x1: int, y1: int, colour: str = "red") -> Placed:
    """In pixels of a 160 x 120 picture."""
    return Placed("tiny:ball", "ball", "ball", Box(x0 / 160, y0 / 120, x1 / 160, y1 / 120), colour, False, 0.0)


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_boxes_are_the_bounds_of_masks_and_of_the_plan(library: CutoutLibrary) -> None:
    rng = random.Random(1)
    for _ in range(5):
        plan = draw_plan(rng, library.catalogue)
        composed = render_plan(plan, library)
        assert composed.image.size == (plan.width, plan.height)
        for item, mask, box, visible in zip(plan.objects, composed.masks, composed.boxes, composed.visible, strict=True):
            assert mask.shape == (plan.height, plan.width)
            if box is None:
                continue
            x0, y0, x1, y1 = bounds(mask)
            assert box == Box(x0 / plan.width, y0 / plan.height, x1 / plan.width, y1 / plan.height)
            if visible == 1.0:
                wanted = (item.box.x0 * plan.width, item.box.y0 * plan.height, item.box.x1 * plan.width, item.box.y1 * plan.height)
                assert np.abs(np.array([x0, y0, x1, y1]) - wanted).max() <= 2, item


def test_what_is_hidden_belongs_to_what_hides_it(library: CutoutLibrary) -> None:
    back, front = ball(20, 20, 80, 80), ball(50, 40, 120, 110, "blue")
    composed = render_plan(small_plan([back, front]), library)
    alone = render_plan(small_plan([back]), library)
    first, second = composed.masks
    assert not (first & second).any()
    assert (first | (second & alone.masks[0])).sum() == alone.masks[0].sum() and (first <= alone.masks[0]).all()
    assert composed.visible[1] == 1.0
    assert composed.visible[0] == pytest.approx(first.sum() / alone.masks[0].sum())
    assert 0.3 < composed.visible[0] < 0.95


def test_what_is_covered_whole_has_no_box(library: CutoutLibrary) -> None:
    composed = render_plan(small_plan([ball(60, 50, 70, 60), ball(40, 30, 110, 100, "blue")]), library)
    assert composed.boxes[0] is None and composed.visible[0] == 0.0
    assert composed.boxes[1] is not None


def test_masks_of_one_picture_never_share_a_pixel(library: CutoutLibrary) -> None:
    rng = random.Random(2)
    for _ in range(4):
        masks = render_plan(draw_plan(rng, library.catalogue, "held_out"), library).masks
        assert np.sum(masks, axis=0).max() <= 1


def test_things_lie_where_their_masks_say(library: CutoutLibrary) -> None:
    composed = render_plan(small_plan([ball(30, 30, 90, 90)]), library)
    pixels, mask = np.asarray(composed.image), composed.masks[0]
    assert COLOURS[int(colour_shares(pixels[mask][None]).argmax())] == "red"
    assert pixels[mask].astype(int)[:, 0].mean() > pixels[~mask].astype(int)[:, 0].mean() - 60
    assert mask.sum() == pytest.approx(np.pi * 30**2, rel=0.05)


def test_the_same_plan_gives_the_same_pixels(assets: tuple[Path, Catalogue]) -> None:
    plan = draw_plan(random.Random(3), assets[1])
    first, second = (np.asarray(render_plan(plan, CutoutLibrary(*assets)).image) for _ in range(2))
    assert (first == second).all()
    other = replace(plan, seed=plan.seed + 1, background="drawn:meadow")
    assert (np.asarray(render_plan(other, CutoutLibrary(*assets)).image) != first).any()


@pytest.mark.parametrize("background", [*(f"drawn:{kind}" for kind in DRAWN), "photo:tiny"])
def test_every_background_fills_the_picture(library: CutoutLibrary, background: str) -> None:
    picture = render_plan(small_plan([], background), library).image
    assert picture.size == (160, 120) and picture.mode == "RGB"
    assert np.asarray(picture).max() > 40


@pytest.mark.parametrize("background", ["drawn:moon", "photo:nowhere", "paper", "other:tiny"])
def test_an_unknown_background_is_refused(library: CutoutLibrary, background: str) -> None:
    with pytest.raises(MediaError, match=r"background"):
        render_plan(small_plan([], background), library)


def test_layers_may_leave_the_picture() -> None:
    sprite = Image.new("RGBA", (20, 20), (255, 0, 0, 255))
    background = Image.new("RGB", (40, 30), "white")
    composed = lay(background, [Layer(sprite, -10, 5), Layer(sprite, 100, 5), Layer(sprite, -50, 0)], [0.0, 0.5, 0.0])
    assert composed.masks[0].sum() == 10 * 20 and composed.visible[0] == 0.5
    assert composed.boxes[1] is None and composed.boxes[2] is None
    assert np.asarray(background).min() == 255, "the background that came in was painted on"


def test_a_shadow_lies_at_the_foot() -> None:
    sprite = Image.new("RGBA", (40, 40), (0, 255, 0, 255))
    layer = Layer(sprite, 30, 20)
    assert shadow_patch(layer, 0.0) is None
    picture = np.asarray(lay(Image.new("RGB", (100, 90), "white"), [layer], [0.5]).image)
    assert picture[62, 50].max() < 240
    assert picture[10, 50].min() == 255


def test_boxes_of_masks() -> None:
    mask = np.zeros((10, 20), bool)
    assert mask_box(mask) is None
    mask[3:5, 8:12] = True
    assert mask_box(mask) == Box(8 / 20, 3 / 10, 12 / 20, 5 / 10)


# ---- cut-outs ----


@pytest.mark.parametrize("old", ["red", "blue", "gray", "white", "purple"])
@pytest.mark.parametrize("new", PAINTS)
def test_painted_things_have_the_colour_by_name(old: str, new: str) -> None:
    from tiny_cutouts import RGB

    shade = np.linspace(0.75, 1.0, 24)[:, None, None] * np.array(RGB[old])
    pixels = np.dstack([np.broadcast_to(shade, (24, 24, 3)).astype(np.uint8), np.full((24, 24), 255, np.uint8)])
    if old == new:
        return
    after = painted(pixels, old, new)
    shares = colour_shares(after[..., :3])
    assert COLOURS[int(shares.argmax())] == new and shares.max() > 0.7
    assert (after[..., 3] == pixels[..., 3]).all()
    if new != "red" and old != "white":
        assert after[2, 2, :3].sum() < after[22, 2, :3].sum(), "the shades are gone"


def test_paint_leaves_other_colours_alone() -> None:
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:4, :, :3], pixels[4:, :, :3] = (210, 30, 35), (40, 160, 60)
    after = painted(pixels, "red", "blue")
    assert (after[4:] == pixels[4:]).all() and (after[:4, :, 2] > after[:4, :, 0]).all()
    with pytest.raises(ValueError, match="cannot be painted 'brown'"):
        painted(pixels, "red", "brown")
    assert set(PAINTS) == set(PAINT_HUES)


def test_sprites_are_trimmed_flipped_turned_and_fit(library: CutoutLibrary) -> None:
    for noun, _, _, width, height, _, _ in THINGS:
        assert library.sprite(f"tiny:{noun}").size == (width, height)
    plain = np.asarray(library.placed("tiny:table", "", False, 0.0, (96, 64)))
    mirrored = np.asarray(library.placed("tiny:table", "", True, 0.0, (96, 64)))
    assert (plain[:, ::-1] == mirrored).all()
    assert library.placed("tiny:cat", "", False, 17.0, (50, 41)).size == (50, 41)


def test_scaling_makes_no_dark_seams() -> None:
    picture = Image.new("RGBA", (64, 64))
    picture.paste((255, 255, 255, 255), (16, 16, 48, 48))
    pixels = np.asarray(scaled(picture, (23, 23)))
    seen = pixels[pixels[..., 3] > 20]
    assert seen[:, :3].min() >= 250


def test_a_small_memory_forgets_the_oldest(assets: tuple[Path, Catalogue]) -> None:
    library = CutoutLibrary(*assets, capacity=2)
    first = library.sprite("tiny:cat")
    assert library.sprite("tiny:cat") is first
    for noun in ("car", "cup"):
        library.sprite(f"tiny:{noun}")
    assert library.sprite("tiny:cat") is not first


def test_bad_files_are_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    catalogue = write_tiny_assets(tmp_path)
    (tmp_path / "cat.png").write_bytes((tmp_path / "cat.png").read_bytes()[:60])
    (tmp_path / "car.png").unlink()
    Image.new("RGBA", (40, 40)).save(tmp_path / "cup.png")
    library = CutoutLibrary(tmp_path, catalogue)
    for _ in range(2):
        for noun in ("cat", "car", "cup"):
            with caplog.at_level(logging.WARNING), pytest.raises(MediaError):
                library.sprite(f"tiny:{noun}")
    assert set(library.broken) == {"tiny:cat", "tiny:car", "tiny:cup"}
    assert "cat.png" in library.broken["tiny:cat"] and "transparent" in library.broken["tiny:cup"]
    assert len(caplog.records) == 3, "each is named once"
    with pytest.raises(MediaError, match="no cut-out 'tiny:moon'"):
        library.sprite("tiny:moon")


def test_layers_keep_to_the_box_of_the_plan(library: CutoutLibrary) -> None:
    layer = layer_of(ball(20, 30, 61, 72), small_plan([]), library)
    assert (layer.left, layer.top, layer.sprite.size) == (20, 30, (41, 42))


# ---- augmentation ----


def test_augmentation_keeps_size_and_place_and_follows_the_seed(library: CutoutLibrary) -> None:
    composed = render_plan(small_plan([ball(30, 30, 110, 110)]), library)
    before = np.asarray(composed.image)
    assert augment(composed.image, random.Random(0), 0.0) is composed.image
    first, second = (np.asarray(augment(composed.image, random.Random(4), 0.8)) for _ in range(2))
    assert (first == second).all() and first.shape == before.shape
    assert any((np.asarray(augment(composed.image, random.Random(seed), 0.8)) != first).any() for seed in (5, 6))
    inside = composed.masks[0]
    for seed in range(6):
        after = np.asarray(augment(composed.image, random.Random(seed), 0.6)).astype(int)
        redness = after[..., 0] - after[..., 2]
        assert redness[inside].mean() > redness[~inside].mean() + 25
    with pytest.raises(ValueError, match="0 to 1"):
        augment(composed.image, random.Random(0), 1.5)


def test_a_worse_jpeg_is_further_away(library: CutoutLibrary) -> None:
    picture = render_plan(small_plan([ball(30, 30, 110, 110)], "photo:tiny"), library).image
    errors = [np.abs(np.asarray(as_jpeg(picture, quality), int) - np.asarray(picture, int)).mean() for quality in (95, 50, 10)]
    assert errors == sorted(errors) and errors[0] < errors[2]
