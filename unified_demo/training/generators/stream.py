"""Batches for the diffusion training: single things from a store of latents made once, arranged ones drawn and encoded on the way."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image

from unified_demo.errors import MediaError
from unified_demo.experts.grounds import DEFAULT
from unified_demo.training.generators.autoencoder import SCALING, Components
from unified_demo.training.generators.diffusion import Batch
from unified_demo.training.generators.pictures import Painter, Scene


@dataclass(frozen=True)
class Mix:
    """Shares of batches: with boxes (GLIGEN), arranged but without boxes; the others show one thing. ``usual``: share of single
    things on the usual ground in their own colours, ``painted``: in other colours, ``empty``: of grounds with nothing on them.
    ``new``: share of the single things that come from the stream's new nouns alone, where it has such."""

    boxed: float = 0.0
    arranged: float = 0.0
    usual: float = 0.82
    painted: float = 0.1
    empty: float = 0.02
    new: float = 0.0


class PictureStream:
    """``__call__(rng, count)``; every picture of one thing is painted when the first batch is drawn (seconds), not before.

    ``new``: nouns that the networks have not learnt yet, of which ``mix.new`` has a share of its own.
    """

    def __init__(self, painter: Painter, components: Components, mix: Mix, new: Collection[str] = ()) -> None:
        self.painter, self.components, self.mix, self.new = painter, components, mix, frozenset(new)
        self.scenes = [*painter.all_alone(), *painter.empty()]
        self._usual = [
            index for index, scene in enumerate(self.scenes) if scene.things and scene.ground == DEFAULT and not scene.things[0].paint
        ]
        self._painted = [index for index, scene in enumerate(self.scenes) if scene.things and scene.things[0].paint]
        self._elsewhere = [index for index, scene in enumerate(self.scenes) if scene.things and scene.ground != DEFAULT]
        self._empty = [index for index, scene in enumerate(self.scenes) if not scene.things]

    @cached_property
    def _store(self) -> torch.Tensor:
        return self._latents(self.scenes)

    def usual_latents(self) -> dict[str, torch.Tensor]:
        """Noun -> latents of its picture on the usual ground."""
        scenes = [self.scenes[index] for index in self._usual]
        return {scene.things[0].noun: latents for scene, latents in zip(scenes, self._latents(scenes).float(), strict=True)}

    def _latents(self, scenes: Sequence[Scene]) -> torch.Tensor:
        parts = [scenes[start : start + 64] for start in range(0, len(scenes), 64)]
        return torch.cat([self.encode([self.painter.paint(scene) for scene in part]) for part in parts])

    def __call__(self, rng: random.Random, count: int) -> Batch:
        draw = rng.random()
        if draw < self.mix.boxed + self.mix.arranged:
            return self._arranged(rng, count, draw < self.mix.boxed)
        chosen = [rng.choice(self._pool(rng)) for _ in range(count)]
        return Batch(self._store[chosen].float(), [self.scenes[index].prompt for index in chosen], [[] for _ in chosen])

    def encode(self, pictures: list[Image.Image]) -> torch.Tensor:
        """Pictures -> latents as a UNet takes them, half precision."""
        pixels = np.stack([np.asarray(picture) for picture in pictures])
        return (self.components.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1) * SCALING).half()

    def _pool(self, rng: random.Random) -> list[int]:
        draw = rng.random()
        if draw >= 1 - self.mix.empty:
            return self._empty
        if draw < self.mix.usual or not self._elsewhere:
            pool = self._usual
        else:
            pool = self._painted if draw < self.mix.usual + self.mix.painted and self._painted else self._elsewhere
        if not self.new or rng.random() >= self.mix.new:
            return pool
        return [index for index in pool if self.scenes[index].things[0].noun in self.new] or pool

    def _arranged(self, rng: random.Random, count: int, boxed: bool) -> Batch:
        scenes: list[Scene] = []
        pictures: list[Image.Image] = []
        while len(scenes) < count:
            scene = self.painter.arranged(rng, boxed)
            try:
                pictures.append(self.painter.paint(scene))
            except MediaError:
                continue
            scenes.append(scene)
        boxes = [[(thing.phrase, *thing.box.as_tuple()) for thing in scene.things] if boxed else [] for scene in scenes]
        return Batch(self.encode(pictures).float(), [scene.prompt for scene in scenes], boxes)
