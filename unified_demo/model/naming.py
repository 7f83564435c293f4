"""Names for things that the detector has no word for: which proposals a question's "hedgehog" may mean.

A linear map of a proposal's pooled DINOv2 feature and one vector a noun meet in one space, trained with a sigmoid a pair as in SigLIP
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

from unified_demo.errors import ModelLoadError
from unified_demo.messages import Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.regions import SURE, WHOLE_PICTURE, Region, Sight

LEAST = -4.0
"""Logit from which on a noun is found: of nouns that are not there, 4 in 100 reach it in photos, 19 in composed pictures."""
LEAST_DRAWN = -8.0
"""The same of a noun that the picture was made from."""
NEAR = 1.0
"""How far behind the best proposal others may be: "the left hedgehog" needs both."""
MOST = 3
SAME_PLACE = 0.6
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

LONGEST_BEFORE = 60
"""Characters; a question may be long."""


class Names:
    """``words``: what is looked for in a question, with the noun it stands for; ``vectors`` (nouns, width) of unit length."""

    def __init__(self, nouns: Sequence[str], words: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
        self.nouns = {noun: row for row, noun in enumerate(nouns)}
        self._words, self._tensors = words, {name: tensor.float() for name, tensor in tensors.items()}
        longest_first = sorted(words, key=len, reverse=True)
        self._pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})\b", re.IGNORECASE)

    @classmethod
    def load(cls, path: Path) -> "Names":
        """Inverse of ``training.naming.save_names``; ModelLoadError when the file does not fit this code."""
        try:
            with safe_open(path, "pt") as handle:
                told = handle.metadata() or {}
                words = dict(row.split("\t") for row in told["words"].splitlines())
                return cls(told["nouns"].splitlines(), words, {name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
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
        return list(dict.fromkeys(self._words[match.group().lower()] for match in found))

    def logits(self, noun: str, features: np.ndarray) -> np.ndarray:
        """(n, 384) pooled features -> (n,) how well each fits the noun; KeyError for a noun without a vector."""
        part = self._tensors
        seen = (torch.from_numpy(features) - part["mean"]) / part["deviation"] @ part["feature.weight"].T + part["feature.bias"]
        fits = torch.nn.functional.normalize(seen, dim=-1) @ part["vectors"][self.nouns[noun]]
        return (fits * part["scale"] + part["bias"]).numpy()

    def found(self, regions: Sequence[Region], text: str, prompt: str = "") -> dict[int, list[tuple[str, float]]]:
        """Place of a proposal -> the nouns of ``text`` that it may mean, with a score 0.5..1; nothing for a noun that is a label there.

        ``prompt``: what the picture was made from, if it was made here: its nouns are there.
        """
        drawn = self.asked(prompt)
        places = [place for place, region in enumerate(regions) if region.feature is not None and _open(region)]
        features = np.stack([regions[place].feature for place in places]) if places else np.zeros((0, 384), np.float32)  # type: ignore[misc]
        fitting: dict[int, list[tuple[str, float]]] = {}
        for noun in self.asked(text) if places else ():
            if not any(region.label == noun for region in regions):
                logits = self.logits(noun, features)
                least = LEAST
                if noun in drawn:  # The thing itself is meant and none of its parts.
                    least, logits = LEAST_DRAWN, logits + np.log([max(regions[place].box.area, 1e-6) for place in places])
                for index in _best(logits, [regions[place] for place in places], least):
                    fitting.setdefault(places[index], []).append((noun, float(1 / (1 + np.exp(least - logits[index])))))
        return fitting

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
        words = {spelt: chosen[noun][spelt != noun.lower()] for spelt, noun in self._words.items() if noun in chosen}
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
    return region.label != WHOLE_PICTURE and (region.score < SURE or region.label in KINDS)


def _best(logits: np.ndarray, regions: Sequence[Region], least: float) -> list[int]:
    """The few that fit well enough, best first, of those in the same place the best alone."""
    least = max(least, float(logits.max()) - NEAR)
    chosen: list[int] = []
    for index in np.argsort(-logits, kind="stable"):
        if logits[index] < least or len(chosen) == MOST:
            break
        if all(regions[index].box.iou(regions[other].box) < SAME_PLACE for other in chosen):
            chosen.append(int(index))
    return chosen


def with_names(sight: Sight, found: Mapping[int, Sequence[tuple[str, float]]], stand_ins: StandIns) -> Sight:
    """Behind each proposal of ``Names.found`` the same once more for every noun that has a stand-in, under that."""
    regions: list[Region] = []
    for place, region in enumerate(sight.regions):
        regions.append(region)
        for noun, score in found.get(place, ()):
            if noun in stand_ins.labels:
                regions.append(replace(region, label=stand_ins.labels[noun], score=score, others=()))
    return replace(sight, regions=tuple(regions))


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
