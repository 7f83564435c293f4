"""The benchmark ``layout``: boxes planned for the prompts of NSR-1K's validation part, counted and placed as LayoutGPT does.

The model is asked for a picture with the prompt's things in boxes; its first layout call is the plan. A rule that reads number and
place words stands beside it. No picture is made but the sheet of boxes.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw

from unified_demo.config import GenerationOptions
from unified_demo.data.knowledge import knowledge
from unified_demo.data.published.nsr1k import LayoutPrompt, read_nsr1k
from unified_demo.data.published.reading import Complaints
from unified_demo.evaluation.benchmark import Context, Result, Row, stratified
from unified_demo.evaluation.contact_sheet import MOST_TILES, Tile, draw_sheet
from unified_demo.evaluation.layout_metrics import PUBLISHED_ROWS, CountScore, Planned, count_score, count_summary, spatial_correct
from unified_demo.evaluation.routers import raw_answer
from unified_demo.evaluation.routing_metrics import parse_answer
from unified_demo.grammar import Box, Task
from unified_demo.media import MediaStore
from unified_demo.messages import Conversation, Message, TaskCall, TextPart
from unified_demo.nouns import plural

MEASURES = {
    "accuracy": "counting: every noun has its exact number (comparisons as LayoutGPT takes them); spatial: the relation holds",
    "precision": "planned boxes that were asked for",
    "recall": "things asked for that were planned",
    "planned": "share of prompts that were answered with a layout call",
}
REQUEST = "Plan the layout and make this picture: {prompt}"
MOST_TOKENS = 320
SHEET_SIDE = 256
MOST_IN_ROW = 20
_NEAR = 3
"""A kind is what a number counts when it is named within so many words behind it."""
NUMBERS = {
    word: number for number, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
} | {"a": 1, "an": 1}
SIDES: tuple[tuple[str, tuple[Box, Box]], ...] = (
    (r"left", (Box(0.05, 0.3, 0.45, 0.7), Box(0.55, 0.3, 0.95, 0.7))),
    (r"right", (Box(0.55, 0.3, 0.95, 0.7), Box(0.05, 0.3, 0.45, 0.7))),
    (r"below|under|beneath|bottom|underneath", (Box(0.3, 0.55, 0.7, 0.95), Box(0.3, 0.05, 0.7, 0.45))),
    (r"above|on top|over|top|on", (Box(0.3, 0.05, 0.7, 0.45), Box(0.3, 0.55, 0.7, 0.95))),
    (r"next to|beside|near", (Box(0.05, 0.3, 0.45, 0.7), Box(0.55, 0.3, 0.95, 0.7))),
)  # fmt: skip
_PAIR = re.compile(
    r"^(?:an? |the )?(?P<first>.+?) (?:is |are )?(?:to the |on the |at the |at )?"
    r"(?P<word>left|right|below|under|underneath|beneath|bottom|above|on top|over|top|next to|beside|near|on)"
    r"(?: of| side of)? (?:an? |the )?(?P<second>.+?)\.?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Plan:
    """What a system planned for one prompt. ``called`` False: no layout call came."""

    things: tuple[Planned, ...]
    called: bool
    raw: str


Planner = Callable[[LayoutPrompt], Plan]


class Layout:
    name = "layout"
    title = "Layout planning on NSR-1K"
    systems = ("model", "rule", "published")

    def run(self, context: Context) -> Result:
        """Raises NotReady without NSR-1K, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        complaints = Complaints()
        folder = context.folder("nsr1k", "spatial.val.json")
        prompts = [prompt for prompt in read_nsr1k(folder, complaints) if prompt.split == "val"]
        chosen = stratified(prompts, lambda prompt: prompt.relation or prompt.kind, context.limit)
        rows: list[Row] = []
        samples: list[dict] = []
        store = MediaStore(context.out / "media")
        for name in names:
            if name == "published":
                rows += published()
                continue
            planner = rule if name == "rule" else model_planner(context)
            plans = [planner(prompt) for prompt in chosen]
            rows += summarise(name, chosen, plans)
            samples += [_sample(name, prompt, plan) for prompt, plan in zip(chosen, plans, strict=True)]
            draw_sheet(_tiles(chosen, plans, store), context.out / f"{name}.webp")
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(str(item) for item in complaints.found))


def model_planner(context: Context) -> Planner:
    """ModelLoadError without weights."""
    model, options = context.subjects.trained(), GenerationOptions(max_new_tokens=MOST_TOKENS)

    def ask(prompt: LayoutPrompt) -> Plan:
        request = Conversation((Message("user", (TextPart(REQUEST.format(prompt=prompt.prompt)),)),))
        return plan_of(raw_answer(model, request, options))

    return ask


def plan_of(raw: str) -> Plan:
    """The boxes of the first layout call of a raw answer; one noun for each, the phrase of its region."""
    call = next((call for call in parse_answer(raw).calls if call.task == Task.LAYOUT_GENERATION), None)
    return Plan(things_of(call) if call else (), call is not None, raw)


def things_of(call: TaskCall) -> tuple[Planned, ...]:
    return tuple(Planned(region.phrase, box) for region in call.regions for box in region.boxes)


