"""What holds for the forward passes of one thread, while other threads run the same network. It runs no network itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class _Passes(threading.local):
    frozen: bool = False
    injection: torch.Tensor | None = None


_HERE = _Passes()


def is_switched_off() -> bool:
    """Whether the tuning shall do nothing in this thread."""
    return _HERE.frozen


@contextmanager
def switched_off(off: bool = True) -> Iterator[None]:
    """Meanwhile every tuned language model is the frozen one, in this thread alone. Not seen by compiled networks."""
    before, _HERE.frozen = _HERE.frozen, off
    try:
        yield
    finally:
        _HERE.frozen = before


def injection() -> torch.Tensor | None:
    """What the network adds to the hidden states of the pass that this thread is in."""
    return _HERE.injection


@contextmanager
def injecting(added: torch.Tensor) -> Iterator[None]:
    """Meanwhile ``added`` (batch, length, hidden) goes into this thread's passes."""
    _HERE.injection = added
    try:
        yield
    finally:
        _HERE.injection = None
