"""The referring benchmark's questions: photos with polygons, "the <label>", "the left <label>" and free expressions.

Reads a folder with ``annotations.json`` (a list of {image, objects: [{label, crowd, box, polygons}]}, all coordinates 0..1)
and ``expressions.jsonl`` beside this file. What is broken is named with file and line, skipped and counted. No model here.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from unified_demo.data.masks import decode_runs
from unified_demo.errors import GrammarError, MediaError
from unified_demo.evaluation.metrics import Mask
from unified_demo.grammar import Box

ANNOTATIONS = "annotations.json"
FREE_EXPRESSIONS = Path(__file__).with_name("expressions.jsonl")
MIN_AREA = 0.01
"""Smallest box of a label target, as a share of the picture."""
MIN_DISTANCE = 0.05
"""The leftmost (rightmost) thing is well-defined when the next centre is at least this share of the width away."""
MIN_RATIO = 1.25
"""The largest thing is well-defined when its box is at least this many times the next one."""

Polygon = tuple[float, ...]


@dataclass(frozen=True)
class Thing:
    """One annotated object. ``polygons`` are x, y, x, y, ... in 0..1; a ``crowd`` is a heap of things that nobody separated.

    ``runs``: the mask as COCO run lengths, where it is exact; polygons are then not needed.
    """

    label: str
    box: Box
    polygons: tuple[Polygon, ...]
    crowd: bool = False
    runs: str = ""

    def mask(self, width: int, height: int) -> Mask:
        """Bool H x W for a picture of this size in pixels."""
        return decode_runs(self.runs, height, width) if self.runs else rasterise(self.polygons, width, height)


@dataclass(frozen=True)
class Photo:
    path: Path
    things: tuple[Thing | None, ...]
    """In the order of the file, so that indices hold; None where an entry was broken."""


@dataclass(frozen=True)
class Target:
    """One question. ``group``: label, position, free or reasoning; ``kind`` is finer (left, colour, synonym, ...)."""

    photo: Path
    expression: str
    thing: Thing
    group: str
    kind: str


def read_photos(folder: Path) -> tuple[list[Photo], list[str]]:
    """Photos of ``folder`` and a complaint for each entry that was left out. MediaError when there is no readable annotation file."""
    path = folder / ANNOTATIONS
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise MediaError(f"{path} cannot be read ({exc.strerror}); name a folder that holds {ANNOTATIONS} and its pictures.") from exc
    except ValueError as exc:
        line = f":{exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        raise MediaError(f"{path}{line} is not valid JSON ({exc}); copy the folder again.") from exc
    if not isinstance(entries, list):
        raise MediaError(f"{path} holds a {type(entries).__name__}; a list with one entry for each picture is needed.")
    photos, complaints = [], []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str) or not isinstance(entry.get("objects"), list):
            complaints.append(f"{path}: entry {number} has no image name or no objects; left out")
            continue
        things: list[Thing | None] = []
        for index, item in enumerate(entry["objects"]):
            try:
                things.append(_read_thing(item))
            except (KeyError, TypeError, ValueError, GrammarError) as exc:
                things.append(None)
                complaints.append(f"{path}: object {index} of {entry['image']} is broken ({type(exc).__name__}: {exc}); left out")
        photos.append(Photo(folder / Path(entry["image"]).name, tuple(things)))
    return photos, complaints


def _read_thing(item: dict[str, Any]) -> Thing:
    polygons = tuple(tuple(float(value) for value in polygon) for polygon in item["polygons"] or ())
    if not item.get("crowd") and not any(len(polygon) >= 6 for polygon in polygons):
        raise ValueError("no polygon with three corners")
    x0, y0, x1, y1 = (min(max(float(value), 0.0), 1.0) for value in item["box"])
    return Thing(str(item["label"]), Box(x0, y0, x1, y1), polygons, bool(item.get("crowd")))


def label_targets(photo: Photo) -> Iterator[Target]:
    """ "the <label>" for the only one of its label, "the left/right/largest <label>" where that is well-defined; none for crowds."""
    by_label: dict[str, list[Thing]] = defaultdict(list)
    for thing in photo.things:
        if thing:
            by_label[thing.label].append(thing)
    for label, things in by_label.items():
        if any(thing.crowd for thing in things):
            continue
        if len(things) == 1:
            candidates = [("the", "label", things[0])]
        else:
            candidates = [(f"the {word}", word, thing) for word, thing in _extremes(things)]
        for words, kind, thing in candidates:
            if thing.box.area > MIN_AREA:
                yield Target(photo.path, f"{words} {label}", thing, "label" if kind == "label" else "position", kind)


def _extremes(things: list[Thing]) -> Iterator[tuple[str, Thing]]:
    """The clear leftmost, rightmost and largest of two or more things."""
    across = sorted(things, key=lambda thing: thing.box.x0 + thing.box.x1)
    centres = [(thing.box.x0 + thing.box.x1) / 2 for thing in across]
    if centres[1] - centres[0] >= MIN_DISTANCE:
        yield "left", across[0]
    if centres[-1] - centres[-2] >= MIN_DISTANCE:
        yield "right", across[-1]
    by_area = sorted(things, key=lambda thing: thing.box.area)
    if by_area[-1].box.area >= MIN_RATIO * by_area[-2].box.area:
        yield "largest", by_area[-1]


def free_targets(photos: Sequence[Photo], path: Path = FREE_EXPRESSIONS, group: str = "free") -> tuple[list[Target], list[str]]:
    """Hand-written expressions about ``photos``, and complaints. Lines about other pictures are passed over in silence."""
    known = {photo.path.name: photo for photo in photos}
    targets, complaints = [], []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        return [], [f"{path} cannot be read ({exc}); no free expressions"]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if row["image"] not in known:
                continue
            photo, index = known[row["image"]], int(row["object"])
            thing = photo.things[index] if 0 <= index < len(photo.things) else None
            if thing is None or thing.crowd:
                raise ValueError(f"{row['image']} has no object {index} that could be meant")
            targets.append(Target(photo.path, str(row["expression"]), thing, group, str(row["kind"])))
        except (KeyError, TypeError, ValueError) as exc:
            complaints.append(f"{path}:{number} is broken ({type(exc).__name__}: {exc}); left out")
    return targets, complaints


def rasterise(polygons: Sequence[Polygon], width: int, height: int) -> Mask:
    """Polygons in 0..1 to one bool H x W mask (their union, as COCO means them)."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        corners = [(x * width - 0.5, y * height - 0.5) for x, y in zip(polygon[::2], polygon[1::2], strict=False)]
        if len(corners) >= 3:
            draw.polygon(corners, fill=1)
    return np.array(canvas, dtype=bool)
