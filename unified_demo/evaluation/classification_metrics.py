"""Measures of classification: top-k accuracy, the interval it lies in, and a confusion count. Pure functions of labels.

A ranking names labels from the best guess down. No model, no files.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""The normal distribution keeps 95 % within this many standard deviations."""


@dataclass(frozen=True)
class Proportion:
    """``hits`` of ``total`` with the Wilson interval at 95 %, all 0..1."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.hits / self.total if self.total else 0.0


def wilson_interval(hits: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson, JASA 22, 1927), 0..1; (0, 1) without trials. ValueError unless 0 <= hits <= total."""
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} hits of {total} trials cannot be.")
    if not total:
        return 0.0, 1.0
    share, spread = hits / total, z * z / total
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def proportion(hits: int, total: int) -> Proportion:
    low, high = wilson_interval(hits, total)
    return Proportion(hits, total, low, high)


def top_accuracy(rankings: Sequence[Sequence[str]], truths: Sequence[str], top: int = 1) -> Proportion:
    """Share of samples whose true label is among the first ``top`` of its ranking; ValueError when the lengths differ."""
    hits = sum(truth in ranking[:top] for ranking, truth in zip(rankings, truths, strict=True))
    return proportion(hits, len(truths))


def confusions(rankings: Sequence[Sequence[str]], truths: Sequence[str]) -> Counter[tuple[str, str]]:
    """(true label, first guess) -> how often; a missing guess is the empty string."""
    return Counter((truth, ranking[0] if ranking else "") for ranking, truth in zip(rankings, truths, strict=True))
