"""Opening whatever a visitor may send, the store, coordinates, and masks as outlines."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from unified_demo.config import Limits
from unified_demo.errors import GrammarError, MediaError
from unified_demo.grammar import Box, MediaKind
from unified_demo.media import (
    RECIPE_KEY,
    MediaStore,
    box_from_pixels,
    box_to_pixels,
    load_image,
    load_mask,
    mask_to_box,
    mask_to_svg_path,
    open_image,
)

COLOURS = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
LIMITS = Limits(image_bytes=2_000_000, image_pixels=1_000_000, working_side=640)


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(COLOURS)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


# ---- opening ----


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff", "ppm", "avif"])
def test_common_formats_open_as_rgb(tmp_path: Path, photo: Image.Image, suffix: str) -> None:
    opened = open_image(saved(tmp_path / f"photo.{suffix}", photo))
    assert (opened.mode, opened.size) == ("RGB", (80, 60))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_every_mode_becomes_eight_bit_rgb(tmp_path: Path, photo: Image.Image, mode: str) -> None:
    image = Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257) if mode == "I;16" else photo.convert(mode)
    opened = np.asarray(open_image(saved(tmp_path / "photo.tiff", image)))
    assert opened.shape == (60, 80, 3) and opened.dtype == np.uint8
    assert 90 < opened.mean() < 165


def test_sixteen_bit_keeps_its_brightness(tmp_path: Path) -> None:
    path = saved(tmp_path / "grey.png", Image.fromarray(np.full((20, 20), 200 * 257, np.uint16)))
    assert np.unique(np.asarray(open_image(path))).tolist() == [200]


def test_content_decides_not_the_name(tmp_path: Path, photo: Image.Image) -> None:
    path = tmp_path / "photo.jpg"
    photo.save(path, "PNG")
    assert np.array_equal(np.asarray(open_image(path)), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    image = Image.new("RGB", (80, 60), "black")
    ImageDraw.Draw(image).rectangle((0, 0, 20, 10), fill="white")
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "photo.png", image, exif=exif)
    with Image.open(path) as reference:
        assert np.array_equal(np.asarray(open_image(path)), np.asarray(ImageOps.exif_transpose(reference)))


def test_transparency_lies_over_white(tmp_path: Path, photo: Image.Image) -> None:
    for mode in ("RGBA", "LA"):
        clear = Image.new(mode, (20, 20), 0)
        assert np.asarray(open_image(saved(tmp_path / f"{mode}.png", clear))).min() == 255
    palette = photo.quantize(8)
    clear_where = np.asarray(palette) == 3
    opened = np.asarray(open_image(saved(tmp_path / "p.png", palette, transparency=3)))
    assert clear_where.any() and opened[clear_where].min() == 255 and opened[~clear_where].min() < 255


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    path = saved(tmp_path / f"moving.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    red, _, blue = np.asarray(open_image(path)).mean(axis=(0, 1))
    assert red > 200 and blue < 60


def test_large_picture_is_reduced_once(tmp_path: Path) -> None:
    opened = open_image(saved(tmp_path / "large.jpg", Image.new("RGB", (1200, 800), "green")), LIMITS)
    assert max(opened.size) == 640 and abs(opened.size[0] / opened.size[1] - 1.5) < 0.01


def test_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bomb.png", Image.new("1", (4000, 4000)))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(MediaError, match=r"16 megapixels \(4000 x 4000\); at most 1 are allowed"):
        open_image(path, LIMITS)


def test_decompression_bomb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="megapixels"):
        open_image(saved(tmp_path / "bomb.png", Image.new("1", (20_000, 20_000))))


def test_bytes_are_refused_before_opening(tmp_path: Path) -> None:
    path = tmp_path / "heavy.png"
    path.write_bytes(bytes(3_000_000))
    with pytest.raises(MediaError, match="3 MB; at most 2 MB are allowed"):
        open_image(path, LIMITS)


@pytest.mark.parametrize("size", [(600, 4), (3, 3), (1, 1)])
def test_too_thin(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match="too thin"):
        open_image(saved(tmp_path / "thin.png", Image.new("RGB", size)), LIMITS)


def test_wide_but_usable(tmp_path: Path) -> None:
    assert open_image(saved(tmp_path / "wide.png", Image.new("RGB", (1280, 40))), LIMITS).size == (640, 20)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04....", "zip"),
        (b"hello", "text"),
        (b"  <svg></svg>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (b"\x00\x01\x02\x03" * 20, "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"z" * 200, "damaged"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=words):
        open_image(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_pictures(tmp_path: Path, photo: Image.Image, kind: str) -> None:
    buffer = io.BytesIO()
    photo.save(buffer, kind)
    path = tmp_path / "half"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(MediaError, match="damaged"):
        open_image(path)


def test_a_damaged_avif_is_told_like_any_other(tmp_path: Path, photo: Image.Image) -> None:
    """Its decoder raises RuntimeError, unlike all others."""
    buffer = io.BytesIO()
    photo.save(buffer, "AVIF")
    content = bytearray(buffer.getvalue())
    start = content.index(b"mdat") + 4
    content[start : start + 50] = b"\xff" * len(content[start : start + 50])
    path = tmp_path / "photo.avif"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="damaged"):
        open_image(path)


@pytest.mark.parametrize("name", ["missing.png", "nul\0.png", "."])
def test_what_did_not_arrive(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaError):
        open_image(f"{tmp_path}/{name}")


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 2000), value=st.integers(0, 255), kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "AVIF"]))
def test_a_flipped_byte_never_crashes(tmp_path_factory: pytest.TempPathFactory, position: int, value: int, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    content[position % len(content)] = value
    path = tmp_path_factory.mktemp("fuzz") / "photo"
    path.write_bytes(content)
    try:
        assert open_image(path, LIMITS).mode == "RGB"
    except MediaError as error:
        assert str(error).endswith(".")


# ---- the store ----


def test_upload_is_named_by_content_and_loses_its_metadata(tmp_path: Path, photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    path = saved(tmp_path / "..my; photo.jpg", photo, exif=exif)
    store = MediaStore(tmp_path / "store")
    first, second = store.add_upload(path, "img-1"), store.add_upload(path, "img-2")
    assert first.path == second.path and re.fullmatch(r"[0-9a-f]{64}\.jpg", first.path.name)
    assert first.path.parent == tmp_path / "store" and b"secret" not in first.path.read_bytes()
    assert (first.kind, first.width, first.height) == (MediaKind.IMAGE, 80, 60)
    assert not list(store.root.glob("*.part"))


def test_output_carries_its_recipe(tmp_path: Path, photo: Image.Image) -> None:
    store = MediaStore(tmp_path)
    artefact = store.add_image(photo, "img-2", label="a café", recipe={"seed": 3})
    assert artefact.recipe == {"seed": 3} and artefact.label == "a café"
    with Image.open(artefact.path) as kept:
        assert '"seed": 3' in kept.text[RECIPE_KEY] and "café" in kept.text[RECIPE_KEY]
    assert np.array_equal(np.asarray(load_image(artefact)), COLOURS)


def test_mask_round_trip_is_one_bit(tmp_path: Path) -> None:
    mask = np.zeros((33, 47), bool)
    mask[5:20, 7:30] = True
    artefact = MediaStore(tmp_path).add_mask(mask, "mask-1", of="img-1", label="the dog", box=Box(0.1, 0.2, 0.7, 0.9))
    assert np.array_equal(load_mask(artefact), mask) and load_mask(artefact).dtype == bool
    with Image.open(artefact.path) as kept:
        assert kept.mode == "1"
    assert (artefact.of, artefact.label, artefact.width, artefact.height) == ("img-1", "the dog", 47, 33)


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="bool array"):
        MediaStore(tmp_path).add_mask(np.zeros((4, 4, 3)), "mask-1")


def test_gone_file_says_so(tmp_path: Path, photo: Image.Image) -> None:
    artefact = MediaStore(tmp_path).add_image(photo, "img-1")
    artefact.path.unlink()
    with pytest.raises(MediaError, match="no longer stored"):
        load_image(artefact)


def test_store_without_root_is_temporary(photo: Image.Image) -> None:
    store = MediaStore()
    path = store.add_image(photo, "img-1").path
    assert path.is_file()
    store.folder.cleanup()
    assert not path.exists()


# ---- coordinates ----


def test_boxes_to_pixels_and_back() -> None:
    box = Box(0.1, 0.25, 0.5, 1.0)
    assert box_to_pixels(box, 200, 80) == (20.0, 20.0, 100.0, 80.0)
    assert box_from_pixels(20, 20, 100, 80, 200, 80) == box
    assert box_from_pixels(100, 80, -5, 300, 200, 100) == Box(0, 0.8, 0.5, 1)
    with pytest.raises(GrammarError):
        box_from_pixels(300, 0, 400, 10, 200, 80)


def test_mask_to_box() -> None:
    mask = np.zeros((10, 20), bool)
    assert mask_to_box(mask) is None
    mask[2:5, 4:10] = True
    assert mask_to_box(mask) == Box(0.2, 0.2, 0.5, 0.5)


# ---- outlines ----


def drawn(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Fill an SVG path of M, relative l and z by the even-odd rule, four times finer than pixels, then vote."""
    fine = np.zeros((shape[0] * 4, shape[1] * 4), bool)
    for loop in re.findall(r"M([^z]*)z", path):
        start, steps = loop.split("l")
        points = np.cumsum(np.array((start + " " + steps).split(), float).reshape(-1, 2), axis=0)
        canvas = Image.new("1", fine.shape[::-1])
        ImageDraw.Draw(canvas).polygon([(x * 4 - 0.5, y * 4 - 0.5) for x, y in points], fill=1)
        fine ^= np.asarray(canvas)
    return fine.reshape(shape[0], 4, shape[1], 4).mean(axis=(1, 3)) >= 0.5


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / max((first | second).sum(), 1)


