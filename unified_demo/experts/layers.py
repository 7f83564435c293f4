"""Transparent layers: the small generator draws each thing alone with what it covers, and the ground; here they are put together.

After LayerDiffuse (Zhang & Agrawala, arXiv 2402.17113): the fourth channel of the pipeline's pictures is the cover. So each phrase
lands in its box at the generator's full size. Things do not see each other: no shadow falls, nobody holds anything.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from unified_demo.errors import ExpertError
from unified_demo.experts.arrangement import Touch
from unified_demo.experts.base import ExpertRequest, Progress
from unified_demo.experts.diffusion import Pipeline, step_end
from unified_demo.experts.sizes import enlarged
from unified_demo.experts.vocabulary import Vocabulary
from unified_demo.grammar import Box

if TYPE_CHECKING:
    import torch

FAINT, FULL = 0.1, 0.9
"""Covers below and above are none and whole."""
SPECK, REACH = 5, 9
"""What is narrower than SPECK pixels is left out, unless steps of REACH / 2 pixels lead to it from something wider."""
SEEN, DOT = 26, 3
"""So is a piece apart from the others of which nothing as wide as DOT differs by more than SEEN from the paper, 0..255: nobody sees it."""


@dataclass(frozen=True)
class Placed:
    """A phrase and where it is laid; what touches another thing is moved up or down to it, for only its layer says how high that is."""

    phrase: str
    box: Box
    touch: Touch | None = None


class LayerPainter:
    """Draws phrases as layers. ``words``: what the pipeline can draw; ``paper``: RGB of the ground under its single things."""

    def __init__(self, pipeline: Pipeline, words: Vocabulary, paper: tuple[int, int, int]) -> None:
        self.pipeline, self.words, self.paper = pipeline, words, paper

    def compose(
        self, request: ExpertRequest, things: Sequence[Placed], ground: str, size: tuple[int, int]
    ) -> Generator[Progress, None, tuple[Image.Image, list[Placed]] | None]:
        """One Progress per step, then the things in their order on the ground, RGB of ``size``, and where they are; None when cancelled.

        ``ground``: what asks for it, "" for paper. ExpertError for a thing that came out empty.
        """

        def base(pictures: Sequence[Image.Image]) -> Image.Image:
            if not ground:
                return Image.new("RGB", size, self.paper)
            return pictures[-1].convert("RGB").resize(size, Image.Resampling.BICUBIC)

        return (yield from self._put_together(request, things, [ground] if ground else [], base))

    def add(self, request: ExpertRequest, things: Sequence[Placed], picture: Image.Image) -> Generator[Progress, None, Image.Image | None]:
        """As ``compose``, on an RGB picture: what the things do not cover stays bit by bit."""
        found = yield from self._put_together(request, things, [], lambda pictures: picture.copy())
        return found and found[0]

    def _put_together(
        self,
        request: ExpertRequest,
        things: Sequence[Placed],
        more: list[str],
        base: Callable[[Sequence[Image.Image]], Image.Image],
    ) -> Generator[Progress, None, tuple[Image.Image, list[Placed]] | None]:
        """``more``: prompts drawn beside the things; ``base`` makes the canvas from all pictures. Equal phrases are drawn once."""
        phrases = list(dict.fromkeys(thing.phrase for thing in things))
        if not phrases and not more:
            raise ExpertError("Nothing was named that can be drawn; please name a thing.")

        def laid(pictures: Sequence[Image.Image], finished: bool) -> tuple[Image.Image, list[Placed]]:
            canvas = base(pictures)
            cut = {phrase: cut_out(picture, self.paper) for phrase, picture in zip(phrases, pictures, strict=False)}
            placed = settled(things, [cut[thing.phrase] for thing in things], canvas.size)
            for thing in sorted(placed, key=_depth):
                layer = cut[thing.phrase]
                if layer is not None:
                    lay(canvas, layer, thing.box)
                elif finished:
                    raise ExpertError(f"'{thing.phrase}' came out empty this time; another seed draws another picture.")
            return canvas, placed

        return (
            yield from self.pipeline.carry_out(
                request,
                lambda on_step: self._draw(request, [*phrases, *more], on_step),
                lambda result: laid(result.images, True),
                "drawing",
                lambda latents: laid(self.pipeline.decode(latents), False)[0],
            )
        )

    def _draw(self, request: ExpertRequest, prompts: list[str], on_step: Any) -> Any:
        """All prompts in one batch, each with a start of its own."""
        pipeline, side = self.pipeline, self.pipeline.source.side
        return pipeline.pipe(
            prompts,
            height=side,
            width=side,
            num_inference_steps=pipeline.steps(request),
            guidance_scale=pipeline.guidance(request),
            generator=_starts(request.seed, len(prompts)),
            callback_on_step_end=step_end(on_step),
        )


def _starts(seed: int, count: int) -> "list[torch.Generator]":
    """The first is the seed's own, so that a thing alone looks as it does without layers."""
    import torch

    return [torch.Generator("cpu").manual_seed((seed + 7919 * number) % 2**63) for number in range(count)]


