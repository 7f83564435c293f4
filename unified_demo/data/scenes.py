"""Scenes made of regions alone: what a detector might report for a picture nobody took.

Region tokens carry label, place, score and colours, so grounding in words can be learnt from such lists at any number, without
pixels. Layouts come from random groups, from relations (riding, holding, on, beside) and from NSR-1K's training pairs.
Pixels, features and real photos are in ``sights``.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unified_demo.grammar import Box, GrammarError
from unified_demo.regions import COLOURS, PARTS, Floats, Region, with_whole_picture


@dataclass(frozen=True)
class Scene:
    """``regions`` as the model sees them (whole picture first, then left to right); ``image`` (17, 384) or None.

    ``things`` are indices of the regions one may talk about; ``links`` are known relations (subject, word, object);
    ``names`` are fine names known for single regions.
    """

    regions: tuple[Region, ...]
    things: tuple[int, ...]
    links: tuple[tuple[int, str, int], ...] = ()
    names: dict[int, str] = field(default_factory=dict)
    image: Floats | None = None


@dataclass
class _Draft:
    label: str
    box: Box
    colours: Floats
    score: float


USUAL_COLOURS = {
    "banana": "yellow", "broccoli": "green", "carrot": "orange", "orange": "orange", "zebra": "white", "elephant": "gray",
    "giraffe": "brown", "horse": "brown", "bear": "brown", "sheep": "white", "cow": "brown", "potted plant": "green",
    "stop sign": "red", "fire hydrant": "red", "apple": "red", "toilet": "white", "sink": "white", "pizza": "orange",
    "dining table": "brown", "tie": "black", "tv": "black", "donut": "brown", "teddy bear": "brown", "traffic light": "black",
}  # fmt: skip

RIDES = ("horse", "bicycle", "motorcycle", "elephant", "skateboard", "surfboard", "snowboard", "skis", "boat")
HOLDS = (
    "umbrella", "cell phone", "tennis racket", "baseball bat", "frisbee", "remote", "book", "bottle", "cup", "wine glass", "teddy bear",
    "hot dog", "pizza", "donut", "banana", "sandwich", "kite", "handbag", "suitcase", "backpack", "scissors", "toothbrush", "knife",
    "sports ball", "baseball glove", "surfboard", "skateboard", "laptop", "cat", "dog", "cake", "spoon", "fork",
)  # fmt: skip
WORN = ("tie", "backpack", "handbag", "baseball glove")
SEATS = ("chair", "couch", "bench", "bed")
CARRIERS = ("dining table", "couch", "bed", "bench", "chair")
SMALL = (
    "cup", "bottle", "bowl", "laptop", "book", "cell phone", "remote", "vase", "potted plant", "cake", "pizza", "sandwich", "banana",
    "apple", "orange", "keyboard", "mouse", "wine glass", "fork", "knife", "spoon", "cat", "dog", "teddy bear", "handbag", "donut",
    "clock", "tv", "carrot", "broccoli", "scissors",
)  # fmt: skip


def draw_scene(rng: random.Random, labels: Sequence[str], pairs: Sequence[tuple[tuple[str, Box], tuple[str, Box]]]) -> Scene:
    """One scene. ``labels``: the detector's class names; ``pairs``: NSR-1K training pairs of (label, box), may be empty."""
    drafts: list[_Draft] = []
    links: list[tuple[int, str, int]] = []
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3])):
        _add_linked(rng, drafts, links)
    if pairs and rng.random() < 0.3:
        for label, box in rng.choice(pairs):
            drafts.append(_draft(rng, label, box))
    kinds = rng.sample(list(labels), rng.choice([1, 1, 2, 2, 3, 4]))
    if drafts and rng.random() < 0.6:
        kinds[0] = rng.choice(drafts).label
    for label in kinds:
        for box in _group(rng, rng.choice([1, 1, 1, 2, 2, 3, 3, 4, 5])):
            drafts.append(_draft(rng, label, box))
    drafts = drafts[:16]
    links = [link for link in links if link[0] < len(drafts) and link[2] < len(drafts)]
    return _finish(rng, drafts, links, labels)


