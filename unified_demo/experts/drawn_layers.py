"""A drawn picture taken apart into its ground and what stands on it, so that either can be changed with the other left as it is.

Drawn grounds are plain or change from row to row only, and those of the generator and of the moods are known to the pixel: what differs
from the ground is a thing. The generator's autoencoder, whose fourth channel tells things apart, helps with white things on white paper.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from unified_demo.experts.grounds import NAMES, ground
from unified_demo.experts.moods import GROUNDS, MOODS, finished, ground_rows, laid, lit, mood_ground, unlit
from unified_demo.hues import PAINT_HUES, from_hsv, to_hsv

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Cover = Callable[[Image.Image], Floats]
"""RGB picture -> (h, w) of 0..1, how much of a pixel belongs to a thing."""

NEAR, DIFFERENT = 20, 26
"""A pixel is the ground's when no channel differs by more than NEAR, a thing's when one differs by more than DIFFERENT, 0..255."""
KNOWN = 0.12
"""A ground is taken for one of GROUNDS when it explains at least this share of the picture and hardly less than the picture's rim does."""
PALE = 225
"""Grounds whose middle value is larger may have things, or holes in things, of their own colour."""
SURE, FAINT = 0.6, 4
"""On pale grounds what is covered so surely is a thing as well, unless it is the ground's own colour but for so little."""
TRUSTED = 0.1
"""What is taken for a thing along more of the picture's rim is a ground, such as snow that was drawn with a pattern."""
COLOURS = 10
"""Of flat things and the paper round them."""
INK: tuple[int, int, int] = (34, 34, 38)
STEP = 26
"""Neighbouring pixels that differ by more, 0..255, have a line between them."""
_RIM, _SPECK, _INSIDE = 3, 3, 7


@dataclass(frozen=True)
class Apart:
    """``colours`` (h, w, 3) of things, 0..255, also just outside them; ``cover`` (h, w) of 0..1; ``ground`` (h, w, 3); ``name`` of
    GROUNDS, "" for another; ``light``: the mood that lights the things, "" when none does; ``bare``: the ground as it would be with
    nothing on it, where ``ground`` is the picture itself wherever no thing is."""

    colours: Floats
    cover: Floats
    ground: Floats
    name: str
    light: str = ""
    bare: Floats | None = None

    def on_ground(self, name: str) -> Image.Image:
        """The things in the light of another ground, with what falls before them. KeyError for a name that is not in GROUNDS."""
        height, width = self.cover.shape
        things = lit(unlit(self.colours, self.light), name)
        return as_picture(finished(self._over(things, canvas(name, width, height)), name, (width, height)))

    def picture(self) -> Image.Image:
        """The things on their own ground, which is as it was bit by bit where nothing covers it."""
        return as_picture(self._over(self.colours, self.ground))

    def painted(self, paint: str) -> "Apart":
        """All things in the hue of ``paint``; light and shade stay."""
        return replace(self, colours=repainted(self.colours, paint))

    def flattened(self) -> "Apart":
        """Few colours, each of one shade, and no specks."""
        return self.redrawn(self.few_colours())

    def outlined(self) -> "Apart":
        """Line art: ink on white where two of few colours meet."""
        flat = self.few_colours().convert("RGBA")
        flat.putalpha(Image.fromarray((255 * self.cover).astype(np.uint8)))
        drawn = np.asarray(line_art(flat.convert("RGBa")).convert("RGBA"), np.float32)
        return replace(self, colours=drawn[..., :3], cover=(drawn[..., 3] / 255).astype(np.float32), light="")

    def few_colours(self) -> Image.Image:
        """The things on white."""
        alone = as_picture(self._over(self.colours, np.full_like(self.colours, 255))).filter(ImageFilter.MedianFilter(5))
        few = alone.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).convert("RGB")
        return few.filter(ImageFilter.ModeFilter(7))

    def redrawn(self, picture: Image.Image) -> "Apart":
        """The things as another picture of the same size shows them."""
        return replace(self, colours=_spread(np.asarray(picture.convert("RGB"), np.float32), self.cover > 0.5))

    def _over(self, things: Floats, ground: Floats) -> Floats:
        cover = self.cover[..., None]
        return laid(ground, np.concatenate([things * cover, 255 * cover], axis=-1))


