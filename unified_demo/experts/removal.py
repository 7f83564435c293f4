"""MI-GAN: a picture and a hole in, the picture with the hole filled from its surroundings out.

Source: MI-GAN (Sargsyan et al., ICCV 2023), the authors' ONNX pipeline v2: it crops round the hole, fills at 512 pixels
and scales back, for any picture size. Which pixels are the hole is decided elsewhere; nothing is pasted here.
"""

from pathlib import Path

import numpy as np

from unified_demo.experts.patches import Mask, Pixels


class Remover:
    """From the ONNX file; thread-safe."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def fill(self, picture: Pixels, hole: Mask) -> Pixels:
        """uint8 H x W x 3 with other content in the hole (bool H x W, not empty); beside the hole it may differ slightly as well."""
        feeds = {"image": picture.transpose(2, 0, 1)[None], "mask": np.where(hole, 0, 255).astype(np.uint8)[None, None]}
        (filled,) = self._session.run(None, feeds)
        return filled[0].transpose(1, 2, 0)
