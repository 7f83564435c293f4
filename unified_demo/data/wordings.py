"""The committed phrasings and slot words, read once: how people ask for each task, and what they ask for.

A phrasing has an id ``<task>.<n>``, kinds (the headings it stands under: an operation and a manner) and slots in braces.
It fills slots; what goes into them is decided in ``requests`` and its neighbours.
"""

import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from unified_demo.data.split import held_out_objects, held_out_templates
from unified_demo.errors import UnifiedError
from unified_demo.nouns import article, countable, said

FOLDER = Path(__file__).with_name("phrasings")
BARE = 0.35
"""Share of the training prompts for pictures that are a noun and little else; held-out prompts stay what they were."""
MANNERS = ("direct", "polite", "indirect", "terse", "misspelt")
SubSet = Literal["train", "held_out", "all"]

_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
_ARTICLES = re.compile(r"^(?:the|a|an|that) ")


@dataclass(frozen=True)
class Phrasing:
    """One way to ask. ``operation`` is empty where a task has one; ``slots`` are the names in braces."""

    id: str
    task: str
    operation: str
    manner: str
    text: str
    slots: frozenset[str]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with its slots filled; ``{name:bare}`` drops a leading article. UnifiedError when a value is missing."""

        def put(found: re.Match[str]) -> str:
            name, form = found.groups()
            if name not in values:
                raise UnifiedError(f"The phrasing {self.id} needs a value for {{{name}}}; give one of that name.")
            return _ARTICLES.sub("", values[name]) if form == "bare" else values[name]

        return _SLOT.sub(put, self.text)


@cache
def phrasings(task: str) -> tuple[Phrasing, ...]:
    """All phrasings of a task in the order of their file. UnifiedError for a task without a file."""
    path = FOLDER / f"{task}.toml"
    if not path.is_file():
        raise UnifiedError(f"There are no phrasings for '{task}'; there are some for {', '.join(tasks())}.")
    found: list[Phrasing] = []
    for heading, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
        if heading in MANNERS:
            found += _read(task, "", heading, table)
        else:
            for manner, texts in table.items():
                found += _read(task, heading, manner, texts)
    return tuple(found)


def _read(task: str, operation: str, manner: str, texts: Mapping[str, str]) -> list[Phrasing]:
    return [
        Phrasing(f"{task}.{number}", task, operation, manner, text, frozenset(name for name, _ in _SLOT.findall(text)))
        for number, text in texts.items()
    ]


def template_text(name: str) -> str:
    """The words of a phrasing by its id, without its slots; empty for an id that no file has."""
    task = name.split(".")[0]
    found = [phrasing.text for phrasing in (phrasings(task) if task in tasks() else ()) if phrasing.id == name]
    return _SLOT.sub(" ", found[0]) if found else ""


@cache
def tasks() -> tuple[str, ...]:
    """Every task that has phrasings."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem not in ("words", "chat")))


@cache
def words() -> dict[str, Any]:
    """The slot vocabularies by heading."""
    return tomllib.loads((FOLDER / "words.toml").read_text(encoding="utf-8"))


@cache
def offered(task: str, operation: str = "", part: SubSet = "train") -> tuple[Phrasing, ...]:
    """The phrasings of one operation that ``part`` may use; held-out ids never appear in "train"."""
    hidden = held_out_templates()
    return tuple(
        phrasing
        for phrasing in phrasings(task)
        if phrasing.operation == operation and (part == "all" or (phrasing.id in hidden) == (part == "held_out"))
    )


def choose(
    rng: random.Random, task: str, operation: str, part: SubSet, lacking: frozenset[str] = frozenset(), manner: str = ""
) -> Phrasing:
    """A phrasing without any slot of ``lacking``, of one ``manner`` if given. UnifiedError when there is none.

    "held_out" falls back on all where nothing held out fits; "train" never falls back.
    """
    sources: tuple[SubSet, ...] = ("held_out", "all") if part == "held_out" else (part,)
    for source in sources:
        fitting = [
            phrasing
            for phrasing in offered(task, operation, source)
            if not phrasing.slots & lacking and (not manner or phrasing.manner == manner)
        ]
        if fitting:
            return rng.choice(fitting)
    raise UnifiedError(f"No phrasing of {task} {operation} for {part} does without {sorted(lacking)}; add one to {task}.toml.")


