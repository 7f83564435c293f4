"""The words of the small generators: what they can draw (``vocabulary.toml``), and a tokenizer that keeps only such words.

Each spelling of a noun, colour, number or ground has a token, and one of them is trained for all; filler words ("a picture of the")
vanish, other words become one unknown token. It draws nothing.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from unified_demo.experts.grounds import NAMES
from unified_demo.hues import PAINT_HUES
from unified_demo.nouns import countable, plural

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY_FILE = Path(__file__).with_name("vocabulary.toml")
PAD, START, UNKNOWN, END = "<pad>", "<start>", "<unknown>", "<end>"
SPECIAL = (PAD, START, UNKNOWN, END)
LENGTH = 12
"""Tokens of a prompt, start and end among them."""
FILLER = (
    "a", "an", "the", "of", "some", "and", "with", "at", "on", "in", "by", "is", "are", "picture", "image", "photo", "drawing",
    "icon", "emoji", "please", "draw", "show", "me", "my", "one", "front", "standing", "lying", "sitting",
)  # fmt: skip
GROUND_WORDS = {
    "meadow": ("grass", "lawn", "field"), "beach": ("sand", "shore"), "snow": ("winter", "snowy"), "night": ("dark", "stars at night"),
    "desert": ("dunes",), "sea": ("ocean", "water"), "room": ("indoors", "floor", "kitchen"), "sunset": ("dusk", "evening"),
    "gray": ("grey",),
}  # fmt: skip
"""Ground -> other words for it."""
NOT_LEARNT = ("flat", "modern", "line", "big", "small")
OTHERS = ("background", "two", "three", "four", "left", "right", "above", "below", "next", "to", *NOT_LEARNT)
"""Words that have a token; NOT_LEARNT of them are to be had of no picture yet."""


@dataclass(frozen=True)
class Vocabulary:
    """``looks``: noun -> key of the cut-out that shows it; ``synonyms``: another word -> noun; ``common``: the most usual nouns."""

    looks: dict[str, str]
    synonyms: dict[str, str]
    common: tuple[str, ...] = ()

    def tokens(self) -> dict[str, int]:
        """Every spelling -> number of its token, each its own: the library's files keep one spelling for each number."""
        return {spelling: number for number, spelling in enumerate(self._meanings())}

    def meanings(self) -> list[int]:
        """For each token the number of the one that is trained for it; the same for all spellings of one thing."""
        numbers = self.tokens()
        return [numbers[meaning] for meaning in self._meanings().values()]

    def _meanings(self) -> dict[str, str]:
        """Spelling -> the usual spelling of the same thing."""
        names = [*SPECIAL, *NAMES, *PAINT_HUES, *OTHERS, *(noun.lower() for noun in self.looks)]
        found = {name: name for name in names}
        for ground, words in GROUND_WORDS.items():
            for word in words:
                found.setdefault(word, ground)
        for noun in self.looks:
            if countable(noun):
                found.setdefault(plural(noun).lower(), noun.lower())
        for word, noun in self.synonyms.items():
            for spelling in (word, plural(word)):
                found.setdefault(spelling.lower(), noun.lower())
        return found


@cache
def vocabulary() -> Vocabulary:
    """The committed one."""
    content = tomllib.loads(VOCABULARY_FILE.read_text("utf-8"))
    return Vocabulary(content["nouns"], content["synonyms"], tuple(content["common"]))


def build_tokenizer(words: Vocabulary) -> "PreTrainedTokenizerFast":
    """For ``StableDiffusionPipeline``: lower case, filler dropped, nouns of several words found first, padded to LENGTH."""
    return tokenizer_of(words.tokens(), FILLER)


def tokenizer_of(spellings: dict[str, int], filler: Sequence[str]) -> "PreTrainedTokenizerFast":
    """``spellings``, SPECIAL among them -> their numbers; words of ``filler`` and signs vanish."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(spellings, unk_token=UNKNOWN))
    dropped = Regex(r"\b(?:" + "|".join(sorted(filler, key=len, reverse=True)) + r")\b(?!-)|[^\w\s-]")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(dropped, " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in spellings if " " in word])
    ends = [(name, spellings[name]) for name in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LENGTH, pad_token=PAD, bos_token=START, eos_token=END, unk_token=UNKNOWN
    )
