"""The rules of the surface form, letter by letter: which text may follow which, for any tokenizer.

``decoding.py`` has the same rules for a vocabulary in which every tag is one token; a foreign model spells tags in pieces of its
own, so here a token is judged by the letters it stands for. A place in the grammar is a value: nothing is parsed twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from unified_demo import grammar
from unified_demo.grammar import MediaKind, close_tag, open_tag

LONGEST_PHRASE = 120
LONGEST_PROMPT = 600
"""Letters of a phrase, and of a call's prompt."""
MOST_BOXES = 12

_OPEN_P, _CLOSE_P = open_tag(grammar.PHRASE), close_tag(grammar.PHRASE)
_OPEN_BOX, _OPEN_TIME, _OPEN_REF = open_tag(grammar.BOX), open_tag(grammar.TIME), open_tag(grammar.REF)
_NUMBERS = {grammar.BOX: 4, grammar.TIME: 2}
"""How many numbers a payload holds."""


class Offer(NamedTuple):
    """A task on offer, as much of it as prompt and rules need: one of the ten, or a plug-in's."""

    tag: str
    title: str
    description: str
    needs: tuple[MediaKind, ...] = ()
    needs_box: bool = False

    @property
    def plans(self) -> bool:
        """Its boxes are those of a picture that is yet to be made."""
        return self.needs_box and not self.needs


@dataclass(frozen=True)
class Place:
    """Where a text stands in the grammar.

    ``inside``: open tags; ``held``: the beginning of a tag; ``run``: letters since the latest tag inside of one; ``regions``: boxes
    of the phrase or call so far; ``due``: a box must follow; ``referred``: its ``<ref>`` was written; ``behind``: nothing but a box
    stands between here and the phrase.
    """

    inside: tuple[str, ...] = ()
    held: str = ""
    run: str = ""
    regions: int = 0
    due: bool = False
    referred: bool = False
    behind: bool = False

    @property
    def innermost(self) -> str:
        return self.inside[-1] if self.inside else ""

    @property
    def may_end(self) -> bool:
        """The answer may be over here."""
        return not (self.inside or self.due or self.held)


