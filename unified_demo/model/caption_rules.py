"""What a caption owes to what was seen: it goes on while something sure is unsaid, says as many as there are and points at each of them,
and a shirt has the colour that was measured.

A caption is an answer that begins with a phrase such as "A dog" or "Two cups" (``data.captions``). The network writes a phrase before
it points, so it cannot yet know the colours of the one it will point at. This knows token ids and regions, and no network.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from unified_demo import grammar
from unified_demo.deeds import deeds
from unified_demo.model.decoding_state import DecodingState
from unified_demo.nouns import GROUP, in_number, plural
from unified_demo.regions import SURE, Region, shirt_colour, sort_regions

BEGINNINGS = ("a", "an", "some", "one", "two", "three", "four", "five", "many")
MOST_GROUPS = 4
JOINTS = (",", "and", ", and")
TOUCHING = 0.1
"""Things do something with each other when their boxes overlap by so much of the smaller one."""
SAME = 0.6
"""Boxes whose intersection is so much of their union are one thing."""


def captioning(state: DecodingState) -> bool:
    """The answer is a caption so far."""
    opened = state.vocabulary.tag_ids[grammar.open_tag(grammar.PHRASE)]
    if not state.written or state.written[0] != opened or state.calls or state.in_call:
        return False
    return (_words(state, 1, 4).split() or [""])[0].lower() in BEGINNINGS


@dataclass(frozen=True)
class Turn:
    """How a caption may go on: whether it may end, and whether "," and "and" may come."""

    end: bool
    comma: bool
    last: bool


def turn(state: DecodingState) -> Turn | None:
    """It goes on while a sure kind of thing is unsaid, four groups at most; "and" announces the last. None elsewhere."""
    if not captioning(state) or state.inside or not sure_things(state):
        return None
    spoken = " ".join(_words(state, start, end) for start, end in _between(state))
    room = 0 if " and " in f" {spoken} " else min(len(_unsaid(state)), MOST_GROUPS - _count(state))
    return Turn(end=room <= 0, comma=room > 1, last=room == 1) if state.after_box else Turn(end=room <= 0, comma=True, last=True)


def phrases(state: DecodingState) -> tuple[str, ...]:
    """What the phrase that is being written may say of one kind: "two cups" where two are sure. The first is of a kind that does something,
    where there is one; then come those with which it is done ("riding <p>a horse"), and listed ones that are unsaid. Empty where that is
    open.
    """
    if state.innermost != grammar.PHRASE or state.in_call or state.calls:
        return ()
    counts = Counter(region.label for region in sure_things(state))
    if len(state.written) == len(state.run) + 1:
        active = {one for one, _, _ in _done(state)} or set(counts)
        return tuple(_capital(in_number(*row)) for row in counts.items() if row[0] in active)
    if not captioning(state):
        return ()
    between = _words(state, *_between(state)[-1]).strip()
    if between not in JOINTS:
        return tuple(dict.fromkeys(in_number(other, counts[other]) for _, word, other in _done(state, _pointed(state)) if word == between))
    return tuple(in_number(label, counts[label]) for label in _unsaid(state))


def verbs(state: DecodingState) -> tuple[str, ...] | None:
    """What is done by the things of the first phrase of a caption, behind its boxes. None elsewhere."""
    closed = state.vocabulary.tag_ids[grammar.close_tag(grammar.BOX)]
    behind = state.run_start and state.written[state.run_start - 1] == closed and not state.inside
    if not behind or _count(state) != 1 or not captioning(state) or not sure_things(state):
        return None
    return tuple(dict.fromkeys(word for _, word, _ in _done(state, _pointed(state))))


def _done(state: DecodingState, by: Sequence[Region] | None = None) -> list[tuple[str, str, str]]:
    """(whose kind, what, with what kind) is done ``by`` these things, or by any, with others that they touch."""
    sure = sure_things(state)
    taken = [id(region) for region in by or ()]
    return [
        (one.label, word, other.label)
        for one in (sure if by is None else by)
        for other in sure
        if id(other) not in taken and other.label != one.label and one.box.overlap(other.box) > TOUCHING * min(one.box.area, other.box.area)
        for word in deeds(one.label, other.label)
    ]


def owed(state: DecodingState) -> tuple[int, tuple[int, ...]] | None:
    """(boxes, proposals): how many boxes the caption's latest phrase has in all, and what these may point at. None where that is open."""
    if not captioning(state) or state.innermost not in ("", grammar.BOX):
        return None
    opened, closed = (state.vocabulary.tag_ids[tag] for tag in (grammar.open_tag(grammar.PHRASE), grammar.close_tag(grammar.PHRASE)))
    if closed not in state.written:
        return None
    end = len(state.written) - 1 - state.written[::-1].index(closed)
    start = end - state.written[:end][::-1].index(opened)
    said, shirt, colour = _words(state, start, end).strip().lower().partition(" in ")
    before = {id(region) for region in _pointed(state, end)}
    free = [region for region in sure_things(state) if id(region) not in before]
    count, label = _count_and_label(said, {region.label for region in free})
    meant = [region for region in free if region.label == label]
    if shirt:
        meant = [region for region in meant if shirt_colour(region) and shirt_colour(region) in colour] or meant
    known = {id(region) for region in meant}
    places = tuple(place for place, (key, index) in enumerate(state.proposals) if key in state.seen and id(state.seen[key][index]) in known)
    return (min(count, len(meant)), places) if meant else None


