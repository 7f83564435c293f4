"""Look at many photos once and keep what was seen: regions and features of real pictures, for training.

``build`` walks a folder of class folders (Caltech-101, Grocery), makes single photos and collages of several, and writes shards
of ``Sight`` records. Pixels are not kept. It does not make words; see ``dialogues``.
"""

import logging
import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from unified_demo.grammar import Box

logger = logging.getLogger(__name__)

SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Named:
    """A thing whose fine name is known, with its box (the pasted photo or the whole picture)."""

    name: str
    box: Box


def photos(folder: Path) -> list[tuple[Path, str]]:
    """(file, class name) of every photo below ``folder``; the class is the folder's name in words."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [(path, path.parent.name.replace("_", " ").replace("-", " ").lower()) for path in files]


def draw_pictures(items: list[tuple[Path, str]], backgrounds: list[Path], count: int, seed: int) -> Iterator[tuple[Image.Image, list[Named]]]:
    """``count`` pictures, single photos and collages in turn, with the names of what they show; the same for the same seed."""
    rng = random.Random(seed)
    for index in range(count):
        try:
            if index % 2 == 0:
                path, name = rng.choice(items)
                yield Image.open(path).convert("RGB"), [Named(name, Box(0.0, 0.0, 1.0, 1.0))]
            else:
                yield _collage(rng, items, backgrounds)
        except (OSError, UnidentifiedImageError) as exc:
            logger.warning("skipped a picture that does not decode: %s", exc)


def _collage(rng: random.Random, items: list[tuple[Path, str]], backgrounds: list[Path]) -> tuple[Image.Image, list[Named]]:
    """Two to four photos side by side or on a background photo, at 640 px on the longer side."""
    width, height = rng.choice([(640, 480), (640, 360), (480, 640), (640, 640)])
    canvas = Image.open(rng.choice(backgrounds)).convert("RGB").resize((width, height))
    count = rng.choice([2, 2, 3, 3, 4])
    repeat = rng.random() < 0.3
    first = rng.choice(items)
    named = []
    for slot in range(count):
        path, name = first if repeat and slot < 2 else rng.choice(items)
        siblings = [item for item in items if item[1] == name]
        photo = Image.open(rng.choice(siblings)[0] if repeat else path).convert("RGB")
        cell = width / count
        scale = min(cell / photo.width, height / photo.height) * rng.uniform(0.6, 1.0)
        photo = photo.resize((max(8, int(photo.width * scale)), max(8, int(photo.height * scale))))
        left = int(slot * cell + rng.random() * max(cell - photo.width, 0))
        top = int(rng.random() * (height - photo.height))
        canvas.paste(photo, (left, top))
        named.append(Named(name, Box(left / width, top / height, min(1.0, (left + photo.width) / width), min(1.0, (top + photo.height) / height))))
    return canvas, named


def save_shard(path: Path, records: list) -> None:
    """Write atomically; shards are local caches made and read by the same user, never downloaded."""
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(records, protocol=5))
    part.rename(path)


def load_shards(folder: Path) -> list:
    """All records of the shards in ``folder``, in order of their names."""
    records: list = []
    for path in sorted(folder.glob("sights-*.pkl")):
        records += pickle.loads(path.read_bytes())
    return records
