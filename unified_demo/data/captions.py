"""What a picture shows, in one sentence: a relation that is known, then the largest groups of things, each with its boxes."""

import random
from collections.abc import Callable, Sequence, Set
from dataclasses import replace

from unified_demo.data.scenes import Scene
from unified_demo.data.wordings import words
from unified_demo.messages import Part, RegionPart, TextPart
from unified_demo.nouns import GROUP, article, countable, in_number
from unified_demo.regions import SURE, shirt_colour

NOTHING = "I cannot make out any object I know here."


def caption(scene: Scene, region: Callable[[str, tuple[int, ...]], RegionPart], rng: random.Random) -> tuple[Part, ...]:
    """Up to four groups, or a relation and two groups; ``region`` makes a part of a phrase and the regions it speaks of."""
    groups = _groups(scene)
    if not groups:
        return (TextPart(NOTHING),)

    def some(same: tuple[int, ...], told: Set[int] = frozenset()) -> RegionPart:
        return region(_in_words(scene, same, told), same[:GROUP])

    links = [link for link in scene.links if link[1] != "next to"]
    parts: list[Part] = []
    told: set[int] = set()
    if links and rng.random() < 0.8:
        first, word, second = links[0]
        parts += [some((first,)), TextPart(f" {word} "), some((second,))]
        told = {first, second}
    untold = [tuple(index for index in same if index not in told) for same in groups]
    others = [some(same, told) for same in untold if same][: 2 if told else 4]
    joint = [TextPart(", " if len(others) > 1 else " and ")] if told and others else []
    parts += [*joint, *listed(others), TextPart(".")]
    head = parts[0]
    assert isinstance(head, RegionPart)
    return (replace(head, phrase=head.phrase[:1].upper() + head.phrase[1:]), *parts[1:])


def listed(parts: Sequence[Part]) -> list[Part]:
    """``a``, ``b`` and ``c``, with the words between."""
    joined: list[Part] = []
    for place, part in enumerate(parts):
        if place:
            joined.append(TextPart(" and " if place == len(parts) - 1 else ", "))
        joined.append(part)
    return joined


def _groups(scene: Scene) -> list[tuple[int, ...]]:
    """Things of one name, the largest first; a photo of which only the name is known is one group."""
    by_name: dict[str, list[int]] = {}
    for index in scene.things or tuple(scene.names):
        by_name.setdefault(_name(scene, index), []).append(index)
    return sorted(map(tuple, by_name.values()), key=lambda same: -max(scene.regions[index].box.area for index in same))


def _name(scene: Scene, index: int) -> str:
    """The fine name where that is an everyday one ("starfish", not "golden delicious") or the detector is not sure."""
    region, name = scene.regions[index], scene.names.get(index, "")
    return name if name in words()["pictures"]["everyday"] or (name and (region.score < SURE or not index)) else region.label


def _in_words(scene: Scene, same: tuple[int, ...], told: Set[int]) -> str:
    """ "a dog", "two dogs", "a group of dogs"; "another dog" when one of its kind was ``told`` of; a person has a shirt."""
    name = _name(scene, same[0])
    if len(same) == 1 and countable(name) and any(_name(scene, index) == name for index in told):
        return f"another {name}"
    return in_number(name, len(same)) + (_shirt(scene, same[0]) if len(same) == 1 and name == "person" else "")


def _shirt(scene: Scene, index: int) -> str:
    colour = shirt_colour(scene.regions[index])
    return f" in {article(colour)} shirt" if colour else ""
