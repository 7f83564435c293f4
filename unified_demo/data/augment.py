"""What cameras do to pictures: light, colour temperature, vignette, blur, noise, JPEG. Geometry, boxes and masks stay.

Strength 0 changes nothing; 1 is a poor photograph. The same random state gives the same pixels.
"""

import io
import random

import numpy as np
from PIL import Image, ImageFilter


def augment(picture: Image.Image, rng: random.Random, strength: float = 0.5) -> Image.Image:
    """RGB in, RGB of the same size out. ``strength`` 0..1, else ValueError."""
    if not 0 <= strength <= 1:
        raise ValueError(f"the strength is {strength}; 0 to 1 is allowed")
    if strength == 0:
        return picture
    pixels = np.asarray(picture, np.float32) / 255
    pixels = _light(pixels, rng, strength)
    if rng.random() < 0.4:
        pixels = _vignette(pixels, rng.uniform(0.05, 0.5) * strength)
    blurred = Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.5:
        blurred = blurred.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8) * strength))
    if rng.random() < 0.6:
        blurred = _noise(blurred, rng, strength)
    if rng.random() < 0.7:
        blurred = as_jpeg(blurred, round(95 - rng.uniform(5, 65) * strength))
    return blurred


def _light(pixels: np.ndarray, rng: random.Random, strength: float) -> np.ndarray:
    """Exposure, contrast, gamma, saturation and colour temperature."""
    exposure = 1 + rng.uniform(-0.3, 0.3) * strength
    contrast = 1 + rng.uniform(-0.3, 0.25) * strength
    warmth = rng.uniform(-0.14, 0.14) * strength
    saturation = 1 + rng.uniform(-0.35, 0.2) * strength
    pixels = pixels ** (1 + rng.uniform(-0.2, 0.25) * strength) * exposure
    middle = pixels.mean()
    pixels = (pixels - middle) * contrast + middle
    gray = pixels.mean(-1, keepdims=True)
    pixels = (pixels - gray) * saturation + gray
    return pixels * np.array([1 + warmth, 1.0, 1 - warmth], np.float32)


def _vignette(pixels: np.ndarray, depth: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    return pixels * (1 - depth * np.minimum(1, (x * x + y * y) / 2))[..., None]


def _noise(picture: Image.Image, rng: random.Random, strength: float) -> Image.Image:
    """Sensor noise: of light and, coarser, of colour."""
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(picture, np.float32)
    sigma = rng.uniform(2, 12) * strength
    pixels = pixels + noise.normal(0, sigma, pixels.shape[:2]).astype(np.float32)[..., None]
    pixels += noise.normal(0, sigma * 0.4, pixels.shape).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after a JPEG file of that quality (1..95)."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=max(1, min(95, quality)))
    with Image.open(buffer) as again:
        return again.convert("RGB")
