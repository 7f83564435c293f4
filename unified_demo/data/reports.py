"""What a detector reports of the things that are really there: misses, doubts, parts, doubles, wrong names, strangers.

The rates follow what EfficientDet-Lite2 with ``Perception``'s settings does on the 50 photos of eval_coco: of 25 proposals 5.3 are
right, 4 lie on background, 2.2 are parts of a thing, 2.1 wear another name inside one, 1.2 are too large, 0.8 too far off, 0.7 doubles,
0.3 groups, the rest are further names of the same boxes; right ones score 0.46 in the median. No pixels and no words here.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unified_demo.data.knowledge import cousins
from unified_demo.grammar import Box
from unified_demo.regions import COLOURS, PARTS, Floats, Region

LEAST_SCORE = 0.08
MOST_REPORTED = 32
PART, NAME_INSIDE, NAME_ON, TOO_LARGE, FAR_OFF, DOUBLE, GROUP = 0.45, 0.4, 0.25, 0.22, 0.16, 0.15, 0.12
"""How many of each a thing of difficulty 1 brings along."""
SECOND_NAME = 0.32
"""How often a proposal, right or wrong, is proposed under another name as well, on the very same box."""
DIFFICULTIES = (0.3, 0.3, 0.3, 0.6, 0.6, 1.0, 1.0, 1.6, 2.2, 3.5)
"""Doubts come together: most things bring few wrong proposals along, some many; those are themselves found with a lower score."""
BACKGROUND = (1, 2, 3, 4, 5, 6, 8, 10)
MISSED = ((0.03, 0.7), (0.06, 0.5), (0.1, 0.3), (0.2, 0.15), (2.0, 0.07))
"""(side of a thing as share of the picture, how often things below it are not reported)"""


@dataclass(frozen=True)
class Draft:
    """A thing that is there: its label, its true box and its colours (PARTS, len(COLOURS))."""

    label: str
    box: Box
    colours: Floats


def report(rng: random.Random, drafts: Sequence[Draft], labels: Sequence[str]) -> tuple[list[Region], dict[int, int]]:
    """Regions in no particular order, and draft index -> region index for the things that were found."""
    regions: list[Region] = []
    found: dict[int, int] = {}
    common = rng.choice(DIFFICULTIES)
    hard = [0.5 * common + 0.5 * rng.choice(DIFFICULTIES) for _ in drafts]
    for index, draft in enumerate(drafts):
        side = draft.box.area**0.5
        if len(drafts) > 1 and rng.random() < next(share for limit, share in MISSED if side < limit):
            continue
        found[index] = len(regions)
        score = rng.gauss(0.74 + 0.178 * math.log(max(side, 0.01) / 0.6) - 0.06 * (hard[index] - 1), 0.14)
        box = jitter(rng, draft.box, 0.05 + 0.03 * hard[index])
        regions.append(Region(draft.label, min(0.97, max(LEAST_SCORE, score)), box, _seen(rng, draft.colours)))
    wrong = [region for draft, often in zip(drafts, hard, strict=True) for region in _around(rng, draft, often, drafts, labels)]
    wrong += [_on_background(rng, drafts, labels) for _ in range(rng.choice(BACKGROUND))]
    wrong += [_renamed(rng, region, labels) for region in [*regions, *wrong] if region.score > 0.1 and rng.random() < SECOND_NAME]
    wrong = [region for region in wrong if not any(_same(region, true) for true in regions)]
    wrong.sort(key=lambda region: -region.score)
    return regions + wrong[: max(0, MOST_REPORTED - len(regions))], found


def jitter(rng: random.Random, box: Box, amount: float) -> Box:
    """The box moved and scaled by up to ``amount`` of its size."""
    width, height = box.x1 - box.x0, box.y1 - box.y0
    return centred(
        (box.x0 + box.x1) / 2 + rng.uniform(-amount, amount) * width,
        (box.y0 + box.y1) / 2 + rng.uniform(-amount, amount) * height,
        width * rng.uniform(1 - amount, 1 + amount),
        height * rng.uniform(1 - amount, 1 + amount),
    )


def centred(x: float, y: float, width: float, height: float) -> Box:
    """A box around a centre, cut at the picture's edge; never empty."""
    x0, x1 = max(0.0, min(0.95, x - width / 2)), min(1.0, max(0.05, x + width / 2))
    y0, y1 = max(0.0, min(0.95, y - height / 2)), min(1.0, max(0.05, y + height / 2))
    return Box(x0, y0, max(x1, x0 + 0.01), max(y1, y0 + 0.01))


