"""``python -m unified_demo.data look``: see many photos as the model sees them, once, for training."""

import argparse
import logging
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from unified_demo.config import Settings
from unified_demo.data.sights import Named, draw_pictures, photos, save_shard
from unified_demo.model.backend import load_perception
from unified_demo.zoo import Zoo

logger = logging.getLogger("unified_demo.data")

BACKGROUNDS = "background google"
SHARD = 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.data", description=__doc__)
    parser.add_argument("action", choices=("look",))
    parser.add_argument("folders", type=Path, nargs="+", help="folders of class folders with photos, such as caltech101 and grocery/train")
    parser.add_argument("--out", type=Path, required=True, help="folder of shards; finished shards are kept")
    parser.add_argument("--count", type=int, default=3400, help="pictures to draw, half of them collages, besides the backgrounds")
    parser.add_argument("--per-class", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = Settings()
    perception = load_perception(settings, Zoo(settings.cache_dir, settings.weights_dir))
    started, pictures, number, seen = time.monotonic(), _pictures(arguments), 0, 0
    while batch := list(islice(pictures, SHARD)):
        path = arguments.out / f"sights-{number:03d}.npz"
        if not path.exists():
            save_shard(path, [(perception.look(picture), named) for picture, named in batch])
        number, seen = number + 1, seen + len(batch)
        logger.info("%d pictures, %.0f s, %.0f MB", seen, time.monotonic() - started, _size(arguments.out) / 2**20)


def _pictures(arguments: argparse.Namespace) -> Iterator[tuple[Image.Image, list[Named]]]:
    """Background photos as they are, then single photos and collages, balanced over classes; the same for the same seed."""
    by_class: dict[str, list[Path]] = defaultdict(list)
    for folder in arguments.folders:
        for path, name in photos(folder):
            by_class[name].append(path)
    backgrounds = by_class.pop(BACKGROUNDS, [])
    rng = random.Random(arguments.seed)
    items = [(path, name) for name, paths in by_class.items() for path in rng.sample(paths, min(len(paths), arguments.per_class))]
    for path in backgrounds:
        yield Image.open(path).convert("RGB"), []
    yield from draw_pictures(items, backgrounds or [path for path, _ in items], arguments.count, arguments.seed)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
