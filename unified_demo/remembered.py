"""What a picture made here shows, and where: the expert that drew it noted that in its recipe, and what is made of it carries that on.

A detector of photographs hardly knows a drawing, but nobody has to look for what is remembered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unified_demo.errors import UnifiedError
from unified_demo.grammar import Box, Task
from unified_demo.messages import Artefact, TaskCall

DRAWN, CARRIED = "layout", "shows"
"""Keys of recipes: of what was drawn where, and of the same behind an edit. Rows are {"phrase": str, "box": [x0, y0, x1, y1] in 0..1}."""
TURN, CUT = "turn", "cut"
"""Keys of recipes: how a picture was turned (``experts.turning``), and the box that it was cut to."""
KEEPING = (Task.IMAGE_EDITING, Task.IMAGE_TO_VIDEO, Task.VIDEO_EDITING)
"""Tasks that leave everything where it is at first."""
COVERED = 0.6
"""A thing is what an edit was about if so much of it lies in the box of the edit, or of that box in it."""


@dataclass(frozen=True)
class Shown:
    phrase: str
    box: Box


def shown_in(artefact: Artefact) -> tuple[Shown, ...]:
    """Empty where that is not known. Recipes come from files as well: rows that are none are left out."""
    rows = artefact.recipe.get(DRAWN) or artefact.recipe.get(CARRIED)
    found = []
    for row in rows if isinstance(rows, list) else ():
        try:
            phrase, corners = row["phrase"].strip(), [float(value) for value in row["box"]]
            found += [Shown(phrase, Box(*corners))] if phrase else []
        except (AttributeError, KeyError, TypeError, ValueError, UnifiedError):
            continue
    return tuple(found)


def shown_after(call: TaskCall, of: str | None, recipe: Mapping[str, Any], artefacts: Mapping[str, Artefact]) -> dict[str, Any]:
    """For the recipe of what was made of a picture: what it shows, a video at first, if that was known of the picture; else {}.

    ``of``: the id of that picture; ``recipe``: what the expert notes of its output.
    """
    before = artefacts.get(of or "")
    if before is None or DRAWN in recipe:
        return {}
    rows = shown_in(before)
    if call.task == Task.REASONING_EDITING:
        rows = _edited(rows, [box for region in call.regions for box in region.boxes], recipe)
    elif call.task not in KEEPING:
        return {}
    elif turn := recipe.get(TURN):
        rows = tuple(Shown(row.phrase, _turned(row.box, str(turn))) for row in rows)
    return {CARRIED: written((row.phrase, row.box) for row in rows)} if rows else {}


def written(rows: Iterable[tuple[str, Box]]) -> list[dict[str, Any]]:
    """Phrases with their boxes as the rows of a recipe."""
    return [{"phrase": phrase, "box": [round(number, 4) for number in box.as_tuple()]} for phrase, box in rows]


def _edited(rows: tuple[Shown, ...], boxes: list[Box], recipe: Mapping[str, Any]) -> tuple[Shown, ...]:
    """Nothing is known behind an operation that is none of these."""
    operation, new = recipe.get("operation"), str(recipe.get("new", ""))
    meant = [row for row in rows if any(_same(row.box, box) for box in boxes)]
    others = tuple(row for row in rows if row not in meant)
    if not rows or operation in ("recolour", "backdrop"):
        return rows
    if operation == "remove":
        return others
    if operation == "replace":
        return (*others, *(Shown(new, box) for box in boxes))
    if operation == "crop":
        return _within(rows, recipe.get(CUT))
    if operation == "add":
        return (*rows, *(Shown(new, box) for box in boxes))
    if operation == "resize" and isinstance(recipe.get("factor"), float):
        return (*others, *(Shown(row.phrase, _scaled(row.box, recipe["factor"])) for row in meant))
    return ()


def _same(thing: Box, box: Box) -> bool:
    return thing.overlap(box) >= COVERED * min(thing.area, box.area)


def _scaled(box: Box, factor: float) -> Box:
    """The middle of its foot stays, as in ``experts.resizing``."""
    middle, half, height = (box.x0 + box.x1) / 2, (box.x1 - box.x0) * factor / 2, (box.y1 - box.y0) * factor
    return Box(max(middle - half, 0.0), max(box.y1 - height, 0.0), min(middle + half, 1.0), box.y1)


def _turned(box: Box, turn: str) -> Box:
    x0, y0, x1, y1 = box.as_tuple()
    places = {
        "left": (y0, 1 - x1, y1, 1 - x0), "right": (1 - y1, x0, 1 - y0, x1), "over": (1 - x1, 1 - y1, 1 - x0, 1 - y0),
        "mirrored": (1 - x1, y0, 1 - x0, y1), "flipped": (x0, 1 - y1, x1, 1 - y0),
    }  # fmt: skip
    return Box(*places[turn])


def _within(rows: tuple[Shown, ...], cut: object) -> tuple[Shown, ...]:
    """What lies for the most part in the box of numbers ``cut``, of which a picture was made; nothing is known where that is none."""
    try:
        x0, y0, x1, y1 = (float(value) for value in cut)  # type: ignore[attr-defined]
        part = Box(x0, y0, x1, y1)
    except (TypeError, ValueError, UnifiedError):
        return ()
    width, height = x1 - x0, y1 - y0
    left = [row for row in rows if row.box.overlap(part) >= COVERED * row.box.area]
    inner = [(max(row.box.x0, x0), max(row.box.y0, y0), min(row.box.x1, x1), min(row.box.y1, y1)) for row in left]
    return tuple(
        Shown(row.phrase, Box((a - x0) / width, (b - y0) / height, min((c - x0) / width, 1.0), min((d - y0) / height, 1.0)))
        for row, (a, b, c, d) in zip(left, inner, strict=True)
    )
