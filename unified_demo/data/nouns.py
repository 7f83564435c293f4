"""How the nouns of the catalogue are said in number: "an umbrella", "two dogs", "some bread", "gloves", "Santa Claus".

Enough English for the committed nouns; exceptions stand here by name. It knows nothing of pictures.
"""

import re
from collections.abc import Sequence

from unified_demo.data.expressions import NUMBERS, article, plural

MASS = frozenset({
    "bacon", "bamboo", "beer", "bread", "broccoli", "butter", "candy", "cheese", "coral", "corn", "fire", "garlic", "ginger", "ice cream",
    "lettuce", "meat", "milk", "popcorn", "pudding", "rice", "salad", "soap", "soup", "spaghetti", "sushi", "thread", "yarn",
    "toilet paper",
})  # fmt: skip
PROPER = frozenset({"Santa Claus"})
_PLURAL = re.compile(r"(?<![su])s$")
_NO_PLURAL = frozenset({"iris", "christmas", "tennis", "canvas", "bonsai", "gas", "chess"})
_ODD_PLURALS = frozenset({"socks", "shoes"})


def is_plural(noun: str) -> bool:
    """ "gloves", "wood logs", "french fries"; not "glass", "bus" or "cactus"."""
    last = noun.lower().split()[-1]
    return last in _ODD_PLURALS or (bool(_PLURAL.search(last)) and last not in _NO_PLURAL and noun not in PROPER)


def countable(noun: str) -> bool:
    """Whether one may say "two ..." of it."""
    return noun not in MASS and noun not in PROPER and not is_plural(noun)


def said(noun: str, count: int, adjective: str = "") -> str:
    """The noun with its number: "a dog", "two brown dogs", "some bread", "gloves"; ``count`` other than 1 for countable nouns only."""
    if noun in PROPER:
        return noun
    words = f"{adjective} {noun}".strip()
    if noun in MASS:
        return f"some {words}"
    if is_plural(noun):
        return words
    return article(words) if count == 1 else f"{number(count)} {plural(words)}"


def definite(noun: str, count: int) -> str:
    """ "the dog", "the two dogs", "the gloves", "Santa Claus"."""
    if noun in PROPER:
        return noun
    return f"the {noun}" if count == 1 or not countable(noun) else f"the {number(count)} {plural(noun)}"


def number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def listed(phrases: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(phrases[:-1]), phrases[-1]) if part)
