"""Scene plans: which cut-outs lie where, drawn by chance without opening a picture (thousands a second).

Groups of the same thing, relations (on, behind, next to, ...), natural sizes with variety, own colours, limits on how much is
hidden. The same random state gives the same plan. Pixels are the business of ``compose``, words that of ``expressions``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unified_demo.data.catalogue import Catalogue, CutoutInfo, read_catalogue
from unified_demo.data.layouts import Draft, Sheet
from unified_demo.data.relations import RELATIONS, Maker, makers
from unified_demo.data.scenes import Scene
from unified_demo.data.split import Part, held_out_relations
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.regions import COLOURS, PARTS, Floats, Region, with_whole_picture

__all__ = ["RELATIONS", "Catalogue", "CutoutInfo", "Placed", "ScenePlan", "draw_plan", "plan_to_scene", "read_catalogue"]

SIZES = ((640, 480), (640, 480), (640, 360), (480, 640), (512, 512), (640, 640), (600, 400))
DRAWN = ("meadow", "street", "room", "table", "beach", "plain", "dots", "stripes", "dusk")
"""Kinds of drawn backgrounds, keys "drawn:<kind>"."""
PAINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
MAX_COUNT, MAX_OBJECTS = 6, 12
LINKS_OF_DESCRIBER = ("on", "next to", "holding")
"""Relation words that ``expressions.Describer`` has phrases for; it reads left, right, above and below off the boxes itself."""


@dataclass(frozen=True)
class Placed:
    """A cut-out in the picture. ``box``: its full extent (also what others hide); ``colour``: its main colour, "" when many.

    ``flip``: mirrored left to right; ``turn_deg``: turned counter-clockwise, before it is fitted to the box.
    """

    cutout: str
    noun: str
    category: str
    box: Box
    colour: str
    flip: bool
    turn_deg: float


@dataclass(frozen=True)
class ScenePlan:
    """``objects`` from back to front; ``links``: (subject, relation word, object) as indices of objects; size in pixels."""

    seed: int
    width: int
    height: int
    background: str
    objects: tuple[Placed, ...]
    links: tuple[tuple[int, str, int], ...]


def draw_plan(
    rng: random.Random,
    catalogue: Catalogue,
    part: Part = "train",
    *,
    relation: str | None = None,
    nouns: Sequence[str] = (),
    max_objects: int = MAX_OBJECTS,
    background: Literal["any", "photo", "drawn"] = "any",
) -> ScenePlan:
    """One plan with at least one object.

    ``part`` "train": no held-out noun or relation; "held_out": some thing is held out, the others may be known ones.
    ``relation`` asks for that relation (left out when the catalogue has nothing for it), ``nouns`` for these things first.
    Raises MediaError for an empty part, an unknown noun or a relation that is not of this part.
    """
    pool, first = catalogue.part("train"), catalogue.part(part)
    if part == "held_out":
        pool = catalogue
    _check_request(first, pool, part, relation, nouns)
    seed = rng.getrandbits(32)
    width, height = rng.choice(SIZES)
    sheet = Sheet(rng, width / height, min(max_objects, MAX_OBJECTS))
    for noun in nouns:
        _add_group(sheet, pool, noun, 1)
    if relation:
        _relate(sheet, pool, first, (relation,))
    elif not nouns:
        _add_group(sheet, pool, rng.choice(first.nouns), _count(rng))
    words = [word for word in RELATIONS if part == "held_out" or word not in held_out_relations()]
    for _ in range(rng.choice((0, 1, 1, 2))):
        _relate(sheet, pool, pool, words)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        _add_group(sheet, pool, rng.choice(pool.nouns), _count(rng))
    _ensure(sheet, first)
    _paint(rng, sheet)
    return _finish(sheet, seed, width, height, _background(rng, first, background))


def plan_to_scene(plan: ScenePlan, catalogue: Catalogue) -> Scene:
    """The plan as the regions a perfect detector would report, the whole picture first; colours as in the plan.

    Links that ``Describer`` has no words for are left out; they stand in the plan.
    """
    regions = [Region(item.noun, 1.0, item.box, _shares(item, catalogue.by_key[item.cutout])) for item in plan.objects]
    whole = np.mean([region.colours for region in regions], axis=0).astype(np.float32)
    ordered = with_whole_picture(regions, whole, None)
    place = {id(region): index for index, region in enumerate(ordered)}
    moved = [place[id(region)] for region in regions]
    links = tuple((moved[first], word, moved[second]) for first, word, second in plan.links if word in LINKS_OF_DESCRIBER)
    return Scene(tuple(ordered), tuple(sorted(moved)), links)


def _check_request(first: Catalogue, pool: Catalogue, part: Part, relation: str | None, nouns: Sequence[str]) -> None:
    if not first.cutouts:
        raise MediaError(f"The catalogue has no cut-outs of the part '{part}'; fetch more assets.")
    if unknown := [noun for noun in nouns if noun not in pool.by_noun]:
        raise MediaError(f"The catalogue has no '{unknown[0]}' in the part '{part}'.")
    if relation is not None and (relation not in RELATIONS or (part == "train" and relation in held_out_relations())):
        raise MediaError(f"'{relation}' is no relation of the part '{part}'; there are: {', '.join(RELATIONS)}.")


def _ensure(sheet: Sheet, first: Catalogue) -> None:
    """At least one thing of ``first``: added where there is room, else on an empty sheet."""
    for attempt in range(12):
        if any(draft.info.noun in first.by_noun for draft in sheet.drafts):
            return
        if attempt >= 6:
            sheet.clear()
        _add_group(sheet, first, sheet.rng.choice(first.nouns), 1)


def _count(rng: random.Random) -> int:
    return rng.choice((1, 1, 1, 1, 2, 2, 3, 3, 4, 5, MAX_COUNT))


def _add_group(sheet: Sheet, pool: Catalogue, noun: str, count: int) -> None:
    """``count`` things of one kind (fewer when the room does not suffice): one cut-out for all, or several of that noun."""
    rng, infos = sheet.rng, pool.by_noun[noun]
    same = rng.choice(infos)
    chosen = [same if rng.random() < 0.6 else rng.choice(infos) for _ in range(count)]
    if count >= 3 and rng.random() < 0.4:
        sheet.add_row(chosen)
    else:
        sheet.add_scattered(chosen)


def _relate(sheet: Sheet, pool: Catalogue, starts: Catalogue, words: Sequence[str]) -> None:
    """Two or three things in one of the relations; nothing is added when no place or no fitting thing is found."""
    rng = sheet.rng
    table: dict[str, Maker] = makers()
    for _ in range(6):
        if table[rng.choice(words)](sheet, pool, starts):
            return


def _paint(rng: random.Random, sheet: Sheet) -> None:
    """New colours for things that come in any colour; in a group each may have its own."""
    chosen: dict[str, str] = {}
    for draft in sheet.drafts:
        draft.colour = draft.info.colour
        if draft.info.paint and draft.info.colour and rng.random() < 0.4:
            shared = chosen.setdefault(draft.info.noun, rng.choice(PAINTS))
            draft.colour = shared if rng.random() < 0.3 else rng.choice(PAINTS)


def _background(rng: random.Random, first: Catalogue, wanted: str) -> str:
    photos = first.backgrounds
    if photos and wanted != "drawn" and (wanted == "photo" or rng.random() < 0.7):
        return rng.choice(photos).key
    return "drawn:" + rng.choice(DRAWN)


def _finish(sheet: Sheet, seed: int, width: int, height: int, background: str) -> ScenePlan:
    """Objects from back to front, boxes in whole pixels."""
    order = sorted(range(len(sheet.drafts)), key=lambda index: sheet.drafts[index].depth)
    place = {old: new for new, old in enumerate(order)}
    objects = tuple(_placed(sheet.drafts[index], sheet.aspect, width, height) for index in order)
    return ScenePlan(seed, width, height, background, objects, tuple((place[a], word, place[b]) for a, word, b in sheet.links))


def _placed(draft: Draft, aspect: float, width: int, height: int) -> Placed:
    """Sheet units (height 1, width ``aspect``) to a normalised box on the pixel grid, at least two pixels wide."""
    x0, y0 = round(draft.x0 / aspect * width), round(draft.y0 * height)
    x1, y1 = round(draft.x1 / aspect * width), round(draft.y1 * height)
    x0, y0 = max(0, min(x0, width - 2)), max(0, min(y0, height - 2))
    x1, y1 = min(width, max(x1, x0 + 2)), min(height, max(y1, y0 + 2))
    box = Box(x0 / width, y0 / height, x1 / width, y1 / height)
    return Placed(draft.info.key, draft.info.noun, draft.info.category, box, draft.colour, draft.flip, draft.turn_deg)


def _shares(item: Placed, info: CutoutInfo) -> Floats:
    """(PARTS, len(COLOURS)): the cut-out's shares, the main colour exchanged when it was painted; the same for every part."""
    shares = np.array(info.colours, np.float32)
    if item.colour and item.colour != info.colour:
        old, new = int(shares.argmax()), COLOURS.index(item.colour)
        shares[[old, new]] = shares[[new, old]]
    return np.repeat(shares[None] / shares.sum(), PARTS, axis=0)


def without_object(plan: ScenePlan, index: int) -> ScenePlan:
    """The same plan without one object; links are renumbered, those of the object go."""
    keep = [number for number in range(len(plan.objects)) if number != index]
    place = {old: new for new, old in enumerate(keep)}
    links = tuple((place[a], word, place[b]) for a, word, b in plan.links if index not in (a, b))
    return replace(plan, objects=tuple(plan.objects[number] for number in keep), links=links)
