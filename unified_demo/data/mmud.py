"""``python -m unified_demo.data mmud``: our MMUD-style benchmark, composed pictures that each carry all four kinds of labels.

Like MMUD (Neural Tuning, arXiv 2408.03001): captions, a reasoning question with answer and mask, a referring expression with mask, and
a prompt for generation. Half of the pictures ask for held-out things and are marked. One line of JSON for each picture, masks as
COCO run lengths of the visible pixels. Only plans about which everything can be said without doubt are taken.
"""

import argparse
import json
import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unified_demo.data.catalogue import Catalogue, read_catalogue
from unified_demo.data.compose import Composed, render_plan
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.expressions import Expression
from unified_demo.data.labelling import can_be_counted, captions, generation_prompt, refer
from unified_demo.data.masks import Mask, decode_runs, encode_runs
from unified_demo.data.plans import ScenePlan, draw_plan
from unified_demo.data.published.reading import Broken, Complaints, box_of, need, picture_size, samples_of_build
from unified_demo.data.reasons import Fact, known_nouns, reason_about
from unified_demo.data.split import PARTS, Part, part_of_noun
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.nouns import definite

logger = logging.getLogger(__name__)

VERSION = 1
LINES_FILE, PICTURES = "mmud.jsonl", "images"
MIN_VISIBLE, MIN_AREA, MIN_ASKED = 0.4, 0.003, 0.006
"""A thing must show this share of itself, and its visible box this share of the picture; more when a question asks for it."""
MAX_THINGS, MAX_TARGETS = 8, 3
PHOTOS = 0.5
"""Share of pictures on a photograph; the rest lie on drawn backgrounds. The captions do not speak of what a photograph shows."""
TRIES = 60
QUALITY = 90


@dataclass(frozen=True)
class Thing:
    """One thing of a picture; ``visible``: share of it that is not hidden; ``runs``: its visible pixels as COCO run lengths."""

    noun: str
    category: str
    box: Box
    colour: str
    visible: float
    held_out: bool
    runs: str


@dataclass(frozen=True)
class Reasoning:
    """A question that does not name what it means, its answer in words, and the indices of the things meant."""

    question: str
    answer: str
    things: tuple[int, ...]


@dataclass(frozen=True)
class Referral:
    """An expression, how an answer would say it, its kind (place, colour, relation, ...) and the indices of the things meant."""

    expression: str
    said: str
    kind: str
    things: tuple[int, ...]


@dataclass(frozen=True)
class MmudSample:
    """One picture with its four labels. ``part``: "held_out" when the reasoning question asks for a held-out thing.

    ``background``: "drawn:<kind>" or "photo:<name>".
    """

    id: str
    picture: Path
    width: int
    height: int
    part: Part
    background: str
    captions: tuple[str, ...]
    reasoning: Reasoning
    referring: Referral
    prompt: str
    things: tuple[Thing, ...]

    def mask(self, things: Sequence[int]) -> Mask:
        """Bool H x W: the visible pixels of these things together."""
        return np.logical_or.reduce([decode_runs(self.things[index].runs, self.height, self.width) for index in things])

    def boxes(self, things: Sequence[int]) -> tuple[Box, ...]:
        return tuple(self.things[index].box for index in things)

    def held_out(self, things: Sequence[int]) -> bool:
        """Whether one of these things never occurs in training."""
        return any(self.things[index].held_out for index in things)


# ---- build ----


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assets", type=Path, required=True, help="folder that 'fetch' wrote")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {LINES_FILE} and {PICTURES}/")
    parser.add_argument("--count", type=int, default=1000, help="pictures, half of them with held-out things")
    parser.add_argument("--seed", type=int, default=1)


