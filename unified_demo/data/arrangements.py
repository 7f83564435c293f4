"""Boxes for things that do not exist yet: planned from counts and relations, for layouts and for what is added to a picture.

The same words always give the same boxes, so that a small model can learn them; sizes follow what things are in life.
It plans boxes only; the words come from its callers.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unified_demo.grammar import Box

SIZES_FILE = Path(__file__).with_name("sizes.toml")


@dataclass(frozen=True)
class Group:
    """So many things of one kind."""

    label: str
    count: int = 1


@cache
def _listed(name: str) -> frozenset[str]:
    return frozenset(tomllib.loads(SIZES_FILE.read_text(encoding="utf-8"))[name])


def size_of(label: str, room: float) -> tuple[float, float]:
    """(width, height) of a thing in a cell of ``room`` x ``room``."""
    scale = 0.95 if label in _listed("large") else 0.62 if label in _listed("small") else 0.78
    width, height = (0.6, 1.0) if label in _listed("tall") else (1.0, 0.65) if label in _listed("wide") else (0.85, 0.85)
    return room * scale * width, room * scale * height


def _around(x: float, y: float, width: float, height: float) -> Box:
    """A box around a centre, moved into the picture, on the grid of coordinates."""
    x0 = min(max(0.02, x - width / 2), 0.98 - width)
    y0 = min(max(0.02, y - height / 2), 0.98 - height)
    return Box(round(x0, 2), round(y0, 2), round(x0 + width, 2), round(y0 + height, 2))


def plan_counts(groups: Sequence[Group]) -> tuple[tuple[Box, ...], ...]:
    """Boxes per group for things that have nothing to do with each other: groups side by side, each in rows."""
    total = sum(group.count for group in groups)
    boxes: list[tuple[Box, ...]] = []
    left = 0.02
    for group in groups:
        width = 0.96 * (group.count**0.5) / sum(other.count**0.5 for other in groups)
        boxes.append(_grid(group, left, width, 1 if total <= 3 and len(groups) > 1 else _rows(group.count, width)))
        left += width
    return tuple(boxes)


def _rows(count: int, width: float) -> int:
    """The number of rows that leaves the largest square cells."""
    return max(range(1, count + 1), key=lambda rows: (min(width / -(-count // rows), 0.96 / rows), -rows))


def _grid(group: Group, left: float, width: float, rows: int) -> tuple[Box, ...]:
    columns = -(-group.count // rows)
    room_x, room_y = width / columns, 0.96 / rows
    room = min(room_x, room_y, 0.7)
    wide, high = size_of(group.label, room)
    boxes = []
    for index in range(group.count):
        row, column = divmod(index, columns)
        in_row = min(columns, group.count - row * columns)
        x = left + width / 2 + (column - (in_row - 1) / 2) * room_x
        y = 0.5 + (row - (rows - 1) / 2) * min(room_y, room * 1.1)
        boxes.append(_around(x, y, wide, high))
    return tuple(boxes)


PLANNED_RELATIONS = ("left of", "right of", "above", "below", "next to", "on", "under", "riding", "holding", "in front of", "behind")


def plan_pair(subject: str, relation: str, thing: str) -> tuple[Box, Box]:
    """Boxes of two things so that the relation is true; the centres lie apart along its direction."""
    if relation in ("left of", "right of", "next to"):
        sizes = size_of(subject, 0.46), size_of(thing, 0.46)
        first, second = _around(0.26, 0.52, *sizes[0]), _around(0.74, 0.52, *sizes[1])
        if relation == "right of":
            first, second = _around(0.74, 0.52, *sizes[0]), _around(0.26, 0.52, *sizes[1])
        return first, second
    if relation in ("above", "below"):
        high, low = (0.26, 0.74) if relation == "above" else (0.74, 0.26)
        return _around(0.5, high, *size_of(subject, 0.46)), _around(0.5, low, *size_of(thing, 0.46))
    if relation in ("on", "riding"):
        below = _around(0.5, 0.68, *size_of(thing, 0.62))
        width, height = size_of(subject, 0.5)
        sunk = 0.45 * height if relation == "riding" else 0.12 * height
        return _around(0.5, below.y0 + sunk - height / 2, width, height), below
    if relation == "under":
        above = _around(0.5, 0.34, *size_of(thing, 0.62))
        width, height = size_of(subject, 0.4)
        return _around(0.5, above.y1 + height / 2 - 0.04, width, height), above
    if relation == "holding":
        person = _around(0.42, 0.52, *size_of(subject, 0.9))
        return person, _around(person.x1 - 0.02, 0.5, *size_of(thing, 0.3))
    front, back = (subject, thing) if relation == "in front of" else (thing, subject)
    near, far = _around(0.4, 0.68, *size_of(front, 0.55)), _around(0.62, 0.36, *size_of(back, 0.45))
    return (near, far) if relation == "in front of" else (far, near)


def place_for(words: str, anchor: Box | None, size: float = 0.24) -> Box | None:
    """A box for something new: on a side of the picture, or beside, above or on an anchor; None when there is no room.

    ``words``: "left", "right", "top", "bottom", "middle", or with an anchor "left of", "right of", "above", "below", "on".
    """
    if anchor is None:
        x = {"left": 0.16, "right": 0.84}.get(words, 0.5)
        y = {"top": 0.16, "bottom": 0.82, "middle": 0.5}.get(words, 0.6)
        return _around(x, y, size, size)
    x, y = (anchor.x0 + anchor.x1) / 2, (anchor.y0 + anchor.y1) / 2
    small = max(0.08, min(size, 0.8 * max(anchor.x1 - anchor.x0, anchor.y1 - anchor.y0)))
    if words in ("left of", "right of"):
        x = anchor.x0 - small / 2 - 0.01 if words == "left of" else anchor.x1 + small / 2 + 0.01
        y = min(max(y, small / 2), anchor.y1 - small / 2)
    elif words == "above":
        y = anchor.y0 - small / 2 - 0.01
    elif words == "below":
        y = anchor.y1 + small / 2 + 0.01
    else:
        y = anchor.y0 + 0.15 * small - small / 2
    if not (small / 2 <= x <= 1 - small / 2 and small / 2 <= y <= 1 - small / 2):
        return None
    return _around(x, y, small, small)
