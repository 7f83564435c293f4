"""Text to image by a StableDiffusionPipeline, whichever profile's. The prompt's words come from the language model."""

from collections.abc import Callable, Iterator
from functools import partial

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, PipelineSource, load_pipeline, step_end
from unified_demo.grammar import MediaKind

PIPELINE = "StableDiffusionPipeline"


class GenerationExpert:
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a square picture. ExpertError without a prompt, or for a thing that cannot be drawn."""
        if not request.prompt.strip():
            raise ExpertError("Image generation got no words; please say what shall be in the picture.")
        pipeline, side = self._pipeline, self._pipeline.source.side
        left_out = pipeline.check(request.prompt)
        picture = yield from pipeline.run(
            request,
            lambda on_step: pipeline.pipe(
                request.prompt,
                height=side,
                width=side,
                num_inference_steps=pipeline.steps(request),
                guidance_scale=pipeline.guidance(request),
                generator=pipeline.generator(request),
                callback_on_step_end=step_end(on_step),
                **pipeline.source.options,
            ),
        )
        if picture is not None:
            yield Output(MediaKind.IMAGE, picture, label=request.prompt, recipe=pipeline.recipe(request, side, side) | left_out)


def loader(source: PipelineSource) -> Callable[[], GenerationExpert]:
    """For ``ExpertSpec.load``."""
    return partial(_load, source)


def _load(source: PipelineSource) -> GenerationExpert:
    return GenerationExpert(load_pipeline(source))
