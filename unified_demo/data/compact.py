"""Scenes small enough for shards: boxes on the grid of coordinates, shares of colours in fifteenths.

A scene is made compact before words are written about it, so that nothing said depends on what a record leaves out.
Features of a picture are not kept.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from unified_demo.data.plans import Placed, ScenePlan
from unified_demo.data.scenes import Scene
from unified_demo.grammar import Box, read_box, spell_box
from unified_demo.regions import COLOURS, PARTS, Floats, Region

STEPS = 15
"""Steps of a colour's share between 0 and 1; half a byte holds one."""


def snap(box: Box) -> Box:
    """The box as its surface form says it."""
    return read_box(spell_box(box))


def compact_scene(scene: Scene) -> Scene:
    """The scene as a record can keep it; the same again when done twice."""
    colours = unpack_colours(pack_colours(np.stack([region.colours for region in scene.regions])))
    regions = tuple(
        Region(region.label, round(region.score, 2), snap(region.box), shares)
        for region, shares in zip(scene.regions, colours, strict=True)
    )
    return replace(scene, regions=regions, image=None)


def pack_colours(colours: Floats) -> bytes:
    """(n, PARTS, len(COLOURS)) shares, rows summing to 1, to half a byte each; the rounded rows still sum to STEPS."""
    scaled = colours.reshape(-1, len(COLOURS)) * STEPS
    counts = np.floor(scaled + 1e-4)
    missing = np.rint(STEPS - counts.sum(1, keepdims=True))
    rank = np.argsort(np.argsort(counts - scaled, axis=1, kind="stable"), axis=1)
    counts = (counts + (rank < missing)).clip(0, STEPS).astype(np.uint8).reshape(-1)
    padded = np.append(counts, np.uint8(0)) if len(counts) % 2 else counts
    return (padded[::2] * 16 + padded[1::2]).tobytes()


def unpack_colours(packed: bytes) -> Floats:
    """Inverse up to rounding, and exact for what was rounded before. ValueError when bytes are missing."""
    codes = np.frombuffer(packed, np.uint8)
    shares: Floats = np.stack([codes // 16, codes % 16], 1).astype(np.float32) / np.float32(STEPS)
    return shares.reshape(-1, PARTS, len(COLOURS))


def scene_record(scene: Scene) -> dict[str, Any]:
    """A compact scene as JSON."""
    record: dict[str, Any] = {
        "labels": [region.label for region in scene.regions],
        "scores": [round(region.score * 100) for region in scene.regions],
        "boxes": [box_record(region.box) for region in scene.regions],
        "colours": base64.b64encode(pack_colours(np.stack([region.colours for region in scene.regions]))).decode(),
        "things": list(scene.things),
        "links": [list(link) for link in scene.links],
    }
    if scene.names:
        record["names"] = {str(index): name for index, name in scene.names.items()}
    return record


def scene_of(record: Mapping[str, Any]) -> Scene:
    """Inverse of ``scene_record``. KeyError, ValueError, TypeError or GrammarError when the record is broken."""
    colours = unpack_colours(base64.b64decode(record["colours"], validate=True))
    rows = zip(record["labels"], record["scores"], record["boxes"], colours, strict=True)
    regions = tuple(Region(str(label), score / 100, box_of(box), shares) for label, score, box, shares in rows)
    things = tuple(int(index) for index in record["things"])
    links = tuple((int(first), str(word), int(second)) for first, word, second in record["links"])
    names = {int(index): str(name) for index, name in record.get("names", {}).items()}
    used = [*things, *names, *(index for first, _, second in links for index in (first, second))]
    if any(not 0 <= index < len(regions) for index in used):
        raise ValueError(f"a scene of {len(regions)} regions speaks of region {max(used)}")
    return Scene(regions, things, links, names)


def plan_record(plan: ScenePlan) -> dict[str, Any]:
    """A plan as JSON; boxes with five digits, finer than a pixel."""
    return {
        "seed": plan.seed,
        "size": [plan.width, plan.height],
        "background": plan.background,
        "objects": [
            [item.cutout, item.noun, item.category, [round(side, 5) for side in item.box.as_tuple()], item.colour, item.flip, item.turn_deg]
            for item in plan.objects
        ],
        "links": [list(link) for link in plan.links],
    }


def plan_of(record: Mapping[str, Any]) -> ScenePlan:
    """Inverse of ``plan_record``; KeyError, ValueError, TypeError or GrammarError when the record is broken."""
    objects = tuple(
        Placed(cutout, noun, category, Box(*box), colour, flip, turn)
        for cutout, noun, category, box, colour, flip, turn in record["objects"]
    )
    width, height = record["size"]
    links = tuple((int(first), str(word), int(second)) for first, word, second in record["links"])
    return ScenePlan(record["seed"], width, height, record["background"], objects, links)


def box_record(box: Box) -> list[int]:
    """Four integers 0..999."""
    return [int(side) for side in spell_box(box)[1:-1].split(",")]


def box_of(sides: list[int]) -> Box:
    """Inverse of ``box_record``; GrammarError for what is no box."""
    return read_box(str(list(sides)))