# ---- slot words ----


@cache
def entries(heading: str, name: str, part: SubSet = "train") -> tuple[str, ...]:
    """One list of slot words; for "train" without those that name a held-out object."""
    everything: list[str] = words()[heading][name]
    if part != "train":
        return tuple(everything)
    hidden = re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(held_out_objects()))) + r")s?\b") if held_out_objects() else None
    return tuple(entry for entry in everything if not (hidden and hidden.search(entry)))


@dataclass(frozen=True)
class Change:
    """A change of a whole picture or clip: ``call`` is what the expert is told, the others are ways to say it."""

    call: str
    group: str
    do: str
    state: str
    noun: str


def draw_change(rng: random.Random, group: str | None = None) -> Change:
    rows = [row for row in words()["change"] if group in (None, row["group"])]
    row = rng.choice(rows)
    return Change(row["call"], row["group"], *(rng.choice(row[form]) for form in ("do", "state", "noun")))


def draw_prompt(rng: random.Random, part: SubSet = "train") -> str:
    """A prompt for a picture: who, how, doing what, where, when and in which style, most of it optional."""
    if part == "train" and rng.random() < BARE:
        return draw_bare_prompt(rng, part)
    kind = rng.choice(["creature", "creature", "people", "thing", "thing", "view"])
    nouns = entries("pictures", {"creature": "creatures", "people": "people", "thing": "things", "view": "views"}[kind], part)
    noun = rng.choice(nouns)
    if rng.random() < 0.45:
        look = rng.choice(entries("pictures", f"{kind}_looks", part))
        noun = noun if look in noun.split() else f"{look} {noun}"
    pieces = [article(noun)]
    if kind in ("creature", "people") and rng.random() < 0.45:
        pieces.append(rng.choice(entries("pictures", f"{kind}_acts", part)))
    if kind != "view" and rng.random() < 0.5:
        pieces.append(rng.choice(entries("pictures", "settings", part)))
    if rng.random() < 0.2:
        pieces.append(rng.choice(entries("pictures", "times", part)))
    prompt = " ".join(pieces)
    return f"{prompt}, {rng.choice(entries('pictures', 'styles', part))}" if rng.random() < 0.3 else prompt


def draw_bare_prompt(rng: random.Random, part: SubSet = "train") -> str:
    """Something of every day and little else: "a comb", "two green pears", "some soup on a table"."""
    noun = rng.choice(entries("pictures", "everyday", part))
    count = rng.choice((2, 2, 3, 4)) if countable(noun) and rng.random() < 0.15 else 1
    prompt = said(noun, count, rng.choice(entries("pictures", "thing_looks", part)) if rng.random() < 0.25 else "")
    return f"{prompt} {rng.choice(entries('pictures', 'settings', part))}" if rng.random() < 0.15 else prompt


def draw_film(rng: random.Random, part: SubSet = "train") -> str:
    """A prompt for a video: what moves and, sometimes, how it is filmed; or somebody of the pictures who acts."""
    if rng.random() < 0.3:
        kind = rng.choice(["creature", "people"])
        noun = rng.choice(entries("pictures", "creatures" if kind == "creature" else "people", part))
        prompt = f"{article(noun)} {rng.choice(entries('pictures', f'{kind}_acts', part))}"
        return f"{prompt} {rng.choice(entries('pictures', 'settings', part))}" if rng.random() < 0.4 else prompt
    prompt = rng.choice(entries("videos", "acts", part))
    return f"{prompt} {rng.choice(entries('videos', 'manners', part))}" if rng.random() < 0.3 else prompt


def draw_sound(rng: random.Random, part: SubSet = "train") -> str:
    """A sound to make: one sound, sometimes in a place, sometimes two at once."""
    names = entries("sounds", "names", part)
    sound, roll = rng.choice(names), rng.random()
    if roll < 0.15:
        return f"{sound} {rng.choice(entries('sounds', 'scenes', part))}"
    if roll < 0.25:
        return f"{sound} and {rng.choice([name for name in names if name != sound])}"
    return sound


def draw_content(rng: random.Random, part: SubSet = "train") -> str:
    """Something new for a region, with its article."""
    return article(rng.choice(entries("content", "nouns", part)))
