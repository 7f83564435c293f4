"""The small generator's expert for words and for layouts: one thing on paper at once, everything else from layers.

Where the prompt has no layout, the boxes come from a rule (arrangement.py). How layers are drawn and laid is said in layers.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from unified_demo.errors import ExpertError
from unified_demo.experts.arrangement import MOST_THINGS, Arrangement, arrange
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.layers import LayerPainter, Placed
from unified_demo.experts.sizes import read_size
from unified_demo.grammar import Box, MediaKind
from unified_demo.remembered import DRAWN, written

MOST_SIDE = 1024
"""Of a picture, pixels: a thing is drawn in 256, and four times that shows nothing new."""


class LayeredExpert:
    """For both tasks; an instance of its own for each."""

    def __init__(self, painter: LayerPainter) -> None:
        self._painter = painter

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a square picture, twice as large where several things share it, or of the size that is asked for.

        ExpertError without words, for a thing that cannot be drawn, for too many things and for a size beyond MOST_SIDE.
        """
        words, wished = read_size(request.prompt)
        if not words.strip() and not request.regions:
            raise ExpertError("Image generation got no words; please say what shall be in the picture.")
        things, ground, told = self._layout(request, words) if request.regions else self._plain(words)
        pipeline = self._painter.pipeline
        side = pipeline.source.side * (2 if len(things) > 1 else 1)
        size = wished.drawn(side, MOST_SIDE) if wished else (side, side)
        composed = yield from self._painter.compose(request, things, ground, size)
        if composed is not None:
            picture, placed = composed
            recipe = {**pipeline.recipe(request, *size), **told, **_written(placed, ground)}
            yield Output(MediaKind.IMAGE, picture, label=request.prompt, recipe=recipe)

    def _plain(self, prompt: str) -> tuple[list[Placed], str, dict[str, Any]]:
        told = self._painter.pipeline.check(prompt)
        found = arrange(prompt, self._painter.words)
        things = [Placed(*thing) for thing in zip(found.phrases, found.boxes(), found.touches(), strict=True)]
        return things, found.ground, _told(_unheeded(told, found), found)

    def _layout(self, request: ExpertRequest, prompt: str) -> tuple[list[Placed], str, dict[str, Any]]:
        """A phrase that names several things shares its box among them, and has one in each of its boxes where it has several."""
        count = sum(len(region.boxes) for region in request.regions)
        if not 1 <= count <= MOST_THINGS:
            raise ExpertError(f"Layout generation got {count} boxes; 1 to {MOST_THINGS} phrases with a box are allowed.")
        phrases = [region.phrase for region in request.regions]
        told = self._painter.pipeline.check(*phrases)
        whole, *found = (arrange(words, self._painter.words) for words in (prompt, *phrases))
        things: list[Placed] = []
        for region, one in zip(request.regions, found, strict=True):
            things += shared(region.boxes, one, len(things))
        return things, next((one.ground for one in (whole, *found) if one.ground), ""), _told(told, *found)


def shared(boxes: Sequence[Box], found: Arrangement, before: int = 0) -> list[Placed]:
    """The things of one phrase in its boxes: of "three cups" in three boxes one in each. ``before``: how many things come first."""
    if len(boxes) > 1 and len(found.groups) == 1:
        return [Placed(found.groups[0].phrase, box) for box in boxes]
    things: list[Placed] = []
    for box in boxes:
        things += within(box, found, before + len(things))
    return things


def within(box: Box, found: Arrangement, before: int = 0) -> list[Placed]:
    """The things of an arrangement in a box; one alone fills it."""
    if [group.count for group in found.groups] == [1]:
        return [Placed(found.groups[0].phrase, box)]
    wide, high = box.x1 - box.x0, box.y1 - box.y0
    return [
        Placed(
            phrase,
            Box(box.x0 + cell.x0 * wide, box.y0 + cell.y0 * high, box.x0 + cell.x1 * wide, box.y0 + cell.y1 * high),
            touch and replace(touch, other=touch.other + before),
        )
        for phrase, cell, touch in zip(found.phrases, found.boxes(), found.touches(), strict=True)
    ]


def _unheeded(told: dict[str, Any], found: Arrangement) -> dict[str, Any]:
    """What was left out, without the words that the arrangement follows."""
    pieces = [" ".join(word for word in piece.split() if word not in found.heeded) for piece in told.get("left_out", ())]
    return {"left_out": [piece for piece in pieces if piece]}


def _told(told: dict[str, Any], *found: Arrangement) -> dict[str, Any]:
    """What was left out, with the colours that nothing can be painted in."""
    left_out = [*told.get("left_out", ()), *(word for one in found for word in one.left_out)]
    return {"left_out": left_out} if left_out else {}


def _written(things: list[Placed], ground: str) -> dict[str, Any]:
    """For the recipe."""
    return {DRAWN: written((thing.phrase, thing.box) for thing in things), **({"ground": ground} if ground else {})}
