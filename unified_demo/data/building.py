"""``python -m unified_demo.data build``: dialogues by the hundred thousand, streamed to shards.

Each record depends on the seed and its number alone, so that any number of workers gives the same shards, and an interrupted
build goes on where it stopped. Every record is rendered, parsed back and compared before it is written.
"""

import argparse
import hashlib
import json
import logging
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.compact import compact_scene
from unified_demo.data.knowledge import knowledge
from unified_demo.data.multitask import SceneSource, write_dialogue
from unified_demo.data.paraphrase import Paraphraser
from unified_demo.data.planned import PlannedScene
from unified_demo.data.plans import draw_plan, plan_to_scene, read_catalogue
from unified_demo.data.records import VERSION, conversation_of, record_of
from unified_demo.data.scenes import draw_scene, read_pairs
from unified_demo.data.shards import MANIFEST, read_manifest, shard_path, write_shard
from unified_demo.data.verify import RecordError, check_conversation
from unified_demo.data.wordings import SubSet

logger = logging.getLogger(__name__)

PLANNED = 0.6
"""Share of scenes that are planned with cut-outs, when assets are at hand; the others are what a detector might report."""


@dataclass(frozen=True)
class BuildOptions:
    """What decides the content of the shards. ``assets``: a fetched catalogue; ``pairs``: NSR-1K's training pairs; both may be None."""

    count: int
    seed: int = 1
    part: SubSet = "train"
    turns: tuple[int, int] = (2, 8)
    assets: Path | None = None
    pairs: Path | None = None
    paraphrase: str | None = None
    per_shard: int = 1000

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.turns[0] <= self.turns[1]:
            raise RecordError(f"A build needs at least one dialogue of at least one turn, not {self.count} of {self.turns}.")

    @property
    def shards(self) -> int:
        return -(-self.count // self.per_shard)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of shards; finished shards are kept")
    parser.add_argument("--count", type=int, default=100_000, help="dialogues")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=("train", "held_out", "all"), default="train", help="which phrasings and things to use")
    parser.add_argument("--assets", type=Path, help="folder of fetched cut-outs with catalogue.json; planned scenes come from there")
    parser.add_argument("--pairs", type=Path, help="NSR-1K spatial.train.json: pairs of things as they lie in photos")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--paraphrase", metavar="URL", help="base URL of an OpenAI-compatible server that rewords requests; off by default")


def main(arguments: argparse.Namespace) -> None:
    options = BuildOptions(
        count=arguments.count,
        seed=arguments.seed,
        part=arguments.part,
        assets=arguments.assets,
        pairs=arguments.pairs,
        paraphrase=arguments.paraphrase,
    )
    build(options, arguments.out, arguments.workers)


def build(options: BuildOptions, out: Path, workers: int = 1) -> dict[str, float]:
    """Write all shards that are not there yet. Returns what it logs: records, seconds, records per second, peak MB, bytes per 10k.

    Raises RecordError when the folder was built from something else, or when a record does not parse back to what was meant.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, options)
    todo = [number for number in range(options.shards) if not shard_path(out, number).exists()]
    started, written, size = time.monotonic(), 0, 0
    for records, length in _run(options, out, todo, workers):
        written, size = written + records, size + length
        logger.info("%d of %d dialogues, %.0f/s", written, options.count, written / (time.monotonic() - started))
    seconds = time.monotonic() - started
    summary = {
        "records": written,
        "seconds": round(seconds, 1),
        "records_per_second": round(written / seconds, 1) if written else 0.0,
        "peak_megabytes": _peak_megabytes(),
        "bytes_per_10k": round(size / written * 10_000) if written else 0,
    }
    logger.info("%s", ", ".join(f"{name} {value}" for name, value in summary.items()))
    return summary


def _claim(out: Path, options: BuildOptions) -> None:
    """Note what the folder is built from, or check that it is the same as before."""
    wanted: dict[str, Any] = {"version": VERSION, "shards": options.shards}
    wanted |= {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    wanted |= {"assets": _digest(options.assets / "catalogue.json" if options.assets else None), "pairs": _digest(options.pairs)}
    if (out / MANIFEST).exists():
        had = read_manifest(out)
        differing = sorted(name for name in wanted if had.get(name) != wanted[name])
        if differing:
            name = differing[0]
            raise RecordError(
                f"{out} was built with {name} {had.get(name)}, not {wanted[name]}; choose an empty folder or the same options."
            )
        return
    (out / MANIFEST).write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def _digest(path: Path | None) -> str | None:
    """The content counts, not where it lies."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else None
    except OSError as exc:
        raise RecordError(f"{path} cannot be read ({exc.strerror}); give the path of a file that is there.") from exc


