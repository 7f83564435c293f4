"""The benchmark ``generation``: pictures that the expert draws from words and boxes, judged by models that took no part in training.

One prompt for each noun, of which a generator may refuse what it cannot draw, then colours, counts and layouts. Beside it the cut-outs
themselves, laid where they belong: what the measures give for a perfect drawing.
"""

import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unified_demo.data.catalogue import RESTYLED, Catalogue, read_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.benchmark import Context, NotReady, Result, Row, grouped, mean, stratified
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.expert_runs import no_expert, offered
from unified_demo.evaluation.generation_metrics import Gallery, crop, descriptor, filled, foreground, painted, parts
from unified_demo.evaluation.image_metrics import Look, Pixels
from unified_demo.experts.base import Output
from unified_demo.grammar import Box, Task
from unified_demo.hues import PAINT_HUES
from unified_demo.messages import RegionPart, TaskCall
from unified_demo.nouns import countable, listed, said

MEASURES = {
    "top 1": "the nearest of all nouns' pictures, by DINOv2, shows the noun (layouts: of the crop of its box)",
    "top 5": "among the five nearest nouns",
    "colour": "the strongest paint among what is not ground is the one asked for",
    "count": "as many separate things as asked for",
    "IoU": "of a box and what appears in it, mean",
    "drawn": "prompts that gave a picture; things that are refused by name have no other figure",
}
SIDE, ALONE = 256, 0.78
GROUND = (245, 245, 246)
NOT_LEARNT = ("tuxpaint-stamps-default", "grocery-iconic")
"""Sources that no weights to be passed on are made of."""
COLOURED, COUNTED, LAYOUTS = 60, 60, 60
"""Cases of each kind."""


@dataclass(frozen=True)
class Wanted:
    """One thing of a case; ``paint``: "" for its own colours."""

    noun: str
    box: Box
    paint: str = ""

    @property
    def phrase(self) -> str:
        return f"{self.paint} {self.noun}".strip()


@dataclass(frozen=True)
class Case:
    """``group``: noun, colour, count or layout."""

    group: str
    prompt: str
    things: tuple[Wanted, ...]
    seed: int


Drawer = Callable[[Case], Pixels | None]


class Generation:
    name = "generation"
    title = "Pictures from words and boxes"
    systems = ("expert", "cut-outs")

    def run(self, context: Context) -> Result:
        """Raises NotReady without the assets, ModelLoadError without the image encoder."""
        names = context.chosen(self.systems)
        engine = context.subjects.router_only()
        tasks = {"layout": Task.LAYOUT_GENERATION}
        if "expert" in names and not offered(engine, Task.IMAGE_GENERATION):
            return Result((no_expert("expert", "noun"),), MEASURES)
        folder = context.folder("assets", "catalogue.json")
        library = CutoutLibrary(folder, read_catalogue(folder), capacity=1024)
        drawable = Drawable(library)
        look, rows, samples = context.subjects.look(), [], []
        gallery = drawable.gallery(look)
        cases = stratified(drawable.cases(), lambda case: case.group, context.limit)
        for name in names:
            drawer = drawable.draw if name == "cut-outs" else _expert(engine)
            answers = [
                (case, drawer(case))
                for case in cases
                if name == "cut-outs" or offered(engine, tasks.get(case.group, Task.IMAGE_GENERATION))
            ]
            scored = [(case, score(case, picture, gallery, look)) for case, picture in answers]
            for group, items in grouped(scored, lambda item: [item[0].group]).items():
                rows.append(Row(name, group, len(items), {key: mean(figures.get(key) for _, figures in items) for key in MEASURES}))
            samples += [{"system": name, "prompt": case.prompt, "seed": case.seed, **figures} for case, figures in scored]
            _sheet(context.out, name, answers, [figures for _, figures in scored])
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(library.broken.values()), {"nouns": len(set(gallery.nouns))})


