"""The table of edits that the small editor knows (drawn_edits.toml), and which of them an instruction asks for. It changes no picture."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("drawn_edits.toml")
KINDS = ("style", "ground", "paint")
"""In the order in which a prompt of the editor names them."""
_GLUE = re.compile(r"\bthe\b|[^\w\s-]")


@dataclass(frozen=True)
class DrawnEdit:
    """One row: ``name`` is what the editor's text encoder reads, ``title`` what people read."""

    name: str
    kind: str
    words: tuple[str, ...]
    title: str = ""

    @property
    def shown(self) -> str:
        return self.title or self.name


@cache
def drawn_edits() -> dict[str, DrawnEdit]:
    """The table by name."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["edit"]
    return {row["name"]: DrawnEdit(**{**row, "words": tuple(row["words"])}) for row in rows}


def find_drawn_edits(instruction: str) -> tuple[DrawnEdit, ...]:
    """What the instruction asks for, at most one of each kind, in the order of KINDS.

    A word inside a longer one that was found does not count: "a blue background" paints nothing.
    """
    chosen: dict[str, DrawnEdit] = {}
    for _, edit in _named(instruction):
        chosen.setdefault(edit.kind, edit)
    return tuple(chosen[kind] for kind in KINDS if kind in chosen)


def longest_edit_word(instruction: str) -> int:
    """Letters of the longest word of the table that occurs; 0 when none does."""
    return max((letters for letters, _ in _named(instruction)), default=0)


def _named(instruction: str) -> list[tuple[int, DrawnEdit]]:
    """(letters, edit) of the words that occur and do not lie in a longer one, the longest first."""
    said = _bare(instruction)
    places = [
        (found.start(), found.end(), edit)
        for edit in drawn_edits().values()
        for word in {edit.name, *edit.words}
        for found in re.finditer(rf"(?<![\w-]){re.escape(_bare(word))}(?![\w-])", said)
    ]
    taken: list[tuple[int, int]] = []
    named: list[tuple[int, DrawnEdit]] = []
    for start, end, edit in sorted(places, key=lambda place: (place[0] - place[1], place[0])):
        if not any(start < last and first < end for first, last in taken):
            taken.append((start, end))
            named.append((end - start, edit))
    return named


def _bare(words: str) -> str:
    return " ".join(_GLUE.sub(" ", words.lower()).split())


def editor_prompt(edits: tuple[DrawnEdit, ...]) -> str:
    """What the editor's text encoder reads: "flat, night"."""
    return ", ".join(edit.name for edit in edits)