def rule(prompt: LayoutPrompt) -> Plan:
    """Fixed boxes for "A left of B", else a row of boxes for each of "three A and two B"; it reads the prompt only.

    Of a part of the prompt the first of the detector's kinds counts, or all words where it names none.
    """
    found = _PAIR.match(prompt.prompt.strip())
    words = re.findall(r"[a-z][a-z-]*|\d+", prompt.prompt.lower())
    if found and all(_number(word) < 2 for word in words):
        before, behind = kinds_in(found["first"]), kinds_in(found["second"])
        first, second = (*before, found["first"].strip())[0], (*behind, *before[1:], found["second"].strip())[0]
        boxes = next(boxes for words, boxes in SIDES if re.fullmatch(words, found["word"].lower()))
        return Plan((Planned(first, boxes[0]), Planned(second, boxes[1])), True, "")
    groups: list[tuple[str, int, bool]] = []
    for place, word in enumerate(words[:-1]):
        kinds = kinds_in(" ".join(words[place + 1 : place + 1 + _NEAR]))
        if number := _number(word):
            groups.append(((*kinds, words[place + 1])[0], min(number, MOST_IN_ROW), bool(kinds)))
    groups = [group for group in groups if group[2]] or groups
    things = [
        Planned(noun, box) for row, (noun, number, _) in enumerate(groups) for box in _row(row / len(groups), 1 / len(groups), number)
    ]
    return Plan(tuple(things), bool(things), "")


def kinds_in(words: str) -> tuple[str, ...]:
    """The detector's kinds that are named in any number, in the singular, in their order."""
    spellings = _spellings()
    pattern = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    return tuple(dict.fromkeys(spellings[found[0]] for found in re.finditer(rf"\b(?:{pattern})\b", words.lower())))


@cache
def _spellings() -> dict[str, str]:
    """Plurals as they are, and as templates make them ("benchs")."""
    return {spelling: kind for kind in knowledge() for spelling in (kind, plural(kind), f"{kind}s")}


def _number(word: str) -> int:
    """0 for what is no number."""
    return int(word) if word.isdigit() else NUMBERS.get(word, 0)


def _row(top: float, high: float, number: int) -> list[Box]:
    return [Box(index / number, top + 0.1 * high, (index + 0.9) / number, top + 0.9 * high) for index in range(number)]


def summarise(system: str, prompts: Sequence[LayoutPrompt], plans: Sequence[Plan]) -> list[Row]:
    """Counting, by kind of prompt, and spatial, by relation."""
    pairs = list(zip(prompts, plans, strict=True))
    groups: dict[str, list[tuple[LayoutPrompt, Plan]]] = {}
    for prompt, plan in pairs:
        part = "spatial" if prompt.relation else "counting"
        for group in (part, f"{part}: {prompt.relation or prompt.kind}"):
            groups.setdefault(group, []).append((prompt, plan))
    return [Row(system, group, len(items), _figures(items)) for group, items in sorted(groups.items())]


def _figures(items: Sequence[tuple[LayoutPrompt, Plan]]) -> dict[str, float | None]:
    planned = sum(plan.called for _, plan in items) / len(items)
    if items[0][0].relation:
        return {"accuracy": sum(fulfils(prompt, plan.things) for prompt, plan in items) / len(items), "planned": planned}
    scores = [_counted(prompt, plan.things) for prompt, plan in items]
    summary = count_summary(scores)
    measured = any(score.precision is not None for score in scores)
    return {
        "accuracy": summary.accuracy,
        "precision": summary.precision if measured else None,
        "recall": summary.recall if measured else None,
        "planned": planned,
    }


def fulfils(prompt: LayoutPrompt, things: Sequence[Planned]) -> bool:
    """Whether the relation holds, or every noun has its number."""
    if not prompt.relation:
        return _counted(prompt, things).correct
    return spatial_correct(prompt.objects[0][0], prompt.relation, prompt.objects[1][0], things)


def _counted(prompt: LayoutPrompt, things: Sequence[Planned]) -> CountScore:
    return count_score(prompt.counts, [thing.noun for thing in things], prompt.comparison)


def _tiles(prompts: Sequence[LayoutPrompt], plans: Sequence[Plan], store: MediaStore) -> list[Tile]:
    """The planned boxes with their nouns on white, wrong plans first."""
    tiles = []
    for prompt, plan in sorted(zip(prompts, plans, strict=True), key=lambda pair: fulfils(pair[0], pair[1].things))[:MOST_TILES]:
        picture = Image.new("RGB", (SHEET_SIDE, SHEET_SIDE), "white")
        pen = ImageDraw.Draw(picture)
        for thing in plan.things:
            x0, y0, x1, y1 = (side * (SHEET_SIDE - 1) for side in thing.box.as_tuple())
            pen.rectangle((x0, y0, x1, y1), outline="black")
            pen.text((x0 + 3, y0 + 2), thing.noun, fill="black")
        tiles.append(Tile(fulfils(prompt, plan.things), store.add_image(picture, "img-1").path, prompt.prompt, Box(0, 0, 1, 1), None, None))
    return tiles


def published() -> list[Row]:
    """Rows of papers, with their source; per cent become shares."""
    rows = []
    for row in PUBLISHED_ROWS:
        counting: dict[str, float | None] = {"accuracy": row.counting_accuracy, "precision": row.precision, "recall": row.recall}
        shares = {name: value / 100 if value is not None else None for name, value in counting.items()}
        rows.append(Row("published", f"counting, {row.system}", 0, shares, row.source))
        rows.append(Row("published", f"spatial, {row.system}", 0, {"accuracy": row.spatial_accuracy / 100}, row.source))
    return rows


def _sample(system: str, prompt: LayoutPrompt, plan: Plan) -> dict:
    things = [[thing.noun, *(round(side, 3) for side in thing.box.as_tuple())] for thing in plan.things]
    asked = prompt.relation or list(prompt.counts)
    return {"system": system, "id": prompt.id, "prompt": prompt.prompt, "asked": asked, "things": things, "raw": plan.raw}
