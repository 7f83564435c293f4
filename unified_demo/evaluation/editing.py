"""The benchmark ``editing``: what should change has changed, the rest has not.

Composed pairs (``data edits``), drawn ones (``training.editor pairs``), pairs in InstructPix2Pix's layout (whole picture, with the wished
result) and Reason-Edit's (one region, with its mask). The expert gets the instruction and, for a region, its box. Beside it the unchanged
picture, the floor; and for drawn pictures what would be done to photographs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unified_demo.data.edit_pairs import DRAWN_KINDS, read_edits
from unified_demo.data.published.instructpix2pix import read_instructpix2pix
from unified_demo.data.published.reading import Complaints
from unified_demo.data.published.reasonedit import read_reasonedit
from unified_demo.engine import Engine
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.evaluation.benchmark import ALL, Context, NotReady, Result, Row, grouped, mean, stratified
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.expert_runs import call_expert, no_expert, offered
from unified_demo.evaluation.image_metrics import Look, Pixels, feature_distance, feature_similarity, psnr, ssim
from unified_demo.evaluation.metrics import Mask
from unified_demo.experts.base import ExpertRequest, Output
from unified_demo.experts.restyling import ROLES, RestylingExpert
from unified_demo.experts.style_nets import StyleNets
from unified_demo.grammar import Box, Task
from unified_demo.media import MediaStore, mask_to_box
from unified_demo.messages import Artefact
from unified_demo.zoo import Zoo

MEASURES = {
    "PSNR outside": "dB against the picture before, outside the mask: what should stay",
    "SSIM outside": "the same as structural similarity, -1 to 1",
    "distance outside": "of DINOv2 features (LPIPS-style) to the picture before, outside the mask, 0–4",
    "changed inside": "mean absolute change inside the mask, 0–1",
    "similarity inside": "cosine of DINOv2 features to the wished picture, inside the mask or of the whole picture, -1 to 1",
    "PSNR to wished": "dB against the wished picture, where there is one",
    "SSIM to wished": "the same as structural similarity",
    "errors": "edits that did not come; the picture is then what it was, as on the page",
}
AS_PHOTOGRAPH = "as a photograph"
MOST_DB = 100.0
"""PSNR of equal pictures counts as this."""


@dataclass(frozen=True)
class EditCase:
    """``mask``: where the edit may happen (a region edit); ``box``: the thing, else that of the mask; ``after``: the wished picture."""

    group: str
    task: Task
    before: Path
    instruction: str
    after: Path | None = None
    mask: Mask | None = None
    box: Box | None = None

    @property
    def drawn(self) -> bool:
        """The picture stands for one that was drawn in the conversation."""
        return self.group in DRAWN_KINDS

    @property
    def place(self) -> Box | None:
        return self.box or (mask_to_box(self.mask) if self.mask is not None else None)


Editor = Callable[[EditCase, Artefact], tuple[Pixels | None, str]]


class Editing:
    name = "editing"
    title = "Editing"
    systems = ("expert", AS_PHOTOGRAPH, "unchanged")

    def run(self, context: Context) -> Result:
        """Raises NotReady when no pairs are there, ModelLoadError without the image encoder."""
        names = context.chosen(self.systems)
        engine = context.subjects.router_only()
        missing = [task for task in (Task.IMAGE_EDITING, Task.REASONING_EDITING) if not offered(engine, task)]
        try:
            cases, complaints = read_cases(context)
        except NotReady:
            if len(missing) < 2 or "expert" not in names:
                raise
            return Result((no_expert("expert", ALL),), MEASURES)
        chosen = stratified(cases, lambda case: case.group, context.limit)
        rows: list[Row] = []
        samples: list[dict] = []
        store, look = MediaStore(context.out / "media"), context.subjects.look()
        for name in names:
            if name == AS_PHOTOGRAPH and not any(case.drawn for case in chosen):
                continue
            editor = _photo_editor(context) if name == AS_PHOTOGRAPH else _expert(engine)
            tiles: list[Tile] = []
            for group, items in grouped(chosen, lambda case: [case.group]).items():
                if name == "expert" and items[0].task in missing:
                    rows.append(no_expert(name, group))
                    continue
                if name == AS_PHOTOGRAPH and not items[0].drawn:
                    continue
                found = [self._measure(name, case, editor, store, tiles, look) for case in items]
                figures = {key: mean(item[key] for item in found) for key in MEASURES if key != "errors"}
                rows.append(Row(name, group, len(items), {**figures, "errors": float(sum(bool(item["error"]) for item in found))}))
                samples += [{"system": name, "group": group, **item} for item in found]
            draw_sheet(tiles, context.out / f"{name}.webp")
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))

    def _measure(self, name: str, case: EditCase, editor: Editor, store: MediaStore, tiles: list[Tile], look: Look) -> dict[str, Any]:
        """One edit and its figures; its picture joins ``tiles``."""
        picture = store.add_upload(case.before, "img-1")
        if case.drawn:
            picture = replace(picture, recipe={"layout": []})
        edited, error = (load(case.before), "") if name == "unchanged" else editor(case, picture)
        if edited is not None:
            kept = store.add_image(Image.fromarray(edited), "img-2")
            tiles.append(Tile(len(tiles), kept.path, f"{case.instruction}\n{error}", case.place or Box(0, 0, 1, 1), None, None))
        return {"instruction": case.instruction, "error": error, **score(case, edited, look)}


def _expert(engine: Engine) -> Editor:
    def edit(case: EditCase, picture: Artefact) -> tuple[Pixels | None, str]:
        outputs, error = call_expert(engine, case.task, case.instruction, {picture.id: picture}, box=case.place)
        return _taken(outputs, error)

    return edit


def _photo_editor(context: Context) -> Editor:
    """The expert for whole photographs alone: style networks and filters."""
    zoo = Zoo(context.settings.cache_dir, context.settings.weights_dir)
    expert = RestylingExpert(StyleNets(*(zoo.path(role) for role in ROLES)))

    def edit(case: EditCase, picture: Artefact) -> tuple[Pixels | None, str]:
        try:
            events = list(expert.run(ExpertRequest(case.instruction, (picture,))))
        except UnifiedError as exc:
            return None, str(exc)
        return _taken([event for event in events if isinstance(event, Output)], "")

    return edit


def _taken(outputs: Sequence[Output], error: str) -> tuple[Pixels | None, str]:
    return (np.asarray(outputs[-1].value.convert("RGB")), error) if outputs else (None, error or "the expert gave nothing")


def read_cases(context: Context) -> tuple[list[EditCase], list[str]]:
    complaints, missing = Complaints(), []
    cases: list[EditCase] = []
    for folder, read in READERS.items():
        place = context.data / folder if context.data else None
        if place is None or not place.is_dir():
            missing.append(folder)
            continue
        try:
            cases += read(place, complaints)
        except MediaError as exc:
            missing.append(f"{folder} ({exc})")
    if not cases:
        raise NotReady(f"Editing needs pairs of pictures in {' or '.join(missing)} below the data folder; pass --data.")
    return cases, [str(item) for item in complaints.found]


def _global(folder: Path, complaints: Complaints) -> list[EditCase]:
    pairs = read_instructpix2pix(folder, complaints)
    return [EditCase("whole picture", Task.IMAGE_EDITING, pair.before, pair.instruction, pair.after) for pair in pairs]


def _regional(folder: Path, complaints: Complaints) -> list[EditCase]:
    return [
        EditCase("one region", Task.REASONING_EDITING, item.before, item.instructions[0], item.after, item.mask())
        for item in read_reasonedit(folder, complaints)
        if item.instructions
    ]


def _composed(folder: Path, complaints: Complaints) -> list[EditCase]:
    return [
        EditCase(
            pair.kind if pair.kind in DRAWN_KINDS else f"composed: {pair.kind}",
            Task.IMAGE_EDITING if pair.box is None else Task.REASONING_EDITING,
            pair.before,
            pair.instruction,
            pair.after,
            pair.mask(),
            pair.box,
        )
        for pair in read_edits(folder, complaints)
    ]


READERS = {"edits": _composed, "drawn_edits": _composed, "instructpix2pix": _global, "reasonedit": _regional}
"""Folder below the data folder -> what reads it."""


def load(path: Path) -> Pixels:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def score(case: EditCase, edited: Pixels | None, look: Look) -> dict[str, float | None]:
    """Every measure that the case allows; an edit that did not come leaves the picture as it was. Sizes are brought to the one before."""
    before = load(case.before)
    size = (before.shape[1], before.shape[0])
    ours = before if edited is None else _resized(edited, size)
    figures: dict[str, float | None] = dict.fromkeys(name for name in MEASURES if name != "errors")
    seen = look(ours)
    if case.mask is not None and case.mask.any() and not case.mask.all():
        figures["PSNR outside"] = _decibels(psnr(ours, before, ~case.mask))
        figures["SSIM outside"] = ssim(ours, before, ~case.mask)
        figures["distance outside"] = feature_distance(seen, look(before), case.mask)
        figures["changed inside"] = float(np.abs(ours.astype(float) - before)[case.mask].mean() / 255)
    if case.after is not None:
        wished = _resized(load(case.after), size)
        figures["PSNR to wished"] = _decibels(psnr(ours, wished))
        figures["SSIM to wished"] = ssim(ours, wished)
        figures["similarity inside"] = feature_similarity(seen, look(wished), case.mask)
    return figures


def _decibels(value: float) -> float:
    return MOST_DB if math.isinf(value) else value


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    same = (pixels.shape[1], pixels.shape[0]) == size
    return pixels if same else np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
