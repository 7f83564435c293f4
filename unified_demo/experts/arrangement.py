"""What a prompt names, one by one: things with number and paint, how they lie to each other, and the ground; then a box for each.

A rule for plain prompts, where no layout was asked for. English only; it draws nothing.
"""

import math
from dataclasses import dataclass, replace

from unified_demo.errors import ExpertError
from unified_demo.experts.vocabulary import Vocabulary
from unified_demo.grammar import Box
from unified_demo.nouns import IN_THE_SKY

MOST_THINGS = 12
_MOST_ON = 4
ALONE, AMONG = 0.78, 0.86
"""Side of a thing's box relative to the picture where it is alone, and to its cell where there are several."""
NUMBERS = {word: number for number, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=2)}
_SIDES = {
    "left": "left", "right": "right", "above": "above", "over": "above", "on": "above", "top": "above", "below": "below", "under": "below",
}  # fmt: skip
"""Word -> where the thing before it lies to the thing behind it."""
_TOUCHES = {
    "on": "on", "top": "on", "upon": "on", "riding": "on", "in": "in", "inside": "in", "wearing": "with", "with": "with", "of": "of",
}  # fmt: skip
"""Word -> how the thing before it touches the thing behind it, where that is a thing that it can."""
HATS = frozenset({"cap", "crown", "hat", "helmet", "top hat"})
VESSELS = frozenset({
    "backpack", "bag", "barrel", "basket", "bathtub", "bin", "boat", "boot", "bowl", "box", "bucket", "bus", "canoe", "car", "cart",
    "cooking pot", "cup", "garbage can", "glass", "handbag", "jar", "mug", "nest", "plate", "pot", "race car", "rubbish bin", "sailboat",
    "ship", "shoe", "shopping cart", "sink", "suitcase", "taxi", "tea cup", "top hat", "tractor", "trash can", "truck", "vase",
})  # fmt: skip
"""What a thing is in so that one sees its upper part."""
SUNK = {"on": 0.2, "in": 0.3, "with": 0.16}
"""By how much of its height the lower thing is covered, or covers."""
SIZES = {
    "tiny": 0.4, "small": 0.6, "little": 0.6, "big": 1.25, "large": 1.25, "huge": 1.4, "giant": 1.4, "enormous": 1.4, "gigantic": 1.4,
}  # fmt: skip
"""Word -> side of a thing's box relative to the usual one; none leaves its cell."""
_LARGEST = 0.98
_SUPPORT = Box(0.14, 0.42, 0.86, 0.96)
_PLAIN = "background"
"""What a colour needs behind it to be a ground, in a prompt as in what asks for an empty one."""
_SKY, _BENEATH = Box(0.62, 0.04, 0.98, 0.4), Box(0.06, 0.38, 0.64, 0.96)
"""Cells of one thing in the sky and another on the ground."""
_UPPER, _LOWER = Box(0.25, 0, 0.75, 0.5), Box(0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Group:
    """``phrase`` as it is drawn ("red car"); ``side``: where it lies to the next group (left, right, above, below), "" for unsaid; or
    how it touches it: it is on it, in it, or with it on its head. ``size``: of SIZES."""

    phrase: str
    count: int = 1
    side: str = ""
    size: float = 1.0


@dataclass(frozen=True)
class Touch:
    """A thing's foot is as far below the top of thing ``other`` as ``sunk`` says, of that thing's height; ``behind`` it or before it."""

    other: int
    sunk: float
    behind: bool = False


@dataclass(frozen=True)
class Arrangement:
    """``ground``: what asks for the empty ground, "" for the usual one. ``left_out``: colours that nothing can be painted in, and vessels
    that are drawn with what is in them. ``heeded``: words beside nouns, paints and grounds that it followed."""

    groups: tuple[Group, ...]
    ground: str = ""
    left_out: tuple[str, ...] = ()
    heeded: tuple[str, ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """One for each thing, in the order of ``boxes``."""
        return tuple(group.phrase for group in self.groups for _ in range(group.count))

    def boxes(self) -> tuple[Box, ...]:
        """A box for each thing: as their sides say where two single things have one, else in rows, the last row in the middle.

        ExpertError for more than MOST_THINGS.
        """
        count = sum(group.count for group in self.groups)
        if count > MOST_THINGS:
            raise ExpertError(f"{count} things were asked for; up to {MOST_THINGS} can be drawn in one picture.")
        if not count:
            return ()
        sizes = [group.size for group in self.groups for _ in range(group.count)]
        if self._touching():
            return self._piled(sizes)
        sides = [group.side for group in self.groups[:-1] if group.side]
        if count == 2 and sides and sides[0] not in SUNK:
            cells = [Box(0, 0.25, 0.5, 0.75), Box(0.5, 0.25, 1, 0.75)] if sides[0] in ("left", "right") else [_UPPER, _LOWER]
            cells = cells[::-1] if sides[0] in ("right", "below") else cells
        else:
            cells = self._in_rows(count)
        share = AMONG if count > 1 else ALONE
        return tuple(_shrunk(cell, min(_LARGEST, share * size)) for cell, size in zip(cells, sizes, strict=True))

    def _in_rows(self, count: int) -> list[Box]:
        """Cells in the order of the things; what stands in the sky has the upper ones."""
        high = [phrase.split()[-1] in IN_THE_SKY for phrase in self.phrases]
        if count == 2 and any(high) and not all(high):
            return [_SKY, _BENEATH] if high[0] else [_BENEATH, _SKY]
        order = sorted(range(count), key=lambda place: not high[place])
        cells = dict(zip(order, _cells(count), strict=True))
        return [cells[place] for place in range(count)]

    def touches(self) -> tuple[Touch | None, ...]:
        """For each thing, what it touches; None for what stands by itself."""
        count = sum(group.count for group in self.groups)
        if not self._touching():
            return (None,) * count
        side = self.groups[0].side
        if side == "with":
            return None, Touch(0, SUNK[side])
        return (*(Touch(count - 1, SUNK[side], behind=side == "in") for _ in range(count - 1)), None)

    def _touching(self) -> bool:
        """One to four things on or in one other, or one with another on its head."""
        return (
            len(self.groups) == 2
            and self.groups[0].side in SUNK
            and self.groups[1].count == 1
            and self.groups[0].count <= (1 if self.groups[0].side == "with" else _MOST_ON)
        )

    def _piled(self, sizes: list[float]) -> tuple[Box, ...]:
        """The support below, what is on it in a row above; ``touches`` says how far each is moved up or down when its layer is known."""
        upper = len(sizes) - 1
        wide = min(0.42, (0.5 if self.groups[0].side == "in" else 0.76) / upper)
        row = [Box(0.5 + (place - upper / 2) * wide, 0.42 - wide, 0.5 + (place + 1 - upper / 2) * wide, 0.42) for place in range(upper)]
        if self.groups[0].side == "with":
            return _shrunk(_SUPPORT, min(1, sizes[0])), _shrunk(row[0], min(1, 0.8 * sizes[1]))
        return (*(_shrunk(box, min(1, size)) for box, size in zip(row, sizes[:-1], strict=True)), _shrunk(_SUPPORT, min(1, sizes[-1])))


def arrange(prompt: str, words: Vocabulary) -> Arrangement:
    """Words that are neither nouns, paints, numbers, sizes, sides nor grounds count for nothing; whether they may is said by
    ``words.check``."""
    groups: list[Group] = []
    left_out: list[str] = []
    heeded: list[str] = []
    touches: dict[int, str] = {}
    grounded: set[int] = set()
    ground, count, paint, size = "", 0, "", 1.0
    pieces = words.pieces(prompt)
    for place, (said, kind) in enumerate(pieces):
        if kind == "noun":
            named = said in words.nouns and not count
            groups.append(Group(f"{paint} {said if named else words.single(said)}".strip(), count or (1 if named else 2), size=size))
            count, paint, size = 0, "", 1.0
        elif said.isdigit():
            count = max(1, int(said[:4]))
        elif said in words.grounds and place + 1 < len(pieces) and pieces[place + 1][0] == _PLAIN:
            ground = words.grounds[said]
        elif said in words.paints:
            paint = said
        elif words.grounds.get(said, "").endswith(_PLAIN):
            left_out.append(said)
        elif said in words.grounds:
            ground = words.grounds[said]
            grounded.add(len(groups) - 1)
        else:
            for word in said.split():
                size, count = SIZES.get(word, size), NUMBERS.get(word, count)
                heeded += [word] if kind == "unknown" and (word in SIZES or word in NUMBERS) else []
                if groups and word in _TOUCHES:
                    touches.setdefault(len(groups) - 1, word)
            if said in _SIDES and groups and not groups[-1].side:
                groups[-1] = replace(groups[-1], side=_SIDES[said])
    return _touched(Arrangement(tuple(groups), ground, tuple(left_out), tuple(heeded)), touches, grounded)


def _touched(found: Arrangement, touches: dict[int, str], grounded: set[int]) -> Arrangement:
    """With what is on, in and with what; a side that was that of a ground ("a cat on the beach and a dog") is none of two things."""
    last = len(found.groups) - 1
    groups = [replace(group, side="") if place in grounded and place < last else group for place, group in enumerate(found.groups)]
    if len(groups) != 2 or 0 in grounded or 0 not in touches or (groups[1].count != 1 and touches[0] != "of"):
        return replace(found, groups=tuple(groups))
    first, second = groups
    how = _TOUCHES[touches[0]]
    if how == "of" and _is_of(first.phrase, VESSELS):
        if second.count == 1:
            return replace(found, groups=(second,), left_out=(*found.left_out, first.phrase))
        return replace(found, groups=(replace(second, side="in"), replace(first, side="")))
    fits = {"on": True, "in": _is_of(second.phrase, VESSELS), "with": _is_of(second.phrase, HATS), "of": False}[how]
    if how == "in" and _is_of(second.phrase, HATS):
        how, fits = "with", True
    if not fits:
        return replace(found, groups=tuple(groups))
    return replace(found, groups=(replace(first, side=how), second), heeded=(*found.heeded, touches[0]))


def _is_of(phrase: str, nouns: frozenset[str]) -> bool:
    """Whether the phrase, which may have a paint before it, is one of the nouns."""
    return phrase in nouns or phrase.partition(" ")[2] in nouns


def _cells(count: int) -> list[Box]:
    """Square cells in rows that fill the width, the rows in the middle of the picture."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    side, cells = 1 / columns, []
    for number in range(count):
        row, column = divmod(number, columns)
        across = min(columns, count - row * columns)
        left, top = (1 - across * side) / 2 + column * side, (1 - rows * side) / 2 + row * side
        cells.append(Box(left, top, left + side, top + side))
    return cells


def _shrunk(cell: Box, share: float) -> Box:
    rim = (1 - share) / 2
    wide, high = cell.x1 - cell.x0, cell.y1 - cell.y0
    return Box(cell.x0 + rim * wide, cell.y0 + rim * high, cell.x1 - rim * wide, cell.y1 - rim * high)
