"""Photographic filters: tones, light, weather and drawn looks by exact image processing, without any model.

Every filter takes and gives sRGB pixels as floats 0..1, H x W x 3. They change colours and lay things over a picture; they
know nothing of what it shows: "night" does not switch lamps on.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from unified_demo.experts.recolouring import LUMA

Floats = npt.NDArray[np.float64]
Filter = Callable[[Floats, np.random.Generator], Floats]
"""(pixels, generator for flakes, drops and grain) -> pixels; values outside 0..1 are cut off by ``apply``."""


def apply(name: str, picture: Image.Image, seed: int = 0) -> Image.Image:
    """An RGB picture of the same size through the filter ``name``, a key of FILTERS."""
    pixels = np.asarray(picture.convert("RGB"), np.float64) / 255
    return _image(FILTERS[name](pixels, np.random.default_rng(seed)))


def _image(pixels: Floats) -> Image.Image:
    return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))


def _light(pixels: Floats) -> Floats:
    """Brightness, H x W x 1."""
    return (pixels @ np.array(LUMA))[..., None]


def _saturated(pixels: Floats, amount: float) -> Floats:
    """1 leaves it, 0 is grey."""
    light = _light(pixels)
    return light + amount * (pixels - light)


def _contrast(pixels: Floats, amount: float) -> Floats:
    return 0.5 + amount * (pixels - 0.5)


def _toned(pixels: Floats, red: float, green: float, blue: float) -> Floats:
    """Channels multiplied, brightness kept."""
    toned = pixels * np.array([red, green, blue])
    return toned * (_light(pixels) / np.maximum(_light(toned), 1e-6))


def _blurred(pixels: Floats, radius: float) -> Floats:
    return np.asarray(_image(pixels).filter(ImageFilter.GaussianBlur(radius)), np.float64) / 255


def _unit(pixels: Floats) -> float:
    """One thousandth of the longer side in pixels: sizes of strokes and flakes follow the picture."""
    return max(pixels.shape[:2]) / 1000


def _height(pixels: Floats) -> Floats:
    """1 at the top of the picture, 0 at its bottom, H x 1 x 1."""
    return np.linspace(1, 0, len(pixels))[:, None, None]


# ---- tones ----


def grey(pixels: Floats, rng: np.random.Generator) -> Floats:
    return np.repeat(_contrast(_light(pixels), 1.1), 3, axis=2)


def sepia(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _light(pixels) ** 0.95 * np.array([1.07, 0.86, 0.66])


def warmer(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _toned(pixels, 1.13, 1.02, 0.8)


def colder(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _toned(pixels, 0.84, 0.98, 1.2)


def brighter(pixels: Floats, rng: np.random.Generator) -> Floats:
    return pixels**0.68


def darker(pixels: Floats, rng: np.random.Generator) -> Floats:
    return pixels**1.45 * 0.85


def stronger(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _saturated(_contrast(pixels, 1.08), 1.6)


def pastel(pixels: Floats, rng: np.random.Generator) -> Floats:
    return 0.36 + 0.62 * _saturated(_blurred(pixels, 1.5 * _unit(pixels)), 0.85)


def vintage(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Faded, yellowed, darker towards the corners, with grain."""
    rows, columns = (np.linspace(-1, 1, length) for length in pixels.shape[:2])
    corners = 1 - 0.32 * (rows[:, None] ** 2 + columns[None, :] ** 2)[..., None] / 2
    faded = 0.1 + 0.8 * (0.65 * sepia(pixels, rng) + 0.35 * _saturated(pixels, 0.6))
    return faded * corners + rng.normal(0, 0.025, (*pixels.shape[:2], 1))


# ---- light and season ----


def night(pixels: Floats, rng: np.random.Generator) -> Floats:
    """The day for night of films: dark, blue, little colour, deep shadows, the sky darkest."""
    linear = pixels**2.2 * (1 - 0.55 * _height(pixels))
    dim = 0.3 * linear + 0.7 * _light(linear)
    return (dim * np.array([0.09, 0.16, 0.34])) ** (1 / 2.2)


def moonlight(pixels: Floats, rng: np.random.Generator) -> Floats:
    glow = _blurred(pixels, 12 * _unit(pixels))
    return 1.5 * night(0.75 * pixels + 0.25 * glow, rng)


def sunset(pixels: Floats, rng: np.random.Generator) -> Floats:
    warm = _contrast(pixels * np.array([1.12, 0.86, 0.62]), 1.05) * 0.9
    glow = np.array([1.0, 0.45, 0.15]) * (0.12 + 0.25 * _height(pixels))
    return 1 - (1 - warm.clip(0, 1)) * (1 - glow)


