"""How long a person waits: first text, first box, first mask, and how fast text flows, over the photos of a folder.

``python -m benchmarks.first_answer FOLDER`` asks the default engine about each photo in a fresh conversation and prints a table
with median and 90th percentile. Loading is timed apart. Quality is measured elsewhere (``unified_demo.evaluation``).
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unified_demo import provenance
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.evaluation.referring import ANNOTATIONS, label_targets, read_photos
from unified_demo.media import MediaStore
from unified_demo.messages import CallDone, Conversation, MediaPart, Message, RegionFound, TaskCall, TextDelta, TextPart, TurnDone

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
QUESTION = "Segment the largest thing in this picture."
MEASURES = ("first_text_s", "first_box_s", "first_mask_s", "total_s", "tokens_per_s")


@dataclass(frozen=True)
class Turn:
    """One answer. Seconds from the moment the message is sent (the picture is already stored); None = it never came."""

    photo: str
    question: str
    first_text_s: float | None
    first_box_s: float | None
    first_mask_s: float | None
    total_s: float
    tokens: int
    tokens_per_s: float | None
    answer: str


def questions(folder: Path, count: int, question: str | None) -> Iterator[tuple[Path, str]]:
    """Photos and what to ask: ``question``, or "segment <something that is there>" where the folder has annotations."""
    if question is None and (folder / ANNOTATIONS).is_file():
        photos, _ = read_photos(folder)
        first = {photo.path: target.expression for photo in photos for target in reversed(list(label_targets(photo)))}
        for path, expression in list(first.items())[:count]:
            yield path, f"segment {expression}"
        return
    for path in sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)[:count]:
        yield path, question or QUESTION


def measure(engine: Engine, store: MediaStore, photo: Path, question: str) -> Turn:
    """Ask once, in a conversation of its own. Raises UnifiedError when the photo cannot be used or the model is missing."""
    picture = store.add_upload(photo, "img-1")
    conversation = Conversation((Message("user", (MediaPart(picture), TextPart(question))),))
    firsts: dict[str, float] = {}
    done: TurnDone | None = None
    started = time.perf_counter()
    for event in engine.respond(conversation):
        elapsed = time.perf_counter() - started
        match event:
            case TextDelta() if event.text.strip():
                firsts.setdefault("text", elapsed)
            case RegionFound():
                firsts.setdefault("box", elapsed)
            case TaskCall() if any(region.boxes for region in event.regions):
                firsts.setdefault("box", elapsed)
            case CallDone() if event.artefacts:
                firsts.setdefault("mask", elapsed)
            case TurnDone():
                done = event
    timings = done.timings if done else {}
    tokens, decode_s = int(timings.get("tokens", 0)), timings.get("decode_s", 0.0)
    return Turn(
        photo=photo.name,
        question=question,
        first_text_s=firsts.get("text"),
        first_box_s=firsts.get("box"),
        first_mask_s=firsts.get("mask"),
        total_s=time.perf_counter() - started,
        tokens=tokens,
        tokens_per_s=tokens / decode_s if tokens and decode_s else None,
        answer=done.raw if done else "",
    )


def peak_memory_gb() -> float:
    """The most memory this process has held, in GB (10^9 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if platform.system() == "Darwin" else peak * 1024 / 1e9


def summarise(turns: Sequence[Turn]) -> dict[str, dict[str, float | int]]:
    """For each measure: how many turns had it, median and 90th percentile (for tokens/s the 10th: the slow end)."""
    summary: dict[str, dict[str, float | int]] = {}
    for name in MEASURES:
        values = sorted(value for turn in turns if (value := getattr(turn, name)) is not None)
        if values:
            slow = 0.1 if name == "tokens_per_s" else 0.9
            p90 = values[min(len(values) - 1, round(slow * (len(values) - 1)))]
            summary[name] = {"count": len(values), "median": round(statistics.median(values), 3), "p90": round(p90, 3)}
        else:
            summary[name] = {"count": 0}
    return summary


def table(summary: dict[str, dict[str, float | int]]) -> str:
    lines = [f"{'measure':<15}{'turns':>6}{'median':>9}{'p90':>9}"]
    for name, figures in summary.items():
        values = [f"{figures[key]:>9.2f}" if key in figures else f"{'-':>9}" for key in ("median", "p90")]
        lines.append(f"{name:<15}{figures['count']:>6}{''.join(values)}")
    return "\n".join(lines)


def run(asked: Sequence[tuple[Path, str]], cold: tuple[Path, str], settings: Settings) -> dict[str, Any]:
    """Load, ask about the ``cold`` photo (which loads what is loaded lazily), then measure all of ``asked``. Raises UnifiedError."""
    store, turns, skipped = MediaStore(), [], []
    started = time.perf_counter()
    engine = load_engine(settings)
    engine.load()
    load_s = time.perf_counter() - started
    first = measure(engine, store, *cold)
    for photo, question in asked:
        try:
            turns.append(measure(engine, store, photo, question))
        except MediaError as exc:
            skipped.append(f"{photo}: {exc}")
    return {
        "benchmark": "first_answer",
        "commit": provenance.commit(),
        "weights": provenance.weight_hashes(settings),
        "machine": provenance.machine(),
        "load_s": round(load_s, 2),
        "peak_memory_gb": round(peak_memory_gb(), 2),
        "cold": asdict(first),
        "summary": summarise(turns),
        "skipped": skipped,
        "turns": [asdict(turn) for turn in turns],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_answer", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with photos")
    parser.add_argument("--photos", type=int, default=20, help="how many photos (default: 20)")
    parser.add_argument("--question", help="what to ask about every photo (default: segment something the annotations name)")
    parser.add_argument("--out", type=Path, default=Path("runs/first_answer.json"), help="JSON file (default: runs/first_answer.json)")
    chosen = parser.parse_args(arguments)
    try:
        asked = list(questions(chosen.folder, chosen.photos + 1, chosen.question))
        if not asked:
            raise MediaError(f"{chosen.folder} holds no photos ({', '.join(SUFFIXES)}); name a folder that does.")
        cold = asked.pop() if len(asked) > chosen.photos else asked[-1]
        result = run(asked, cold, Settings())
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 2
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(result["summary"]))
    cold_s, peak = result["cold"]["total_s"], result["peak_memory_gb"]
    print(f"load {result['load_s']} s, first turn {cold_s:.2f} s, peak memory {peak} GB; rows in {chosen.out}")
    for complaint in result["skipped"]:
        print(f"skipped: {complaint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
