"""Boxes as four words of their own, one for each hundredth of the picture, in place of digits: a variant that only ablations train.

After Pix2Seq (arXiv 2109.10852), which has one token per coordinate. The product points at proposals and writes other boxes in digits.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from unified_demo.conversation import Coordinates
from unified_demo.errors import GrammarError
from unified_demo.grammar import Box
from unified_demo.model.backend import Decoder
from unified_demo.model.multimodal_lm import MultimodalNetwork
from unified_demo.model.tokens import Tokens, Vocabulary

STEPS = 100
TENS = 0.75
"""Share of the tens in what the layers that read words see of a coordinate: 12 is not 21 there."""


class CoordinateVocabulary(Vocabulary):
    """The ids of coordinates lie behind those of tags."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary.tokenizer, vocabulary.vocab_size)
        self.pointing = False
        self.first_coordinate = self.point_base
        self.point_base += STEPS

    def _add_coordinates(self, tokens: Tokens, piece: Coordinates, proposals: Mapping[str, Sequence[Box]]) -> None:
        x0, y0, x1, y1 = (round(edge * (STEPS - 1)) for edge in piece.box.as_tuple())
        x0, y0 = min(x0, STEPS - 2), min(y0, STEPS - 2)
        for step in (x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)):
            tokens.add(self.first_coordinate + step, piece.loss)

    def read_box(self, run: Sequence[int]) -> Box | None:
        """Inverse of what ``tokenize`` writes for a box; None when ``run`` is not four coordinates in order."""
        steps = [token_id - self.first_coordinate for token_id in run]
        if len(steps) != 4 or not all(0 <= step < STEPS for step in steps):
            return None
        try:
            return Box(*(step / (STEPS - 1) for step in steps))
        except GrammarError:
            return None

    def decode_box(self, decoder: Decoder) -> list[int]:
        """The four coordinates that are likeliest where ``decoder`` stands, one after the other."""
        run: list[int] = []
        for _ in range(4):
            run.append(self.first_coordinate + int(decoder.logits[self.first_coordinate : self.point_base].argmax()))
            decoder.step(run[-1])
        return run


def add_coordinates(network: MultimodalNetwork, vocabulary: Vocabulary) -> CoordinateVocabulary:
    """``network`` gets rows for coordinates, which begin at the words of their digits; the vocabulary that has them as well."""
    words = network.language_model.get_input_embeddings().weight
    digits = torch.stack([words[vocabulary.encode(str(digit))].detach().float().mean(0) for digit in range(10)])
    rows = TENS * digits.repeat_interleave(10, 0) + (1 - TENS) * digits.repeat(10, 1)
    network.tag_embeddings = nn.Parameter(torch.cat([network.tag_embeddings.detach(), rows]))
    network.tag_shifts = nn.Parameter(torch.cat([network.tag_shifts.detach(), torch.zeros_like(rows)]))
    network.tag_words = torch.cat([network.tag_words, rows])
    return CoordinateVocabulary(vocabulary)
