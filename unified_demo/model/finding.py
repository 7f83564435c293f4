"""Proposals for what the detector has no word for or does not see, where a message asks for it by its noun or a question can
only mean it.

What is found goes by its label, or by one that stands in for its noun (``naming``); pictures are looked at closer (``closer``) for it,
each once.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from unified_demo.grammar import MediaKind
from unified_demo.media import load_image
from unified_demo.messages import Artefact, Conversation, TextPart
from unified_demo.model.answers import AnswerReader
from unified_demo.model.closer import WIDTH, Candidates
from unified_demo.model.intents import words_of
from unified_demo.model.likelihood import asks_openly
from unified_demo.model.naming import Found, Names, StandIns, made_from, wishes_of, with_names
from unified_demo.model.perception import Perception
from unified_demo.recordings import frames_at
from unified_demo.regions import Sight
from unified_demo.remembered import shown_in

REMEMBERED_PICTURES = 32
AT_HOME = 0.8
"""The detector knows what a picture is about if it is this sure of something there; then its proposals answer open questions, unless what
answers one is certain, and asked for with the second log-probability."""
CLEARLY_ASKED = -3.0
CLEARLY_MEANT = -1.6
"""The same for what alone an open question that may be plain chat can mean."""
LEAST_ANSWER = -4.0
"""How well something must answer an open question (``Names.meant``)."""
ANSWER_SCORE = 0.9
"""Of a proposal that answers one."""
NONE = Candidates((), np.zeros((0, WIDTH), np.float32))
T = TypeVar("T")


class Remembered(Generic[T]):
    """What was made of the last REMEMBERED_PICTURES files, each once; safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, T] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, artefact: Artefact, make: Callable[[], T]) -> T:
        with self._lock:
            if artefact.path not in self._kept:
                self._kept[artefact.path] = make()
                while len(self._kept) > REMEMBERED_PICTURES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(artefact.path)
            return self._kept[artefact.path]

    def get(self, artefact: Artefact) -> T | None:
        with self._lock:
            return self._kept.get(artefact.path)


class Finder:
    """``names``: which nouns it knows. Safe to use from several threads."""

    def __init__(self, names: Names, perception: Perception, answers: AnswerReader | None = None) -> None:
        """``answers``: says which noun a question means; without it open questions are answered by proposals alone."""
        self._names, self._perception, self._answers = names, perception, answers
        self._labels = frozenset(perception.labels)
        self._closer = Remembered[Candidates]()

    def asked(self, sights: Mapping[str, Sight], conversation: Conversation) -> tuple[dict[str, Sight], StandIns | None]:
        """The pictures (by artefact id) in which something was found that the conversation asks for by a noun that is no label there, with
        proposals for it, and those that were drawn here with things that the detector has no word for; and what stands in for such nouns,
        None where there are none."""
        asking = Conversation(conversation.messages[:-1]) if asks_openly(words_of(conversation)) else conversation
        wishes, prompts, artefacts = "; ".join(wishes_of(asking)), made_from(conversation), conversation.artefacts()
        asked = self._names.asked(wishes)
        found: dict[str, tuple[Candidates, Found]] = {}
        for key, sight in sights.items():
            if not shown_in(artefacts[key]) and (nouns := self._names.unlabelled(sight.regions, asked)):
                candidates = self._candidates(conversation, key, sight)
                found[key] = candidates, self._names.found(candidates, nouns, prompts.get(key, ""))
        return self._with(sights, found, conversation)

    def answering(self, sights: Mapping[str, Sight], conversation: Conversation) -> tuple[dict[str, Sight], StandIns | None]:
        """The same for what answers an open question best, under the noun that it is then; None where that is left to the proposals."""
        shares = self._shares(words_of(conversation))
        if not shares:
            return {}, None
        asked = np.array([shares.get(noun, -np.inf) for noun in self._names.nouns])
        at_home = any(region.score >= AT_HOME for sight in sights.values() for region in sight.regions[1:])
        if at_home and not any(share >= CLEARLY_ASKED and self._names.beyond_labels(noun) for noun, share in shares.items()):
            return {}, None
        seen = {key: self._candidates(conversation, key, sight) for key, sight in sights.items()}
        meant = {key: one for key, candidates in seen.items() if (one := self._names.meant(candidates, asked))}
        best = max(meant, key=lambda key: meant[key].fit, default="")
        if not best or meant[best].fit < LEAST_ANSWER or (at_home and not (meant[best].certain and meant[best].asked >= CLEARLY_ASKED)):
            return {}, None
        noun, proposed = meant[best].noun, {(region.label, region.box) for region in sights[best].regions}
        new = [place for place in meant[best].places if (noun, seen[best].regions[place].box) not in proposed]
        found = {best: (seen[best], {place: [(noun, ANSWER_SCORE)] for place in new})}
        named, stand_ins = self._with(sights, found, conversation)
        return named, stand_ins or StandIns({}, {noun: noun}, {})

    def is_concerned(self, message: str, labels: Collection[str]) -> bool:
        """Whether a message may be about what is there: it names a thing that is known here, or one of the ``labels`` that are seen is
        clearly what it means as an open question."""
        said = message.lower()
        if self._names.asked(message) or any(re.search(rf"\b{re.escape(label)}", said) for label in labels):
            return True
        shares = self._shares(message) if labels and asks_openly(message) else {}
        return any(shares.get(label, -np.inf) >= CLEARLY_MEANT for label in labels)

    def _shares(self, question: str) -> dict[str, float]:
        """Log-probability of each noun that is known as the one that a question means; empty without a reader of answers."""
        known = [noun for noun in self._names.nouns if self._answers and self._answers.knows(noun)]
        return dict(zip(known, self._answers.shares(question, known).tolist(), strict=True)) if self._answers and known else {}

    def _candidates(self, conversation: Conversation, key: str, sight: Sight) -> Candidates:
        artefact = conversation.artefacts()[key]
        return self._closer.of(artefact, lambda: self._perception.look_closer(still(artefact), sight))

    def _with(
        self, sights: Mapping[str, Sight], found: Mapping[str, tuple[Candidates, Found]], conversation: Conversation
    ) -> tuple[dict[str, Sight], StandIns | None]:
        strange = {key: [region.label for region in sight.regions[1:] if region.label not in self._labels] for key, sight in sights.items()}
        drawn = [noun for nouns in strange.values() for noun in nouns]
        nouns = list(dict.fromkeys([*drawn, *(noun for _, places in found.values() for rows in places.values() for noun, _ in rows)]))
        if not nouns:
            return {}, None
        called = {noun: noun for noun in nouns if noun in self._labels}
        others, stand_ins = [noun for noun in nouns if noun not in called], None
        if others:
            labels = " ".join(region.label for sight in sights.values() for region in sight.regions)
            said = " ".join(part.text for message in conversation.messages for part in message.parts if isinstance(part, TextPart))
            stand_ins = self._names.stand_ins(others, f"{labels} {'; '.join(wishes_of(conversation))} {said} {' '.join(called)}")
            called |= stand_ins.labels
        named = {}
        for key, sight in sights.items():
            candidates, places = found.get(key, (NONE, {}))
            if places or strange[key]:
                named[key] = with_names(sight, candidates, places, called)
        return named, stand_ins


def still(artefact: Artefact) -> Image.Image:
    """The picture, or the first frame of a video."""
    return Image.fromarray(next(frames_at(artefact.path, 1.0))) if artefact.kind == MediaKind.VIDEO else load_image(artefact)
