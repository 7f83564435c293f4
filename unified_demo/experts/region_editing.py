"""The region editing expert: remove a thing, give it another colour or size, replace it or add one; the rest stays bit by bit. Or things
stay so, and what is behind them is blurred or cut off.

The mask is what the user painted, else the segmentation expert's outline of the box, grown a little for a removal; MI-GAN fills it, or the
ground where that is known (drawn_regions.py). New content comes from an inpainting pipeline or, in the tiny profile, from a layer. Which
thing is meant is the language model's business.
"""

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.adding import Adder
from unified_demo.experts.backdrops import Backdrop, change_backdrop
from unified_demo.experts.base import ExpertEvent, ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.experts.diffusion import PipelineSource
from unified_demo.experts.drawn_editing import METHOD
from unified_demo.experts.drawn_layers import Apart
from unified_demo.experts.drawn_regions import erased, layers_of, on_ground, whole_thing
from unified_demo.experts.patches import Mask, Pixels, grow, paste_inside
from unified_demo.experts.recolouring import recolour
from unified_demo.experts.region_wishes import Operation, Wish, read_wish
from unified_demo.experts.removal import Remover
from unified_demo.experts.resizing import FACTORS, resized
from unified_demo.experts.segmentation import ROLE as SEGMENTER
from unified_demo.experts.segmentation import SegmentationExpert, load_mobile_sam
from unified_demo.experts.small_generators import GENERATOR, PIPELINE, load_layer_painter, memory_bytes, source
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import box_to_pixels, load_image, mask_to_box
from unified_demo.messages import Artefact
from unified_demo.remembered import CUT
from unified_demo.strokes import painted_mask
from unified_demo.zoo import Zoo

ROLE = "inpainter"
GROWTH = 0.07
"""A removal's hole is the outline, grown by this share of the box's mean side: shadows at the edge and hair go with it."""
MARGIN = 0.06
"""What stays around things that a picture is cut to, of their width and height."""
LEAST_GROWTH = 3
"""Pixels."""
PAINTED = "painted by hand"
"""In the recipe, where no network outlined the thing."""
METHODS: dict[Operation, str] = {
    "remove": "MI-GAN",
    "recolour": "photographic filter",
    "resize": "MI-GAN, its cut-out scaled",
    "backdrop": "filter behind the outlines",
    "crop": "cut to the boxes",
}
"""How what needs no painter is done."""
NO_CONTENT = (
    "New content cannot be painted into a photo here, for no generator is installed; removing a thing and giving it another colour or "
    "size work."
)


class Painter(Protocol):
    """What puts new content into a box, one call at a time. ``fills_box``: nothing of what was there before stays."""

    fills_box: bool

    def recipe(self, request: ExpertRequest) -> dict[str, Any]: ...

    def check(self, phrase: str) -> None:
        """ExpertError for a phrase that cannot be drawn."""

    def paint(self, request: ExpertRequest, picture: Pixels, box: Box, phrase: str) -> Generator[Progress, None, Pixels | None]:
        """One Progress per step, then the picture: uint8 H x W x 3, every pixel outside the box as before; None when cancelled."""