def test_outline_of_a_ring_has_its_hole() -> None:
    y, x = np.mgrid[:300, :400]
    radius = np.hypot(x - 200, y - 150)
    ring = (radius < 120) & (radius > 60)
    path = mask_to_svg_path(ring)
    assert path.count("M") == 2 and len(path) < 3000
    assert overlap(drawn(path, ring.shape), ring) > 0.985


def test_outline_of_a_rectangle_is_exact() -> None:
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:50] = True
    path = mask_to_svg_path(mask)
    assert path.count(" ") < 10 and np.array_equal(drawn(path, mask.shape), mask)


def test_outline_of_nothing_everything_and_one_pixel() -> None:
    assert mask_to_svg_path(np.zeros((5, 5), bool)) == ""
    full = np.ones((40, 30), bool)
    assert overlap(drawn(mask_to_svg_path(full), full.shape), full) == 1
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    assert mask_to_svg_path(dot).startswith("M4 4l")


@pytest.mark.parametrize("seed", [0, 1])
def test_outline_of_noise_stays_small(seed: int) -> None:
    noise = np.random.default_rng(seed).random((500, 600)) > 0.5
    assert len(mask_to_svg_path(noise)) <= 20_000


@settings(max_examples=60, deadline=None)
@given(mask=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), zoom=st.integers(4, 9))
def test_outline_matches_any_blocky_mask(mask: np.ndarray, zoom: int) -> None:
    large = np.kron(mask, np.ones((zoom, zoom), bool))
    path = mask_to_svg_path(large)
    assert overlap(drawn(path, large.shape), large) > 0.9 if mask.any() else path == ""
