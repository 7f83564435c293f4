"""``python -m unified_demo.data clips``: composed clips of held-out things with exact masklets, in DAVIS's layout.

For the benchmark ``video``: ``JPEGImages/<clip>/00000.jpg`` and ``Annotations/<clip>/00000.png``, where 0 is background and n the n-th
thing that moves. It measures nothing and reads nothing back; the benchmark reads any folder in that layout.
"""

import argparse
import logging
import random
from pathlib import Path

import numpy as np
from PIL import Image

from unified_demo.data.catalogue import Catalogue, read_catalogue
from unified_demo.data.clips import Clip, draw_clip
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.errors import MediaError

logger = logging.getLogger(__name__)

FRAMES, MASKS = "JPEGImages", "Annotations"
MIN_SHARE = 0.004
"""A thing that is followed covers at least this share of the first frame."""
TRIES = 40
QUALITY = 95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assets", type=Path, required=True, help="folder that 'fetch' wrote")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {FRAMES}/ and {MASKS}/")
    parser.add_argument("--count", type=int, default=30, help="clips")
    parser.add_argument("--seed", type=int, default=1)


def main(arguments: argparse.Namespace) -> None:
    catalogue = read_catalogue(arguments.assets)
    build(catalogue, CutoutLibrary(arguments.assets, catalogue), arguments.out, arguments.count, arguments.seed)
    logger.info("%d clips in %s", arguments.count, arguments.out)


def build(catalogue: Catalogue, library: CutoutLibrary, out: Path, count: int, seed: int) -> None:
    """Write ``count`` clips; the same for the same seed and assets. MediaError when nothing in the catalogue can move."""
    for number in range(count):
        clip, things = _draw(random.Random(f"clips-{seed}-{number}"), catalogue, library)
        name = f"{number:03d}-{clip.plan.scene.objects[things[0]].noun.replace(' ', '-')}"
        for kind in (FRAMES, MASKS):
            (out / kind / name).mkdir(parents=True, exist_ok=True)
        for place, frame in enumerate(clip.frames):
            layers = np.zeros((clip.plan.scene.height, clip.plan.scene.width), np.uint8)
            for value, thing in enumerate(things, start=1):
                layers[frame.masks[thing]] = value
            frame.image.save(out / FRAMES / name / f"{place:05d}.jpg", quality=QUALITY)
            Image.fromarray(layers).save(out / MASKS / name / f"{place:05d}.png")


def _draw(rng: random.Random, catalogue: Catalogue, library: CutoutLibrary) -> tuple[Clip, list[int]]:
    """A clip, and the things that move in it and can be seen from the start."""
    for _ in range(TRIES):
        clip = draw_clip(rng, catalogue, library, "held_out")
        things = [motion.thing for motion in clip.plan.motions if clip.frames[0].masks[motion.thing].mean() >= MIN_SHARE]
        if things:
            return clip, things
    raise MediaError(f"After {TRIES} plans there was no clip with a thing that moves and can be seen; fetch more assets.")
