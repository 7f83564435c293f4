"""A video edited by an instruction, frame by frame, held together by optical flow: the idea of FRESCO (arXiv 2403.12962) on our own loop.

FRESCO's code does not import any more and its weights forbid commercial use. From it come attention to other frames and features that
follow the flow; here an InstructPix2Pix network edits, and it is the expected picture of each step that follows the flow, with noise that
moves along. FRESCO's optimisation of features and its spatial guidance are not here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, scaled_dot_product_attention

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, PipelineSource, StepCallback, load_pipeline
from unified_demo.experts.flow import SIDE, resized_flow, seen_in_both, warp
from unified_demo.experts.strength import read_strength
from unified_demo.experts.video import ClipSize, fit
from unified_demo.grammar import MediaKind
from unified_demo.media import load_video

STRENGTH = 2 / 3
"""Where nothing is said: image guidance 1.5, as for pictures."""
FOLLOWS = 0.8
"""Share of the steps in which a frame follows the one before; the last ones draw what is fine."""
WEIGHT = 0.75
"""How much of a place that was seen before comes from the frame before."""


@dataclass(frozen=True)
class FlowCall:
    """``frames`` PIL, sides multiples of 8. Without ``guided`` each frame is edited alone, from noise of its own."""

    prompt: str
    frames: Sequence[Image.Image]
    steps: int
    guidance: float
    image_guidance: float
    generator: torch.Generator
    guided: bool = True


class _Remembered:
    """Keys and values of the first frame and the one before, by attention layer, within one step."""

    def __init__(self) -> None:
        self.frame = 0
        self._first: dict[str, tuple[Tensor, Tensor]] = {}
        self._before: dict[str, tuple[Tensor, Tensor]] = {}

    def join(self, layer: str, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """With those of the frames that this one looks at."""
        own = (key, value)
        if self.frame == 0:
            self._first[layer] = self._before[layer] = own
            return own
        others = [self._first[layer]] if self.frame == 1 else [self._first[layer], self._before[layer]]
        self._before[layer] = own
        return torch.cat([*(keys for keys, _ in others), key], 1), torch.cat([*(values for _, values in others), value], 1)


class _AcrossFrames:
    """Self-attention of diffusers' UNet blocks in which a frame sees other frames as well."""

    def __init__(self, layer: str, remembered: _Remembered) -> None:
        self._layer, self._remembered = layer, remembered

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        key, value = self._remembered.join(self._layer, attn.to_k(hidden_states), attn.to_v(hidden_states))
        query, key, value = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in (attn.to_q(hidden_states), key, value))
        seen = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)
        for module in attn.to_out:
            seen = module(seen)
        return seen


