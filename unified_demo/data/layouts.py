"""Where things go on a sheet: natural sizes, a ground with depth, groups in rows or scattered, limits on overlap.

A sheet is 1 high and ``aspect`` wide; a draft is a thing with a place on it. Relations between things are in ``relations``.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from unified_demo.data.catalogue import CutoutInfo

MAX_OVERLAP = 0.12
"""Share of the smaller box that two unrelated things may share."""
HORIZON, NEAREST = 0.5, 0.97
"""Things on the ground stand between these heights of the picture (bottom line)."""
SMALLEST, LARGEST = 0.075, 0.66
TRIES = 12
SKY = {"sky": 1.0, "aircraft": 0.8, "bird": 0.35, "insect": 0.3, "balloon": 1.0}
"""Category -> how often such a thing is in the air."""
GROUNDED = frozenset(
    {"penguin", "ostrich", "chicken", "rooster", "turkey", "peacock", "rhea", "dodo", "guinea fowl", "baby chick", "flamingo",
     "caterpillar", "worm", "ant", "snail", "slug", "spider", "scorpion", "cockroach", "beetle", "mantis", "woodlouse"}
)  # fmt: skip
"""Birds that do not fly and insects that creep."""
UPRIGHT = frozenset(
    {"person", "furniture", "vehicle", "boat", "building", "animal", "bird", "plant", "sky", "balloon", "appliance", "fish", "aircraft"}
)
"""Categories that nobody lays down turned."""
READABLE = frozenset({"sign", "clock", "book", "package", "symbol", "building"})
"""Never mirrored: they carry writing."""


@dataclass
class Draft:
    """A thing on the sheet, corners in sheet units; drawn in order of ``depth``."""

    info: CutoutInfo
    x0: float
    y0: float
    x1: float
    y1: float
    depth: float
    flip: bool = False
    turn_deg: float = 0.0
    colour: str = ""

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def middle(self) -> float:
        return (self.x0 + self.x1) / 2

    def overlap(self, other: "Draft") -> float:
        """Shared area as a share of the smaller box."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / min(self.width * self.height, other.width * other.height)


class Sheet:
    """Takes drafts while there is room; ``links`` are relations between drafts by index."""

    def __init__(self, rng: random.Random, aspect: float, room: int) -> None:
        self.rng, self.aspect, self.room = rng, aspect, room
        self.drafts: list[Draft] = []
        self.links: list[tuple[int, str, int]] = []
        self.scale = rng.uniform(0.16, 0.34)

    def longer_side(self, info: CutoutInfo, ground: float = 0.8, variety: float = 1.0) -> float:
        """Longer side in sheet units: natural sizes, much compressed; smaller the higher up the ground line is."""
        depth = 0.62 + 0.6 * (ground - HORIZON) / (NEAREST - HORIZON)
        size = self.scale * 1.15 * info.size_m**0.36 * max(0.55, depth) * variety * min(1.0, self.aspect)
        return min(LARGEST * min(1.0, self.aspect), max(SMALLEST, size))

    def draft(self, info: CutoutInfo, middle: float, bottom: float, longer: float) -> Draft:
        """A draft standing on ``bottom``; flip and turn by chance, extents of the turned thing as of an ellipse."""
        turn, flip = 0.0, info.category not in READABLE and self.rng.random() < 0.5
        if info.category not in UPRIGHT and self.rng.random() < 0.35:
            turn = round(self.rng.uniform(-25, 25), 1)
        width, height = turned_extent(info.aspect, turn)
        unit = longer / max(width, height)
        width, height = width * unit, height * unit
        return Draft(info, middle - width / 2, bottom - height, middle + width / 2, bottom, bottom, flip, turn)

    def inside(self, draft: Draft) -> bool:
        return draft.x0 >= 0 and draft.y0 >= 0 and draft.x1 <= self.aspect and draft.y1 <= 1

    def free(self, draft: Draft, related: Sequence[Draft] = ()) -> bool:
        """In the picture and not in the way of any thing but the related ones."""
        if not self.inside(draft):
            return False
        return all(any(item is other for item in related) or draft.overlap(other) <= MAX_OVERLAP for other in self.drafts)

    def full(self, more: int = 1) -> bool:
        return len(self.drafts) + more > self.room

    def add(self, draft: Draft) -> int:
        self.drafts.append(draft)
        return len(self.drafts) - 1

    def clear(self) -> None:
        """Begin again with an empty sheet."""
        self.drafts.clear()
        self.links.clear()

    def add_scattered(self, infos: Sequence[CutoutInfo]) -> list[int]:
        """Each anywhere on the ground, or in the air where it belongs; those that find no room are left out."""
        shared = self.rng.uniform(0.85, 1.2)
        odd = self.rng.randrange(len(infos)) if len(infos) > 1 and self.rng.random() < 0.35 else -1
        factor = self.rng.choice((0.55, 1.6))
        added = []
        for number, info in enumerate(infos):
            variety = shared * self.rng.uniform(0.85, 1.15) * (factor if number == odd else 1.0)
            if (index := self.add_anywhere(info, variety)) is not None:
                added.append(index)
        return added

    def add_anywhere(self, info: CutoutInfo, variety: float = 1.0) -> int | None:
        if self.full():
            return None
        for attempt in range(TRIES):
            draft = self._anywhere(info, variety * 0.94**attempt)
            if self.free(draft):
                return self.add(draft)
        return None

    def _anywhere(self, info: CutoutInfo, variety: float) -> Draft:
        if info.noun not in GROUNDED and self.rng.random() < SKY.get(info.category, 0.0):
            longer = self.longer_side(info, self.rng.uniform(0.45, 0.7), variety)
            bottom = self.rng.uniform(min(0.6, longer), 0.62)
        else:
            bottom = self.rng.uniform(HORIZON + 0.04, NEAREST)
            longer = self.longer_side(info, bottom, variety)
        draft = self.draft(info, 0.0, bottom, longer)
        shift = self.rng.uniform(0.0, max(0.0, self.aspect - draft.width)) - draft.x0
        draft.x0, draft.x1 = draft.x0 + shift, draft.x1 + shift
        return draft

    def add_row(self, infos: Sequence[CutoutInfo]) -> list[int]:
        """Side by side on one line, all or as many as fit; falls back to scattered when the line is taken."""
        infos = infos[: self.room - len(self.drafts)]
        for attempt in range(TRIES // 2):
            bottom = self.rng.uniform(HORIZON + 0.05, NEAREST)
            variety = 0.85**attempt
            row = [self.draft(info, 0.0, bottom, self.longer_side(info, bottom, variety * self.rng.uniform(0.85, 1.15))) for info in infos]
            total = sum(draft.width for draft in row)
            spare = self.aspect - total
            if spare < 0.02 * len(row):
                continue
            gap = min(spare / (len(row) + 1), self.rng.uniform(0.02, 0.12))
            left = self.rng.uniform(0, spare - gap * (len(row) - 1))
            for draft in row:
                width = draft.width
                draft.x0, draft.x1 = left, left + width
                left += width + gap
            if all(self.free(draft) for draft in row):
                return [self.add(draft) for draft in row]
        return self.add_scattered(infos) if infos else []


def turned_extent(aspect: float, turn_deg: float) -> tuple[float, float]:
    """Width and height of the bounds of an ellipse ``aspect`` wide and 1 high, turned."""
    cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    return math.hypot(aspect * cosine, sine), math.hypot(aspect * sine, cosine)
