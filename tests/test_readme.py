"""What the README says can be done, is done here: commands, flags, examples, the feature table, the picture of the floors."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from test_floors import FLOORS

import unified_demo.assembly
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ANSWER = ["Here is <p>the dog</p><box>[100,200,500,900]</box>.", "<seg><ref>img-1</ref>the dog<box>[100,200,500,900]</box></seg>"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section '{title}'"
    return found[1]


def commands() -> list[list[str]]:
    """Every shell command of the README, in words, comments left out."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    lines += re.findall(r"^    ((?:pip|python) .*)$", TEXT, re.MULTILINE)
    return [part.split("#")[0].split() for line in lines for part in line.split("&&") if part.split("#")[0].strip()]


def modules() -> list[str]:
    return sorted({words[2] for words in commands() if words[:2] == ["python", "-m"]})


@cache
def help_of(*words: str) -> str:
    done = subprocess.run([sys.executable, *words, "--help"], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(words)} --help: {done.stderr[-500:]}"
    return done.stdout


# ---- commands ----


def test_the_two_commands_are_there() -> None:
    assert "\n    pip install -r requirements.txt && python app.py\n" in TEXT
    assert "\n    pip install -r requirements-dev.txt && pytest\n" in TEXT


def test_commands_start_with_what_is_there() -> None:
    for words in commands():
        if words[:3] == ["pip", "install", "-r"]:
            assert (REPOSITORY / words[3]).is_file()
        elif words[:2] == ["python", "-m"]:
            path = REPOSITORY / words[2].replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), words
        elif words[0] == "python":
            assert (REPOSITORY / words[1]).is_file()
        else:
            assert words == ["pytest"]


def test_modules_are_found() -> None:
    parts = {"unified_demo.zoo", "unified_demo.data", "unified_demo.training", "unified_demo.evaluation", "benchmarks.first_answer"}
    small = ("answers", "antecedents", "generators", "hearing", "intents", "naming", "small_talk")
    training = {f"unified_demo.training.{name}" for name in small}
    assert set(modules()) == parts | training


@pytest.mark.parametrize("module", modules())
def test_a_command_knows_the_words_it_is_given(module: str) -> None:
    for words in (words[3:] for words in commands() if words[:3] == ["python", "-m", module]):
        known = help_of("-m", module) + (help_of("-m", module, words[0]) if module.endswith((".evaluation", ".data")) else "")
        actions = {word for group in re.findall(r"\{([\w,]+)\}", known) for word in group.split(",")}
        assert not [word for word in words if re.fullmatch(r"[a-z]+", word) and word not in actions], words
        assert not [word for word in words if word.startswith("--") and word not in known], words


def test_the_table_of_flags_is_that_of_the_program() -> None:
    said = set(re.findall(r"^\| `(--[\w-]+)`", section("Flags of `app.py`"), re.MULTILINE))
    assert said == set(re.findall(r"^\s+(--[\w-]+)", help_of("app.py"), re.MULTILINE))


def test_the_size_of_the_first_download_is_that_of_the_manifest() -> None:
    from unified_demo.zoo import Zoo

    zoo = Zoo(Settings().cache_dir, Settings().weights_dir)
    files = [zoo.file(role) for role in zoo.roles("tiny")]
    fetched = [file for file in files if all(source.kind != "local" for source in file.sources)]
    said = " ".join(section("The first start").split())
    assert f"{sum(file.bytes for file in fetched) / 1e6:.0f} MB are fetched" in said
    for file in files:
        assert not file.bytes or file.megabytes in said, file.name


# ---- examples ----


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return load_engine(Settings(media_dir=tmp_path / "media"), ScriptedModel(ANSWER), (fake_spec(FakeExpert()),))


def example(part: str) -> str:
    (found,) = [block for block in blocks("python") if part in block]
    return found


def test_every_python_block_is_known() -> None:
    assert len(blocks("python")) == 2


