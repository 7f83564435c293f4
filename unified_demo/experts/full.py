"""The full profile's experts: rows of ``weights/full.toml`` become ExpertSpecs; a row's kind says how it is built.

Folders of hub models are found (and fetched) on first use. Which rows are chosen is decided in ``profiles.py``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unified_demo.experts.base import Expert, ExpertEvent, ExpertRequest, ExpertSpec
from unified_demo.experts.diffusion import Pipeline, PipelineSource, load_pipeline
from unified_demo.grammar import TASKS, Task
from unified_demo.messages import Artefact
from unified_demo.profiles import Choice, ExpertRow, FullProfile, HubModel
from unified_demo.zoo import Zoo

_NOT_COMPILED = "flow_guided"
"""Its attention remembers other frames, which a compiled step would not."""
FindFolder = Callable[[HubModel], Path]
"""Where a hub model lies on this machine; fetches it if need be."""


@dataclass(frozen=True)
class Placement:
    """``device`` and ``dtype`` as torch names them; ``offload``: parts come to the device one by one; ``compile``: denoisers are."""

    device: str
    dtype: str
    offload: bool = False
    compile: bool = False


@dataclass(frozen=True)
class Order:
    """What a builder gets: the row, the folders of its models in the row's order, and where the expert shall run."""

    row: ExpertRow
    folders: tuple[Path, ...]
    placement: Placement
    zoo: Zoo

    def source(self, place: Path | None = None) -> PipelineSource:
        row, at = self.row, self.placement
        place = place or self.folders[0]
        return PipelineSource(
            str(place),
            row.pipeline.split(" + ")[0],
            row.steps,
            row.guidance,
            row.side,
            "",
            at.device,
            at.dtype,
            row.options,
            {},
            at.offload,
            at.compile and row.kind != _NOT_COMPILED,
        )


class Movable:
    """An expert around one pipeline, which may wait in main memory."""

    def __init__(self, expert: Expert, pipeline: Pipeline) -> None:
        self._expert, self._pipeline = expert, pipeline

    def prepare(self, inputs: Sequence[Artefact]) -> None:
        if early := getattr(self._expert, "prepare", None):
            early(inputs)

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        return self._expert.run(request)

    def move_to(self, device: str) -> None:
        self._pipeline.move_to(device)


def _picture_expert(make: Callable[[Pipeline], Expert], order: Order) -> Expert:
    pipeline = load_pipeline(order.source())
    return Movable(make(pipeline), pipeline)


def _generation(order: Order) -> Expert:
    from unified_demo.experts.generation import GenerationExpert

    return _picture_expert(GenerationExpert, order)


def _layout(order: Order) -> Expert:
    from unified_demo.experts.layout import LayoutExpert

    return _picture_expert(LayoutExpert, order)


def _editing(order: Order) -> Expert:
    from unified_demo.experts.editing import InstructEditExpert

    return _picture_expert(InstructEditExpert, order)


def _region_editing(order: Order) -> Expert:
    from unified_demo.experts import region_editing as parts
    from unified_demo.experts.inpainting import Inpainter

    pipeline = load_pipeline(order.source())
    outliner, remover = parts.load_mobile_sam(order.zoo), parts.Remover(order.zoo.path(parts.ROLE))
    return Movable(parts.RegionEditingExpert(outliner, remover, Inpainter(pipeline)), pipeline)


def _reference_editing(order: Order) -> Expert:
    from unified_demo.experts.reference_editing import ReferenceEditExpert

    return _picture_expert(ReferenceEditExpert, order)


def _instructed_regions(order: Order) -> Expert:
    from unified_demo.experts import instructed_regions as parts
    from unified_demo.experts import region_editing

    pipeline = load_pipeline(order.source())
    outliner, remover = region_editing.load_mobile_sam(order.zoo), region_editing.Remover(order.zoo.path(region_editing.ROLE))
    return Movable(parts.InstructedRegionExpert(outliner, remover, parts.MaskedEditor(pipeline)), pipeline)


def _grounded(tracking: bool, order: Order) -> Expert:
    import torch

    from unified_demo.experts.grounded_sam import GroundedSegmentation, GroundedTracking, load_parts

    finder, outliner = order.folders
    parts = load_parts(finder, outliner, order.placement.device, getattr(torch, order.placement.dtype))
    return GroundedTracking(*parts) if tracking else GroundedSegmentation(*parts)


def _film(name: str, order: Order) -> Expert:
    from unified_demo.experts import video

    adapter = str(order.folders[1]) if len(order.folders) > 1 else ""
    make: Callable[[Pipeline, video.ClipSize], Expert] = getattr(video, name)
    return make(video.load_film(order.source(), adapter), video.ClipSize(**order.row.clip))


def _flow_guided(order: Order) -> Expert:
    from unified_demo.experts.flow_guided import load_flow_guided
    from unified_demo.experts.video import ClipSize

    return load_flow_guided(order.source(), ClipSize(**order.row.clip))


def _sound(name: str, order: Order) -> Expert:
    from unified_demo.experts import audio

    load: Callable[[PipelineSource], Expert] = getattr(audio, name)
    return load(order.source())


BUILDERS: dict[str, Callable[[Order], Expert]] = {
    "generation": _generation,
    "layout": _layout,
    "editing": _editing,
    "reference_editing": _reference_editing,
    "region_editing": _region_editing,
    "instructed_regions": _instructed_regions,
    "grounded_segmentation": partial(_grounded, False),
    "grounded_tracking": partial(_grounded, True),
    "text_to_video": partial(_film, "VideoGenerationExpert"),
    "image_to_video": partial(_film, "ImageToVideoExpert"),
    "video_to_video": partial(_film, "VideoEditingExpert"),
    "flow_guided": _flow_guided,
    "auffusion": partial(_sound, "load_auffusion"),
    "audioldm2": partial(_sound, "load_audio_ldm2"),
    "stable_audio": partial(_sound, "load_stable_audio"),
}
"""Kind of a row -> how its expert is built."""
_WITH_STRENGTH = ("editing", "video_to_video", "flow_guided")
_DISTILLED = ("Flux2Klein",)
"""Beginnings of pipelines whose weights know no guidance: it is not offered."""


def build_specs(profile: FullProfile, choice: Choice, find: FindFolder, placement: Placement, zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """The chosen experts; nothing is loaded or fetched here."""
    return tuple(_spec(profile, row, find, placement, zoo) for row in choice.experts)


def _spec(profile: FullProfile, row: ExpertRow, find: FindFolder, placement: Placement, zoo: Zoo) -> ExpertSpec:
    task, models = TASKS[Task(row.task)], profile.of(row)
    return ExpertSpec(
        task=row.task,
        name=row.title,
        description=row.description,
        needs=task.needs,
        gives=task.gives,
        licence=", ".join(dict.fromkeys(model.licence for model in models)),
        weights=tuple(f"{model.id}@{model.revision}" for model in models),
        memory_bytes=profile.expert_bytes(row, placement.offload),
        load=partial(_load, row, models, find, placement, zoo),
        commercial_use=all(model.commercial_use for model in models),
        options=_options(row),
    )


def _options(row: ExpertRow) -> tuple[str, ...]:
    if row.kind.startswith("grounded"):
        return ()
    guidance = () if row.pipeline.startswith(_DISTILLED) else ("guidance",)
    return ("steps", *guidance, *(("strength",) if row.kind in _WITH_STRENGTH else ()))


def _load(row: ExpertRow, models: Sequence[HubModel], find: FindFolder, placement: Placement, zoo: Zoo) -> Any:
    return BUILDERS[row.kind](Order(row, tuple(find(model) for model in models), placement, zoo))
