"""Files <-> arrays: opening what a visitor sent, the content-addressed store, and every coordinate conversion.

``open_image`` accepts any common picture and returns upright RGB, or raises a MediaError that can be shown as it is;
videos and sounds are read and written by ``recordings.py``. ``MediaStore`` names files by their SHA-256, so no name from
outside ever becomes a path. Masks are bool H x W (masklets T x H x W), boxes normalised xyxy in the picture. Nothing here
knows of models, conversations or pages.
"""

import hashlib
import io
import json
import os
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from unified_demo.config import Limits
from unified_demo.errors import MediaError
from unified_demo.grammar import Box, MediaKind
from unified_demo.messages import Artefact
from unified_demo.outlines import mask_to_svg_path
from unified_demo.previews import draw_preview
from unified_demo.recordings import (
    Sound,
    Video,
    checked_sound,
    checked_video,
    kind_of_recording,
    read_sound,
    read_video,
    sound_bytes,
    video_bytes,
)
from unified_demo.signals import Signal, read_signal

__all__ = (
    "MediaStore",
    "box_from_pixels",
    "box_to_pixels",
    "load_image",
    "load_mask",
    "load_masklet",
    "load_signal",
    "load_sound",
    "load_video",
    "mask_to_box",
    "mask_to_svg_path",
    "open_image",
    "poster_path",
    "upload_kind",
)

DEFAULT_LIMITS = Limits()
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
ALLOWED = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF pictures"
MIN_SIDE = 8
"""Pixels of the shorter side after reduction; below this no model sees anything."""
RECIPE_KEY = "unified_demo"
"""Name of the PNG text chunk that carries label, box and recipe as JSON."""

