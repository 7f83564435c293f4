"""Look at many photos once and keep what was seen: regions and features of real pictures, for training.

Photos from class folders (Caltech-101, Grocery), alone and in collages; what perception saw of them is kept in shards, pixels are
not. Looking itself is ``python -m unified_demo.data look``. It does not make words; see ``dialogues``.
"""

import json
import logging
import random
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from unified_demo.data.catalogue import Catalogue
from unified_demo.data.compose import render_plan
from unified_demo.data.cutouts import CutoutLibrary, open_picture
from unified_demo.data.plans import draw_plan
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.regions import Floats, Region, Sight

logger = logging.getLogger(__name__)

LEAST_VISIBLE = 0.5
"""Share of a composed thing that must be seen for its name to be kept."""
SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Named:
    """A thing whose fine name is known, with its box (the pasted photo or the whole picture)."""

    name: str
    box: Box


def photos(folder: Path) -> list[tuple[Path, str]]:
    """(file, class name) of every photo below ``folder``; the class is the folder's name in words, without "easy" and the like."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [(path, path.parent.name.replace("_", " ").replace("-", " ").lower()) for path in files]


def open_pictures(paths: Sequence[Path]) -> Iterator[Image.Image]:
    """In RGB; files that do not decode are named, left out and counted."""
    broken = 0
    for path in paths:
        try:
            yield open_picture(path, "RGB")
        except MediaError as exc:
            logger.warning("%s Left out.", exc)
            broken += 1
    if broken:
        logger.warning("%d of %d photos were left out", broken, len(paths))


def draw_pictures(
    items: list[tuple[Path, str]], backgrounds: list[Path], count: int, seed: int
) -> Iterator[tuple[Image.Image, list[Named]]]:
    """``count`` pictures, single photos and collages in turn, with the names of what they show; the same for the same seed.

    A file that does not decode is named; the pictures that need it are left out and counted.
    """
    rng, broken = random.Random(seed), 0
    for index in range(count):
        try:
            if index % 2 == 0:
                path, name = rng.choice(items)
                yield open_picture(path, "RGB"), [Named(name, Box(0.0, 0.0, 1.0, 1.0))]
            else:
                yield _collage(rng, items, backgrounds)
        except MediaError as exc:
            logger.warning("%s Left out.", exc)
            broken += 1
    if broken:
        logger.warning("%d of %d pictures were left out", broken, count)


def compose_pictures(catalogue: Catalogue, library: CutoutLibrary, count: int, seed: int) -> Iterator[tuple[Image.Image, list[Named]]]:
    """``count`` composed scenes of things that are not held out, with the name and the visible box of each; the same for the same seed."""
    for index in range(count):
        rng = random.Random(f"sights-{seed}-{index}")
        background: Literal["photo", "drawn"] = "photo" if catalogue.backgrounds and rng.random() < 0.5 else "drawn"
        plan = draw_plan(rng, catalogue, "train", background=background)
        try:
            composed = render_plan(plan, library)
        except MediaError:
            continue  # The library has logged which file is broken.
        seen = [
            Named(item.noun, box)
            for item, box, share in zip(plan.objects, composed.boxes, composed.visible, strict=True)
            if box is not None and share >= LEAST_VISIBLE
        ]
        yield composed.image, seen


def _collage(rng: random.Random, items: list[tuple[Path, str]], backgrounds: list[Path]) -> tuple[Image.Image, list[Named]]:
    """Two to four photos side by side or on a background photo, at 640 px on the longer side."""
    width, height = rng.choice([(640, 480), (640, 360), (480, 640), (640, 640)])
    canvas = open_picture(rng.choice(backgrounds), "RGB").resize((width, height))
    count = rng.choice([2, 2, 3, 3, 4])
    repeat = rng.random() < 0.3
    first = rng.choice(items)
    named = []
    for slot in range(count):
        path, name = first if repeat and slot < 2 else rng.choice(items)
        siblings = [item for item in items if item[1] == name]
        photo = open_picture(rng.choice(siblings)[0] if repeat else path, "RGB")
        cell = width / count
        scale = min(cell / photo.width, height / photo.height) * rng.uniform(0.6, 1.0)
        photo = photo.resize((max(8, int(photo.width * scale)), max(8, int(photo.height * scale))))
        left = int(slot * cell + rng.random() * max(cell - photo.width, 0))
        top = int(rng.random() * (height - photo.height))
        canvas.paste(photo, (left, top))
        named.append(
            Named(name, Box(left / width, top / height, min(1.0, (left + photo.width) / width), min(1.0, (top + photo.height) / height)))
        )
    return canvas, named


def save_shard(path: Path, records: list[tuple[Sight, list[Named]]]) -> None:
    """Write records as one ``.npz`` (half precision arrays and one JSON text), atomically; every region must have its feature."""
    arrays: dict[str, Any] = {}
    texts = []
    for index, (sight, named) in enumerate(records):
        arrays[f"image{index}"] = sight.image.astype(np.float16)
        arrays[f"colours{index}"] = np.stack([region.colours for region in sight.regions]).astype(np.float16)
        arrays[f"features{index}"] = np.stack([_feature(region) for region in sight.regions]).astype(np.float16)
        regions = [[region.label, region.score, region.box.as_tuple(), region.others] for region in sight.regions]
        texts.append({"regions": regions, "named": [[item.name, item.box.as_tuple()] for item in named]})
    part = path.with_suffix(".part")
    with part.open("wb") as handle:
        np.savez(handle, **{"texts": np.array(json.dumps(texts)), **arrays})
    part.replace(path)


def _feature(region: Region) -> Floats:
    if region.feature is None:
        raise ValueError(f"a region '{region.label}' without its feature cannot be kept")
    return region.feature


def load_shards(folder: Path) -> list[tuple[Sight, list[Named]]]:
    """All records of the shards in ``folder``, in order of their names; MediaError names a shard that cannot be read."""
    records = []
    for path in sorted(folder.glob("sights-*.npz")):
        try:
            with np.load(path, allow_pickle=False) as shard:
                records += [_read_record(shard, index, row) for index, row in enumerate(json.loads(str(shard["texts"])))]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as exc:
            raise MediaError(f"{path} is not a shard of sights ({exc}); delete it and look at the photos again.") from exc
    return records


def _read_record(shard: np.lib.npyio.NpzFile, index: int, row: dict) -> tuple[Sight, list[Named]]:
    colours, features = shard[f"colours{index}"].astype(np.float32), shard[f"features{index}"].astype(np.float32)
    regions = [
        Region(label, score, Box(*box), colours[place], features[place], tuple((name, value) for name, value in others))
        for place, (label, score, box, others) in enumerate(row["regions"])
    ]
    sight = Sight(shard[f"image{index}"].astype(np.float32), tuple(regions))
    return sight, [Named(name, Box(*box)) for name, box in row["named"]]