def main(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    catalogue = read_catalogue(arguments.assets)
    library = CutoutLibrary(arguments.assets, catalogue)
    tries = build(catalogue, library, arguments.out, arguments.count, arguments.seed)
    seconds = time.monotonic() - started
    lines = (arguments.out / LINES_FILE).stat().st_size
    pictures = sum(path.stat().st_size for path in (arguments.out / PICTURES).iterdir())
    logger.info(
        "%d pictures from %d plans in %.0f s (%.1f a second); labels %.0f bytes a picture, pictures %.0f kB each, %.1f MB in all",
        arguments.count, tries, seconds, arguments.count / seconds, lines / arguments.count, pictures / arguments.count / 1000,
        (lines + pictures) / 1e6,
    )  # fmt: skip
    for path, reason in library.broken.items():
        logger.warning("%s could not be used: %s", path, reason)


def build(catalogue: Catalogue, library: CutoutLibrary, out: Path, count: int, seed: int) -> int:
    """Write ``count`` pictures and their labels; the same for the same seed and assets. Returns how many plans were drawn.

    MediaError when the catalogue has too little of a part to say anything about it.
    """
    if count < 1:
        raise MediaError(f"{count} pictures cannot be made; ask for at least one.")
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    tries = 0
    unfinished = out / f"{LINES_FILE}.part"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"version": VERSION, "seed": seed, "count": count, "cutouts": len(catalogue.cutouts)}) + "\n")
        for number in range(count):
            drawn = draw_sample(catalogue, library, number, seed)
            tries += drawn.tries
            name = f"{number:05d}.jpg"
            drawn.composed.image.save(out / PICTURES / name, quality=QUALITY)
            row = row_of(drawn, catalogue)
            file.write(json.dumps({"id": f"{number:05d}", "image": f"{PICTURES}/{name}", **row}, ensure_ascii=False) + "\n")
            if number % 100 == 99:
                logger.info("%d of %d pictures", number + 1, count)
    unfinished.replace(out / LINES_FILE)
    return tries


@dataclass(frozen=True)
class Drawn:
    """A composed plan with what is asked about it. ``referred``: indices of the plan's objects; ``tries``: plans drawn until this one."""

    plan: ScenePlan
    composed: Composed
    part: Part
    fact: Fact
    noun: str
    question: str
    expression: Expression
    referred: tuple[int, ...]
    prompt: str
    tries: int = 1


def draw_sample(catalogue: Catalogue, library: CutoutLibrary, number: int, seed: int) -> Drawn:
    """The picture with this number: parts alternate, and within a part every noun that can be asked for has its turn."""
    rng = random.Random(f"mmud-{seed}-{number}")
    part = PARTS[number % len(PARTS)]
    nouns = sorted(known_nouns() & set(catalogue.part(part).by_noun))
    if not nouns:
        raise MediaError(f"The catalogue has nothing of the part '{part}' that a question is known for; fetch more assets.")
    random.Random(f"mmud-{seed}").shuffle(nouns)
    for attempt in range(1, TRIES + 1):
        turn = number // len(PARTS) + (attempt - 1) // 10
        drawn = _attempt(catalogue, library, part, nouns[turn % len(nouns)], rng)
        if drawn:
            return replace(drawn, tries=attempt)
    raise MediaError(f"After {TRIES} plans no picture was found that a question about the part '{part}' fits; fetch more assets.")


def _attempt(catalogue: Catalogue, library: CutoutLibrary, part: Part, noun: str, rng: random.Random) -> Drawn | None:
    """One plan with what is asked about it; None when something about it is in doubt."""
    background: Literal["photo", "drawn"] = "photo" if rng.random() < PHOTOS else "drawn"
    plan = draw_plan(rng, catalogue, part, nouns=(noun,), max_objects=MAX_THINGS, background=background)
    named = [(item.noun, item.category) for item in plan.objects]
    reason = reason_about(rng, named, wanted=noun)
    count = sum(item.noun == noun for item in plan.objects)
    if not reason or count > MAX_TARGETS or len(plan.objects) < 2 or not can_be_counted(plan):
        return None
    try:
        composed = render_plan(plan, library)
    except MediaError:
        return None  # The library has logged and kept which file is broken.
    visible = [box for box in composed.boxes if box is not None and box.area >= MIN_AREA]
    if len(visible) < len(plan.objects) or min(composed.visible) < MIN_VISIBLE:
        return None
    if any(item.noun == noun and box.area < MIN_ASKED for item, box in zip(plan.objects, visible, strict=True)):
        return None
    found = refer(plan, visible, catalogue, rng)
    if not found:
        return None
    fact, _ = reason
    return Drawn(plan, composed, part, fact, noun, rng.choice(fact.ask), *found, generation_prompt(plan, catalogue, rng))


