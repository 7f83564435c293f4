"""ReasonSeg (LISA, arXiv 2308.00692): a photo, an implicit question and polygons of what it means.

Layout as dvlab-research/LISA reads it (utils/data_processing.py, utils/reason_seg_dataset.py): ``<split>/<name>.jpg`` beside
``<name>.json`` with text, is_sentence and shapes (label, points; "ignore" does not count, "flag" is no annotation);
``explanatory/train.json`` explains some.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.masks import Mask, fill_polygons
from unified_demo.data.published.reading import Broken, Complaints, files_of, json_entries, need, picture_size, polygon_within, read_json

SPLITS = ("train", "val", "test")
ENCODINGS = ("utf-8-sig", "cp1252")
"""LISA falls back to cp1252 for some files."""


@dataclass(frozen=True)
class ReasoningExample:
    """One photo. ``questions`` all mean the same target; ``sentence`` False: they are short phrases. Polygons in pixels."""

    picture: Path
    width: int
    height: int
    split: str
    questions: tuple[str, ...]
    sentence: bool
    target: tuple[tuple[float, ...], ...]
    ignored: tuple[tuple[float, ...], ...] = ()
    explanation: str = ""

    def mask(self) -> Mask:
        """Bool H x W of the target, without what is to be ignored."""
        return fill_polygons(self.target, self.height, self.width) & ~self.ignored_mask()

    def ignored_mask(self) -> Mask:
        return fill_polygons(self.ignored, self.height, self.width)


def read_reasonseg(folder: Path, complaints: Complaints) -> Iterator[ReasoningExample]:
    """Photos by split and name; ``folder`` holds the splits, or the files of one. MediaError when no annotation is there."""
    explanations = _explanations(folder / "explanatory" / "train.json", complaints)
    for path in files_of(folder, (*(f"{split}/*.json" for split in SPLITS), "*.json"), "annotations"):
        content = read_json(path, complaints, ENCODINGS)
        if content is None:
            continue
        try:
            yield _read(path, content, explanations.get(path.with_suffix(".jpg").name, ""))
        except Broken as exc:
            complaints.add(path, 0, exc.kind, str(exc))


def _read(path: Path, content: Any, explanation: str) -> ReasoningExample:
    texts = need(content, "text", (list, str))
    questions = tuple(text.strip() for text in ([texts] if isinstance(texts, str) else texts) if isinstance(text, str) and text.strip())
    if not questions:
        raise Broken("no question", "has no text")
    picture = path.with_suffix(".jpg")
    width, height = picture_size(picture)
    shapes: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
    for shape in need(content, "shapes", list):
        label = need(shape, "label", str).lower()
        if label == "flag":
            continue
        points = need(shape, "points", list)
        if not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise Broken("broken polygon", "has a polygon whose corners are no pairs")
        shapes["ignore" in label].append(polygon_within([value for point in points for value in point], width, height))
    split = path.parent.name if path.parent.name in SPLITS else ""
    sentence = bool(need(content, "is_sentence", (bool, int)))
    example = ReasoningExample(picture, width, height, split, questions, sentence, tuple(shapes[False]), tuple(shapes[True]), explanation)
    if not example.mask().any():
        raise Broken("empty mask", "has no target")
    return example


def _explanations(path: Path, complaints: Complaints) -> dict[str, str]:
    found: dict[str, str] = {}
    if not path.is_file():
        return found
    for line, entry in json_entries(path, complaints):
        try:
            found[need(entry, "image", str)] = need(entry, "outputs", str)
        except Broken as exc:
            complaints.add(path, line, exc.kind, str(exc))
    return found
