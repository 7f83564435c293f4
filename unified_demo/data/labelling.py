"""Words for a composed picture: captions, a prompt that would make it, an expression for some of its things.

Everything said is read off the plan and off what is visible. It draws nothing; questions that need knowledge are in ``reasons``.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unified_demo.data.catalogue import Catalogue
from unified_demo.data.expressions import Describer, Expression
from unified_demo.data.plans import ScenePlan, plan_to_scene
from unified_demo.grammar import Box
from unified_demo.nouns import countable, definite, listed, said

PLACES = {
    "meadow": "in a meadow", "street": "on a street", "room": "in a room", "table": "on a table top", "beach": "on a beach",
    "plain": "on a plain background", "dots": "on a dotted background", "stripes": "on a striped background", "dusk": "at dusk",
}  # fmt: skip
"""Kind of drawn background -> words; photographs are not named."""
RELATION_WORDS = {"left of": "to the left of", "right of": "to the right of"}
GUESSES = ("hint", "kind", "synonym")
"""Kinds of expressions that rest on other knowledge than the catalogue's."""
DRAWS = 30


@dataclass(frozen=True)
class Group:
    """Things of one noun: ``indices`` of the plan's objects, ``area``: their share of the picture.

    ``colour``: when all share it and such things come in any colour; nobody speaks of a brown monkey.
    """

    noun: str
    indices: tuple[int, ...]
    colour: str
    area: float

    def said(self, coloured: bool) -> str:
        return said(self.noun, len(self.indices), self.colour if coloured else "")


def groups_of(plan: ScenePlan, catalogue: Catalogue) -> list[Group]:
    """Groups by noun, the largest first."""
    found: dict[str, list[int]] = {}
    for index, item in enumerate(plan.objects):
        found.setdefault(item.noun, []).append(index)
    groups = []
    for noun, indices in found.items():
        colours = {plan.objects[index].colour if _comes_in_colours(plan, index, catalogue) else "" for index in indices}
        area = sum(plan.objects[index].box.area for index in indices)
        groups.append(Group(noun, tuple(indices), colours.pop() if len(colours) == 1 else "", area))
    return sorted(groups, key=lambda group: -group.area)


def _comes_in_colours(plan: ScenePlan, index: int, catalogue: Catalogue) -> bool:
    return catalogue.by_key[plan.objects[index].cutout].paint


def can_be_counted(plan: ScenePlan) -> bool:
    """No two heaps of bread, no two pairs of gloves: their number could not be said."""
    counts = Counter(item.noun for item in plan.objects)
    return all(count == 1 or countable(noun) for noun, count in counts.items())


def captions(plan: ScenePlan, catalogue: Catalogue) -> tuple[str, ...]:
    """Three or four sentences about the same picture, different in what they lead with."""
    groups = groups_of(plan, catalogue)
    plain, coloured = [group.said(False) for group in groups], [group.said(True) for group in groups]
    verb = "is" if len(groups[0].indices) == 1 and groups[0].said(False).startswith(("a ", "an ", "some ")) else "are"
    sentences = [_placed(listed(plain), plan), f"there {verb} {listed(coloured)}"]
    if len(groups) > 1:
        sentences.append(_placed(f"{coloured[0]} with {listed(plain[1:])}", plan))
    if relation := _relation(plan, groups, definite_words=False):
        sentences.append(_placed(relation, plan))
    if len(sentences) < 3:
        sentences.append(_placed(f"a picture of {coloured[0]}", plan))
    return tuple(f"{sentence[0].upper()}{sentence[1:]}." for sentence in dict.fromkeys(sentences))


def generation_prompt(plan: ScenePlan, catalogue: Catalogue, rng: random.Random) -> str:
    """What one would type to get such a picture: things, colours, place and, where it can be said shortly, who is where."""
    groups = groups_of(plan, catalogue)
    text = _placed(listed([group.said(True) for group in groups]), plan)
    lead = rng.choice(["", "", "a picture of ", "an illustration of "])
    relation = _relation(plan, groups, definite_words=True)
    return lead + text + (f", {relation}" if relation else "")


def _placed(text: str, plan: ScenePlan) -> str:
    place = PLACES.get(plan.background.removeprefix("drawn:"), "") if plan.background.startswith("drawn:") else ""
    return f"{text} {place}".strip()


def _relation(plan: ScenePlan, groups: Sequence[Group], definite_words: bool) -> str:
    """The first link between two things that are each alone of their kind, in words; "" when there is none."""
    alone = {group.indices[0]: group for group in groups if len(group.indices) == 1}
    for first, word, second in plan.links:
        if word != "between" and first in alone and second in alone:
            one, other = (definite(alone[i].noun, 1) if definite_words else alone[i].said(True) for i in (first, second))
            return f"{one} {RELATION_WORDS.get(word, word)} {other}"
    return ""


class PlainDescriber(Describer):
    """A describer that calls things by the catalogue's nouns alone: other names of the detector's labels would be guesses here."""

    def noun(self, label: str) -> str:
        return label


def refer(plan: ScenePlan, visible: Sequence[Box], catalogue: Catalogue, rng: random.Random) -> tuple[Expression, tuple[int, ...]] | None:
    """An expression by place, order, size, colour, relation or number and the indices of the plan's objects it means.

    All kinds that are possible are equally likely; a bare name is the last resort, None when not even that fits.
    ``visible``: for each object the box around its visible pixels; the words are checked against these.
    """
    seen = replace(plan, objects=tuple(replace(item, box=box) for item, box in zip(plan.objects, visible, strict=True)))
    scene = plan_to_scene(seen, catalogue)
    place = {id(item.box): index for index, item in enumerate(seen.objects)}
    describer = PlainDescriber(scene, rng)
    by_kind: dict[str, list[tuple[Expression, tuple[int, ...]]]] = {}
    for _ in range(DRAWS):
        expression = describer.any()
        if expression is None or expression.kind in GUESSES:
            continue
        targets = tuple(place[id(scene.regions[index].box)] for index in expression.targets)
        if not _can_be_said(expression, plan, targets, catalogue):
            continue
        expression = replace(expression, asked=expression.asked)
        by_kind.setdefault(expression.kind, []).append((expression, targets))
    kinds = [kind for kind in by_kind if kind != "name"] or list(by_kind)
    return rng.choice(by_kind[rng.choice(kinds)]) if kinds else None


def _can_be_said(expression: Expression, plan: ScenePlan, targets: tuple[int, ...], catalogue: Catalogue) -> bool:
    """Colours only of what comes in any colour, no "thing" where a person is meant, several only of what one can count."""
    if expression.kind == "colour" and not all(_comes_in_colours(plan, index, catalogue) for index in targets):
        return False
    nouns = {plan.objects[index].noun for index in targets}
    persons = any(plan.objects[index].category == "person" for index in targets)
    if persons and any(f" {word}" in expression.asked for word in ("thing", "object", "item")):
        return False
    return len(targets) == 1 or all(countable(noun) for noun in nouns)
