"""The region editing expert: remove a thing, give it another colour, replace it or add one; the rest stays bit by bit.

The mask is the segmentation expert's outline of the box, grown a little for a removal (MI-GAN fills it). New content is painted
by an inpainting pipeline where the profile has one. Which thing is meant is the language model's business.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.experts.patches import Mask, Pixels, grow, paste_inside
from unified_demo.experts.recolouring import recolour
from unified_demo.experts.region_wishes import Wish, read_wish
from unified_demo.experts.removal import Remover
from unified_demo.experts.segmentation import ROLE as SEGMENTER
from unified_demo.experts.segmentation import SegmentationExpert, load_mobile_sam
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import box_to_pixels, load_image
from unified_demo.messages import Artefact
from unified_demo.zoo import Zoo

ROLE = "inpainter"
GROWTH = 0.07
"""A removal's hole is the outline, grown by this share of the box's mean side: shadows at the edge and hair go with it."""
LEAST_GROWTH = 3
"""Pixels."""
NO_CONTENT = (
    "New content cannot be painted into a photo here, for no generator is installed; removing a thing and giving it another colour work."
)


class RegionEditingExpert:
    """One picture per call. ``outliner`` may be shared with the segmentation task."""

    def __init__(self, outliner: SegmentationExpert, remover: Remover) -> None:
        self._outliner = outliner
        self._remover = remover

    def prepare(self, inputs: Sequence[Artefact]) -> None:
        """Look at the first picture early, while its box is still being written."""
        self._outliner.prepare(inputs)

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress for the look at the picture and one for each box, then the picture. ExpertError for a wish nobody can fulfil."""
        boxes = [box for region in request.regions for box in region.boxes]
        if not request.inputs or request.inputs[0].kind != MediaKind.IMAGE or not boxes:
            raise ExpertError("Region editing got no picture or no box; one picture and at least one box are needed.")
        wish = read_wish(request.prompt)
        if wish.operation in ("replace", "add"):
            raise ExpertError(NO_CONTENT)
        artefact, steps = request.inputs[0], len(boxes) + 1
        yield Progress(0, steps, "looking at the picture")
        self.prepare(request.inputs)
        yield Progress(1, steps, "outlining")
        pixels: Pixels = np.array(load_image(artefact))
        for step, box in enumerate(boxes, start=2):
            if request.cancel.is_set():
                return
            pixels = self._change(pixels, self._outline(artefact, box), box, wish)
            yield Progress(step, steps, wish.operation, Image.fromarray(pixels))
        yield Output(MediaKind.IMAGE, Image.fromarray(pixels), of=artefact.id, label=request.prompt, recipe=_recipe(wish))

    def _outline(self, artefact: Artefact, box: Box) -> Mask:
        """The thing in the box, or the box itself where nothing stands out in it; bool H x W."""
        mask: Mask = self._outliner.outline(artefact, box)
        if not mask.any():
            x0, y0, x1, y1 = box_to_pixels(box, artefact.width, artefact.height)
            mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        return mask

    def _change(self, pixels: Pixels, mask: Mask, box: Box, wish: Wish) -> Pixels:
        if wish.operation == "recolour":
            return paste_inside(pixels, recolour(pixels, mask, wish.new), mask, feather=1)
        height, width = mask.shape
        growth = max(LEAST_GROWTH, round(GROWTH * (box.area * width * height) ** 0.5))
        hole = grow(mask, growth)
        return paste_inside(pixels, self._remover.fill(pixels, hole), hole, feather=growth // 2)


def _recipe(wish: Wish) -> dict[str, Any]:
    method = "MI-GAN" if wish.operation == "remove" else "photographic filter"
    return {"operation": wish.operation, "method": method, **({"new": wish.new} if wish.new else {})}


def load_region_editing(zoo: Zoo) -> RegionEditingExpert:
    """Fetch the weights if need be; the segmenter is the one that the segmentation task uses."""
    return RegionEditingExpert(load_mobile_sam(zoo), Remover(zoo.path(ROLE)))


def build_specs(zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """The experts of this file; nothing is loaded or fetched here."""
    return (
        ExpertSpec(
            task=Task.REASONING_EDITING.value,
            name="MI-GAN",
            description="removes or recolours the thing in a box and leaves the rest of the picture as it is",
            needs=(MediaKind.IMAGE,),
            gives=MediaKind.IMAGE,
            licence=zoo.file(ROLE).licence,
            weights=(ROLE, SEGMENTER),
            memory_bytes=700 * 2**20,
            load=partial(load_region_editing, zoo),
        ),
    )
