"""New content in a region by GLIGEN inpainting: a crop round the box is painted, and pasted back inside the region alone.

The box moves with the crop. Which words are painted, and into which box, is decided in region_editing.py.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from unified_demo.experts.base import ExpertRequest, Progress
from unified_demo.experts.diffusion import Pipeline, StepCallback
from unified_demo.experts.patches import Mask, Pixels, paste_inside
from unified_demo.grammar import Box
from unified_demo.media import box_to_pixels

CONTEXT = 2.0
"""The crop's side relative to the longer side of the region: what the pipeline sees around it."""
FEATHER = 0.03
"""The seam's half width relative to the region's mean side."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Crop:
    """Pixels of the picture: left, top, right, bottom."""

    x0: int
    y0: int
    x1: int
    y1: int

    def box(self, region: "Crop") -> Corners:
        """``region`` relative to this crop, 0..1."""
        width, height = self.x1 - self.x0, self.y1 - self.y0
        return (
            (region.x0 - self.x0) / width,
            (region.y0 - self.y0) / height,
            (region.x1 - self.x0) / width,
            (region.y1 - self.y0) / height,
        )


def crop_round(region: Crop, width: int, height: int) -> Crop:
    """A square of ``CONTEXT`` times the region round it, moved and, where the picture is too small, cut to lie within it."""
    side = round(CONTEXT * max(region.x1 - region.x0, region.y1 - region.y0))
    across, down = min(side, width), min(side, height)
    x0 = min(max((region.x0 + region.x1 - across) // 2, 0), width - across)
    y0 = min(max((region.y0 + region.y1 - down) // 2, 0), height - down)
    return Crop(x0, y0, x0 + across, y0 + down)


class PipelinePainter:
    """What all that paint into boxes share. One call at a time. ``fills_box``: nothing of what was there before stays."""

    fills_box = True

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def recipe(self, request: ExpertRequest) -> dict[str, Any]:
        side = self._pipeline.source.side
        return self._pipeline.recipe(request, side, side)

    def check(self, phrase: str) -> None:
        """ExpertError for a phrase that cannot be drawn."""
        self._pipeline.check(phrase)


class Inpainter(PipelinePainter):
    """Paints ``phrase`` into a box of a picture."""

    def paint(self, request: ExpertRequest, picture: Pixels, box: Box, phrase: str) -> Generator[Progress, None, Pixels | None]:
        """One Progress per step, then the picture: uint8 H x W x 3, every pixel outside the box as before; None when cancelled."""
        height, width = picture.shape[:2]
        x0, y0, x1, y1 = box_to_pixels(box, width, height)
        region = Crop(int(x0), int(y0), int(np.ceil(x1)), int(np.ceil(y1)))
        crop = crop_round(region, width, height)
        side = self._pipeline.source.side
        seen = Image.fromarray(picture[crop.y0 : crop.y1, crop.x0 : crop.x1]).resize((side, side), Image.Resampling.LANCZOS)
        painted = yield from self._pipeline.run(request, lambda on_step: self._call(request, seen, crop.box(region), phrase, on_step))
        if painted is None:
            return None
        patch = picture.copy()
        full = painted.resize((crop.x1 - crop.x0, crop.y1 - crop.y0), Image.Resampling.LANCZOS)
        patch[crop.y0 : crop.y1, crop.x0 : crop.x1] = np.asarray(full)
        inside: Mask = np.zeros((height, width), bool)
        inside[region.y0 : region.y1, region.x0 : region.x1] = True
        feather = round(FEATHER * ((region.x1 - region.x0) * (region.y1 - region.y0)) ** 0.5)
        return paste_inside(picture, patch, inside, feather)

    def _call(self, request: ExpertRequest, seen: Image.Image, box: Corners, phrase: str, on_step: StepCallback) -> Any:
        from unified_demo.experts.gligen import GligenCall, draw

        pipeline = self._pipeline
        call = GligenCall(
            prompt=phrase,
            phrases=(phrase,),
            boxes=(box,),
            side=pipeline.source.side,
            steps=pipeline.steps(request),
            guidance=pipeline.guidance(request),
            generator=pipeline.generator(request),
            known=seen,
            **pipeline.source.options,
        )
        return draw(pipeline.pipe, call, on_step)
