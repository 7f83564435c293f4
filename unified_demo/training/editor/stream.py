"""Batches for the editor: pairs drawn and encoded on the way, at two sizes; and pieces of both pictures for its decoder."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from unified_demo.experts.drawn_edits import editor_prompt
from unified_demo.training.editor.networks import SIDE
from unified_demo.training.editor.scenes import SceneMaker
from unified_demo.training.generators.autoencoder import SCALING, Components

SOFTENED = 0.25
"""Share of pictures before an edit that are a little unsharp, as those of a generator are."""


@dataclass(frozen=True)
class EditBatch:
    """``before`` (n, c, h, w) as the pipeline encodes a picture, ``after`` as a UNet's latents, ``prompts`` n words."""

    before: torch.Tensor
    after: torch.Tensor
    prompts: list[str]


class EditStream:
    """``__call__(rng, count)``: ``count`` pairs of half the side, or a quarter as many of the whole side with probability ``large``:
    about as much work."""

    def __init__(self, maker: SceneMaker, components: Components, large: float) -> None:
        self.maker, self.components, self.large = maker, components, large

    def __call__(self, rng: random.Random, count: int) -> EditBatch:
        large = rng.random() < self.large
        side, number = (SIDE, max(1, count // 4)) if large else (SIDE // 2, count)
        drawn = [self._pair(rng, side) for _ in range(number)]
        before, after = (self.components.encode(pixels(column)) for column in zip(*((one, other) for one, other, _ in drawn), strict=True))
        return EditBatch(before, after * SCALING, [prompt for _, _, prompt in drawn])

    def _pair(self, rng: random.Random, side: int) -> tuple[np.ndarray, np.ndarray, str]:
        pair = self.maker.restyling(rng)
        before, after = self.maker.both(pair, side)
        if rng.random() < SOFTENED:
            small = round(side * rng.uniform(0.45, 0.8))
            soft = Image.fromarray(before).resize((small, small), Image.Resampling.BOX).resize((side, side), Image.Resampling.BICUBIC)
            before = np.asarray(soft)
            after = before if not pair.edits else after
        return before, after, editor_prompt(pair.edits)


class PieceMaker:
    """``__call__(rng, count)`` -> pieces (count, 3, side, side) of 0..1 of pictures after edits, twice: the decoder gives back what was
    encoded."""

    def __init__(self, maker: SceneMaker, side: int = 96) -> None:
        self.maker, self.side = maker, side

    def __call__(self, rng: random.Random, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        found: list[np.ndarray] = []
        while len(found) < count:
            pair = self.maker.restyling(rng)
            picture = self.maker.render(pair, pair.after, SIDE)
            for _ in range(min(2, count - len(found))):
                left, top = (rng.randrange(0, SIDE - self.side + 1, 8) for _ in range(2))
                found.append(picture[top : top + self.side, left : left + self.side])
        pieces = (pixels(found) + 1) / 2
        return pieces, pieces


def pixels(pictures: "list[np.ndarray] | tuple[np.ndarray, ...]") -> torch.Tensor:
    """(n, 3, h, w) of -1..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
