"""How the nouns of the catalogue are said in number: "an umbrella", "two dogs", "some bread", "gloves", "Santa Claus".

Enough English for the committed nouns; exceptions stand here by name. It knows nothing of pictures.
"""

import re
from collections.abc import Sequence

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "sheep": "sheep", "skis": "skis", "scissors": "scissors",
    "knife": "knives", "mouse": "mice", "people": "people", "someone": "people", "goose": "geese",
    "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "wolf": "wolves", "elf": "elves", "shelf": "shelves",
    "scarf": "scarves", "calf": "calves", "leaf": "leaves", "loaf": "loaves", "ox": "oxen", "die": "dice", "deer": "deer", "moose": "moose",
    "fish": "fish", "squid": "squid", "shrimp": "shrimp", "bison": "bison", "buffalo": "buffalo", "clownfish": "clownfish",
    "jellyfish": "jellyfish", "aircraft": "aircraft",
}  # fmt: skip
MASS = frozenset({
    "bacon", "bamboo", "beer", "bread", "broccoli", "butter", "candy", "cheese", "coral", "corn", "fire", "garlic", "ginger", "ice cream",
    "lettuce", "meat", "milk", "popcorn", "pudding", "rice", "salad", "soap", "soup", "spaghetti", "sushi", "thread", "yarn",
    "toilet paper",
})  # fmt: skip
GROUP = 5
"""So many and more are "a group of"."""
PROPER = frozenset({"Santa Claus"})
IN_THE_SKY = frozenset({"sun", "moon", "star", "cloud", "rainbow", "comet"})
_PLURAL = re.compile(r"(?<![su])s$")
_NO_PLURAL = frozenset({"iris", "christmas", "tennis", "canvas", "bonsai", "gas", "chess"})
_ODD_PLURALS = frozenset({"socks", "shoes"})


def plural(noun: str) -> str:
    """A plain English plural, enough for the nouns of the table."""
    head, _, last = noun.rpartition(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    elif last.endswith("man"):
        last = last[:-3] + "men"
    else:
        last += "s"
    return f"{head} {last}".strip()


def article(noun: str) -> str:
    """ "an hourglass", "a unicorn", "a UFO", "a red umbrella"."""
    vowel = re.match(r"[aeio]|u(?!ni|se|kul|rin)|hour|honest", noun, re.IGNORECASE) and not re.match(r"one|UFO", noun)
    return ("an " if vowel else "a ") + noun


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


def in_number(noun: str, count: int) -> str:
    """ "a dog", "two dogs", "some bread", and from GROUP on "a group of dogs"."""
    return f"a group of {plural(noun)}" if count >= GROUP and countable(noun) else said(noun, count)


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
