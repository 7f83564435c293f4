"""Names for things that the detector has no word for, or does not see: which boxes a question's "hedgehog" may mean.

A linear map of a crop's DINOv2 features (``closer``) and one vector a noun meet in one space, trained with a sigmoid a pair as in SigLIP
(Zhai et al., arXiv 2303.15343) by ``training.naming``. The vectors come from the frozen language model's states, so that a noun of
which training saw no picture has one as well. The network itself was taught the detector's labels alone: to it a thing that was found so
goes by a label that stands in for the noun (``StandIns``), in what it reads and in what it writes.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch.nn.functional import logsigmoid, normalize

from unified_demo.errors import ModelLoadError
from unified_demo.grammar import Box
from unified_demo.messages import Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.model.closer import Candidates
from unified_demo.nouns import plural
from unified_demo.regions import SURE, Region, Sight, sort_regions

LEAST, LEAST_UNPICTURED = -5.0, -9.0
"""From which fit on a noun is found, and one that training had no picture of: in composed pictures 91 and 56 of a hundred things that are
asked for reach it in their place, and of nouns that are not there 4 and 27."""
LEAST_LABEL = -3.0
"""From which fit on there is a thing that the detector has a word for and does not propose: 0.87 of them in composed pictures, in their
place, 0.006 of those that are not there, and 0.001 in photos."""
RECOGNISED = 1.0
"""From which fit on a noun that nobody has asked for is believed; three of four things in composed pictures reach it."""
BEYOND_LABELS = 0.0
"""From which fit on a thing is what was asked for, though the detector is sure of another label."""
LEAST_DRAWN, LARGE = -12.0, 0.5
"""Logit, plus so many times the logarithm of the box's area, from which on a noun is found that the picture was made from."""
THING = 4.0
"""How much it matters, for a noun without pictures, that a crop shows a thing as a whole."""
NEAR, NEAR_UNSURE = 2.5, 1.0
"""How far behind the best candidate others may be ("the left hedgehog" needs both), of nouns with pictures in training, and of others."""
MOST = 3
SAME_PLACE = 0.5
"""Share of the smaller of two boxes that lies in the other, from which on both show one thing, or one of its parts."""
KINDS = frozenset(
    ("person", "bird", "boat", "car", "truck", "train", "sports ball", "potted plant", "chair", "dining table", "dog", "cat", "bottle",
     "cup", "bowl")
)  # fmt: skip
"""Labels that say a kind: a sure bird may be a flamingo, while a sure cow is no llama."""
VOWELS = "aeiou"
STAND_INS = (
    ("kite", "kites"), ("vase", "vases"), ("clock", "clocks"), ("suitcase", "suitcases"), ("bottle", "bottles"), ("bird", "birds"),
    ("umbrella", "umbrellas"), ("elephant", "elephants"), ("airplane", "airplanes"), ("apple", "apples"),
)  # fmt: skip
"""Labels, one and several."""
_BEFORE = re.compile(
    r"\b(?:in|on|with|near|by|beside|behind|under|above|below|over|wearing|holding|riding|than|into|like|as|(?<!look )for|(?:next|close) to"
    r"|(?:left|right|front|top) of)"
    r" (?:(?:the|an?|his|her|its|their|that|this|my) )?(?:\w+ )?$"
)
"""What stands before a noun that only says where or which another thing is, or what it shall become."""

_BESIDES = re.compile(r"(?<=\w) (?:in|on|with|of|near|by|beside|behind|under|above|below|over|wearing|holding|riding|and|that|next)\b")
LONGEST_BEFORE = 60
"""Characters; a question may be long."""


Found = dict[int, list[tuple[str, float]]]
"""Place of a candidate -> nouns that it may mean, with a score 0.5..1."""


