"""Referring expressions for a scene: words that single out one or several regions, with what the answer should call them.

Kinds: name, synonym, wider class, hint without a name, place, order, size, colour, relation. Every expression is checked to fit
exactly its target among the things of the scene. It makes phrases, not questions; see ``dialogues``.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from unified_demo.data.knowledge import knowledge
from unified_demo.data.scenes import Scene
from unified_demo.nouns import NUMBERS, article, plural
from unified_demo.regions import COLOURS, Region


@dataclass(frozen=True)
class Expression:
    """``asked``: the user's words without article choice; ``said``: how the answer names it; ``targets``: region indices."""

    asked: str
    said: str
    targets: tuple[int, ...]
    kind: str


LEFT = (
    "left {n}", "{n} on the left", "leftmost {n}", "{n} to the left", "{n} on the left side", "{n} furthest left", "{n} at the left",
    "left-hand {n}",
)  # fmt: skip
RIGHT = (
    "right {n}", "{n} on the right", "rightmost {n}", "{n} to the right", "{n} on the right side", "{n} furthest right",
    "{n} at the right", "right-hand {n}",
)  # fmt: skip
TOP = ("top {n}", "upper {n}", "{n} at the top", "highest {n}", "topmost {n}")
BOTTOM = ("bottom {n}", "lower {n}", "{n} at the bottom", "lowest {n}")
MIDDLE = ("middle {n}", "{n} in the middle", "central {n}", "{n} in the centre", "{n} in between the others")
LARGE = (
    "largest {n}", "biggest {n}", "big {n}", "{n} closest to us", "nearest {n}", "{n} in front", "closest {n}", "{n} in the foreground",
    "bigger {n}", "large {n}",
)  # fmt: skip
SMALL = (
    "smallest {n}", "little {n}", "{n} farthest away", "tiny {n}", "{n} in the background", "{n} in the back", "small {n}",
    "most distant {n}",
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth")
CLAUSE_STARTS = (
    "you ", "they ", "water ", "firefighters ", "soup ", "rabbits ", "kids ", "monkeys ", "children ", "dogs ", "the ", "a ", "things ",
)  # fmt: skip
"""A hint that begins so is a clause of its own: "the thing that you sit on"."""


LINKED = {
    "riding": ("riding", "on", "who is riding", "on top of"),
    "holding": ("holding", "with", "carrying", "who holds", "using", "who has", "who is using"),
    "wearing": ("wearing", "with", "who has"),
    "sitting on": ("sitting on", "on", "that is on", "resting on"),
    "on": ("on", "on top of", "standing on", "lying on"),
    "next to": ("next to", "beside", "by", "near", "close to"),
}
"""A link's word -> how the first of the two is told by the second."""
LINKED_BACK = {
    "riding": (
        ("the {n} {w} is riding", "the {n} {w} is on", "the {n} ridden by {w}", "the {n} under {w}", "the {n} with {a} on it"),
        ("what {w} is riding", "the one {w} is riding", "the thing {w} is on"),
        "{w} is riding",
    ),
    "holding": (
        ("the {n} held by {w}", "the {n} {w} is holding", "the {n} {w} is using", "the {n} {w} is carrying", "the {n} in the hand of {w}"),
        ("what {w} is holding", "the one {w} is holding", "the thing {w} is holding", "what {w} is carrying", "the thing {w} is using"),
        "held by {w}",
    ),
    "wearing": (("the {n} on {w}", "the {n} {w} is wearing"), ("what {w} is wearing", "the thing {w} is wearing"), "on {w}"),
    "sitting on": (
        ("the {n} under {w}", "the {n} {w} is sitting on", "the {n} with {a} on it"),
        ("what {w} is sitting on", "the thing under {w}", "the thing {w} is sitting on"),
        "under {w}",
    ),
    "on": (
        ("the {n} under {w}", "the {n} with {a} on it", "the {n} with {a} on top of it", "the {n} {w} is on"),
        ("the thing with {a} on it", "what {w} is standing on", "the thing under {w}"),
        "under {w}",
    ),
}
"""A link's word -> how the second is told by the first: with its name, without it, and how the answer says it."""


class Describer:
    """Expressions for one scene; ``rng`` decides the wording."""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self.scene, self.rng = scene, rng
        self.by_label: dict[str, list[int]] = {}
        for index in scene.things:
            self.by_label.setdefault(scene.regions[index].label, []).append(index)

    def region(self, index: int) -> Region:
        return self.scene.regions[index]

    def noun(self, label: str) -> str:
        """The label or, one time in three, another name for it that fits no other kind of thing in the scene."""
        taken = {name for other in self.by_label if other != label for name in _called(other)}
        names = [name for name in knowledge().get(label, {}).get("names", []) if name not in taken]
        return self.rng.choice(names) if names and self.rng.random() < 0.35 else label

    def any(self) -> Expression | None:
        """A random expression; None when the scene has nothing to talk about."""
        if not self.scene.things:
            return None
        makers: list[Callable[[int], Expression | None]] = [
            self.by_name, self.by_name, self.by_place, self.by_place, self.by_place, self.by_colour, self.by_colour, self.by_relation,
            self.by_relation, self.by_relation, self.by_hint, self.by_hint, self.by_kind, self.by_order, self.by_order, self.by_group,
        ]  # fmt: skip
        for _ in range(12):
            made = self.rng.choice(makers)(self.rng.choice(self.scene.things))
            if made:
                return made
        return None

    def by_name(self, index: int) -> Expression | None:
        if index in self.scene.names and self.rng.random() < 0.7:
            name = self.scene.names[index]
            if list(self.scene.names.values()).count(name) == 1:
                return Expression(f"the {name}", f"the {name}", (index,), "name")
        label = self.region(index).label
        if len(self.by_label[label]) != 1:
            return None
        noun = self.noun(label)
        return Expression(f"the {noun}", f"the {label}", (index,), "name" if noun == label else "synonym")

    def by_group(self, index: int) -> Expression | None:
        label = self.region(index).label
        same = self.by_label[label]
        if not 2 <= len(same) <= 6:
            return None
        nouns = plural(self.noun(label))
        count = NUMBERS[len(same)]
        asked = self.rng.choice(
            [
                f"the {nouns}",
                f"all the {nouns}",
                f"every {label}",
                f"all {nouns}",
                f"the {count} {nouns}",
                f"both {nouns}" if len(same) == 2 else f"all {count} {nouns}",
            ]
        )
        return Expression(asked, f"the {count} {plural(label)}", tuple(same), "group")

    def by_kind(self, index: int) -> Expression | None:
        kinds = knowledge().get(self.region(index).label, {}).get("kinds", [])
        if not kinds:
            return None
        kind = self.rng.choice(kinds)
        return self._unique_by_table(index, "kinds", kind, self.rng.choice([f"the {kind}", f"the only {kind}", f"that {kind}"]))

    def by_hint(self, index: int) -> Expression | None:
        hints = knowledge().get(self.region(index).label, {}).get("hints", [])
        if not hints:
            return None
        hint = self.rng.choice(hints)
        head = self.rng.choice(["the thing", "the one", "the object", "the thing", "something"])
        if hint.startswith(CLAUSE_STARTS):
            asked = self.rng.choice([f"{head} {hint}", f"{head} that {hint}", f"what {hint}"])
        else:
            asked = f"{head} {hint}"
        return self._unique_by_table(index, "hints", hint, asked)

    def _unique_by_table(self, index: int, column: str, entry: str, asked: str) -> Expression | None:
        """The expression if all things that the table entry fits are this one thing."""
        label = self.region(index).label
        fitting = [other for other in self.by_label if entry in knowledge().get(other, {}).get(column, [])]
        wider = {"seat": ("couch", "bench", "chair"), "animal": ("bird",)}.get(entry, ())
        if fitting != [label] or len(self.by_label[label]) != 1 or any(other in self.by_label and other != label for other in wider):
            return None
        return Expression(asked, f"the {label}", (index,), "hint" if column == "hints" else "kind")

    def by_place(self, index: int) -> Expression | None:
        label = self.region(index).label
        same = self.by_label[label]
        noun = self.noun(label)
        unseen = [Region(label, 0.0, box, self.region(index).colours) for kind, box in self.scene.unseen if kind == label]
        if len(same) + len(unseen) < 2 and self.rng.random() < 0.75:
            return self._place_in_picture(index, noun, label)
        values: dict[tuple[str, ...], Callable[[Region], float]] = {
            LEFT: lambda region: -_centre(region)[0],
            RIGHT: lambda region: _centre(region)[0],
            TOP: lambda region: -_centre(region)[1],
            BOTTOM: lambda region: _centre(region)[1],
            LARGE: lambda region: region.box.area**0.5,
            SMALL: lambda region: -(region.box.area**0.5),
        }
        target, rivals = self.region(index), [self.region(other) for other in same if other != index] + unseen
        options = [words for words, value in values.items() if all(value(target) > value(rival) + 0.04 for rival in rivals)]
        if len(same) == 3 and not unseen and sorted(same, key=lambda i: _centre(self.region(i))[0])[1] == index:
            options += [MIDDLE, MIDDLE]
        if not rivals:
            x, y = _centre(target)
            options = [LARGE, LEFT if x < 0.5 else RIGHT, TOP if y < 0.5 else BOTTOM]
        if not options:
            return None
        pattern = self.rng.choice(self.rng.choice(options))
        return Expression("the " + pattern.format(n=noun), "the " + pattern.format(n=label), (index,), "place")

    def _place_in_picture(self, index: int, noun: str, label: str) -> Expression | None:
        """A place for a thing that is alone of its kind: true, though not needed; or "the thing on the left" among all."""
        x, y = _centre(self.region(index))
        if self.rng.random() < 0.4 and len(self.scene.things) > 1:
            for patterns, value in (
                (LEFT, lambda i: -_centre(self.region(i))[0]),
                (RIGHT, lambda i: _centre(self.region(i))[0]),
                (LARGE[:2], lambda i: self.region(i).box.area ** 0.5),
            ):
                if _wins(index, list(self.scene.things), value, 0.06):
                    pattern = self.rng.choice(patterns)
                    head = self.rng.choice(["thing", "object", "one", "item"])
                    return Expression("the " + pattern.format(n=head), f"the {label}", (index,), "place")
        words: tuple[str, ...] = LEFT if x < 0.4 else RIGHT if x > 0.6 else BOTTOM if y > 0.65 else TOP if y < 0.35 else MIDDLE[:4]
        pattern = self.rng.choice(words[1:3] if words in (LEFT, RIGHT) else words)
        return Expression("the " + pattern.format(n=noun), "the " + pattern.format(n=label), (index,), "place")

    def by_order(self, index: int) -> Expression | None:
        label = self.region(index).label
        same = sorted(self.by_label[label], key=lambda i: _centre(self.region(i))[0])
        xs = [_centre(self.region(i))[0] for i in same]
        if (
            len(same) < 3
            or any(second - first < 0.03 for first, second in pairwise(xs))
            or any(kind == label for kind, _ in self.scene.unseen)
        ):
            return None
        place = same.index(index)
        side, count = ("left", place) if place < 3 and self.rng.random() < 0.6 else ("right", len(same) - 1 - place)
        if count > 3:
            return None
        noun, word = self.noun(label), ORDINALS[count]
        tail = self.rng.choice([f"from the {side}", f"from {side}", f"counting from the {side}"])
        return Expression(f"the {word} {noun} {tail}", f"the {word} {label} {tail}", (index,), "order")

    def by_colour(self, index: int) -> Expression | None:
        label = self.region(index).label
        part = self.rng.choice([2, 2, 3, 0]) if label == "person" else 0
        shares = self.region(index).colours[part]
        colour = int(shares.argmax())
        rivals = [other for other in self.by_label[label] if other != index]
        if shares[colour] < 0.3 or any(
            self.region(other).colours[p][colour] > 0.17 for other in rivals for p in ({part, 0} if label == "person" else {0})
        ):
            return None
        name = COLOURS[colour] if colour != COLOURS.index("gray") else self.rng.choice(["gray", "grey"])
        noun = self.noun(label)
        if label == "person":
            worn_once = all(self.region(other).colours[1:, colour].max() <= 0.17 for other in rivals)
            return self._clothes(index, part, name, noun, worn_once)
        if not rivals and self.rng.random() < 0.3 and self._only_colour(index, colour):
            head = self.rng.choice(["thing", "object", "one"])
            return Expression(f"the {name} {head}", f"the {name} {label}", (index,), "colour")
        pattern = self.rng.choice(["the {c} {n}", "the {c} {n}", "the {n} that is {c}", "the {c} coloured {n}", "the {n} in {c}"])
        return Expression(pattern.format(c=name, n=noun), f"the {name} {label}", (index,), "colour")

    def _clothes(self, index: int, part: int, colour: str, noun: str, worn_once: bool) -> Expression:
        """``worn_once``: nobody else wears the colour anywhere, so that the garment need not be said."""
        garments = {
            2: ["shirt", "jacket", "top", "t-shirt", "sweater", "coat", "jersey"],
            3: ["pants", "trousers", "jeans", "shorts", "skirt"],
            0: ["clothes", "suit", "outfit", "dress"],
        }[part]
        garment = self.rng.choice(garments)
        worn = f"{colour} {garment}" if garment.endswith("s") and garment != "dress" else article(f"{colour} {garment}")
        tail = self.rng.choice(
            [
                f"in {colour}",
                f"in the {colour} {garment}",
                f"wearing {colour}",
                f"with the {colour} {garment}",
                f"wearing {worn}",
                f"dressed in {colour}",
            ]
        )
        if garment not in tail and (part == 3 or not worn_once):
            tail = f"in the {colour} {garment}"
        return Expression(f"the {self.rng.choice([noun, noun, 'one'])} {tail}", f"the person {tail}", (index,), "colour")

    def _only_colour(self, index: int, colour: int) -> bool:
        return all(self.region(other).colours[0][colour] < 0.15 for other in self.scene.things if other != index)

    def by_relation(self, index: int) -> Expression | None:
        for first, word, second in self.rng.sample(self.scene.links, len(self.scene.links)):
            if index == first and self._fits_once(index, self.region(second).label):
                return self._linked(index, word, second)
            if index == second and word in LINKED_BACK and self._fits_once(second, self.region(first).label):
                return self._linked_back(index, word, first)
        return self._beside(index)

    def _linked(self, index: int, word: str, anchor: int) -> Expression:
        label, other = self.region(index).label, self.region(anchor).label
        chosen = self.rng.choice(LINKED[word])
        beside = self.noun(other)
        beside = self.rng.choice([f"the {beside}", article(beside), f"the {beside}"])
        noun = self.rng.choice([self.noun(label), self.noun(label), "one"])
        return Expression(f"the {noun} {chosen} {beside}", f"the {label} {chosen} the {other}", (index,), "relation")

    def _linked_back(self, index: int, word: str, anchor: int) -> Expression:
        """The thing that somebody rides, holds, sits on or wears; without its name where nothing else fits."""
        label, other = self.region(index).label, self.region(anchor).label
        same_links = [link for link in self.scene.links if link[1] == word and self.region(link[0]).label == other]
        named, nameless, told = LINKED_BACK[word]
        who = f"the {self.noun(other)}"
        if other == "person" and len(self.by_label[other]) == 1:
            who = self.rng.choice([who, who, "he", "she", "somebody"])
        alone = len(same_links) == 1 and self.rng.random() < 0.4
        forms = nameless if alone else named
        pattern = self.rng.choice([form for form in forms if who.startswith("the ") or "{w} is" in form])
        return Expression(
            pattern.format(n=self.noun(label), w=who, a=self.rng.choice([who, article(who.removeprefix("the "))])),
            f"the {label} {told.format(w=f'the {other}')}",
            (index,),
            "relation",
        )

    def _fits_once(self, index: int, anchor_label: str) -> bool:
        """Alone of its kind, or no other of its kind near any such anchor."""
        label = self.region(index).label
        anchors = self.by_label.get(anchor_label, [])
        rivals = [other for other in self.by_label[label] if other != index]
        return not any(
            _distance(self.region(rival), self.region(anchor)) < 0.03 for rival in rivals for anchor in anchors if anchor != rival
        )

    def _beside(self, index: int) -> Expression | None:
        """Relations read off the geometry: nearest to, left of, right of, above, below another thing that is alone of its kind."""
        label = self.region(index).label
        anchors = [ids[0] for other, ids in self.by_label.items() if len(ids) == 1 and other != label]
        if not anchors:
            return None
        anchor = self.rng.choice(anchors)
        same, target, other = self.by_label[label], self.region(index), self.region(anchor)
        (x, y), (ax, ay) = _centre(target), _centre(other)
        fits: list[tuple[list[str], bool]] = [
            (
                ["next to", "beside", "near", "by", "closest to", "close to"],
                _wins(index, same, lambda i: -_distance(self.region(i), other), 0.06),
            ),
            (
                ["left of", "to the left of", "on the left of"],
                x < ax - 0.05 and all(_centre(self.region(i))[0] > ax for i in same if i != index),
            ),
            (
                ["right of", "to the right of", "on the right of"],
                x > ax + 0.05 and all(_centre(self.region(i))[0] < ax for i in same if i != index),
            ),
            (["above", "over", "higher than"], y < ay - 0.08 and all(_centre(self.region(i))[1] > ay for i in same if i != index)),
            (["below", "under", "beneath"], y > ay + 0.08 and all(_centre(self.region(i))[1] < ay for i in same if i != index)),
            (
                ["behind"],
                target.box.area < other.box.area * 0.5
                and target.box.y1 < other.box.y1 - 0.03
                and _distance(target, other) < 0.05
                and len(same) == 1,
            ),
            (["in front of"], target.box.y1 > other.box.y1 + 0.03 and _distance(target, other) < 0.05 and len(same) == 1),
        ]
        options = [words for words, fit in fits if fit]
        if not options:
            return None
        word = self.rng.choice(self.rng.choice(options))
        noun = self.rng.choice([self.noun(label), self.noun(label), label])
        return Expression(f"the {noun} {word} the {self.noun(other.label)}", f"the {label} {word} the {other.label}", (index,), "relation")


def _called(label: str) -> set[str]:
    """Everything a thing of this kind may be called."""
    entry = knowledge().get(label, {})
    return {label, *entry.get("names", []), *entry.get("kinds", [])}


def _centre(region: Region) -> tuple[float, float]:
    return (region.box.x0 + region.box.x1) / 2, (region.box.y0 + region.box.y1) / 2


def _distance(first: Region, second: Region) -> float:
    """Gap between two boxes, 0 when they touch, plus a little of the distance of their centres."""
    a, b = first.box, second.box
    gap_x, gap_y = max(0.0, max(a.x0, b.x0) - min(a.x1, b.x1)), max(0.0, max(a.y0, b.y0) - min(a.y1, b.y1))
    (x, y), (u, v) = _centre(first), _centre(second)
    return (gap_x**2 + gap_y**2) ** 0.5 + 0.1 * ((x - u) ** 2 + (y - v) ** 2) ** 0.5


def _wins(index: int, group: list[int], value: Callable[[int], float], margin: float) -> bool:
    return all(value(index) > value(other) + margin for other in group if other != index)
