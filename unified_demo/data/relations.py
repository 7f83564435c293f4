"""Relations between things on a sheet: one maker for each word, and the geometry that makes the word true.

A maker finds fitting things (what carries, what holds, what flies), places them and notes the link; it says whether it could.
``holds`` is the same geometry as a check, for tests and for other sources of boxes.
"""

import random
from collections.abc import Callable, Sequence

from unified_demo.data.catalogue import Catalogue, CutoutInfo
from unified_demo.data.layouts import GROUNDED, HORIZON, NEAREST, Draft, Sheet
from unified_demo.grammar import Box

RELATIONS = ("on", "under", "in", "between", "left of", "right of", "above", "below", "behind", "in front of", "next to", "holding")

SURFACES = {
    "table": 0.1, "dining table": 0.12, "desk": 0.14, "coffee table": 0.16, "side table": 0.12, "couch": 0.55, "sofa": 0.55, "bed": 0.45,
    "bench": 0.4, "chair": 0.52, "armchair": 0.55, "stool": 0.12, "shelf": 0.03, "box": 0.06, "cupboard": 0.03, "chest of drawers": 0.06,
    "dresser": 0.06, "nightstand": 0.08, "bedside table": 0.08, "piano": 0.05, "cabinet": 0.03, "sideboard": 0.06,
    "rug": 0.5, "carpet": 0.5, "office chair": 0.5, "garden chair": 0.5, "round table": 0.12, "work desk": 0.14, "chest": 0.08,
    "suitcase": 0.03, "washing machine": 0.05,
}  # fmt: skip
"""Noun -> how far down from its top, as a share of its height, a thing stands on it."""
LEGGED = ("table", "dining table", "coffee table", "side table", "bench", "chair", "stool", "round table", "garden chair", "deck chair")
CONTAINERS = ("basket", "bucket", "bowl", "shopping cart", "bathtub", "pot", "jar", "trash can", "vase", "crate", "inbox tray", "nest")
CARRIED = ("fruit", "vegetable", "food", "tableware", "toy", "tool", "ball", "instrument", "household", "book", "electronics", "package",
           "clothing", "plant", "flower", "pet", "animal", "clock")  # fmt: skip
HELD = ("fruit", "food", "tool", "toy", "ball", "instrument", "book", "flower", "electronics", "tableware", "clothing", "balloon")
AIRBORNE = ("sky", "bird", "aircraft", "insect", "balloon")

Maker = Callable[[Sheet, Catalogue, Catalogue], bool]
"""(sheet, what may be used, what of it is preferred for the one thing the relation is about) -> whether it could"""


def makers() -> dict[str, Maker]:
    """Relation word -> what places things so."""
    return {
        "on": _make_on, "under": _make_under, "in": _make_in, "between": _make_between, "left of": _make_left, "right of": _make_right,
        "above": _make_above, "below": _make_below, "behind": _make_behind, "in front of": _make_in_front, "next to": _make_next,
        "holding": _make_holding,
    }  # fmt: skip


def holds(word: str, subject: Box, thing: Box) -> bool:
    """Whether two boxes lie as the word says; for "on", "under", "in" and "holding" necessary, not sufficient."""
    middle, other = (subject.x0 + subject.x1) / 2, (thing.x0 + thing.x1) / 2
    height, high = (subject.y0 + subject.y1) / 2, (thing.y0 + thing.y1) / 2
    touch = min(subject.x1, thing.x1) > max(subject.x0, thing.x0) and min(subject.y1, thing.y1) > max(subject.y0, thing.y0)
    apart = max(subject.x0, thing.x0) - min(subject.x1, thing.x1)
    checks = {
        "on": touch and height < high and subject.y1 <= thing.y1,
        "under": touch and height > high and subject.y0 > thing.y0,
        "in": touch and subject.y1 < thing.y1 and thing.x0 - 0.02 <= middle <= thing.x1 + 0.02,
        "between": apart > -0.02,
        "left of": subject.x1 <= thing.x0 + 0.02 and middle < other,
        "right of": subject.x0 >= thing.x1 - 0.02 and middle > other,
        "above": subject.y1 <= thing.y0 + 0.02,
        "below": subject.y0 >= thing.y1 - 0.02,
        "behind": touch and subject.y1 < thing.y1,
        "in front of": touch and subject.y1 > thing.y1,
        "next to": -0.02 < apart < 0.12 and abs(subject.y1 - thing.y1) < 0.1,
        "holding": touch and thing.area < subject.area,
    }
    return checks[word]