def _count_and_label(said: str, labels: set[str]) -> tuple[int, str]:
    """Of "two dogs" 2 and "dog"; (0, "") when it is about none of ``labels``."""
    for label in labels:
        for count in range(1, GROUP + 1):
            if said in (in_number(label, count), f"another {label}"):
                return count, label
    return 0, ""


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


def shirts(state: DecodingState) -> tuple[str, ...] | None:
    """Colours that the shirt may have of which the phrase speaks: that of the largest person who is unsaid, or none; None elsewhere."""
    if state.innermost != grammar.PHRASE or not captioning(state):
        return None
    words = state.vocabulary.tokenizer.decode(state.run).lower().split()
    if (
        words[:2] not in (["a", "person"], ["another", "person"])
        or len(words) > 4
        or words[2:] not in ([], ["in"], ["in", "a"], ["in", "an"])
    ):
        return None
    said = [id(region) for region in _pointed(state)]
    people = [region for region in sure_things(state) if region.label == "person" and id(region) not in said]
    colour = shirt_colour(max(people, key=lambda region: region.box.area)) if people else ""
    return (colour,) if colour else ()


def _unsaid(state: DecodingState) -> tuple[str, ...]:
    """Neither pointed at nor named: the network may point at another thing than it named."""
    pointed, named = {region.label for region in _pointed(state)}, _words(state, 0, len(state.written)).lower()
    labels = dict.fromkeys(region.label for region in sure_things(state))
    return tuple(label for label in labels if label not in pointed and not re.search(rf"\b({label}|{plural(label)})\b", named))


def sure_things(state: DecodingState) -> list[Region]:
    """Of the one picture that is spoken of, from left to right; of boxes that cover the same the likeliest."""
    keys = {state.picture} if state.picture else {key for key, _ in state.proposals}
    if len(keys) != 1:
        return []
    found = [state.seen[key][index] for key, index in state.proposals if key in keys and key in state.seen and index]
    best: list[Region] = []
    for region in sorted(found, key=lambda region: -region.score):
        if region.score >= SURE and all(region.box.iou(other.box) <= SAME for other in best):
            best.append(region)
    return sort_regions(best)


def _pointed(state: DecodingState, end: int | None = None) -> list[Region]:
    """By the first ``end`` tokens, or by all."""
    base = state.vocabulary.point_base
    places = [state.proposals[token - base] for token in state.written[:end] if token >= base]
    return [state.seen[key][index] for key, index in places if key in state.seen]


def _count(state: DecodingState) -> int:
    return state.written.count(state.vocabulary.tag_ids[grammar.close_tag(grammar.PHRASE)])


def _between(state: DecodingState) -> list[tuple[int, int]]:
    """Runs of words outside of phrases and boxes."""
    runs, depth, start = [], 0, 0
    for place, token in enumerate(state.written):
        if state.vocabulary.vocab_size <= token < state.vocabulary.point_base:
            closed = state.vocabulary.tags[token - state.vocabulary.vocab_size].startswith("</")
            if not depth:
                runs.append((start, place))
            depth += -1 if closed else 1
            start = place + 1
    return [*runs, (start, len(state.written))] if not depth else runs


def _words(state: DecodingState, start: int, end: int) -> str:
    return state.vocabulary.tokenizer.decode([token for token in state.written[start:end] if token < state.vocabulary.vocab_size])
