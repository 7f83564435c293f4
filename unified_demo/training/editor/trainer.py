"""Training of the editor: v as the target, most often at the level of noise alone, where one step gives the whole picture.

What comes after an edit is settled by the picture and the words, so a few steps must do. Flat and resumable to the exact batch.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unified_demo.training.editor.stream import EditBatch
from unified_demo.training.generators.diffusion import Batch, DiffusionOptions, DiffusionTrainer

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

LEVELS = (999, 749, 499, 249)
"""Steps of the schedule that four steps of sampling visit, as two steps and one do."""


@dataclass(frozen=True)
class EditorOptions(DiffusionOptions):
    """``first``: share of pictures at the first level, noise alone; the others come in turn."""

    first: float = 0.7
    lr: float = 1.0e-3
    batch: int = 32


class EditorTrainer(DiffusionTrainer):
    """Everything but loss and batches is the generators'."""

    curve, checkpoint = "editor.jsonl", "editor.pt"
    options: EditorOptions

    def __init__(
        self,
        unet: "UNet2DConditionModel",
        encoder: "CLIPTextModel",
        tokenizer: "PreTrainedTokenizerFast",
        meanings: Sequence[int],
        stream: Callable[[random.Random, int], EditBatch],
        options: EditorOptions,
        folder: Path,
        device: str = "cpu",
    ) -> None:
        self.edits = stream

        def as_generators(rng: random.Random, count: int) -> Batch:
            batch = stream(rng, count)
            return Batch(torch.cat([batch.after, batch.before], dim=1), batch.prompts, [[] for _ in batch.prompts])

        super().__init__(unet, encoder, tokenizer, meanings, as_generators, options, folder, device)

    def loss(self, batch: Batch, rng: random.Random) -> tuple[torch.Tensor, float]:
        """Mean squared error of v, and that of the pictures at the first level."""
        count, channels = len(batch.prompts), self.unet.config.out_channels
        both = batch.latents.to(self.device).contiguous(memory_format=torch.channels_last)
        clean, seen = both[:, :channels], both[:, channels:]
        at_first = max(1, round(self.options.first * count))
        chosen = [LEVELS[0]] * at_first + [LEVELS[1 + number % 3] for number in range(count - at_first)]
        steps = torch.tensor(chosen, device=self.device)
        signal, level = self.signal[steps][:, None, None, None], self.noise[steps][:, None, None, None]
        noise = torch.randn_like(clean)
        with torch.autocast(clean.device.type, torch.bfloat16):
            hidden = self.encoder(**self._tokens(batch.prompts)).last_hidden_state
            answer = self.unet(torch.cat([signal * clean + level * noise, seen], dim=1), steps, hidden).sample
        errors = ((answer.float() - (signal * noise - level * clean)) ** 2).flatten(1).mean(1)
        return errors.mean(), float(errors[:at_first].detach().mean())
