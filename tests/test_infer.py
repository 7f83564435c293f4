"""One question, one result: settings are checked, events become JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Settings
from unified_demo.engine import Engine
from unified_demo.errors import ExpertError, UnifiedError
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import MediaKind, Task
from unified_demo.infer import infer, read_settings

ANSWER = ["<p>The dog</p>", "<box>[100,200,500,900]</box> sits. ", "<seg>the dog<box>[100,200,500,900]</box></seg>"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (120, 80), "teal").save(path)
    return path


def engine_of(tmp_path: Path, script: list[str], expert: FakeExpert | None = None) -> Engine:
    return load_engine(Settings(media_dir=tmp_path / "media"), ScriptedModel(script), (fake_spec(expert),))


def test_the_result_has_the_documented_form(tmp_path: Path, photo: Path) -> None:
    result = infer(engine_of(tmp_path, ANSWER), "where is the dog?", [photo])
    found = json.loads(json.dumps(result.as_json()))
    assert list(found) == ["text", "raw", "regions", "calls", "artefacts", "timings", "warnings"]
    assert found["text"] == "The dog sits."
    assert found["raw"] == "".join(ANSWER)
    (region,) = found["regions"]
    assert region["phrase"] == "The dog"
    assert region["artefact"] == "img-1"
    assert region["boxes"] == [[100 / 999, 200 / 999, 500 / 999, 900 / 999]]
    (call,) = found["calls"]
    assert (call["task"], call["status"], call["error"], call["artefacts"]) == ("seg", "done", None, ["mask-1"])
    assert call["seconds"] >= 0
    assert [(item["id"], item["kind"]) for item in found["artefacts"]] == [("img-1", "image"), ("mask-1", "mask")]
    assert [path.name for path in result.files] == [item["file"] for item in found["artefacts"]]
    assert all(path.is_file() for path in result.files)
    assert found["timings"]["total_s"] >= 0


def test_a_failed_call_leaves_the_rest(tmp_path: Path, photo: Path) -> None:
    expert = FakeExpert(error=ExpertError("It broke."))
    found = infer(engine_of(tmp_path, ANSWER, expert), "cut", [photo]).as_json()
    assert found["text"] == "The dog sits."
    assert (found["calls"][0]["status"], found["calls"][0]["error"]) == ("failed", "It broke.")


def test_a_bad_file_among_good_ones_is_told(tmp_path: Path, photo: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    found = infer(engine_of(tmp_path, ["Fine."]), "what?", [bad, photo]).as_json()
    assert [item["id"] for item in found["artefacts"]] == ["img-1"]
    assert any("bad.png" in warning for warning in found["warnings"])


@pytest.mark.parametrize(("text", "sentence"), [("", "empty"), ("x" * 10_001, "10,001 characters")])
def test_what_cannot_be_answered_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UnifiedError, match=sentence):
        infer(engine_of(tmp_path, ["Fine."]), text)


def test_settings_reach_the_model() -> None:
    wanted = GenerationOptions(max_new_tokens=7, temperature=0.5, seed=3, constrained=False)
    values = {"max_new_tokens": 7, "temperature": 0.5, "seed": 3, "constrained": False}
    assert read_settings(values) == read_settings(json.dumps(values)) == wanted
    assert read_settings({"max_new_tokens": 7.0, "temperature": 1}) == GenerationOptions(max_new_tokens=7, temperature=1.0)
    assert read_settings(None) == read_settings("") == read_settings("{}") == GenerationOptions()


@pytest.mark.parametrize(
    "settings",
    [
        {"stepps": 3},
        {"steps": 0},
        {"steps": 2.5},
        {"guidance": -1},
        {"strength": 1.5},
        {"seed": "1"},
        {"seed": True},
        {"seed": 1.5},
        {"seed": float("inf")},
        {"seed": 2**70},
        {"constrained": 1},
        {"temperature": None},
        {"temperature": float("nan")},
        {"max_new_tokens": 0},
        [1],
        "[1]",
        "{",
        7,
    ],
)
def test_bad_settings_are_refused_with_a_sentence(settings: Any) -> None:
    with pytest.raises(UnifiedError) as caught:
        read_settings(settings)
    assert str(caught.value).endswith(".")


def test_an_unknown_setting_names_the_allowed_ones() -> None:
    with pytest.raises(UnifiedError, match="no setting 'stepps'; allowed: max_new_tokens, temperature, seed, constrained, steps"):
        read_settings({"stepps": 3})


def test_how_experts_draw_reaches_them(tmp_path: Path) -> None:
    expert = FakeExpert(MediaKind.IMAGE)
    spec = fake_spec(expert, Task.IMAGE_GENERATION.value)
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel(["<gen>a fox</gen>"]), (spec,))
    infer(engine, "draw a fox", settings={"steps": 4, "guidance": 2, "strength": 0.5, "seed": 7})
    infer(engine, "draw a fox")
    asked, usual = expert.requests
    assert (asked.steps, asked.guidance, asked.strength, asked.seed) == (4, 2.0, 0.5, 7)
    assert (usual.steps, usual.guidance, usual.strength) == (None, None, None)