def _finish(rng: random.Random, drafts: list[_Draft], links: list[tuple[int, str, int]], labels: Sequence[str]) -> Scene:
    """Drop things that cover each other, add the detector's doubts, order the regions as the model sees them."""
    keep = [index for index, draft in enumerate(drafts) if not any(draft.box.iou(other.box) > 0.7 for other in drafts[:index])]
    regions = [_region(drafts[index]) for index in keep]
    for _ in range(rng.choice([0, 1, 2, 3, 5, 8])):
        source = rng.choice(regions)
        label = source.label if rng.random() < 0.4 else rng.choice(labels)
        box = rng.choice([source.box, jitter(rng, source.box, 0.35), jitter(rng, source.box, 0.35), _anywhere(rng)])
        regions.append(Region(label, rng.uniform(0.08, 0.3), box, source.colours if rng.random() < 0.5 else draw_colours(rng, label)))
    whole = np.mean([region.colours for region in regions], axis=0).astype(np.float32)
    ordered = with_whole_picture(regions, whole, None)
    place = {id(region): index for index, region in enumerate(ordered)}
    moved = {old: place[id(regions[new])] for new, old in enumerate(keep)}
    return Scene(
        tuple(ordered),
        tuple(sorted(moved.values())),
        tuple((moved[first], word, moved[second]) for first, word, second in links if first in moved and second in moved),
    )


def _region(draft: _Draft) -> Region:
    return Region(draft.label, draft.score, draft.box, draft.colours)


def _draft(rng: random.Random, label: str, box: Box) -> _Draft:
    return _Draft(label, box, draw_colours(rng, label), min(0.98, max(0.22, rng.gauss(0.62, 0.2))))


def draw_colours(rng: random.Random, label: str) -> Floats:
    """(PARTS, len(COLOURS)): one or two main colours per part over a little of everything, rows sum to 1."""
    noise = np.array([[rng.gammavariate(0.35, 1.0) for _ in COLOURS] for _ in range(PARTS)], np.float32) + 1e-3
    noise /= noise.sum(1, keepdims=True)
    usual = USUAL_COLOURS.get(label)
    main = COLOURS.index(usual) if usual and rng.random() < 0.75 else rng.randrange(len(COLOURS))
    second = rng.randrange(len(COLOURS))
    rows = noise * rng.uniform(0.2, 0.6)
    left = 1 - rows.sum(1)
    for part in range(PARTS):
        rows[part, main] += left[part] * 0.8
        rows[part, second] += left[part] * 0.2
    if label == "person":
        top, bottom = rng.randrange(len(COLOURS)), rng.choice([0, 0, 2, 7, 7, rng.randrange(len(COLOURS))])
        rows = noise * 0.35
        for part, mix in ((1, {10: 0.35, 0: 0.2, top: 0.1}), (2, {top: 0.65}), (3, {bottom: 0.65}), (0, {top: 0.3, bottom: 0.25, 10: 0.1})):
            for colour, share in mix.items():
                rows[part, colour] += share
        rows /= rows.sum(1, keepdims=True)
    return rows.astype(np.float32)


