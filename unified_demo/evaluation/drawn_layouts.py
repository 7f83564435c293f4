"""The benchmark ``drawn_layouts``: prompts of NSR-1K end to end, from prompt to boxes to picture to a detector that looks at it.

Boxes come from the annotation, from the rule of the benchmark ``layout`` or from the model; the expert draws them. Beside it the cut-outs
themselves in the annotated boxes: what the judges see in a perfect drawing. A prompt with a thing that cannot be drawn is not fulfilled.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.published.nsr1k import LayoutPrompt, read_nsr1k
from unified_demo.data.published.reading import Complaints
from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.benchmark import Context, NotReady, Result, Row, grouped, mean, stratified
from unified_demo.evaluation.contact_sheet import MOST_TILES, Tile, draw_sheet
from unified_demo.evaluation.expert_runs import no_expert, offered
from unified_demo.evaluation.generation import Case, Drawable, Wanted
from unified_demo.evaluation.generation_metrics import crop, foreground, parts
from unified_demo.evaluation.image_metrics import Look, Pixels
from unified_demo.evaluation.layout import Plan, Planner, fulfils, model_planner, rule
from unified_demo.evaluation.layout_metrics import Planned
from unified_demo.evaluation.systems import Finder
from unified_demo.experts.base import Output
from unified_demo.grammar import Box, Task
from unified_demo.media import MediaStore, mask_to_box
from unified_demo.messages import RegionPart, TaskCall

MEASURES = {
    "planned": "the plan fulfils the prompt: the relation holds, or every noun has its number",
    "drawn": "a picture came; a thing that cannot be drawn is refused by name",
    "detector": "the detector's boxes in the picture fulfil the prompt",
    "features": "the connected parts of the picture, named by DINOv2 among the nouns of the set, fulfil the prompt",
    "detector, drawn": "the same as 'detector', of the prompts that were drawn",
    "features, drawn": "the same as 'features', of the prompts that were drawn",
    "seen": "things asked for that the detector finds anywhere in the picture, of those drawn",
}
ALSO_CALLED = {
    "tv": "television",
    "cell phone": "mobile phone",
    "donut": "doughnut",
    "dining table": "table",
    "remote": "remote control",
    "tie": "necktie",
}
"""What the assets call things of the set that have another name there."""
FOUND_SCORE = 0.3
"""The detector finds a thing when one of its names has this score, as in the benchmark ``removal``."""


@dataclass(frozen=True)
class Judged:
    """One prompt; ``picture`` None when it was not drawn. ``features`` None without the assets."""

    prompt: LayoutPrompt
    planned: bool
    picture: Pixels | None
    detector: bool
    features: bool | None
    seen: float | None
    error: str


Drawer = Callable[[LayoutPrompt, Plan], tuple[Pixels | None, str]]


class DrawnLayouts:
    name = "drawn_layouts"
    title = "Layouts of NSR-1K drawn, and looked at by a detector"
    systems = ("annotation", "rule", "model", "cut-outs")

    def run(self, context: Context) -> Result:
        """Raises NotReady without NSR-1K, ModelLoadError without the detector. Without the assets nobody judges by features, and the
        cut-outs are left out."""
        names = context.chosen(self.systems)
        complaints = Complaints()
        prompts = [prompt for prompt in read_nsr1k(context.folder("nsr1k", "spatial.val.json"), complaints) if prompt.split == "val"]
        whole = [prompt for prompt in prompts if all(box for _, box in prompt.objects)]
        chosen = stratified(whole, lambda prompt: prompt.relation or prompt.kind, context.limit)
        drawable = _drawable(context)
        if drawable is None and names == ("cut-outs",):
            raise NotReady("The cut-outs need the assets; fetch them with 'python -m unified_demo.data fetch' and pass --data.")
        engine, judge = context.subjects.router_only(), Judge(context.subjects.detector(), drawable, prompts, context)
        rows: list[Row] = []
        samples: list[dict] = []
        for name in names:
            if name == "cut-outs" and drawable is None:
                continue
            if name != "cut-outs" and not offered(engine, Task.LAYOUT_GENERATION):
                rows.append(no_expert(name, "spatial"))
                continue
            planner = _planner(name, context)
            drawer = _cut_outs(drawable) if name == "cut-outs" and drawable else _expert(engine)
            judged = [judge(prompt, plan, *drawer(prompt, plan)) for prompt in chosen for plan in (planner(prompt),)]
            for group, items in grouped(judged, _groups).items():
                rows.append(Row(name, group, len(items), _figures(items)))
            samples += [_sample(name, item) for item in judged]
            _sheet(judged, context, name)
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(str(item) for item in complaints.found))


class Judge:
    """``__call__(prompt, plan, picture, error)``. Nouns by features are those of ``prompts`` that the assets show."""

    def __init__(self, detector: Finder, drawable: Drawable | None, prompts: Sequence[LayoutPrompt], context: Context) -> None:
        self.detector = detector
        self.look: Look | None = context.subjects.look() if drawable else None
        self.names = {ALSO_CALLED.get(noun, noun): noun for prompt in prompts for noun, _ in prompt.objects}
        self.gallery = drawable.gallery(self.look, self.names) if drawable and self.look else None

    def __call__(self, prompt: LayoutPrompt, plan: Plan, picture: Pixels | None, error: str) -> Judged:
        planned = plan.called and fulfils(prompt, plan.things)
        if picture is None:
            return Judged(prompt, planned, None, False, None if self.gallery is None else False, None, error)
        found = self._detected(picture)
        nouns = {noun for noun, _ in prompt.objects}
        seen = sum(any(thing.noun == noun for thing in found) for noun in nouns) / max(1, len(nouns))
        named = self._named(picture)
        return Judged(prompt, planned, picture, fulfils(prompt, found), None if named is None else fulfils(prompt, named), seen, error)

    def _detected(self, picture: Pixels) -> list[Planned]:
        return [
            Planned(label, item.box)
            for item in self.detector.detect(Image.fromarray(picture))
            for label, score in ((item.label, item.score), *item.others)[:1]
            if score >= FOUND_SCORE
        ]

    def _named(self, picture: Pixels) -> list[Planned] | None:
        if self.gallery is None or self.look is None:
            return None
        boxes = [box for part in parts(foreground(picture)) if (box := mask_to_box(part))]
        return [Planned(self.names[self.gallery.ranking(crop(picture, box), self.look)[0]], box) for box in boxes]


def _drawable(context: Context) -> Drawable | None:
    try:
        folder = context.folder("assets", "catalogue.json")
        return Drawable(CutoutLibrary(folder, read_catalogue(folder), capacity=1024))
    except NotReady:
        return None


def _planner(name: str, context: Context) -> Planner:
    if name == "model":
        return model_planner(context)
    return rule if name == "rule" else annotated


def annotated(prompt: LayoutPrompt) -> Plan:
    """The boxes of the set."""
    return Plan(tuple(Planned(noun, box) for noun, box in prompt.objects if box), True, "")


def _expert(engine: Engine) -> Drawer:
    def draw(prompt: LayoutPrompt, plan: Plan) -> tuple[Pixels | None, str]:
        regions = tuple(RegionPart(thing.noun, (thing.box,)) for thing in plan.things)
        call = TaskCall(0, Task.LAYOUT_GENERATION.value, prompt.prompt, (), regions)
        try:
            events = list(engine.router.dispatch(call, {}, prompt.id, threading.Event()))
        except UnifiedError as exc:
            return None, str(exc)
        outputs = [np.asarray(event.value.convert("RGB")) for event in events if isinstance(event, Output)]
        return (outputs[-1], "") if outputs else (None, "the expert gave nothing")

    return draw


def _cut_outs(drawable: Drawable) -> Drawer:
    def draw(prompt: LayoutPrompt, plan: Plan) -> tuple[Pixels | None, str]:
        things = tuple(Wanted(ALSO_CALLED.get(thing.noun, thing.noun), thing.box) for thing in plan.things)
        missing = [thing.noun for thing in things if thing.noun not in drawable.looks]
        if missing:
            return None, f"there is no cut-out of '{missing[0]}'"
        return drawable.draw(Case("layout", prompt.prompt, things, prompt.id)), ""

    return draw


def _groups(item: Judged) -> list[str]:
    part = "spatial" if item.prompt.relation else "counting"
    return [part, f"{part}: {item.prompt.relation or item.prompt.kind}"]


def _figures(items: Sequence[Judged]) -> dict[str, float | None]:
    drawn = [item for item in items if item.picture is not None]
    return {
        "planned": mean(float(item.planned) for item in items),
        "drawn": len(drawn) / len(items),
        "detector": mean(float(item.detector) for item in items),
        "features": mean(None if item.features is None else float(item.features) for item in items),
        "detector, drawn": mean(float(item.detector) for item in drawn),
        "features, drawn": mean(None if item.features is None else float(item.features) for item in drawn),
        "seen": mean(item.seen for item in drawn),
    }


def _sample(system: str, item: Judged) -> dict:
    asked = item.prompt.relation or list(item.prompt.counts)
    verdicts = {"planned": item.planned, "drawn": item.picture is not None, "detector": item.detector, "features": item.features}
    return {"system": system, "id": item.prompt.id, "prompt": item.prompt.prompt, "asked": asked, **verdicts, "error": item.error}


def _sheet(judged: Sequence[Judged], context: Context, name: str) -> None:
    """The drawn pictures in the order of the prompts."""
    store, tiles = MediaStore(context.out / "media"), list[Tile]()
    for item in [item for item in judged if item.picture is not None][:MOST_TILES]:
        assert item.picture is not None
        path = store.add_image(Image.fromarray(item.picture), "img-1").path
        told = ", ".join(word for word, right in (("detector", item.detector), ("features", item.features)) if right)
        tiles.append(Tile(len(tiles), path, f"{item.prompt.prompt}\n{told}", Box(0, 0, 1, 1), None, None))
    draw_sheet(tiles, context.out / f"{name}.webp")
