"""Crops for the autoencoder: cut-outs at many sizes over plain, shaded and drawn grounds. Pixels only, no words."""

import random

import numpy as np
import torch
from PIL import Image

from unified_demo.data.catalogue import CutoutInfo
from unified_demo.data.cutouts import PAINT_HUES, CutoutLibrary
from unified_demo.errors import MediaError
from unified_demo.training.generators.autoencoder import SIDE
from unified_demo.training.generators.grounds import NAMES, ground

SMALLEST, LARGEST = 0.25, 0.85
"""Longer side of a thing as a share of the whole picture."""


class CropMaker:
    """``__call__(rng, count)`` -> (count, 3, side, side) of 0..1; things that cannot be opened are passed over."""

    def __init__(self, library: CutoutLibrary, infos: tuple[CutoutInfo, ...], side: int = 64) -> None:
        self.library, self.infos, self.side = library, infos, side

    def __call__(self, rng: random.Random, count: int) -> torch.Tensor:
        pixels = np.stack([np.asarray(self.crop(rng)) for _ in range(count)])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255

    def crop(self, rng: random.Random) -> Image.Image:
        canvas = self._ground(rng)
        for _ in range(rng.choice((1, 1, 2))):
            info = rng.choice(self.infos)
            longer = rng.uniform(SMALLEST, LARGEST) * SIDE
            size = (max(2, round(longer * min(1.0, info.aspect))), max(2, round(longer / max(1.0, info.aspect))))
            paint = rng.choice(tuple(PAINT_HUES)) if info.paint and info.colour and rng.random() < 0.25 else ""
            try:
                sprite = self.library.placed(info.key, paint, rng.random() < 0.3, 0.0, size)
            except MediaError:
                continue
            left = round(rng.uniform(-0.75, 0.75) * size[0] / 2 + (self.side - size[0]) / 2)
            top = round(rng.uniform(-0.75, 0.75) * size[1] / 2 + (self.side - size[1]) / 2)
            canvas.paste(sprite, (left, top), sprite)
        return canvas

    def _ground(self, rng: random.Random) -> Image.Image:
        if rng.random() < 0.3:
            return Image.new("RGB", (self.side, self.side), tuple(rng.randrange(256) for _ in range(3)))
        whole = ground(rng.choice(NAMES), SIDE)
        left, top = rng.randint(0, SIDE - self.side), rng.randint(0, SIDE - self.side)
        return whole.crop((left, top, left + self.side, top + self.side))
