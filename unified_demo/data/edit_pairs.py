"""``python -m unified_demo.data edits``: composed pictures before and after an edit, with the words for it, for the benchmark ``editing``.

One line of JSON for each pair; pictures are PNG, for what an edit leaves alone must be the same pixel for pixel. Half of the pairs are
about held-out things. It measures nothing.
"""

import argparse
import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.catalogue import Catalogue, read_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.edits import KINDS, Edit, EditPlan, draw_edit
from unified_demo.data.masks import Mask, decode_runs, encode_runs
from unified_demo.data.published.reading import Broken, Complaints, box_of, need, picture_size, samples_of_build
from unified_demo.data.split import PARTS, Part
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.nouns import definite, said

logger = logging.getLogger(__name__)

VERSION = 1
LINES_FILE, PICTURES = "edits.jsonl", "images"
MIN_AREA = 0.01
"""The box of a thing to edit is at least this share of the picture."""
TRIES = 40
DRAWN_KINDS = ("drawn style", "drawn ground", "drawn paint")
"""Kinds of whole-picture edits of drawn pictures, which 'training.editor pairs' writes in the same layout."""
STYLE_WORDS = {
    "flat": "turn it into a flat drawing without shades",
    "modern": "turn it into a drawing with soft shades",
    "3d": "make everything look like a 3D model",
}


@dataclass(frozen=True)
class EditSample:
    """``changed``: run lengths of the pixels that may differ; ``box``: the thing; both None when the whole picture changes."""

    id: str
    kind: str
    part: str
    instruction: str
    before: Path
    after: Path
    width: int
    height: int
    box: Box | None
    changed: str | None

    def mask(self) -> Mask | None:
        """Bool H x W of the pixels that may differ."""
        return None if self.changed is None else decode_runs(self.changed, self.height, self.width)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assets", type=Path, required=True, help="folder that 'fetch' wrote")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {LINES_FILE} and {PICTURES}/")
    parser.add_argument("--count", type=int, default=100, help="pairs, the kinds of edits in turn")
    parser.add_argument("--seed", type=int, default=1)


def main(arguments: argparse.Namespace) -> None:
    catalogue = read_catalogue(arguments.assets)
    build(catalogue, CutoutLibrary(arguments.assets, catalogue), arguments.out, arguments.count, arguments.seed)
    logger.info("%d pairs in %s", arguments.count, arguments.out)


def build(catalogue: Catalogue, library: CutoutLibrary, out: Path, count: int, seed: int, kinds: Sequence[str] = KINDS) -> None:
    """Write ``count`` pairs; the same for the same seed and assets. MediaError when the catalogue has nothing for a kind of edit."""
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    unfinished = out / f"{LINES_FILE}.part"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"version": VERSION, "seed": seed, "count": count}) + "\n")
        for number in range(count):
            kind, part = kinds[number % len(kinds)], PARTS[number // len(kinds) % len(PARTS)]
            edit = _draw(random.Random(f"edits-{seed}-{number}"), catalogue, library, part, kind)
            row: dict[str, Any] = {"id": f"{number:04d}", "kind": kind, "part": part, "instruction": instruction(edit.plan)}
            for name, picture in (("before", edit.before), ("after", edit.after)):
                row[name] = f"{PICTURES}/{number:04d}-{name}.png"
                picture.save(out / row[name])
            file.write(json.dumps(row | _places(edit)) + "\n")
    unfinished.replace(out / LINES_FILE)


def _draw(rng: random.Random, catalogue: Catalogue, library: CutoutLibrary, part: Part, kind: str) -> Edit:
    """An edit whose words leave no doubt about the thing, and whose thing is large enough to be seen."""
    for _ in range(TRIES):
        edit = draw_edit(rng, catalogue, library, part, kind)
        if edit.box is None or (edit.plan.alone and edit.box.area >= MIN_AREA):
            return edit
    raise MediaError(f"After {TRIES} plans there was no clear edit of the kind '{kind}' in the part '{part}'; fetch more assets.")


def _places(edit: Edit) -> dict[str, Any]:
    width, height = edit.before.size
    box = edit.box and [round(side * size, 2) for side, size in zip(edit.box.as_tuple(), (width, height) * 2, strict=True)]
    return {"width": width, "height": height, "box": box, "changed": None if edit.changed is None else encode_runs(edit.changed)}


def instruction(plan: EditPlan) -> str:
    """What a call would say: "replace the cat with a dog"."""
    if plan.item is None:
        return STYLE_WORDS[plan.new]
    noun = plan.item.noun
    the_thing = definite(noun, 1)
    if plan.kind == "add":
        return f"add {said(noun, 1)}" + (f" {plan.anchor[0]} {definite(plan.anchor[1], 1)}" if plan.anchor else "")
    if plan.kind == "remove":
        return f"remove {the_thing}"
    return f"replace {the_thing} with {said(plan.new, 1)}" if plan.kind == "replace" else f"make {the_thing} {plan.new}"


def read_edits(folder: Path, complaints: Complaints) -> Iterator[EditSample]:
    """Pairs in order; what is broken becomes a complaint with its line and is left out. MediaError when there is no such file."""
    yield from samples_of_build(folder / LINES_FILE, VERSION, "edits", complaints, lambda row: _read(row, folder))


def _read(row: Any, folder: Path) -> EditSample:
    kind, width, height = need(row, "kind", str), need(row, "width", int), need(row, "height", int)
    if kind not in (*KINDS, *DRAWN_KINDS):
        raise Broken("unknown task", f"is an edit of the kind '{kind}'; there are {', '.join((*KINDS, *DRAWN_KINDS))}")
    before, after = (folder / PICTURES / Path(need(row, name, str)).name for name in ("before", "after"))
    if picture_size(before) != (width, height) or picture_size(after) != (width, height):
        raise Broken("wrong size", f"says its pictures have {width} x {height} pixels, and they have not")
    corners, changed = row.get("box"), row.get("changed")
    if (corners is None) != (changed is None):
        raise Broken("missing field", "has a box without the pixels that may change, or the other way round")
    box = None
    if corners is not None:
        box = box_of(corners, width, height)
        if not decode_runs(need(row, "changed", str), height, width).any():
            raise Broken("empty mask", "has a mask without a pixel")
    identity, part, words = (need(row, name, str) for name in ("id", "part", "instruction"))
    return EditSample(identity, kind, part, words, before, after, width, height, box, changed)
