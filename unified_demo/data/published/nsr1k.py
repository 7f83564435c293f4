"""NSR-1K (LayoutGPT, arXiv 2305.15393): prompts about numbers and places of things, with boxes in 0..1 as x, y, width, height.

Layout as weixi-feng/LayoutGPT ships and reads it (dataset/NSR-1K, eval_spatial_layout.py, eval_counting_layout.py): lists in
``counting.<split>.json`` (num_object, object_list, sub-type) and ``spatial.<split>.json`` (obj1, obj2, relation), also one folder deeper.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.published.reading import Broken, Complaints, box_within, files_of, json_entries, need
from unified_demo.grammar import Box

RELATIONS = ("left", "right", "top", "bottom", "next to")
COUNTING_KINDS = ("single-category", "two-categories", "comparison", "real")
SLACK = 1.005
"""Boxes of COCO reach over the edge by rounding."""


@dataclass(frozen=True)
class LayoutPrompt:
    """One prompt and a layout that fulfils it. ``counts`` for counting, ``relation`` (first object to second) for spatial prompts.

    A box is None where the set has none: 19 hand-written prompts of the spatial validation part carry [0, 0, 0, 0].
    """

    id: int
    prompt: str
    split: str
    kind: str
    objects: tuple[tuple[str, Box | None], ...]
    counts: tuple[tuple[str, int], ...] = ()
    relation: str = ""

    @property
    def comparison(self) -> bool:
        return self.kind == "comparison"


def read_nsr1k(folder: Path, complaints: Complaints) -> Iterator[LayoutPrompt]:
    """Prompts by file. MediaError when neither counting nor spatial files are there."""
    for path in files_of(folder, ("counting*.json", "spatial*.json", "*/counting*.json", "*/spatial*.json"), "NSR-1K lists"):
        read = _read_counting if path.name.startswith("counting") else _read_spatial
        split = next((part for part in path.stem.split(".") if part in ("train", "val", "test")), "")
        for line, entry in json_entries(path, complaints):
            try:
                yield read(entry, split)
            except Broken as exc:
                complaints.add(path, line, exc.kind, str(exc))


def _read_counting(entry: Any, split: str) -> LayoutPrompt:
    kind = need(entry, "sub-type", str)
    if kind not in COUNTING_KINDS:
        raise Broken("unknown task", f"has the sub-type '{kind}'; there are {', '.join(COUNTING_KINDS)}")
    objects = tuple(_named_box(item) for item in need(entry, "object_list", list))
    counts = tuple(_count(item) for item in need(entry, "num_object", list))
    return LayoutPrompt(need(entry, "id", int), _prompt(entry), split, kind, objects, counts)


def _read_spatial(entry: Any, split: str) -> LayoutPrompt:
    relation = need(entry, "relation", str)
    if relation not in RELATIONS:
        raise Broken("unknown task", f"has the relation '{relation}'; there are {', '.join(RELATIONS)}")
    objects = tuple(_named_box(need(entry, name, list)) for name in ("obj1", "obj2"))
    return LayoutPrompt(need(entry, "id", int), _prompt(entry), split, need(entry, "type", str), objects, relation=relation)


def _prompt(entry: Any) -> str:
    prompt: str = need(entry, "prompt", str).strip()
    if not prompt:
        raise Broken("no prompt", "has an empty prompt")
    return prompt


def _count(item: Any) -> tuple[str, int]:
    if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], int) and item[1] >= 0):
        raise Broken("wrong type", f"has {str(item)[:40]} where a noun and a number are needed")
    return item[0], item[1]


def _named_box(item: Any) -> tuple[str, Box | None]:
    if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], list) and len(item[1]) == 4):
        raise Broken("wrong type", f"has {str(item)[:40]} where a noun and a box are needed")
    if not all(isinstance(value, int | float) for value in item[1]):
        raise Broken("wrong type", f"has a box of {item[0]} with a value that is no number")
    x, y, width, height = item[1]
    if not any(item[1]):
        return item[0], None
    if min(x, y) < 1 - SLACK or max(x + width, y + height) > SLACK:
        raise Broken("box outside", f"has a box of {item[0]} outside the picture: {item[1]}")
    return item[0], box_within(x, y, min(x + width, 1.0), min(y + height, 1.0), 1, 1)
