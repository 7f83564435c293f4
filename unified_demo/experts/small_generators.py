"""The tiny profile's own generators: folders below ``weights/tiny`` in diffusers' layout, offered as soon as they are there.

Beside ``model_index.json`` a folder holds ``sampling.json`` (steps, guidance, side; the generator's also ``paper``, the colour of the
ground under its layers) and the list of words that it was trained with. Nothing is loaded here.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from unified_demo.errors import ModelLoadError
from unified_demo.experts.base import ExpertSpec
from unified_demo.experts.diffusion import PipelineSource, load_pipeline
from unified_demo.experts.layered import LayeredExpert
from unified_demo.experts.layers import LayerPainter
from unified_demo.grammar import TASKS, Task
from unified_demo.zoo import Zoo

GENERATOR, EDITOR = "generator", "editor"
PIPELINE = "StableDiffusionPipeline"
SAMPLING = "sampling.json"
LICENCE = "Apache-2.0"
_WORKING_BYTES = 600 * 2**20
"""What a run holds beside the weights."""


def source(zoo: Zoo, name: str, pipeline: str) -> PipelineSource | None:
    """The folder ``name`` as a pipeline of the class ``pipeline``; None when it is not there. ModelLoadError when it is broken."""
    folder = _folder(zoo, name)
    if not (folder / "model_index.json").is_file() or not (folder / SAMPLING).is_file():
        return None
    try:
        given: dict[str, Any] = json.loads((folder / SAMPLING).read_text(encoding="utf-8"))
        steps, guidance, side = int(given["steps"]), float(given["guidance"]), int(given["side"])
        options = {"paper": tuple(int(value) for value in given["paper"])} if name == GENERATOR else {}
        return PipelineSource(str(folder), pipeline, steps, guidance, side, dtype="auto", options=options)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelLoadError(f"{folder / SAMPLING} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc


def load_layer_painter(place: PipelineSource) -> LayerPainter:
    """The generator of ``source``. ModelLoadError when it cannot be loaded or its list of words is not there."""
    pipeline = load_pipeline(place)
    if pipeline.words is None:
        raise ModelLoadError(f"{place.place} has no list of words; restore it, for example with 'git checkout'.")
    return LayerPainter(pipeline, pipeline.words, place.options["paper"])


def memory_bytes(zoo: Zoo, name: str) -> int:
    """Weights in float32 from files in half precision, and the work."""
    folder = _folder(zoo, name)
    return _WORKING_BYTES + 2 * sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def build_specs(zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """Image and layout generation where the generator's folder is there."""
    place = source(zoo, GENERATOR, PIPELINE)
    if place is None:
        return ()
    return tuple(
        ExpertSpec(
            task=task.value,
            name="small generator",
            description=TASKS[task].description,
            needs=TASKS[task].needs,
            gives=TASKS[task].gives,
            licence=LICENCE,
            weights=(f"tiny/{GENERATOR}",),
            memory_bytes=memory_bytes(zoo, GENERATOR),
            load=partial(_load, place),
            options=("steps", "guidance"),
        )
        for task in (Task.IMAGE_GENERATION, Task.LAYOUT_GENERATION)
    )


def _load(place: PipelineSource) -> LayeredExpert:
    return LayeredExpert(load_layer_painter(place))


def _folder(zoo: Zoo, name: str) -> Path:
    return zoo.weights_dir / "tiny" / name
