"""Diffusion pipelines of the diffusers library as experts run them: loading, one event per step, previews, cancelling.

``PipelineSource`` names a local folder or a hub repository, so both profiles use the same experts. What a pipeline is
asked to draw is the business of generation, layout, editing and inpainting. Nothing heavy is imported before a load.
"""

import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from unified_demo.compiling import Compiled
from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import ExpertRequest, Progress
from unified_demo.experts.vocabulary import read_vocabulary

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

MOST_STEPS = 100
PREVIEW_EVERY = 2
"""A preview costs a decode, so every second step has one; the last has the picture itself."""
SMALL_DECODER = 10_000_000
"""An autoencoder whose decoder has no more parameters shows its own previews."""
_POLL_S = 0.02
_LATENT_TO_RGB = ((0.30, 0.21, 0.21), (0.19, 0.29, 0.17), (-0.16, 0.19, 0.26), (-0.18, -0.27, -0.47))
"""Rough colours of Stable Diffusion's four latent channels, for previews without a tiny autoencoder."""

_FILTERED = "The content filter of this model kept the picture back; please ask for something else."

StepCallback = Callable[[int, "torch.Tensor"], None]


@dataclass(frozen=True)
class PipelineSource:
    """Where a pipeline comes from and how it is run unless the request says otherwise.

    ``place``: a local folder or a hub id, ``pipeline``: the name of its class in diffusers (what model_index.json says is
    not trusted: GLIGEN's names another one). ``side``: pixels of a square picture, or of the longer side. ``preview``:
    folder or hub id of a tiny autoencoder for previews; not needed where the pipeline's own is small. ``options`` go to
    every call, ``load_options`` to ``from_pretrained``. ``offload``: parts wait in main memory while they are not needed.
    ``compiled``: the denoiser's step is. ``dtype``: torch's name, or "auto" for what this CPU is fastest in.
    """

    place: str
    pipeline: str
    steps: int
    guidance: float
    side: int
    preview: str = ""
    device: str = "cpu"
    dtype: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)
    load_options: dict[str, Any] = field(default_factory=dict)
    offload: bool = False
    compiled: bool = False


class Pipeline:
    """A loaded pipeline with its source; ``run`` makes one thing. One call at a time."""

    def __init__(self, source: PipelineSource, pipe: Any, preview: Any = None) -> None:
        self.source = source
        self.pipe = pipe
        self._preview = preview
        self.words = read_vocabulary(source.place)

    def steps(self, request: ExpertRequest) -> int:
        """ExpertError when the request's steps are out of range."""
        steps = self.source.steps if request.steps is None else request.steps
        if not 1 <= steps <= MOST_STEPS:
            raise ExpertError(f"{steps} steps were asked for; 1 to {MOST_STEPS} are allowed.")
        return steps

    def guidance(self, request: ExpertRequest) -> float:
        return self.source.guidance if request.guidance is None else request.guidance

    def generator(self, request: ExpertRequest) -> "torch.Generator":
        """On the CPU whatever the device, so that a seed gives the same start everywhere."""
        import torch

        return torch.Generator("cpu").manual_seed(request.seed)

    def recipe(self, request: ExpertRequest, width: int, height: int) -> dict[str, Any]:
        """What is needed to make the picture again, beside prompt and weights."""
        return {
            "steps": self.steps(request),
            "guidance": self.guidance(request),
            "width": width,
            "height": height,
            "sampler": type(self.pipe.scheduler).__name__,
            "pipeline": self.source.pipeline,
        }

    def check(self, *phrases: str) -> dict[str, Any]:
        """For the recipe: words that the pipeline was not trained with. ExpertError for a thing that it cannot draw."""
        left_out = [word for phrase in phrases for word in (self.words.check(phrase) if self.words else ())]
        return {"left_out": left_out} if left_out else {}

    def move_to(self, device: str) -> None:
        """'cpu' frees the accelerator's memory."""
        if not self.source.offload:
            self.pipe.to(device)

    def run(self, request: ExpertRequest, call: Callable[[StepCallback], Any]) -> Generator[Progress, None, Image.Image | None]:
        """As ``carry_out``, for a pipeline of one picture. ExpertError when its content filter keeps the picture back."""
        return (yield from self.carry_out(request, call, _picture_of, "drawing"))

    def carry_out(
        self,
        request: ExpertRequest,
        call: Callable[[StepCallback], Any],
        take: Callable[[Any], T],
        note: str,
        show: "Callable[[torch.Tensor], Image.Image | None] | None" = None,
    ) -> Generator[Progress, None, T | None]:
        """Carry out ``call(on_step)`` in a thread of its own: one Progress per step, then ``take(result)``, None when cancelled.

        ``show``: latents -> preview, ``decode_preview`` without it.

        ``on_step(step, latents)`` must be called after each step, counted from 1; it ends the call once ``cancel`` is set or
        the iterator is closed.
        """
        steps = self.steps(request)
        events: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        closed = threading.Event()

        def on_step(step: int, latents: "torch.Tensor") -> None:
            step = min(step, steps)
            if closed.is_set() or request.cancel.is_set():
                raise _Cancelled
            preview = (show or self.decode_preview)(latents) if step % PREVIEW_EVERY == 0 and step < steps else None
            events.put(Progress(step, steps, note, preview))

        def work() -> T | None:
            try:
                return take(call(on_step))
            except _Cancelled:
                return None

        yield Progress(0, steps, note)
        pool = ThreadPoolExecutor(1, thread_name_prefix="unified_demo-diffusion")
        job = pool.submit(work)
        try:
            while not job.done() or not events.empty():
                try:
                    yield events.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
        finally:
            closed.set()
            pool.shutdown()
        return job.result()

    def decode_preview(self, latents: "torch.Tensor") -> Image.Image | None:
        """Latents 1 x C x h x w -> a picture, by the tiny autoencoder or, without one, by the channels' rough colours.

        Latents whose channels have no known colours are shown grey, those without rows and columns not at all.
        """
        import torch

        if latents.dim() != 4:
            return None
        if self._preview is not None:
            return self.decode(latents[:1])[0].convert("RGB")
        with torch.inference_mode():
            if latents.shape[1] != len(_LATENT_TO_RGB):
                pixels = latents[0].float().mean(0, keepdim=True).expand(3, -1, -1)
            else:
                pixels = torch.einsum("chw,cr->rhw", latents[0].float(), torch.tensor(_LATENT_TO_RGB, device=latents.device))
        image = _as_picture(pixels)
        return image.resize((image.width * 8, image.height * 8), Image.Resampling.BICUBIC)

    def decode(self, latents: "torch.Tensor") -> list[Image.Image]:
        """Latents n x C x h x w -> n pictures by the autoencoder that shows previews, RGBA where it has four channels."""
        import torch

        with torch.inference_mode():
            pixels = self._preview.decode(latents.to(self._preview.dtype) / self._preview.config.scaling_factor).sample
        return [_as_picture(one) for one in pixels]