class Drawable:
    """Cases and true pictures of what the catalogue holds; a noun's look is its first cut-out."""

    def __init__(self, library: CutoutLibrary) -> None:
        self.library = library
        self.looks = first_looks(library.catalogue)
        if len(self.looks) < 2:
            raise NotReady("The assets hold nothing to compare with; fetch them with 'python -m unified_demo.data fetch'.")

    def gallery(self, look: Look, only: Collection[str] = ()) -> Gallery:
        """Every noun, those that no generator draws as well; or those of ``only`` that there are."""
        nouns = tuple(noun for noun in self.looks if not only or noun in only)
        pictures = [self.draw(Case("noun", noun, (Wanted(noun, _middle()),), 0)) for noun in nouns]
        return Gallery(np.stack([descriptor(picture, look) for picture in pictures]), nouns)

    def draw(self, case: Case) -> Pixels:
        """The cut-outs in their boxes on a plain ground."""
        canvas = Image.new("RGB", (SIDE, SIDE), GROUND)
        for thing in case.things:
            box = self.fitted(thing.noun, thing.box)
            size = (max(2, round((box.x1 - box.x0) * SIDE)), max(2, round((box.y1 - box.y0) * SIDE)))
            sprite = self.library.placed(self.looks[thing.noun], thing.paint, False, 0.0, size)
            canvas.paste(sprite, (round(box.x0 * SIDE), round(box.y0 * SIDE)), sprite)
        return np.asarray(canvas)

    def fitted(self, noun: str, box: Box) -> Box:
        """The largest box of the noun's shape in the middle of a box."""
        aspect = self.library.catalogue.by_key[self.looks[noun]].aspect
        wide = min(box.x1 - box.x0, (box.y1 - box.y0) * aspect)
        high = wide / aspect
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        return Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)

    def cases(self) -> list[Case]:
        """Always the same for the same catalogue."""
        rng, chosen = random.Random(5), list(self.looks)
        cases = [Case("noun", said(noun, 1), (Wanted(noun, _middle()),), number) for number, noun in enumerate(chosen)]
        info = {noun: self.library.catalogue.by_key[self.looks[noun]] for noun in chosen}
        paintable = [noun for noun in chosen if info[noun].paint and info[noun].colour]
        whole = [noun for noun in chosen if countable(noun) and len(parts(foreground(self.draw(_alone(noun))))) == 1]
        for number in range(COLOURED if paintable else 0):
            noun = rng.choice(paintable)
            paint = rng.choice([paint for paint in PAINT_HUES if paint != info[noun].colour])
            cases.append(Case("colour", said(noun, 1, paint), (Wanted(noun, _middle(), paint),), number))
        for number in range(COUNTED if whole else 0):
            noun, count = rng.choice(whole), 1 + number % 4
            boxes = _spread(rng, count)
            cases.append(Case("count", said(noun, count), tuple(Wanted(noun, box) for box in boxes), number))
        for number in range(LAYOUTS if len(whole) > 2 else 0):
            kinds = rng.sample(whole, 2 + number % 2)
            things = tuple(Wanted(noun, self.fitted(noun, box)) for noun, box in zip(kinds, _spread(rng, len(kinds)), strict=True))
            cases.append(Case("layout", listed([said(noun, 1) for noun in kinds]), things, number))
        return cases


def first_looks(catalogue: Catalogue) -> dict[str, str]:
    """Noun -> key of its first cut-out in a style of its own."""
    chosen = [info for info in catalogue.cutouts if info.source not in NOT_LEARNT and info.style not in RESTYLED]
    return {info.noun: info.key for info in reversed(chosen)}


def score(case: Case, picture: Pixels | None, gallery: Gallery, look: Look) -> dict[str, float | None]:
    """The figures that fit the case's group; without a picture only that."""
    if picture is None:
        return {"drawn": 0.0}
    figures: dict[str, float | None] = {"drawn": 1.0}
    if case.group == "count":
        return {**figures, "count": float(len(parts(foreground(picture))) == len(case.things))}
    if case.group == "layout":
        found = filled(picture, [thing.box for thing in case.things])
        figures["IoU"] = mean(box.iou(thing.box) if box else 0.0 for box, thing in zip(found, case.things, strict=True))
        ranked = [(thing.noun, gallery.ranking(crop(picture, thing.box), look)) for thing in case.things]
    else:
        ranked = [(case.things[0].noun, gallery.ranking(picture, look))]
    figures |= {f"top {k}": mean(float(noun in names[:k]) for noun, names in ranked) for k in (1, 5)}
    if case.group == "colour":
        figures["colour"] = float(painted(picture) == case.things[0].paint)
    return figures


def _expert(engine: Engine) -> Drawer:
    """The product's experts; a layout's boxes go with the call."""

    def draw(case: Case) -> Pixels | None:
        task = Task.LAYOUT_GENERATION if case.group == "layout" else Task.IMAGE_GENERATION
        regions = tuple(RegionPart(thing.phrase, (thing.box,)) for thing in case.things) if case.group == "layout" else ()
        call = TaskCall(0, task.value, case.prompt, (), regions)
        try:
            events = list(engine.router.dispatch(call, {}, case.seed, threading.Event()))
        except UnifiedError:
            return None
        return next((np.asarray(event.value.convert("RGB")) for event in events if isinstance(event, Output)), None)

    return draw


def _sheet(out: Path, name: str, answers: Sequence[tuple[Case, Pixels | None]], figures: Sequence[dict[str, float | None]]) -> None:
    """Contact sheets of each group: unselected ones, in the order of the prompts."""
    for group in dict.fromkeys(case.group for case, _ in answers):
        tiles = []
        for number, ((case, picture), measured) in enumerate(zip(answers, figures, strict=True)):
            if case.group != group or picture is None:
                continue
            path = out / "pictures" / f"{name}-{group}-{case.seed:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            told = ", ".join(f"{key} {value:.2f}" for key, value in measured.items() if value is not None and key != "drawn")
            tiles.append(Tile(number, path, f"{case.prompt}\n{told}", case.things[0].box, None, None))
        draw_sheet(tiles[:64], out / f"{name}-{group}.webp")


def _middle() -> Box:
    rim = (1 - ALONE) / 2
    return Box(rim, rim, 1 - rim, 1 - rim)


def _alone(noun: str) -> Case:
    return Case("noun", noun, (Wanted(noun, _middle()),), 0)


def _spread(rng: random.Random, count: int) -> list[Box]:
    """Square boxes that keep a gap, in cells of a grid with a little play."""
    columns = 1 if count == 1 else 2
    rows = -(-count // columns)
    cells = rng.sample([(row, column) for row in range(max(rows, columns)) for column in range(columns)], count)
    side = 0.8 / columns if columns > 1 else 0.78
    cell = 1 / columns
    boxes = []
    for row, column in cells:
        size = side * rng.uniform(0.85, 1.0)
        x, y = column * cell + rng.uniform(0.02, cell - size - 0.02), row * cell + rng.uniform(0.02, cell - size - 0.02)
        boxes.append(Box(x, y, x + size, y + size))
    return boxes
