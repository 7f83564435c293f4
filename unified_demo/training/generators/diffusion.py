"""Training of UNet and text encoder together: noise on latents, v as the target, an average of the weights kept beside.

Flat and resumable to the exact batch, the same on a CPU and on a GPU. Which pictures, and how many in boxes, is said by the stream.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unified_demo.training.generators.networks import build_scheduler, plain_attention
from unified_demo.training.timed import TimedRun

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

CHECKPOINT = "diffusion.pt"
MOST_BOXES = 4
"""While training; the pipelines pass 30 places, of which most are masked."""

FOLLOW_EVERY = 4
"""Steps between two updates of the averaged weights; each step would cost a tenth of a small step's time."""


@dataclass(frozen=True)
class DiffusionOptions:
    """``minutes`` in all runs together, or ``steps``; the learning rate falls to a twentieth along them.

    ``unasked``: share of pictures whose prompt is left empty, for guidance; ``noisier``: 1 draws all noise levels alike, larger
    numbers draw high ones more often; ``average``: decay of the averaged weights.
    """

    minutes: float = 90.0
    steps: int | None = None
    batch: int = 24
    lr: float = 6e-4
    unasked: float = 0.1
    noisier: float = 2.0
    average: float = 0.998
    warmup_steps: int = 60
    save_every_s: float = 240.0
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """``latents`` (n, c, h, w); ``prompts`` n words; ``boxes`` per picture (phrase, x0, y0, x1, y1), empty lists without layouts."""

    latents: torch.Tensor
    prompts: list[str]
    boxes: list[list[tuple[str, float, float, float, float]]]


Stream = Callable[[random.Random, int], Batch]


class DiffusionTrainer(TimedRun):
    """``average`` holds the averaged weights of both networks, by name; they are what is exported.

    ``meanings``: for each token the one that stands for it (``words.Vocabulary.meanings``).
    """

    curve, checkpoint, floor = "diffusion.jsonl", CHECKPOINT, 0.05
    options: DiffusionOptions

    def __init__(
        self,
        unet: "UNet2DConditionModel",
        encoder: "CLIPTextModel",
        tokenizer: "PreTrainedTokenizerFast",
        meanings: Sequence[int],
        stream: Stream,
        options: DiffusionOptions,
        folder: Path,
        device: str = "cpu",
    ) -> None:
        self.networks = nn.ModuleDict({"unet": unet, "text_encoder": encoder}).to(device)
        unet.to(memory_format=torch.channels_last)
        if device == "cpu":
            plain_attention(unet, encoder)
        self.unet, self.encoder, self.tokenizer = unet, encoder, tokenizer
        self.meanings = torch.tensor(meanings, device=device)
        self.stream, self.options, self.folder, self.device = stream, options, folder, device
        self.optimizer = torch.optim.AdamW(self.networks.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.average = {name: value.detach().clone() for name, value in self.networks.named_parameters()}
        kept = build_scheduler().alphas_cumprod.to(device)
        self.signal, self.noise = kept.sqrt(), (1 - kept).sqrt()

    def train_step(self) -> dict:
        """One batch; a function of seed and step."""
        begun = time.monotonic()
        rng = random.Random(self.options.seed * 1_000_003 + self.step)
        torch.manual_seed(rng.getrandbits(31))
        batch = self.stream(rng, self.options.batch)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * self.rate()
        loss, early = self.loss(batch, rng)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._follow()
        speed = round(len(batch.prompts) / (time.monotonic() - begun), 2)
        rounded = {"loss": round(loss.item(), 4), "noisy": round(early, 4), "norm": round(float(norm), 3)}
        return {"step": self.step, **rounded, "boxed": int(any(batch.boxes)), "per_s": speed}

    def loss(self, batch: Batch, rng: random.Random) -> tuple[torch.Tensor, float]:
        """Mean squared error of v, and that of the noisier half of the batch (what words and boxes alone can tell)."""
        count = len(batch.prompts)
        clean = batch.latents.to(self.device).contiguous(memory_format=torch.channels_last)
        place = (torch.arange(count, device=self.device) + torch.rand(count, device=self.device)) / count
        steps = ((1 - place**self.options.noisier) * len(self.signal)).long().clamp(0, len(self.signal) - 1)
        signal, level = self.signal[steps][:, None, None, None], self.noise[steps][:, None, None, None]
        noise = torch.randn_like(clean)
        asked = [rng.random() >= self.options.unasked for _ in range(count)]
        prompts = [prompt if said else "" for prompt, said in zip(batch.prompts, asked, strict=True)]
        boxes = [row if said else [] for row, said in zip(batch.boxes, asked, strict=True)]
        with torch.autocast(clean.device.type, torch.bfloat16):
            hidden = self.encoder(**self._tokens(prompts)).last_hidden_state
            gligen = {"gligen": self._layout(boxes)} if any(boxes) else None
            noised = signal * clean + level * noise
            answer = self.unet(noised, steps, hidden, cross_attention_kwargs=gligen).sample
        errors = ((answer.float() - (signal * noise - level * clean)) ** 2).flatten(1).mean(1)
        return errors.mean(), float(errors[: max(1, count // 2)].detach().mean())

    def _tokens(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        found = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        return {"input_ids": self.meanings[found["input_ids"].to(self.device)]}

    def _layout(self, boxes: list[list[tuple[str, float, float, float, float]]]) -> dict[str, torch.Tensor]:
        """GLIGEN's input: places MOST_BOXES per picture, phrases by the text encoder's pooled output."""
        phrases = [item[0] for row in boxes for item in row[:MOST_BOXES]]
        pooled = iter(self.encoder(**self._tokens(phrases)).pooler_output)
        places = torch.zeros(len(boxes), MOST_BOXES, 4, device=self.device)
        masks = torch.zeros(len(boxes), MOST_BOXES, device=self.device)
        rows = []
        for index, row in enumerate(boxes):
            embedded = []
            for number, item in enumerate(row[:MOST_BOXES]):
                places[index, number] = torch.tensor(item[1:])
                masks[index, number] = 1
                embedded.append(next(pooled))
            width = self.unet.config.cross_attention_dim
            embedded += [torch.zeros(width, device=self.device)] * (MOST_BOXES - len(embedded))
            rows.append(torch.stack(embedded))
        return {"boxes": places, "positive_embeddings": torch.stack(rows), "masks": masks}

    def _follow(self) -> None:
        if self.step % FOLLOW_EVERY:
            return
        decay = min(self.options.average**FOLLOW_EVERY, self.step / (self.step + 20 * FOLLOW_EVERY))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.networks.parameters()), 1 - decay)

    def load_average(self) -> None:
        """The averaged weights become the networks', every spelling gets its meaning's embedding; for sampling and export."""
        with torch.no_grad():
            for name, value in self.networks.named_parameters():
                value.copy_(self.average[name])
            table = self.encoder.get_input_embeddings().weight
            table.copy_(table[self.meanings])

    def state(self) -> dict[str, Any]:
        return {"networks": self.networks.state_dict(), "average": self.average, "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
