"""How long the example cards of the start page take: ``python -m benchmarks.first_minute`` clicks each in thought, without the page.

Each card has a process of its own, in which the language model of the default profile is loaded (timed apart). Cold is the first time
it is asked there, when its expert is loaded too; warm are the times after. Prints a table with the median of those, and writes JSON.
"""

import argparse
import importlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from unified_demo import provenance
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.fakes import ScriptedModel
from unified_demo.infer import infer
from unified_demo.messages import CallDone
from unified_demo.ui.examples import Example, offered


@dataclass(frozen=True)
class Row:
    """One card. Seconds; ``done``: the task of the card was called in every answer and carried out, or a region was pointed at where
    it has none."""

    card: str
    task: str
    load_s: float
    cold_s: float
    warm_s: list[float]
    answer: str
    done: bool

    @property
    def warm_median_s(self) -> float:
        return statistics.median(self.warm_s)


def measure(example: Example, times: int, engine: Engine | None = None) -> Row:
    """Ask ``example`` once cold and ``times`` times warm, each in a conversation of its own. UnifiedError when weights are missing."""
    engine = engine or load_engine()
    started = time.perf_counter()
    engine.load()
    load_s = time.perf_counter() - started
    seconds, done, said = [], [], ""
    for _ in range(1 + times):
        started = time.perf_counter()
        answer = infer(engine, example.text, example.files)
        seconds.append(round(time.perf_counter() - started, 3))
        called = [call.task for call, end in answer.calls if isinstance(end, CallDone)]
        done.append(example.task in called if example.task else bool(answer.regions))
        said = answer.raw
    return Row(example.text, example.task, round(load_s, 2), seconds[0], seconds[1:], said, all(done))


def in_a_process(example: Example, times: int) -> Row:
    """``measure`` where nothing was loaded before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, example, times).result()


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'card':<36}{'load':>8}{'cold':>8}{'warm':>8}  done"]
    lines += [f"{row.card:<36}{row.load_s:>8.2f}{row.cold_s:>8.2f}{row.warm_median_s:>8.2f}  {'yes' if row.done else 'no'}" for row in rows]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_minute", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cards", type=int, help="how many cards, from the first (default: all that are shown)")
    parser.add_argument("--times", type=int, default=3, help="how often each is asked warm (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("runs/first_minute.json"), help="JSON file (default: runs/first_minute.json)")
    chosen = parser.parse_args(arguments)
    if chosen.times < 1:
        parser.error("--times is at least 1")
    try:
        cards = offered(load_engine(model=ScriptedModel([])))[: chosen.cards]
        rows = [in_a_process(example, chosen.times) for example in cards]
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 2
    importlib.import_module("torch")  # the cards had it in their own processes; the machine's description names its version
    result = {
        "benchmark": "first_minute",
        "commit": provenance.commit(),
        "weights": provenance.weight_hashes(Settings()),
        "machine": provenance.machine(),
        "cards": [asdict(row) for row in rows],
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
