"""The region reader: a small transformer that reads words beside the region proposals and scores which of them is meant.

It reads a phrase of the answer (then the model points at what it scores best) or the question alone (then the model is told what it
believes is asked for, or that nothing fits). It sees word embeddings, what the frozen lower layers make of the question, labels, places,
scores and colours, nothing that is trained in the language model, so it trains alone, on some forty boxes a second on one core
(``training read``). Relations between proposals enter as a bias of the attention (as in Graphormer, arXiv 2106.05234). It does not
tokenise and does not know pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from unified_demo.model.pointing import FACTS_WIDTH

WIDTH, HEADS, LAYERS = 128, 4, 3
MOST_QUESTION, MOST_PHRASE = 28, 14
PAIR_FACTS = 10
EMBEDDING_SCALE = 8.0
"""Word embeddings have entries near 0.12."""
SAME_LABEL = 0.999


@dataclass(frozen=True)
class Reading:
    """One question to the reader: ids of the user's last words and of the phrase (each may be cut, no phrase: the question itself), and
    for the n proposals ``labels`` (n, hidden), ``facts`` (n, FACTS_WIDTH), ``pointed`` (n,) bool: taken already by this phrase,
    ``marked`` (n,) bool: the user marked it; ``meaning`` (length of question, hidden): what frozen layers make of its words, if known."""

    question: Sequence[int]
    phrase: Sequence[int]
    labels: torch.Tensor
    facts: torch.Tensor
    pointed: torch.Tensor
    marked: torch.Tensor
    meaning: torch.Tensor | None = None


class RegionReader(nn.Module):
    """``forward(readings, words)`` -> (batch, 1 + most proposals) scores: first that nothing fits, -inf where there is a phrase (it
    means something), then the proposals, -inf where a shorter picture has none."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.word = nn.Linear(hidden_size, WIDTH)
        self.meaning = nn.Sequential(nn.LayerNorm(hidden_size), nn.Dropout(0.1), nn.Linear(hidden_size, WIDTH, bias=False))
        nn.init.zeros_(self.meaning[2].weight)
        self.label = nn.Linear(hidden_size, WIDTH, bias=False)
        self.fact = nn.Sequential(nn.Linear(FACTS_WIDTH + 2, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.nothing = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.place = nn.Parameter(torch.randn(MOST_QUESTION + MOST_PHRASE, WIDTH) * 0.02)
        self.pairs = nn.Sequential(nn.Linear(PAIR_FACTS, 32), nn.GELU(), nn.Linear(32, LAYERS * HEADS))
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.score = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.score.weight)

    def forward(self, readings: Sequence[Reading], words: torch.Tensor) -> torch.Tensor:
        """``words`` (vocab, hidden) embeddings of the language model."""
        spoken, ids = self._spoken([r.question for r in readings], [r.phrase for r in readings], words)
        spoken = spoken + self._meant(readings, spoken)
        pad = nn.utils.rnn.pad_sequence
        labels, facts = pad([r.labels for r in readings], batch_first=True), pad([r.facts for r in readings], batch_first=True)
        flags = pad([torch.stack([r.pointed, r.marked], -1) for r in readings], batch_first=True).float()
        there = pad([torch.ones(1 + len(r.labels), dtype=torch.bool, device=words.device) for r in readings], batch_first=True)
        seen = self.label(labels.float() * EMBEDDING_SCALE) + self.fact(torch.cat([facts.float(), flags], -1))
        biases = self._biases(pair_facts(facts, labels), there, ids >= 0)
        state = torch.cat([spoken, self.nothing.expand(len(readings), 1, -1), seen], 1)
        for layer, bias in zip(self.layers, biases, strict=True):
            state = layer(state, bias)
        scores = self.score(self.norm(state[:, ids.shape[1] :]))[..., 0]
        there[:, 0] = torch.tensor([not r.phrase for r in readings], device=words.device)
        return scores.masked_fill(~there, -torch.inf)

    def _spoken(
        self, questions: Sequence[Sequence[int]], phrases: Sequence[Sequence[int]], words: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedded words (batch, length, WIDTH) and their ids, -1 where a shorter text has none; texts end at the same place."""
        question, phrase = _padded(questions, MOST_QUESTION), _padded(phrases, MOST_PHRASE)
        ids = torch.cat([question, phrase], 1).to(words.device)
        places = torch.cat([self.place[MOST_QUESTION - question.shape[1] : MOST_QUESTION], self.place[len(self.place) - phrase.shape[1] :]])
        return self.word(words[ids.clamp(min=0)].float() * EMBEDDING_SCALE) + places, ids

    def _meant(self, readings: Sequence[Reading], spoken: torch.Tensor) -> torch.Tensor:
        """As ``spoken``: what the words of the questions mean, zero for those of phrases."""
        rows = [reading.meaning[-MOST_QUESTION:].float() for reading in readings if reading.meaning is not None]
        read = iter(self.meaning(torch.cat(rows)).split([len(row) for row in rows]) if rows else ())
        longest = max(min(len(reading.question), MOST_QUESTION) for reading in readings)
        meant = [spoken.new_zeros(0, WIDTH) if reading.meaning is None else next(read) for reading in readings]
        return torch.stack([nn.functional.pad(row, (0, 0, longest - len(row), spoken.shape[1] - longest)) for row in meant]).to(
            spoken.dtype
        )

    def _biases(self, pairs: torch.Tensor, there: torch.Tensor, spoken: torch.Tensor) -> list[torch.Tensor]:
        """Per layer (batch, HEADS, length, length): learnt from pairs of proposals, -inf towards padding."""
        between = self.pairs(pairs).permute(0, 3, 1, 2)
        kept = torch.cat([spoken, there], 1)
        wall = torch.zeros(kept.shape, device=kept.device).masked_fill(~kept, -1e4)[:, None, None, :]
        count = spoken.shape[1] + 1
        padded = nn.functional.pad(between, (count, 0, count, 0))
        return [part + wall for part in padded.split(HEADS, 1)]


class _Layer(nn.Module):
    """Pre-norm attention with a bias, then a feed-forward block."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, state: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        batch, length, _ = state.shape
        split = self.queries_keys_values(self.attention_norm(state)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        state = state + self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return state + self.down(nn.functional.gelu(self.up(self.norm(state))))


def pair_facts(facts: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(..., n, FACTS_WIDTH) and (..., n, hidden) -> (..., n, n, PAIR_FACTS): how proposal j lies to proposal i; boxes are facts[:4]."""
    box = facts[..., :4].float()
    one, two = box[..., :, None, :], box[..., None, :, :]
    shared = (torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2])).clamp(min=0).prod(-1)
    size = (box[..., 2:] - box[..., :2]).clamp(min=1e-3)
    area, centre = size.prod(-1), (box[..., :2] + box[..., 2:]) / 2
    first, second = area[..., :, None].expand_as(shared), area[..., None, :].expand_as(shared)
    move = centre[..., None, :, :] - centre[..., :, None, :]
    gap = (torch.maximum(one[..., :2], two[..., :2]) - torch.minimum(one[..., 2:], two[..., 2:])).clamp(min=0).norm(dim=-1)
    unit = nn.functional.normalize(labels.float(), dim=-1)
    same = (unit @ unit.transpose(-1, -2) > SAME_LABEL).float()
    doubt = facts[..., 11].float()
    surer = doubt[..., None, :] - doubt[..., :, None]
    parts = [move[..., 0], move[..., 1], (second / first).log() / 4, shared / (first + second - shared), shared / first, shared / second]
    return torch.stack([*parts, torch.exp(-gap / 0.08), same, surer, move.norm(dim=-1)], -1)


def _padded(rows: Sequence[Sequence[int]], most: int) -> torch.Tensor:
    """(batch, longest) ids, -1 before the beginning of shorter rows; only the last ``most`` of a row stay."""
    cut = [list(row[-most:]) for row in rows]
    longest = max(map(len, cut))
    return torch.tensor([[-1] * (longest - len(row)) + row for row in cut], dtype=torch.long)
