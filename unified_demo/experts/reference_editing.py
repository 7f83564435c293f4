"""Edits of a whole picture by a model that sees it as a reference and follows an instruction: a Flux2KleinPipeline (FLUX.2 klein).

The first picture is the one that changes; further ones that the call names are references as well. No part of a picture is kept bit by
bit; edits of a region are in instructed_regions.py.
"""

from collections.abc import Iterator

from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, step_end
from unified_demo.grammar import MediaKind
from unified_demo.media import load_image

MULTIPLE = 16
"""Eight pixels for one latent, two latents for one token."""
LONGEST = 8
"""The pipeline takes no picture whose sides differ by more than this factor."""


class ReferenceEditExpert:
    """An instruction may be anything the model was taught; its strength is said in words."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a picture of the first input's size. ExpertError without a picture or words."""
        pictures = [artefact for artefact in request.inputs if artefact.kind == MediaKind.IMAGE]
        if not pictures or not request.prompt.strip():
            raise ExpertError("Image editing got no picture or no words; one picture and what shall change in it are needed.")
        pipeline, artefact = self._pipeline, pictures[0]
        loaded = [load_image(picture) for picture in pictures]
        seen = [_within_reach(picture, pipeline.source.side) for picture in loaded]
        width, height = seen[0].size
        edited = yield from pipeline.run(
            request,
            lambda on_step: pipeline.pipe(
                prompt=request.prompt,
                image=seen,
                width=width,
                height=height,
                num_inference_steps=pipeline.steps(request),
                guidance_scale=pipeline.guidance(request),
                generator=pipeline.generator(request),
                callback_on_step_end=step_end(on_step),
                **pipeline.source.options,
            ),
        )
        if edited is not None:
            recipe = pipeline.recipe(request, width, height)
            full = edited.resize(loaded[0].size, Image.Resampling.LANCZOS)
            yield Output(MediaKind.IMAGE, full, of=artefact.id, label=request.prompt, recipe=recipe)


def token_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height in the proportions of ``size`` with the longer one ``side``, both multiples of 16, so that nothing is cropped."""
    scale = side / max(size)
    width, height = (max(MULTIPLE, round(length * scale / MULTIPLE) * MULTIPLE) for length in size)
    return width, height


def _within_reach(picture: Image.Image, side: int) -> Image.Image:
    """The picture at its working size. ExpertError for a strip that the pipeline does not take."""
    if max(picture.size) > LONGEST * min(picture.size):
        raise ExpertError(
            f"The picture has {picture.width} x {picture.height} pixels; one side may be up to {LONGEST} times the other, so please cut it."
        )
    return picture.resize(token_size(picture.size, side), Image.Resampling.LANCZOS)
