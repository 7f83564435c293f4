"""Regions that a visitor marks in pictures: what the page script sends becomes a RegionPart, and a chip above the composer.

What is painted is kept as it was painted, strokes that touch as one region. A click means the smallest thing around it that an answer
pointed at or that the model sees. Nothing is sent to a model here.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from unified_demo.errors import GrammarError, UnifiedError
from unified_demo.grammar import DATA_KINDS, Box, MediaKind
from unified_demo.media import box_from_pixels
from unified_demo.messages import LARGEST_BRUSH, MOST_STROKE_POINTS, MOST_STROKES, Artefact, RegionPart, Stroke
from unified_demo.strokes import box_around, thinned, touching
from unified_demo.ui.facts import kind_words
from unified_demo.ui.frames import EMPTY, crop_html, frame_html, join
from unified_demo.ui.visit import Visit
from unified_demo.ui.words import say

MOST_MARKS = 6
LEAST_SIDE = 0.01
"""Share of the picture; a thinner box was a slip of the hand."""
AROUND_CLICK = 0.08
"""Half the side of the box around a click that meets nothing known, as a share of the picture's shorter side."""


def read_mark(data: Mapping[str, Any], artefacts: Mapping[str, Artefact], marks: Sequence[RegionPart]) -> RegionPart:
    """A mark from ``{"artefact": id, "box": [x0, y0, x1, y1]}`` in 0..1, or without box for the whole artefact.

    Raises UnifiedError: unknown artefact, no region, too many marks.
    """
    artefact = marked_artefact(data, artefacts)
    if len(marks) >= MOST_MARKS:
        raise UnifiedError(say("At most {n} marks go into one message; remove one first.", n=MOST_MARKS))
    if data.get("box") is None:
        return RegionPart("", artefact_id=artefact.id)
    if artefact.kind != MediaKind.IMAGE:
        raise UnifiedError(say("Regions can be marked only in pictures."))
    x0, y0, x1, y1 = _numbers(data["box"], 4)
    if min(abs(x1 - x0), abs(y1 - y0)) < LEAST_SIDE:
        raise UnifiedError(say("That region is too small; drag a box around what you mean."))
    try:
        return RegionPart("", (box_from_pixels(x0, y0, x1, y1, 1, 1),), artefact_id=artefact.id)
    except GrammarError as exc:
        raise UnifiedError(say("That region lies outside of the picture; please mark it again.")) from exc


def add_mark(visit: Visit, data: Mapping[str, Any], proposals: Callable[[Artefact], Iterable[Box]]) -> None:
    """Put what the page script sent, a box, a stroke, a click or a whole artefact, into the next message. Raises UnifiedError."""
    if data.get("point") is not None:
        artefact = marked_artefact(data, visit.markable())
        known = [
            box for view in visit.answers for thing in view.objects.values() if thing.artefact_id == artefact.id for box in thing.boxes
        ]
        data = {**data, "box": list(box_at(data["point"], artefact, [*known, *proposals(artefact)]).as_tuple())}
    elif data.get("stroke") is not None:
        add_stroke(visit.marks, marked_artefact(data, visit.markable()), read_stroke(data["stroke"], data.get("radius")))
        return
    visit.marks.append(read_mark(data, visit.markable(), visit.marks))


def remove_mark(visit: Visit, index: object) -> None:
    if isinstance(index, int) and 0 <= index < len(visit.marks):
        del visit.marks[index]


def marked_artefact(data: Mapping[str, Any], artefacts: Mapping[str, Artefact]) -> Artefact:
    """Raises UnifiedError when the conversation has no such artefact."""
    artefact = artefacts.get(str(data.get("artefact")))
    if artefact is None:
        raise UnifiedError(say("That picture is no longer part of the conversation."))
    return artefact


def box_at(point: object, artefact: Artefact, boxes: Iterable[Box]) -> Box:
    """The smallest of ``boxes`` around ``point`` (x, y in 0..1), else a small square around it."""
    x, y = (min(max(value, 0.0), 1.0) for value in _numbers(point, 2))
    around = [box for box in boxes if box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1]
    if around:
        return min(around, key=lambda box: box.area)
    reach = AROUND_CLICK * min(artefact.width, artefact.height)
    across, down = reach / artefact.width, reach / artefact.height
    return box_from_pixels(x - across, y - down, x + across, y + down, 1, 1)


