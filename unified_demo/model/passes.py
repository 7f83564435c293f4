"""What holds for the forward passes of one thread, while other threads run the same network. It runs no network itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class _Passes(threading.local):
    frozen: bool = False
    adapters: str = ""
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


def adapters_in_use() -> str:
    """The name of the set of adapters that works in this thread; empty for the one that was trained with the tags."""
    return _HERE.adapters


@contextmanager
def using_adapters(name: str) -> Iterator[None]:
    """Meanwhile LoRAMoE's adapters of that name work in place of the others, in this thread alone."""
    before, _HERE.adapters = _HERE.adapters, name
    try:
        yield
    finally:
        _HERE.adapters = before


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
