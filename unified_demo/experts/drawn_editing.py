"""Edits of whole drawn pictures: another style, hour, season, weather, place, ground or colour (drawn_edits.toml).

Everything is made layer by layer (drawn_layers.py, drawn_shading.py), without a network; but things that have shades already become 3-D,
or softly shaded, by the small editor (training/editor) alone, where there is one. Strength mixes the result with the picture before.
Photographs are edited in restyling.py.
"""

from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import Pipeline, step_end
from unified_demo.experts.drawn_edits import DrawnEdit, drawn_edits, find_drawn_edits
from unified_demo.experts.drawn_layers import Apart, Cover, Floats, take_apart
from unified_demo.experts.drawn_shading import has_shades, soft, solid
from unified_demo.experts.strength import read_strength
from unified_demo.grammar import MediaKind
from unified_demo.media import load_image
from unified_demo.messages import Artefact
from unified_demo.remembered import DRAWN

METHOD = "layers"
"""In the recipe of what it made."""
STRENGTH = 1.0
MULTIPLE = 64
"""Both sides of what the network sees are a multiple of so many pixels."""
LEAST_FLAT, LEAST_SMOOTH = 0.4, 0.55
"""A picture looks drawn when so many of its blocks are flat and so many pixels of the others smooth. So do 61 of 100 drawings on every
kind of ground, no photograph of eval_coco and eval_flickr8k, and of 156 pictures of Caltech-101's backgrounds two, both graphics."""
_SEEN, _BLOCK, _STEP = 256, 8, 6

PAPER = "white"
"""The ground of line art."""
BY_RULE: dict[str, Callable[[Apart], Apart]] = {"flat": Apart.flattened, "line": Apart.outlined, "3d": solid, "soft": soft}
"""Styles that need no network; SHADES of them are for flat things."""
SHADES = ("3d", "soft")
SHADED = (
    "The things in this picture have shades already, and other shades than those cannot be drawn here. A flat drawing, line art, a "
    "watercolour and the like can be made of it; the flat drawing can then become 3-D or softly shaded."
)


class DrawnEditExpert:
    """``pipeline``: an exported ``training.editor``, which redraws things that have shades already; None where there is none.
    ``cover``: see drawn_layers.py."""

    def __init__(self, pipeline: Pipeline | None, cover: Cover | None = None) -> None:
        self._pipeline = pipeline
        self._cover = cover

    def knows(self, instruction: str) -> bool:
        """Whether there is something to be done."""
        return bool(find_drawn_edits(instruction))

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One step, then a picture of the input's size. ExpertError without a picture, when no edit that is known is asked for, and for
        shades of what is shaded."""
        pictures = [artefact for artefact in request.inputs if artefact.kind == MediaKind.IMAGE]
        if not pictures:
            raise ExpertError("Image editing got no picture; one picture and what shall change in it are needed.")
        instruction, strength = read_strength(request.prompt, request.strength, STRENGTH)
        if not self.knows(instruction):
            raise ExpertError(f"'{instruction[:60]}' is not among the changes of drawn pictures known here; known: {self.known()}.")
        edits = {edit.kind: edit for edit in find_drawn_edits(instruction)}
        picture = load_image(pictures[0]).convert("RGB")
        yield Progress(0, 1, "editing")
        if request.cancel.is_set():
            return
        apart = take_apart(picture, self._cover)
        style = edits.get("style")
        if style and not (style.name in SHADES and has_shades(apart)):
            apart = BY_RULE[style.name](apart)
        elif style:
            if self._pipeline is None:
                raise ExpertError(SHADED)
            redrawn = yield from self._redrawn(request, picture, style)
            if redrawn is None:
                return
            apart = apart.redrawn(redrawn)
        if "paint" in edits:
            apart = apart.painted(edits["paint"].name)
        ground = edits["ground"].name.removesuffix(" background") if "ground" in edits else PAPER if style and style.name == "line" else ""
        changed = apart.on_ground(ground) if ground else apart.picture()
        yield Progress(1, 1, "editing")
        recipe: dict[str, Any] = {
            "edits": [edit.shown for edit in edits.values()], "strength": round(strength, 3), "method": METHOD,
        }  # fmt: skip
        yield Output(MediaKind.IMAGE, Image.blend(picture, changed, strength), of=pictures[0].id, label=request.prompt, recipe=recipe)

    def known(self, besides: Collection[str] = ()) -> str:
        """Those for flat things alone come last; what is told ``besides`` is left out."""
        shown = [edit.shown for edit in sorted(drawn_edits().values(), key=lambda edit: edit.name in SHADES)]
        return ", ".join(name for name in shown if name not in besides)

    def _redrawn(self, request: ExpertRequest, picture: Image.Image, style: DrawnEdit) -> Generator[Progress, None, Image.Image | None]:
        """In the picture's size; None when cancelled."""
        pipeline = self._pipeline
        assert pipeline is not None
        seen = picture.resize(seen_size(picture.size, pipeline.source.side), Image.Resampling.LANCZOS)
        once = replace(request, steps=1, guidance=None)
        found = yield from pipeline.run(
            once,
            lambda on_step: pipeline.pipe(
                style.name,
                image=seen,
                num_inference_steps=1,
                guidance_scale=1.0,
                image_guidance_scale=1.0,
                generator=pipeline.generator(once),
                callback_on_step_end=step_end(on_step),
            ),
        )
        return found and found.resize(picture.size, Image.Resampling.BICUBIC)


def autoencoder_cover(folder: Path) -> Cover:
    """What the generator's autoencoder in ``folder`` takes for things: the fourth channel of what it gives back. ModelLoadError when it
    cannot be loaded."""
    import torch
    from diffusers import AutoencoderTiny

    try:
        network = AutoencoderTiny.from_pretrained(folder, subfolder="vae", dtype=torch.float32).eval()
    except (OSError, ValueError, RuntimeError) as exc:
        raise ModelLoadError(f"The autoencoder in {folder} cannot be loaded; restore it, for example with 'git checkout'.") from exc

    def cover(picture: Image.Image) -> Floats:
        small = picture.convert("RGB").resize(tuple(max(1, round(side / 16)) * 8 for side in picture.size), Image.Resampling.BOX)  # type: ignore[arg-type]
        pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            found = network.decode(network.encode(pixels).latents).sample[0, 3]
        shares = Image.fromarray(((found.clamp(-1, 1) + 1) / 2).numpy()).resize(picture.size, Image.Resampling.BILINEAR)
        return np.asarray(shares, np.float32)

    return cover


def seen_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height of what the network sees: the longer one ``side``."""
    scale = side / max(size)
    width, height = (max(MULTIPLE, round(length * scale / MULTIPLE) * MULTIPLE) for length in size)
    return width, height


def is_drawn(artefact: Artefact, picture: Image.Image) -> bool:
    """Whether it was drawn here, by its recipe, or looks so."""
    return DRAWN in artefact.recipe or artefact.recipe.get("method") == METHOD or looks_drawn(picture)


def looks_drawn(picture: Image.Image) -> bool:
    flat, smooth = _blocks(picture)
    return bool(flat.mean() >= LEAST_FLAT and (flat.all() or smooth[~flat].mean() >= LEAST_SMOOTH))


def mostly_flat(picture: Image.Image) -> bool:
    """Whether it may be a drawing; a photograph on plain paper or with much plain sky may be so as well."""
    return bool(_blocks(picture)[0].mean() >= LEAST_FLAT)


def _blocks(picture: Image.Image) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Of each block of a small copy: whether it has hardly more than one colour, and how many of its pixels are smooth."""
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
    return flat, smooth
