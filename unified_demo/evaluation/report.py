"""``docs/results.md``: every table and plot from the JSON files of runs; no figure is written by hand.

For each benchmark and system the latest run counts. It reads files and writes Markdown and SVG; it measures nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.errors import UnifiedError
from unified_demo.evaluation.aims import AIMS, Aim
from unified_demo.evaluation.bars import Bar, draw_bars
from unified_demo.evaluation.catalogue import benchmarks
from unified_demo.evaluation.gates import draw_gates

MOST_BARS = 120
OURS = "tiny_adapters"


@dataclass(frozen=True)
class Run:
    """What one JSON file says of one system. ``rows``: its rows of the table."""

    benchmark: str
    title: str
    system: str
    started: str
    written: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]

    def figure(self, group: str, name: str) -> tuple[float, int] | None:
        """(figure, samples) of a group; None when it was not measured."""
        for row in self.rows:
            value = row["figures"].get(name) if row["group"] == group else None
            if value is not None:
                return float(value), int(row["count"])
        return None


def read_runs(folder: Path) -> tuple[dict[tuple[str, str], Run], list[str]]:
    """The latest run of each (benchmark, system) below ``folder``, and a complaint for each result file that cannot be used."""
    latest: dict[tuple[str, str], Run] = {}
    complaints = []
    for path in sorted(folder.rglob("*.json")):
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(written, dict) or "table" not in written:
                continue
            for run in _runs_of(written):
                kept = latest.get((run.benchmark, run.system))
                if kept is None or kept.started <= run.started:
                    latest[run.benchmark, run.system] = run
        except (OSError, ValueError, KeyError, TypeError) as exc:
            complaints.append(f"{path} is no result of a run ({type(exc).__name__}: {exc}); left out")
    return latest, complaints


def _runs_of(written: Mapping[str, Any]) -> list[Run]:
    systems = dict.fromkeys(str(row["system"]) for row in written["table"])
    runs = []
    for system in systems:
        rows = tuple(row for row in written["table"] if row["system"] == system)
        for row in rows:
            _ = (str(row["group"]), int(row["count"]), dict(row["figures"]), str(row["note"]))
        runs.append(Run(str(written["benchmark"]), str(written["title"]), system, str(written["started"]), written, rows))
    return runs


def write_report(results: Path, out: Path) -> str:
    """Write ``out`` and its plots; returns one line that says what was written. UnifiedError when there is no result at all."""
    runs, complaints = read_runs(results)
    if not runs:
        raise UnifiedError(f"No result of a run lies in {results}; run a benchmark with --keep {results} first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    plots = out.parent / out.stem
    known = list(benchmarks())
    order = sorted({name for name, _ in runs}, key=lambda name: (known.index(name) if name in known else len(known), name))
    parts = [_head(), _aims(runs)]
    for name in order:
        parts.append(_section(name, [run for (benchmark, _), run in runs.items() if benchmark == name], plots, out.parent))
    missing = [name for name in known if name not in order]
    if missing:
        parts.append(f"## Not measured yet\n\n{', '.join(missing)}.\n")
    parts += [f"Left out: {complaint}\n" for complaint in complaints]
    out.write_text("\n".join(parts), encoding="utf-8")
    return f"{len(runs)} results of {len(order)} benchmarks in {out}" + "".join(f"\nskipped: {complaint}" for complaint in complaints)


def _head() -> str:
    return (
        "# Results\n\nWritten by `python -m unified_demo.evaluation report`; every figure comes from the JSON file of a run.\n"
        "Each table says from which commit, weights (SHA-256 of the trained file), machine and day. Shares are 0–1.\n"
    )


def _aims(runs: Mapping[tuple[str, str], Run]) -> str:
    lines = ["## Aims", "", "| what | figure | aim | reached | samples | baseline | |", "|---|---|---|---|---|---|---|"]
    lines += [_aim_line(aim, runs) for aim in AIMS]
    return "\n".join(lines) + "\n"


def _aim_line(aim: Aim, runs: Mapping[tuple[str, str], Run]) -> str:
    run = runs.get((aim.benchmark, aim.system))
    found = run.figure(aim.group, aim.figure) if run else None
    beside = runs.get((aim.benchmark, aim.baseline))
    other = beside.figure(aim.group, aim.figure) if beside else None
    sign = "≤" if aim.below else "≥"
    reached, count = (f"**{found[0]:.3f}**", str(found[1])) if found else ("not measured yet", "")
    verdict = ("yes" if aim.reached(found[0]) else "no") if found else ""
    baseline = f"{other[0]:.3f} ({aim.baseline})" if other else ""
    return f"| {aim.what} | {aim.figure} | {sign} {aim.value:g} | {reached} | {count} | {baseline} | {verdict} |"


def _section(name: str, runs: Sequence[Run], plots: Path, base: Path) -> str:
    measures: dict[str, str] = {key: text for run in runs for key, text in run.written.get("measures", {}).items()}
    lines = [f"## {runs[0].title}", "", f"`python -m unified_demo.evaluation run {name}`", ""]
    lines += ["| system | group | n | " + " | ".join(measures) + " |", "|---|---|---|" + "---|" * len(measures)]
    for row in (row for run in runs for row in run.rows):
        cells = [_cell(row["figures"].get(key)) for key in measures]
        if not row["figures"]:
            cells[0] = row["note"]
        lines.append(f"| {row['system']} | {row['group']} | {row['count'] or ''} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- *{key}*: {text}" for key, text in measures.items()), ""]
    lines += [f"- {row['system']}: {row['note']}" for run in runs for row in run.rows if row["note"] and row["figures"]]
    lines += [_origin(run) for run in runs] + [""]
    pictures = _plot(name, runs, measures, plots) + [_gates(run, plots) for run in runs if "gates" in run.written]
    return "\n".join([*lines, *(f"![{runs[0].title}]({picture.relative_to(base).as_posix()})\n" for picture in pictures)])


def _gates(run: Run, plots: Path) -> Path:
    """The picture of the gates by task and layer."""
    path = plots / f"{run.benchmark}-{run.system}.svg"
    path.write_text(draw_gates(run.written["gates"][run.system], f"{run.title}: {run.system}, layers from left to right"), encoding="utf-8")
    return path


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _origin(run: Run) -> str:
    """Where the figures of a system come from, on one line."""
    written = run.written
    weights = str(written.get("weights", {}).get(OURS, "unknown"))[:12]
    machine = written.get("machine", {})
    place = f"{machine.get('cores', '?')} cores of {machine.get('processor', '?')}, torch {machine.get('torch', '?')}"
    limit = f", limit {written['limit']}" if written.get("limit") else ""
    commit = re.sub(r"^([0-9a-f]{10})[0-9a-f]*", r"\1", str(written.get("commit", "unknown")))
    seconds = written.get("seconds", "?")
    return f"- {run.system}: {run.started[:10]}, commit {commit}, weights {weights}, {place}, {seconds} s for the run{limit}"


def _plot(name: str, runs: Sequence[Run], measures: Mapping[str, str], plots: Path) -> list[Path]:
    """Bars of the figure that an aim speaks of (else the first), for each group and system, whole groups before their parts."""
    aims = [aim for aim in AIMS if aim.benchmark == name]
    figure = aims[0].figure if aims else next(iter(measures), "")
    groups = sorted(dict.fromkeys(row["group"] for run in runs for row in run.rows), key=lambda group: ":" in group)
    bars = []
    for group in groups:
        for run in runs:
            found = run.figure(group, figure)
            if found:
                aim = next((aim.value for aim in aims if (aim.group, aim.figure) == (group, figure)), None)
                bars.append(Bar(group, run.system, found[0], aim))
    if not bars:
        return []
    plots.mkdir(parents=True, exist_ok=True)
    path = plots / f"{name}.svg"
    path.write_text(draw_bars(bars[:MOST_BARS], f"{runs[0].title}: {figure} (red: the aim)"), encoding="utf-8")
    return [path]