def _around(rng: random.Random, draft: Draft, often: float, drafts: Sequence[Draft], labels: Sequence[str]) -> list[Region]:
    """The wrong proposals that one thing of difficulty ``often`` brings along."""
    makers: list[tuple[float, Callable[[], tuple[str, Box]]]] = [
        (PART, lambda: (draft.label, _inside(rng, draft.box, rng.uniform(0.3, 0.75)))),
        (NAME_INSIDE, lambda: (_other_name(rng, draft.label, labels), _inside(rng, draft.box, rng.uniform(0.15, 0.7)))),
        (NAME_ON, lambda: (_other_name(rng, draft.label, labels), jitter(rng, draft.box, 0.1))),
        (TOO_LARGE, lambda: (draft.label, _larger(rng, draft.box))),
        (FAR_OFF, lambda: (draft.label, jitter(rng, draft.box, 0.45))),
        (DOUBLE, lambda: (draft.label, jitter(rng, draft.box, 0.25))),
    ]
    same = [other for other in drafts if other is not draft and other.label == draft.label]
    if same:
        makers.append((GROUP, lambda: (draft.label, _around_both(draft.box, rng.choice(same).box))))
    made = [make() for rate, make in makers for _ in range(int(rate * often + rng.random()))]
    return [Region(label, _doubtful(rng), box, _seen(rng, _some_colours(rng, draft, drafts))) for label, box in made]


def _around_both(first: Box, second: Box) -> Box:
    return Box(min(first.x0, second.x0), min(first.y0, second.y0), max(first.x1, second.x1), max(first.y1, second.y1))


def _on_background(rng: random.Random, drafts: Sequence[Draft], labels: Sequence[str]) -> Region:
    label = rng.choice(drafts).label if drafts and rng.random() < 0.5 else rng.choice(labels)
    side = rng.uniform(0.2, 0.9) if rng.random() < 0.08 else 0.03 + rng.expovariate(1 / 0.07)
    box = centred(rng.random(), rng.random(), side * rng.uniform(0.6, 1.6), side * rng.uniform(0.6, 1.6))
    return Region(label, _doubtful(rng), box, _seen(rng, _some_colours(rng, None, drafts)))


def _some_colours(rng: random.Random, draft: Draft | None, drafts: Sequence[Draft]) -> Floats:
    """Mostly those of the thing itself, if there is one; else those of some thing, its parts in another order."""
    if draft and rng.random() < 0.6:
        return draft.colours
    return rng.choice(drafts).colours[rng.sample(range(PARTS), PARTS)]


def _renamed(rng: random.Random, region: Region, labels: Sequence[str]) -> Region:
    return replace(region, label=_other_name(rng, region.label, labels), score=min(_doubtful(rng), rng.uniform(LEAST_SCORE, region.score)))


def _doubtful(rng: random.Random) -> float:
    score = LEAST_SCORE + rng.expovariate(1 / 0.11)
    return score if score < 0.42 or rng.random() < 0.6 else _doubtful(rng)


def _other_name(rng: random.Random, label: str, labels: Sequence[str]) -> str:
    alike = cousins(label)
    return rng.choice(alike) if alike and rng.random() < 0.6 else rng.choice(labels)


def _inside(rng: random.Random, box: Box, share: float) -> Box:
    """A box inside, of ``share`` of the width and about as much of the height, often at one edge."""
    width, height = (box.x1 - box.x0) * share, (box.y1 - box.y0) * min(1.0, share * rng.uniform(0.7, 1.4))
    x = box.x0 + (box.x1 - box.x0 - width) * rng.choice([0.0, 1.0, rng.random()])
    y = box.y0 + (box.y1 - box.y0 - height) * rng.choice([0.0, 1.0, rng.random()])
    return jitter(rng, centred(x + width / 2, y + height / 2, width, height), 0.05)


def _larger(rng: random.Random, box: Box) -> Box:
    """A box that contains this one and half as much again or more; some sides stay where they are, as they do in photos."""
    grow = [rng.uniform(0.2, 0.9) if rng.random() < 0.5 else abs(rng.gauss(0, 0.03)) for _ in range(4)]
    grow[rng.randrange(4)] = rng.uniform(0.4, 1.0)
    width, height = box.x1 - box.x0, box.y1 - box.y0
    return Box(
        max(0.0, box.x0 - grow[0] * width),
        max(0.0, box.y0 - grow[1] * height),
        min(1.0, box.x1 + grow[2] * width),
        min(1.0, box.y1 + grow[3] * height),
    )


def _seen(rng: random.Random, colours: Floats) -> Floats:
    """Colours as they are measured in a box that is never quite the thing: some of everything comes in.

    Right and wrong proposals go through the same, or colours would tell them apart, which they do not on photos.
    """
    other = np.array([[rng.gammavariate(0.35, 1.0) for _ in COLOURS] for _ in range(PARTS)], np.float32) + 1e-3
    share = rng.uniform(0.75, 1.0)
    return (share * colours + (1 - share) * other / other.sum(1, keepdims=True)).astype(np.float32)


def _same(first: Region, second: Region) -> bool:
    """One of them would have been suppressed."""
    overlap = first.box.iou(second.box)
    return first.label == second.label and overlap > 0.5