def _run(options: BuildOptions, out: Path, todo: list[int], workers: int) -> Iterator[tuple[int, int]]:
    if workers <= 1:
        for number in todo:
            yield build_shard(options, out, number)
        return
    with ProcessPoolExecutor(min(workers, len(todo) or 1), mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(build_shard, options, out, number) for number in todo]):
            yield done.result()


def build_shard(options: BuildOptions, out: Path, number: int) -> tuple[int, int]:
    """Write one shard; returns its records and bytes."""
    first = number * options.per_shard
    numbers = range(first, min(first + options.per_shard, options.count))
    draw, labels = scene_source(options)
    paraphraser = Paraphraser(options.paraphrase) if options.paraphrase else None
    size = write_shard(shard_path(out, number), (_record(options, index, draw, labels, paraphraser) for index in numbers))
    return len(numbers), size


def _record(
    options: BuildOptions, index: int, draw: SceneSource, labels: tuple[str, ...], paraphraser: Paraphraser | None
) -> dict[str, Any]:
    """Record ``index``, checked."""
    rng = random.Random(f"{options.seed}:{index}")
    dialogue = write_dialogue(rng, draw, labels, rng.randint(*options.turns), options.part, compact_scene)
    if paraphraser:
        dialogue = paraphraser.reword(dialogue)
    name = f"{options.part}-{options.seed}-{index:06d}"
    record = record_of(dialogue, name)
    check_conversation(conversation_of(record), name)
    return record


_sources: dict[tuple[Path | None, Path | None, SubSet], tuple[SceneSource, tuple[str, ...]]] = {}
"""One per process: a catalogue is read once, not once per shard."""


def scene_source(options: BuildOptions) -> tuple[SceneSource, tuple[str, ...]]:
    """What draws a scene, and the names of the things there may be. MediaError for a catalogue that cannot be read."""
    key = (options.assets, options.pairs, options.part)
    if key not in _sources:
        _sources[key] = _make_source(options)
    return _sources[key]


def _make_source(options: BuildOptions) -> tuple[SceneSource, tuple[str, ...]]:
    detected = tuple(knowledge())
    pairs = read_pairs(options.pairs) if options.pairs else []

    def report(rng: random.Random) -> PlannedScene:
        scene = draw_scene(rng, detected, pairs)
        return PlannedScene(scene.regions, scene.things, scene.links, scene.names, unseen=scene.unseen)

    if options.assets is None:
        return report, detected
    catalogue = read_catalogue(options.assets)
    part = "held_out" if options.part == "held_out" else "train"
    nouns = catalogue.part("train").by_noun if part == "train" else catalogue.by_noun

    def plan(rng: random.Random) -> PlannedScene:
        if rng.random() >= PLANNED:
            return report(rng)
        drawn = draw_plan(rng, catalogue, part)  # type: ignore[arg-type]
        scene = plan_to_scene(drawn, catalogue)
        return PlannedScene(scene.regions, scene.things, scene.links, scene.names, plan=drawn)

    return plan, tuple(dict.fromkeys((*detected, *nouns)))


def _peak_megabytes() -> float:
    """Peak resident memory of this process and its workers, whichever used most."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit, 1)
