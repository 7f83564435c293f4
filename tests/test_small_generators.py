"""The tiny profile's own generators: offered when their folders are there, and only then; one folder for words, layouts and content."""

import json
from pathlib import Path

import pytest
from tiny_pipelines import SIDE, write_pipeline

from unified_demo.config import Settings
from unified_demo.errors import ModelLoadError
from unified_demo.experts import editing, region_editing, restyling
from unified_demo.experts.small_generators import EDITOR, GENERATOR, PIPELINE, SAMPLING, build_specs
from unified_demo.grammar import Task
from unified_demo.zoo import Zoo


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path / "cache", tmp_path / "weights", Settings().weights_dir / "manifest.toml")


def put(zoo: Zoo, name: str, pipeline: str) -> Path:
    folder = write_pipeline(zoo.weights_dir / "tiny" / name, pipeline)
    (folder / SAMPLING).write_text(json.dumps({"steps": 2, "guidance": 2.0, "side": SIDE, "paper": [245, 245, 246]}))
    return folder


def test_without_weights_nothing_is_offered(zoo: Zoo) -> None:
    assert build_specs(zoo) == ()
    assert region_editing.build_specs(zoo)[0].weights == ("inpainter", "segmenter")
    assert restyling.build_specs(zoo)[0].weights == restyling.ROLES


def test_one_folder_draws_from_words_and_from_layouts_and_adds_content(zoo: Zoo) -> None:
    put(zoo, GENERATOR, PIPELINE)
    assert [spec.task for spec in build_specs(zoo)] == [Task.IMAGE_GENERATION, Task.LAYOUT_GENERATION]
    (region,) = region_editing.build_specs(zoo)
    assert region.weights[-1] == "tiny/generator" and "replaces" in region.description and region.options == ("steps", "guidance")


def test_the_editor_joins_the_expert_that_uses_it(zoo: Zoo) -> None:
    put(zoo, EDITOR, editing.PIPELINE)
    (restyle,) = restyling.build_specs(zoo)
    assert restyle.weights[-1] == "tiny/editor" and build_specs(zoo) == ()


def test_a_generator_without_its_words_is_named(zoo: Zoo) -> None:
    put(zoo, GENERATOR, PIPELINE)
    with pytest.raises(ModelLoadError, match="no list of words"):
        build_specs(zoo)[0].load()


@pytest.mark.parametrize(
    "content", ["{", '{"steps": 2}', '{"steps": "many", "guidance": 1, "side": 64}', '{"steps": 2, "guidance": 1, "side": 64}']
)
def test_a_broken_folder_is_named(zoo: Zoo, content: str) -> None:
    folder = put(zoo, GENERATOR, PIPELINE)
    (folder / SAMPLING).write_text(content)
    with pytest.raises(ModelLoadError, match=SAMPLING):
        build_specs(zoo)
