"""What a rule of decoding is, and what several of them use. It knows token ids and no network."""

from collections.abc import Sequence

import torch

from unified_demo.model.decoding_state import DecodingState

MOST_BOXES = 12
"""Of one phrase or call."""
TO_CLOSE = 64
"""Tokens that suffice to close whatever is open: a name, a box in digits, the tags."""


class LogitFilter:
    """One rule. ``apply`` changes ``logits`` (vocab + tags + proposals) in place."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        raise NotImplementedError


def closing(state: DecodingState) -> bool:
    """Whether only TO_CLOSE tokens are left of a room that is not very short."""
    return state.most >= 2 * TO_CLOSE and len(state.written) >= state.most - TO_CLOSE


def keep(logits: torch.Tensor, allowed: Sequence[int]) -> None:
    """Forbid all but ``allowed``."""
    kept = logits[list(allowed)].clone()
    logits.fill_(-torch.inf)
    logits[list(allowed)] = kept