def test_the_python_example_runs(engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(unified_demo.assembly, "load_engine", lambda: engine)
    monkeypatch.chdir(REPOSITORY)
    exec(compile(example("load_engine"), "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "Here is the dog." in said
    assert "the dog [(0.1" in said
    assert said.count("Path(") == 2


def test_the_client_example_runs(engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from unified_demo.ui.chat import build_chat
    from unified_demo.ui.serve import ServeOptions, launch_options

    page = build_chat(engine)
    _, url, _ = page.launch(**launch_options(engine, ServeOptions()), prevent_thread_lock=True, quiet=True)
    monkeypatch.chdir(REPOSITORY)
    address = "http://127.0.0.1:7860"
    assert address in example("gradio_client")
    try:
        names: dict = {}
        exec(compile(example("gradio_client").replace(address, url), "README.md", "exec"), names)
    finally:
        page.close()
    assert "Here is the dog." in capsys.readouterr().out
    assert names["answer"]["calls"][0]["status"] == "done"
    assert len(names["files"]) == 2
    described = " ".join(section("Use it from a program").split())
    assert all(f'"{key}"' in described for key in names["answer"])


# ---- tables and pictures ----


def features() -> Iterator[tuple[str, str, str]]:
    """(feature, state, test) of each row."""
    for line in section("What works today").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0] != "feature" and not set(cells[0]) <= {"-"}:
            yield cells[0], cells[1], cells[2].strip("`")


def test_features_that_work_name_a_test_that_is_there() -> None:
    rows = list(features())
    assert len(rows) > 10
    for feature, state, test in rows:
        assert state in ("works", "not yet"), feature
        if state == "works":
            path, name = test.split("::")
            assert re.search(rf"^def {name}\(", (REPOSITORY / path).read_text(encoding="utf-8"), re.MULTILINE), test
        else:
            assert not test, f"{feature} has a test, so it works"


def test_tasks_without_an_expert_are_said_to_be_missing() -> None:
    from unified_demo.grammar import TASKS, Task

    offered = set(load_engine(Settings(), ScriptedModel([])).tasks())
    missing = {item.strip().lower() for feature, state, _ in features() if state == "not yet" for item in feature.split(",")}
    for task in Task:
        assert (TASKS[task].title in missing) == (task.value not in offered), TASKS[task].title


def test_the_picture_of_the_floors_is_the_rule() -> None:
    drawn: dict[str, int] = {}
    number = 7
    for line in re.findall(r"^    (.*)$", section("Floors"), re.MULTILINE):
        floor = re.match(r"(\d)  ", line)
        number = int(floor[1]) if floor else number
        names = re.findall(r"(\w+)(?:\.py|/)(?= |$)", line) if number == 0 else re.findall(r"^(?:\d|\s)\s+(\w+)(?:\.py|/)", line)
        drawn |= dict.fromkeys(names, number)
    there = {room for room in FLOORS if any((REPOSITORY / "unified_demo" / f"{room}{end}").exists() for end in ("", ".py"))}
    assert {room: floor for room, floor in drawn.items() if floor < 7} == {room: FLOORS[room] for room in there if FLOORS[room] < 7}


def test_what_the_paths_name_is_there() -> None:
    from unified_demo.experts.mobile_sam import MobileSam
    from unified_demo.experts.segmentation import SegmentationExpert
    from unified_demo.model.backend import TinyModel
    from unified_demo.model.multimodal_lm import MultimodalNetwork
    from unified_demo.router import Router

    known = {kind.__name__: kind for kind in (Engine, TinyModel, MultimodalNetwork, Router, SegmentationExpert, MobileSam)}
    named = re.findall(r"\b([A-Z]\w+)\.(\w+)", section("The path of a message, and of a task call"))
    assert {kind for kind, _ in named} == set(known)
    assert all(hasattr(known[kind], method) for kind, method in named)


def test_files_that_are_named_are_there() -> None:
    for path in re.findall(r"`((?:assets|weights|unified_demo|tests)/[\w/.-]+|LICENSE|NOTICE)`", TEXT):
        if path != "weights/tiny/":
            assert (REPOSITORY / path).exists(), path
