"""What a conversation holds while it is being written: its artefacts, what they show, and what was last spoken of.

Pictures show a scene; videos the scene of their first frame and when each thing is seen; sounds a list of events.
It also says how people name an artefact ("the second picture", "the clip you made", "img-2"). It writes no turns.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unified_demo.data.expressions import Expression
from unified_demo.data.scenes import Scene, draw_colours
from unified_demo.data.wordings import SubSet, entries
from unified_demo.grammar import GRID, Box, MediaKind, TimeSpan
from unified_demo.messages import Artefact
from unified_demo.regions import COLOURS, Region, with_whole_picture

KIND_WORDS = {
    MediaKind.IMAGE: ("picture", "photo", "image"),
    MediaKind.VIDEO: ("video", "clip"),
    MediaKind.AUDIO: ("sound", "recording"),
}
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True)
class Event:
    """One sound in a recording and when it is heard."""

    name: str
    span: TimeSpan


@dataclass(frozen=True)
class Seen:
    """An artefact and what it shows. ``made`` is the task that made it, empty for an upload; ``call`` the prompt of that call.

    ``scene`` is None where nothing is known of a picture; ``spans`` says when a thing of a video's scene is seen.
    """

    artefact: Artefact
    scene: Scene | None = None
    spans: dict[int, TimeSpan] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    made: str = ""
    call: str = ""

    @property
    def id(self) -> str:
        return self.artefact.id

    @property
    def kind(self) -> MediaKind:
        return self.artefact.kind


@dataclass
class Context:
    """Grows with the conversation. ``focus`` is the artefact last spoken of per kind, ``spoken`` the last of all.

    ``topic`` is the thing last spoken of and the picture it is in. ``settle`` is done to every scene that joins.
    """

    labels: tuple[str, ...]
    part: SubSet = "train"
    seen: dict[str, Seen] = field(default_factory=dict)
    masks: int = 0
    spoken: str = ""
    focus: dict[MediaKind, str] = field(default_factory=dict)
    topic: tuple[str, Expression] | None = None
    settle: Callable[[Scene], Scene] | None = None

    def of_kind(self, kind: MediaKind) -> list[Seen]:
        return [seen for seen in self.seen.values() if seen.kind == kind]

    def next_id(self, kind: MediaKind) -> str:
        count = self.masks if kind == MediaKind.MASK else len(self.of_kind(kind))
        return f"{kind.value}-{count + 1}"

    def add(self, seen: Seen) -> Seen:
        """A new artefact is what one speaks of next."""
        if seen.kind == MediaKind.MASK:
            self.masks += 1
            return seen
        if self.settle and seen.scene:
            seen = replace(seen, scene=self.settle(seen.scene))
        self.seen[seen.id] = seen
        self.focus[seen.kind] = self.spoken = seen.id
        return seen

    def attach(self, kind: MediaKind, scene: Scene | None, rng: random.Random) -> Seen:
        """An upload of the user."""
        artefact = Artefact(self.next_id(kind), kind, Path("upload"))
        if kind == MediaKind.IMAGE:
            return self.add(Seen(artefact, scene))
        if kind == MediaKind.VIDEO:
            return self.add(Seen(artefact, scene, draw_spans(rng, scene)))
        return self.add(Seen(artefact, events=draw_events(rng, self.part)))


def draw_spans(rng: random.Random, scene: Scene | None) -> dict[int, TimeSpan]:
    """When each thing of a clip is seen: some all the time (no entry), some for a part of it."""
    spans = {}
    for index in scene.things if scene else ():
        if rng.random() < 0.6:
            start = rng.randrange(0, 600)
            spans[index] = TimeSpan(start / GRID, rng.randrange(start + 150, GRID) / GRID)
    return spans


def draw_events(rng: random.Random, part: SubSet) -> tuple[Event, ...]:
    """One to four different sounds, one after the other, in order."""
    count = rng.choice([1, 2, 2, 3, 4])
    edges = sorted(rng.sample(range(0, GRID + 1, 9), 2 * count))
    names = rng.sample(entries("sounds", "names", part), count)
    return tuple(Event(name, TimeSpan(edges[2 * i] / GRID, edges[2 * i + 1] / GRID)) for i, name in enumerate(names))


# ---- which artefact, and how it is called ----


@dataclass(frozen=True)
class Choice:
    """The artefact a request is about and how the request names it; no name when it goes without saying."""

    seen: Seen
    name: str = ""


def choose_artefact(rng: random.Random, context: Context, kind: MediaKind, useful: Sequence[Seen] | None = None) -> Choice | None:
    """The one spoken of, without a name, or any by one of its names; None when there is none of the kind.

    ``useful`` restricts the choice, for example to pictures whose things are known.
    """
    all_of_kind = context.of_kind(kind)
    wanted = list(all_of_kind if useful is None else useful)
    if not wanted:
        return None
    spoken_of = context.seen[context.focus[kind]]
    if spoken_of in wanted and rng.random() < (0.92 if len(all_of_kind) == 1 else 0.5):
        return Choice(spoken_of)
    seen = rng.choice(wanted)
    return Choice(seen, rng.choice(names_of(context, seen)))


def names_of(context: Context, seen: Seen) -> list[str]:
    """Every way to name the artefact that fits no other of its kind in the conversation."""
    same = context.of_kind(seen.kind)
    place = same.index(seen)
    names = [seen.id]
    for word in KIND_WORDS[seen.kind]:
        names.append(f"{word} {place + 1}")
        if len(same) > 1:
            names += [f"the {PLACES[place]} {word}"] if place < len(PLACES) else []
            names += [f"the last {word}", f"the newest {word}"] if place == len(same) - 1 else []
            names += [f"the {word} before the last one"] if place == len(same) - 2 and len(same) > 2 else []
    return names + _names_by_origin(same, seen)


def _names_by_origin(same: list[Seen], seen: Seen) -> list[str]:
    """ "the picture you made", "my photo", "the original"; with several of an origin, "the last picture you made"."""
    siblings = [other for other in same if bool(other.made) == bool(seen.made)]
    words = KIND_WORDS[seen.kind][:2]
    if seen.made:
        if len(siblings) == 1:
            return [f"the {word} you made" for word in words] + [f"your {words[0]}"]
        if siblings[-1] is seen:
            return [f"the last {word} you made" for word in words]
        return [f"the {PLACES[siblings.index(seen)]} {words[0]} you made"] if siblings.index(seen) < len(PLACES) else []
    if len(siblings) == 1:
        original = ["the original"] if len(same) > 1 else []
        return [f"my {words[0]}", f"the {words[0]} I sent", f"my {words[-1]}", *original]
    return [f"the last {words[0]} I sent"] if siblings[-1] is seen else []


# ---- what an edit makes of a scene ----

_NEAREST_COLOUR = {
    "golden": "yellow", "silver": "gray", "turquoise": "blue", "dark green": "green", "light blue": "blue", "cyan": "blue",
    "beige": "white", "maroon": "red", "dark blue": "blue", "light green": "green", "violet": "purple",
}  # fmt: skip


COVERED = 0.6
"""A doubtful proposal of which so much lies in a thing goes with it."""


def without_thing(scene: Scene, index: int) -> Scene:
    """The scene after region ``index`` was removed, with what else the detector saw in its place; other indices are moved."""
    gone = {index, *_doubts_about(scene, index)}
    kept = [place for place in range(len(scene.regions)) if place not in gone]
    moved = {old: new for new, old in enumerate(kept)}
    return Scene(
        tuple(scene.regions[place] for place in kept),
        tuple(moved[thing] for thing in scene.things if thing in moved),
        tuple((moved[a], word, moved[b]) for a, word, b in scene.links if a in moved and b in moved),
        {moved[place]: name for place, name in scene.names.items() if place in moved},
    )


def _doubts_about(scene: Scene, index: int) -> list[int]:
    """Proposals that are no things and lie mostly in the thing."""
    box = scene.regions[index].box
    return [
        place
        for place, region in enumerate(scene.regions)
        if place and place not in scene.things and place != index and _shared(region.box, box) > COVERED * region.box.area
    ]


def _shared(first: Box, second: Box) -> float:
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return width * height if width > 0 and height > 0 else 0.0


def with_thing(scene: Scene, label: str, box: Box, rng: random.Random) -> Scene:
    """The scene with one more thing; regions stay in order from left to right."""
    added = Region(label, 0.9, box, draw_colours(rng, label))
    ordered = with_whole_picture([*scene.regions[1:], added], scene.regions[0].colours, None)
    place = {id(region): index for index, region in enumerate(ordered)}
    moved = {old: place[id(region)] if old else 0 for old, region in enumerate(scene.regions)}
    return Scene(
        tuple(ordered),
        tuple(sorted([*(moved[thing] for thing in scene.things), place[id(added)]])),
        tuple((moved[a], word, moved[b]) for a, word, b in scene.links),
        {moved[index]: name for index, name in scene.names.items()},
    )


def known_colour(colour: str) -> bool:
    """Whether ``with_colour`` can draw it."""
    return _NEAREST_COLOUR.get(colour, colour) in COLOURS


def with_colour(scene: Scene, index: int, colour: str) -> Scene:
    """The scene with one thing mostly in ``colour``."""
    shares = scene.regions[index].colours * 0.25
    shares[:, COLOURS.index(_NEAREST_COLOUR.get(colour, colour))] += 0.75
    regions = list(scene.regions)
    regions[index] = replace(regions[index], colours=shares, feature=None)
    return replace(scene, regions=tuple(regions), image=None)


def without_colours(scene: Scene) -> Scene:
    """The scene after a change of the whole picture: places stay, colours are no longer known well enough to speak of."""
    even = 0.8 / len(COLOURS)
    regions = tuple(replace(region, colours=region.colours * 0.2 + even, feature=None) for region in scene.regions)
    return replace(scene, regions=regions, image=None)


def with_size(scene: Scene, index: int, factor: float) -> Scene:
    """The scene with one thing made larger or smaller around its centre, cut at the edge."""
    box = scene.regions[index].box
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    width, height = (box.x1 - box.x0) * factor / 2, (box.y1 - box.y0) * factor / 2
    grown = Box(max(0.0, x - width), max(0.0, y - height), min(1.0, x + width), min(1.0, y + height))
    regions = list(scene.regions)
    regions[index] = replace(regions[index], box=grown, feature=None)
    return replace(scene, regions=tuple(regions), image=None)


def with_label(scene: Scene, index: int, label: str, rng: random.Random) -> Scene:
    """The scene with another thing in the place of one; what it had to do with others is forgotten."""
    box = scene.regions[index].box
    return with_thing(without_thing(scene, index), label, box, rng)