_OTHER_KINDS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound or video file"),
    (b"\x1aE\xdf\xa3", "a video file"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


# ---- opening what a visitor sent ----


def open_image(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Open a picture by its content (never by its name), upright, RGB, longer side <= ``limits.working_side``.

    First frame of an animation; transparency over white; 16-bit and CMYK become 8-bit RGB; EXIF rotation is applied.
    Raises MediaError: not a picture, empty, damaged, too many bytes or pixels (seen in the header, before decoding), too thin.
    """
    path = Path(path)
    _check_bytes(path, limits)
    Image.init()
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            _check_pixels(image.size, limits)
            image.draft(image.mode, (limits.working_side, limits.working_side))
            image.load()
            return _upright_rgb(image, limits.working_side)
    except UnidentifiedImageError as exc:
        raise MediaError(f"The file is {_kind_of(path)}; {ALLOWED} are allowed, so please send one of these.") from exc
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        allowed = f"{limits.image_pixels / 1e6:.0f} megapixels"
        raise MediaError(f"The picture has far more than the allowed {allowed}; please send a smaller copy.") from exc
    except _DECODING_ERRORS as exc:
        raise MediaError(f"The picture is damaged or incomplete; {ALLOWED} are allowed, so please save or send it again.") from exc


def _check_bytes(path: Path, limits: Limits) -> None:
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as exc:
        raise MediaError("The file did not arrive; please send it again.") from exc
    if not path.is_file():
        raise MediaError(f"A folder arrived instead of a file; {ALLOWED} are allowed, so please send one of these.")
    if size == 0:
        raise MediaError("The file is empty (0 bytes); please send it again.")
    if size > limits.image_bytes:
        got, allowed = size / 2**20, limits.image_bytes / 2**20
        raise MediaError(f"The file has {got:.0f} MB; at most {allowed:.0f} MB are allowed, so please send a smaller copy.")


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.image_pixels:
        got, allowed = width * height / 1e6, limits.image_pixels / 1e6
        raise MediaError(
            f"The picture has {got:.0f} megapixels ({width} x {height}); at most {allowed:.0f} are allowed, so please send a smaller copy."
        )
    reduced = min(width, height) * min(1.0, limits.working_side / max(width, height, 1))
    if reduced < MIN_SIDE:
        raise MediaError(
            f"The picture is {width} x {height} pixels, too thin to see anything in; its shorter side must keep at least {MIN_SIDE} pixels "
            f"when the longer one is reduced to {limits.working_side}, so please crop or enlarge it."
        )


def _kind_of(path: Path) -> str:
    """What a file that is no picture looks like, in words, from its first bytes."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp":
        return "a HEIC photo" if head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc") else "a video file"
    if head[:4] == b"RIFF":
        return "a sound file" if head[8:12] == b"WAVE" else "a video file"
    for magic, words in _OTHER_KINDS:
        if head.lstrip()[: len(magic)].lower() == magic.lower():
            return words
    return "text" if head.isascii() and b"\x00" not in head else "not a picture, or a damaged one"


def _upright_rgb(image: Image.Image, side: int) -> Image.Image:
    """Decoded picture -> upright 8-bit RGB whose longer side is at most ``side``."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    image = _eight_bit(image)
    if max(image.size) > side:
        image = ImageOps.contain(image, (side, side), Image.Resampling.LANCZOS)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    rgb = image.convert("RGB")
    return rgb.copy() if rgb is image else rgb


def _eight_bit(image: Image.Image) -> Image.Image:
    """Any mode -> L, RGB, CMYK or RGBA with 8 bits per channel."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode.startswith("I") or image.mode == "F":
        values: np.ndarray = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        if image.mode == "F" or low < 0 or high > 65535:
            values = (values - low) / max(high - low, 1e-9) * 255
        elif image.mode.startswith("I;16") or high > 255:
            values = values / 257
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


# ---- the store ----


def upload_kind(path: Path | str) -> MediaKind:
    """Whether a visitor's file is a video or a sound, by its content; IMAGE for all else (``add_upload`` knows more)."""
    return kind_of_recording(Path(path)) or MediaKind.IMAGE


class MediaStore:
    """Artefact files under ``root``, each named by the SHA-256 of its content; the same picture is kept once.

    Without ``root`` they live in a temporary folder that goes when the store goes.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.folder = None if root else tempfile.TemporaryDirectory(prefix="unified_demo-", ignore_cleanup_errors=True)
        self.root = Path(root or self.folder.name)  # type: ignore[union-attr]
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add_upload(
        self, path: Path | str, artefact_id: str, limits: Limits = DEFAULT_LIMITS, cancel: threading.Event | None = None
    ) -> Artefact:
        """Check, open and keep a visitor's picture, video, sound or data; its metadata (place, camera) is dropped. Raises MediaError.

        ``cancel`` ends the reading of a video within a frame, with a MediaError.
        """
        kind = upload_kind(path)
        if kind == MediaKind.VIDEO:
            frames, fps = checked_video(Path(path), limits)
            return self.add_video(_until(cancel, frames) if cancel else frames, fps, artefact_id)
        if kind == MediaKind.AUDIO:
            return self.add_sound(checked_sound(Path(path), limits), artefact_id)
        if signal := read_signal(Path(path), limits):
            return self.add_signal(signal, artefact_id)
        image = open_image(path, limits)
        with Path(path).open("rb") as file:
            photo = file.read(3) == b"\xff\xd8\xff"
        kept = self._write(_jpeg_bytes(image), ".jpg") if photo else self._write(_png_bytes(image, {}), ".png")
        return Artefact(artefact_id, MediaKind.IMAGE, kept, *image.size)

    def add_image(self, image: Image.Image, artefact_id: str, **fields: Any) -> Artefact:
        """Keep an output picture as PNG; ``fields`` (of, label, box, recipe) go to the artefact and into the PNG metadata."""
        kept = self._write(_png_bytes(image.convert("RGB"), fields), ".png")
        return Artefact(artefact_id, MediaKind.IMAGE, kept, *image.size, **fields)

    def add_mask(self, mask: np.ndarray, artefact_id: str, fps: float = 0.0, **fields: Any) -> Artefact:
        """Keep a bool mask, H x W or, with ``fps``, T x H x W (a masklet: its frames stand below each other), as a 1-bit PNG.

        ``fields`` as for ``add_image``. Raises MediaError when it is no such array.
        """
        mask = np.asarray(mask)
        if mask.ndim != (3 if fps else 2) or mask.dtype != bool:
            raise MediaError(f"A mask is a bool array of height x width, of a video with frames first; this is {mask.dtype} {mask.shape}.")
        height, width = mask.shape[-2:]
        kept = self._write(_png_bytes(Image.fromarray(mask.reshape(-1, width)), fields), ".png")
        return Artefact(artefact_id, MediaKind.MASK, kept, width, height, len(mask) / fps if fps else 0.0, **fields)

    def add_video(self, frames: Iterable[np.ndarray], fps: float, artefact_id: str, **fields: Any) -> Artefact:
        """Keep RGB frames (uint8 H x W x 3, one after the other) as MP4 with a poster beside it; ``fields`` as for ``add_image``."""
        poster: Image.Image | None = None
        count = 0

        def noted() -> Iterator[np.ndarray]:
            nonlocal poster, count
            for frame in frames:
                poster = poster or Image.fromarray(frame)
                count += 1
                yield frame

        kept = self._write(video_bytes(noted(), fps, _recipe_words(fields)), ".mp4")
        assert poster is not None
        self._replace(poster_path(kept), _jpeg_bytes(poster))
        width, height = (side + side % 2 for side in poster.size)
        return Artefact(artefact_id, MediaKind.VIDEO, kept, width, height, count / fps, **fields)

    def add_sound(self, sound: Sound, artefact_id: str, **fields: Any) -> Artefact:
        """Keep a sound as FLAC; ``fields`` as for ``add_image``."""
        kept = self._write(sound_bytes(sound, _recipe_words(fields)), ".flac")
        return Artefact(artefact_id, MediaKind.AUDIO, kept, duration_s=sound.duration_s, **fields)

    def add_signal(self, signal: Signal, artefact_id: str) -> Artefact:
        """Keep data as ``.npy`` with a preview beside it."""
        buffer = io.BytesIO()
        np.save(buffer, signal.values, allow_pickle=False)
        kept = self._write(buffer.getvalue(), ".npy")
        preview = draw_preview(signal)
        self._replace(poster_path(kept), _png_bytes(preview, {}))
        return Artefact(artefact_id, signal.kind, kept, *preview.size, duration_s=signal.duration_s, facts=signal.facts)

    def _write(self, content: bytes, suffix: str) -> Path:
        target = self.root / (hashlib.sha256(content).hexdigest() + suffix)
        if not target.exists():
            self._replace(target, content)
        return target

    def _replace(self, target: Path, content: bytes) -> None:
        handle, part = tempfile.mkstemp(dir=self.root, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(part).replace(target)


def poster_path(kept: Path) -> Path:
    """What stands for a kept file that is no picture: the first frame of a video, the preview of data."""
    return kept.with_suffix(".png" if kept.suffix == ".npy" else ".jpg")


def _until(cancel: threading.Event, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for frame in frames:
        if cancel.is_set():
            raise MediaError("The file was not read to its end, because the visitor stopped it.")
        yield frame


def _jpeg_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _recipe_words(fields: dict[str, Any]) -> str:
    box = fields.get("box")
    return json.dumps({**fields, "box": list(box.as_tuple()) if box else None}, default=str, ensure_ascii=False)


def _png_bytes(image: Image.Image, fields: dict[str, Any]) -> bytes:
    info = PngImagePlugin.PngInfo()
    if fields:
        info.add_itxt(RECIPE_KEY, _recipe_words(fields))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=3)
    return buffer.getvalue()


def load_image(artefact: Artefact) -> Image.Image:
    """RGB picture of an artefact; shared between callers, so copy it before drawing on it. MediaError when it is gone."""
    return _open_kept(artefact.path, "RGB")


def load_mask(artefact: Artefact) -> np.ndarray:
    """Bool H x W of a mask artefact (a fresh array). MediaError when it is gone."""
    return np.array(_open_kept(artefact.path, "1"), dtype=bool)


def load_masklet(artefact: Artefact) -> np.ndarray:
    """Bool T x H x W of a mask that follows a thing through a video (T = 1 for a picture's mask). MediaError when it is gone."""
    return load_mask(artefact).reshape(-1, artefact.height, artefact.width)


def load_video(artefact: Artefact, most_frames: int | None = None) -> Video:
    """Frames of a video artefact, all or ``most_frames`` evenly chosen ones. MediaError when it is gone."""
    _check_kept(artefact.path)
    return read_video(artefact.path, most_frames)


def load_sound(artefact: Artefact) -> Sound:
    """Samples of a sound artefact. MediaError when it is gone."""
    _check_kept(artefact.path)
    return read_sound(artefact.path)


def load_signal(artefact: Artefact) -> np.ndarray:
    """Values of an artefact of data, as ``signals.Signal`` has them. MediaError when it is gone."""
    _check_kept(artefact.path)
    return np.load(artefact.path, allow_pickle=False)


def _check_kept(path: Path) -> None:
    if not path.is_file():
        raise MediaError("This recording is no longer stored; please send it again.")


@lru_cache(maxsize=4)
def _open_kept(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except _DECODING_ERRORS as exc:
        raise MediaError("This picture is no longer stored; please send it again.") from exc


# ---- coordinates ----


def box_to_pixels(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """Normalised box -> pixel xyxy, 0..width and 0..height (edges, not pixel centres)."""
    return (box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height)


def box_from_pixels(x0: float, y0: float, x1: float, y1: float, width: int, height: int) -> Box:
    """Pixel xyxy (corners in any order, may stick out) -> normalised Box inside the picture; GrammarError when nothing remains."""
    left, right = sorted((x0 / width, x1 / width))
    top, bottom = sorted((y0 / height, y1 / height))
    return Box(max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0))


def mask_to_box(mask: np.ndarray) -> Box | None:
    """Tightest box around a bool H x W mask, None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    height, width = mask.shape
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return Box(x0 / width, y0 / height, x1 / width, y1 / height)
