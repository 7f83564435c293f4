"""RefCOCO, RefCOCO+ and RefCOCOg (arXiv 1608.00272, 1511.02283): expressions for objects of COCO photos, with boxes and masks.

Layout as lichengunc/refer (refer.py) reads it: ``<folder>/refs(<author>).p``, a pickle of refs, and ``<folder>/instances.json``; photos
in ``../images/mscoco/images/train2014``. A ref's own file name is not a photo's; the one in instances.json counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.masks import Mask, decode_runs, fill_polygons
from unified_demo.data.published.reading import (
    Broken,
    Complaints,
    box_within,
    files_of,
    need,
    picture_size,
    polygon_within,
    read_json,
    read_pickle,
)
from unified_demo.errors import MediaError
from unified_demo.grammar import Box

PHOTOS = ("../images/mscoco/images/train2014", "../images/train2014", "images")


@dataclass(frozen=True)
class ReferringExample:
    """One object and all sentences that mean it. ``polygons`` in pixels, or ``runs`` (COCO run lengths) for crowds."""

    picture: Path
    width: int
    height: int
    split: str
    expressions: tuple[str, ...]
    category: str
    box: Box
    polygons: tuple[tuple[float, ...], ...] = ()
    runs: str | tuple[int, ...] = ()

    def mask(self) -> Mask:
        """Bool H x W."""
        return decode_runs(self.runs, self.height, self.width) if self.runs else fill_polygons(self.polygons, self.height, self.width)


def read_refcoco(folder: Path, complaints: Complaints, photos: Path | None = None) -> Iterator[ReferringExample]:
    """Objects in the order of the pickles. ``photos``: where COCO's train2014 lies. MediaError without a pickle of refs."""
    pickles = files_of(folder, ("refs(*).p",), "pickle of refs")
    instances = _instances(folder / "instances.json", complaints)
    photos = photos or next((folder / name for name in PHOTOS if (folder / name).is_dir()), folder / PHOTOS[0])
    for path in pickles:
        refs = read_pickle(path, complaints)
        if refs is not None and not isinstance(refs, list):
            complaints.add(path, 0, "wrong layout", f"holds a {type(refs).__name__} and no list of refs")
            continue
        for number, ref in enumerate(refs or ()):
            try:
                yield _read_ref(ref, instances, photos)
            except Broken as exc:
                complaints.add(path, 0, exc.kind, f"(ref {number}) {exc}")
            except MediaError as exc:
                complaints.add(path, 0, "broken mask", f"(ref {number}) {exc}")


def _instances(path: Path, complaints: Complaints) -> dict[str, dict[int, dict[str, Any]]]:
    content = read_json(path, complaints)
    tables: dict[str, dict[int, dict[str, Any]]] = {}
    for name in ("images", "annotations", "categories"):
        rows = content.get(name) if isinstance(content, dict) else None
        if content is not None and not isinstance(rows, list):
            complaints.add(path, 0, "wrong layout", f"has no list '{name}'")
        tables[name] = {row["id"]: row for row in rows or () if isinstance(row, dict) and isinstance(row.get("id"), int)}
    return tables


def _read_ref(ref: Any, instances: dict[str, dict[int, dict[str, Any]]], photos: Path) -> ReferringExample:
    annotation = _row(instances, "annotations", need(ref, "ann_id", int))
    image = _row(instances, "images", need(ref, "image_id", int))
    category = _row(instances, "categories", need(ref, "category_id", int))
    picture = photos / Path(need(image, "file_name", str)).name
    width, height = picture_size(picture)
    if (width, height) != (need(image, "width", int), need(image, "height", int)):
        raise Broken("wrong size", f"says {picture.name} has {image['width']} x {image['height']} pixels, and it has {width} x {height}")
    x, y, box_width, box_height = _numbers(need(annotation, "bbox", list), 4)
    sentences = [need(sentence, "sent", str).strip() for sentence in need(ref, "sentences", list)]
    if not any(sentences):
        raise Broken("no sentence", "has no sentence")
    segmentation = need(annotation, "segmentation", (list, dict))
    example = ReferringExample(
        picture=picture,
        width=width,
        height=height,
        split=need(ref, "split", str),
        expressions=tuple(sentence for sentence in sentences if sentence),
        category=need(category, "name", str),
        box=box_within(x, y, x + box_width, y + box_height, width, height),
        polygons=tuple(polygon_within(polygon, width, height) for polygon in segmentation) if isinstance(segmentation, list) else (),
        runs=_runs(segmentation) if isinstance(segmentation, dict) else (),
    )
    if not example.mask().any():
        raise Broken("empty mask", "has a mask without a pixel")
    return example


def _runs(segmentation: dict[str, Any]) -> str | tuple[int, ...]:
    counts = need(segmentation, "counts", (list, str, bytes))
    if isinstance(counts, bytes):
        return counts.decode("latin-1")
    return counts if isinstance(counts, str) else tuple(int(count) for count in _numbers(counts, len(counts)))


def _numbers(values: list[Any], count: int) -> list[float]:
    if len(values) != count or not all(isinstance(value, int | float) for value in values):
        raise Broken("wrong type", f"has {str(values)[:40]} where {count} numbers are needed")
    return values


def _row(instances: dict[str, dict[int, dict[str, Any]]], table: str, key: int) -> dict[str, Any]:
    if key not in instances[table]:
        raise Broken("missing row", f"names {key}, which is not among the {table} of instances.json")
    return instances[table][key]
