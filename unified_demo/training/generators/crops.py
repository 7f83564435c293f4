"""What the decoder learns from: pieces of pictures of single things as the generators draw them, small and as they shall come out.

Pixels only, no words.
"""

import random

import numpy as np
import torch
from PIL import Image

from unified_demo.errors import MediaError
from unified_demo.experts.grounds import DEFAULT, NAMES
from unified_demo.hues import PAINT_HUES
from unified_demo.training.generators.autoencoder import FACTOR, GROWTH, SIDE
from unified_demo.training.generators.pictures import Painter

ELSEWHERE, PAINTED = 0.3, 0.2
"""Shares of pictures on another ground than the usual one and in another paint than their own."""


class CropMaker:
    """``__call__(rng, count)`` -> (count, 3, side, side) of 0..1, and the same pieces GROWTH times as large with the things' cover
    as fourth channel; ``side`` in pixels, a multiple of FACTOR. Things that cannot be opened are passed over."""

    def __init__(self, painter: Painter, side: int = 80) -> None:
        self.painter, self.side = painter, side
        self._nouns = list(painter.looks)

    def __call__(self, rng: random.Random, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        pairs: list[tuple[Image.Image, Image.Image]] = []
        while len(pairs) < count:
            try:
                pairs.append(self._pair(rng))
            except MediaError:
                continue
        small, large = (np.stack([np.asarray(picture) for picture in column]) for column in zip(*pairs, strict=True))
        return _tensor(small), _tensor(large)

    def _pair(self, rng: random.Random) -> tuple[Image.Image, Image.Image]:
        noun, draw = rng.choice(self._nouns), rng.random()
        painted = ELSEWHERE <= draw < ELSEWHERE + PAINTED and self.painter.paintable(noun)
        paint = rng.choice(tuple(PAINT_HUES)) if painted else ""
        scene = self.painter.alone(noun, paint, rng.choice(NAMES) if draw < ELSEWHERE else DEFAULT)
        left, top = (rng.randrange(0, SIDE - self.side + 1, FACTOR) for _ in range(2))
        right, bottom = left + self.side, top + self.side
        small = self.painter.paint(scene).crop((left, top, right, bottom))
        large = self.painter.paint_layer(scene, GROWTH * SIDE).crop((GROWTH * left, GROWTH * top, GROWTH * right, GROWTH * bottom))
        return small, large


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