def read_stroke(points: object, radius: object) -> Stroke:
    """A stroke of the brush: its ``[x, y]`` points, clipped to the picture, and its radius, a share of the picture's shorter side."""
    if not isinstance(points, list) or not 1 <= len(points) <= MOST_STROKE_POINTS:
        raise UnifiedError(say("That region did not arrive; please mark it again."))
    (reach,) = _numbers([radius], 1)
    if not 0 < reach <= LARGEST_BRUSH:
        raise UnifiedError(say("That region did not arrive; please mark it again."))
    pairs = [_numbers(point, 2) for point in points]
    return Stroke(tuple((min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)) for x, y in pairs), reach)


def add_stroke(marks: list[RegionPart], artefact: Artefact, stroke: Stroke) -> None:
    """A stroke that touches what was painted last in the picture belongs to it; any other one is a mark of its own."""
    if artefact.kind != MediaKind.IMAGE:
        raise UnifiedError(say("Regions can be marked only in pictures."))
    size = artefact.width, artefact.height
    stroke = thinned(stroke, *size)
    for index in reversed(range(len(marks))):
        before = marks[index].strokes
        if before and marks[index].artefact_id == artefact.id and touching(before, (stroke,), *size):
            if len(before) >= MOST_STROKES:
                raise UnifiedError(say("At most {n} strokes make one region; remove it, or paint with a larger brush.", n=MOST_STROKES))
            strokes = (*before, stroke)
            marks[index] = replace(marks[index], boxes=(box_around(strokes, *size),), strokes=strokes)
            return
    if len(marks) >= MOST_MARKS:
        raise UnifiedError(say("At most {n} marks go into one message; remove one first.", n=MOST_MARKS))
    marks.append(RegionPart("", (box_around((stroke,), *size),), artefact_id=artefact.id, strokes=(stroke,)))


def _numbers(values: object, count: int) -> list[float]:
    if (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    ):
        return [float(value) for value in values]
    raise UnifiedError(say("That region did not arrive; please mark it again."))


def marks_html(
    marks: Sequence[RegionPart], artefacts: Mapping[str, Artefact], editing: bool = False, drafts: Sequence[Artefact] = ()
) -> Markup:
    """The chips of what goes into the next message, whether it takes the place of an earlier one, and ``drafts``: what the composer
    holds, each with a button that opens it in the viewer."""
    known = [(index, mark, artefacts[key]) for index, mark in enumerate(marks) if (key := mark.artefact_id or "") in artefacts]
    chips = join([_chip(index, mark, artefact) for index, mark, artefact in known])
    pictures = join([_draft(artefact) for artefact in drafts if artefact.kind == MediaKind.IMAGE or artefact.kind in DATA_KINDS])
    note = (
        Markup('<span class="um-editing">{}<button type="button" data-um="keep" aria-label="{}">×</button></span>').format(
            say("Editing an earlier message; what followed it goes"), say("Keep the conversation as it is")
        )
        if editing
        else EMPTY
    )
    return (
        Markup('<div class="um-chips" role="group" aria-label="{}">{}{}{}</div>').format(say("Next message"), note, pictures, chips)
        if chips or note or pictures
        else EMPTY
    )


def _draft(artefact: Artefact) -> Markup:
    """A picture, or data, that waits in the composer; its frame, hidden here, is what the viewer shows."""
    words = say("Mark a region") if artefact.kind == MediaKind.IMAGE else kind_words(artefact.kind)
    return Markup(
        '<span class="um-draft"><button type="button" data-um="draft">{crop}<b>{id}</b>{words}</button><span hidden>{frame}</span></span>'
    ).format(id=artefact.id, crop=crop_html(artefact), words=words, frame=frame_html(artefact, "attachment"))


def _chip(index: int, mark: RegionPart, artefact: Artefact) -> Markup:
    box = mark.boxes[0] if mark.boxes else None
    return Markup(
        '<span class="um-marked" data-artefact="{id}" data-box="{box}" data-letter="{letter}">{crop}<b>{letter}</b>{id}'
        '<button type="button" data-um="unmark" data-index="{index}" aria-label="{remove}">×</button></span>'
    ).format(
        id=artefact.id,
        box=",".join(f"{value:.5f}" for value in box.as_tuple()) if box else "",
        letter=chr(ord("A") + index) if box else "",
        crop=crop_html(artefact, box, mark.strokes),
        index=index,
        remove=say("Remove the mark in {id}", id=artefact.id),
    )
