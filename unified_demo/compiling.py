"""``torch.compile`` where it helps, and without it where this machine cannot: said once, in a sentence.

What is compiled is a step that runs over and over with the same shapes. It does not choose what that is.
"""

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


def missing_for(device: str) -> str:
    """What compiling for a device needs and is not here; empty when nothing is missing."""
    if device != "cpu":
        return "" if importlib.util.find_spec("triton") else "Triton, which comes with PyTorch for CUDA"
    return "" if any(shutil.which(name) for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++")) else "a C++ compiler"


class Compiled:
    """A function, compiled at its first call; called as it is when that fails, with a warning."""

    def __init__(self, plain: Callable[..., Any], device: str) -> None:
        import torch

        self.plain = plain
        self._run = plain
        if missing := missing_for(device):
            log.warning("--compile needs %s; going on without it.", missing)
        else:
            self._run = torch.compile(plain)

    @property
    def compiled(self) -> bool:
        return self._run is not self.plain

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        from torch._dynamo.exc import TorchDynamoException

        if self.compiled:
            try:
                return self._run(*arguments, **named)
            except TorchDynamoException as exc:
                log.warning("torch.compile failed here (%s); going on without it.", " ".join(str(exc).split())[:200])
                self._run = self.plain
        return self.plain(*arguments, **named)
