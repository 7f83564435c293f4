"""New content in a picture by transparent layers: a thing of the small generator laid into a box, all that it does not cover untouched.

It looks drawn, also in a photo. What is replaced must be removed before; that, and which box, is decided in region_editing.py.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
from PIL import Image

from unified_demo.experts.arrangement import arrange
from unified_demo.experts.base import ExpertRequest, Progress
from unified_demo.experts.layered import within
from unified_demo.experts.layers import LayerPainter
from unified_demo.experts.patches import Pixels
from unified_demo.grammar import Box


class Adder:
    """In the place of ``inpainting.Inpainter``."""

    fills_box = False

    def __init__(self, painter: LayerPainter) -> None:
        self._painter = painter

    def recipe(self, request: ExpertRequest) -> dict[str, Any]:
        side = self._painter.pipeline.source.side
        return self._painter.pipeline.recipe(request, side, side)

    def check(self, phrase: str) -> None:
        """ExpertError for a phrase that cannot be drawn."""
        self._painter.pipeline.check(phrase)

    def paint(self, request: ExpertRequest, picture: Pixels, box: Box, phrase: str) -> Generator[Progress, None, Pixels | None]:
        """One Progress per step, then the picture: uint8 H x W x 3, every pixel outside the box as before; None when cancelled."""
        things = within(box, arrange(phrase, self._painter.words))
        painted = yield from self._painter.add(request, things, Image.fromarray(picture))
        return None if painted is None else np.asarray(painted)
