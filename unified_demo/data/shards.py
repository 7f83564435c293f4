"""Shards of records: one JSON object per line, gzip-compressed, written whole or not at all, read with patience.

What is missing, cut off or broken is named with file and line, skipped and counted. It does not know what is in a record.
"""

import gzip
import json
import logging
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.published.reading import Complaints
from unified_demo.data.verify import RecordError

logger = logging.getLogger(__name__)

MANIFEST = "build.json"
PATTERN = "shard-*.jsonl.gz"


@dataclass(frozen=True)
class Stored:
    """One record and where it stands; lines count from 1."""

    path: Path
    line: int
    record: dict[str, Any]


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.jsonl.gz"


def write_shard(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write all records or leave nothing behind; the same records give the same bytes. Returns the size in bytes."""
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            for record in records:
                packed.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path.stat().st_size


def read_shards(folder: Path, complaints: Complaints | None = None) -> Iterator[Stored]:
    """Every record that is JSON, shard by shard. What had to be left out is logged and collected in ``complaints``.

    Raises RecordError when there is no shard at all.
    """
    complaints = complaints if complaints is not None else Complaints()
    paths = sorted(folder.glob(PATTERN))
    if not paths:
        raise RecordError(f"There are no shards ({PATTERN}) in {folder}; build some with 'python -m unified_demo.data build'.")
    for missing in sorted({shard_path(folder, number) for number in range(_promised(folder, complaints))} - set(paths)):
        complaints.add(missing, 0, "missing shard", "is not there")
    for path in paths:
        yield from _read_shard(path, complaints)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the folder was built from. RecordError when it cannot be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise RecordError(f"{folder / MANIFEST} cannot be read ({exc}); build into an empty folder.") from exc
    if not isinstance(manifest, dict):
        raise RecordError(f"{folder / MANIFEST} is no description of a build; build into an empty folder.")
    return manifest


def _promised(folder: Path, complaints: Complaints) -> int:
    if not (folder / MANIFEST).is_file():
        return 0
    try:
        shards = read_manifest(folder).get("shards", 0)
    except RecordError as exc:
        complaints.add(folder / MANIFEST, 0, "broken manifest", str(exc))
        return 0
    return shards if isinstance(shards, int) else 0


def _read_shard(path: Path, complaints: Complaints) -> Iterator[Stored]:
    line = 0
    try:
        with gzip.open(path, "rb") as lines:
            for raw in lines:
                line += 1
                record = _read_line(path, line, raw, complaints)
                if record is not None:
                    yield Stored(path, line, record)
    except (OSError, EOFError, zlib.error) as exc:
        complaints.add(path, line + 1, "truncated shard", f"breaks off here ({exc})")


def _read_line(path: Path, line: int, raw: bytes, complaints: Complaints) -> dict[str, Any] | None:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        complaints.add(path, line, "broken json", f"is no valid JSON ({exc})")
        return None
    if not isinstance(record, dict):
        complaints.add(path, line, "no record", f"holds a {type(record).__name__}")
        return None
    return record
