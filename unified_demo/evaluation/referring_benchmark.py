"""The benchmark ``referring``: expressions on real photos, our model beside untrained adapters, a detector with a template and the
whole picture.

And ``reasoning``: questions whose answer is a thing in the photo. Both go through ``run.run_referring``.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from unified_demo.config import GenerationOptions
from unified_demo.evaluation.benchmark import Context, NotReady, Result, Row, stratified
from unified_demo.evaluation.referring import ANNOTATIONS, FREE_EXPRESSIONS, Target, free_targets, read_photos
from unified_demo.evaluation.run import Summary, collect_targets, run_referring
from unified_demo.evaluation.systems import Model, System, Template, WholePicture

QUESTIONS = Path(__file__).with_name("reasoning.jsonl")
SYSTEMS = ("whole", "template", "untrained", "model")
UNTRAINED_TOKENS = 48
"""Untrained adapters do not end; a box and a call fit into this."""
SHOWN_PRECISION = (0.5, 0.7, 0.9)
MEASURES = {
    "Acc@0.5": "share of targets whose box has an IoU of at least 0.5",
    "gIoU": "mean of the mask IoUs (RefCOCO's mIoU)",
    "cIoU": "summed intersections over summed unions of the masks (RefCOCO's oIoU)",
    **{f"P@{threshold}": f"share of targets whose mask has an IoU of at least {threshold}" for threshold in SHOWN_PRECISION},
    "seconds": "median of one answer",
    "errors": "answers that ended with an error",
}


class Referring:
    name = "referring"
    title = "Referring expressions on real photos (eval_coco)"
    systems = SYSTEMS

    def run(self, context: Context) -> Result:
        """Raises MediaError without annotations, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        folder = photo_folder(context)
        targets, complaints = collect_targets(folder, context.limit, context.expressions or FREE_EXPRESSIONS)
        return measure(names, targets, complaints, context)


class Reasoning:
    name = "reasoning"
    title = "Questions whose answer is a thing in a real photo (eval_coco)"
    systems = SYSTEMS

    def run(self, context: Context) -> Result:
        """Raises as Referring."""
        names = context.chosen(self.systems)
        photos, complaints = read_photos(photo_folder(context))
        targets, more = free_targets(photos, context.expressions or QUESTIONS, group="reasoning")
        chosen = stratified(targets, lambda target: target.kind, context.limit)
        return measure(names, chosen, [*complaints, *more], context)


def photo_folder(context: Context) -> Path:
    """``<data>/eval_coco``, or the data folder itself; NotReady when no folder was named."""
    if context.data is None:
        raise NotReady("This benchmark needs photos with annotations; pass --data with the folder of eval_coco.")
    inner = context.data / "eval_coco"
    return inner if (inner / ANNOTATIONS).exists() else context.data


def measure(names: Sequence[str], targets: Sequence[Target], complaints: Sequence[str], context: Context) -> Result:
    measured = run_referring([build(name, context) for name in names], targets, context.out, complaints)
    samples = tuple(asdict(row) for row in measured.rows)
    return Result(rows_of(measured.summaries), MEASURES, samples, measured.skipped, {"targets": len(targets)})


def build(name: str, context: Context) -> System:
    """One system; the embeddings of pictures are kept by the engine, which the systems of a run share."""
    if name == "model":
        return Model(context.subjects.engine())
    if name == "untrained":
        return Model(context.subjects.untrained_engine(), GenerationOptions(max_new_tokens=UNTRAINED_TOKENS), name)
    if name == "template":
        return Template(context.subjects.detector(), context.subjects.router_only().router)
    return WholePicture()


def rows_of(summaries: dict[str, dict[str, Summary]]) -> tuple[Row, ...]:
    return tuple(
        Row(
            system,
            group,
            figures.count,
            {
                "Acc@0.5": figures.accuracy,
                "gIoU": figures.g_iou,
                "cIoU": figures.c_iou,
                **{f"P@{threshold}": figures.precision.get(threshold) for threshold in SHOWN_PRECISION},
                "seconds": figures.seconds,
                "errors": float(figures.errors),
            },
        )
        for system, groups in summaries.items()
        for group, figures in groups.items()
    )
