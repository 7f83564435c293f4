"""The inspector: timings as bars, shares of the adapters, what is loaded; the start page says what works here."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.errors import ModelLoadError
from unified_demo.fakes import ScriptedModel, fake_spec
from unified_demo.grammar import TASK_TAGS, TASKS, Task
from unified_demo.model_facts import ModelFacts, resolve_device
from unified_demo.ui.panel import header_html, inspector_html, welcome_html
from unified_demo.ui.warmup import Warmup
from unified_demo.ui.words import say, speaking


class Unloadable:
    """A language model whose weights are not there."""

    def load(self) -> None:
        raise ModelLoadError("The weights are <gone>.")


TIMINGS = {
    "look_s": 1.0, "prefill_s": 1.0, "decode_s": 4.0, "tokens": 40.0, "total_s": 10.0,
    "call_0_start_s": 4.0, "call_0_end_s": 9.0, "gate_0": 0.7, "gate_1": 0.3,
}  # fmt: skip


def drawn(tmp_path: Path, timings: dict[str, float]) -> str:
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]), (fake_spec(),))
    return str(inspector_html(engine, Warmup(engine), timings))


def test_timings_are_bars_side_by_side(tmp_path: Path) -> None:
    bars = re.findall(r'data-kind="(\w+)" style="left:([\d.]+)%;width:([\d.]+)%"', drawn(tmp_path, TIMINGS))
    assert [(kind, float(left), float(width)) for kind, left, width in bars] == [
        ("look", 0.0, 10.0),
        ("read", 10.0, 10.0),
        ("write", 20.0, 40.0),
        ("expert", 40.0, 50.0),
    ]


def test_experts_are_called_by_their_task_and_numbered_where_there_are_several(tmp_path: Path) -> None:
    times = {f"call_{call}_{end}_s": start for call in (0, 1, 2, 10) for end, start in (("start", 4.0), ("end", 9.0))}
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]), (fake_spec(),))
    tasks = {0: "seg", 1: "redit", 2: "seg"}

    def names() -> list[str]:
        html = str(inspector_html(engine, Warmup(engine), {"total_s": 10.0} | times, tasks))
        return re.findall(r"<li><span>([^<]+)</span><div><i data-kind=\"expert\"", html)

    assert names() == ["segmentation 1", "region editing", "segmentation 2", "expert"]
    with speaking("zh"):
        assert names() == [f"{say('segmentation')} 1", say("region editing"), f"{say('segmentation')} 2", say("expert")]
        assert say("segmentation") != "segmentation"


def test_adapters_have_their_shares_and_without_an_answer_there_are_none(tmp_path: Path) -> None:
    html = drawn(tmp_path, TIMINGS)
    assert "70%, 30%" in html
    assert "um-layers" not in html
    empty = drawn(tmp_path, {})
    assert "um-gates" not in empty and "um-gantt" not in empty


def test_plain_chat_shows_that_the_adapters_are_off(tmp_path: Path) -> None:
    without = {name: value for name, value in TIMINGS.items() if not name.startswith("gate_")}
    html = drawn(tmp_path, without | {"frozen": 1.0})
    assert "Switched off" in html and "um-gates" not in html
    assert "Switched off" not in drawn(tmp_path, TIMINGS)


def test_layers_have_a_cell_for_each_adapter(tmp_path: Path) -> None:
    shares = {"layer_9_gate_0": 0.6, "layer_9_gate_1": 0.4, "layer_10_gate_0": 0.3, "layer_10_gate_1": 0.7}
    html = drawn(tmp_path, TIMINGS | shares)
    assert re.findall(r'--share:([\d.]+)%" title="([^"]+)"', html) == [
        ("85.7", "layer 9, adapter 1: 60%"),
        ("42.9", "layer 10, adapter 1: 30%"),
        ("57.1", "layer 9, adapter 2: 40%"),
        ("100.0", "layer 10, adapter 2: 70%"),
    ]


@pytest.mark.parametrize(
    "odd", [{"layer_x_gate_0": 1.0}, {"layer_3_gate_7": 0.5}, {"layer_": 1.0}, {"layer_3_gate_0": 0.0, "layer_3_gate_1": 0.0}]
)
def test_timings_of_an_export_that_somebody_wrote_by_hand_break_nothing(tmp_path: Path, odd: dict[str, float]) -> None:
    assert "um-gantt" in drawn(tmp_path, TIMINGS | odd)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a program's memory")
def test_memory_is_told(tmp_path: Path) -> None:
    held = re.search(r"holds ([\d.]+) GB", drawn(tmp_path, {}))
    assert held and 0 < float(held[1]) < 1000


def engine_of(tmp_path: Path, tasks: Sequence[str], **chosen: Any) -> Engine:
    return load_engine(Settings(media_dir=tmp_path, **chosen), ScriptedModel([]), tuple(fake_spec(task=tag) for tag in tasks))


def honest(engine: Engine) -> str:
    """The banner of the start page."""
    found = re.search(r'<p class="um-honest">(.*?)</p>', str(welcome_html(engine)))
    assert found
    return found[1]


def test_the_welcome_names_every_task_without_an_expert_and_how_to_get_more(tmp_path: Path) -> None:
    able, banner = ("seg", "gen"), honest(engine_of(tmp_path, ("seg", "gen")))
    can, cannot = re.findall(r"It can do: (.*?)\. .*Not yet: (.*?)\. ", banner)[0]
    assert set(cannot.split(", ")) == {spec.title for task, spec in TASKS.items() if task.value not in able}
    assert set(can.split(", ")) >= {TASKS[Task(tag)].title for tag in able}
    assert banner.startswith("<b>Profile tiny.</b>") and banner.endswith("python app.py --profile full.")


def test_the_welcome_of_the_default_profile_tells_what_it_lacks(tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]))
    lacks = [spec.title for task, spec in TASKS.items() if task.value not in engine.tasks()]
    assert lacks and f"Not yet: {', '.join(lacks)}." in honest(engine)


def test_the_welcome_says_it_in_chinese(tmp_path: Path) -> None:
    with speaking("zh"):
        banner = honest(engine_of(tmp_path, ("seg", "gen")))
        assert all(say(spec.title) in banner for spec in TASKS.values())
    assert "尚不支持：视频分割、" in banner and banner.endswith("--profile full。")


def test_a_full_profile_lacks_nothing_or_says_where_the_reasons_are(tmp_path: Path) -> None:
    complete = honest(engine_of(tmp_path, TASK_TAGS, profile="full"))
    assert complete.startswith("<b>Profile full.</b>") and "Not yet" not in complete and complete.strip().endswith("what matters.")
    partly = honest(engine_of(tmp_path, TASK_TAGS[1:], profile="full"))
    assert partly.endswith("Not yet: segmentation. The server&#39;s log says why.")


def settings_of(html: str) -> dict[str, str]:
    """What the inspector says under "This page"."""
    found = re.search(r'<dl class="um-setting">(.*?)</dl>', html)
    assert found
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", found[1]))


def models_of(html: str) -> dict[str, tuple[str, str, str]]:
    """Title -> data-loaded, what it is, the words for whether it is loaded."""
    rows = re.findall(r'<li data-loaded="(\w+)"><i></i><div><b>(.*?)</b><small>(.*?)</small><small>(.*?)</small>', html)
    return {title: (loaded, facts, state) for loaded, title, facts, state in rows}


def test_the_inspector_tells_profile_precision_and_device(tmp_path: Path) -> None:
    """Before the weights are there, "auto" is what was set; afterwards, what it came to."""
    engine = engine_of(tmp_path, ("seg",))
    engine.speaker = ModelFacts("a language model", "MIT", "bfloat16", "auto")
    warmup = Warmup(engine)
    assert settings_of(str(inspector_html(engine, warmup, {}))) == {"Profile": "tiny", "Precision": "bfloat16", "Device": "auto"}
    warmup.state = "ready"
    device = resolve_device("auto")
    told = settings_of(str(inspector_html(engine, warmup, {})))
    assert told == {"Profile": "tiny", "Precision": "bfloat16", "Device": device} | (
        {"Device of the experts": "cpu"} if device != "cpu" else {}
    )
    engine.speaker = ModelFacts("a language model", "MIT", "nf4", "cuda")
    assert settings_of(str(inspector_html(engine, warmup, {})))["Device of the experts"] == "cpu"
    with speaking("zh"):
        assert settings_of(str(inspector_html(engine, warmup, {})))["精度"] == "nf4"


def test_the_inspector_lists_the_language_model_and_the_experts(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, ("seg", "gen"))
    engine.speaker = ModelFacts("Ours <b>", "MIT", "bfloat16", "cpu")
    warmup = Warmup(engine)
    before = models_of(str(inspector_html(engine, warmup, {})))
    assert list(before) == ["Language model", "Segmentation", "Image generation"]
    assert before["Language model"] == ("no", "Ours &lt;b&gt; · MIT", "not loaded yet")
    warmup.state = "ready"
    with engine.router.registry.acquire("gen"):
        after = models_of(str(inspector_html(engine, warmup, {})))
    assert [loaded for loaded, _, _ in after.values()] == ["yes", "no", "yes"]
    assert after["Language model"][2] == "loaded"


@pytest.mark.parametrize(
    ("chosen", "name", "precision"),
    [
        ({}, "SmolLM2-135M-Instruct, 4-bit GGUF", "bfloat16"),
        ({"precision": "float32"}, "SmolLM2-135M-Instruct, 4-bit GGUF", "float32"),
        ({"profile": "full", "quantisation": "nf4"}, "Qwen/", "nf4"),
        ({"server": "http://127.0.0.1:1", "server_model": "theirs"}, "theirs", ""),
    ],
)
def test_what_is_told_of_the_language_model_follows_the_settings(chosen: dict[str, str], name: str, precision: str, tmp_path: Path) -> None:
    speaker = load_engine(Settings(media_dir=tmp_path, device="cpu", **chosen)).speaker
    assert speaker.name.startswith(name) and speaker.precision == precision
    assert (speaker.device, bool(speaker.licence)) == (("", False) if "server" in chosen else ("cpu", True))


def test_a_failed_load_is_told_in_full_by_header_and_inspector(tmp_path: Path) -> None:
    engine = engine_of(tmp_path, ("seg",))
    engine.model = Unloadable()
    warmup = Warmup(engine)
    for _ in warmup.wait(threading.Event()):
        pass
    assert 'data-state="failed" role="status" title="The weights are &lt;gone&gt;."' in header_html(engine, warmup)
    assert "<span>model not loaded</span>" in header_html(engine, warmup)
    assert '<p class="um-error" role="alert">The weights are &lt;gone&gt;.</p>' in inspector_html(engine, warmup, {})
