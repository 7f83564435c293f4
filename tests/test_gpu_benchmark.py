"""The GPU benchmark on the CPU with small networks: it runs to its end, and it fails where figures differ or too much is held."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_demo.compiling.missing_for", lambda device: "a C++ compiler")


SMALL = ["--device", "cpu", "--small", "--tokens", "2", "--calls", "8"]


def test_it_runs_anywhere_with_small_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([*SMALL, "--out", str(tmp_path / "gpu.json")]) == 0
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["small"] and len(result["parity"]) == 4 and all(row["within"] for row in result["parity"])
    assert result["parity"][0]["error"] == 0 < result["parity"][1]["error"]
    assert result["pressure"]["calls"]["new"] > 1 and 0 < result["pressure"]["most_held_gb"] <= result["pressure"]["budget_gb"]
    assert result["decoding"]["tokens_per_s"] > 0 and result["decoding"]["tokens_per_s_compiled"] is None
    assert "speed means nothing" in capsys.readouterr().out


def test_figures_that_differ_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = gpu._words
    runs = iter((0.0, 0.0, 0.5))
    monkeypatch.setattr(gpu, "_words", lambda network: honest(network) + next(runs))
    rows = gpu.parity(gpu.Plan("cpu", True, 1, 1, 6, 4))
    assert [row["within"] for row in rows if row["network"] == "language model"] == [True, False]


def test_the_limit_is_that_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "bandwidth", lambda device: 100.0)
    monkeypatch.setattr(gpu, "_tokens_per_s", lambda *_: 1.0)
    result = gpu.decoding(gpu.Plan("cpu", True, 1, 1, 6, 4))
    with torch.device("meta"):
        size = gpu.network_bytes(gpu.qwen3_vl(small=True).model.language_model) / 2
    assert result["limit"] == pytest.approx(100e9 / size, abs=0.1)


def test_without_a_gpu_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2 and "--device cpu --small" in capsys.readouterr().err
