"""Questions from relations: who does something in a scene and with what, asked where one thing alone fits.

Reads the committed table ``roles.toml`` once. A question fits when the scene's relations name one answer, and no other thing that could be
meant lies near what the question is about; what was not reported counts as well.
"""

import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unified_demo.data.scenes import Scene
from unified_demo.deeds import CARRIERS, HOLDS, RIDES, SEATS, SMALL
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.nouns import definite, is_plural

ROLES_FILE = Path(__file__).with_name("roles.toml")
GROUPS = {"@held": HOLDS, "@ridden": RIDES, "@seats": SEATS, "@carriers": CARRIERS, "@small": SMALL}
PASSIVE = {"riding": "ridden by", "holding": "held by", "wearing": "worn by", "sitting on": "under", "on": "under", "next to": "next to"}
"""A relation's word -> how the second is told by the first: "the horse ridden by the person"."""
NEAR = 0.03
"""Boxes with no wider gap than this share of the picture may have to do with each other."""
Link = tuple[int, str, int]


@dataclass(frozen=True)
class Role:
    """``first`` and ``second``: kinds that ``words`` link; ``also``: other seconds that the question could be about.

    ``ask``: questions that the first answers, ``back``: those that the second answers; both may hold {first} and {second}.
    """

    words: frozenset[str]
    first: frozenset[str]
    second: frozenset[str]
    also: frozenset[str]
    ask: tuple[str, ...]
    back: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A question with its answer: the regions ``targets``, named ``said`` among others; "The <noun>" goes on with ``why``."""

    question: str
    targets: tuple[int, ...]
    said: str
    why: str


@cache
def roles() -> tuple[Role, ...]:
    """The committed table. MediaError when it cannot be read."""
    try:
        return tuple(_role(row) for row in tomllib.loads(ROLES_FILE.read_text("utf-8"))["role"])
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise MediaError(f"The table of roles, {ROLES_FILE}, cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc


def _role(row: dict[str, Any]) -> Role:
    first, second, also = (_kinds(row[name]) for name in ("first", "second", "also"))
    return Role(frozenset(row["words"]), first, second, also, tuple(row["ask"]), tuple(row["back"]))


def _kinds(names: Sequence[str]) -> frozenset[str]:
    return frozenset(kind for name in names for kind in GROUPS.get(name, (name,)))


def ask_about_links(rng: random.Random, scene: Scene) -> Asked | None:
    """A question that one end of one of the scene's relations answers; None when nothing can be asked."""
    found = [(role, link, back) for role in roles() for back in (False, True) if (link := _only_link(role, scene, back))]
    if not found:
        return None
    role, link, back = rng.choice(found)
    fitting = [question for question in (role.back if back else role.ask) if _names_fit(question, scene, link)]
    return _asked(rng.choice(fitting), scene, link, back) if fitting else None


def _asked(question: str, scene: Scene, link: Link, back: bool) -> Asked:
    first, word, second = link
    names = [scene.regions[index].label for index in (first, second)]
    target = second if back else first
    why = f"{PASSIVE[word] if back else word} {definite(names[not back], 1)}"
    be = "are" if is_plural(names[back]) else "is"
    return Asked(question.format(first=names[0], second=names[1]), (target,), f"{definite(names[back], 1)} {why}", f"{be} {why}")


def _only_link(role: Role, scene: Scene, back: bool) -> Link | None:
    """The link that the role's questions are about, when nothing but one of its ends can be the answer."""
    about = role.second | role.also
    label = {index: scene.regions[index].label for index in scene.things}
    alike = [link for link in scene.links if link[1] in role.words and label[link[2]] in about]
    fitting = [link for link in alike if label[link[0]] in role.first and label[link[2]] in role.second]
    end = 2 if back else 0
    if not (role.back if back else role.ask) or not fitting or len({link[end] for link in alike}) != 1:
        return None
    answer = fitting[0][end]
    there: list[tuple[int, str, Box]] = [(index, name, scene.regions[index].box) for index, name in label.items()]
    there += [(-1, name, box) for name, box in scene.unseen]
    answers, anchors = (about, role.first) if back else (role.first, about)
    rivals = [(index, box) for index, name, box in there if name in answers and index != answer]
    others = [(index, box) for index, name, box in there if name in anchors and index != answer]
    if any(near(box, other) for index, box in rivals for number, other in others if number != index or index < 0):
        return None
    return fitting[0]


def _names_fit(question: str, scene: Scene, link: Link) -> bool:
    """What the question calls by its name is the only one of that name, reported or not."""
    there = [scene.regions[index].label for index in scene.things] + [name for name, _ in scene.unseen]
    named = [scene.regions[link[0] if slot == "first" else link[2]].label for slot in re.findall(r"\{(\w+)\}", question)]
    return all(there.count(name) == 1 and not is_plural(name) for name in named)


def near(first: Box, second: Box) -> bool:
    """Whether two boxes touch or nearly do."""
    gap_x = max(first.x0, second.x0) - min(first.x1, second.x1)
    gap_y = max(first.y0, second.y0) - min(first.y1, second.y1)
    return max(gap_x, gap_y) <= NEAR
