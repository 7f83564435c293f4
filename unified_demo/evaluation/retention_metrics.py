"""Measures of what a tuned language model kept of its frozen base: mean KL and perplexity, pure functions of log-probabilities.

Arrays are natural logarithms, positions x vocabulary, of the two models on the same tokens. No model here.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_NORMALISED = 1e-2


@dataclass(frozen=True)
class Retention:
    """``kl``: nats per position, base to tuned, 0 when nothing changed. Perplexities of the same target tokens."""

    kl: float
    base_perplexity: float
    tuned_perplexity: float
    positions: int


def mean_kl(base: Floats, tuned: Floats) -> float:
    """Mean over positions of KL(base || tuned) in nats; both (positions, vocabulary) log-probabilities.

    Raises ValueError when shapes differ, when there is no position, or when rows are no log-probabilities (logits, say).
    """
    if base.shape != tuned.shape or base.ndim != 2 or not len(base):
        raise ValueError(f"Two arrays positions x vocabulary of one shape are needed, got {base.shape} and {tuned.shape}.")
    first, second = base.astype(np.float64), tuned.astype(np.float64)
    for array in (first, second):
        if np.abs(np.exp(array).sum(axis=1) - 1).max() > _NORMALISED:
            raise ValueError("A row does not sum to 1 after exp; pass log-probabilities, not logits.")
    share = np.exp(first)
    terms = np.where(share > 0, share * (first - second), 0.0)
    return float(terms.sum(axis=1).mean())


def perplexity(token_log_probabilities: Floats) -> float:
    """exp of the mean negative log-probability of the tokens that came; (positions,). ValueError without tokens."""
    if not token_log_probabilities.size:
        raise ValueError("Perplexity needs at least one token.")
    return math.exp(-float(np.asarray(token_log_probabilities, np.float64).mean()))


def retention(base: Floats, tuned: Floats, targets: npt.NDArray[np.integer]) -> Retention:
    """Both measures over one text; ``targets`` (positions,) are the token ids that came. Errors as ``mean_kl``."""
    kl = mean_kl(base, tuned)
    rows = np.arange(len(targets))
    return Retention(kl, perplexity(base[rows, targets]), perplexity(tuned[rows, targets]), len(targets))
