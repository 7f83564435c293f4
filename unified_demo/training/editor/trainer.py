"""Training of the editor: v as the target at the level of noise alone, where one step gives the whole picture.

What comes after an edit is settled by the picture and the words; a chain of steps would only cost. Flat and resumable to the exact batch.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unified_demo.training.editor.stream import EditBatch
from unified_demo.training.generators.autoencoder import SCALING
from unified_demo.training.generators.diffusion import Batch, DiffusionOptions, DiffusionTrainer

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

FIRST = 999
"""The step of the schedule that is noise alone; v is there the negative of the latents."""


@dataclass(frozen=True)
class EditorOptions(DiffusionOptions):
    lr: float = 8e-4
    batch: int = 12


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
        """Mean squared error of the latents, and what it would be were the pictures left as they are."""
        count, channels = len(batch.prompts), self.unet.config.out_channels
        both = batch.latents.to(self.device).contiguous(memory_format=torch.channels_last)
        clean, seen = both[:, :channels], both[:, channels:]
        steps = torch.full((count,), FIRST, device=self.device)
        with torch.autocast(clean.device.type, torch.bfloat16):
            hidden = self.encoder(**self._tokens(batch.prompts)).last_hidden_state
            answer = self.unet(torch.cat([torch.randn_like(clean), seen], dim=1), steps, hidden).sample
        return ((answer.float() + clean) ** 2).mean(), float(((clean - SCALING * seen) ** 2).mean())
