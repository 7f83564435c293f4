"""A run that ends by the clock or by its steps, keeps its figures and its checkpoint, and resumes: the same for every training loop.

What is trained, and what one step does, is said by whoever derives from it.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

logger = logging.getLogger(__name__)


def log_every(steps: int) -> Callable[[dict], None]:
    """For ``TimedRun.run``: the figures of every so many steps to the log."""
    return lambda figures: logger.info("%s", json.dumps(figures)) if figures["step"] % steps == 1 else None


def add_flags(parser: argparse.ArgumentParser, batch: int, lr: float) -> None:
    """What every training with assets is told."""
    parser.add_argument("--assets", type=Path, required=True, help="folder made by 'python -m unified_demo.data fetch'")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and curves")
    parser.add_argument("--minutes", type=float, default=60.0, help="in all runs together")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=0)


class TimedOptions(Protocol):
    """``minutes`` of wall time in all runs together; with ``steps`` the run ends, and the learning rate falls, along those instead."""

    @property
    def minutes(self) -> float: ...
    @property
    def steps(self) -> int | None: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def save_every_s(self) -> float: ...


class TimedRun:
    """``curve`` and ``checkpoint`` are names of files in ``folder``; ``floor``: share of the learning rate left at the end.

    Of several processes that train together one is the ``chief``, which writes the files.
    """

    curve: ClassVar[str] = "curve.jsonl"
    checkpoint: ClassVar[str] = "checkpoint.pt"
    floor: ClassVar[float] = 0.1
    options: TimedOptions
    folder: Path
    device: str = "cpu"
    chief: bool = True
    step: int = 0
    spent_s: float = 0.0

    def train_step(self) -> dict:
        """One batch, a function of seed and step; returns its figures."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides step and time."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Any]) -> None:
        """Inverse of ``state``."""
        raise NotImplementedError

    def agreed(self, seconds: float) -> float:
        """The time that counts where several processes train together; they must not end or save at different steps."""
        return seconds

    def run(self, report: Callable[[dict], None]) -> None:
        """Train until the minutes are spent or the steps are done; resumes from the folder's checkpoint to the exact batch."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        started, saved = time.monotonic() - self.spent_s, self.spent_s
        while self.done() < 1 and self.spent_s < self.options.minutes * 60:
            figures = self.train_step()
            self.spent_s = self.agreed(time.monotonic() - started)
            figures["minutes"] = round(self.spent_s / 60, 2)
            if self.chief:
                report(figures)
                with (self.folder / self.curve).open("a") as handle:
                    handle.write(json.dumps(figures) + "\n")
            if self.spent_s - saved > self.options.save_every_s:
                self.save()
                saved = self.spent_s
        self.save()

    def done(self) -> float:
        """Share of the run that is behind us, 0..1."""
        if self.options.steps is not None:
            return min(1.0, self.step / self.options.steps)
        return min(1.0, self.spent_s / (self.options.minutes * 60))

    def rate(self) -> float:
        """Share of the peak learning rate: linear warm-up, then a cosine down to ``floor``."""
        fall = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * self.done()))
        return min(1.0, (self.step + 1) / self.options.warmup_steps) * fall

    def save(self) -> None:
        state = self.state()
        if not self.chief:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / (self.checkpoint + ".part")
        torch.save({**state, "step": self.step, "spent_s": self.spent_s}, part)
        part.replace(self.folder / self.checkpoint)

    def resume(self) -> None:
        """Go on from the folder's checkpoint; nothing when there is none."""
        path = self.folder / self.checkpoint
        if path.is_file():
            state = torch.load(path, weights_only=True, map_location=self.device)
            self.load_state(state)
            self.step, self.spent_s = state["step"], state["spent_s"]
            logger.info("resumed at step %d after %.1f minutes", self.step, self.spent_s / 60)
