"""Layout to image by a StableDiffusionGLIGENPipeline: each phrase appears in its box (GLIGEN, arXiv 2301.07093).

The boxes are the language model's or the visitor's; they are not corrected here.
"""

from collections.abc import Callable, Iterator
from functools import partial

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, PipelineSource, load_pipeline
from unified_demo.grammar import MediaKind

PIPELINE = "StableDiffusionGLIGENPipeline"
MOST_BOXES = 30
"""GLIGEN was trained with at most so many."""


class LayoutExpert:
    """``options["gligen_scheduled_sampling_beta"]`` of the source: the share of steps that see the boxes (GLIGEN's own: 0.3)."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a square picture. ExpertError without boxes or with too many."""
        pairs = [(region.phrase, box) for region in request.regions for box in region.boxes]
        if not 1 <= len(pairs) <= MOST_BOXES:
            raise ExpertError(f"Layout generation got {len(pairs)} boxes; 1 to {MOST_BOXES} phrases with a box are allowed.")
        pipeline, side = self._pipeline, self._pipeline.source.side
        picture = yield from pipeline.run(
            request,
            lambda on_step: pipeline.pipe(
                request.prompt or ", ".join(phrase for phrase, _ in pairs),
                height=side,
                width=side,
                num_inference_steps=pipeline.steps(request),
                guidance_scale=pipeline.guidance(request),
                gligen_phrases=[phrase for phrase, _ in pairs],
                gligen_boxes=[list(box.as_tuple()) for _, box in pairs],
                generator=pipeline.generator(request),
                callback=lambda index, timestep, latents: on_step(index + 1, latents),
                **pipeline.source.options,
            ),
        )
        if picture is not None:
            placed = [{"phrase": phrase, "box": list(box.as_tuple())} for phrase, box in pairs]
            recipe = {**pipeline.recipe(request, side, side), "layout": placed}
            yield Output(MediaKind.IMAGE, picture, label=request.prompt, recipe=recipe)


def loader(source: PipelineSource) -> Callable[[], LayoutExpert]:
    """For ``ExpertSpec.load``."""
    return partial(_load, source)


def _load(source: PipelineSource) -> LayoutExpert:
    return LayoutExpert(load_pipeline(source))
