"""Names for things that the detector has no word for, or does not see: which boxes a question's "hedgehog" may mean.

A linear map of a crop's DINOv2 features (``closer``) and one vector a noun meet in one space, trained with a sigmoid a pair as in SigLIP
(Zhai et al., arXiv 2303.15343) by ``training.naming``. The vectors come from the frozen language model's states, so that a noun of
which training saw no picture has one as well. The network itself was taught the detector's labels alone: to it a thing that was found so
goes by a label that stands in for the noun (``StandIns``), in what it reads and in what it writes.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch.nn.functional import logsigmoid, normalize

from unified_demo.errors import ModelLoadError
from unified_demo.grammar import Box
from unified_demo.messages import Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.model.closer import Candidates
from unified_demo.nouns import is_plural, plural
from unified_demo.regions import SURE, Region, Sight, sort_regions

LEAST, LEAST_UNPICTURED = -5.0, -9.0
"""From which fit on a noun is found, and one that training had no picture of: in composed pictures 91 and 56 of a hundred things that are
asked for reach it in their place, and of nouns that are not there 4 and 27."""
LEAST_LABEL = -3.0
"""From which fit on there is a thing that the detector has a word for and does not propose: 0.87 of them in composed pictures, in their
place, 0.006 of those that are not there, and 0.001 in photos."""
LEAST_DOUBTFUL = 0.0
"""For words that seldom name such a thing ("watch"), people, and other words for what the detector knows: 0.88 of such things in composed
pictures reach it, and of those that are not there 0.002."""
MEANT, LEFT_OVER = 0.7, 7.0
"""How much what a question asks for, and what things look like, count together; what is added to the logits of nouns without pictures then,
which cannot be as sure."""
DETECTED = 3.0
"""How often the logarithm of the detector's score counts there: it is mostly wrong about what it is not sure of."""
RECOGNISED = 1.0
"""From which fit on a noun that nobody has named is believed beyond doubt; three of four things in composed pictures reach it."""
BEYOND_LABELS = 0.0
"""From which fit on a thing is what was asked for, though the detector is sure of another label."""
LEAST_DRAWN, LARGE = -12.0, 0.5
"""Logit, plus so many times the logarithm of the box's area, from which on a noun is found that the picture was made from."""
THING = 4.0
"""How much it matters, for a noun without pictures, that a crop shows a thing as a whole."""
NEAR, NEAR_UNSURE, CERTAIN = 2.5, 1.0, 0.0
"""How far behind the best candidate others may be ("the left hedgehog" needs both), of nouns with pictures in training, and of others; the
first of these also if they fit that well by themselves."""
MOST = 8
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
_ARTICLE = (
    r"(?:the|an?|this|that|these|those|which|what|any|every|each|all|some|my|his|her|its|their|our|your|no|one|two|three|four|five|many)"
)
_CHINESE = r"[一-鿿]"
"""What stands around an English word that was put into a Chinese message (``chinese``)."""
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


@dataclass(frozen=True)
class Meant:
    """``fit``: how well it answers; ``noun``: what it is then; ``places``: of all candidates that show it; ``certain``: its looks say so
    beyond doubt, and the detector has no word for it; ``asked``: log-probability that the question means that noun."""

    fit: float
    noun: str
    places: list[int]
    certain: bool
    asked: float


