"""Pieces of a rendered conversation <-> token ids, with one id space for words, tags and pointing.

ids: 0..vocab-1 words of the language model; then one id per tag (``grammar.added_tokens``); then one id per region
proposal of this conversation ("point at proposal i"); negative ids stand for embeddings of a picture.
It does not embed and does not know networks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unified_demo import grammar
from unified_demo.conversation import Coordinates, Picture, Piece, Tag, Text
from unified_demo.grammar import Box, TaskSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORE_INDEX = -100
IMAGE_SLOT, REGION_SLOT = -1, -2
MATCH_IOU = 0.7
"""A box is written as a pointing token when a proposal overlaps it at least this much."""


@dataclass
class Tokens:
    """Parallel lists. ``ids`` may be IMAGE_SLOT / REGION_SLOT; ``slots`` says which embedding fills such a place:
    (artefact id, index). ``labels`` is IGNORE_INDEX where no loss is taken, else the id to predict at that place."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    slots: list[tuple[str, int] | None] = field(default_factory=list)
    proposals: list[tuple[str, int]] = field(default_factory=list)

    def add(self, token_id: int, loss: bool = False, slot: tuple[str, int] | None = None) -> None:
        self.ids.append(token_id)
        self.labels.append(token_id if loss else IGNORE_INDEX)
        self.slots.append(slot)

    def learnt(self) -> list[int]:
        """Places of the tokens on which a loss is taken."""
        return [place for place, label in enumerate(self.labels) if label != IGNORE_INDEX and place > 0]


class Vocabulary:
    """The extended vocabulary around a Hugging Face tokenizer. Without ``pointing`` every box is written in digits.

    ``tasks``: what can be called, by tag; those of ``plugins`` have their tags behind the trained ones.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", vocab_size: int, plugins: Sequence[TaskSpec] = ()) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size
        self.plugins = tuple(spec.tag for spec in plugins)
        self.tasks: dict[str, TaskSpec] = {task.tag: task for task in (*grammar.TASKS.values(), *plugins)}
        self.tags = grammar.added_tokens(self.plugins)
        self.tag_ids = {tag: vocab_size + index for index, tag in enumerate(self.tags)}
        self.point_base = vocab_size + len(self.tags)
        self.pointing = True
        self.end_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self._marks = {mark.content: token for token, mark in tokenizer.added_tokens_decoder.items() if mark.special}
        self._mark = re.compile(f"({'|'.join(map(re.escape, self._marks))})")

    def encode(self, text: str, trusted: bool = False) -> list[int]:
        """Token ids of plain text; turn marks become special tokens only in ``trusted`` text."""
        if not trusted:
            return self._words(text)
        pieces = self._mark.split(text)
        return [token for piece in pieces for token in ([self._marks[piece]] if piece in self._marks else self._words(piece))]

    def _words(self, text: str) -> list[int]:
        """Always with the same flag: it is a state of the tokenizer, which all answers share."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def tokenize(self, pieces: Sequence[Piece], image_tokens: Mapping[str, int], proposals: Mapping[str, Sequence[Box]]) -> Tokens:
        """``image_tokens``: embeddings per picture; ``proposals``: boxes of each picture's proposals, in order."""
        tokens = Tokens()
        pieces = _move_spaces(pieces)
        for piece in pieces:
            if isinstance(piece, Text):
                for token_id in self.encode(piece.text, piece.trusted):
                    tokens.add(token_id, piece.loss)
            elif isinstance(piece, Tag):
                tokens.add(self.tag_ids[piece.token], piece.loss)
            elif isinstance(piece, Picture):
                self._add_picture(tokens, piece.artefact_id, image_tokens, proposals)
            else:
                self._add_coordinates(tokens, piece, proposals)
        return tokens

    def _add_picture(self, tokens: Tokens, key: str, image_tokens: Mapping[str, int], proposals: Mapping[str, Sequence[Box]]) -> None:
        for index in range(image_tokens.get(key, 0)):
            tokens.add(IMAGE_SLOT, slot=(key, index))
        for index in range(len(proposals.get(key, ()))):
            tokens.proposals.append((key, index))
            tokens.add(REGION_SLOT, slot=(key, index))

    def _add_coordinates(self, tokens: Tokens, piece: Coordinates, proposals: Mapping[str, Sequence[Box]]) -> None:
        latest = tokens.proposals[-1][0] if tokens.proposals else ""
        key = latest if piece.artefact_id is None else piece.artefact_id
        overlaps = [piece.box.iou(box) for box in proposals.get(key, ())]
        best = max(range(len(overlaps)), key=overlaps.__getitem__, default=-1)
        if self.pointing and best >= 0 and overlaps[best] >= MATCH_IOU and (key, best) in tokens.proposals:
            tokens.add(self.point_base + tokens.proposals.index((key, best)), piece.loss, slot=(key, best))
            return
        for token_id in self.encode(grammar.spell_box(piece.box)):
            tokens.add(token_id, piece.loss)