def dawn(pixels: Floats, rng: np.random.Generator) -> Floats:
    soft = _saturated(pixels, 0.75) * np.array([0.95, 0.86, 0.95]) * 0.92
    glow = np.array([0.95, 0.62, 0.62]) * (0.1 + 0.2 * _height(pixels))
    return 1 - (1 - soft.clip(0, 1)) * (1 - glow)


def sunny(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _saturated(_contrast(_toned(pixels**0.8, 1.05, 1.0, 0.9), 1.12), 1.25)


def autumn(pixels: Floats, rng: np.random.Generator) -> Floats:
    """What is green turns yellow, orange and red; the rest gets a little warmer."""
    return _leaves(warmer(pixels, rng) * 0.5 + pixels * 0.5, hue=(0.03, 0.12), saturation=1.5, value=1.08, low=0.1)


def spring(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _leaves(pixels**0.85, hue=(0.2, 0.3), saturation=1.35, value=1.12)


def summer(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _leaves(sunny(pixels, rng).clip(0, 1), hue=(0.24, 0.36), saturation=1.35, value=1.0)


def winter(pixels: Floats, rng: np.random.Generator) -> Floats:
    """What is green or brown pales as under frost; the light gets cold. No snow is laid on anything."""
    frosted = _leaves(pixels, hue=None, saturation=0.12, value=1.35, low=0.1)
    return colder(0.08 + 0.92 * _saturated(frosted.clip(0, 1), 0.75), rng)


def _leaves(pixels: Floats, hue: tuple[float, float] | None, saturation: float, value: float, low: float = 0.13) -> Floats:
    """Hues from ``low`` to green moved into ``hue`` (0..1 of the circle), their saturation and value multiplied; softly at both ends."""
    hsv = np.asarray(_image(pixels).convert("HSV"), np.float64) / 255
    share = (np.minimum(hsv[..., 0] - low, 0.48 - hsv[..., 0]) / 0.04).clip(0, 1) * (hsv[..., 1] / 0.18).clip(0, 1)
    changed = hsv.copy()
    if hue:
        changed[..., 0] = hue[0] + (hsv[..., 0] - low).clip(0, 0.35) / 0.35 * (hue[1] - hue[0])
    changed[..., 1] = (hsv[..., 1] * saturation).clip(0, 1)
    changed[..., 2] = (hsv[..., 2] * value).clip(0, 1)
    turned = np.asarray(Image.fromarray((changed * 255).round().astype(np.uint8), "HSV").convert("RGB"), np.float64) / 255
    return pixels + share[..., None] * (turned - pixels)


# ---- weather ----


def fog(pixels: Floats, rng: np.random.Generator) -> Floats:
    """A haze that thickens upwards, where a picture is mostly farther away."""
    share = 0.3 + 0.5 * _height(pixels)
    return _blurred(pixels, 1.5 * _unit(pixels)) * (1 - share) + np.array([0.82, 0.84, 0.86]) * share


def cloudy(pixels: Floats, rng: np.random.Generator) -> Floats:
    return colder(0.05 + 0.85 * _contrast(_saturated(pixels, 0.6), 0.9), rng) * 0.92


def storm(pixels: Floats, rng: np.random.Generator) -> Floats:
    return _contrast(colder(_saturated(pixels, 0.45), rng), 1.2) * (0.72 - 0.3 * _height(pixels))


def rain(pixels: Floats, rng: np.random.Generator) -> Floats:
    streaks = _scattered(pixels, rng, share=0.0007, size=0.7)
    slanted = sum(np.roll(streaks, (step, -step // 4), axis=(0, 1)) for step in range(max(4, round(22 * _unit(pixels)))))
    return cloudy(pixels, rng) * 0.8 + 0.22 * np.minimum(slanted, 1)


def snowfall(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Flakes in three sizes, near ones large and soft."""
    whitened = 0.12 + 0.85 * colder(_saturated(pixels, 0.7), rng)
    for share, size in ((0.0016, 1.8), (0.0005, 4.0), (0.0001, 8.0)):
        whitened = 1 - (1 - whitened.clip(0, 1)) * (1 - 0.95 * _scattered(pixels, rng, share, size))
    return whitened


def _scattered(pixels: Floats, rng: np.random.Generator, share: float, size: float) -> Floats:
    """Soft dots of ``size`` thousandths of the longer side, H x W x 1; ``share`` of the places of a picture of 1000 pixels has one."""
    height, width = pixels.shape[:2]
    unit = _unit(pixels)
    dots = Image.fromarray(((rng.random((height, width)) < share / unit**2) * 255).astype(np.uint8))
    radius = max(1, round(size * unit))
    grown = dots.filter(ImageFilter.MaxFilter(2 * (radius // 2) + 3)).filter(ImageFilter.GaussianBlur(radius / 2))
    soft = np.asarray(grown, np.float64)
    return (soft / max(float(soft.max()), 1.0))[..., None]


# ---- drawn looks ----


def _flattened(pixels: Floats, window: int, times: int) -> Floats:
    """Detail taken out by medians of ``window`` pixels in a copy of at most 512 pixels."""
    image = _image(pixels)
    small = image.copy()
    small.thumbnail((512, 512), Image.Resampling.BOX)
    for _ in range(times):
        small = small.filter(ImageFilter.MedianFilter(window))
    return np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), np.float64) / 255


def pencil(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Grey brightness divided by itself blurred: only edges stay dark."""
    light = np.repeat(_light(pixels), 3, axis=2)
    lines = light / np.maximum(_blurred(light, 7 * _unit(pixels)), 0.02)
    return lines.clip(0, 1) ** 2.2


def charcoal(pixels: Floats, rng: np.random.Generator) -> Floats:
    paper = 1 - 0.16 * rng.random((*pixels.shape[:2], 1))
    shades = 0.25 + 0.75 * np.repeat(_contrast(_light(pixels), 1.5), 3, axis=2).clip(0, 1)
    return pencil(pixels, rng) ** 1.8 * shades * paper


def watercolour(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Pale washes without detail, darker where they end, on rough paper."""
    washed = _saturated(_flattened(pixels, 5, 3), 1.25)
    rims = (_light(_blurred(washed, 2 * _unit(pixels))) - _light(washed)).clip(0, 1) * 1.6
    paper = _blurred(np.repeat(rng.random((*pixels.shape[:2], 1)), 3, axis=2), 1.2 * _unit(pixels)) - 0.5
    return 0.22 + 0.78 * (washed - rims) + 0.25 * paper


def comic(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Few flat, strong colours within black lines."""
    flat = _flattened(pixels, 5, 2)
    levels = 6
    light = _light(flat)
    stepped = flat * ((light * levels).round() / levels / np.maximum(light, 0.05))
    lines = (_light(_blurred(pixels, 1.2 * _unit(pixels))) - _light(_blurred(pixels, 3 * _unit(pixels)))) * 18
    return _saturated(stepped, 1.5) * (1 + lines).clip(0, 1)


def flat_drawing(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Sixteen colours, each of one shade, and no specks."""
    image = _image(pixels)
    small = _image(_saturated(_flattened(pixels, 5, 2), 1.2))
    small.thumbnail((512, 512), Image.Resampling.BOX)
    few = small.quantize(16, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE).convert("RGB").filter(ImageFilter.ModeFilter(7))
    return np.asarray(few.resize(image.size, Image.Resampling.BICUBIC), np.float64) / 255


def soft_drawing(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Detail taken out, shades kept and a little brighter."""
    return _saturated(_flattened(pixels, 5, 2), 1.25).clip(0, 1) ** 0.85


def pixel_art(pixels: Floats, rng: np.random.Generator) -> Floats:
    """96 blocks along the longer side, 24 colours."""
    image = _image(stronger(pixels, rng))
    scale = 96 / max(image.size)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)
    few = small.quantize(24, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    return np.asarray(few.resize(image.size, Image.Resampling.NEAREST), np.float64) / 255


def pop_art(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Four inks by brightness, equally much of each."""
    light = _light(_blurred(pixels, 2 * _unit(pixels)))[..., 0]
    inks = np.array([(0.1, 0.1, 0.35), (0.9, 0.1, 0.45), (1.0, 0.55, 0.1), (1.0, 0.93, 0.5)])
    return inks[np.digitize(light, np.quantile(light, (0.25, 0.5, 0.75)))]


FILTERS: dict[str, Filter] = {
    made.__name__: made
    for made in (
        grey, sepia, warmer, colder, brighter, darker, stronger, pastel, vintage, night, moonlight, sunset, dawn, sunny, autumn,
        spring, summer, winter, fog, cloudy, storm, rain, snowfall, pencil, charcoal, watercolour, comic, flat_drawing, soft_drawing,
        pixel_art, pop_art,
    )
}  # fmt: skip
