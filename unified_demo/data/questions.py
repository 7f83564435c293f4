"""Questions that do not name what they mean, by the noun that answers them: ``questions.toml``, and ``purposes.toml`` of the detector's
kinds.

``reasons.toml``, whose questions the composed benchmark asks, is not learnt from; nothing here asks for a held-out noun.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from unified_demo.data.reasons import PURPOSES_FILE, facts
from unified_demo.data.split import part_of_noun
from unified_demo.errors import MediaError

QUESTIONS_FILE = Path(__file__).with_name("questions.toml")


@dataclass(frozen=True)
class Asked:
    """``also``: other nouns that would answer it."""

    noun: str
    question: str
    also: frozenset[str]


def asked_questions(table: Path = QUESTIONS_FILE, purposes: Path = PURPOSES_FILE) -> tuple[Asked, ...]:
    """All of both tables. MediaError when one cannot be read."""
    try:
        rows = tomllib.loads(table.read_text("utf-8"))
        found = [Asked(noun, question, frozenset(also)) for noun, asked in rows.items() for question, also in asked.items()]
    except (OSError, tomllib.TOMLDecodeError, AttributeError, TypeError) as exc:
        raise MediaError(f"The table of questions, {table}, cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
    for fact in facts(purposes):
        found += [Asked(noun, question, (fact.nouns | fact.also) - {noun}) for noun in sorted(fact.nouns) for question in fact.ask]
    return tuple(asked for asked in found if part_of_noun(asked.noun) == "train")