class Names:
    """``words``: what is looked for in a question, with the noun it stands for; ``vectors`` (nouns, width) of unit length.

    ``labels``: the detector's own, by what they are called: such a thing is looked for where the detector proposes none. ``doubtful``:
    words that only count behind an article or the like, with their noun, and what the detector calls such a thing, if it has a word: then
    they are looked for where it is sure of none.
    """

    def __init__(
        self,
        nouns: Sequence[str],
        words: dict[str, str],
        labels: dict[str, str],
        tensors: dict[str, torch.Tensor],
        doubtful: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.nouns = {noun: row for row, noun in enumerate(nouns)}
        self._tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self._labels, self._doubtful = labels, dict((doubtful or {}).values())
        self._words = {**{word: noun for word, (noun, _) in (doubtful or {}).items()}, **words}
        self._called = {**self._labels, **self._words}
        self._patterns = (
            re.compile(rf"\b(?P<word>{_any(words | labels)})\b", re.IGNORECASE),
            re.compile(rf"(?:\b{_ARTICLE} (?:\w+ )?|{_CHINESE} )(?P<word>{_any(doubtful or {})})\b", re.IGNORECASE),
            re.compile(rf"\b(?P<word>{_any(doubtful or {})})(?= {_CHINESE})", re.IGNORECASE),
        )

    @classmethod
    def load(cls, path: Path) -> "Names":
        """Inverse of ``training.naming.save_names``; ModelLoadError when the file does not fit this code."""
        try:
            with safe_open(path, "pt") as handle:
                told = handle.metadata() or {}
                words, labels = (dict(row.split("\t") for row in told[kind].splitlines()) for kind in ("words", "labels"))
                doubtful = {word: (noun, label) for word, noun, label in (row.split("\t") for row in told["doubtful"].splitlines())}
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
                return cls(told["nouns"].splitlines(), words, labels, tensors, doubtful)
        except (OSError, KeyError, ValueError, SafetensorError) as exc:
            raise ModelLoadError(
                f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit."
            ) from exc

    def asked(self, text: str) -> list[str]:
        """The nouns that a text asks for, in order; not those that only say where another thing is ("the dog on the carpet")."""
        words = sorted((match.start("word"), match["word"].lower()) for pattern in self._patterns for match in pattern.finditer(text))
        found = [self._called[word] for start, word in words if not _BEFORE.search(text[max(0, start - LONGEST_BEFORE) : start].lower())]
        return [noun for noun in dict.fromkeys(found) if noun in self.nouns]

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

    def beyond_labels(self, noun: str) -> bool:
        """Whether it is pictured and the detector has no word for it."""
        return self.pictured(noun) and not self.is_label(noun)

    def unlabelled(self, regions: Sequence[Region], nouns: Sequence[str]) -> list[str]:
        """Those of the nouns that are no label there, nor doubtful where the detector is sure of such a thing."""
        labels, sure = {region.label for region in regions}, {region.label for region in regions if region.score >= SURE}
        return [noun for noun in nouns if noun not in labels and self._doubtful.get(noun) not in sure]

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
        if noun in self._doubtful:
            return LEAST_DOUBTFUL
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

    def meant(self, candidates: Candidates, shares: np.ndarray) -> "Meant | None":
        """What answers a question best; None without candidates. ``shares`` (nouns,): log-probability that the question means each of the
        ``nouns``.

        Over all nouns: it is asked for, and that is what is seen, by the features or by the detector.
        """
        regions = candidates.regions
        if not regions:
            return None
        logits, is_thing = self._logits(candidates.features)
        pictured = self._tensors["pictured"].bool()
        known = logsigmoid(logits) + is_thing[:, None]
        left = logsigmoid(logits + LEFT_OVER) + THING * is_thing[:, None] + logsigmoid(-logits[:, pictured].amax(-1))[:, None]
        seen = torch.where(pictured, known, left)
        sure = torch.tensor([not _open(region) for region in regions])
        seen[sure[:, None] & (logits < BEYOND_LABELS)] = -torch.inf
        for place, region in enumerate(regions):
            if (row := self.nouns.get(region.label)) is not None:
                seen[place, row] = torch.logaddexp(seen[place, row], torch.tensor(DETECTED * np.log(region.score)))
        both = MEANT * (torch.from_numpy(shares) + seen)
        fits, rows = both.logsumexp(-1).numpy(), both.argmax(-1).numpy()
        best = int(fits.argmax())
        row, noun = rows[best], list(self.nouns)[rows[best]]
        certain = self.beyond_labels(noun) and float(logits[best, row]) >= RECOGNISED
        places = _best(np.where(rows == row, fits, -np.inf), regions, -np.inf, NEAR_UNSURE)
        return Meant(float(fits[best]), noun, places, certain, float(shares[row]))

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
        words, back = dict[str, str](), dict[str, str]()
        for noun, (one, several) in chosen.items():
            many = noun if is_plural(noun) else plural(noun)
            back |= {one: noun.lower(), several: many.lower()}
            words |= {spelt: several for spelt, other in self._words.items() if other == noun}
            words |= {many.lower(): several} | ({} if many == noun else {noun.lower(): one})
        return StandIns(words, {noun: pair[0] for noun, pair in chosen.items()}, back)


class StandIns:
    """The network knows the detector's labels; other nouns are put to it as labels that are not there, and its words are put back."""

    def __init__(self, words: Mapping[str, str], labels: Mapping[str, str], back: Mapping[str, str]) -> None:
        """``words``: spelling in the conversation -> what stands for it, ``back``: what was written -> what is shown, all in small letters;
        ``labels``: what stands for each noun."""
        self.labels = labels
        self._there, self._back = _replacer(words), _replacer(back)
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


def _any(words: Collection[str]) -> str:
    """A pattern for one of the words, the longest that fits."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True))) or "(?!)"


def _apart(box: Box, other: Box) -> bool:
    return box.overlap(other) < SAME_PLACE * min(box.area, other.area)


def _best(fits: np.ndarray, regions: Sequence[Region], least: float, near: float) -> list[int]:
    """Those that fit well enough, best first, of those in the same place the best alone."""
    least = max(least, min(float(fits.max()) - near, CERTAIN if near > NEAR_UNSURE else np.inf))
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
