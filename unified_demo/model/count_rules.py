"""What an answer to "how many giraffes are there?" owes to what was seen: the number of those that are sure, and a box on each.

The network names a number before it points, and likes small ones. Only kinds that the detector knows or all "things", and questions that
restrict them by nothing else, are meant. This knows token ids and regions, and no network.
"""

import re
from collections.abc import Sequence

import numpy as np

from unified_demo import grammar
from unified_demo.model.caption_rules import sure_things
from unified_demo.model.decoding_state import DecodingState
from unified_demo.nouns import number, plural
from unified_demo.regions import Region

_HOW_MANY = re.compile(
    r"(?:(?:and|so|now|ok|okay|hey|hi|please|just|tell|me|us|say|can|could|would|you)[, ]+)*how many (?:of the )?(?P<thing>[a-z ]+?)"
    r"(?: (?:are|do|does|can|could|did|there|here|you|we|i|see|count|spot|find|visible|shown|in|the|this|that|my|picture|photo|image|all"
    r"|altogether|together|please))*[ ?!.]*$"
)
LONGEST = 120
"""Characters of a question that asks for nothing else."""
GRID, COVERED = 40, 0.9
"""Points each way at which a box is looked at; the share of them that makes it no further thing."""
ANYBODY = ("persons", "people", "humans")
ANYTHING = ("things", "objects", "items")
"""Words for all kinds together."""
GROUPS = {
    "animals": ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),
    "vehicles": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    "fruits": ("banana", "apple", "orange"),
}
"""Words for several kinds, by the detector's labels; where it has no word for something that is there, it is not known which it is."""


def counted(state: DecodingState) -> tuple[str, tuple[int, ...]] | None:
    """(the number and kind in words, the proposals): what is asked for the number of. None where that is open or nothing is sure."""
    found = _HOW_MANY.match(" ".join(state.asked.lower().split())) if len(state.asked) <= LONGEST else None
    if not found or state.in_call or state.calls:
        return None
    group = GROUPS.get(found["thing"], ()) if not state.called else ()
    of_all = found["thing"] in ANYTHING or bool(group)
    sure = [
        region for region in sure_things(state) if region.label in group or (of_all and not group) or found["thing"] in forms(region.label)
    ]
    sure = [region for region in sure if not _is_of(region, [other for other in sure if other.score > region.score])]
    if not sure or (not of_all and len({region.label for region in sure}) > 1):
        return None
    known = {id(region) for region in sure}
    places = tuple(place for place, (key, index) in enumerate(state.proposals) if key in state.seen and id(state.seen[key][index]) in known)
    label = found["thing"].removesuffix("s") if of_all else sure[0].label
    return f"{number(len(sure))} {label if len(sure) == 1 else plural(label)}", places


def phrase_closed(state: DecodingState) -> bool:
    return state.vocabulary.tag_ids[grammar.close_tag(grammar.PHRASE)] in state.written


def _is_of(region: Region, surer: Sequence[Region]) -> bool:
    """Whether what it covers is covered by the boxes of several others: two giraffes side by side are often proposed as a third one."""
    across, down = (np.linspace(start, end, GRID) for start, end in ((region.box.x0, region.box.x1), (region.box.y0, region.box.y1)))
    inside = [
        ((across >= box.x0) & (across <= box.x1))[:, None] & ((down >= box.y0) & (down <= box.y1)) for box in (other.box for other in surer)
    ]
    return len(inside) > 1 and bool(np.logical_or.reduce(inside).mean() > COVERED)


def forms(label: str) -> tuple[str, ...]:
    """Words for one and for several of a kind."""
    return (label, plural(label), *(ANYBODY if label == "person" else ()))
