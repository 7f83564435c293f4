"""Slips of the keyboard in what users write. It knows letters, no words."""

import random
import re

_WORD = re.compile(r"\b[a-z]{4,}\b")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def misspelt(rng: random.Random, text: str) -> str:
    """``text`` with a slip in one of its longer words of small letters, in every fourth text in two; as it is where there is none."""
    for _ in range(2 if rng.random() < 0.25 else 1):
        if found := list(_WORD.finditer(text)):
            word = rng.choice(found)
            text = text[: word.start()] + _slip(rng, word[0]) + text[word.end() :]
    return text


def _slip(rng: random.Random, word: str) -> str:
    """Two letters in the wrong order, one left out, doubled, or the neighbour on the keyboard; mostly not the first one."""
    place = rng.randrange(0 if rng.random() < 0.1 else 1, len(word) - 1)
    kind = rng.choice(("swapped", "swapped", "missing", "double", "neighbour"))
    if kind == "swapped":
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == "neighbour":
        row = next(row for row in _ROWS if word[place] in row)
        at = row.index(word[place])
        return word[:place] + rng.choice(row[max(at - 1, 0) : at] + row[at + 1 : at + 2]) + word[place + 1 :]
    return word[:place] + (word[place] * 2 if kind == "double" else "") + word[place + 1 :]