def _fitting(pool: Catalogue, starts: Catalogue, allowed: tuple[str, ...], rng: random.Random) -> CutoutInfo | None:
    """A thing of the allowed nouns or categories, most often one that ``starts`` has."""
    found = pool.fitting(allowed)
    if starts is not pool and rng.random() < 0.8:
        found = starts.fitting(allowed) or found
    return rng.choice(pool.by_noun[rng.choice(found)]) if found else None


def _any(pool: Catalogue, rng: random.Random) -> CutoutInfo:
    return rng.choice(pool.by_noun[rng.choice(pool.nouns)])


def _anchor(sheet: Sheet, info: CutoutInfo, least: float) -> int | None:
    """Place the thing that others relate to, large enough to carry them."""
    for _ in range(6):
        bottom = sheet.rng.uniform(HORIZON + 0.12, NEAREST)
        longer = max(least, sheet.longer_side(info, bottom, sheet.rng.uniform(1.0, 1.3)))
        draft = sheet.draft(info, 0.0, bottom, longer)
        draft.turn_deg = 0.0
        shift = sheet.rng.uniform(0.0, max(0.0, sheet.aspect - draft.width)) - draft.x0
        draft.x0, draft.x1 = draft.x0 + shift, draft.x1 + shift
        if sheet.free(draft):
            return sheet.add(draft)
    return None


def _upright(sheet: Sheet, info: CutoutInfo, middle: float, bottom: float, height: float, widest: float = 9.0) -> Draft:
    """A draft that is not turned, ``height`` high but at most ``widest`` wide."""
    height = min(height, widest / info.aspect)
    flip = sheet.draft(info, middle, bottom, 0.1).flip
    width = height * info.aspect
    return Draft(info, middle - width / 2, bottom - height, middle + width / 2, bottom, bottom, flip)


def _link(sheet: Sheet, subject: int | Draft, word: str, thing: int | Draft) -> bool:
    first = sheet.add(subject) if isinstance(subject, Draft) else subject
    second = sheet.add(thing) if isinstance(thing, Draft) else thing
    sheet.links.append((first, word, second))
    return True


def _undo(sheet: Sheet, count: int) -> bool:
    """Take back drafts that found no partner."""
    del sheet.drafts[count:]
    return False


def _carried(sheet: Sheet, info: CutoutInfo, carrier: Draft, low: float, high: float) -> float:
    """Height of a thing beside its carrier: natural sizes compressed, between the two shares of the carrier's height."""
    longer = max(carrier.width, carrier.height) * min(1.0, (info.size_m / carrier.info.size_m) ** 0.5)
    height = longer if info.aspect < 1 else longer / info.aspect
    return min(high * carrier.height, max(low * carrier.height, height * sheet.rng.uniform(0.85, 1.15)))


def _place_by(sheet: Sheet, nouns: tuple[str, ...], pool: Catalogue, starts: Catalogue) -> tuple[Draft, CutoutInfo] | None:
    """A carrier of these nouns on the sheet, and something to put there."""
    carrier = _fitting(pool, pool, nouns, sheet.rng)
    if carrier is None or sheet.full(2):
        return None
    picks = (_fitting(pool, preferred, CARRIED, sheet.rng) for preferred in (*[starts] * 2, *[pool] * 8))
    info = next((pick for pick in picks if pick and pick.size_m < 0.8 * carrier.size_m and pick.noun != carrier.noun), None)
    if info is None:
        return None
    index = _anchor(sheet, carrier, 0.32)
    return None if index is None else (sheet.drafts[index], info)


