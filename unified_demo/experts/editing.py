"""Edits of a whole picture by instruction: a StableDiffusionInstructPix2PixPipeline (arXiv 2211.09800), whichever profile's.

The picture comes back in its own size. Styles and photographic filters are in restyling.py.
"""

from collections.abc import Callable, Iterator
from functools import partial

from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, PipelineSource, load_pipeline, step_end
from unified_demo.experts.strength import read_strength
from unified_demo.grammar import MediaKind
from unified_demo.media import load_image

PIPELINE = "StableDiffusionInstructPix2PixPipeline"
STRENGTH = 2 / 3
"""Where nothing is said; it gives the paper's image guidance of 1.5."""
MULTIPLE = 8


class InstructEditExpert:
    """A stronger edit holds on to the picture less: image guidance falls from 2.5 to 1 as strength goes from 0 to 1."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a picture of the input's size. ExpertError without a picture or words."""
        if not request.inputs or request.inputs[0].kind != MediaKind.IMAGE or not request.prompt.strip():
            raise ExpertError("Image editing got no picture or no words; one picture and what shall change in it are needed.")
        pipeline, artefact = self._pipeline, request.inputs[0]
        picture = load_image(artefact)
        seen = picture.resize(working_size(picture.size, pipeline.source.side), Image.Resampling.LANCZOS)
        prompt, strength = read_strength(request.prompt, request.strength, STRENGTH)
        image_guidance = round(2.5 - 1.5 * strength, 3)
        edited = yield from pipeline.run(
            request,
            lambda on_step: pipeline.pipe(
                prompt,
                image=seen,
                num_inference_steps=pipeline.steps(request),
                guidance_scale=pipeline.guidance(request),
                image_guidance_scale=image_guidance,
                generator=pipeline.generator(request),
                callback_on_step_end=step_end(on_step),
                **pipeline.source.options,
            ),
        )
        if edited is not None:
            recipe = {**pipeline.recipe(request, *seen.size), "strength": round(strength, 3), "image_guidance": image_guidance}
            full = edited.resize(picture.size, Image.Resampling.LANCZOS)
            yield Output(MediaKind.IMAGE, full, of=artefact.id, label=request.prompt, recipe=recipe)


def working_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height with the longer one ``side``, both multiples of 8: what the pipeline works on."""
    scale = side / max(size)
    width, height = (max(MULTIPLE, round(length * scale / MULTIPLE) * MULTIPLE) for length in size)
    return width, height


def loader(source: PipelineSource) -> Callable[[], InstructEditExpert]:
    """For ``ExpertSpec.load``."""
    return partial(_load, source)


def _load(source: PipelineSource) -> InstructEditExpert:
    return InstructEditExpert(load_pipeline(source))
