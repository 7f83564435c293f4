"""What training never sees: nouns, relation words and phrasing templates named once in ``split.toml``.

Generalisation is measured on held-out *objects*, not only on new scenes of known ones. Everything not named there is for training.
It decides nothing by chance and knows nothing of pictures.
"""

import hashlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, cast

from unified_demo.errors import MediaError

SPLIT_FILE = Path(__file__).with_name("split.toml")
Part = Literal["train", "held_out"]
PARTS: tuple[Part, ...] = ("train", "held_out")
HELD_OUT_BACKGROUNDS = 10
"""One background photo in so many is held out, by the hash of its name."""


def held_out_objects() -> frozenset[str]:
    """Nouns no training plan contains, in lower case, singular."""
    return _read(SPLIT_FILE)["objects"]


def never_seen_objects() -> frozenset[str]:
    """Held-out nouns that training meets nowhere at all, not even as a label of the detector or a class of photographs."""
    return _read(SPLIT_FILE)["objects"] - _read(SPLIT_FILE)["seen_elsewhere"]


def held_out_relations() -> frozenset[str]:
    """Relation words (of ``plans.RELATIONS``) no training plan links two things with."""
    return _read(SPLIT_FILE)["relations"]


def held_out_templates() -> frozenset[str]:
    """Ids ``<task>.<n>`` of phrasings no training conversation uses."""
    return _read(SPLIT_FILE)["templates"]


def part_of_noun(noun: str) -> Part:
    """The head counts: a "red toy fire truck" is held out when "fire truck" is, a "baseball glove" when "gloves" are."""
    held = held_out_objects()
    words = noun.lower().split()
    heads = [" ".join(words[start:]) for start in range(len(words))]
    return "held_out" if any(head in held or f"{head}s" in held for head in heads) else "train"


def part_of_background(key: str) -> Part:
    """Background photos are split by the hash of their name, about one in ten held out."""
    digest = hashlib.sha256(key.encode()).digest()
    return "held_out" if digest[0] % HELD_OUT_BACKGROUNDS == 0 else "train"


@cache
def _read(path: Path) -> dict[str, frozenset[str]]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        return {name: frozenset(cast(list[str], content[name])) for name in ("objects", "seen_elsewhere", "relations", "templates")}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise MediaError(
            f"The list of what is held out, {path}, cannot be read ({exc}); restore it, for example with 'git checkout'."
        ) from exc
