"""The report: tables, aims and plots from small result files; the latest run of each system counts; broken files are named."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from unified_demo.errors import UnifiedError
from unified_demo.evaluation import __main__ as command
from unified_demo.evaluation.aims import AIMS
from unified_demo.evaluation.bars import Bar, draw_bars
from unified_demo.evaluation.catalogue import benchmarks
from unified_demo.evaluation.report import read_runs, write_report


def result(system: str, started: str, value: float, benchmark: str = "retention", figure: str = "KL", **more: Any) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "title": "Retention on plain chat",
        "commit": "0123456789abcdef",
        "weights": {"tiny_adapters": "f" * 64},
        "machine": {"cores": 2, "processor": "x", "torch": "2"},
        "started": started,
        "seconds": 3.0,
        "limit": None,
        "measures": {figure: "what it is"},
        "table": [{"system": system, "group": "all", "count": 5, "figures": {figure: value}, "note": ""}],
        **more,
    }


def write(folder: Path, name: str, content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def test_the_latest_run_of_each_system_counts_and_aims_are_judged(tmp_path: Path) -> None:
    write(tmp_path / "r", "a.json", result("model", "2026-01-02T00:00:00Z", 0.04))
    write(tmp_path / "r" / "old", "b.json", result("model", "2026-01-01T00:00:00Z", 0.9))
    write(tmp_path / "r", "c.json", result("untrained", "2026-01-01T00:00:00Z", 0.5, limit=7))
    said = write_report(tmp_path / "r", tmp_path / "docs" / "results.md")
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "2 results of 1 benchmarks" in said
    assert "| model | all | 5 | 0.040 |" in text and "0.900" not in text
    assert "| ≤ 0.05 | **0.040** | 5 |  | yes |" in text
    assert text.count("not measured yet") == len(AIMS) - 1
    assert "commit 0123456789, weights ffffffffffff, 2 cores of x, torch 2" in text and "limit 7" in text
    assert "- *KL*: what it is" in text and "## Not measured yet" in text
    ElementTree.parse(tmp_path / "docs" / "results" / "retention.svg")


def test_what_has_no_expert_says_so(tmp_path: Path) -> None:
    none = result("expert", "2026-01-02T00:00:00Z", 0, "sound", "top 1")
    none["table"] = [{"system": "expert", "group": "all", "count": 0, "figures": {}, "note": "no expert yet"}]
    write(tmp_path, "a.json", none)
    write_report(tmp_path, tmp_path / "results.md")
    assert "| expert | all |  | no expert yet |" in (tmp_path / "results.md").read_text()
    assert not (tmp_path / "results" / "sound.svg").exists()


def test_broken_results_are_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, "good.json", result("model", "2026-01-02T00:00:00Z", 0.1))
    (tmp_path / "broken.json").write_text("{")
    write(tmp_path, "half.json", {"table": [{"system": "model"}]})
    write(tmp_path, "other.json", [1])
    runs, complaints = read_runs(tmp_path)
    assert list(runs) == [("retention", "model")]
    assert len(complaints) == 2 and "broken.json" in complaints[0] and "half.json" in complaints[1]


def test_without_any_result_it_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnifiedError, match="No result"):
        write_report(tmp_path, tmp_path / "results.md")
    assert command.main(["report", "--results", str(tmp_path), "--out", str(tmp_path / "results.md")]) == 2
    assert "No result" in capsys.readouterr().err
    write(tmp_path, "good.json", result("model", "2026-01-02T00:00:00Z", 0.1))
    assert command.main(["report", "--results", str(tmp_path), "--out", str(tmp_path / "results.md")]) == 0


def test_every_aim_speaks_of_a_benchmark_that_is_there() -> None:
    known = benchmarks()
    for aim in AIMS:
        assert aim.system in known[aim.benchmark].systems, aim
        assert not aim.baseline or aim.baseline in known[aim.benchmark].systems, aim
    assert AIMS[0].reached(0.98) and not AIMS[0].reached(0.97)


def test_bars_are_an_xml_picture_with_marks_and_escaped_words() -> None:
    picture = draw_bars([Bar("a < b", "model", 0.5, aim=0.8), Bar("a < b", "rule", 2.0)], "T & T")
    tree = ElementTree.fromstring(picture)
    assert len([item for item in tree if item.tag.endswith("line")]) == 1
    widths = [float(item.attrib["width"]) for item in tree if item.tag.endswith("rect")]
    assert widths[-1] == pytest.approx(4 * widths[-2], rel=0.01)