class SurfaceRules:
    """Rules for one answer: ``offers`` are the tasks that may be called, ``references`` the ids of the conversation's artefacts.

    ``grid`` is the largest coordinate that the model writes.
    """

    def __init__(self, offers: Sequence[Offer], references: Sequence[str], grid: int) -> None:
        kinds = {reference.split("-")[0] for reference in references}
        self._offers = {offer.tag: offer for offer in offers if all(kind.value in kinds for kind in offer.needs)}
        self._references, self._grid = tuple(references), grid
        self._visible = bool(kinds & {MediaKind.IMAGE.value, MediaKind.VIDEO.value})
        self._timed = bool(kinds & {MediaKind.VIDEO.value, MediaKind.AUDIO.value})
        names = (*grammar.GROUNDING_TAGS, *grammar.TASK_TAGS, *(offer.tag for offer in offers))
        self._known = frozenset(tag for name in names for tag in (open_tag(name), close_tag(name)))

    def advance(self, place: Place, text: str) -> Place | None:
        """The place behind ``text``, or None when it may not stand at ``place``."""
        for letter in text:
            after = self._step(place, letter)
            if after is None:
                return None
            place = after
        return place

    def _step(self, place: Place, letter: str) -> Place | None:
        if place.held:
            return self._grow(place, letter)
        if letter == "<":
            return replace(place, held="<") if self._tags(place) or place.may_end else None
        if not place.inside:
            return None if place.due else (place if letter.isspace() else Place())
        if not self._may_stand(place, letter):
            return None
        return replace(place, run=place.run + letter, behind=place.behind and letter.isspace())

    def _grow(self, place: Place, letter: str) -> Place | None:
        """A tag that is being spelt becomes longer, complete, or turns out to be text; of a known one only what may stand here."""
        grown = place.held + letter
        allowed = self._tags(place)
        if grown in allowed:
            return self._take(replace(place, held=""), grown)
        if any(tag.startswith(grown) for tag in allowed) or (grown == "</" and place == Place(held="<")):
            return replace(place, held=grown)
        if place.inside or place.due or any(tag.startswith(grown) for tag in self._known):
            return None
        return Place(held="<") if letter == "<" else Place()

    def _may_stand(self, place: Place, letter: str) -> bool:
        """A letter inside a tag."""
        name, run = place.innermost, place.run
        if name in _NUMBERS:
            return letter in next_letters(run, self._grid, _NUMBERS[name])
        if name == grammar.REF:
            return any(reference.startswith(run + letter) for reference in self._named(place))
        begun = bool(run.strip()) or letter.isalnum() or ord(letter) > 127
        if letter in "\r\n":
            return False
        if name == grammar.PHRASE:
            return begun and len(run) < LONGEST_PHRASE
        offer = self._offers[name]
        if place.regions:
            return offer.plans and not place.due and len(run) < LONGEST_PHRASE
        return begun and len(run) < LONGEST_PROMPT and not place.due and (place.referred or not offer.needs)

    def _named(self, place: Place) -> tuple[str, ...]:
        """References that may be written here: in a call those of the kind it needs."""
        if len(place.inside) < 2:
            return self._references
        kinds = [kind.value for kind in self._offers[place.inside[-2]].needs]
        return tuple(reference for reference in self._references if reference.split("-")[0] in kinds)

    def _tags(self, place: Place) -> set[str]:
        """Tags that may come next."""
        name = place.innermost
        if not name:
            return self._tags_outside(place)
        if name == grammar.PHRASE:
            return {_CLOSE_P} if place.run.strip() else set()
        if name in _NUMBERS:
            return {close_tag(name)} if place.run.endswith("]") else set()
        if name == grammar.REF:
            return {close_tag(name)} if place.run in self._named(place) else set()
        return self._tags_in_call(place, self._offers[name])

    def _tags_outside(self, place: Place) -> set[str]:
        kinds = ({_OPEN_BOX} if self._visible else set()) | ({_OPEN_TIME} if self._timed else set())
        more = kinds if place.regions < MOST_BOXES else set()
        if place.due:
            return more | ({_OPEN_REF} if len(self._references) > 1 and not place.referred else set())
        allowed = {open_tag(tag) for tag in self._offers} | ({_OPEN_P} if self._visible or self._timed else set())
        return allowed | (more if place.behind else set())

    def _tags_in_call(self, place: Place, offer: Offer) -> set[str]:
        if offer.needs and not place.referred:
            return {_OPEN_REF}
        words, room = bool(place.run.strip()), place.regions < MOST_BOXES
        if place.due:
            return {_OPEN_BOX}
        close = {close_tag(offer.tag)}
        if offer.plans:
            phrase = {_OPEN_P} | ({_OPEN_BOX} if place.behind else set()) if room else set()
            return phrase | (close if place.regions else set())
        if not offer.needs_box:
            return close if words else set()
        span = {_OPEN_TIME} if place.behind and MediaKind.VIDEO in offer.needs else set()
        boxes = {_OPEN_BOX} if (words or place.regions) and room else set()
        return boxes | span | (close if place.regions else set())

    def _take(self, place: Place, tag: str) -> Place:
        """A whole tag was written."""
        name = tag.strip("</>")
        in_call = len(place.inside) > (1 if tag.startswith("</") else 0)
        if not tag.startswith("</"):
            if name == grammar.PHRASE:
                return replace(place, inside=(*place.inside, name), run="", regions=place.regions if in_call else 0, behind=False)
            if name in grammar.GROUNDING_TAGS:
                return replace(place, inside=(*place.inside, name), run="", due=False)
            return Place(inside=(name,))
        place = replace(place, inside=place.inside[:-1], run="")
        if name == grammar.PHRASE:
            return replace(place, due=True, referred=in_call and place.referred)
        if name == grammar.REF:
            return replace(place, referred=True, due=not in_call)
        if name in _NUMBERS:
            return replace(place, regions=place.regions + (name == grammar.BOX or not in_call), due=False, behind=True)
        return Place()


def next_letters(written: str, grid: int, numbers: int) -> set[str]:
    """Letters that may follow ``written``, the beginning of ``[x0,y0,x1,y1]`` (four numbers) or ``[t0,t1]`` (two).

    Integers 0..grid; those of the second half are larger than their partners of the first, which stays reachable.
    """
    if not written:
        return {"["}
    if written.endswith("]"):
        return set()
    parts = written[1:].split(",")
    current, place = parts[-1], len(parts) - 1
    half = numbers // 2
    least = int(parts[place - half]) + 1 if place >= half else 0
    most = grid if place >= half else grid - 1
    follow = {digit for digit in "0123456789" if _reaches(current + digit, least, most)}
    if current and least <= int(current) <= most:
        follow.add("]" if place == numbers - 1 else ",")
    return follow


def _reaches(digits: str, least: int, most: int) -> bool:
    """Can ``digits``, perhaps with more digits behind it, become a number within least..most?"""
    if digits.startswith("0"):
        return digits == "0" and least == 0
    longest = len(str(most))
    return any(int(digits) * 10**more <= most and (int(digits) + 1) * 10**more - 1 >= least for more in range(longest - len(digits) + 1))