def _add_linked(rng: random.Random, drafts: list[_Draft], links: list[tuple[int, str, int]]) -> None:
    """Two things that have to do with each other, placed the way such things lie in photos."""
    first = len(drafts)
    kind = rng.choice(["ride", "hold", "hold", "on", "on", "sit", "wear", "beside"])
    x, y = rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.75)
    size = rng.uniform(0.12, 0.42)
    if kind == "ride":
        below = _box(x, y + size * 0.3, size * rng.uniform(0.9, 1.6), size * rng.uniform(0.5, 1.0))
        above = _box(
            x + rng.uniform(-0.2, 0.2) * size, y - size * rng.uniform(0.1, 0.4), size * rng.uniform(0.4, 0.8), size * rng.uniform(0.9, 1.5)
        )
        names, word = ("person", rng.choice(RIDES)), "riding"
    elif kind in ("hold", "wear"):
        above = _box(x, y, size * rng.uniform(0.4, 0.7), size * rng.uniform(1.3, 2.2))
        part = size * rng.uniform(0.15, 0.6)
        side = rng.uniform(-0.4, 0.4) if kind == "hold" else rng.uniform(-0.1, 0.1)
        below = _box(x + side * size, y + rng.uniform(-0.6, 0.3) * size, part, part * rng.uniform(0.6, 1.6))
        names, word = ("person", rng.choice(HOLDS if kind == "hold" else WORN)), "holding" if kind == "hold" else "wearing"
    elif kind == "sit":
        below = _box(x, y + size * 0.2, size * rng.uniform(0.9, 2.0), size)
        above = _box(x + rng.uniform(-0.4, 0.4) * size, y - size * 0.1, size * rng.uniform(0.4, 0.8), size * rng.uniform(0.8, 1.3))
        names, word = (rng.choice(["person", "person", "cat", "dog", "teddy bear"]), rng.choice(SEATS)), "sitting on"
    elif kind == "on":
        below = _box(x, y + size * 0.3, size * rng.uniform(1.2, 2.4), size * rng.uniform(0.4, 0.9))
        part = size * rng.uniform(0.2, 0.6)
        above = _box(x + rng.uniform(-0.6, 0.6) * size, y + rng.uniform(-0.25, 0.2) * size, part, part * rng.uniform(0.6, 1.4))
        names, word = (rng.choice(SMALL), rng.choice(CARRIERS)), "on"
    else:
        above = _box(x - size * 0.5, y, size * rng.uniform(0.5, 0.9), size * rng.uniform(0.5, 1.4))
        below = _box(
            x + size * rng.uniform(0.3, 0.6), y + rng.uniform(-0.1, 0.1), size * rng.uniform(0.4, 0.9), size * rng.uniform(0.5, 1.4)
        )
        names, word = (
            (rng.choice(["person", "dog", "cat", *SMALL]), rng.choice(["person", "dog", "chair", "car", "bench", *SMALL])),
            "next to",
        )
    drafts.append(_draft(rng, names[0], above))
    drafts.append(_draft(rng, names[1], below))
    links.append((first, word, first + 1))


def _box(x: float, y: float, width: float, height: float) -> Box:
    """A box around a centre, cut at the picture's edge; never empty."""
    x0, x1 = max(0.0, min(0.95, x - width / 2)), min(1.0, max(0.05, x + width / 2))
    y0, y1 = max(0.0, min(0.95, y - height / 2)), min(1.0, max(0.05, y + height / 2))
    return Box(x0, y0, max(x1, x0 + 0.01), max(y1, y0 + 0.01))


def _anywhere(rng: random.Random) -> Box:
    return _box(rng.random(), rng.random(), rng.uniform(0.03, 0.5), rng.uniform(0.03, 0.5))


def _group(rng: random.Random, count: int) -> list[Box]:
    """``count`` things of one kind: similar in size, spread out, sometimes in a row."""
    size, aspect = rng.uniform(0.06, 0.4), rng.uniform(0.5, 1.9)
    row = rng.random() < 0.4
    y = rng.uniform(0.25, 0.75)
    boxes: list[Box] = []
    for _ in range(count * 4):
        scale = size * rng.uniform(0.6, 1.5)
        box = _box(rng.random(), y + rng.uniform(-0.08, 0.08) if row else rng.random(), scale, scale * aspect)
        if all(box.iou(other) < 0.3 for other in boxes):
            boxes.append(box)
        if len(boxes) == count:
            break
    return boxes


def jitter(rng: random.Random, box: Box, amount: float) -> Box:
    """The box moved and scaled by up to ``amount`` of its size."""
    width, height = box.x1 - box.x0, box.y1 - box.y0
    return _box(
        (box.x0 + box.x1) / 2 + rng.uniform(-amount, amount) * width,
        (box.y0 + box.y1) / 2 + rng.uniform(-amount, amount) * height,
        width * rng.uniform(1 - amount, 1 + amount),
        height * rng.uniform(1 - amount, 1 + amount),
    )


def read_pairs(path: Path) -> list[tuple[tuple[str, Box], tuple[str, Box]]]:
    """NSR-1K ``spatial.train.json``: pairs of (label, box); rows without two boxes that lie in the picture are skipped."""
    pairs = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        try:
            (label, values), (other, others) = row["obj1"], row["obj2"]
            pairs.append(((label, _from_xywh(values)), (other, _from_xywh(others))))
        except (KeyError, TypeError, ValueError, GrammarError):
            continue
    return pairs


def _from_xywh(values: Sequence[float]) -> Box:
    x, y, width, height = values
    return Box(x, y, min(1.0, x + width), min(1.0, y + height))