def take_apart(picture: Image.Image, cover: Cover | None = None) -> Apart:
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    name, light, whole, rows = _ground(pixels)
    whole, shifted = _as_seen(pixels, whole, rows)
    differs = np.minimum(np.abs(pixels - whole).max(-1), _beyond(pixels, shifted))
    solid = differs > DIFFERENT
    if float(np.median(rows)) > PALE:
        if cover is not None:
            share = cover(picture)
            share = share * (_at_rim(share > SURE) <= TRUSTED)
            inside = np.asarray(_image(share > SURE).filter(ImageFilter.MinFilter(_INSIDE))) > 0
            solid |= ((share > SURE) & (differs > FAINT)) | inside
        solid |= _enclosed(solid)
    kept = _without_specks(solid)
    soft = (np.asarray(_image(kept).filter(ImageFilter.GaussianBlur(0.7))) / 255).astype(np.float32)
    return Apart(_spread(pixels, kept), soft, np.where(kept[..., None], whole, pixels), name, light, whole)


def line_art(thing: Image.Image) -> Image.Image:
    """RGBa of a flat thing -> RGBa of its outlines in ink, white between them."""
    pixels = np.pad(np.asarray(thing, np.int16), ((2, 2), (2, 2), (0, 0)))
    seen = np.dstack([pixels[..., :3] + 255 - pixels[..., 3:], pixels[..., 3]])
    edge = np.zeros(seen.shape[:2], bool)
    edge[:-1] |= np.abs(np.diff(seen, axis=0)).max(-1) > STEP
    edge[:, :-1] |= np.abs(np.diff(seen, axis=1)).max(-1) > STEP
    lines = _image(edge).filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.GaussianBlur(0.6))
    ink = np.asarray(lines, np.float32)[2:-2, 2:-2, None] / 255
    cover = np.maximum(pixels[2:-2, 2:-2, 3:].astype(np.float32), ink * 255)
    colours = cover * (1 - ink) + cover * ink * np.array(INK, np.float32) / 255
    return Image.frombytes("RGBa", thing.size, np.concatenate([colours, cover], axis=-1).round().astype(np.uint8).tobytes())


def canvas(name: str, width: int, height: int) -> Floats:
    """A ground of any shape."""
    side = max(width, height)
    square = mood_ground(name, side)
    return square if width == height else np.asarray(as_picture(square).resize((width, height), Image.Resampling.BICUBIC), np.float32)


def repainted(colours: Floats, paint: str) -> Floats:
    """(h, w, 3), 0..255, in the hue of ``paint``."""
    hue, saturation, value = to_hsv(colours / 255)
    stronger, brighter = np.clip(0.4 + 0.6 * saturation, 0, 1), np.clip(0.25 + 0.75 * value, 0, 1)
    painted: Floats = (255 * from_hsv(np.full_like(hue, PAINT_HUES[paint]), stronger, brighter)).astype(np.float32)
    return painted


def as_picture(pixels: Floats) -> Image.Image:
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _ground(pixels: Floats) -> tuple[str, str, Floats, Floats]:
    """Name, mood that lights the things, whole ground (h, w, 3) and its rows (h, 3): of the known ground that explains most of the
    picture, else each row's colour at both sides."""
    height, width = pixels.shape[:2]
    sides = np.concatenate([pixels[:, :_RIM], pixels[:, -_RIM:]], axis=1)
    rim = np.median(sides, axis=1).astype(np.float32)
    least = max(KNOWN, 0.8 * _share(pixels, rim[:, None]))
    shares = [_share(pixels, whole) for _, _, whole, _ in _known(width, height)]
    best = int(np.argmax(shares))
    if shares[best] < least:
        return "", "", np.repeat(rim[:, None], width, axis=1), rim
    return _known(width, height)[best]


