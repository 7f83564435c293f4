"""GLIGEN's sampling loop (arXiv 2301.07093) on a loaded StableDiffusionGLIGENPipeline, for layouts and for inpainting.

The library's own loop is unmaintained: it takes noise from torch's global generator, knows four latent channels only, crops
to a square in the middle, and cuts small boxes to nothing. For layouts of four channels this one gives the same pictures.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from unified_demo.experts.diffusion import StepCallback

MOST_BOXES = 30
"""GLIGEN was trained with this number of places; those without a phrase are masked."""
Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class GligenCall:
    """``boxes`` are xyxy in 0..1, one for each phrase. ``share``: of the steps that see the boxes.

    ``known``: a picture of ``side`` x ``side`` pixels of which everything but the boxes stays, for inpainting.
    """

    prompt: str
    phrases: tuple[str, ...]
    boxes: tuple[Corners, ...]
    side: int
    steps: int
    guidance: float
    generator: torch.Generator
    known: Image.Image | None = None
    share: float = 0.3
    negative_prompt: str = ""


@torch.no_grad()
def draw(pipe: Any, call: GligenCall, on_step: StepCallback) -> Any:
    """The pipeline's output with one picture; ``on_step`` is called after each step, counted from 1."""
    device, guided = pipe._execution_device, call.guidance > 1
    words, no_words = pipe.encode_prompt(call.prompt, device, 1, guided, call.negative_prompt)
    hidden_states = torch.cat([no_words, words]) if guided else words
    pipe.scheduler.set_timesteps(call.steps, device=device)
    channels, dtype = pipe.vae.config.latent_channels, hidden_states.dtype
    latents = pipe.prepare_latents(1, channels, call.side, call.side, dtype, device, call.generator)
    known = _Known(pipe, call, latents) if call.known is not None else None
    grounding = {"gligen": _grounding(pipe, call, guided)}
    extra = pipe.prepare_extra_step_kwargs(call.generator, 0.0)
    pipe.enable_fuser(True)
    for index, timestep in enumerate(pipe.scheduler.timesteps):
        if index == int(call.share * len(pipe.scheduler.timesteps)):
            pipe.enable_fuser(False)
        if known is not None:
            latents = known.put_back(latents, timestep)
        seen = pipe.scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, timestep)
        if known is not None:
            seen = torch.cat([seen, known.hint.expand(len(seen), -1, -1, -1)], dim=1)
        noise = pipe.unet(seen, timestep, encoder_hidden_states=hidden_states, cross_attention_kwargs=dict(grounding)).sample
        if guided:
            without, towards = noise.chunk(2)
            noise = without + call.guidance * (towards - without)
        latents = pipe.scheduler.step(noise, timestep, latents, **extra).prev_sample
        on_step(index + 1, latents)
    return _decoded(pipe, latents, dtype)


class _Known:
    """The part of a picture that stays: its latents, the mask (1 = stays) and what the UNet is told of both."""

    def __init__(self, pipe: Any, call: GligenCall, like: Tensor) -> None:
        self.scheduler = pipe.scheduler
        pixels = pipe.image_processor.preprocess(call.known).to(like.device, pipe.vae.dtype)
        encoded = pipe.vae.encode(pixels)
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        self.latents = (latents * pipe.vae.config.scaling_factor).to(like.dtype)
        self.noise = randn_tensor(like.shape, generator=call.generator, device=like.device, dtype=like.dtype)
        self.mask = torch.ones_like(like[:, :1])
        rows, columns = like.shape[-2:]
        for x0, y0, x1, y1 in call.boxes:
            self.mask[..., int(y0 * rows) : _up(y1 * rows), int(x0 * columns) : _up(x1 * columns)] = 0
        self.hint = torch.cat((self.latents * self.mask, self.mask), dim=1)

    def put_back(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """What stays, as noisy as ``timestep`` wants it; the boxes from ``latents``."""
        noisy = self.scheduler.add_noise(self.latents, self.noise, timestep[None])
        return noisy * self.mask + latents * (1 - self.mask)


def _up(value: float) -> int:
    return -int(-value // 1)


def _grounding(pipe: Any, call: GligenCall, guided: bool) -> dict[str, Tensor]:
    """Boxes, phrase embeddings and mask, padded to ``MOST_BOXES``; without a prompt nothing is grounded."""
    device, dtype, count = pipe._execution_device, pipe.text_encoder.dtype, len(call.boxes)
    tokens = pipe.tokenizer(list(call.phrases), padding=True, truncation=True, return_tensors="pt").to(device)
    boxes = torch.zeros(1, MOST_BOXES, 4, device=device, dtype=dtype)
    phrases = torch.zeros(1, MOST_BOXES, pipe.unet.config.cross_attention_dim, device=device, dtype=dtype)
    masks = torch.zeros(1, MOST_BOXES, device=device, dtype=dtype)
    boxes[0, :count] = torch.tensor(call.boxes)
    phrases[0, :count] = pipe.text_encoder(**tokens).pooler_output
    masks[0, :count] = 1
    if guided:
        boxes, phrases, masks = boxes.repeat(2, 1, 1), phrases.repeat(2, 1, 1), torch.cat([torch.zeros_like(masks), masks])
    return {"boxes": boxes, "positive_embeddings": phrases, "masks": masks}


def _decoded(pipe: Any, latents: Tensor, dtype: torch.dtype) -> Any:
    from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput

    pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    pixels, flags = pipe.run_safety_checker(pixels, latents.device, dtype)
    sound = [True] if flags is None else [not flag for flag in flags]
    pictures = pipe.image_processor.postprocess(pixels, output_type="pil", do_denormalize=sound)
    pipe.maybe_free_model_hooks()
    return StableDiffusionPipelineOutput(images=pictures, nsfw_content_detected=flags)