def cut_out(picture: Image.Image, paper: tuple[int, int, int]) -> Image.Image | None:
    """RGBA whose colours are those on ``paper`` -> RGBA of the thing alone, trimmed to it; None when nothing is covered."""
    pixels = np.asarray(picture, np.float32)
    cover = ((pixels[..., 3] / 255 - FAINT) / (FULL - FAINT)).clip(0, 1)[..., None]
    solid = cover[..., 0] > 0.5
    differs = np.abs(pixels[..., :3] - np.array(paper, np.float32)).max(-1) > SEEN
    seen = ImageChops.darker(_image(differs).filter(ImageFilter.MinFilter(DOT)), _image(solid))
    thing = _without_specks(_image(solid), seen if seen.getbbox() else _image(solid))
    bounds = thing.getbbox()
    cover *= (np.asarray(thing.filter(ImageFilter.MaxFilter(REACH))) > 0)[..., None]
    colours = (pixels[..., :3] - (1 - cover) * np.array(paper, np.float32)) / np.maximum(cover, 0.05)
    layer = np.concatenate([colours.clip(0, 255), cover * 255], axis=-1).round().astype(np.uint8)
    return Image.fromarray(layer).crop(bounds) if bounds else None


def _without_specks(solid: Image.Image, seen: Image.Image) -> Image.Image:
    """L of 0 and 255: what is connected to something as wide as SPECK that is seen (morphological reconstruction)."""
    kept = ImageChops.darker(solid.filter(ImageFilter.MinFilter(SPECK)), seen)
    while True:
        grown = ImageChops.darker(kept.filter(ImageFilter.MaxFilter(REACH)), solid)
        if grown.tobytes() == kept.tobytes():
            return kept
        kept = grown


def _image(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * 255)


def _depth(thing: Placed) -> int:
    """What is behind what it touches is laid first, what is before it last."""
    return 1 if thing.touch is None else 0 if thing.touch.behind else 2


def settled(things: Sequence[Placed], layers: Sequence[Image.Image | None], size: tuple[int, int]) -> list[Placed]:
    """The things where they touch what they touch, on a canvas of ``size``; ``layers``: one for each, None for an empty one."""
    placed = list(things)
    for place, (thing, layer) in enumerate(zip(things, layers, strict=True)):
        other = layers[thing.touch.other] if thing.touch else None
        if thing.touch is None or other is None or layer is None:
            continue
        below = things[thing.touch.other].box
        wide, high = (length / side for length, side in zip(_fitted(other, below, size), size, strict=True))
        left = (below.x0 + below.x1 - wide) / 2
        between = ((thing.box.x0 - left) / wide, (thing.box.x1 - left) / wide)
        top = 0.0 if thing.touch.behind else _top_between(other, *between)
        foot = below.y1 - high * (1 - top) * (1 - thing.touch.sunk)
        placed[place] = replace(thing, box=Box(thing.box.x0, max(0.0, foot - (thing.box.y1 - thing.box.y0)), thing.box.x1, foot))
    return placed


def _top_between(layer: Image.Image, left: float, right: float) -> float:
    """Where the layer begins in the middle half between two places across it, all relative to its size; 0 where it does not reach."""
    middle, reach = (left + right) / 2 * layer.width, (right - left) / 4 * layer.width
    solid = np.asarray(layer.getchannel("A"))[:, max(0, round(middle - reach)) : max(0, round(middle + reach))] > 127
    tops = np.argmax(solid, axis=0)[solid.any(axis=0)]
    return float(np.median(tops)) / layer.height if tops.size else 0.0


def _fitted(layer: Image.Image, box: Box, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the layer as large as it fits into the box, pixels of a canvas of ``size``."""
    left, top, right, bottom = (round(number * side) for number, side in zip(box.as_tuple(), size * 2, strict=True))
    scale = min(max(1, right - left) / layer.width, max(1, bottom - top) / layer.height)
    return max(1, round(layer.width * scale)), max(1, round(layer.height * scale))


def lay(canvas: Image.Image, layer: Image.Image, box: Box) -> None:
    """Put the layer into the box, as large as it fits in, standing on the box's lower side; the canvas is changed."""
    left, top, right, bottom = (round(number * side) for number, side in zip(box.as_tuple(), canvas.size * 2, strict=True))
    wide, high = max(1, right - left), max(1, bottom - top)
    size = _fitted(layer, box, canvas.size)
    fitted = enlarged(layer.convert("RGBa"), size).convert("RGBA")
    canvas.paste(fitted, (left + (wide - size[0]) // 2, top + high - size[1]), fitted)
