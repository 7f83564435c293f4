"""Style networks: a photo in, the photo painted in another style out, by two small networks in three files.

Sources: 26 styles by conditional instance normalisation (Dumoulin et al., arXiv 1610.07629, the TensorFlow demo's network) and
any picture as a style (Ghiasi et al., arXiv 1705.06830, Magenta). Which style words mean is decided in restyling.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

STYLES = 26
MOST_PIXELS = 768
"""Longer side the 26-style network works on; brush strokes keep their size relative to the picture."""
LEAST_PIXELS = 32
_EXAMPLE_SIDE, _LIKENESS_SIDE = 256, 384
"""Sides that Magenta's two networks are fixed to."""
_STEP = 4

Floats = npt.NDArray[np.float32]


class StyleNets:
    """Loaded from ``multi`` (26 styles), ``predict`` and ``transform`` (any style), ONNX files. Thread-safe."""

    def __init__(self, multi: Path, predict: Path, transform: Path) -> None:
        self._multi, self._predict, self._transform = (_session(path) for path in (multi, predict, transform))

    def paint(self, picture: Image.Image, style: int) -> Image.Image:
        """RGB of the same size in style 0..25."""
        scale = min(1.0, MOST_PIXELS / max(picture.size))
        width, height = (max(LEAST_PIXELS, round(length * scale)) for length in picture.size)
        pixels = _floats(picture.resize((width, height), Image.Resampling.LANCZOS))
        padded = np.pad(pixels, ((0, -height % _STEP), (0, -width % _STEP), (0, 0)), mode="edge")
        weights = np.eye(STYLES, dtype=np.float32)[style]
        (painted,) = self._multi.run(None, {"image": padded.transpose(2, 0, 1)[None], "style_weights": weights})
        return _image(painted[0].transpose(1, 2, 0)[:height, :width], picture.size)

    def paint_like(self, picture: Image.Image, example: Image.Image) -> Image.Image:
        """RGB of the same size in the style of ``example``, whose middle square counts."""
        side = min(example.size)
        left, top = (example.width - side) // 2, (example.height - side) // 2
        square = example.crop((left, top, left + side, top + side)).resize((_EXAMPLE_SIDE, _EXAMPLE_SIDE), Image.Resampling.LANCZOS)
        (style,) = self._predict.run(None, {self._predict.get_inputs()[0].name: _floats(square)[None]})
        small = picture.resize((_LIKENESS_SIDE, _LIKENESS_SIDE), Image.Resampling.LANCZOS)
        content, wanted = (entry.name for entry in self._transform.get_inputs())
        (painted,) = self._transform.run(None, {content: _floats(small)[None], wanted: style})
        return _image(painted[0], picture.size)


def _session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _floats(image: Image.Image) -> Floats:
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)


def _image(pixels: Floats, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
