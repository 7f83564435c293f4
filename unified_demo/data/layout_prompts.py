"""Prompts for pictures whose things have a number or a place, with the boxes planned for them.

Drawn ones speak as people do ("three cups and fewer forks", "two dogs run along a beach"); those of NSR-1K's training part are
read. Boxes always come from ``arrangements``, so that the same words have the same plan. Requests are made of them in ``creations``.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unified_demo.data.arrangements import PLANNED_RELATIONS, Group, plan_counts, plan_pair
from unified_demo.data.published.nsr1k import read_nsr1k
from unified_demo.data.published.reading import Complaints
from unified_demo.grammar import Box
from unified_demo.nouns import article, listed, plural, said

HELD = ("umbrella", "cell phone", "book", "bottle", "cup", "teddy bear", "kite", "handbag", "tennis racket", "banana", "donut", "frisbee")
RIDDEN = ("horse", "bicycle", "motorcycle", "elephant", "skateboard", "surfboard")
CARRIERS = ("dining table", "bench", "couch", "bed", "chair")
TOO_LARGE = ("person", "bus", "train", "truck", "airplane", "boat", "car", "elephant", "giraffe", "horse", "bed", "couch", "dining table")
RELATION_WORDS = {
    "left of": ("to the left of", "left of", "on the left of"), "right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "on the top of", "on top of", "over"), "below": ("below", "under", "underneath", "on the bottom of", "beneath"),
    "next to": ("next to", "beside", "by"), "on": ("on", "standing on"), "holding": ("holding", "with"),
}  # fmt: skip
"""Words for a planned relation; the others are said as they are called."""
PLANNED_AS = {"left": "left of", "right": "right of", "top": "above", "bottom": "below", "next to": "next to"}
"""NSR-1K's relations by the names of ``arrangements``."""
LEFT, RIGHT, TOP, BOTTOM, UPON, UNDER = "on the left", "on the right", "at the top", "at the bottom", "on top", "underneath"
PLACES = {
    "left of": (LEFT, RIGHT), "right of": (RIGHT, LEFT), "next to": (LEFT, RIGHT), "above": (TOP, BOTTOM), "below": (BOTTOM, TOP),
    "on": (UPON, UNDER), "riding": (UPON, UNDER), "under": (UNDER, UPON), "in front of": ("in front", "behind"),
    "behind": ("behind", "in front"),
}  # fmt: skip
"""Where the two things of a relation are. A layout says so right before each thing: a model that writes a word for the place first has
its box beside that word; without it every plan of ours was "above" (docs/experiments.md)."""
FRAMES = (
    "{g}", "{g}", "{g}", "a picture of {g}", "an image of {g}", "a photo of {g}", "there {be} {g} in the picture", "{g} in the photo",
    "{g} {be} in the image", "there {be} {g}", "a scene with {g}", "exactly {g}", "{g}, nothing else", "{g} on a plain background",
)  # fmt: skip
JOINS = (" and ", " and ", " with ", " along with ", " together with ", " next to ")
COMPARED = (
    "{a} along with a few {b}, the number of {a0} is {cmp} than that of {b}", "{a} with a few {b}, and {cmp} {a0} than {b}",
    "{a} and a few {b}, {cmp} {a0} than {b}",
)  # fmt: skip
AS_MANY = ("{a} along with the equal number of {b}", "{a} and the same number of {b}", "{a} and as many {b}")
DOING = (
    "standing in a field", "on a wooden floor", "near the water", "under a cloudy sky", "in a garden", "seen from above", "on a sunny day",
    "in front of a brick wall", "at night", "waiting outside of a building", "in the snow", "in a shop window", "in a small room",
    "at the beach", "lined up beside a road", "in the middle of a park",
)  # fmt: skip
STAYING = ("", "", "", "", "sitting", "lying", "standing", "placed", "that is", "resting")
MANNERS = ("", "", "large", "small", "white", "brown", "red", "old", "colourful")


@dataclass(frozen=True)
class PlannedGroup:
    """``phrase``: how the prompt calls the things; ``label``: what each is; ``boxes``: where they go; ``place``: that in words, if any."""

    phrase: str
    label: str
    boxes: tuple[Box, ...]
    place: str = ""


Planned = tuple[str, tuple[PlannedGroup, ...]]
"""A prompt and its groups."""


def draw_planned(rng: random.Random, labels: Sequence[str], countable: Sequence[str]) -> Planned:
    """A prompt about some of ``countable`` (``labels``: everything one may speak of), with its plan."""
    maker: Callable[[random.Random, Sequence[str], Sequence[str]], Planned]
    (maker,) = rng.choices((_counted, _compared, draw_told, _related), (4, 2, 3, 6))
    return maker(rng, labels, countable)


def read_planned(path: Path) -> list[Planned]:
    """The spatial training prompts of NSR-1K in the folder ``path``, each with a plan of ours. MediaError when there is none."""
    planned = []
    for prompt in read_nsr1k(path, Complaints()):
        if prompt.split == "train" and prompt.relation:
            (first, _), (second, _) = prompt.objects
            phrases = _phrase(prompt.prompt, first), _phrase(prompt.prompt, second)
            groups = paired((first, second), phrases, PLANNED_AS[prompt.relation])
            planned.append((prompt.prompt.rstrip(". "), tuple(sorted(groups, key=lambda group: prompt.prompt.find(group.phrase)))))
    return planned


def paired(labels: tuple[str, str], phrases: tuple[str, str], relation: str) -> tuple[PlannedGroup, ...]:
    """The groups of two things in a relation, the first of which is the subject."""
    boxes, places = plan_pair(labels[0], relation, labels[1]), PLACES.get(relation, ("", ""))
    rows = zip(phrases, labels, boxes, places, strict=True)
    return tuple(PlannedGroup(phrase, label, (box,), place) for phrase, label, box, place in rows)


