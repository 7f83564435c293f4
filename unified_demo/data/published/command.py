"""``python -m unified_demo.data read LAYOUT FOLDER``: read a published dataset's own files and say what they hold and what is broken.

Prints counts, complaints with file and line, and three samples. It converts nothing and trains on nothing.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unified_demo.data.published.instructpix2pix import read_instructpix2pix
from unified_demo.data.published.llava import read_llava
from unified_demo.data.published.neural_tuning import read_neural_mmud
from unified_demo.data.published.nsr1k import read_nsr1k
from unified_demo.data.published.reading import Complaints
from unified_demo.data.published.reasonedit import read_reasonedit
from unified_demo.data.published.reasonseg import read_reasonseg
from unified_demo.data.published.refcoco import read_refcoco
from unified_demo.data.published.sounds import read_audiocaps, read_clotho
from unified_demo.data.published.taskbench import read_taskbench
from unified_demo.errors import MediaError

Reader = Callable[..., Iterator[Any]]
READERS: dict[str, Reader] = {
    "refcoco": read_refcoco,
    "reasonseg": read_reasonseg,
    "reasonedit": read_reasonedit,
    "instructpix2pix": read_instructpix2pix,
    "nsr1k": read_nsr1k,
    "llava": read_llava,
    "mmud": read_neural_mmud,
    "audiocaps": read_audiocaps,
    "clotho": read_clotho,
    "taskbench": read_taskbench,
}
WITH_PICTURES = {"refcoco": "photos", "llava": "pictures", "mmud": "pictures"}
"""Layouts whose pictures may lie elsewhere -> the reader's argument."""
GROUPS = ("split", "kind", "scene", "domain")
SAMPLES, SHOWN, WIDTH = 3, 20, 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("layout", choices=sorted(READERS), help="whose files they are (refcoco also for RefCOCO+ and RefCOCOg)")
    parser.add_argument("folder", type=Path, help="where the archive was unpacked")
    parser.add_argument("--pictures", type=Path, help="folder of pictures, where the layout keeps them elsewhere")
    parser.add_argument("--complaints", type=int, default=SHOWN, help="how many complaints to print; all are counted")


def main(arguments: argparse.Namespace) -> None:
    logging.getLogger("unified_demo.data.published").setLevel(logging.ERROR)
    sys.stdout.write(report(arguments.layout, arguments.folder, arguments.pictures, arguments.complaints))


def report(layout: str, folder: Path, pictures: Path | None = None, shown: int = SHOWN) -> str:
    """What ``folder`` holds, as lines of text. MediaError when the folder is not there or holds another layout."""
    if not folder.is_dir():
        raise MediaError(f"{folder} is no folder; name the one that the {layout} archive was unpacked to.")
    if pictures and layout not in WITH_PICTURES:
        raise MediaError(f"--pictures is for {', '.join(WITH_PICTURES)}; {layout} keeps its pictures beside its lists.")
    complaints, started = Complaints(), time.monotonic()
    samples: list[Any] = []
    groups: dict[str, Counter[str]] = {name: Counter() for name in GROUPS}
    count = 0
    elsewhere = {WITH_PICTURES[layout]: pictures} if pictures else {}
    for record in READERS[layout](folder, complaints, **elsewhere):
        count += 1
        if len(samples) < SAMPLES:
            samples.append(record)
        for name in GROUPS:
            if value := getattr(record, name, ""):
                groups[name][value] += 1
    lines = [f"{count} records read, {len(complaints.found)} complaints, {time.monotonic() - started:.1f} s"]
    lines += [
        f"{name}: " + ", ".join(f"{value} {number}" for value, number in sorted(found.items())) for name, found in groups.items() if found
    ]
    lines += [f"complaints: {kind} {number}" for kind, number in sorted(complaints.kinds.items())]
    lines += [f"  {complaint}" for complaint in complaints.found[:shown]]
    if len(complaints.found) > shown:
        lines.append(f"  ... and {len(complaints.found) - shown} more")
    lines += [_short(sample) for sample in samples]
    return "\n".join(lines) + "\n"


def _short(record: Any) -> str:
    text = repr(record)
    return text if len(text) <= WIDTH else text[: WIDTH - 4] + " ..."