@lru_cache(maxsize=4)
def _known(width: int, height: int) -> tuple[tuple[str, str, Floats, Floats], ...]:
    """Every ground with nothing on it: as moods have it, and as the generator has it, whose things no mood lights."""
    side, found = max(width, height), []
    for name in GROUNDS:
        rows = np.asarray(as_picture(ground_rows(name, side)[:, None]).resize((1, height), Image.Resampling.BOX), np.float32)[:, 0]
        whole = finished(canvas(name, width, height), name, (width, height))
        found.append((name, name if name in MOODS else "", whole, rows))
        if name in MOODS and name in NAMES:
            plain = as_picture(np.asarray(ground(name, side), np.float32)).resize((width, height), Image.Resampling.BICUBIC)
            found.append((name, "", np.asarray(plain, np.float32), rows))
    return tuple(found)


def _share(pixels: Floats, ground: Floats) -> float:
    return float((np.abs(pixels - ground).max(-1) <= NEAR).mean())


def _as_seen(pixels: Floats, whole: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Both in the picture's own colour of each row, where it is near the expected one: a generator's grounds are a little off."""
    near = np.abs(pixels - whole).max(-1) <= NEAR
    shift = np.zeros((len(pixels), 3), np.float32)
    for row in np.flatnonzero(near.sum(1) >= 8):
        shift[row] = np.median((pixels[row] - whole[row])[near[row]], axis=0)
    return whole + shift[:, None], rows + shift


def _beyond(pixels: Floats, rows: Floats) -> Floats:
    """(h, w): how far a pixel is from what lies between the ground's rows a little above and below; a horizon may be unsharp."""
    reach = max(1, len(rows) // 64)
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    low, high = windows.min(-1)[:, None], windows.max(-1)[:, None]
    found: Floats = np.maximum(np.maximum(low - pixels, pixels - high), 0).max(-1)
    return found


def _image(mask: Mask) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * 255)


def _at_rim(solid: Mask) -> float:
    """Share of the picture's rim that is solid."""
    sides = (solid[:_RIM].ravel(), solid[-_RIM:].ravel(), solid[:, :_RIM].ravel(), solid[:, -_RIM:].ravel())
    return float(np.concatenate(sides).mean())


def _enclosed(solid: Mask) -> Mask:
    """What no way leads to from the picture's edge."""
    framed = _image(np.pad(solid, 1)).copy()
    ImageDraw.floodfill(framed, (0, 0), 128)
    return (np.asarray(framed) == 0)[1:-1, 1:-1]


def _without_specks(solid: Mask) -> Mask:
    """Things that are nowhere wider than a few pixels go, whole."""
    kept = np.asarray(_image(solid).filter(ImageFilter.MinFilter(_SPECK))) > 0
    while True:
        grown = (np.asarray(_image(kept).filter(ImageFilter.MaxFilter(5))) > 0) & solid
        if (grown == kept).all():
            return kept
        kept = grown


def _spread(pixels: Floats, kept: Mask) -> Floats:
    """Things' colours carried over their rim, where they are mixed with the ground: from a pixel inside to two outside."""
    inner = np.asarray(_image(kept).filter(ImageFilter.MinFilter(3))) > 0
    known, colours = inner.copy(), np.where(inner[..., None], pixels, 0)
    for _ in range(4):
        weight = np.pad(known.astype(np.float32), 1)
        total = np.pad(colours * known[..., None], ((1, 1), (1, 1), (0, 0)))
        height, width = known.shape
        shifts = [(y, x) for y in range(3) for x in range(3)]
        around = sum(weight[y : y + height, x : x + width] for y, x in shifts)
        sums = sum(total[y : y + height, x : x + width] for y, x in shifts)
        fresh = ~known & (around > 0)
        colours = np.where(fresh[..., None], sums / np.maximum(around, 1)[..., None], colours)
        known |= fresh
    return np.where(known[..., None], colours, pixels).astype(np.float32)