def told(prompt: str, groups: Sequence[PlannedGroup]) -> str:
    """What the tool is told of a plan: the prompt, or each thing behind its place where the groups have places."""
    return ", ".join(f"{group.place} {group.phrase}" for group in groups) if all(group.place for group in groups) else prompt


def _phrase(prompt: str, label: str) -> str:
    """How the prompt names the thing, with its article where that stands right before; the bare name where it does not."""
    found = re.search(rf"\b((?:a|an|the|one) (?:\w+ )?)?{re.escape(label)}\b", prompt, re.IGNORECASE)
    return found[0] if found else article(label)


def _groups(groups: Sequence[Group], words: Sequence[str]) -> tuple[PlannedGroup, ...]:
    plans = plan_counts(groups)
    return tuple(PlannedGroup(word, group.label, boxes) for word, group, boxes in zip(words, groups, plans, strict=True))


def _numbered(rng: random.Random, group: Group, adjective: str = "") -> str:
    """ "a dog", as often "one dog"; "two dogs"."""
    words = said(group.label, group.count, adjective)
    return re.sub(r"^an? ", "one ", words) if group.count == 1 and rng.random() < 0.5 else words


def _counted(rng: random.Random, labels: Sequence[str], countable: Sequence[str]) -> Planned:
    names = rng.sample(countable, rng.choice((1, 1, 2, 2, 2, 3)))
    most = {1: 9, 2: 5, 3: 3}[len(names)]
    groups = [Group(name, rng.randint(1, most)) for name in names]
    words = [_numbered(rng, group) for group in groups]
    joined = rng.choice(JOINS).join(words) if len(words) == 2 else listed(words)
    be = "is" if len(groups) == 1 and groups[0].count == 1 else "are"
    return rng.choice(FRAMES).format(g=joined, be=be), _groups(groups, words)


def _compared(rng: random.Random, labels: Sequence[str], countable: Sequence[str]) -> Planned:
    """More, fewer or as many as the first, whose number is said; the second then has one less, one more or the same."""
    first, second = rng.sample(countable, 2)
    count = rng.randint(1, 5)
    step = rng.choice((-1, 0, 1) if count > 1 else (0, 1))
    one, other = Group(first, count), Group(second, count + step)
    words = _numbered(rng, one)
    few = plural(second) if step or count > 1 else second
    values = {
        "a": words,
        "b": few,
        "a0": plural(first) if count > 1 else first,
        "cmp": "more" if step < 0 else rng.choice(("less", "fewer")),
    }
    prompt = rng.choice(COMPARED if step else AS_MANY).format(**values)
    head = rng.choice(("", "", "a picture of ", "an image of ", "a photo of "))
    return head + prompt, _groups((one, other), (words, f"a few {few}" if step and f"a few {few}" in prompt else few))


def draw_told(rng: random.Random, labels: Sequence[str], countable: Sequence[str]) -> Planned:
    """As a caption tells it: things with an adjective, somewhere."""
    names = rng.sample(countable, rng.choice((1, 1, 1, 2)))
    groups = [Group(name, rng.choice((1, 1, 2, 2, 3, 3, 4, 5)) if len(names) == 1 else rng.randint(1, 3)) for name in names]
    words = [_numbered(rng, group, rng.choice(MANNERS)) for group in groups]
    prompt = rng.choice((" and ", " with ", " beside ")).join(words) + " " + rng.choice(DOING)
    if len(groups) == 1 and groups[0].count > 1 and rng.random() < 0.3:
        prompt = f"a group of {prompt}"
    if rng.random() < 0.3:
        capital = prompt[:1].upper() + prompt[1:]
        words = [capital[: len(words[0])] if prompt.startswith(words[0]) else words[0], *words[1:]]
        prompt = capital
    return prompt, _groups(groups, words)


def _related(rng: random.Random, labels: Sequence[str], countable: Sequence[str]) -> Planned:
    relation = rng.choice(PLANNED_RELATIONS)
    subject, thing = _pair(rng, relation, labels, countable)
    first, second = (said(label, 1, rng.choice(MANNERS) if rng.random() < 0.4 else "") for label in (subject, thing))
    staying = rng.choice(STAYING) if relation not in ("riding", "holding") else ""
    middle = f"{staying} {rng.choice(RELATION_WORDS.get(relation, (relation,)))}".lstrip()
    behind = f" {rng.choice(DOING)}" if rng.random() < 0.15 else ""
    if rng.random() < 0.2:
        first = first[:1].upper() + first[1:]
        return f"{first} {middle} {second}{behind}", paired((subject, thing), (first, second), relation)
    head = rng.choice(("", "", "", "a picture of ", "an image of ", "a photo of "))
    return f"{head}{first} {middle} {second}{behind}", paired((subject, thing), (first, second), relation)


def _pair(rng: random.Random, relation: str, labels: Sequence[str], countable: Sequence[str]) -> tuple[str, str]:
    if relation in ("riding", "holding"):
        known = [label for label in (RIDDEN if relation == "riding" else HELD) if label in labels]
        if known and "person" in labels:
            return "person", rng.choice(known)
    if relation in ("on", "under"):
        carriers = [label for label in CARRIERS if label in labels]
        small = [label for label in rng.sample(countable, min(12, len(countable))) if label not in TOO_LARGE and label not in CARRIERS]
        if carriers and small:
            return small[0], rng.choice(carriers)
    first, second = rng.sample(countable, 2)
    return first, second
