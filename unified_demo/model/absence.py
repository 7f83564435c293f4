"""Is a thing asked for outright of whose kind the detector proposes none? Then the answer may only say so.

The network is taught to say it, too, but of "person", the most frequent kind, it never believes it. Words and labels, no network.
"""

import re
from collections.abc import Collection, Iterable
from functools import cache

from unified_demo.nouns import plural

_ASKED = (
    r"\b(?:where(?:'s| is| are)|find|locate|point (?:at|to|out)|spot|show me|how many|count|(?:is|are) there|(?:can|do) you see|cut out"
    r"|segment|outline|mask|remove|erase|delete|get rid of|enlarge|shrink)"
    r"\s+(?:(?:all|the|an?|any|every|each|my|some|that|this|of|those|these)\s+)*"
)
_AFTER = (
    r"(?=\s*(?:[.,;:!?]|$)"
    r"|\s+(?:is|are|in|on|at|from|out|of|with|near|next|behind|under|below|above|here|there|please|and|do|can|that|who|which)\b)"
)
_DOING = re.compile(r"who(?:'s| is| are) \w+ing\b")
PEOPLE = (
    "person", "people", "man", "men", "woman", "women", "boy", "boys", "girl", "girls", "child", "children", "human", "humans",
)  # fmt: skip


def absent(asked: str, labels: Iterable[str], seen: Collection[str]) -> str:
    """The one of the detector's ``labels`` that ``asked`` names as what is looked for, or "who is cooking?" asks for, and that is not among
    those ``seen``; else empty."""
    pattern, label_of = _pattern(tuple(labels))
    said = " ".join(asked.lower().split())
    found = pattern.search(said)
    label = label_of[found["thing"]] if found else label_of.get("person", "") if _DOING.match(said) else ""
    return label if label not in seen else ""


@cache
def _pattern(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    label_of = {form: label for label in labels for form in (label, plural(label))}
    if "person" in labels:
        label_of |= dict.fromkeys(PEOPLE, "person")
    forms = "|".join(sorted(map(re.escape, label_of), key=len, reverse=True))
    return re.compile(f"{_ASKED}(?P<thing>{forms}){_AFTER}"), label_of
