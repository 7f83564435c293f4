"""``python -m unified_demo.evaluation run <benchmark|all>`` measures and prints tables; ``report`` writes docs/results.md.

Exit status 0 when it ran, 2 when it could not (no data, no weights). Results go to ``--out``, figures alone also to ``--keep``.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.benchmark import Benchmark, Context, Result, facts, keep, run_benchmark, table
from unified_demo.evaluation.catalogue import benchmarks
from unified_demo.evaluation.report import write_report
from unified_demo.evaluation.subjects import LoadedSubjects

MOST_COMPLAINTS = 20


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.evaluation", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a benchmark, or all that can run here")
    run.add_argument("benchmark", choices=(*benchmarks(), "all"))
    run.add_argument("--data", type=Path, help="folder of the benchmark's data, or the folder that holds all of them")
    run.add_argument("--system", action="append", help="what to measure, may be repeated (default: all systems of the benchmark)")
    run.add_argument("--limit", type=int, help="at most so many samples for each system, spread evenly (referring: pictures)")
    run.add_argument("--expressions", type=Path, help="expressions or questions, JSON lines (default: the committed ones)")
    run.add_argument("--out", type=Path, help="folder for JSON and contact sheets (default: runs/<benchmark>-<time>)")
    run.add_argument("--keep", type=Path, help="folder that also gets the figures without the single answers, such as docs/results")
    run.add_argument("--verbose", action="store_true", help="log every answer")
    report = commands.add_parser("report", help="write all tables and plots from the JSON files of runs")
    report.add_argument("--results", type=Path, required=True, help="folder with JSON files of runs; the latest of each system counts")
    report.add_argument("--out", type=Path, required=True, help="the Markdown file to write; plots go beside it")
    chosen = parser.parse_args(arguments)
    if chosen.command == "run" and chosen.system:
        chosen.system = [] if "all" in chosen.system else chosen.system
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parse(arguments)
    verbose = chosen.command == "run" and chosen.verbose
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    making = logging.getLogger("unified_demo.data")
    level = making.level
    making.setLevel(logging.INFO if verbose else logging.ERROR)
    try:
        if chosen.command == "report":
            print(write_report(chosen.results, chosen.out))
            return 0
        return _run(chosen)
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 2
    finally:
        making.setLevel(level)


def _run(chosen: argparse.Namespace) -> int:
    """Run one benchmark, or all; of all, those that cannot run are named and passed over."""
    settings = Settings()
    known = benchmarks()
    out = chosen.out or Path("runs") / time.strftime(f"{chosen.benchmark}-%Y%m%d-%H%M%S")
    subjects, origin, ran = LoadedSubjects(settings), facts(settings), 0
    for name in known if chosen.benchmark == "all" else (chosen.benchmark,):
        folder = out / name if chosen.benchmark == "all" else out
        context = Context(folder, subjects, settings, chosen.data, chosen.limit, tuple(chosen.system or ()), chosen.expressions)
        try:
            result, written = run_benchmark(known[name], context, origin)
        except UnifiedError as exc:
            if chosen.benchmark != "all":
                raise
            print(f"{name}: left out. {exc}\n")
            continue
        ran += 1
        if chosen.keep:
            keep(written, chosen.keep)
        _say(known[name], result, folder)
    return 0 if ran else 2


def _say(benchmark: Benchmark, result: Result, folder: Path) -> None:
    print(f"{benchmark.title}\n{table(result)}")
    for complaint in result.skipped[:MOST_COMPLAINTS]:
        print(f"skipped: {complaint}")
    print(f"{len(result.samples)} answers, {len(result.skipped)} skipped entries; rows and contact sheets in {folder}\n")


if __name__ == "__main__":
    sys.exit(main())
