"""``python -m unified_demo.data ACTION``: everything that makes training and test data.

``look`` sees many photos as the model sees them, once, for training; it stands here because it needs the model. The other actions
live in modules of their own, each with ``add_arguments(parser)`` and ``main(arguments)``, and are imported when asked for.
"""

import argparse
import importlib
import logging
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from unified_demo.config import Settings
from unified_demo.data.sights import Named, draw_pictures, open_pictures, photos, save_shard
from unified_demo.errors import UnifiedError
from unified_demo.model.tiny import load_perception
from unified_demo.zoo import Zoo

logger = logging.getLogger("unified_demo.data")

MODULES = {
    "fetch": ("fetching", "fetch pinned assets by package name and list their licences"),
    "preview": ("preview", "draw a contact sheet of composed scenes, clips or edits"),
    "build": ("building", "write multi-turn, multi-task dialogues to shards"),
    "statistics": ("statistics", "draw a page of figures about built shards"),
    "read": ("published.command", "read a published dataset's own files and report what they hold"),
    "mmud": ("mmud", "build the MMUD-style benchmark"),
    "edits": ("edit_pairs", "build pairs of pictures before and after an edit, for measuring"),
    "clips": ("footage", "build clips with masklets in DAVIS's layout, for measuring"),
}
"""action -> (module of ``unified_demo.data``, what it does)"""
LOOK = "look at folders of photos once and keep what the model saw"

BACKGROUNDS = "background google"
SHARD = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 after one sentence about what the user must mend."""
    parser = argparse.ArgumentParser(prog="python -m unified_demo.data", description="Make training and test data.")
    actions = parser.add_subparsers(dest="action", required=True)
    look = actions.add_parser("look", help=LOOK, description=LOOK)
    add_look_arguments(look)
    look.set_defaults(run=look_at_photos)
    words = sys.argv[1:] if argv is None else argv
    for action, (name, purpose) in MODULES.items():
        added = actions.add_parser(action, help=purpose, description=purpose)
        if action in words[:1]:
            module = importlib.import_module(f"unified_demo.data.{name}")
            module.add_arguments(added)
            added.set_defaults(run=module.main)
    arguments = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        arguments.run(arguments)
    except UnifiedError as exc:
        logger.error("%s", exc)
        return 2
    return 0


def add_look_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", help="folders of class folders with photos, such as caltech101 and grocery/train")
    parser.add_argument("--out", type=Path, required=True, help="folder of shards; finished shards are kept")
    parser.add_argument("--count", type=int, default=3400, help="pictures to draw, half of them collages, besides the backgrounds")
    parser.add_argument("--per-class", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)


def look_at_photos(arguments: argparse.Namespace) -> None:
    torch.set_grad_enabled(False)
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
    yield from ((picture, []) for picture in open_pictures(backgrounds))
    yield from draw_pictures(items, backgrounds or [path for path, _ in items], arguments.count, arguments.seed)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    sys.exit(main())
