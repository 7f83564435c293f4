"""Edits of whole drawn pictures by the small editor: another style, hour, season, weather, place, ground or colour.

Only what was trained is done (drawn_edits.toml), and only to pictures that were drawn here or look drawn; photographs are edited in
restyling.py. One pass of the network; strength mixes its picture with the one before.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, step_end
from unified_demo.experts.drawn_edits import DrawnEdit, drawn_edits, editor_prompt, find_drawn_edits
from unified_demo.experts.strength import read_strength
from unified_demo.grammar import MediaKind
from unified_demo.media import load_image
from unified_demo.messages import Artefact

if TYPE_CHECKING:
    pass

METHOD = "small editor"
"""In the recipe of what it made."""
STRENGTH = 1.0
MULTIPLE = 64
"""Both sides of what the network sees are a multiple of so many pixels."""
LEAST_FLAT, LEAST_SMOOTH = 0.4, 0.55
"""A picture looks drawn when so many of its blocks are flat and so many pixels of the others smooth. So do 61 of 100 drawings on every
kind of ground, no photograph of eval_coco and eval_flickr8k, and of 156 pictures of Caltech-101's backgrounds two, both graphics."""
_SEEN, _BLOCK, _STEP = 256, 8, 6
_SAME, _OTHER = 6.0, 24.0
"""Pixels that the editor changes by less, 0..255, stay as they were, by more are taken from it; a mixture between."""

Floats = npt.NDArray[np.float32]


class DrawnEditExpert:
    """``pipeline``: an exported ``training.editor``."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One step, then a picture of the input's size. ExpertError without a picture, or when no edit that is known is asked for."""
        pictures = [artefact for artefact in request.inputs if artefact.kind == MediaKind.IMAGE]
        if not pictures:
            raise ExpertError("Image editing got no picture; one picture and what shall change in it are needed.")
        instruction, strength = read_strength(request.prompt, request.strength, STRENGTH)
        edits = find_drawn_edits(instruction)
        if not edits:
            raise ExpertError(f"'{instruction[:60]}' is not among the changes of drawn pictures known here; known: {known()}.")
        picture = load_image(pictures[0])
        once = replace(request, steps=1, guidance=None)
        changed = yield from self._pipeline.carry_out(once, lambda on_step: self._edit(once, picture, edits, on_step), _as_is, "editing")
        if changed is not None:
            mixed = Image.blend(picture, changed, strength)
            recipe: dict[str, Any] = {
                "edits": [edit.shown for edit in edits], "strength": round(strength, 3), "method": METHOD,
                "pipeline": self._pipeline.source.pipeline,
            }  # fmt: skip
            yield Output(MediaKind.IMAGE, mixed, of=pictures[0].id, label=request.prompt, recipe=recipe)

    def _edit(self, request: ExpertRequest, picture: Image.Image, edits: tuple[DrawnEdit, ...], on_step: Any) -> Image.Image:
        pipeline = self._pipeline
        seen = picture.resize(seen_size(picture.size, pipeline.source.side), Image.Resampling.LANCZOS)
        edited = pipeline.pipe(
            editor_prompt(edits),
            image=seen,
            num_inference_steps=1,
            guidance_scale=1.0,
            image_guidance_scale=1.0,
            generator=pipeline.generator(request),
            callback_on_step_end=step_end(on_step),
        ).images[0]
        return with_what_stayed(picture, self._decoded(seen), edited.convert("RGB"))

    def _decoded(self, seen: Image.Image) -> Image.Image:
        """The picture as the editor's autoencoder gives it back."""
        import torch

        pipe = self._pipeline.pipe
        with torch.inference_mode():
            pixels: torch.Tensor = pipe.image_processor.preprocess(seen).to(pipe.vae.dtype)
            back = pipe.vae.decode(pipe.vae.encode(pixels).latents).sample
        decoded: Image.Image = pipe.image_processor.postprocess(back.float())[0]
        return decoded.convert("RGB")


def seen_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of what the network sees: the longer one ``side``."""
    scale = side / max(size)
    width, height = (max(MULTIPLE, round(length * scale / MULTIPLE) * MULTIPLE) for length in size)
    return width, height


def with_what_stayed(picture: Image.Image, decoded: Image.Image, edited: Image.Image) -> Image.Image:
    """``edited`` in the size of ``picture``, whose own pixels stay where ``edited`` hardly differs from ``decoded``, the picture as the
    autoencoder sees it: what no edit touches loses nothing."""
    after, back = (np.asarray(one.resize(picture.size, Image.Resampling.BICUBIC), np.float32) for one in (edited, decoded))
    differs = np.abs(after - back).max(axis=-1, keepdims=True)
    share = np.clip((differs - _SAME) / (_OTHER - _SAME), 0, 1)
    mixed = np.asarray(picture, np.float32) * (1 - share) + after * share
    return Image.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def is_drawn(artefact: Artefact, picture: Image.Image) -> bool:
    """Whether it was drawn here, by its recipe, or looks so."""
    return "layout" in artefact.recipe or artefact.recipe.get("method") == METHOD or looks_drawn(picture)


def looks_drawn(picture: Image.Image) -> bool:
    scale = _SEEN / max(picture.size)
    small = picture.convert("RGB").resize(
        (max(_BLOCK, round(picture.width * scale)), max(_BLOCK, round(picture.height * scale))), Image.Resampling.BOX
    )
    pixels = np.asarray(small).astype(np.int16)
    rows, columns = pixels.shape[0] // _BLOCK, pixels.shape[1] // _BLOCK
    pixels = pixels[: rows * _BLOCK, : columns * _BLOCK]
    bend = np.zeros(pixels.shape[:2], np.int16)
    around = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    bend[1:-1, 1:-1] = np.abs(4 * pixels[1:-1, 1:-1] - around).max(-1)
    blocks = pixels.reshape(rows, _BLOCK, columns, _BLOCK, 3)
    flat = (blocks.max((1, 3)) - blocks.min((1, 3))).max(-1) <= _STEP
    smooth = (bend.reshape(rows, _BLOCK, columns, _BLOCK) <= _STEP).mean((1, 3))
    return bool(flat.mean() >= LEAST_FLAT and (flat.all() or smooth[~flat].mean() >= LEAST_SMOOTH))


def known() -> str:
    return ", ".join(edit.shown for edit in drawn_edits().values())


def _as_is(picture: Image.Image) -> Image.Image:
    return picture
