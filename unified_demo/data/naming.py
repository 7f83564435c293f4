"""Names of fetched cut-outs: from an emoji's label, a model's title or a stamp's caption to noun, category and usual size.

The rules are few, the exceptions stand in ``things.toml``. Whoever is not named there by hand or by rule is left out (None).
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

THINGS_FILE = Path(__file__).with_name("things.toml")
_GENDER = re.compile(r"^(man|woman|men|women)(?:: | )(.+)$")
_PERSON = re.compile(r"^(person|man|woman|child|boy|girl|baby): ")
_CAPTION = re.compile(r"^(?:the |an? |some |one )?(?:pair of )?(?P<words>[^.!?:—]+?)(?: \(.*\))?[.!]?$", re.IGNORECASE)
_ADJECTIVES = frozenset(
    ["black", "white", "gray", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "silver", "golden", "young",
     "colorful", "small", "little", "sweet", "baby", "large", "spiny", "freshwater", "crash"]
)  # fmt: skip
_QUOTED = re.compile(r"[“\"][^”\"]*[”\"] ")


@dataclass(frozen=True)
class Name:
    """What a cut-out shows. ``size_m``: longer side of such a thing; ``paint``: comes in any colour."""

    noun: str
    category: str
    size_m: float
    paint: bool


@cache
def things() -> dict[str, Any]:
    """The committed table."""
    return tomllib.loads(THINGS_FILE.read_text("utf-8"))


def name_of_emoji(label: str, subgroup: str) -> Name | None:
    """An emoji of emojibase-data by its English label and subgroup."""
    table = things()["emoji"]
    category = table["subgroups"].get(subgroup)
    if category is None:
        return None
    names: dict[str, str] = table["names"]
    noun = names.get(label)
    if noun is None and category == "person":
        noun = _name_of_person(label, names)
    if noun is None and "o’clock" not in label and "-thirty" not in label:
        noun = label.removesuffix(" face") if category in ("animal", "bird") else label
    return _named(noun, table["categories"], category)


def _name_of_person(label: str, names: dict[str, str]) -> str:
    """ "man farmer" is a farmer, "woman running" whatever "person running" is, "woman: beard" a woman."""
    if found := _PERSON.match(label):
        return found[1]
    if not (found := _GENDER.match(label)):
        return label
    kind, rest = found[1], found[2]
    shared = names.get(f"person {rest}", names.get(rest))
    if (mine := names.get(label)) is not None:
        return mine
    if shared in (None, "person"):
        return kind if shared or rest.split()[0] in ("in", "with", "wearing") else rest
    return str(shared)


def name_of_furniture(title: str, section: str) -> Name | None:
    """A model of the furniture libraries by its English title and the library's section."""
    table = things()["furniture"]
    category = table["sections"].get(section)
    noun = table["names"].get(title)
    if category is None or (noun is None and _dropped(title.lower())):
        return None
    return _named(title.lower() if noun is None else noun, table["categories"], category)


def _dropped(title: str) -> bool:
    return any(re.search(rf"\b{re.escape(piece)}\b", title) for piece in things()["furniture"]["drop"])


def name_of_stamp(folder: str, caption: str) -> Name | None:
    """A stamp by its folder below the stamps and its English caption; captions that are sentences name nothing."""
    table = things()["stamps"]
    parents = ["/".join(folder.split("/")[:depth]) for depth in range(folder.count("/") + 1, 0, -1)]
    category = next((table["folders"][parent] for parent in parents if parent in table["folders"]), None)
    found = _CAPTION.match(_QUOTED.sub("", caption.strip()))
    if category is None or found is None or "cartoon" in folder:
        return None
    words = found["words"].lower().replace("“", "").replace("”", "").split(", ")[0].split()
    for start in range(len(words)):
        noun = table["names"].get(" ".join(words[start:]))
        if noun is not None:
            return _named(noun, table["categories"], category)
    while len(words) > 1 and words[0] in _ADJECTIVES and words[-1] != "orange":
        words = words[1:]
    if len(words) > 2 or not words or words[0] in ("two", "eat", "its", "it's"):
        return None
    return _named(" ".join(words), table["categories"], category)


def named(noun: str, category: str) -> Name:
    """Size and paint of a noun that is already known."""
    size, paint = things()["category"][category]
    return Name(noun, category, things()["size"].get(noun, size), paint and noun not in things()["fixed"]["nouns"])


def _named(noun: str | None, exceptions: dict[str, str], category: str) -> Name | None:
    """One noun has one category, whatever the source; None for the nouns "" and None."""
    if not noun:
        return None
    return named(noun, things()["categories"].get(noun, exceptions.get(noun, category)))
