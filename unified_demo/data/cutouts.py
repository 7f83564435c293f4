"""Cut-outs as pixels: opened once, trimmed to what is visible, painted, mirrored, turned and scaled as a plan says.

A small memory keeps the last ones opened. A file that is missing or does not decode is named, counted and refused.
"""

import logging
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from unified_demo.data.catalogue import Catalogue
from unified_demo.errors import MediaError
from unified_demo.hues import PAINT_HUES, from_hsv, to_hsv
from unified_demo.regions import COLOURS

logger = logging.getLogger(__name__)

SOLID = 128
"""A pixel belongs to the thing when its alpha is at least this, of 255."""
MAX_SIDE = 2048
_PAINT_VALUE = {"red": 0.5, "orange": 0.8, "yellow": 0.75, "pink": 0.75}
"""Dark orange is brown and dark yellow olive; such paints are kept at least this light."""
_LEAST_SATURATION = {"red": 0.87, "orange": 0.62}
"""Pale red is brown or pink by the same rules."""

Pixels = npt.NDArray[np.uint8]


class CutoutLibrary:
    """Opens the cut-outs and backgrounds of a catalogue in ``folder``; ``broken`` says which files could not be used and why."""

    def __init__(self, folder: Path, catalogue: Catalogue, capacity: int = 256) -> None:
        self.folder, self.catalogue, self.capacity = Path(folder), catalogue, capacity
        self.broken: dict[str, str] = {}
        self._backgrounds = {item.key: item for item in catalogue.backgrounds}
        self._kept: OrderedDict[str, Image.Image] = OrderedDict()
        self._lock = Lock()

    def sprite(self, key: str) -> Image.Image:
        """RGBA, trimmed to the pixels with alpha >= SOLID. MediaError for an unknown key or a file that cannot be used."""
        if key not in self.catalogue.by_key:
            raise MediaError(f"The catalogue has no cut-out '{key}'.")
        return self._keep(key, self.catalogue.by_key[key].file, "RGBA")

    def background(self, key: str) -> Image.Image:
        """RGB photograph of a background "photo:<name>"."""
        if key not in self._backgrounds:
            raise MediaError(f"The catalogue has no background '{key}'.")
        return self._keep(key, self._backgrounds[key].file, "RGB")

    def placed(self, key: str, paint: str, flip: bool, turn_deg: float, size: tuple[int, int]) -> Image.Image:
        """The sprite painted (unless ``paint`` is "" or its own colour), mirrored, turned and scaled to exactly ``size``."""
        picture = self.sprite(key)
        if paint and paint != self.catalogue.by_key[key].colour:
            picture = Image.fromarray(painted(np.asarray(picture), self.catalogue.by_key[key].colour, paint))
        if flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if turn_deg:
            picture = trimmed(_plain(_premultiplied(picture).rotate(turn_deg, Image.Resampling.BICUBIC, expand=True)))
        return scaled(picture, size)

    def _keep(self, key: str, file: str, mode: str) -> Image.Image:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            picture = open_picture(self.folder / file, mode)
        except MediaError as exc:
            if key not in self.broken:
                logger.warning("cut-out %s cannot be used: %s", key, exc)
            self.broken[key] = str(exc)
            raise
        with self._lock:
            self._kept[key] = picture
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return picture


def open_picture(path: Path, mode: str) -> Image.Image:
    """The picture in ``mode``; RGBA is trimmed to what is visible. MediaError names the file."""
    try:
        with Image.open(path) as opened:
            if max(opened.size) > MAX_SIDE:
                opened.thumbnail((MAX_SIDE, MAX_SIDE))
            picture = opened.convert(mode)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise MediaError(f"{path} is not a picture that can be decoded ({exc}).") from exc
    return trimmed(picture) if mode == "RGBA" else picture


def trimmed(picture: Image.Image) -> Image.Image:
    """Cut to the bounds of alpha >= SOLID; MediaError when nothing is visible."""
    bounds = picture.getchannel("A").point([0] * SOLID + [255] * (256 - SOLID)).getbbox()
    if bounds is None:
        raise MediaError("The picture is all transparent.")
    return picture.crop(bounds)


def scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """RGBA scaled to ``size`` with no dark or light seams: colours are weighted by alpha while they are mixed."""
    if picture.size == size:
        return picture
    return _plain(_premultiplied(picture).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0))


def _premultiplied(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBa")


def _plain(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA")


def painted(pixels: Pixels, old: str, new: str) -> Pixels:
    """(h, w, 4) RGBA with the parts of colour ``old`` in colour ``new``; light and shade stay. Names of ``regions.COLOURS``.

    Only the hues of PAINT_HUES can be painted; anything else is a ValueError.
    """
    if new not in PAINT_HUES or old not in COLOURS:
        raise ValueError(f"'{old}' cannot be painted '{new}'; paints are {', '.join(PAINT_HUES)}")
    rgb = pixels[..., :3].astype(np.float32) / 255
    hue, saturation, value = to_hsv(rgb)
    chosen = _belongs(old, hue, saturation, value)
    if not chosen.any():
        return pixels
    middle = float(np.median(value[chosen]))
    lightest = max(middle, 0.25)
    shade = np.clip(value / lightest, 0.35, 1.35)
    level = max(min(middle, 0.92), 0.62, _PAINT_VALUE.get(new, 0.0))
    new_value = np.clip(level * shade, _PAINT_VALUE.get(new, 0.3), 1.0)
    grayish = old in ("black", "white", "gray")
    typical = 0.72 if grayish else float(np.clip(np.median(saturation[chosen]), 0.55, 0.95))
    new_saturation = np.clip(typical * (1.25 - 0.35 * shade), 0.4, 1.0) if grayish else np.clip(saturation, 0.45, 1.0)
    new_saturation = np.clip(new_saturation, _LEAST_SATURATION.get(new, 0.0), 0.62 if new == "pink" else 1.0)
    coloured = from_hsv(np.full_like(hue, PAINT_HUES[new]), new_saturation, new_value)
    weight = chosen.astype(np.float32)[..., None]
    mixed = rgb * (1 - weight) + coloured * weight
    return np.dstack([np.round(mixed * 255).astype(np.uint8), pixels[..., 3]])


def _belongs(colour: str, hue: npt.NDArray, saturation: npt.NDArray, value: npt.NDArray) -> npt.NDArray[np.bool_]:
    """Pixels of a colour with its lights and shades; a little wider than the name's own range so that no fringe stays."""
    if colour == "black":
        return value < 0.35
    if colour == "white":
        return (saturation < 0.25) & (value > 0.6)
    if colour == "gray":
        return (saturation < 0.28) & (value > 0.15)
    centre, width = {"brown": (22.0, 26.0), "red": (0.0, 22.0), "orange": (28.0, 20.0), "yellow": (54.0, 20.0), "green": (120.0, 60.0),
                     "blue": (212.0, 54.0), "purple": (274.0, 30.0), "pink": (318.0, 38.0)}[colour]  # fmt: skip
    apart = np.abs((hue - centre + 180) % 360 - 180)
    return (apart <= width) & (saturation > 0.14) & (value > 0.08)
