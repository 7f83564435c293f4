"""What a benchmark is: it needs some data, runs systems over samples and gives rows of figures; the command does the rest.

Also the stratified limit, folders of data, the JSON file of a run and its table as text. It measures nothing itself.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from unified_demo import provenance
from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.subjects import Subjects

Item = TypeVar("Item")
NO_EXPERT = "no expert yet"
ALL = "all"
"""The group of a row over every sample."""


class NotReady(UnifiedError):
    """A benchmark cannot run here: data, weights or an expert are missing. ``run all`` says so and goes on."""


@dataclass(frozen=True)
class Row:
    """Figures of one system over one group of ``count`` samples, by the name of the measure; None where it has none.

    ``note`` says why when the system could not be measured ("no expert yet"); there are then no figures.
    """

    system: str
    group: str
    count: int
    figures: Mapping[str, float | None] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Result:
    """``measures``: name -> what it is, in the order of the table. ``samples``: one JSON object for each answer; they stay out of
    the repository. ``skipped``: entries left out, with file and line. ``extra`` goes into the JSON file as it is."""

    rows: tuple[Row, ...]
    measures: dict[str, str]
    samples: tuple[dict[str, Any], ...] = ()
    skipped: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a run was asked for. ``systems`` empty = all; ``limit`` = most samples for each system, spread over their groups."""

    out: Path
    subjects: Subjects
    settings: Settings = field(default_factory=Settings)
    data: Path | None = None
    limit: int | None = None
    systems: tuple[str, ...] = ()
    expressions: Path | None = None

    def folder(self, name: str, holds: str) -> Path:
        """The folder ``name`` in the data folder, or that folder itself, that holds the file ``holds``; NotReady when there is none."""
        tried = [self.data / name, self.data] if self.data else []
        for folder in tried:
            if (folder / holds).exists():
                return folder
        places = " nor in ".join(str(folder) for folder in tried) or "any folder, for none was named"
        raise NotReady(f"{holds} of {name} was not found in {places}; pass --data with the folder that holds {name}.")

    def chosen(self, known: Sequence[str]) -> tuple[str, ...]:
        """The systems to measure, in the order of ``known``; NotReady when none of those asked for is known here."""
        wanted = tuple(name for name in known if not self.systems or name in self.systems)
        if not wanted:
            raise NotReady(f"No system here is called {' or '.join(self.systems)}; there are: {', '.join(known)}.")
        return wanted


class Benchmark(Protocol):
    """``run`` raises NotReady when something is missing; what is broken in the data is skipped and named in the result."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def systems(self) -> tuple[str, ...]: ...

    def run(self, context: Context) -> Result: ...


def stratified(items: Sequence[Item], group: Callable[[Item], Hashable], limit: int | None) -> list[Item]:
    """At most ``limit`` items (None: all) in their order, groups as equal as their sizes allow, spread evenly over each group."""
    if limit is None or limit >= len(items):
        return list(items)
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[group(item)].append(place)
    shares = dict.fromkeys(places, 0)
    for _ in range(max(limit, 0)):
        open_groups = [key for key in places if shares[key] < len(places[key])]
        shares[min(open_groups, key=lambda key: shares[key])] += 1
    kept = [members[number * len(members) // shares[key]] for key, members in places.items() for number in range(shares[key])]
    return [items[place] for place in sorted(kept)]


def grouped(samples: Iterable[Item], groups: Callable[[Item], Iterable[str]]) -> dict[str, list[Item]]:
    """Samples by group, groups in order of appearance; a sample may be in several."""
    found: dict[str, list[Item]] = defaultdict(list)
    for sample in samples:
        for name in groups(sample):
            found[name].append(sample)
    return dict(found)


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are there; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def facts(settings: Settings) -> dict[str, Any]:
    """Commit, weights and machine, for the file of a run."""
    return {"commit": provenance.commit(), "weights": provenance.weight_hashes(settings), "machine": provenance.machine()}


def run_benchmark(benchmark: Benchmark, context: Context, known: Mapping[str, Any]) -> tuple[Result, dict[str, Any]]:
    """Run it, write ``<name>.json`` into ``context.out``; gives the result and what was written. ``known``: see ``facts``."""
    context.out.mkdir(parents=True, exist_ok=True)
    started = time.time()
    result = benchmark.run(context)
    written = {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        **known,
        "machine": provenance.machine(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 1),
        "limit": context.limit,
        "measures": result.measures,
        "table": [asdict(row) for row in result.rows],
        "skipped": list(result.skipped),
        **result.extra,
        "rows": list(result.samples),
    }
    _write(context.out / f"{benchmark.name}.json", written)
    return result, written


def keep(written: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the figures of a run without its single answers to ``<folder>/<benchmark>.<system>.json``, one file for each system."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    left_out = {"rows", "table", "summaries", "skipped"}
    for system in dict.fromkeys(row["system"] for row in written["table"]):
        table = [row for row in written["table"] if row["system"] == system]
        small = {key: value for key, value in written.items() if key not in left_out}
        paths.append(folder / f"{written['benchmark']}.{system.replace(' ', '-')}.json")
        _write(paths[-1], {**small, "skipped": len(written["skipped"]), "table": table})
    return paths


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(result: Result) -> str:
    """System, group, number of samples and every measure, as aligned text."""
    names = list(result.measures)
    lines = [["system", "group", "n", *names]]
    for row in result.rows:
        figures = [_figure(row.figures.get(name)) for name in names] if row.figures else [row.note]
        lines.append([row.system, row.group, str(row.count), *figures])
    widths = [max((len(line[column]) for line in lines if len(line) == len(lines[0])), default=0) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(line, widths, strict=False))
        )
        for line in lines
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
