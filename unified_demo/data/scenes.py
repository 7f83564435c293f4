"""Scenes made of regions alone: what a detector might report for a picture nobody took.

Region tokens carry label, place, score and colours, so grounding in words can be learnt from such lists at any number, without
pixels. Layouts come from random groups, from relations (riding, holding, on, beside) and from NSR-1K's training pairs.
Pixels, features and real photos are in ``sights``.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from unified_demo.data.reports import Draft, centred, report
from unified_demo.deeds import CARRIERS, HOLDS, RIDES, SEATS, SITTERS, SMALL, WORN
from unified_demo.grammar import Box, GrammarError
from unified_demo.regions import COLOURS, PARTS, Floats, Region, with_whole_picture


@dataclass(frozen=True)
class Scene:
    """``regions`` as the model sees them (whole picture first, then left to right); ``image`` (17, 384) or None.

    ``things`` are indices of the regions one may talk about; ``links`` are known relations (subject, word, object);
    ``names`` are fine names known for single regions; ``unseen`` are things that are there but were not reported: one cannot
    point at them, yet they may be the leftmost or the largest of their kind.
    """

    regions: tuple[Region, ...]
    things: tuple[int, ...]
    links: tuple[tuple[int, str, int], ...] = ()
    names: dict[int, str] = field(default_factory=dict)
    image: Floats | None = None
    unseen: tuple[tuple[str, Box], ...] = ()


USUAL_COLOURS = {
    "banana": "yellow", "broccoli": "green", "carrot": "orange", "orange": "orange", "zebra": "white", "elephant": "gray",
    "giraffe": "brown", "horse": "brown", "bear": "brown", "sheep": "white", "cow": "brown", "potted plant": "green",
    "stop sign": "red", "fire hydrant": "red", "apple": "red", "toilet": "white", "sink": "white", "pizza": "orange",
    "dining table": "brown", "tie": "black", "tv": "black", "donut": "brown", "teddy bear": "brown", "traffic light": "black",
}  # fmt: skip


Palette = Mapping[str, Sequence[Floats]]
"""label -> colours (PARTS, len(COLOURS)) measured in photos; the entry "" holds those of all labels."""
FROM_PALETTE = 0.7


def draw_scene(
    rng: random.Random, labels: Sequence[str], pairs: Sequence[tuple[tuple[str, Box], tuple[str, Box]]], palette: Palette | None = None
) -> Scene:
    """One scene. ``labels``: the detector's class names; ``pairs``: NSR-1K training pairs of (label, box), may be empty.

    With a ``palette`` most things have colours that were measured in photos.
    """
    drafts: list[Draft] = []
    links: list[tuple[int, str, int]] = []
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        _add_linked(rng, drafts, links)
    if pairs and rng.random() < 0.35:
        for label, box in rng.choice(pairs):
            drafts.append(_draft(rng, label, box))
    kinds = rng.sample(list(labels), rng.choice([1, 1, 2, 2, 3]))
    if drafts and rng.random() < 0.6:
        kinds[0] = rng.choice(drafts).label
    if rng.random() < 0.35:
        kinds[-1] = "person"
    for label in kinds:
        for box in _group(rng, rng.choice([1, 1, 1, 2, 2, 3, 3, 4, 6])):
            drafts.append(_draft(rng, label, box))
    drafts = drafts[:16]
    links = [link for link in links if link[0] < len(drafts) and link[2] < len(drafts)]
    if palette:
        drafts = [replace(draft, colours=_measured(rng, draft, palette)) for draft in drafts]
    return _finish(rng, drafts, links, labels) or draw_scene(rng, labels, pairs, palette)


def _finish(rng: random.Random, drafts: list[Draft], links: list[tuple[int, str, int]], labels: Sequence[str]) -> Scene | None:
    """Drop things that cover each other, let the detector report the rest, order the regions as the model sees them.

    None when nothing was reported at all.
    """
    keep = [index for index, draft in enumerate(drafts) if not any(draft.box.iou(other.box) > 0.7 for other in drafts[:index])]
    regions, found = report(rng, [drafts[index] for index in keep], labels)
    if not regions:
        return None
    whole = np.mean([region.colours for region in regions], axis=0).astype(np.float32)
    ordered = with_whole_picture(regions, whole, None)
    place = {id(region): index for index, region in enumerate(ordered)}
    moved = {keep[number]: place[id(regions[region])] for number, region in found.items()}
    return Scene(
        tuple(ordered),
        tuple(sorted(moved.values())),
        tuple((moved[first], word, moved[second]) for first, word, second in links if first in moved and second in moved),
        unseen=tuple((drafts[index].label, drafts[index].box) for index in keep if index not in moved),
    )


def _measured(rng: random.Random, draft: Draft, palette: Palette) -> Floats:
    if rng.random() >= FROM_PALETTE:
        return draft.colours
    return rng.choice(palette[draft.label] if draft.label in palette and rng.random() < 0.5 else palette[""])


def _draft(rng: random.Random, label: str, box: Box) -> Draft:
    return Draft(label, box, draw_colours(rng, label))


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


def _add_linked(rng: random.Random, drafts: list[Draft], links: list[tuple[int, str, int]]) -> None:
    """Two things that have to do with each other, placed the way such things lie in photos."""
    first = len(drafts)
    kind = rng.choice(["ride", "hold", "hold", "on", "on", "sit", "wear", "beside"])
    x, y = rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.75)
    size = rng.choice([rng.uniform(0.06, 0.2), rng.uniform(0.12, 0.5)])
    if kind == "ride":
        below = centred(x, y + size * 0.3, size * rng.uniform(0.9, 1.6), size * rng.uniform(0.5, 1.0))
        above = centred(
            x + rng.uniform(-0.2, 0.2) * size, y - size * rng.uniform(0.1, 0.4), size * rng.uniform(0.4, 0.8), size * rng.uniform(0.9, 1.5)
        )
        names, word = ("person", rng.choice(RIDES)), "riding"
    elif kind in ("hold", "wear"):
        above = centred(x, y, size * rng.uniform(0.4, 0.7), size * rng.uniform(1.3, 2.2))
        part = size * rng.uniform(0.15, 0.6)
        side = rng.uniform(-0.4, 0.4) if kind == "hold" else rng.uniform(-0.1, 0.1)
        below = centred(x + side * size, y + rng.uniform(-0.6, 0.3) * size, part, part * rng.uniform(0.6, 1.6))
        names, word = ("person", rng.choice(HOLDS if kind == "hold" else WORN)), "holding" if kind == "hold" else "wearing"
    elif kind == "sit":
        below = centred(x, y + size * 0.2, size * rng.uniform(0.9, 2.0), size)
        above = centred(x + rng.uniform(-0.4, 0.4) * size, y - size * 0.1, size * rng.uniform(0.4, 0.8), size * rng.uniform(0.8, 1.3))
        names, word = (rng.choice(["person", *SITTERS]), rng.choice(SEATS)), "sitting on"
    elif kind == "on":
        below = centred(x, y + size * 0.3, size * rng.uniform(1.2, 2.4), size * rng.uniform(0.4, 0.9))
        part = size * rng.uniform(0.2, 0.6)
        above = centred(x + rng.uniform(-0.6, 0.6) * size, y + rng.uniform(-0.25, 0.2) * size, part, part * rng.uniform(0.6, 1.4))
        names, word = (rng.choice(SMALL), rng.choice(CARRIERS)), "on"
    else:
        above = centred(x - size * 0.5, y, size * rng.uniform(0.5, 0.9), size * rng.uniform(0.5, 1.4))
        below = centred(
            x + size * rng.uniform(0.3, 0.6), y + rng.uniform(-0.1, 0.1), size * rng.uniform(0.4, 0.9), size * rng.uniform(0.5, 1.4)
        )
        names, word = (
            (rng.choice(["person", "dog", "cat", *SMALL]), rng.choice(["person", "dog", "chair", "car", "bench", *SMALL])),
            "next to",
        )
    drafts.append(_draft(rng, names[0], above))
    drafts.append(_draft(rng, names[1], below))
    links.append((first, word, first + 1))


def _group(rng: random.Random, count: int) -> list[Box]:
    """``count`` things of one kind: similar in size, spread out, sometimes in a row."""
    size = rng.choice(
        [rng.uniform(0.03, 0.1), rng.uniform(0.04, 0.2), rng.uniform(0.06, 0.4), rng.uniform(0.2, 0.9 if count == 1 else 0.5)]
    )
    aspect = rng.uniform(0.5, 1.9)
    row = rng.random() < 0.4
    y = rng.uniform(0.25, 0.75)
    boxes: list[Box] = []
    for _ in range(count * 4):
        scale = size * rng.uniform(0.6, 1.5)
        box = centred(rng.random(), y + rng.uniform(-0.08, 0.08) if row else rng.random(), scale, scale * aspect)
        if all(box.iou(other) < 0.3 for other in boxes):
            boxes.append(box)
        if len(boxes) == count:
            break
    return boxes


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
