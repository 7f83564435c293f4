"""Wishes that are said outright: "draw the sun, a house and a tree" is a new picture of just that, whatever is there beside it, and "make
the picture twice as large" is about the whole of it.

What the message says is what the tool is told. It knows words and token ids and no network.
"""

import re

import torch

from unified_demo import grammar
from unified_demo.grammar import Task
from unified_demo.model.decoding_rule import LogitFilter, closing
from unified_demo.model.decoding_state import DecodingState

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


def outright(message: str) -> tuple[Task, str] | None:
    """The one call that a message asks for in so many words, and what its tool is told; None for every other message."""
    said = " ".join(message.split())
    if len(said) > LONGEST:
        return None
    if (found := _DRAW.fullmatch(said)) and not _THERE.search(found["what"]):
        return Task.IMAGE_GENERATION, found["what"]
    if _LARGER.fullmatch(said):
        return Task.IMAGE_EDITING, said.rstrip(" .!")
    return None


class SaysWhatWasSaid(LogitFilter):
    """The words of a call that was asked for outright are those of the message."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        wish = outright(state.asked)
        if wish is None or state.innermost != wish[0].value or state.wanted or closing(state):
            return
        ids, due = state.vocabulary.tag_ids, state.vocabulary.encode(grammar.escape(wish[1]))
        if grammar.TASKS[wish[0]].needs and not state.refs_done:
            return
        written = list(state.run)
        if written != due[: len(written)]:
            return
        token = due[len(written)] if len(written) < len(due) else ids[grammar.close_tag(wish[0].value)]
        logits.fill_(-torch.inf)
        logits[token] = 0.0
