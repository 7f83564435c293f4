"""Runs the referring benchmark: questions x systems -> rows, one summary for each group, contact sheets.

What cannot be read is skipped, named and counted; one failing answer is a wrong answer, not the end of the run.
It prints nothing (``report`` returns the table as text) and knows neither how a system finds its answer nor the page.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unified_demo.errors import MediaError
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.metrics import Mask, Overlap, accuracy_at, cumulative_iou, generalised_iou, mask_overlap, precision_at
from unified_demo.evaluation.referring import FREE_EXPRESSIONS, Target, free_targets, label_targets, read_photos
from unified_demo.evaluation.systems import Prediction, System, answer_safely
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact

log = logging.getLogger(__name__)

ALL_LABELS = "label+position"
"""The targets of issue 2: "the <label>" and "the left/right/largest <label>" together."""


@dataclass(frozen=True)
class Row:
    """One answer of one system. IoUs 0..1, masks in pixels, boxes normalised xyxy; ``masked`` is False when no mask came."""

    system: str
    image: str
    expression: str
    group: str
    kind: str
    box_iou: float
    shared: int
    union: int
    masked: bool
    seconds: float
    truth: tuple[float, ...]
    box: tuple[float, ...] | None
    text: str
    error: str


@dataclass(frozen=True)
class Summary:
    """Figures of one group. ``g_iou`` and ``c_iou`` are None when the system gave no mask at all, ``precision`` (P@k) is then empty."""

    count: int
    accuracy: float
    g_iou: float | None
    c_iou: float | None
    seconds: float
    errors: int
    precision: dict[float, float] = field(default_factory=dict)


def collect_targets(folder: Path, limit: int | None = None, expressions: Path = FREE_EXPRESSIONS) -> tuple[list[Target], list[str]]:
    """All questions about the first ``limit`` photos (None: all), photo by photo, and complaints. Raises MediaError without annotations."""
    photos, complaints = read_photos(folder)
    photos = photos[:limit]
    free, more = free_targets(photos, expressions)
    by_photo: dict[Path, list[Target]] = {photo.path: list(label_targets(photo)) for photo in photos}
    for target in free:
        by_photo[target.photo].append(target)
    return [target for targets in by_photo.values() for target in targets], complaints + more


def run_system(system: System, targets: Sequence[Target], store: MediaStore) -> tuple[list[Row], list[Tile], list[str]]:
    """Ask ``system`` every question. Targets of a picture that cannot be opened are skipped with one complaint."""
    rows: list[Row] = []
    tiles: list[Tile] = []
    complaints: list[str] = []
    pictures: dict[Path, Artefact | None] = {}
    for number, target in enumerate(targets, start=1):
        if target.photo not in pictures:
            pictures[target.photo] = _open(target.photo, store, complaints)
        picture = pictures[target.photo]
        if picture is None:
            continue
        started = time.perf_counter()
        prediction = answer_safely(system, picture, target.expression)
        seconds = time.perf_counter() - started
        try:
            row, mask = _score(system.name, target, prediction, picture, seconds)
        except MediaError as exc:
            complaints.append(f"{target.photo}: the mask of '{target.expression}' cannot be used ({exc}); left out")
            continue
        rows.append(row)
        tiles.append(_tile(row, target, picture, prediction, mask))
        log.info("%s %d/%d %s: %s, IoU %.2f", system.name, number, len(targets), row.image, row.expression, row.box_iou)
    return rows, tiles, complaints


def _open(path: Path, store: MediaStore, complaints: list[str]) -> Artefact | None:
    try:
        return store.add_upload(path, "img-1")
    except MediaError as exc:
        complaints.append(f"{path}: {exc} Its expressions were left out.")
        return None


def _score(name: str, target: Target, prediction: Prediction, picture: Artefact, seconds: float) -> tuple[Row, Mask | None]:
    truth = target.thing.mask(picture.width, picture.height)
    mask, error = prediction.mask, prediction.error
    if mask is not None and mask.shape != truth.shape:
        error = f"the mask is {mask.shape} instead of {truth.shape}"
        mask = None
    overlap = mask_overlap(mask, truth)
    row = Row(
        system=name,
        image=target.photo.name,
        expression=target.expression,
        group=target.group,
        kind=target.kind,
        box_iou=round(prediction.box.iou(target.thing.box), 4) if prediction.box else 0.0,
        shared=overlap.shared,
        union=overlap.union,
        masked=mask is not None,
        seconds=round(seconds, 3),
        truth=target.thing.box.as_tuple(),
        box=tuple(round(value, 4) for value in prediction.box.as_tuple()) if prediction.box else None,
        text=prediction.text,
        error=error,
    )
    return row, mask


def _tile(row: Row, target: Target, picture: Artefact, prediction: Prediction, mask: Mask | None) -> Tile:
    mask_iou = Overlap(row.shared, row.union).iou
    remark = row.error or row.text
    masked = f"mask {mask_iou:.2f}" if row.masked else "no mask"
    caption = f"{row.expression}\nbox {row.box_iou:.2f}, {masked}, {row.kind}\n{remark}"
    return Tile(row.box_iou + mask_iou / 1000, picture.path, caption, target.thing.box, prediction.box, mask)


def summarise(rows: Iterable[Row]) -> dict[str, Summary]:
    """Figures by group: label, position, both together, others and their kinds (free, free/<kind>)."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
        groups[ALL_LABELS if row.group in ("label", "position") else f"{row.group}/{row.kind}"].append(row)
    order = ("label", "position", ALL_LABELS, "free", "grounding", "grounding, known", "reasoning", "reasoning, known")
    names = [name for name in order if name in groups] + sorted(name for name in groups if name not in order)
    return {name: _summary(groups[name]) for name in names}