@torch.no_grad()
def edit(pipe: Any, call: FlowCall, on_step: StepCallback) -> np.ndarray:
    """uint8 T x H x W x 3 by a loaded StableDiffusionInstructPix2PixPipeline with a DDIM scheduler; ``on_step`` after each step."""
    device = pipe._execution_device
    words = pipe._encode_prompt(call.prompt, device, 1, True, "")
    pictures = [pipe.image_processor.preprocess(frame).to(device, words.dtype) for frame in call.frames]
    known = [pipe.vae.encode(picture).latent_dist.mode() for picture in pictures]
    links = [_link(before, after, known[0].shape[-2:]) for before, after in pairwise(pictures)] if call.guided else []
    latents = _noise(known[0], len(known), links, call.generator)
    pipe.scheduler.set_timesteps(call.steps, device=device)
    remembered, usual = _Remembered(), pipe.unet.attn_processors
    if call.guided:
        inner = {name: _AcrossFrames(name, remembered) for name in usual if name.endswith("attn1.processor")}
        pipe.unet.set_attn_processor(usual | inner)
    try:
        for number, timestep in enumerate(pipe.scheduler.timesteps):
            alpha = pipe.scheduler.alphas_cumprod[timestep].to(device)
            before: Tensor | None = None
            for index, latent in enumerate(latents):
                remembered.frame = index
                noise = _guided_noise(pipe, call, latent, known[index], words, timestep)
                if links and number < FOLLOWS * call.steps:
                    expected = (latent - (1 - alpha).sqrt() * noise) / alpha.sqrt()
                    if before is not None:
                        flow, visible = links[index - 1]
                        expected = torch.lerp(expected, warp(before[0], flow)[None], WEIGHT * visible)
                    noise, before = (latent - alpha.sqrt() * expected) / (1 - alpha).sqrt(), expected
                latents[index] = pipe.scheduler.step(noise, timestep, latent, return_dict=False)[0]
            on_step(number + 1, latents[len(latents) // 2])
    finally:
        pipe.unet.set_attn_processor(usual)
    drawn = [pipe.vae.decode(latent.to(words.dtype) / pipe.vae.config.scaling_factor, return_dict=False)[0][0] for latent in latents]
    pipe.maybe_free_model_hooks()
    return np.stack([((one.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy() for one in drawn])


def _guided_noise(pipe: Any, call: FlowCall, latent: Tensor, known: Tensor, words: Tensor, timestep: Tensor) -> Tensor:
    """The three-way guidance of InstructPix2Pix, in float32."""
    nothing = torch.zeros_like(known)
    seen = torch.cat([torch.cat([latent.to(known.dtype)] * 3), torch.cat([known, known, nothing])], 1)
    text, image, none = pipe.unet(seen, timestep, encoder_hidden_states=words, return_dict=False)[0].float().chunk(3)
    return none + call.guidance * (text - image) + call.image_guidance * (image - none)


def _link(before: Tensor, after: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """On the grid of the latents: the flow from a frame to the one before, and 1 where its places are seen there, 0 elsewhere."""
    scale = min(1.0, SIDE / max(before.shape[-2:]))
    smaller = [interpolate((frame.float() + 1) / 2, scale_factor=scale, mode="area")[0] for frame in (before, after)]
    flow, visible = seen_in_both(*smaller)
    seen = interpolate(visible[None, None].float(), tuple(size), mode="area")[0]
    return resized_flow(flow, *size), (seen > 0.5).float()


def _noise(like: Tensor, count: int, links: Sequence[tuple[Tensor, Tensor]], generator: torch.Generator) -> list[Tensor]:
    """Where a frame begins: noise of its own, or, along links, that of the frame before, moved by whole places."""
    drawn = [torch.randn(like.shape, generator=generator).to(like.device) for _ in range(count)]
    for index, (flow, visible) in enumerate(links, 1):
        drawn[index] = torch.where(visible > 0, warp(drawn[index - 1][0], flow.round(), "nearest")[None], drawn[index])
    return drawn


class FlowGuidedEditing:
    """An instruction carried out on every frame; what was drawn on a thing stays on it as it moves."""

    def __init__(self, pipeline: Pipeline, size: ClipSize) -> None:
        self._pipeline, self._size = pipeline, size

    def move_to(self, device: str) -> None:
        self._pipeline.move_to(device)

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a video of the original's size and length. ExpertError without a video or words."""
        if not request.inputs or request.inputs[0].kind != MediaKind.VIDEO or not request.prompt.strip():
            raise ExpertError("Video editing got no video or no words; one video and what shall change in it are needed.")
        artefact, pipeline = request.inputs[0], self._pipeline
        video = load_video(artefact, self._size.frames)
        width, height = fit((artefact.width, artefact.height), pipeline.source.side, self._size.multiple)
        seen = [Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS) for frame in video.frames]
        prompt, strength = read_strength(request.prompt, request.strength, STRENGTH)
        image_guidance = round(2.5 - 1.5 * strength, 3)
        call = FlowCall(
            prompt, seen, pipeline.steps(request), pipeline.guidance(request), image_guidance, pipeline.generator(request)
        )  # fmt: skip
        frames = yield from pipeline.carry_out(request, lambda on_step: edit(pipeline.pipe, call, on_step), lambda made: made, "filming")
        if frames is not None:
            size = (artefact.width, artefact.height)
            full = np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames])
            recipe = {**pipeline.recipe(request, width, height), "frames": len(frames), "image_guidance": image_guidance}
            yield Output(MediaKind.VIDEO, full, of=artefact.id, label=request.prompt, recipe=recipe, fps=video.fps)


def load_flow_guided(source: PipelineSource, size: ClipSize) -> FlowGuidedEditing:
    """From a checkpoint of InstructPix2Pix; its sampler gives way to one whose expected picture can be held. ModelLoadError."""
    from diffusers import DDIMScheduler

    pipeline = load_pipeline(source)
    pipeline.pipe.scheduler = DDIMScheduler.from_config(pipeline.pipe.scheduler.config, clip_sample=False)
    return FlowGuidedEditing(pipeline, size)