class RegionEditingExpert:
    """One picture per call. ``outliner`` may be shared with the segmentation task; without ``inpainter`` no content is added."""

    def __init__(self, outliner: SegmentationExpert, remover: Remover, inpainter: Painter | None = None) -> None:
        self._outliner = outliner
        self._remover = remover
        self._inpainter = inpainter

    def prepare(self, inputs: Sequence[Artefact]) -> None:
        """Look at the first picture early, while its box is still being written."""
        self._outliner.prepare(inputs)

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """Progress for the look at the picture, for each box and for each step of painting, then the picture.

        ExpertError for a wish that is not understood or cannot be fulfilled.
        """
        boxes = [box for region in request.regions for box in region.boxes]
        if not request.inputs or request.inputs[0].kind != MediaKind.IMAGE or not boxes:
            raise ExpertError("Region editing got no picture or no box; one picture and at least one box are needed.")
        wish = self._read(request.prompt)
        paints = wish.operation not in METHODS
        if paints:
            if self._inpainter is None:
                raise ExpertError(NO_CONTENT)
            self._inpainter.check(wish.new)
        artefact, steps = request.inputs[0], len(boxes) + 1
        yield Progress(0, steps, "looking at the picture")
        if wish.operation != "crop" and any(box not in request.strokes for box in boxes):
            self.prepare(request.inputs)
        yield Progress(1, steps, "outlining")
        pixels: Pixels = np.array(load_image(artefact))
        if wish.operation == "crop":
            yield self._cut(request, pixels, wish)
            return
        if wish.operation == "backdrop":
            yield from self._change_backdrop(request, pixels, wish)
            return
        apart = layers_of(artefact, Image.fromarray(pixels)) if wish.operation != "recolour" else None
        for step, box in enumerate(boxes, start=2):
            if request.cancel.is_set():
                return
            if paints:
                painted = yield from self._paint(request, pixels, artefact, box, wish)
                if painted is None:
                    return
                pixels = painted
                continue
            mask = self._outline(request, box, apart)
            if apart is not None and not (box not in request.strokes and on_ground(apart, mask)):
                apart = None
            pixels = self._change(pixels, mask, box, wish, apart)
            yield Progress(step, steps, wish.operation, Image.fromarray(pixels))
        yield Output(
            MediaKind.IMAGE, Image.fromarray(pixels), of=artefact.id, label=request.prompt, recipe=self._recipe(wish, request, apart)
        )

    def _cut(self, request: ExpertRequest, pixels: Pixels, wish: Wish) -> Output:
        artefact, cut = request.inputs[0], around([box for region in request.regions for box in region.boxes])
        x0, y0, x1, y1 = (round(value) for value in box_to_pixels(cut, artefact.width, artefact.height))
        part = Image.fromarray(pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])
        recipe = self._recipe(wish, request) | {CUT: [round(value, 4) for value in cut.as_tuple()]}
        return Output(MediaKind.IMAGE, part, of=artefact.id, label=request.prompt, recipe=recipe)

    def _change_backdrop(self, request: ExpertRequest, pixels: Pixels, wish: Wish) -> Iterator[ExpertEvent]:
        boxes = [box for region in request.regions for box in region.boxes]
        things = np.zeros(pixels.shape[:2], bool)
        for step, box in enumerate(boxes, start=2):
            if request.cancel.is_set():
                return
            things |= self._outline(request, box)
            yield Progress(step, len(boxes) + 1, "outlining")
        changed = Image.fromarray(change_backdrop(pixels, things, cast(Backdrop, wish.new)))
        yield Output(MediaKind.IMAGE, changed, of=request.inputs[0].id, label=request.prompt, recipe=self._recipe(wish, request))

    def _read(self, prompt: str) -> Wish:
        """ExpertError for a wish that is not understood."""
        return read_wish(prompt)

    def _outline(self, request: ExpertRequest, box: Box, apart: Apart | None = None) -> Mask:
        """What was painted there, else the thing in the box, whole where the picture is drawn, or the box itself where nothing stands out
        in it; bool H x W."""
        artefact = request.inputs[0]
        if box in request.strokes:
            return painted_mask(request.strokes[box], artefact.width, artefact.height)
        mask: Mask = self._outliner.outline(artefact, box)
        if apart is not None:
            mask = whole_thing(apart, mask, box)
        if not mask.any():
            x0, y0, x1, y1 = box_to_pixels(box, artefact.width, artefact.height)
            mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        return mask

    def _change(self, pixels: Pixels, mask: Mask, box: Box, wish: Wish, apart: Apart | None = None) -> Pixels:
        """``apart``: the layers of a drawing whose thing has ground all round, else None."""
        if wish.operation == "recolour":
            return paste_inside(pixels, recolour(pixels, mask, wish.new), mask, feather=1)
        if apart is not None:
            without = erased(pixels, apart, mask)
        else:
            growth = growth_of(mask, box)
            hole = grow(mask, growth)
            without = paste_inside(pixels, self._remover.fill(pixels, hole), hole, feather=growth // 2)
        return resized(pixels, without, mask, FACTORS[wish.new]) if wish.operation == "resize" else without

    def _paint(
        self, request: ExpertRequest, pixels: Pixels, artefact: Artefact, box: Box, wish: Wish
    ) -> Generator[Progress, None, Pixels | None]:
        """New content in the box; what is replaced goes wholly, also where it sticks out of the box."""
        assert self._inpainter is not None
        if wish.operation == "replace":
            apart = layers_of(artefact, load_image(artefact)) if box not in request.strokes else None
            mask = self._outline(request, box, apart)
            if not self._inpainter.fills_box:
                pixels = self._change(pixels, mask, box, Wish("remove"), apart if apart and on_ground(apart, mask) else None)
                return (yield from self._inpainter.paint(request, pixels, box, wish.new))
            old = mask_to_box(grow(mask, growth_of(mask, box)))
            assert old is not None
            box = Box(min(box.x0, old.x0), min(box.y0, old.y0), max(box.x1, old.x1), max(box.y1, old.y1))
        return (yield from self._inpainter.paint(request, pixels, box, wish.new))

    def _recipe(self, wish: Wish, request: ExpertRequest, apart: Apart | None = None) -> dict[str, Any]:
        known: dict[str, Any] = {"operation": wish.operation, **({"new": wish.new} if wish.new else {})}
        known |= {"factor": FACTORS[wish.new]} if wish.operation == "resize" else {}
        known |= {"mask": PAINTED} if request.strokes else {}
        if wish.operation in METHODS:
            return known | {"method": METHOD if apart else METHODS[wish.operation]}
        assert self._inpainter is not None
        return known | self._inpainter.recipe(request)


def around(boxes: Sequence[Box]) -> Box:
    """All of them with MARGIN on each side, within the picture."""
    x0, y0 = (min(getattr(box, side) for box in boxes) for side in ("x0", "y0"))
    x1, y1 = (max(getattr(box, side) for box in boxes) for side in ("x1", "y1"))
    wide, high = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    return Box(max(0.0, x0 - wide), max(0.0, y0 - high), min(1.0, x1 + wide), min(1.0, y1 + high))


def growth_of(mask: Mask, box: Box) -> int:
    """By how many pixels the outline of the thing in ``box`` is grown."""
    height, width = mask.shape
    return max(LEAST_GROWTH, round(GROWTH * (box.area * width * height) ** 0.5))


def load_region_editing(zoo: Zoo, painter: PipelineSource | None = None) -> RegionEditingExpert:
    """Fetch the weights if need be; the segmenter is the one that the segmentation task uses. ``painter``: what adds content."""
    adder = Adder(load_layer_painter(painter)) if painter else None
    return RegionEditingExpert(load_mobile_sam(zoo), Remover(zoo.path(ROLE)), adder)


def build_specs(zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """The experts of this file; nothing is loaded or fetched here. New content is painted where the generator is there."""
    painter = source(zoo, GENERATOR, PIPELINE)
    painted = (f"tiny/{GENERATOR}",) if painter else ()
    return (
        ExpertSpec(
            task=Task.REASONING_EDITING.value,
            name="MI-GAN",
            description="removes, recolours, resizes or replaces one thing" if painter else "removes, recolours or resizes one thing",
            needs=(MediaKind.IMAGE,),
            gives=MediaKind.IMAGE,
            licence=zoo.file(ROLE).licence,
            weights=(ROLE, SEGMENTER, *painted),
            memory_bytes=700 * 2**20 + (memory_bytes(zoo, GENERATOR) if painter else 0),
            load=partial(load_region_editing, zoo, painter),
            options=("steps", "guidance") if painter else (),
        ),
    )
