"""What a caption owes to what was seen: it goes on while something large and sure is unsaid, and a shirt has the colour that was measured.

A caption is an answer that begins with a phrase such as "A dog" or "Two cups" (``data.captions``). The network writes a phrase before
it points, so it cannot yet know the colours of the one it will point at. This knows token ids and regions, and no network.
"""

import re
from dataclasses import dataclass

from unified_demo import grammar
from unified_demo.model.decoding_state import DecodingState
from unified_demo.regions import SURE, Region, shirt_colour

BEGINNINGS = ("a", "an", "some", "one", "two", "three", "four", "five", "many")
MOST_GROUPS = 4
JOINTS = (",", "and", ", and")


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
    if not captioning(state) or state.inside or not _sure(state):
        return None
    spoken = " ".join(_words(state, start, end) for start, end in _between(state))
    room = 0 if " and " in f" {spoken} " else min(len(_unsaid(state)), MOST_GROUPS - _count(state))
    return Turn(end=room <= 0, comma=room > 1, last=room == 1) if state.after_box else Turn(end=room <= 0, comma=True, last=True)


def kinds(state: DecodingState) -> tuple[str, ...]:
    """What a listed phrase may be about that has no more than its article so far: sure and not named yet, and fit for the article."""
    if state.innermost != grammar.PHRASE or not captioning(state) or _words(state, *_between(state)[-1]).strip() not in JOINTS:
        return ()
    begun = state.vocabulary.tokenizer.decode(state.run).strip()
    return tuple(label for label in _unsaid(state) if begun in ("", article(label)))


def article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


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
    people = [region for region in _sure(state) if region.label == "person" and id(region) not in said]
    colour = shirt_colour(max(people, key=lambda region: region.box.area)) if people else ""
    return (colour,) if colour else ()


def _unsaid(state: DecodingState) -> tuple[str, ...]:
    """Neither pointed at nor named: the network may point at another thing than it named."""
    pointed, named = {region.label for region in _pointed(state)}, _words(state, 0, len(state.written)).lower()
    labels = dict.fromkeys(region.label for region in _sure(state))
    return tuple(label for label in labels if label not in pointed and not re.search(rf"\b{label}\b", named))


def _sure(state: DecodingState) -> list[Region]:
    """Of the one picture that is spoken of; of a box with several names the likeliest."""
    keys = {state.picture} if state.picture else {key for key, _ in state.proposals}
    if len(keys) != 1:
        return []
    best: dict[tuple[float, ...], Region] = {}
    for key, index in state.proposals:
        region = state.seen[key][index] if key in keys and key in state.seen else None
        if region and index and region.score >= SURE:
            known = best.setdefault(region.box.as_tuple(), region)
            best[region.box.as_tuple()] = max(known, region, key=lambda one: one.score)
    return list(best.values())


def _pointed(state: DecodingState) -> list[Region]:
    base = state.vocabulary.point_base
    places = [state.proposals[token - base] for token in state.written if token >= base]
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
