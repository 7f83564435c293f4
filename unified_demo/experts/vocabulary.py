"""What a small generator can draw: a list of nouns beside its weights. Unknown things are refused by name, with near ones.

A pipeline without such a list draws what it is asked. English only; words are compared, not understood.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.nouns import IRREGULAR

FILE = "vocabulary.json"
"""Beside model_index.json: {"nouns": [...], "words": [...], "paints": [...], "grounds": {...}}; ``words`` are all others it was trained
with (colours, places, ...); ``paints`` and ``grounds`` (word -> what asks for that ground with nothing on it) may be left out."""
TABLE = Path(__file__).with_name("near_nouns.toml")
ALIKE = 0.67
"""Nouns that are spelt so much alike may have been meant (``difflib``'s ratio): "kite" for "kitte", not "camera" for "samurai"."""
_END = 4
LONGEST = 3
"""Words of the longest noun."""
_SMALL = frozenset({
    "a", "an", "the", "some", "and", "or", "with", "without", "of", "in", "on", "at", "to", "by", "for", "from", "near", "next",
    "beside", "under", "below", "above", "over", "behind", "between", "inside", "into", "left", "right", "top", "bottom", "middle",
    "side", "front", "is", "are", "it", "its", "his", "her", "their", "this", "that", "there", "one", "two", "three", "four", "it's",
    "as",
})  # fmt: skip
_PEOPLE = frozenset({
    "boy", "boys", "child", "children", "couple", "crowd", "family", "friend", "friends", "girl", "girls", "group", "kid", "kids", "people",
    "person", "persons", "player", "players", "somebody", "someone", "team",
})  # fmt: skip
"""No looks of what follows: "children playing football" are no football."""
_ODD = {plural: single for single, plural in IRREGULAR.items() if plural != single}
_ARTICLE = re.compile(r"\s*(?:and )?(?:an?|the|some|one|two|three|four|five|six|\d+) ")
_WORD = re.compile(r"[^\W_][\w'-]*")


@cache
def _kinds() -> dict[str, tuple[str, ...]]:
    """Thing -> nouns of its kind."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["kind"]
    return {word: tuple(row["near"]) for row in rows for word in row["words"]}


@dataclass(frozen=True)
class Vocabulary:
    """All in lower case; nouns in the singular."""

    nouns: frozenset[str]
    words: frozenset[str]
    paints: frozenset[str] = frozenset()
    grounds: Mapping[str, str] = field(default_factory=dict)

    def check(self, prompt: str) -> tuple[str, ...]:
        """The words that it does not know and that do not matter: those before a noun, and a look behind a comma (", watercolour").

        ExpertError for a thing that it cannot draw ("baby bottle" is neither a baby nor a bottle), and for neither thing nor ground.
        """
        first, *behind = prompt.lower().split(",")
        pieces = self.pieces(first)
        looks: list[tuple[str, str]] = []
        for clause in behind:
            own = self.pieces(clause)
            is_look = not _ARTICLE.match(clause) and all(kind != "noun" for _, kind in own)
            (looks if is_look else pieces).extend(own)
        for clause in (first, *behind):
            for (words, kind), (following, next_kind) in pairwise(self.pieces(clause)):
                if kind == next_kind == "noun":
                    raise ExpertError(self._refusal(f"{words} {following}"))
        left_out: list[str] = []
        for place, (words, kind) in enumerate(pieces):
            if kind != "unknown":
                continue
            follows = next((kind for said, kind in pieces[place + 1 :] if said not in self.paints), "")
            *subject, last = words.split()
            if people := [word for word in (*subject, last) if word in _PEOPLE]:
                raise ExpertError(self._refusal(people[0]))
            if follows != "noun" and (subject or not last.endswith("ing")):
                raise ExpertError(self._refusal(" ".join(subject) if subject and last.endswith("ing") else words))
            left_out.append(words)
        if not any(kind == "noun" or (words in self.grounds and words not in self.paints) for words, kind in pieces):
            raise ExpertError(self._refusal(prompt.strip()[:60]))
        return (*left_out, *(words for words, kind in looks if kind == "unknown"))

    def near(self, thing: str) -> list[str]:
        """Up to four nouns that share a word, are of the same kind (near_nouns.toml), are its end ("house" of "boathouse") or are spelt
        alike."""
        words = set(thing.split())
        sharing = sorted(noun for noun in self.nouns if words & set(noun.split()))
        single = next((word for word in (*_singulars(thing), *_singulars(thing.split()[-1] if words else "")) if word in _kinds()), "")
        kind = [noun for noun in _kinds().get(single, ()) if noun in self.nouns]
        ends = [noun for noun in sorted(self.nouns) if len(noun) >= _END and thing.endswith(noun)]
        alike = difflib.get_close_matches(thing, self.nouns, n=4, cutoff=ALIKE)
        return list(dict.fromkeys((*sharing, *kind, *ends, *alike)))[:4]

    def _refusal(self, thing: str) -> str:
        near = self.near(thing)
        offered = (
            f"near ones are {', '.join(near)}" if near else f"some are {', '.join(sorted(self.nouns)[:: max(1, len(self.nouns) // 6)][:6])}"
        )
        return f"'{thing}' is not among the {len(self.nouns)} nouns that can be drawn here; {offered}."

    def single(self, words: str) -> str:
        """The noun that the words name in any number, "" when they name none."""
        return _singular(words, self.nouns)

    def pieces(self, prompt: str) -> list[tuple[str, str]]:
        """(words, kind) in order; kind is noun, word or unknown. Unknown words in a row are one piece."""
        tokens = _WORD.findall(prompt.lower())
        pieces: list[tuple[str, str]] = []
        place = 0
        while place < len(tokens):
            length = next((size for size in range(LONGEST, 0, -1) if self._is_noun(tokens[place : place + size], size)), 0)
            words = " ".join(tokens[place : place + max(1, length)])
            kind = "noun" if length else "word" if words in self.words or words in _SMALL or words.isdigit() else "unknown"
            if kind == "unknown" and pieces and pieces[-1][1] == "unknown":
                pieces[-1] = (f"{pieces[-1][0]} {words}", kind)
            else:
                pieces.append((words, kind))
            place += max(1, length)
        return pieces

    def _is_noun(self, tokens: list[str], size: int) -> bool:
        return len(tokens) == size and self.single(" ".join(tokens)) != ""


def _singulars(words: str) -> tuple[str, ...]:
    """The words as they are and with the ends that a plural may have taken off; "mice" are more than one mouse."""
    ends = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("men", "man"))
    head, _, last = words.rpartition(" ")
    odd = (f"{head} {_ODD[last]}".strip(),) if last in _ODD else ()
    return (words, *odd, *(words.removesuffix(plural) + single for plural, single in ends if words.endswith(plural)))


def _singular(words: str, nouns: Collection[str]) -> str:
    """The noun that the words name, "" when they name none."""
    return min((form for form in _singulars(words) if form in nouns), key=len, default="")


def read_vocabulary(place: str) -> Vocabulary | None:
    """The list in the folder of a pipeline; None where there is none. ModelLoadError when it is broken."""
    path = Path(place) / FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        nouns, words = (frozenset(word.lower() for word in content[key]) for key in ("nouns", "words"))
        grounds = {str(word): str(said) for word, said in content.get("grounds", {}).items()}
        return Vocabulary(nouns, words, frozenset(content.get("paints", ())), grounds)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelLoadError(f"The list of words {path} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
