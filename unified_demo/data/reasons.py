"""Reasoning questions: what things are for and known for, asked without naming them, where one kind of thing alone fits.

Reads the committed tables once: ``reasons.toml`` speaks of the catalogue's nouns, ``purposes.toml`` of a detector's. Whether the
answer is visible and how it is outlined is the business of ``mmud``.
"""

import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unified_demo.errors import MediaError

REASONS_FILE = Path(__file__).with_name("reasons.toml")
PURPOSES_FILE = Path(__file__).with_name("purposes.toml")
Named = tuple[str, str]
"""(noun, category) of a thing in a picture."""


@dataclass(frozen=True)
class Fact:
    """``ask``: questions; ``why`` goes on after the noun; ``nouns``: what it is true of.

    ``also``: nouns and "@categories" one could argue for.
    """

    ask: tuple[str, ...]
    why: str
    nouns: frozenset[str]
    also: frozenset[str]

    def arguable(self, thing: Named) -> bool:
        """Things one could argue for, and things that only bear the name ("carousel horse" for a horse)."""
        noun, category = thing
        if noun in self.nouns:
            return False
        return noun in self.also or f"@{category}" in self.also or any(noun.endswith(f" {name}") for name in self.nouns)

    def answer(self, things: Sequence[Named]) -> str | None:
        """The one noun among ``things`` that answers the question; None when none does, several do, or another could be argued for."""
        found = {noun for noun, _ in things if noun in self.nouns}
        if len(found) != 1 or any(self.arguable(thing) for thing in things):
            return None
        return next(iter(found))


@cache
def facts(table: Path = REASONS_FILE) -> tuple[Fact, ...]:
    """A committed table. MediaError when it cannot be read."""
    try:
        rows = tomllib.loads(table.read_text("utf-8"))["fact"]
        return tuple(Fact(tuple(row["ask"]), row["why"], frozenset(row["nouns"]), frozenset(row["also"])) for row in rows)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise MediaError(f"The table of reasons, {table}, cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc


def known_nouns() -> frozenset[str]:
    """Nouns that some question asks for."""
    return frozenset(noun for fact in facts() for noun in fact.nouns)


def reason_about(rng: random.Random, things: Sequence[Named], wanted: str = "", table: Path = REASONS_FILE) -> tuple[Fact, str] | None:
    """A fact with its answer among ``things``, about ``wanted`` when that noun is given; None when nothing can be asked."""
    fitting = [(fact, noun) for fact in facts(table) if (noun := fact.answer(things)) and wanted in ("", noun)]
    return rng.choice(fitting) if fitting else None
