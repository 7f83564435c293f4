"""Scenes put together from what the detector really reported for several photos, each moved and scaled to a place of its own.

Photos at hand show one thing each; together they give scenes with several things and a detector's real doubts around them: parts,
doubles, other names, things too large. No pixels; what is really there is what the detector was sure of in the single photo.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unified_demo.data.scenes import Scene
from unified_demo.grammar import Box
from unified_demo.regions import Region, with_whole_picture

MOST_REGIONS = 32
SAME_LABEL = 0.5
"""How often a photo's main thing takes the name of the first one's, so that there are several of a kind."""
MISSED = 0.08
"""How often a main thing is not reported at all; what else was reported around it stays."""
FAINTER = (0.45, 1.0)
"""Small things in a crowd score lower than the same thing alone in a photo."""


def draw_collage(rng: random.Random, scenes: Sequence[Scene]) -> Scene:
    """One scene from two to six of ``scenes``, which were seen in photos; those without things add their doubts only."""
    parts: list[tuple[Region, bool]] = []
    unseen: list[tuple[str, Box]] = []
    main = ""
    for place in _places(rng, rng.randint(2, 6)):
        scene = rng.choice(scenes)
        own = max((scene.regions[index] for index in scene.things), key=lambda region: region.box.area, default=None)
        if own is None:
            parts += _moved(rng, scene, place, "", "", None)
            continue
        label = main if main and rng.random() < SAME_LABEL else own.label
        main = main or own.label
        missed = own if rng.random() < MISSED else None
        if missed:
            unseen.append((label, _within(place, missed.box)))
        parts += _moved(rng, scene, place, own.label, label, missed)
    if not parts:
        return draw_collage(rng, scenes)
    parts = sorted(parts, key=lambda part: -part[0].score)[:MOST_REGIONS]
    whole = np.mean([region.colours for region, _ in parts], axis=0).astype(np.float32)
    ordered = with_whole_picture([region for region, _ in parts], whole, None)
    number = {id(region): index for index, region in enumerate(ordered)}
    return Scene(tuple(ordered), tuple(sorted(number[id(region)] for region, there in parts if there)), unseen=tuple(unseen))


def _moved(rng: random.Random, scene: Scene, place: Box, old: str, new: str, missed: Region | None) -> list[tuple[Region, bool]]:
    """The scene's regions at their new place, and whether each is a thing; the label ``old`` becomes ``new``."""
    fainter = rng.uniform(*FAINTER)
    moved = []
    for index, region in enumerate(scene.regions[1:], start=1):
        if region is missed:
            continue
        label = new if region.label == old else region.label
        box = _within(place, region.box)
        moved.append((replace(region, label=label, box=box, score=region.score * fainter, feature=None), index in scene.things))
    return [part for part in moved if part[0].score >= 0.08 or part[1]]


def _places(rng: random.Random, count: int) -> list[Box]:
    """Places of all sizes that hardly overlap; fewer than ``count`` where the picture is full."""
    largest = rng.choice([0.3, 0.45, 0.7])
    places: list[Box] = []
    for _ in range(count * 6):
        width, height = rng.uniform(0.08, largest), rng.uniform(0.08, largest)
        x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        box = Box(x, y, x + width, y + height)
        if all(box.iou(other) < 0.1 for other in places):
            places.append(box)
        if len(places) == count:
            break
    return places


def _within(place: Box, box: Box) -> Box:
    """``box``, relative to its photo, in the picture where the photo fills ``place``."""
    width, height = place.x1 - place.x0, place.y1 - place.y0
    return Box(place.x0 + box.x0 * width, place.y0 + box.y0 * height, place.x0 + box.x1 * width, place.y0 + box.y1 * height)
