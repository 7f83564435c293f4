"""Pictures in another size than they come in: the size that words ask for, and enlarging with sharp edges. No model is used here.

English only. Sizes are pixels, width before height.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from unified_demo.errors import ExpertError

LEAST, MOST = 64, 2048
"""Sides that may be asked for, pixels."""
SHARPENING = 1.2
"""Of the unsharp mask, whose radius is half an enlarged pixel."""
_GIVEN = r"(?:\b(?:in|at|to|of|with|as)\s+)?(?:an?\s+)?(?:(?:size|resolution|width)\s+of\s+)?"
_UNIT = r"\s*-?\s*(?:px\b|pixels?\b)(?:\s+(?:wide|large|square|resolution|size))?"
_SIDES = re.compile(rf"{_GIVEN}\b(\d{{2,5}})\s*(?:x|×|\*|by)\s*(\d{{2,5}})\b(?:{_UNIT})?", re.IGNORECASE)
_SIDE = re.compile(rf"{_GIVEN}\b(\d{{2,5}}){_UNIT}", re.IGNORECASE)
_BARE = re.compile(r"\b(?:in|at|to)\s+(\d{3,4})\s*$", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:in\s+)?(full hd|4k|8k)\b(?:\s+resolution)?", re.IGNORECASE)
_NAMES = {"full hd": 1920, "4k": 3840, "8k": 7680}
_TIMES = {"twice": 2, "double": 2, "two times": 2, "three times": 3, "triple": 3, "four times": 4}
_PICTURE = r"(?:pictures?|images?|photos?|photographs?|drawings?|versions?|files?)"
_SEVERAL = re.compile(
    r"\b(?:by\s+)?(?:(?P<times>twice|double|triple|(?:two|three|four) times)|(?P<factor>\d)\s?(?:x|times))\s+"
    r"(?:as\s+(?:large|big)|(?:the|its)\s+(?:size|resolution)|larger|bigger|resolution|upscal\w+)(?:\s+as\s+(?:it is|now|before))?\b"
    r"|\b(?:upscale|upsample|enlarge)\b(?P<what>.*?)\b(?:by\s+)?(?P<by>\d)\s?(?:x|times)\b",
    re.IGNORECASE,
)
_LARGER = re.compile(
    rf"\b(?:upscaled?|upsampled?|enlarged?\s+(?:this|the|that|my)\s+{_PICTURE})\b"
    rf"|\b(?:make|get|turn)\s+(?:it|this|that|(?:this|the|that|my|whole|\s)*{_PICTURE})\s+(?:bigger|larger)\b"
    rf"|\b(?:an?\s+)?(?:(?:much|very)\s+)?(?:bigger|larger|large|big|huge)\s+{_PICTURE}(?:\s+of)?\b"
    r"|\b(?:in|at|with)?\s*(?:an?\s+)?(?:high|higher|hi|better)[ -](?:res(?:olution)?|definition)\b|\bin\s+hd\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Size:
    """What was asked for: ``width`` and ``height``, or so many times what there is."""

    width: int = 0
    height: int = 0
    factor: int = 1

    def drawn(self, side: int, most: int = MOST) -> tuple[int, int]:
        """Of a new picture that is else a square of ``side``. ExpertError beyond LEAST and ``most``."""
        return _allowed(self.width or self.factor * side, self.height or self.factor * side, most)

    def kept(self, size: tuple[int, int], most: int = MOST) -> tuple[int, int]:
        """Of a picture of ``size`` that keeps its shape: as large as it fits in. ExpertError beyond LEAST and ``most``."""
        scale = min(self.width / size[0], self.height / size[1]) if self.width else float(self.factor)
        longer = max(round(scale * side) for side in size)
        _allowed(longer, longer, most)
        return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def read_size(words: str) -> tuple[str, Size | None]:
    """(the words without what speaks of a size, the size); None where they speak of none. "a larger dog" does not: that is a thing."""
    for pattern, size_of in _READERS:
        if found := pattern.search(words):
            middle = found.groupdict().get("what") or ""
            left = f"{words[: found.start()]} {middle} {words[found.end() :]}"
            left = read_size(left)[0] if left.strip() else left
            return " ".join(left.split()).strip(" ,"), size_of(found)
    return words, None


def enlarged(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """RGB or RGBa in another size: Lanczos, and where it grows an unsharp mask that leaves no pixel brighter or darker than those around
    it were, so that edges stay sharp and have no halo."""
    resized = picture.resize(size, Image.Resampling.LANCZOS)
    scale = min(size[0] / picture.width, size[1] / picture.height)
    if scale <= 1:
        return resized
    pixels = _floats(resized)
    sharp = pixels + SHARPENING * (pixels - _floats(resized.filter(ImageFilter.GaussianBlur(scale / 2))))
    low, high = (
        _floats(picture.filter(extreme).resize(size, Image.Resampling.BILINEAR))
        for extreme in (ImageFilter.MinFilter(3), ImageFilter.MaxFilter(3))
    )
    return Image.frombytes(picture.mode, size, np.clip(sharp, low, high).round().clip(0, 255).astype(np.uint8).tobytes())


def _allowed(width: int, height: int, most: int) -> tuple[int, int]:
    if not all(LEAST <= side <= most for side in (width, height)):
        asked = f"{width} pixels" if width == height else f"{width} × {height} pixels"
        raise ExpertError(f"A picture of {asked} was asked for; {LEAST} to {most} on each side can be made here.")
    return width, height


def _sides(found: re.Match[str]) -> Size:
    return Size(int(found[1]), int(found[2]))


def _square(found: re.Match[str]) -> Size:
    return Size(int(found[1]), int(found[1]))


def _times(found: re.Match[str]) -> Size:
    said = found["times"]
    return Size(factor=_TIMES[said.lower()] if said else int(found["factor"] or found["by"]))


_READERS = (
    (_SIDES, _sides),
    (_SIDE, _square),
    (_NAMED, lambda found: Size(_NAMES[found[1].lower()], _NAMES[found[1].lower()])),
    (_SEVERAL, _times),
    (_BARE, _square),
    (_LARGER, lambda found: Size(factor=2)),
)


def _floats(picture: Image.Image) -> npt.NDArray[np.float32]:
    return np.asarray(picture, np.float32)
