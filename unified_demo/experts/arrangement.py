"""What a prompt names, one by one: things with number and paint, how they lie to each other, and the ground; then a box for each.

A rule for plain prompts, where no layout was asked for. English only; it draws nothing.
"""

import math
from dataclasses import dataclass

from unified_demo.errors import ExpertError
from unified_demo.experts.vocabulary import Vocabulary
from unified_demo.grammar import Box

MOST_THINGS = 12
ALONE, AMONG = 0.78, 0.86
"""Side of a thing's box relative to the picture where it is alone, and to its cell where there are several."""
NUMBERS = {word: number for number, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=2)}
_SIDES = {
    "left": "left", "right": "right", "above": "above", "over": "above", "on": "above", "top": "above", "below": "below", "under": "below",
}  # fmt: skip
"""Word -> where the thing before it lies to the thing behind it."""
_PLAIN = "background"
"""What a colour needs behind it to be a ground, in a prompt as in what asks for an empty one."""
_UPPER, _LOWER = Box(0.25, 0, 0.75, 0.5), Box(0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Group:
    """``phrase`` as it is drawn ("red car"); ``side``: where it lies to the next group (left, right, above, below), "" for unsaid."""

    phrase: str
    count: int = 1
    side: str = ""


@dataclass(frozen=True)
class Arrangement:
    """``ground``: what asks for the empty ground, "" for the usual one. ``left_out``: colours that nothing can be painted in."""

    groups: tuple[Group, ...]
    ground: str = ""
    left_out: tuple[str, ...] = ()

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
        sides = [group.side for group in self.groups[:-1] if group.side]
        if count == 2 and sides:
            cells = [Box(0, 0.25, 0.5, 0.75), Box(0.5, 0.25, 1, 0.75)] if sides[0] in ("left", "right") else [_UPPER, _LOWER]
            cells = cells[::-1] if sides[0] in ("right", "below") else cells
        else:
            cells = _cells(count)
        return tuple(_shrunk(cell, AMONG if count > 1 else ALONE) for cell in cells)


def arrange(prompt: str, words: Vocabulary) -> Arrangement:
    """Words that are neither nouns, paints, numbers, sides nor grounds count for nothing; whether they may is said by ``words.check``."""
    groups: list[Group] = []
    left_out: list[str] = []
    ground, count, paint = "", 0, ""
    pieces = words.pieces(prompt)
    for place, (said, kind) in enumerate(pieces):
        if kind == "noun":
            named = said in words.nouns and not count
            groups.append(Group(f"{paint} {said if named else words.single(said)}".strip(), count or (1 if named else 2)))
            count, paint = 0, ""
        elif said in NUMBERS or said.isdigit():
            count = NUMBERS.get(said) or max(1, int(said[:4]))
        elif said in words.grounds and place + 1 < len(pieces) and pieces[place + 1][0] == _PLAIN:
            ground = words.grounds[said]
        elif said in words.paints:
            paint = said
        elif words.grounds.get(said, "").endswith(_PLAIN):
            left_out.append(said)
        elif said in words.grounds:
            ground = words.grounds[said]
        elif said in _SIDES and groups and not groups[-1].side:
            groups[-1] = Group(groups[-1].phrase, groups[-1].count, _SIDES[said])
    return Arrangement(tuple(groups), ground, tuple(left_out))


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
