"""The small generator's expert for words and for layouts: one thing on paper at once, everything else from layers.

Where the prompt has no layout, the boxes come from a rule (arrangement.py). How layers are drawn and laid is said in layers.py.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from unified_demo.errors import ExpertError
from unified_demo.experts.arrangement import MOST_THINGS, Arrangement, arrange
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.layers import LayerPainter, Placed
from unified_demo.grammar import Box, MediaKind


class LayeredExpert:
    """For both tasks; an instance of its own for each."""

    def __init__(self, painter: LayerPainter) -> None:
        self._painter = painter

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a square picture, twice as large where several things share it.

        ExpertError without words, for a thing that cannot be drawn, and for too many things.
        """
        if not request.prompt.strip() and not request.regions:
            raise ExpertError("Image generation got no words; please say what shall be in the picture.")
        things, ground, told = self._layout(request) if request.regions else self._plain(request)
        pipeline = self._painter.pipeline
        side = pipeline.source.side * (2 if len(things) > 1 else 1)
        picture = yield from self._painter.compose(request, things, ground, side)
        if picture is not None:
            recipe = {**pipeline.recipe(request, side, side), **told, **_written(things, ground)}
            yield Output(MediaKind.IMAGE, picture, label=request.prompt, recipe=recipe)

    def _plain(self, request: ExpertRequest) -> tuple[list[Placed], str, dict[str, Any]]:
        told = self._painter.pipeline.check(request.prompt)
        found = arrange(request.prompt, self._painter.words)
        things = [Placed(phrase, box) for box, phrase in zip(found.boxes(), found.phrases, strict=True)]
        return things, found.ground, _told(told, found)

    def _layout(self, request: ExpertRequest) -> tuple[list[Placed], str, dict[str, Any]]:
        """A phrase that names several things shares its box among them, and has one in each of its boxes where it has several."""
        count = sum(len(region.boxes) for region in request.regions)
        if not 1 <= count <= MOST_THINGS:
            raise ExpertError(f"Layout generation got {count} boxes; 1 to {MOST_THINGS} phrases with a box are allowed.")
        phrases = [region.phrase for region in request.regions]
        told = self._painter.pipeline.check(*phrases)
        whole, *found = (arrange(words, self._painter.words) for words in (request.prompt, *phrases))
        things = [thing for region, one in zip(request.regions, found, strict=True) for thing in shared(region.boxes, one)]
        return things, next((one.ground for one in (whole, *found) if one.ground), ""), _told(told, *found)


def shared(boxes: Sequence[Box], found: Arrangement) -> list[Placed]:
    """The things of one phrase in its boxes: of "three cups" in three boxes one in each."""
    if len(boxes) > 1 and len(found.groups) == 1:
        return [Placed(found.groups[0].phrase, box) for box in boxes]
    return [thing for box in boxes for thing in within(box, found)]


def within(box: Box, found: Arrangement) -> list[Placed]:
    """The things of an arrangement in a box; one alone fills it."""
    if [group.count for group in found.groups] == [1]:
        return [Placed(found.groups[0].phrase, box)]
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    return [
        Placed(phrase, Box(box.x0 + cell.x0 * wide, box.y0 + cell.y0 * high, box.x0 + cell.x1 * wide, box.y0 + cell.y1 * high))
        for cell, phrase in zip(found.boxes(), found.phrases, strict=True)
    ]


def _told(told: dict[str, Any], *found: Arrangement) -> dict[str, Any]:
    """What was left out, with the colours that nothing can be painted in."""
    left_out = [*told.get("left_out", ()), *(word for one in found for word in one.left_out)]
    return {"left_out": left_out} if left_out else {}


def _written(things: list[Placed], ground: str) -> dict[str, Any]:
    """For the recipe."""
    layout = [{"phrase": thing.phrase, "box": [round(number, 4) for number in thing.box.as_tuple()]} for thing in things]
    return {"layout": layout, **({"ground": ground} if ground else {})}
