"""The tiny profile's own generators: folders below ``weights/tiny`` in diffusers' layout, offered as soon as they are there.

Beside ``model_index.json`` a folder holds ``sampling.json`` (steps, guidance, side and, where it has learnt boxes, share) and the
list of words that it was trained with. One folder draws from words and from layouts. Nothing is loaded here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unified_demo.errors import ModelLoadError
from unified_demo.experts import generation, layout
from unified_demo.experts.base import Expert, ExpertSpec
from unified_demo.experts.diffusion import PipelineSource
from unified_demo.grammar import TASKS, Task
from unified_demo.zoo import Zoo

GENERATOR, EDITOR, PAINTER = "generator", "editor", "painter"
SAMPLING = "sampling.json"
LICENCE = "Apache-2.0"
_WORKING_BYTES = 600 * 2**20
"""What a run holds beside the weights."""
Loader = Callable[[PipelineSource], Callable[[], Expert]]


def source(zoo: Zoo, name: str, pipeline: str) -> PipelineSource | None:
    """The folder ``name`` as a pipeline of the class ``pipeline``; None when it is not there. ModelLoadError when it is broken."""
    folder = _folder(zoo, name)
    if not (folder / "model_index.json").is_file() or not (folder / SAMPLING).is_file():
        return None
    try:
        given: dict[str, Any] = json.loads((folder / SAMPLING).read_text(encoding="utf-8"))
        options = {"share": float(given["share"])} if pipeline == layout.PIPELINE and "share" in given else {}
        steps, guidance, side = int(given["steps"]), float(given["guidance"]), int(given["side"])
        return PipelineSource(str(folder), pipeline, steps, guidance, side, dtype="auto", options=options)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelLoadError(f"{folder / SAMPLING} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc


def memory_bytes(zoo: Zoo, name: str) -> int:
    """Weights in float32 from files in half precision, and the work."""
    folder = _folder(zoo, name)
    return _WORKING_BYTES + 2 * sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def build_specs(zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """Image generation where the generator's folder is there, layout generation where it has learnt boxes as well."""
    rows: tuple[tuple[Task, str, Loader], ...] = (
        (Task.IMAGE_GENERATION, generation.PIPELINE, generation.loader),
        (Task.LAYOUT_GENERATION, layout.PIPELINE, layout.loader),
    )
    found = [(task, source(zoo, GENERATOR, pipeline), load) for task, pipeline, load in rows]
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
            load=load(place),
            options=("steps", "guidance"),
        )
        for task, place, load in found
        if place is not None and (task != Task.LAYOUT_GENERATION or "share" in place.options)
    )


def _folder(zoo: Zoo, name: str) -> Path:
    return zoo.weights_dir / "tiny" / name
