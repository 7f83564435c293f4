"""Videos by diffusers' pipelines: from words, from a picture, and a video made anew by an instruction.

One expert for each of the three, whatever the pipeline: ModelScopeT2V and Wan, I2VGen-XL and Wan, AnimateDiff and Wan. The last two
draw a video anew after a description; one that follows an instruction, after FRESCO, is in ``flow_guided``.
"""

import functools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import Pipeline, PipelineSource, StepCallback, place
from unified_demo.experts.strength import read_strength
from unified_demo.grammar import MediaKind
from unified_demo.media import load_image, load_video
from unified_demo.recordings import Video

if TYPE_CHECKING:
    import torch

STRENGTH = 0.6
"""How far an edited video may leave the original, where nothing is said."""


@dataclass(frozen=True)
class ClipSize:
    """What a pipeline makes: ``frames`` at ``fps``, sides a ``multiple`` of pixels; ``group``: frames come as group x n + 1."""

    frames: int
    fps: float
    multiple: int = 64
    group: int = 1

    def fitting(self, frames: int) -> int:
        """The largest number of frames the pipeline takes that is not above ``frames`` (at least 1)."""
        return max((min(frames, self.frames) - 1) // self.group * self.group + 1, 1)


class _FilmExpert:
    def __init__(self, pipeline: Pipeline, size: ClipSize) -> None:
        self._pipeline, self._size = pipeline, size

    def move_to(self, device: str) -> None:
        self._pipeline.move_to(device)

    def _film(self, request: ExpertRequest, prompt: str, arguments: dict[str, Any]) -> Generator[Progress, None, np.ndarray | None]:
        """uint8 T x H x W x 3, None when cancelled."""
        pipeline = self._pipeline

        def call(on_step: StepCallback) -> Any:
            import torch

            with watched_steps(pipeline.pipe, on_step), torch.random.fork_rng():
                torch.manual_seed(request.seed)  # I2VGen-XL draws its picture's latents from the global generator
                named = {
                    "num_inference_steps": pipeline.steps(request),
                    "guidance_scale": pipeline.guidance(request),
                    "generator": pipeline.generator(request),
                    "output_type": "np",
                }
                return pipeline.pipe(prompt=prompt, **{**named, **pipeline.source.options, **arguments})

        return (yield from pipeline.carry_out(request, call, _frames_of, "filming"))

    def _recipe(self, request: ExpertRequest, frames: np.ndarray, **more: Any) -> dict[str, Any]:
        height, width = frames.shape[1:3]
        return {**self._pipeline.recipe(request, width, height), "frames": len(frames), **more}


class VideoGenerationExpert(_FilmExpert):
    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a video. ExpertError without words."""
        if not request.prompt.strip():
            raise ExpertError("Video generation got no words; please say what shall be seen in the video.")
        frames = yield from self._film(request, request.prompt, {"num_frames": self._size.frames})
        if frames is not None:
            yield Output(MediaKind.VIDEO, frames, label=request.prompt, recipe=self._recipe(request, frames), fps=self._size.fps)


class ImageToVideoExpert(_FilmExpert):
    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a video in the picture's proportions. ExpertError without a picture or words."""
        if not request.inputs or request.inputs[0].kind != MediaKind.IMAGE or not request.prompt.strip():
            raise ExpertError("Image to video got no picture or no words; one picture and what shall happen in it are needed.")
        artefact = request.inputs[0]
        picture = load_image(artefact)
        width, height = fit(picture.size, self._pipeline.source.side, self._size.multiple)
        seen = picture.resize((width, height), Image.Resampling.LANCZOS)
        frames = yield from self._film(
            request, request.prompt, {"image": seen, "width": width, "height": height, "num_frames": self._size.frames}
        )
        if frames is not None:
            recipe = self._recipe(request, frames)
            yield Output(MediaKind.VIDEO, frames, of=artefact.id, label=request.prompt, recipe=recipe, fps=self._size.fps)


class VideoEditingExpert(_FilmExpert):
    """The video is noised by the edit's strength and drawn anew from there; neighbouring frames see each other."""

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a video of the original's size and length. ExpertError without a video or words."""
        if not request.inputs or request.inputs[0].kind != MediaKind.VIDEO or not request.prompt.strip():
            raise ExpertError("Video editing got no video or no words; one video and what shall change in it are needed.")
        artefact = request.inputs[0]
        prompt, strength = read_strength(request.prompt, request.strength, STRENGTH)
        strength = max(strength, 0.05)
        whole = load_video(artefact, self._size.frames)
        video = Video(whole.frames[: self._size.fitting(len(whole.frames))], whole.fps)
        width, height = fit((artefact.width, artefact.height), self._pipeline.source.side, self._size.multiple)
        seen = [Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS) for frame in video.frames]
        steps = self._pipeline.steps(request)
        frames = yield from self._film(
            request,
            prompt,
            {
                "video": seen, "width": width, "height": height, "strength": strength,
                "num_inference_steps": round(steps / strength + 0.5),
            },
        )  # fmt: skip
        if frames is not None:
            full = np.stack([_resized(frame, artefact.width, artefact.height) for frame in frames[: len(video.frames)]])
            recipe = self._recipe(request, frames, strength=round(strength, 3))
            yield Output(MediaKind.VIDEO, full, of=artefact.id, label=request.prompt, recipe=recipe, fps=video.fps)


