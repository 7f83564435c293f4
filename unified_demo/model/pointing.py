"""The pointing head: which region proposal the words before ``<box>`` mean.

A proposal's key joins plain facts (place, ranks, colours), what the region projector made of it, and its last hidden state. The query
joins the hidden state at ``<box>`` with the mean of the phrase's words, as the model read them and as plain word embeddings. Score = scaled dot product, beside the scores of words.
"""

from collections.abc import Sequence

import torch
from torch import nn

from unified_demo.regions import COLOURS, PARTS, PLACE_WIDTH

POINT_WIDTH = 256
FACTS_WIDTH = PLACE_WIDTH + 2 * PARTS * len(COLOURS)
WORD_SCALE = 8.0
"""Word embeddings have a norm near 3, hidden states near 45."""
LONGEST_NAME = 4
SAME_WORD = 0.95
INJECTION_SCALE = 50.0
"""Injected vectors have a norm near 100; keys see them in units of this."""


def facts(place: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """(n, PLACE_WIDTH) and (n, PARTS*len(COLOURS)) -> (n, FACTS_WIDTH); the root lets a small share of a colour count."""
    return torch.cat([place, colours, colours.sqrt()], -1)


class PointingHead(nn.Module):
    """Keys of proposals and queries of boxes, both POINT_WIDTH wide."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, POINT_WIDTH)
        self.phrase = nn.Linear(2 * hidden_size, POINT_WIDTH, bias=False)
        self.key = nn.Linear(2 * hidden_size, POINT_WIDTH)
        self.facts = nn.Linear(FACTS_WIDTH, POINT_WIDTH, bias=False)
        self.bias = nn.Parameter(torch.zeros(()))
        self.same_word = nn.Parameter(torch.tensor([4.0, 4.0]))

    def keys(self, region_facts: torch.Tensor, injection: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(n, FACTS_WIDTH), (n, hidden), (n, hidden) -> (n, POINT_WIDTH)."""
        return self.key(torch.cat([injection.float() / INJECTION_SCALE, hidden.float()], -1)) + self.facts(region_facts.float())

    def scores(self, hidden: torch.Tensor, phrase: torch.Tensor, match: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """(m, hidden) at the places before the token, (m, 2*hidden) what the phrase's words are, (m, n) ``label_match``, (n, POINT_WIDTH) -> (m, n)."""
        query = self.query(hidden.float()) + self.phrase(phrase.float())
        named = self.same_word[0] * match + self.same_word[1] * (match > SAME_WORD)
        return query @ keys.T / POINT_WIDTH**0.5 + named + self.bias


def label_match(words: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(k, hidden) embeddings of a phrase's words and (n, hidden) mean embeddings of labels, both centred -> (n,) cosines in -1..1.

    The best over all runs of up to LONGEST_NAME words, so a label that is named outright gives 1.
    """
    runs = [words[start : start + length].mean(0) for length in range(1, LONGEST_NAME + 1) for start in range(len(words) - length + 1)]
    return (nn.functional.normalize(labels, dim=-1) @ nn.functional.normalize(torch.stack(runs), dim=-1).T).amax(-1)


def phrase_places(ids: Sequence[int], open_box: int, vocab_size: int) -> list[int]:
    """Places of the phrase's words when ``ids`` end in ``open_box``: the latest run of words before it, earlier boxes skipped.

    Empty when ``ids`` do not end in ``open_box``. Tags and pointing tokens are ids from ``vocab_size`` on.
    """
    if not ids or ids[-1] != open_box:
        return []
    close_box = open_box + 1
    place = len(ids) - 2
    while place >= 0 and (ids[place] >= vocab_size or ids[place] < 0):
        if ids[place] == close_box:
            while place >= 0 and ids[place] != open_box:
                place -= 1
        place -= 1
    end = place
    while place >= 0 and 0 <= ids[place] < vocab_size:
        place -= 1
    return list(range(place + 1, end + 1))