def _as_picture(pixels: "torch.Tensor") -> Image.Image:
    """(channels, h, w) of -1..1."""
    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(values))


class _Cancelled(Exception):
    """Raised inside a pipeline to leave it between two steps."""


def _picture_of(result: Any) -> Image.Image:
    """The one picture of a pipeline's output."""
    if any(getattr(result, "nsfw_content_detected", None) or ()):
        raise ExpertError(_FILTERED)
    picture: Image.Image = result.images[0].convert("RGB")
    return picture


def step_end(on_step: StepCallback) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
    """``on_step`` as diffusers' ``callback_on_step_end``."""

    def called(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(index + 1, tensors["latents"])
        return tensors

    return called


def load_pipeline(source: PipelineSource) -> Pipeline:
    """Load it for inference, channels last. ModelLoadError when it is not there or has another layout."""
    import diffusers
    import torch

    from unified_demo.experts.mobile_sam import fastest_dtype

    dtype = fastest_dtype() if source.dtype == "auto" else getattr(torch, source.dtype)
    try:
        kind = getattr(diffusers, source.pipeline)
        pipe = kind.from_pretrained(source.place, dtype=dtype, **source.load_options)
        preview = diffusers.AutoencoderTiny.from_pretrained(source.preview, dtype=dtype) if source.preview else None
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError) as exc:
        raise ModelLoadError(
            f"The {source.pipeline} of '{source.place}' cannot be loaded ({_first_line(exc)}); "
            "fetch it again or name a folder that holds it."
        ) from exc
    place(pipe, source)
    for part in (getattr(pipe, "unet", None), pipe.vae, preview):
        if part is not None and all(value.dim() < 5 for value in part.parameters()):
            part.to(memory_format=torch.channels_last)
    if preview is None and sum(value.numel() for value in pipe.vae.decoder.parameters()) <= SMALL_DECODER:
        preview = pipe.vae
    if preview is not None:
        preview.to(source.device)
    return Pipeline(source, pipe, preview)


def place(pipe: Any, source: PipelineSource) -> None:
    """Quiet, compiled where that is wished, and on its device."""
    pipe.set_progress_bar_config(disable=True)
    if source.compiled:
        denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
        denoiser.forward = Compiled(denoiser.forward, source.device)
    if source.offload and source.device != "cpu":
        pipe.enable_model_cpu_offload(device=source.device)
    else:
        pipe.to(source.device)


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
