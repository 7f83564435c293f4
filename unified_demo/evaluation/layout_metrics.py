"""Measures of planned layouts on NSR-1K: counting precision, recall and accuracy, and spatial accuracy. Pure functions.

As LayoutGPT (arXiv 2305.15393) defines them and its released scripts (weixi-feng/LayoutGPT: eval_counting_layout.py,
eval_spatial_layout.py, utils.py) count; written anew. They judge the planned boxes, not a picture made from them.
"""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from unified_demo.grammar import Box

Counts = Sequence[tuple[str, int]]
"""What was asked for: (noun, how many)."""
RELATIONS = ("left", "right", "top", "bottom", "next to")
_ARTICLES = ("a ", "an ", "the ")


@dataclass(frozen=True)
class Planned:
    """One box of a plan with the noun it stands for."""

    noun: str
    box: Box


@dataclass(frozen=True)
class CountScore:
    """One prompt. ``precision``, ``recall`` and ``iou`` are None for comparisons, where LayoutGPT takes the accuracy alone."""

    correct: bool
    precision: float | None
    recall: float | None
    iou: float | None = None
    absolute_error: float | None = None


@dataclass(frozen=True)
class CountSummary:
    """Means over prompts, 0..1 but for the mean absolute error (things per noun). ``prompts`` were counted in all."""

    precision: float
    recall: float
    accuracy: float
    iou: float
    mean_absolute_error: float
    prompts: int


@dataclass(frozen=True)
class PublishedRow:
    """Figures of a paper in per cent, and where we read them."""

    system: str
    precision: float
    recall: float
    counting_accuracy: float
    spatial_accuracy: float
    source: str


PUBLISHED_ROWS = (
    PublishedRow(
        "LayoutGPT (GPT-3.5)",
        94.81,
        96.49,
        86.33,
        82.54,
        "arXiv 2305.15393 as quoted by a stored survey of scene generation; the paper's own table was not at hand",
    ),
)
"""The paper has a GPT-4 row as well. No stored source shows its figures, so it is not given here: not verified."""


def same_noun(asked: str, planned: str) -> bool:
    """LayoutGPT's test: one name, its article removed, contains the other."""
    bare = planned.strip().lower()
    for article in _ARTICLES:
        bare = bare.removeprefix(article)
    wanted = asked.strip().lower()
    return bool(bare) and (bare in wanted or wanted in bare)


def count_score(asked: Counts, planned: Iterable[str], comparison: bool = False) -> CountScore:
    """Compare the nouns of a plan, one for each box, with what the prompt asks for.

    Precision = matched / all planned boxes (also of things nobody asked for), recall = matched / all asked for, where a noun
    matches min(asked, planned) times; correct when every asked noun has its exact number. ``comparison`` (NSR-1K sub-type):
    correct when the first noun has its exact number and the second stands to it as asked (more, fewer or as many).
    Raises ValueError when a comparison does not name two nouns.
    """
    seen: Counter[str] = Counter()
    for noun in planned:
        for name, _ in asked:
            if same_noun(name, noun):
                noun = name
        seen[noun] += 1
    if comparison:
        if len(asked) != 2:
            raise ValueError(f"A comparison names two things, this one {len(asked)}.")
        (first, wanted), (second, other) = asked
        as_many = wanted == other == seen[first] == seen[second]
        return CountScore(as_many or (seen[first] == wanted and (wanted - other) * (seen[first] - seen[second]) > 0), None, None)
    shared = sum(min(seen[name], number) for name, number in asked)
    wanted, found = sum(number for _, number in asked), sum(seen.values())
    either = sum(max(seen[name], number) for name, number in asked)
    errors = [abs(seen[name] - number) for name, number in asked]
    return CountScore(
        correct=not any(errors),
        precision=shared / found if shared else 0.0,
        recall=shared / wanted if shared else 0.0,
        iou=shared / either if shared else 0.0,
        absolute_error=sum(errors) / len(errors) if errors else 0.0,
    )


def count_summary(scores: Sequence[CountScore]) -> CountSummary:
    """Means over prompts; accuracy over all of them, the rest over those that are no comparisons; 0 without any."""

    def mean(values: Sequence[float | None]) -> float:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else 0.0

    return CountSummary(
        precision=mean([score.precision for score in scores]),
        recall=mean([score.recall for score in scores]),
        accuracy=mean([float(score.correct) for score in scores]),
        iou=mean([score.iou for score in scores]),
        mean_absolute_error=mean([score.absolute_error for score in scores]),
        prompts=len(scores),
    )


def direction(first: Box, second: Box) -> str:
    """Where ``first`` lies seen from ``second`` by their centres: left, right, top, bottom, or diagonal.

    Quadrants are turned by 45 degrees (cosine or sine beyond sqrt(2) / 2); exactly on a diagonal, or with one centre: diagonal.
    """
    across = (first.x0 + first.x1 - second.x0 - second.x1) / 2
    up = (second.y0 + second.y1 - first.y0 - first.y1) / 2
    distance = math.hypot(across, up)
    if not distance:
        return "diagonal"
    edge = math.sqrt(2) / 2
    if across / distance > edge:
        return "right"
    if up / distance > edge:
        return "top"
    if across / distance < -edge:
        return "left"
    return "bottom" if up / distance < -edge else "diagonal"


def spatial_correct(first: str, relation: str, second: str, planned: Sequence[Planned]) -> bool:
    """Does some pair of planned boxes have ``first`` in ``relation`` to ``second``?

    Nouns are found by difflib's closest match (cut-off 0.6), as LayoutGPT does; "next to" is left or right. A missing noun is wrong.
    LayoutGPT's planners write bare nouns; a phrase that ends in the noun that is asked for ("a small green chair") stands for it here.
    """
    planned = [Planned(_bare(item.noun, (first, second)), item.box) for item in planned]
    nouns = [item.noun for item in planned]
    firsts, seconds = difflib.get_close_matches(first, nouns, n=1), difflib.get_close_matches(second, nouns, n=1)
    ones = [item.box for item in planned if item.noun in firsts]
    others = [item.box for item in planned if item.noun in seconds]
    found = {direction(one, other) for one, other in product(ones, others)}
    return relation in found or (relation == "next to" and bool(found & {"left", "right"}))


def _bare(phrase: str, asked: Sequence[str]) -> str:
    """The longest of ``asked`` that the phrase ends in; the phrase where it ends in none."""
    said = f" {phrase.strip().lower()}"
    return next((noun for noun in sorted(asked, key=len, reverse=True) if said.endswith(f" {noun.strip().lower()}")), phrase)


def spatial_accuracy(verdicts: Sequence[bool]) -> float:
    """Share of prompts whose relation holds; 0 without prompts."""
    return sum(verdicts) / len(verdicts) if verdicts else 0.0
