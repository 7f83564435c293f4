"""MMUD (Neural Tuning, arXiv 2408.03001): one picture with a caption, a reasoning question and answer, and named masks.

Layout as kiva12138/NeuralTuning publishes it (README.md, MMUD/MMUDDataLoader.py, Codes/Dataset.py): ``train.pkl``, ``valid.pkl`` and
``test.pkl``, each a pickled list of tuples in the order of ``FIELDS``. Masks are one flat polygon of floats (COCO) or a list of run
lengths (RefClef); the i-th mask is "<LCL-i>" in the text; image_path carries a Windows path, its last part counts. Not verified, for
the archive was not at hand: the order of box values (we take COCO's x, y, width, height), and whether values are plain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unified_demo.data.masks import Mask, decode_runs, fill_polygons
from unified_demo.data.published.reading import Broken, Complaints, box_within, files_of, need, picture_size, polygon_within, read_pickle
from unified_demo.errors import MediaError
from unified_demo.grammar import Box

FIELDS = (
    "image_path", "caption", "enriched_text", "sample_texts", "sample_masks", "sample_boxs", "sample_height", "sample_width",
    "sample_category", "sample_category_text", "caption_len", "enriched_text_len",
)  # fmt: skip
PICTURES = ("images", "Images", ".")
_LOCAL = re.compile(r"<LCL-(\d{1,2})>")
_QUESTION = re.compile(r"^\s*##\s*Question:?\s*")
_ANSWER = re.compile(r"\s*##\s*Answer:?\s*")


@dataclass(frozen=True)
class NamedMask:
    """One object: the ways it was called, its box, and a polygon in pixels or run lengths."""

    names: tuple[str, ...]
    box: Box
    polygon: tuple[float, ...] = ()
    runs: tuple[str, ...] = ()

    def mask(self, height: int, width: int) -> Mask:
        if self.polygon:
            return fill_polygons([self.polygon], height, width)
        return np.logical_or.reduce([decode_runs(run, height, width) for run in self.runs])


@dataclass(frozen=True)
class MultiLabel:
    """One picture with all labels. ``mentioned``: indices of ``objects`` in the order in which the answer names them."""

    picture: Path
    width: int
    height: int
    split: str
    caption: str
    question: str
    answer: str
    objects: tuple[NamedMask, ...]
    mentioned: tuple[int, ...]


def read_neural_mmud(folder: Path, complaints: Complaints, pictures: Path | None = None) -> Iterator[MultiLabel]:
    """Pictures by split. MediaError when there is no pickle."""
    pictures = pictures or next(folder / name for name in PICTURES if (folder / name).is_dir())
    for path in files_of(folder, ("train*.pkl", "valid*.pkl", "test*.pkl"), "pickles of MMUD"):
        rows = read_pickle(path, complaints)
        if rows is not None and not isinstance(rows, list | tuple):
            complaints.add(path, 0, "wrong layout", f"holds a {type(rows).__name__} and no list of samples")
            continue
        for number, row in enumerate(rows or ()):
            try:
                yield _read(row, path.stem.split("_")[0], pictures)
            except Broken as exc:
                complaints.add(path, 0, exc.kind, f"(sample {number}) {exc}")
            except MediaError as exc:
                complaints.add(path, 0, "broken mask", f"(sample {number}) {exc}")


def _read(row: Any, split: str, pictures: Path) -> MultiLabel:
    if not isinstance(row, list | tuple) or len(row) < len(FIELDS) - 2:
        raise Broken("wrong layout", f"is no tuple of {len(FIELDS)} fields")
    sample = dict(zip(FIELDS, row, strict=False))
    picture = pictures / re.split(r"[\\/]", need(sample, "image_path", str))[-1]
    size = picture_size(picture)
    width, height = need(sample, "sample_width", int), need(sample, "sample_height", int)
    if size != (width, height):
        raise Broken("wrong size", f"says {picture.name} has {width} x {height} pixels, and it has {size[0]} x {size[1]}")
    lists = [need(sample, name, (list, tuple)) for name in ("sample_texts", "sample_masks", "sample_boxs")]
    if len({len(values) for values in lists}) != 1:
        raise Broken("wrong layout", "has texts, masks and boxes in different numbers")
    objects = tuple(_object(texts, mask, box, (width, height)) for texts, mask, box in zip(*lists, strict=True))
    question, separator, answer = need(sample, "enriched_text", str).partition("<SEP>")
    question = _ANSWER.sub("", _QUESTION.sub("", question)).strip()
    mentioned = tuple(dict.fromkeys(int(number) - 1 for number in _LOCAL.findall(answer)))
    if not separator or not question:
        raise Broken("wrong layout", "has no '<SEP>' between question and answer")
    if any(index not in range(len(objects)) for index in mentioned):
        raise Broken("missing mask", f"mentions object {max(mentioned) + 1} of {len(objects)}")
    return MultiLabel(
        picture, width, height, split, need(sample, "caption", str).strip(), question, _LOCAL.sub("", answer).strip(), objects, mentioned
    )


def _object(texts: Any, mask: Any, box: Any, size: tuple[int, int]) -> NamedMask:
    width, height = size
    names = tuple(text.strip() for text in ([texts] if isinstance(texts, str) else texts) if isinstance(text, str) and text.strip())
    if not names:
        raise Broken("no name", "has an object without a name")
    if not (isinstance(box, list | tuple) and len(box) == 4 and all(isinstance(value, int | float) for value in box)):
        raise Broken("wrong type", f"has {str(box)[:40]} where a box is needed")
    if not isinstance(mask, list | tuple) or not mask:
        raise Broken("broken mask", "has an object without a mask")
    x, y, box_width, box_height = box
    place = box_within(x, y, x + box_width, y + box_height, width, height)
    if isinstance(mask[0], int | float):
        named = NamedMask(names, place, polygon=polygon_within(mask, width, height))
    else:
        counts = [need(part, "counts", (str, bytes)) for part in mask]
        named = NamedMask(names, place, runs=tuple(part.decode("latin-1") if isinstance(part, bytes) else part for part in counts))
    if not named.mask(height, width).any():
        raise Broken("empty mask", f"has a mask of '{names[0]}' without a pixel")
    return named