def _make_on(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    start = len(sheet.drafts)
    if (found := _place_by(sheet, tuple(SURFACES), pool, starts)) is None:
        return False
    carrier, info = found
    count = sheet.rng.choice((1, 1, 1, 2))
    surface = carrier.y0 + SURFACES[carrier.info.noun] * carrier.height
    related = [carrier]
    for _ in range(count):
        middle = carrier.middle + sheet.rng.uniform(-0.28, 0.28) * carrier.width
        draft = _upright(
            sheet, info, middle, surface + 0.04 * carrier.height, _carried(sheet, info, carrier, 0.25, 0.8), 0.6 * carrier.width
        )
        draft.depth = carrier.depth + 1e-3 * len(related)
        if sheet.free(draft, [carrier]) and not sheet.full():
            related.append(draft)
            _link(sheet, draft, "on", start)
    return len(related) > 1 or _undo(sheet, start)


def _make_under(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    start = len(sheet.drafts)
    if (found := _place_by(sheet, LEGGED, pool, starts)) is None:
        return False
    carrier, info = found
    middle = carrier.middle + sheet.rng.uniform(-0.12, 0.12) * carrier.width
    height = _carried(sheet, info, carrier, 0.25, 0.48)
    draft = _upright(sheet, info, middle, carrier.y1 - 0.03 * carrier.height, height, 0.5 * carrier.width)
    draft.depth = carrier.depth - 1e-3
    return _link(sheet, draft, "under", start) if sheet.free(draft, [carrier]) else _undo(sheet, start)


def _make_in(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    start = len(sheet.drafts)
    if (found := _place_by(sheet, CONTAINERS, pool, starts)) is None:
        return False
    carrier, info = found
    height = _carried(sheet, info, carrier, 0.75, 1.1)
    draft = _upright(sheet, info, carrier.middle, carrier.y0 + 0.34 * carrier.height, height, 0.7 * carrier.width)
    draft.y0, draft.y1 = draft.y0 + 0.02 * carrier.height, draft.y1 + 0.02 * carrier.height
    draft.depth = carrier.depth - 1e-3
    return _link(sheet, draft, "in", start) if sheet.free(draft, [carrier]) else _undo(sheet, start)


def _make_holding(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    person = _fitting(pool, starts, ("person",), sheet.rng)
    info = _fitting(pool, starts, HELD, sheet.rng)
    start = len(sheet.drafts)
    if person is None or info is None or sheet.full(2) or (index := _anchor(sheet, person, 0.35)) is None:
        return False
    holder = sheet.drafts[index]
    side = sheet.rng.choice((-1, 1))
    height = _carried(sheet, info, holder, 0.2, 0.42)
    draft = _upright(sheet, info, holder.middle + side * 0.42 * holder.width, 0.0, height, 0.6 * holder.width)
    bottom = holder.y0 + sheet.rng.uniform(0.68, 0.85) * holder.height
    draft.y0, draft.y1, draft.depth = bottom - draft.height, bottom, holder.depth + 1e-3
    return _link(sheet, start, "holding", draft) if sheet.free(draft, [holder]) else _undo(sheet, start)


def _beside(sheet: Sheet, info: CutoutInfo, other: Draft, gap: float, side: int, level: float) -> Draft:
    """A draft at the side of another one, its bottom ``level`` below the other's."""
    bottom = min(NEAREST, other.y1 + level)
    draft = sheet.draft(info, 0.0, bottom, sheet.longer_side(info, bottom))
    shift = (other.x1 + gap - draft.x0) if side > 0 else (other.x0 - gap - draft.x1)
    draft.x0, draft.x1 = draft.x0 + shift, draft.x1 + shift
    return draft


def _make_pair(sheet: Sheet, pool: Catalogue, starts: Catalogue, word: str, sides: Sequence[int], gaps: tuple[float, float]) -> bool:
    subject, other = _any(starts, sheet.rng), _any(pool, sheet.rng)
    start = len(sheet.drafts)
    if subject.noun == other.noun or sheet.full(2) or sheet.add_anywhere(other) is None:
        return False
    thing = sheet.drafts[start]
    for _ in range(4):
        level = sheet.rng.uniform(-0.02, 0.02)
        draft = _beside(sheet, subject, thing, sheet.rng.uniform(*gaps), sheet.rng.choice(sides), level)
        if sheet.free(draft):
            return _link(sheet, draft, word, start)
    return _undo(sheet, start)


def _make_left(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_pair(sheet, pool, starts, "left of", (-1,), (0.02, 0.3))


def _make_right(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_pair(sheet, pool, starts, "right of", (1,), (0.02, 0.3))


def _make_next(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_pair(sheet, pool, starts, "next to", (-1, 1), (0.0, 0.06))


def _make_between(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    """The subject stands in the middle; one link to each neighbour."""
    subject, other = _any(starts, sheet.rng), _any(pool, sheet.rng)
    start = len(sheet.drafts)
    if subject.noun == other.noun or sheet.full(3) or sheet.add_anywhere(subject) is None:
        return False
    middle = sheet.drafts[start]
    neighbour = sheet.rng.choice(pool.by_noun[other.noun]) if sheet.rng.random() < 0.5 else _any(pool, sheet.rng)
    left = _beside(sheet, other, middle, sheet.rng.uniform(0.01, 0.1), -1, 0.0)
    right = _beside(sheet, neighbour, middle, sheet.rng.uniform(0.01, 0.1), 1, 0.0)
    if neighbour.noun == subject.noun or not (sheet.free(left) and sheet.free(right)):
        return _undo(sheet, start)
    return _link(sheet, start, "between", left) and _link(sheet, start, "between", right)


def _make_vertical(sheet: Sheet, pool: Catalogue, starts: Catalogue, word: str) -> bool:
    """Something in the air over something on the ground; "below" is the same seen from the ground."""
    flyer = _fitting(pool, starts, AIRBORNE, sheet.rng)
    ground = _any(starts if word == "below" else pool, sheet.rng)
    start = len(sheet.drafts)
    if (
        flyer is None
        or flyer.noun in GROUNDED
        or ground.category in AIRBORNE
        or sheet.full(2)
        or (index := _anchor(sheet, ground, 0.1)) is None
    ):
        return False
    low = sheet.drafts[index]
    bottom = low.y0 - sheet.rng.uniform(0.02, 0.15)
    draft = sheet.draft(flyer, low.middle + sheet.rng.uniform(-0.2, 0.2) * low.width, bottom, min(sheet.longer_side(flyer, 0.6), 0.35))
    if not sheet.free(draft):
        return _undo(sheet, start)
    return _link(sheet, draft, "above", start) if word == "above" else _link(sheet, start, "below", draft)


def _make_above(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_vertical(sheet, pool, starts, "above")


def _make_below(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_vertical(sheet, pool, starts, "below")


def _make_depth(sheet: Sheet, pool: Catalogue, starts: Catalogue, word: str) -> bool:
    """One thing hides 12 to 35 % of the other's box."""
    front, back = _any(starts if word == "in front of" else pool, sheet.rng), _any(starts if word == "behind" else pool, sheet.rng)
    start = len(sheet.drafts)
    if front.noun == back.noun or sheet.full(2) or {front.category, back.category} & set(AIRBORNE):
        return False
    if (index := _anchor(sheet, front, 0.15)) is None:
        return False
    near = sheet.drafts[index]
    for _ in range(5):
        bottom = near.y1 - sheet.rng.uniform(0.03, 0.1)
        draft = _beside(sheet, back, near, 0.0, sheet.rng.choice((-1, 1)), bottom - near.y1)
        inward = sheet.rng.uniform(0.2, 0.6) * min(draft.width, near.width) * (1 if draft.middle < near.middle else -1)
        draft.x0, draft.x1, draft.depth = draft.x0 + inward, draft.x1 + inward, near.depth - 1e-3
        hidden = draft.overlap(near) * min(draft.width * draft.height, near.width * near.height) / (draft.width * draft.height)
        if 0.12 <= hidden <= 0.35 and draft.y1 < near.y1 and sheet.free(draft, [near]):
            return _link(sheet, draft, "behind", start) if word == "behind" else _link(sheet, start, "in front of", draft)
    return _undo(sheet, start)


def _make_behind(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_depth(sheet, pool, starts, "behind")


def _make_in_front(sheet: Sheet, pool: Catalogue, starts: Catalogue) -> bool:
    return _make_depth(sheet, pool, starts, "in front of")
