"""The pointing head: which region proposal the words before ``<box>`` mean.

A proposal's key joins plain facts (place, ranks, colours), what the region projector made of it, and its last hidden state. The query
joins the hidden state at ``<box>`` with the mean of the phrase's words, as the model read them and as plain word embeddings.
The score is a dot product plus a bonus for a label that is named outright plus what the region reader says; it competes with the
scores of words.
"""

from collections.abc import Sequence

import torch
from torch import nn

from unified_demo.regions import COLOURS, PARTS, PLACE_WIDTH

POINT_WIDTH = 256
INNER = 256
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
    """Keys of proposals and queries of boxes, both 2 * POINT_WIDTH wide: a linear half and a two-layer half."""

    def __init__(self, hidden_size: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, POINT_WIDTH)
        self.phrase = nn.Linear(2 * hidden_size, POINT_WIDTH, bias=False)
        self.key = nn.Linear(2 * hidden_size, POINT_WIDTH)
        self.facts = nn.Linear(FACTS_WIDTH, POINT_WIDTH, bias=False)
        self.facts_key = nn.Sequential(nn.Linear(FACTS_WIDTH, INNER), nn.GELU(), nn.Linear(INNER, POINT_WIDTH))
        self.words_query = nn.Sequential(
            nn.Linear(3 * hidden_size, 2 * INNER), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * INNER, POINT_WIDTH)
        )
        self.bias = nn.Parameter(torch.zeros(()))
        self.same_word = nn.Parameter(torch.tensor([4.0, 4.0]))
        self.trust = nn.Parameter(torch.ones(()))
        nn.init.normal_(self.words_query[3].weight, std=0.02)

    def keys(self, region_facts: torch.Tensor, injection: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(..., n, FACTS_WIDTH), (..., n, hidden), (..., n, hidden) -> (..., n, 2 * POINT_WIDTH)."""
        region_facts = region_facts.float()
        joined = torch.cat([injection.float() / INJECTION_SCALE, hidden.float()], -1)
        return torch.cat([(self.key(joined) + self.facts(region_facts)) / POINT_WIDTH**0.5, self.facts_key(region_facts)], -1)

    def scores(
        self, hidden: torch.Tensor, phrase: torch.Tensor, match: torch.Tensor, keys: torch.Tensor, read: torch.Tensor
    ) -> torch.Tensor:
        """Scores (..., m, n) of n proposals at m places.

        ``hidden`` (..., m, hidden) states before the token, ``phrase`` (..., m, 2*hidden) what the phrase's words are,
        ``match`` (..., m, n) from ``label_match``, ``keys`` (..., n, 2 * POINT_WIDTH), ``read`` (..., m, n) from the region reader.
        """
        hidden, phrase = hidden.float(), phrase.float()
        deep = self.words_query(torch.cat([hidden / WORD_SCALE, phrase], -1))
        query = torch.cat([self.query(hidden) + self.phrase(phrase), deep], -1)
        named = self.same_word[0] * match + self.same_word[1] * (match > SAME_WORD)
        return query @ keys.transpose(-1, -2) + named + self.trust * read + self.bias


def label_match(words: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(k, hidden) embeddings of a phrase's words and (n, hidden) mean embeddings of labels, both centred -> (n,) cosines in -1..1.

    The best over all runs of up to LONGEST_NAME words, so a label that is named outright gives 1.
    """
    runs = [words[start : start + length].mean(0) for length in range(1, LONGEST_NAME + 1) for start in range(len(words) - length + 1)]
    return (nn.functional.normalize(labels, dim=-1) @ nn.functional.normalize(torch.stack(runs), dim=-1).T).amax(-1)


def question_words(ids: Sequence[int], turn_marks: tuple[int, ...], vocab_size: int) -> list[int]:
    """Words of the user's latest turn: what follows the latest ``turn_marks`` (start of a turn, "user") up to the next mark of a turn."""
    start, user = turn_marks
    for place in range(len(ids) - 2, -1, -1):
        if ids[place] == start and ids[place + 1] == user:
            rest = ids[place + 2 :]
            end = next((index for index, token in enumerate(rest) if token == start), len(rest))
            return [token for token in rest[:end] if 0 <= token < vocab_size]
    return []


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
