"""Wishes that are said outright: "draw the sun, a house and a tree" is a new picture of just that, whatever is there beside it, "make the
picture twice as large" is about the whole of it, and "put a hat on the cow" adds something.

What the message says is what the tool is told. It knows words and token ids and no network.
"""

import re

import torch

from unified_demo import grammar
from unified_demo.grammar import Box, Task
from unified_demo.model.decoding_rule import LogitFilter, closing
from unified_demo.model.decoding_state import DecodingState
from unified_demo.promises import PROMISES

LONGEST = 100
"""Characters of such a wish; longer ones say more than one thing."""
_BEFORE = (
    r"(?:(?:please|pls|plz|hi|hey|hello|ok|okay|and|so|now|then|just|can|could|would|will|you"
    r"|(?:i|we)(?:'d| would)? (?:want|like) you to),? )*"
)
_BEHIND = r"(?:,? (?:please|pls|plz|for me|for us|thanks|thank you|now))*[ .!]*"
_PICTURE = r"(?:pictures?|images?|photos?|photographs?|drawings?)"
_DRAW = re.compile(
    rf"{_BEFORE}(?:(?:draw|sketch|doodle)(?: (?:me|us|of))?|paint(?: (?:me|us))?(?= (?!the )))"
    rf"(?: (?:a|another|one more) (?:new )?{_PICTURE} (?:of|with|showing))? (?P<what>.+?){_BEHIND}",
    re.IGNORECASE,
)
_THERE = re.compile(
    r"\b(?:it|its|this|that|these|those|them|their|him|his|her|my|our|your|same|again|around|round|over|instead|then|but|not|no"
    r"|box|boxes|lines?|outlines?|contour|border|mask|attention|arrow|circle|rectangle|frame|video|clip|film|footage|gif|sound|song"
    r"|draw|paint|make|turn|remove|add|show|cut|find|tell|what|where|how|change|put|animate"
    r"|the (?!(?:left|right|top|bottom|middle|sun|moon|sky|sea|snow|rain|dark|stars|forest|woods|desert|jungle|beach)\b))\b"
    r"|[?!:;\"()]|\. ",
    re.IGNORECASE,
)
"""What is said of what is there already, or besides."""
_LARGER = re.compile(
    rf"{_BEFORE}(?:make|get|scale|upscale|enlarge|resize) (?:the|this|that|my) (?:whole |entire )?{_PICTURE}\b(?: to be| up| to| by)?"
    r" (?:(?:twice|three times|four times|\d ?(?:x|times))(?: (?:as (?:large|big)|the size|larger|bigger))?|double the size|bigger|larger"
    rf"|\d{{2,4}} ?(?:px|pixels)(?: wide| large)?){_BEHIND}",
    re.IGNORECASE,
)

_ADD = re.compile(
    rf"{_BEFORE}(?:put|place|add|stick) (?P<new>(?:an?|some) [a-z -]+?) (?P<how>on|onto|on top of|to|next to|beside)"
    rf" (?P<there>(?:the|my|his|her|this|that) [a-z -]+?){_BEHIND}",
    re.IGNORECASE,
)
_SIDES = {"next to": "to the right of", "beside": "to the right of"}
"""As training says it; all others are "on"."""
SHARE, LEAST, MOST, GAP, SUNK = 0.45, 0.1, 0.3, 0.01, 0.35
"""How large something is beside the shorter side of the thing that it is added to, in parts of the picture; how far from its side it is,
and which part of it lies over the thing's upper edge."""
_NO_THING = re.compile(
    rf"\b(?:and|then|but|{_PICTURE}|box|mask|outline|filter|effect|frame|list|left|right|video|clip|film|animation)\b", re.IGNORECASE
)


def outright(message: str) -> tuple[Task, str] | None:
    """The one call that a message asks for in so many words, and what its tool is told; None for every other message."""
    said = " ".join(message.split())
    if len(said) > LONGEST:
        return None
    if (found := _DRAW.fullmatch(said)) and not _THERE.search(found["what"]):
        return Task.IMAGE_GENERATION, found["what"]
    if _LARGER.fullmatch(said):
        return Task.IMAGE_EDITING, said.rstrip(" .!")
    if (found := _ADD.fullmatch(said)) and not _NO_THING.search(f"{found['new']} {found['there']}"):
        return Task.REASONING_EDITING, f"add {found['new']} {_SIDES.get(found['how'].lower(), 'on')} {found['there']}"
    return None


class SaysWhatWasSaid(LogitFilter):
    """The words of a call that was asked for outright are those of the message. What is added has a box of its own; nothing is added to
    what is not seen."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        wish = outright(state.asked)
        if wish is None or state.wanted or state.boxes or state.calls or closing(state):
            return
        place = _place(state) if wish[0] == Task.REASONING_EDITING else None
        if wish[0] == Task.REASONING_EDITING and place is None:
            return
        task, vocabulary, written = grammar.TASKS[wish[0]], state.vocabulary, list(state.run)
        then, there = grammar.close_tag(task.tag), {key.split("-")[0] for key in state.references}
        if not state.inside and task.needs and {kind.value for kind in task.needs} <= there:
            due, then = vocabulary.encode(PROMISES[wish[0]][0]), grammar.open_tag(task.tag)
        elif state.inside[:1] == [task.tag] and state.innermost == grammar.BOX and place:
            due, then = vocabulary.encode(grammar.spell_box(place)), grammar.close_tag(grammar.BOX)
        elif state.innermost == task.tag and (state.refs_done or not task.needs):
            due, then = vocabulary.encode(grammar.escape(wish[1])), grammar.open_tag(grammar.BOX) if task.needs_box else then
        else:
            return
        if written == due[: len(written)]:
            token = due[len(written)] if len(written) < len(due) else vocabulary.tag_ids[then]
            logits.fill_(-torch.inf)
            logits[token] = 0.0


def place_beside(how: str, thing: Box) -> Box:
    """For something smaller: on top of a thing, or else at its side."""
    side = min(MOST, max(LEAST, SHARE * min(thing.x1 - thing.x0, thing.y1 - thing.y0)))
    if how in _SIDES:
        x = thing.x1 + GAP if thing.x1 + GAP + side <= 1 else max(0.0, thing.x0 - GAP - side)
        y = min(max(0.0, thing.y1 - side), 1 - side)
    else:
        x = min(max(0.0, (thing.x0 + thing.x1 - side) / 2), 1 - side)
        y = min(max(0.0, thing.y0 - (1 - SUNK) * side), 1 - side)
    return Box(x, y, x + side, y + side)


def _place(state: DecodingState) -> Box | None:
    """Of what is added to a thing that is seen; None where it is not."""
    found = _ADD.fullmatch(" ".join(state.asked.split()))
    if not found:
        return None
    noun = found["there"].lower().split(" ", 1)[1]
    keys = [state.picture] if state.picture in state.seen else list(state.seen)
    regions = [region for key in keys if key for region in state.seen[key][1:]]
    there = [region for region in regions if re.search(rf"(?:^| ){re.escape(state.called.get(region.label, region.label))}$", noun)]
    return place_beside(found["how"].lower(), max(there, key=lambda region: region.score).box) if there else None