class Names:
    """``words``: what is looked for in a question, with the noun it stands for; ``vectors`` (nouns, width) of unit length.

    ``labels``: the detector's own, by what they are called: such a thing is looked for where the detector proposes none.
    """

    def __init__(self, nouns: Sequence[str], words: dict[str, str], labels: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
        self.nouns = {noun: row for row, noun in enumerate(nouns)}
        self._words, self._labels, self._tensors = words, labels, {name: tensor.float() for name, tensor in tensors.items()}
        longest_first = sorted({**words, **labels}, key=len, reverse=True)
        self._pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})\b", re.IGNORECASE)

    @classmethod
    def load(cls, path: Path) -> "Names":
        """Inverse of ``training.naming.save_names``; ModelLoadError when the file does not fit this code."""
        try:
            with safe_open(path, "pt") as handle:
                told = handle.metadata() or {}
                words, labels = (dict(row.split("\t") for row in told[kind].splitlines()) for kind in ("words", "labels"))
                return cls(told["nouns"].splitlines(), words, labels, {name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
        except (OSError, KeyError, ValueError, SafetensorError) as exc:
            raise ModelLoadError(
                f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit."
            ) from exc

    def asked(self, text: str) -> list[str]:
        """The nouns that a text asks for, in order; not those that only say where another thing is ("the dog on the carpet")."""
        found = [
            match
            for match in self._pattern.finditer(text)
            if not _BEFORE.search(text[max(0, match.start() - LONGEST_BEFORE) : match.start()].lower())
        ]
        called = {**self._labels, **self._words}
        return [noun for noun in dict.fromkeys(called[match.group().lower()] for match in found) if noun in self.nouns]

    def noun_of(self, phrase: str) -> str:
        """What a phrase names: "a small red octopus in a hat" is an octopus; the last word of "an old gizmo on a table" before the "on"."""
        asked = self.asked(phrase)
        return asked[0] if asked else _BESIDES.split(phrase.lower().strip())[0].split()[-1]

    def is_label(self, noun: str) -> bool:
        """Whether the detector has this word, and it is looked for."""
        return noun in self._labels.values()

    def fits(self, noun: str, features: np.ndarray) -> np.ndarray:
        """(n, 768) features of crops -> (n,) how well each fits the noun; KeyError for a noun without a vector.

        The logit of the noun plus the log-probability that the crop shows a thing at all. A noun that training had no picture of is told
        by what is left: a thing, and none of those that are known.
        """
        logits, is_thing = self._logits(features)
        own = logits[:, self.nouns[noun]]
        if self.pictured(noun):
            return (own + is_thing).numpy()
        return (own + THING * is_thing + logsigmoid(-logits[:, self._tensors["pictured"].bool()].amax(-1))).numpy()

    def _logits(self, features: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 768) -> (n, nouns) logits, and (n,) log-probability of a thing."""
        part = self._tensors
        crops = (torch.from_numpy(features) - part["mean"]) / part["deviation"]
        seen = normalize(crops @ part["feature.weight"].T + part["feature.bias"], dim=-1)
        return seen @ part["vectors"].T * part["scale"] + part["bias"], logsigmoid(crops @ part["thing.weight"][0] + part["thing.bias"])

    def pictured(self, noun: str) -> bool:
        """Whether training had pictures of it."""
        return bool(self._tensors["pictured"][self.nouns[noun]])

    def unlabelled(self, regions: Sequence[Region], text: str) -> list[str]:
        """The nouns that ``text`` asks for and that are no label there."""
        return [noun for noun in self.asked(text) if not any(region.label == noun for region in regions)]

    def found(self, candidates: Candidates, nouns: Sequence[str], prompt: str = "") -> Found:
        """Which of the ``nouns`` are there.

        ``prompt``: what the picture was made from, if it was made here: its nouns are there.
        """
        drawn, regions = self.asked(prompt), candidates.regions
        fitting: Found = {}
        for noun in nouns if regions else ():
            near = NEAR if self.pictured(noun) and noun not in drawn else NEAR_UNSURE
            if noun in drawn:
                fits, least = self._fits_drawn(noun, drawn, candidates), LEAST_DRAWN
            else:
                fits, least = self.fits(noun, candidates.features), self._least(noun)
                fits[[not _open(region) for region in regions] & (fits < BEYOND_LABELS)] = -np.inf
            for index in _best(fits, regions, least, near):
                fitting.setdefault(index, []).append((noun, float(1 / (1 + np.exp(least - fits[index])))))
        return fitting

    def _least(self, noun: str) -> float:
        if self.is_label(noun):
            return LEAST_LABEL
        return LEAST if self.pictured(noun) else LEAST_UNPICTURED

    def _fits_drawn(self, noun: str, drawn: Sequence[str], candidates: Candidates) -> np.ndarray:
        """(n,) how well each candidate fits a noun that the picture was made from: it is there, whatever the detector says, only softer
        than things of training. The thing itself is meant, none of its parts, and nothing that rather fits another noun of the picture."""
        logits = self._logits(candidates.features)[0].numpy()
        others = [logits[:, self.nouns[other]] for other in drawn if other != noun]
        own = logits[:, self.nouns[noun]]
        fits = own + LARGE * np.log([max(region.box.area, 1e-6) for region in candidates.regions])
        return np.where(own >= np.max([own, *others], axis=0), fits, -np.inf)

    def recognised(self, candidates: Candidates) -> Found:
        """What the candidates show beyond doubt, each under the likeliest of all nouns that can be asked for and had pictures."""
        logits, is_thing = self._logits(candidates.features)
        can = set(self._words.values())
        rows = [row for noun, row in self.nouns.items() if noun in can and self.pictured(noun)]
        nouns = list(self.nouns)
        places = [place for place, region in enumerate(candidates.regions) if _open(region)]
        best, which = (logits[places][:, rows] + is_thing[places, None]).max(-1)
        found: Found = {}
        for index in np.argsort(-best.numpy(), kind="stable"):
            box = candidates.regions[places[index]].box
            if best[index] >= RECOGNISED and all(_apart(box, candidates.regions[other].box) for other in found):
                found[places[index]] = [(nouns[rows[int(which[index])]], float(best[index].sigmoid()))]
        return found

    def stand_ins(self, nouns: Collection[str], taken: str) -> "StandIns":
        """A label for each noun that does not stand in ``taken`` (the labels and words that are there), as long as there are some."""
        there = set(re.findall(r"[a-z]+", taken.lower()))
        free = [pair for pair in STAND_INS if not there & set(pair)]
        chosen: dict[str, tuple[str, str]] = {}
        for noun in nouns:
            fitting = [pair for pair in free if (pair[0][0] in VOWELS) == (noun[0].lower() in VOWELS)]
            if fitting:
                chosen[noun] = fitting[0]
                free.remove(fitting[0])
        words = {spelt: chosen[noun][n] for noun in chosen for n, spelt in enumerate((noun.lower(), plural(noun.lower())))}
        words |= {spelt: chosen[noun][spelt != noun.lower()] for spelt, noun in self._words.items() if noun in chosen}
        return StandIns(words, {noun: pair[0] for noun, pair in chosen.items()})


class StandIns:
    """The network knows the detector's labels; other nouns are put to it as labels that are not there, and its words are put back."""

    def __init__(self, words: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """``words``: spelling in the conversation -> what stands for it, both in small letters; ``labels``: the same for nouns."""
        self.labels = labels
        self._there, self._back = _replacer(words), _replacer({other: word for word, other in words.items()})
        self._held = ""

    def put(self, conversation: Conversation) -> Conversation:
        """The conversation as the network is told it."""
        return Conversation(tuple(Message(message.role, tuple(map(self._part, message.parts))) for message in conversation.messages))

    def _part(self, part: Part) -> Part:
        if isinstance(part, TextPart):
            return TextPart(self._there(part.text))
        if isinstance(part, RegionPart):
            return replace(part, phrase=self._there(part.phrase))
        if isinstance(part, TaskCall):
            return replace(part, prompt=self._there(part.prompt), regions=tuple(self._region(region) for region in part.regions))
        return part

    def _region(self, region: RegionPart) -> RegionPart:
        return replace(region, phrase=self._there(region.phrase))

    def back(self, text: str) -> str:
        """Text as it is written -> what can be shown of it; a word that may go on is held until it has ended."""
        text = self._held + text
        end = re.search(r"[A-Za-z]*$", text)
        cut = end.start() if end else len(text)
        self._held = text[cut:]
        return self._back(text[:cut])

    def rest(self) -> str:
        held, self._held = self._held, ""
        return self._back(held)


def _replacer(words: Mapping[str, str]) -> Callable[[str], str]:
    """Replaces whole words, in the same case at their start."""
    if not words:
        return lambda text: text
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})\b", re.IGNORECASE)

    def word(match: re.Match[str]) -> str:
        found = words[match.group().lower()]
        return found[:1].upper() + found[1:] if match.group()[0].isupper() else found

    return lambda text: pattern.sub(word, text)


def _open(region: Region) -> bool:
    """Whether it may be something else than its label says."""
    return region.score < SURE or region.label in KINDS


def _apart(box: Box, other: Box) -> bool:
    return box.overlap(other) < SAME_PLACE * min(box.area, other.area)


def _best(fits: np.ndarray, regions: Sequence[Region], least: float, near: float) -> list[int]:
    """The few that fit well enough, best first, of those in the same place the best alone."""
    least = max(least, float(fits.max()) - near)
    chosen: list[int] = []
    for index in np.argsort(-fits, kind="stable"):
        if fits[index] < least or len(chosen) == MOST:
            break
        if all(_apart(regions[index].box, regions[other].box) for other in chosen):
            chosen.append(int(index))
    return chosen


def with_names(sight: Sight, candidates: Candidates, found: Found, labels: Mapping[str, str]) -> Sight:
    """The sight with each candidate of ``Names.found`` under the label of its noun, and with what goes by its noun already; none for a noun
    without a label."""
    there = [replace(region, label=labels.get(region.label, region.label)) for region in sight.regions[1:]]
    named = [
        replace(candidates.regions[place], label=labels[noun], score=score, others=())
        for place, rows in found.items()
        for noun, score in rows
        if noun in labels
    ]
    return replace(sight, regions=(sight.regions[0], *sort_regions([*there, *named])))


def wishes_of(conversation: Conversation) -> Iterator[str]:
    """What the user wrote and what the tools were told."""
    for message in conversation.messages:
        for part in message.parts:
            if isinstance(part, TaskCall):
                yield part.prompt
            elif isinstance(part, TextPart) and message.role == "user":
                yield part.text


def made_from(conversation: Conversation) -> dict[str, str]:
    """Id of each output -> what the call behind which it stands was told."""
    made: dict[str, str] = {}
    for message in conversation.messages:
        prompt = ""
        for part in message.parts:
            if isinstance(part, TaskCall):
                prompt = part.prompt
            elif isinstance(part, MediaPart) and message.role == "assistant":
                made[part.artefact.id] = prompt
    return made
