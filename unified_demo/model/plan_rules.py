"""What a plan's own words ask of the rest of it: "on the left <p>a vase</p>" has its box on the left, and the other thing is on the right;
"three cups" have three boxes.

The words are those of ``data.layout_prompts.PLACES``. It knows token ids and no network; ``decoding`` has the rules that use it.
"""

import re

from unified_demo import grammar
from unified_demo.model.decoding_state import DecodingState

Bounds = tuple[tuple[int, int], ...]
"""Least and most of x0, y0, x1 and y1 on the grid; empty where a box may lie anywhere."""
NEAR, FAR, BEGIN, END = ((50, 249), (300, 499)), ((500, 749), (700, grammar.GRID)), (50, 449), (550, grammar.GRID)
LEFT, RIGHT = (NEAR[0], BEGIN, NEAR[1], END), (FAR[0], BEGIN, FAR[1], END)
TOP, BOTTOM = (BEGIN, NEAR[0], END, NEAR[1]), (BEGIN, FAR[0], END, FAR[1])
ON_TOP, UNDERNEATH = (BEGIN, (20, 349), END, (400, 679)), (BEGIN, (390, 599), END, (650, 979))
SIDES: dict[str, Bounds] = {
    "on the left": LEFT, "on the right": RIGHT, "at the top": TOP, "at the bottom": BOTTOM, "on top": ON_TOP, "underneath": UNDERNEATH,
}  # fmt: skip
"""The box lies in that half and reaches over the middle of the other axis; it is no sliver. What stands on something may reach into the
other half, as that may."""
CORNERS: dict[str, Bounds] = {
    "top left": (NEAR[0], NEAR[0], NEAR[1], NEAR[1]), "top right": (FAR[0], NEAR[0], FAR[1], NEAR[1]),
    "bottom left": (NEAR[0], FAR[0], NEAR[1], FAR[1]), "bottom right": (FAR[0], FAR[0], FAR[1], FAR[1]),
}  # fmt: skip
"""The box lies in that quarter; said with "at the" or "in the ... corner"."""
OPPOSITE = {
    "on the left": "on the right", "on the right": "on the left", "at the top": "at the bottom", "at the bottom": "at the top",
    "on top": "underneath", "underneath": "on top", "in front": "behind", "behind": "in front",
}  # fmt: skip

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
HEAPS = ("few", "couple", "pair", "group", "lot", "bunch", "number", "set", "row", "pile", "herd", "flock", "crowd", "stack", "dozen")
"""Behind "a" they say that there are more than one, and not how many."""
_MORE = ("more", "greater", "higher", "larger")
_THING = r"([a-z]+(?: [a-z]+)?)"
_COMPARED = re.compile(rf"number of {_THING} is ({'|'.join(_MORE)}|less|fewer|lower|smaller) than (?:that|the number) of {_THING}")
_SAME = re.compile(rf"same number of {_THING}")
_NUMBERED = re.compile(rf"\b({'|'.join(NUMBERS)}|\d+) {_THING}")


def bounds_of(state: DecodingState) -> Bounds:
    """Of the box that is begun, by the place that the plan named right before its thing."""
    begun = [place for place, token in enumerate(state.written) if token == _tag(state, grammar.PHRASE)]
    if not state.planning or not begun:
        return ()
    said = _words_before(state, begun[-1]).removesuffix(" corner").replace("upper ", "top ").replace("lower ", "bottom ")
    return next((bounds for place, bounds in (SIDES | CORNERS).items() if said.endswith(place)), ())


def opposite_due(state: DecodingState) -> int | None:
    """The only token that may come between the first box of a plan that said its place and the second thing; None elsewhere."""
    if not state.planning or state.boxes != 1 or state.boxes_due or state.innermost not in grammar.PLANNING_TAGS:
        return None
    first = state.written.index(_tag(state, grammar.PHRASE)) if _tag(state, grammar.PHRASE) in state.written else 0
    opposite = OPPOSITE.get(_words_before(state, first))
    if opposite is None:
        return None
    due = state.vocabulary.encode(f", {opposite}")
    if state.run == due:
        return _tag(state, grammar.PHRASE)
    return due[len(state.run)] if due[: len(state.run)] == state.run else None


def box_due(state: DecodingState) -> bool | None:
    """Behind a box of a plan: whether the thing that was named last has more boxes, by the number it was named with; None elsewhere."""
    if not state.planning or not state.after_box or state.innermost not in grammar.PLANNING_TAGS:
        return None
    vocabulary = state.vocabulary
    begun = [place for place, token in enumerate(state.written) if token == _tag(state, grammar.PHRASE)]
    rest = state.written[begun[-1] + 1 :] if begun else []
    close = vocabulary.tag_ids[grammar.close_tag(grammar.PHRASE)]
    if close not in rest:
        return None
    phrase, boxes = vocabulary.tokenizer.decode(rest[: rest.index(close)]), rest.count(vocabulary.tag_ids[grammar.close_tag(grammar.BOX)])
    number = number_of(phrase)
    least, most = (number, number) if number is not None else compared(phrase, state.asked)
    return True if boxes < least else False if boxes >= most else None


def number_of(phrase: str) -> int | None:
    """How many a phrase names: "three red cups" 3, "a dog" 1; None where it does not say."""
    words = phrase.lower().split()
    first, second = [*words, "", ""][:2]
    if first in NUMBERS:
        return NUMBERS.index(first) + 1
    if first in ("a", "an"):
        return None if second in HEAPS or not second else 1
    return int(first) if first.isdecimal() and 0 < int(first) <= len(NUMBERS) else None


def compared(phrase: str, asked: str) -> tuple[int, int]:
    """Least and most of "a few cats" where the message says how many there are of something else and which of both are more.

    "three cars with a few cats, the number of cars is more than that of cats": one or two; "the same number of cats": three.
    """
    thing = " ".join(word for word in phrase.lower().split() if word not in ("a", "an", "the", *HEAPS))
    message = " ".join(asked.lower().split())
    for first, how, second in _COMPARED.findall(message):
        for one, other, is_more in ((first, second, how in _MORE), (second, first, how not in _MORE)):
            number = _number_in(message, other) if _alike(thing, one) else None
            if number is not None:
                return (number + 1, len(NUMBERS)) if is_more else (1, max(1, number - 1))
    same = _SAME.search(message)
    numbered = _NUMBERED.search(message)
    if same and numbered and _alike(thing, same[1]):
        number = number_of(numbered[0]) or 1
        return number, number
    return 0, len(NUMBERS)


def _number_in(message: str, thing: str) -> int | None:
    """How many of a thing a message names outright."""
    found = [match for match in _NUMBERED.finditer(message) if _alike(match[2], thing) or match[2].startswith(thing)]
    return number_of(found[0][0]) if found else None


def _alike(one: str, other: str) -> bool:
    """Whether two nouns differ by no more than an ending: "bus" and "buses"."""
    shared = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return shared >= max(3, min(len(one), len(other)) - 1) and abs(len(one) - len(other)) <= 2


def _words_before(state: DecodingState, end: int) -> str:
    """The words between the place ``end`` of the answer and the tag before it."""
    vocabulary = state.vocabulary
    start = next((place + 1 for place in range(end - 1, -1, -1) if state.written[place] >= vocabulary.vocab_size), 0)
    return vocabulary.tokenizer.decode(state.written[start:end]).strip()


def _tag(state: DecodingState, name: str) -> int:
    return state.vocabulary.tag_ids[grammar.open_tag(name)]