def row_of(drawn: Drawn, catalogue: Catalogue) -> dict[str, Any]:
    """One line of the file, without id and picture. Lists of things are indices of ``things``."""
    plan, composed = drawn.plan, drawn.composed
    meant = [index for index, item in enumerate(plan.objects) if item.noun == drawn.noun]
    answer = f"{definite(drawn.noun, len(meant))} {drawn.fact.why}."
    things = []
    for item, mask, box, visible in zip(plan.objects, composed.masks, composed.boxes, composed.visible, strict=True):
        assert box is not None
        corners = [round(box.x0 * plan.width), round(box.y0 * plan.height), round(box.x1 * plan.width), round(box.y1 * plan.height)]
        things.append(
            {
                "noun": item.noun,
                "category": item.category,
                "box": corners,
                "colour": item.colour,
                "visible": round(visible, 3),
                "held_out": part_of_noun(item.noun) == "held_out",
                "cutout": item.cutout,
                "mask": encode_runs(mask),
            }
        )
    return {
        "width": plan.width,
        "height": plan.height,
        "part": drawn.part,
        "background": plan.background,
        "captions": captions(plan, catalogue),
        "reasoning": {"question": drawn.question, "answer": answer[0].upper() + answer[1:], "things": meant},
        "referring": {
            "expression": drawn.expression.asked,
            "said": drawn.expression.said,
            "kind": drawn.expression.kind,
            "things": drawn.referred,
        },
        "generation": {"prompt": drawn.prompt},
        "things": things,
    }


# ---- read ----


def read_mmud(folder: Path, complaints: Complaints | None = None) -> Iterator[MmudSample]:
    """Samples in order; what is broken becomes a complaint with its line and is left out. MediaError when there is no benchmark.

    A file that ends early is one complaint, for its first line says how many pictures belong to it.
    """
    complaints = complaints if complaints is not None else Complaints()
    yield from samples_of_build(folder / LINES_FILE, VERSION, "mmud", complaints, lambda row: _read(row, folder))


def _read(row: Any, folder: Path) -> MmudSample:
    width, height = need(row, "width", int), need(row, "height", int)
    part = need(row, "part", str)
    if part not in PARTS:
        raise Broken("unknown part", f"is of the part '{part}'; there are {', '.join(PARTS)}")
    things = tuple(_thing(item, width, height) for item in need(row, "things", list))
    reasoning, referring = need(row, "reasoning", dict), need(row, "referring", dict)
    name = Path(need(row, "image", str)).name
    sample = MmudSample(
        id=need(row, "id", str),
        picture=folder / PICTURES / name,
        width=width,
        height=height,
        part=part,
        background=need(row, "background", str),
        captions=tuple(str(text) for text in need(row, "captions", list)),
        reasoning=Reasoning(need(reasoning, "question", str), need(reasoning, "answer", str), _meant(reasoning, len(things))),
        referring=_referral(referring, len(things)),
        prompt=need(need(row, "generation", dict), "prompt", str),
        things=things,
    )
    if picture_size(sample.picture) != (width, height):
        raise Broken("wrong size", f"says {name} has {width} x {height} pixels, and it has not")
    return sample


def _thing(item: Any, width: int, height: int) -> Thing:
    thing = Thing(
        noun=need(item, "noun", str),
        category=need(item, "category", str),
        box=box_of(need(item, "box", list), width, height),
        colour=need(item, "colour", str),
        visible=float(need(item, "visible", (int, float))),
        held_out=need(item, "held_out", bool),
        runs=need(item, "mask", str),
    )
    if not decode_runs(thing.runs, height, width).any():
        raise Broken("empty mask", f"has a mask of {thing.noun} without a pixel")
    return thing


def _referral(label: dict[str, Any], count: int) -> Referral:
    return Referral(need(label, "expression", str), need(label, "said", str), need(label, "kind", str), _meant(label, count))


def _meant(label: dict[str, Any], count: int) -> tuple[int, ...]:
    things = need(label, "things", list)
    if not things or not all(isinstance(index, int) and 0 <= index < count for index in things):
        raise Broken("missing thing", f"means the things {str(things)[:40]} of {count}")
    return tuple(things)
