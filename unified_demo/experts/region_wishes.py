"""What a region edit asks for, read from the words of its call: remove, recolour, resize, replace or add, and with what; what becomes of
all behind the thing; or that nothing but it stays.

English only. It knows no pictures; finding the region is the language model's business.
"""

import re
from dataclasses import dataclass
from typing import Literal

from unified_demo.errors import ExpertError
from unified_demo.experts.backdrops import Backdrop
from unified_demo.experts.recolouring import COLOURS

Operation = Literal["remove", "recolour", "resize", "replace", "add", "backdrop", "crop", "change"]

_COLOUR = "|".join(sorted(COLOURS, key=len, reverse=True))
_PLACE = r"\s+(?:on|onto|in|into|at|to|next|beside|above|below|over|under|behind|left|right|near|by|where)\b.*"
_BEHIND = r"(?:the |my )?(?:(?:whole )?background|backdrop|surroundings|rest(?: of (?:it|the (?:picture|photo|image)))?|everything else)"
_PATTERNS: tuple[tuple[Operation, str], ...] = (
    ("crop", r"(?:crop|zoom)\b.*"),
    ("backdrop", rf"(?P<new>blur|darken|desaturate)(?: out)? (?:{_BEHIND}|everything (?:but|except|behind|around) .+)"),
    (
        "backdrop",
        rf"(?:make|turn) {_BEHIND} (?:in(?:to)? |to )?(?:all |a bit |more )?(?P<new>blurr?y|blurred|out of focus|darker|black and white"
        r"|gr[ae]y ?scale|colou?rless)",
    ),
    ("remove", r"(?:remove|delete|erase|take (?:away|out)|take .+ (?:away|out)\b|get rid of|wipe out|without|no)\b.*"),
    ("recolour", rf"(?:make|paint|colou?r|recolou?r|dye|turn|change)\b.+?\b(?:in(?:to)? |to )?(?P<new>{_COLOUR})"),
    ("resize", r"(?:make|turn|get)\b.+\b(?P<new>bigger|larger|smaller|tinier)(?: than\b.*)?"),
    ("resize", r"(?P<new>enlarge|shrink)\b.*"),
    ("replace", r"(?:replace|swap|exchange)\b.+?\b(?:with|by|for)\s+(?P<new>.+)"),
    ("replace", r"(?:turn|change|transform|make)\b.+?\b(?:into|to)\s+(?P<new>.+)"),
    ("replace", r"make\b.+?\s(?P<new>an?\s.+)"),
    ("add", rf"(?:add|put|place|insert|draw|paint)\s+(?P<new>.+?)(?:{_PLACE})?"),
)
_CHANGED = (
    r"(?:remove|delete|erase|get rid of|wipe out|take (?:away|out)|enlarge|shrink) (?P<thing>.+)",
    r"take (?P<thing>.+) (?:away|out)",
    rf"(?:make|paint|colou?r|recolou?r|dye|turn|change) (?P<thing>.+?) (?:in(?:to)? |to )?(?:{_COLOUR})",
    r"(?:make|turn|get) (?P<thing>.+?) (?:bigger|larger|smaller|tinier)(?: than\b.*)?",
    r"(?:replace|swap|exchange|turn|change|transform|make) (?P<thing>.+?) (?:with|by|for|into|to) .+",
    r"make (?P<thing>.+?) an? .+",
    r"(?:add|put|place|insert) (?P<thing>.+)",
)
_WHERE = rf"(?:\s+(?:from|of)\s+(?:the|this|that)\s+(?:picture|photo|image|scene)\b.*|{_PLACE})$"
_POINTING = {"it", "this", "that", "them", "these", "those", "him", "her", "one", "this one", "that one", "the thing", "this thing"}
_BACKDROPS: dict[str, Backdrop] = {
    "blur": "blurred", "blurred": "blurred", "blury": "blurred", "blurry": "blurred", "out of focus": "blurred", "darken": "darker",
    "darker": "darker",
}  # fmt: skip
"""Words for one; all others take the colours away."""
_SIZES = {"larger": "bigger", "enlarge": "bigger", "tinier": "smaller", "shrink": "smaller"}


@dataclass(frozen=True)
class Wish:
    """``new``: the colour to give, "bigger" or "smaller", what becomes of all behind the thing (``Backdrop``), or the content to put there
    with its article; empty for a removal and for a "change", which is any other wish, for experts that follow instructions (``read_wish``
    knows none)."""

    operation: Operation
    new: str = ""


def read_wish(prompt: str) -> Wish:
    """A call without words removes. ExpertError when the words name none of the five operations."""
    words = " ".join(prompt.lower().split()).removeprefix("please ").rstrip(".! ")
    if not words:
        return Wish("remove")
    for operation, pattern in _PATTERNS:
        found = re.fullmatch(pattern, words)
        if found:
            new = found.groupdict().get("new") or ""
            new = _BACKDROPS.get(new, "black and white") if operation == "backdrop" else new
            return Wish(operation, _SIZES.get(new, new) if operation == "resize" else new)
    raise ExpertError(
        f"'{prompt[:60]}' does not say what shall happen to the region; "
        "'remove …', 'make … red', 'make … bigger', 'replace … with …', 'add …' and 'blur the background' "
        "are understood, so please ask in one of these ways."
    )


def thing_of_wish(prompt: str) -> str:
    """What the wish is about, in its own words: "the dog" of "remove the dog"; empty where it only points ("it") or is not understood."""
    words = " ".join(prompt.split()).rstrip(".! ")
    for pattern in _CHANGED:
        if found := re.fullmatch(rf"(?:please )?{pattern}", words, re.IGNORECASE):
            thing = re.sub(r"^the colou?r of ", "", re.sub(_WHERE, "", found["thing"]), flags=re.IGNORECASE)
            return "" if thing.lower() in _POINTING else thing
    return ""
