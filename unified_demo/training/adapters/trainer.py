"""The training loop of adapters on the vision-language model, on one device or on several (accelerate).

Several processes learn from different conversations and share their gradients: each with a whole copy of the model, or, with
``shard``, with a part of it (FSDP2). The loss is on the answers only; clock, checkpoints and learning rate are ``training.timed``'s.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from torch.distributed.checkpoint import state_dict as checkpoints
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from unified_demo.errors import UnifiedError
from unified_demo.model.lora_moe import balance_loss
from unified_demo.model.tuning import TunedLayer, gated
from unified_demo.model.vlm import Prompt, Reader
from unified_demo.model.vlm_adapters import Shape
from unified_demo.model.vlm_prompt import Turn
from unified_demo.training.adapters.examples import Draw
from unified_demo.training.timed import TimedRun

TRIES = 50
"""Conversations drawn for one that is short enough."""


@dataclass(frozen=True)
class AdapterOptions:
    """As ``training.timed`` has them; ``batch`` conversations of at most ``most_tokens`` in each process and step."""

    minutes: float = 60.0
    steps: int | None = None
    batch: int = 4
    most_tokens: int = 4096
    lr: float = 2e-4
    warmup_steps: int = 40
    balance: float = 0.01
    save_every_s: float = 600.0
    seed: int = 0
    shard: bool = False


@dataclass(frozen=True)
class Lesson:
    """A tokenised conversation; ``places`` of the tokens that are learnt."""

    prompt: Prompt
    places: torch.Tensor


class AdapterTrainer(TimedRun):
    """``network`` with ``layers`` of fresh adapters; ``draw(rng)`` gives one conversation."""

    options: AdapterOptions

    def __init__(
        self, network: Any, layers: Sequence[TunedLayer], shape: Shape, reader: Reader, draw: Draw, options: AdapterOptions,
        folder: Path, accelerator: Accelerator,
    ) -> None:  # fmt: skip
        self.bare, self.layers, self.shape, self.reader, self.draw = network, gated(layers), shape, reader, draw
        self.options, self.folder, self.accelerator = options, folder, accelerator
        self.chief = accelerator.is_main_process
        network.train()
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if options.shard:
            mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
            for block in network.model.language_model.layers:
                fully_shard(block, mesh=mesh)
            self.network = fully_shard(network, mesh=mesh)
        else:
            self.network = accelerator.prepare(network)
        self.learnt = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learnt, lr=options.lr, betas=(0.9, 0.98), weight_decay=0.01)
        for layer in self.layers:
            layer.record = True

    def train_step(self) -> dict:
        """One batch of this process; the figures are its own."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * self.rate()
        batch = list(self.next_batch())
        words = sum(len(lesson.places) for lesson in batch)
        total, balances = 0.0, 0.0
        for number, lesson in enumerate(batch, 1):
            with self._waiting(number < len(batch)):
                loss = self.loss(lesson)
                balance = balance_loss([layer.last_gate for layer in self.layers if layer.last_gate is not None])
                self.accelerator.backward(loss / words + self.options.balance * balance / len(batch))
            total, balances = total + float(loss.detach()), balances + float(balance.detach())
        norm = nn.utils.clip_grad_norm_(self.learnt, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        tokens = sum(lesson.prompt.ids.shape[1] for lesson in batch)
        figures = {"loss": round(total / words, 4), "balance": round(balances / len(batch), 3), "norm": round(float(norm), 3)}
        return {"step": self.step, **figures, "tokens": tokens * self.accelerator.num_processes}

    def _waiting(self, more: bool) -> AbstractContextManager[None]:
        """Processes share their gradients once a step, with the last conversation."""
        return self.accelerator.no_sync(self.network) if more and not self.options.shard else nullcontext()

    def next_batch(self) -> Iterator[Lesson]:
        """A function of seed, step and process. UnifiedError when conversations are too long."""
        rng = random.Random(f"{self.options.seed}-{self.step}-{self.accelerator.process_index}")
        for _ in range(self.options.batch):
            for _ in range(TRIES):
                lesson = read_lesson(self.reader, self.draw(rng))
                if lesson.prompt.ids.shape[1] <= self.options.most_tokens:
                    yield lesson
                    break
            else:
                raise UnifiedError(f"None of {TRIES} conversations has at most {self.options.most_tokens} tokens; raise --most-tokens.")

    def loss(self, lesson: Lesson) -> torch.Tensor:
        """Sum of the cross-entropy in nats over the tokens that are learnt."""
        prompt, device = lesson.prompt, self.accelerator.device
        ids, places = prompt.ids.to(device), lesson.places.to(device)
        seen: dict[str, Any] = {}
        if prompt.pixel_values is not None and prompt.grid is not None:
            seen = {"pixel_values": prompt.pixel_values.to(device), "image_grid_thw": prompt.grid.to(device)}
        positions, _ = self.bare.model.get_rope_index(ids, (ids == self.reader.image_id).int(), seen.get("image_grid_thw"))
        output = self.network(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=places - 1, **seen)
        return nn.functional.cross_entropy(output.logits[0].float(), ids[0, places], reduction="sum")

    def agreed(self, seconds: float) -> float:
        """The first process's clock, so that all end and save together."""
        return float(broadcast(torch.tensor(seconds, device=self.accelerator.device)))

    def state(self) -> dict[str, Any]:
        options = checkpoints.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        model = checkpoints.get_model_state_dict(self.network, options=options)
        optimizer = checkpoints.get_optimizer_state_dict(self.network, self.optimizer, options=options)
        return {"model": model, "optimizer": optimizer, "shape": asdict(self.shape)}

    def load_state(self, state: dict[str, Any]) -> None:
        options = checkpoints.StateDictOptions(full_state_dict=True, strict=False)
        checkpoints.set_model_state_dict(self.network, state["model"], options=options)
        checkpoints.set_optimizer_state_dict(self.network, self.optimizer, state["optimizer"], options=options)


def read_lesson(reader: Reader, turns: Sequence[Turn]) -> Lesson:
    """Tokens of a whole conversation; learnt are the assistant's answers with the mark that ends each."""
    prompt, spans = reader.read_answered(turns)
    return Lesson(prompt, torch.cat([torch.arange(start, end) for start, end in spans]))
