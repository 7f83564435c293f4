"""Layout to image by a StableDiffusionGLIGENPipeline: each phrase appears in its box (GLIGEN, arXiv 2301.07093).

The boxes are the language model's or the visitor's; they are not corrected here.
"""

from collections.abc import Callable, Iterator
from functools import partial

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output
from unified_demo.experts.diffusion import Pipeline, PipelineSource, load_pipeline
from unified_demo.grammar import MediaKind
from unified_demo.remembered import DRAWN, written

PIPELINE = "StableDiffusionGLIGENPipeline"


class LayoutExpert:
    """``options`` of the source are fields of ``gligen.GligenCall``, such as ``share``."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a square picture. ExpertError without boxes, with too many or for an unknown thing."""
        from unified_demo.experts.gligen import MOST_BOXES, GligenCall, draw

        pairs = [(region.phrase, box) for region in request.regions for box in region.boxes]
        if not 1 <= len(pairs) <= MOST_BOXES:
            raise ExpertError(f"Layout generation got {len(pairs)} boxes; 1 to {MOST_BOXES} phrases with a box are allowed.")
        pipeline, side = self._pipeline, self._pipeline.source.side
        left_out = pipeline.check(*(phrase for phrase, _ in pairs))
        picture = yield from pipeline.run(
            request,
            lambda on_step: draw(
                pipeline.pipe,
                GligenCall(
                    prompt=request.prompt or ", ".join(phrase for phrase, _ in pairs),
                    phrases=tuple(phrase for phrase, _ in pairs),
                    boxes=tuple(box.as_tuple() for _, box in pairs),
                    side=side,
                    steps=pipeline.steps(request),
                    guidance=pipeline.guidance(request),
                    generator=pipeline.generator(request),
                    **pipeline.source.options,
                ),
                on_step,
            ),
        )
        if picture is not None:
            recipe = {**pipeline.recipe(request, side, side), DRAWN: written(pairs), **left_out}
            yield Output(MediaKind.IMAGE, picture, label=request.prompt, recipe=recipe)


def loader(source: PipelineSource) -> Callable[[], LayoutExpert]:
    """For ``ExpertSpec.load``."""
    return partial(_load, source)


def _load(source: PipelineSource) -> LayoutExpert:
    return LayoutExpert(load_pipeline(source))
