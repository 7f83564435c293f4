"""The tiny profile's own generators: offered when their folders are there, and only then; one folder for words and layouts."""

import json
from pathlib import Path

import pytest
from tiny_pipelines import SIDE, write_pipeline

from unified_demo.config import Settings
from unified_demo.errors import ModelLoadError
from unified_demo.experts import editing, layout, region_editing, restyling, small_generators
from unified_demo.experts.base import ExpertRequest, Output
from unified_demo.experts.small_generators import EDITOR, GENERATOR, PAINTER, SAMPLING, build_specs
from unified_demo.grammar import Box, Task
from unified_demo.messages import RegionPart
from unified_demo.zoo import Zoo


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path / "cache", tmp_path / "weights", Settings().weights_dir / "manifest.toml")


def put(zoo: Zoo, name: str, pipeline: str, inpainting: bool = False, boxes: bool = True) -> Path:
    folder = write_pipeline(zoo.weights_dir / "tiny" / name, pipeline, inpainting)
    sampling = {"steps": 2, "guidance": 2.0, "side": SIDE, **({"share": 1.0} if boxes else {})}
    (folder / SAMPLING).write_text(json.dumps(sampling))
    return folder


def test_without_weights_nothing_is_offered(zoo: Zoo) -> None:
    assert build_specs(zoo) == ()
    assert region_editing.build_specs(zoo)[0].weights == ("inpainter", "segmenter")
    assert restyling.build_specs(zoo)[0].weights == restyling.ROLES


def test_one_folder_draws_from_words_and_from_layouts(zoo: Zoo) -> None:
    put(zoo, GENERATOR, layout.PIPELINE)
    words, boxes = build_specs(zoo)
    assert (words.task, boxes.task) == (Task.IMAGE_GENERATION, Task.LAYOUT_GENERATION)
    request = ExpertRequest("a fox", regions=(RegionPart("a fox", (Box(0.1, 0.1, 0.6, 0.6),)),), seed=1)
    pictures = [event for spec in (words, boxes) for event in spec.load().run(request) if isinstance(event, Output)]
    assert [picture.recipe["steps"] for picture in pictures] == [2, 2]
    assert pictures[0].value.tobytes() != pictures[1].value.tobytes()


def test_boxes_that_are_not_learnt_are_not_offered(zoo: Zoo) -> None:
    put(zoo, GENERATOR, layout.PIPELINE, boxes=False)
    assert [spec.task for spec in build_specs(zoo)] == [Task.IMAGE_GENERATION]


def test_editor_and_painter_join_the_experts_that_use_them(zoo: Zoo) -> None:
    put(zoo, EDITOR, editing.PIPELINE)
    put(zoo, PAINTER, layout.PIPELINE, inpainting=True)
    (restyle,), (region,) = restyling.build_specs(zoo), region_editing.build_specs(zoo)
    assert restyle.weights[-1] == "tiny/editor" and region.weights[-1] == "tiny/painter" and "replaces" in region.description
    found = small_generators.source(zoo, PAINTER, layout.PIPELINE)
    assert found is not None and found.options == {"share": 1.0} and build_specs(zoo) == ()


@pytest.mark.parametrize("content", ["{", '{"steps": 2}', '{"steps": "many", "guidance": 1, "side": 64}'])
def test_a_broken_folder_is_named(zoo: Zoo, content: str) -> None:
    folder = put(zoo, GENERATOR, layout.PIPELINE)
    (folder / SAMPLING).write_text(content)
    with pytest.raises(ModelLoadError, match=SAMPLING):
        build_specs(zoo)
