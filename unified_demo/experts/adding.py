"""New content in a picture by transparent layers: a thing of the small generator laid into a box, all that it does not cover untouched.

It looks drawn, also in a photo. What is replaced must be removed before; that, and which box, is decided in region_editing.py.
"""

from collections.abc import Generator

import numpy as np
from PIL import Image

from unified_demo.experts.arrangement import arrange
from unified_demo.experts.base import ExpertRequest, Progress
from unified_demo.experts.inpainting import PipelinePainter
from unified_demo.experts.layered import within
from unified_demo.experts.layers import LayerPainter
from unified_demo.experts.patches import Pixels
from unified_demo.grammar import Box


class Adder(PipelinePainter):
    """In the place of ``inpainting.Inpainter``."""

    fills_box = False

    def __init__(self, painter: LayerPainter) -> None:
        super().__init__(painter.pipeline)
        self._painter = painter

    def paint(self, request: ExpertRequest, picture: Pixels, box: Box, phrase: str) -> Generator[Progress, None, Pixels | None]:
        """One Progress per step, then the picture: uint8 H x W x 3, every pixel outside the box as before; None when cancelled."""
        things = within(box, arrange(phrase, self._painter.words))
        painted = yield from self._painter.add(request, things, Image.fromarray(picture))
        return None if painted is None else np.asarray(painted)
