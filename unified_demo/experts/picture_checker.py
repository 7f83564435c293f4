"""The safety checker that comes with Stable Diffusion 1.5, as a picture filter for the results of every expert, in any profile.

It compares a picture with 17 hidden notions, most of them sexual, and does not see violence or hatred at all (Rando et al., arXiv
2210.04610); it also keeps harmless pictures back. How often was not measured here. It is fetched and loaded at its first use.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unified_demo.errors import ModelLoadError

NAME = "stable-diffusion"
"""What ``--picture-filter`` calls it."""
MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
FILES = ("safety_checker/*.json", "safety_checker/*.safetensors", "feature_extractor/*.json")


class PictureChecker:
    """A picture filter: ``check(picture)`` gives a reason to keep it back, or None. ``find`` gives the folder of Stable Diffusion."""

    def __init__(self, find: Callable[[], Path], device: str) -> None:
        self._find, self._device = find, device
        self._parts: tuple[Any, Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, picture: Any) -> str | None:
        """Raises ModelLoadError when the checker cannot be had: nothing passes unseen."""
        import torch

        network, processor = self._loaded()
        pixels = processor(picture, return_tensors="pt")["pixel_values"].to(self._device)
        with torch.inference_mode():
            _, found = network.forward_onnx(pixels, torch.zeros(1, 1, device=self._device))
        return "the picture filter took it for sexual" if bool(found[0]) else None

    def _loaded(self) -> tuple[Any, Any]:
        with self._lock:
            if self._parts is None:
                self._parts = _load(self._find(), self._device)
            return self._parts


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessorPil

    try:
        network, told = StableDiffusionSafetyChecker.from_pretrained(folder, subfolder="safety_checker", output_loading_info=True)
        processor = CLIPImageProcessorPil.from_pretrained(folder, subfolder="feature_extractor")
    except (OSError, ValueError, RuntimeError) as exc:
        raise ModelLoadError(f"The picture filter in {folder} cannot be loaded ({exc}); fetch it again.") from exc
    if told["missing_keys"]:
        raise ModelLoadError(f"The picture filter in {folder} lacks weights ({sorted(told['missing_keys'])[0]}); fetch it again.")
    return network.to(device).eval(), processor
