"""The inspector: timings as bars, shares of the adapters, what is loaded; the start page says what works here."""

import re
from pathlib import Path

import pytest

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import ScriptedModel, fake_spec
from unified_demo.ui.panel import inspector_html
from unified_demo.ui.warmup import Warmup

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


def test_adapters_have_their_shares_and_without_an_answer_there_are_none(tmp_path: Path) -> None:
    html = drawn(tmp_path, TIMINGS)
    assert "70%, 30%" in html
    assert "um-layers" not in html
    empty = drawn(tmp_path, {})
    assert "um-gates" not in empty and "um-gantt" not in empty


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