def _summary(rows: Sequence[Row]) -> Summary:
    overlaps = [Overlap(row.shared, row.union) for row in rows]
    masked = any(row.masked for row in rows)
    return Summary(
        count=len(rows),
        accuracy=accuracy_at([row.box_iou for row in rows]),
        g_iou=generalised_iou(overlaps) if masked else None,
        c_iou=cumulative_iou(overlaps) if masked else None,
        seconds=sorted(row.seconds for row in rows)[len(rows) // 2],
        errors=sum(bool(row.error) for row in rows),
        precision=precision_at(overlaps) if masked else {},
    )


def report(summaries: dict[str, dict[str, Summary]]) -> str:
    """A table of systems and groups as text; ``summaries`` is system -> group -> figures. Seconds are medians."""
    lines = [f"{'system':<10}{'targets':<20}{'n':>5}{'Acc@0.5':>9}{'gIoU':>8}{'cIoU':>8}{'s':>8}{'errors':>8}"]
    for system, groups in summaries.items():
        for group, figures in groups.items():
            masks = [f"{value:>8.3f}" if value is not None else f"{'-':>8}" for value in (figures.g_iou, figures.c_iou)]
            lines.append(
                f"{system:<10}{group:<20}{figures.count:>5}{figures.accuracy:>9.3f}{masks[0]}{masks[1]}"
                f"{figures.seconds:>8.2f}{figures.errors:>8}"
            )
    return "\n".join(lines)


@dataclass(frozen=True)
class Measured:
    """Every row, the figures by system and group, and what was skipped."""

    rows: tuple[Row, ...]
    summaries: dict[str, dict[str, Summary]]
    skipped: tuple[str, ...]


def run_referring(systems: Sequence[System], targets: Sequence[Target], out: Path, complaints: Sequence[str] = ()) -> Measured:
    """Ask every system every question and write its contact sheet, ``<system>.webp``, into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    skipped = list(complaints)
    summaries: dict[str, dict[str, Summary]] = {}
    for system in systems:
        store = MediaStore()
        mine, tiles, more = run_system(system, targets, store)
        draw_sheet(tiles, out / f"{system.name}.webp")
        rows += mine
        skipped += [complaint for complaint in more if complaint not in skipped]
        summaries[system.name] = summarise(mine)
    return Measured(tuple(rows), summaries, tuple(skipped))