def _move_spaces(pieces: Sequence[Piece]) -> list[Piece]:
    """``is `` + ``<p>`` + `` the dog`` -> ``is`` + ``<p>`` + `` the dog``: a word keeps its usual token."""
    moved = list(pieces)
    for index, piece in enumerate(moved[:-1]):
        if isinstance(piece, Text) and not piece.trusted and isinstance(moved[index + 1], Tag):
            moved[index] = Text(piece.text.rstrip(" "), piece.loss)
    return moved


class SurfaceWriter:
    """Token ids -> surface text, piece by piece, as the model writes them (push, no re-scan).

    Pointing tokens become coordinates; the space that words inside tags carry moves before ``<p>`` or goes.
    A ``<ref>`` is written before a box that lies in another picture than the latest.
    """

    def __init__(self, vocabulary: Vocabulary, proposals: Sequence[tuple[str, Box]], latest: str | None) -> None:
        self._vocabulary, self._proposals, self._latest = vocabulary, proposals, latest
        self._bytes: list[int] = []
        self._after_tag = ""
        self._held = ""
        self._inside: list[str] = []
        self._started = False

    def write(self, token_id: int) -> str:
        """The new surface text, possibly empty while a character or a tag is incomplete."""
        text = self._write(token_id)
        self._started = self._started or bool(text)
        return text

    def _write(self, token_id: int) -> str:
        vocabulary = self._vocabulary
        if token_id >= vocabulary.vocab_size:
            held = self.flush()
            if token_id >= vocabulary.point_base:
                return self._point(token_id - vocabulary.point_base)
            return held + self._tag(vocabulary.tags[token_id - vocabulary.vocab_size])
        self._bytes.append(token_id)
        text = vocabulary.tokenizer.decode(self._bytes, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd"):
            return ""
        self._bytes.clear()
        return self._words(text)

    def flush(self) -> str:
        """What is still held back: an incomplete character is dropped, a held tag is written."""
        held, self._held, self._after_tag = self._held, "", ""
        self._bytes.clear()
        return held

    def _words(self, text: str) -> str:
        after, self._after_tag = self._after_tag, ""
        held, self._held = self._held, ""
        if not after or not text.startswith(" "):
            return held + text
        if after == grammar.open_tag(grammar.PHRASE) and self._started:
            return " " + held + text[1:]
        return held + text[1:]

    def _tag(self, tag: str) -> str:
        name = tag.strip("</>")
        if tag.startswith("</"):
            if name in self._inside:
                self._inside.remove(name)
        else:
            self._inside.append(name)
        in_call = any(open_name in self._vocabulary.tasks for open_name in self._inside)
        self._after_tag = tag if tag == grammar.open_tag(grammar.PHRASE) or in_call else ""
        if tag in (grammar.open_tag(grammar.PHRASE), grammar.open_tag(grammar.BOX)):
            self._held = tag
            return ""
        return tag

    def _point(self, index: int) -> str:
        if index >= len(self._proposals):
            return ""
        key, box = self._proposals[index]
        in_call = any(open_name in self._vocabulary.tasks for open_name in self._inside)
        ref = ""
        if key != self._latest and not in_call:
            ref = f"{grammar.open_tag(grammar.REF)}{key}{grammar.close_tag(grammar.REF)}"
        return ref + grammar.open_tag(grammar.BOX) + grammar.spell_box(box)
