"""The benchmark ``removal``: a thing is taken out of a real photo, and a detector that took no part in it looks again.

Only things that the detector finds before count. The expert gets "remove the <label>" and the annotated box. Beside it the photo
as it was, and the box painted over with the mean colour round it: gone as well, but for the eye.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unified_demo.engine import Engine
from unified_demo.evaluation.benchmark import ALL, Context, Result, Row, grouped, mean, stratified
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.expert_runs import call_expert, no_expert, offered
from unified_demo.evaluation.image_metrics import Pixels
from unified_demo.evaluation.metrics import Mask
from unified_demo.evaluation.referring import Photo, Thing, read_photos
from unified_demo.evaluation.referring_benchmark import photo_folder
from unified_demo.evaluation.systems import Finder
from unified_demo.grammar import Box, Task
from unified_demo.media import MediaStore, box_to_pixels
from unified_demo.model.detection import Detection

MEASURES = {
    "gone": "share of things that the detector no longer finds there",
    "nothing new": "share of pictures where it finds nothing in the region that it did not find before",
    "outside identical": "share of pictures with every pixel as before, but for the box and a rim of 15 % of its mean side",
    "changed": "share of the picture's pixels that changed",
    "errors": "removals that did not come; each counts as not gone",
}
FOUND_SCORE, FOUND_IOU = 0.3, 0.5
"""The detector finds a thing when one of its names, with this score, has a box that overlaps the annotated one this much."""
NEW_SCORE, NEW_SHARE = 0.4, 0.5
"""Something new has at least this score and lies with at least this share of its box in the region."""
LEAST_AREA, MOST_AREA = 0.01, 0.3
"""Of things to remove, as shares of the picture."""
SIZES = ((0.05, "up to 5 % of the picture"), (0.15, "5 to 15 %"), (1.0, "more than 15 %"))
PER_PHOTO = 3
RIM = 0.15


@dataclass(frozen=True)
class Removal:
    photo: Path
    thing: Thing

    @property
    def group(self) -> str:
        return next(name for most, name in SIZES if self.thing.box.area <= most)


class RemovalBenchmark:
    name = "removal"
    title = "Removal from real photos (eval_coco)"
    systems = ("expert", "painted over", "unchanged")

    def run(self, context: Context) -> Result:
        """Raises NotReady without photos, ModelLoadError without the detector."""
        names = context.chosen(self.systems)
        photos, complaints = read_photos(photo_folder(context))
        engine, detector = context.subjects.router_only(), context.subjects.detector()
        cases = stratified(choose(photos, detector), lambda case: case.group, context.limit)
        rows: list[Row] = []
        samples: list[dict[str, Any]] = []
        for name in names:
            if name == "expert" and not offered(engine, Task.REASONING_EDITING):
                rows.append(no_expert(name, ALL))
                continue
            store, tiles = MediaStore(context.out / "media"), list[Tile]()
            found = [self._measure(name, case, engine, detector, store, tiles) for case in cases]
            for group, items in grouped(found, lambda item: [ALL, item["group"]]).items():
                rows.append(Row(name, group, len(items), _figures(items)))
            samples += [{"system": name, **item} for item in found]
            draw_sheet(tiles, context.out / f"removal-{name.replace(' ', '-')}.webp")
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))

    def _measure(self, name: str, case: Removal, engine: Engine, detector: Finder, store: MediaStore, tiles: list[Tile]) -> dict[str, Any]:
        """One removal and its figures; before and after join ``tiles`` as one, what failed first."""
        picture = store.add_upload(case.photo, "img-1")
        before = _pixels(picture.path)
        after, error = before, ""
        if name == "expert":
            prompt = f"remove the {case.thing.label}"
            outputs, error = call_expert(engine, Task.REASONING_EDITING, prompt, {picture.id: picture}, box=case.thing.box)
            after = np.asarray(outputs[-1].value) if outputs else before
        elif name == "painted over":
            after = paint_over(before, case.thing.box)
        figures = score(case.thing, before, after, detector)
        failed = not (figures["gone"] and figures["nothing new"] and figures["outside identical"])
        wide = before.shape[1] > before.shape[0]
        both = store.add_image(Image.fromarray(np.concatenate([before, after], axis=0 if wide else 1)), "img-2")
        x0, y0, x1, y1 = case.thing.box.as_tuple()
        place = Box(x0, y0 / 2, x1, y1 / 2) if wide else Box(x0 / 2, y0, x1 / 2, y1)
        words = f"{case.thing.label}: {', '.join(key for key in ('gone', 'nothing new', 'outside identical') if figures[key])} {error}"
        tiles.append(Tile(-float(failed), both.path, words, place, None, None))
        return {"photo": case.photo.name, "label": case.thing.label, "group": case.group, "error": error, **figures}


def choose(photos: Sequence[Photo], detector: Finder) -> list[Removal]:
    """The largest things of each photo, at most ``PER_PHOTO``, that are neither tiny nor most of it and that the detector finds."""
    chosen: list[Removal] = []
    for photo in photos:
        things = [thing for thing in photo.things if thing and not thing.crowd and LEAST_AREA <= thing.box.area <= MOST_AREA]
        with Image.open(photo.path) as opened:
            seen = detector.detect(opened.convert("RGB"))
        findable = [thing for thing in things if finds(seen, thing)]
        chosen += [Removal(photo.path, thing) for thing in sorted(findable, key=lambda thing: -thing.box.area)[:PER_PHOTO]]
    return chosen


def finds(seen: Sequence[Detection], thing: Thing) -> bool:
    """Whether the thing is among what a detector saw, by its best or another possible name."""
    return any(
        label == thing.label and score >= FOUND_SCORE and item.box.iou(thing.box) >= FOUND_IOU
        for item in seen
        for label, score in ((item.label, item.score), *item.others)
    )


def score(thing: Thing, before: Pixels, after: Pixels, detector: Finder) -> dict[str, float]:
    """``gone``, ``nothing new`` and ``outside identical`` are 0 or 1."""
    seen_before, seen = (detector.detect(Image.fromarray(pixels)) for pixels in (before, after))
    news = [
        item
        for item in seen
        if item.score >= NEW_SCORE
        and _share_within(item.box, thing.box) >= NEW_SHARE
        and not any(known.label == item.label and known.box.iou(item.box) >= FOUND_IOU for known in seen_before)
    ]
    changed = (before != after).any(axis=2)
    return {
        "gone": float(not finds(seen, thing)),
        "nothing new": float(not news),
        "outside identical": float(not changed[~_rimmed(thing.box, before)].any()),
        "changed": float(changed.mean()),
    }


def paint_over(picture: Pixels, box: Box) -> Pixels:
    """The box in the mean colour of its rim."""
    inside = np.zeros(picture.shape[:2], bool)
    x0, y0, x1, y1 = (round(value) for value in box_to_pixels(box, picture.shape[1], picture.shape[0]))
    inside[y0:y1, x0:x1] = True
    rim = _rimmed(box, picture) & ~inside
    painted = picture.copy()
    painted[inside] = (picture[rim] if rim.any() else picture[inside]).mean(axis=0).round().astype(np.uint8)
    return painted


def _rimmed(box: Box, picture: Pixels) -> Mask:
    """The box and the rim in which a removal may change pixels, bool H x W."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box_to_pixels(box, width, height)
    rim = max(4.0, RIM * ((x1 - x0) * (y1 - y0)) ** 0.5)
    mask = np.zeros((height, width), bool)
    mask[max(0, int(y0 - rim)) : int(y1 + rim) + 1, max(0, int(x0 - rim)) : int(x1 + rim) + 1] = True
    return mask


def _share_within(inner: Box, outer: Box) -> float:
    """Share of ``inner`` that lies in ``outer``, 0..1."""
    width = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    height = min(inner.y1, outer.y1) - max(inner.y0, outer.y0)
    return max(width, 0.0) * max(height, 0.0) / inner.area


def _figures(items: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    figures = {key: mean(item[key] for item in items) for key in MEASURES if key != "errors"}
    return {**figures, "errors": float(sum(bool(item["error"]) for item in items))}


def _pixels(path: Path) -> Pixels:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))
