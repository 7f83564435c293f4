"""Region edits by a model that follows instructions: a Flux2KleinInpaintPipeline (FLUX.2 klein) changes what the mask covers.

As region editing elsewhere: MI-GAN removes, a filter recolours, the rest of the picture stays bit by bit. What is replaced or added is
painted by the model, which sees the crop it paints into, and any other wish ("make it look rusty") goes to it in the user's words.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertRequest, Progress
from unified_demo.experts.diffusion import StepCallback, step_end
from unified_demo.experts.inpainting import FEATHER, Crop, PipelinePainter, crop_round
from unified_demo.experts.patches import Mask, Pixels, grow, paste_inside
from unified_demo.experts.reference_editing import token_size
from unified_demo.experts.region_editing import RegionEditingExpert, growth_of
from unified_demo.experts.region_wishes import Wish, read_wish
from unified_demo.experts.removal import Remover
from unified_demo.experts.segmentation import SegmentationExpert
from unified_demo.grammar import Box
from unified_demo.media import box_to_pixels, mask_to_box
from unified_demo.messages import Artefact


class MaskedEditor(PipelinePainter):
    """Paints an instruction into a hole of a picture."""

    def paint(self, request: ExpertRequest, picture: Pixels, box: Box, phrase: str) -> Generator[Progress, None, Pixels | None]:
        """As ``edit``, in the whole box."""
        return (yield from self.edit(request, picture, _filled(box, picture), phrase))

    def edit(self, request: ExpertRequest, picture: Pixels, hole: Mask, words: str) -> Generator[Progress, None, Pixels | None]:
        """``hole``: bool H x W, not empty. One Progress per step, then the picture: uint8 H x W x 3, every pixel outside the hole as
        before; None when cancelled."""
        height, width = hole.shape
        around = mask_to_box(hole)
        assert around is not None
        x0, y0, x1, y1 = box_to_pixels(around, width, height)
        crop = crop_round(Crop(int(x0), int(y0), int(np.ceil(x1)), int(np.ceil(y1))), width, height)
        size = token_size((crop.x1 - crop.x0, crop.y1 - crop.y0), self._pipeline.source.side)
        part = slice(crop.y0, crop.y1), slice(crop.x0, crop.x1)
        seen = Image.fromarray(picture[part]).resize(size, Image.Resampling.LANCZOS)
        mask = Image.fromarray(hole[part]).convert("L").resize(size, Image.Resampling.NEAREST)
        painted = yield from self._pipeline.run(request, lambda on_step: self._call(request, seen, mask, words, on_step))
        if painted is None:
            return None
        patch = picture.copy()
        patch[part] = np.asarray(painted.resize((crop.x1 - crop.x0, crop.y1 - crop.y0), Image.Resampling.LANCZOS))
        return paste_inside(picture, patch, hole, round(FEATHER * float(hole.sum()) ** 0.5))

    def _call(self, request: ExpertRequest, seen: Image.Image, mask: Image.Image, words: str, on_step: StepCallback) -> Any:
        pipeline = self._pipeline
        return pipeline.pipe(
            prompt=words,
            image=seen,
            mask_image=mask,
            strength=1.0,
            num_inference_steps=pipeline.steps(request),
            guidance_scale=pipeline.guidance(request),
            generator=pipeline.generator(request),
            callback_on_step_end=step_end(on_step),
            **pipeline.source.options,
        )


class InstructedRegionExpert(RegionEditingExpert):
    """One picture per call; a wish of a kind that is not known goes to the model as it is."""

    def __init__(self, outliner: SegmentationExpert, remover: Remover, editor: MaskedEditor) -> None:
        super().__init__(outliner, remover, editor)
        self._editor = editor

    def _read(self, prompt: str) -> Wish:
        try:
            return read_wish(prompt)
        except ExpertError:
            return Wish("change")

    def _paint(
        self, request: ExpertRequest, pixels: Pixels, artefact: Artefact, box: Box, wish: Wish
    ) -> Generator[Progress, None, Pixels | None]:
        """Something new fills the box, and with it what is replaced; a change stays within the outline, and all within what was painted."""
        if wish.operation == "add":
            return (yield from self._editor.paint(request, pixels, box, request.prompt))
        outline = self._outline(request, box)
        hole = grow(outline, growth_of(outline, box))
        if wish.operation == "replace" and box not in request.strokes:
            hole |= _filled(box, pixels)
        return (yield from self._editor.edit(request, pixels, hole, request.prompt))


def _filled(box: Box, picture: Pixels) -> Mask:
    """Bool H x W: the box."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box_to_pixels(box, width, height)
    mask: Mask = np.zeros((height, width), bool)
    mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return mask