def fit(size: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """Width and height in the proportions of ``size``, the longer one ``side``, both multiples."""
    scale = side / max(size)
    width, height = (max(multiple, round(length * scale / multiple) * multiple) for length in size)
    return width, height


@contextmanager
def watched_steps(pipe: Any, on_step: StepCallback) -> Iterator[None]:
    """Calls ``on_step(step, latents)`` after each step of the pipeline's scheduler: some of these pipelines offer no callback.

    The latents are those of one frame, 1 x C x h x w, or what the scheduler holds where it has no frames.
    """
    scheduler = pipe.scheduler
    step = scheduler.step
    done = 0

    @functools.wraps(step)
    def noted(*arguments: Any, **named: Any) -> Any:
        nonlocal done
        result = step(*arguments, **named)
        done += 1
        on_step(done, _one_frame(result[0] if isinstance(result, tuple) else result.prev_sample))
        return result

    scheduler.step = noted
    try:
        yield
    finally:
        del scheduler.step


def _one_frame(latents: "torch.Tensor") -> "torch.Tensor":
    if latents.dim() == 5:
        return latents[:1, :, latents.shape[2] // 2]
    return latents[len(latents) // 2 :][:1]


def _frames_of(result: Any) -> np.ndarray:
    """The one video of a pipeline's output as uint8."""
    frames: np.ndarray = (np.asarray(result.frames[0], np.float32).clip(0, 1) * 255).round().astype(np.uint8)
    return frames


def _resized(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS))


# ---- loading ----


def load_film(source: PipelineSource, adapter: str = "") -> Pipeline:
    """A pipeline of videos; ``adapter``: folder of AnimateDiff's motion module. ModelLoadError: not there or another layout.

    Wan's autoencoder stays in float32, as its authors run it: in bfloat16 its pictures suffer.
    """
    import diffusers
    import torch

    restore_text_model()
    options = dict(source.load_options)
    dtype = getattr(torch, source.dtype)
    try:
        if adapter:
            options["motion_adapter"] = diffusers.MotionAdapter.from_pretrained(adapter, dtype=dtype)
        if source.pipeline.startswith("Wan"):
            options["vae"] = diffusers.AutoencoderKLWan.from_pretrained(source.place, subfolder="vae", dtype=torch.float32)
        pipe = getattr(diffusers, source.pipeline).from_pretrained(source.place, dtype=dtype, **options)
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError) as exc:
        raise ModelLoadError(f"The {source.pipeline} of '{source.place}' cannot be loaded ({exc}); fetch it again.") from exc
    if adapter:
        pipe.scheduler = diffusers.DDIMScheduler.from_config(
            pipe.scheduler.config, beta_schedule="linear", clip_sample=False, timestep_spacing="linspace", steps_offset=1
        )
    place(pipe, source)
    return Pipeline(source, pipe)


def restore_text_model() -> None:
    """transformers >= 5.6 took ``CLIPTextModel.text_model`` away, which I2VGen-XL and ``clip_skip`` in diffusers still use.

    Leaving ``clip_skip`` out instead would silently change what the words mean to the network.
    """
    from transformers import CLIPTextModel

    if not hasattr(CLIPTextModel, "text_model"):
        CLIPTextModel.text_model = property(lambda self: self)
