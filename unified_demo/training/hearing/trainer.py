"""Teaches the universal projection to tell the frozen language model what is heard: features of a sound in front of a few words.

Only the projection learns; the encoder's features are fixed beforehand, the language model stays as it is. It may first be aligned
without running the language model, which is what costs: each query shall mean one word of the caption among the language model's own
embeddings. ``measure`` asks which of the known captions the language model finds likeliest behind a sound.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unified_demo.model.modality_tokenizers import Modality
from unified_demo.model.universal_projection import UniversalProjection
from unified_demo.training.timed import TimedRun

PROMPT = "\nWhat I hear:"
IGNORED = -100
TEMPERATURE = 0.07
"""Of the cosines between a query and the words, while it is aligned."""


@dataclass(frozen=True)
class HearingOptions:
    """As ``training.timed`` has them. The first ``align_steps`` steps align queries with words, ``align_batch`` sounds each."""

    minutes: float = 20.0
    steps: int | None = None
    batch: int = 16
    align_steps: int = 0
    align_batch: int = 64
    lr: float = 1e-3
    warmup_steps: int = 10
    save_every_s: float = 300.0
    seed: int = 0


@dataclass(frozen=True)
class Heard:
    """``features`` (n, tokens, encoder width) of sounds and a caption for each."""

    features: torch.Tensor
    captions: Sequence[str]


def make_projection(language_model: Any, encoder_width: int, queries: int = 8, **sizes: int) -> UniversalProjection:
    """A small one, for sounds alone, whose embeddings begin as large as the language model's words."""
    words = language_model.get_input_embeddings().weight
    projection = UniversalProjection(encoder_width, words.shape[1], queries=queries, modalities=(Modality.AUDIO,), **sizes)
    norm = projection.leave[Modality.AUDIO.value][-1]
    nn.init.constant_(norm.weight, float(words.detach().float().square().mean().sqrt()))
    return projection


class HearingTrainer(TimedRun):
    """``language_model`` is frozen and runs in its own precision; ``heard`` is learnt from."""

    options: HearingOptions

    def __init__(
        self, language_model: Any, tokenizer: Any, projection: UniversalProjection, heard: Heard, options: HearingOptions, folder: Path
    ) -> None:
        self.language_model, self.tokenizer, self.projection = language_model.requires_grad_(False), tokenizer, projection
        self.heard, self.options, self.folder = heard, options, folder
        self.prompt: list[int] = tokenizer(PROMPT, add_special_tokens=False)["input_ids"]
        self.words = sorted({word for caption in heard.captions for word in self.ids(caption)})
        self.optimizer = torch.optim.AdamW(projection.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.05)

    def train_step(self) -> dict:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * self.rate()
        aligns = self.step < self.options.align_steps
        count = min(self.options.align_batch if aligns else self.options.batch, len(self.heard.captions))
        chosen = random.Random(f"{self.options.seed}-{self.step}").sample(range(len(self.heard.captions)), count)
        sounds, captions = self.embeddings(self.heard.features[chosen]), [self.heard.captions[place] for place in chosen]
        if aligns:
            loss = self.misalignment(sounds, captions)
        else:
            loss = self.nats(sounds, captions).sum() / sum(len(self.ids(caption)) for caption in captions)
        loss.backward()
        nn.utils.clip_grad_norm_(self.projection.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {"step": self.step, "part": "align" if aligns else "tell", "loss": round(float(loss.detach()), 4)}

    def embeddings(self, features: torch.Tensor) -> torch.Tensor:
        """(n, queries, hidden) in the language model's precision."""
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.language_model.dtype == torch.bfloat16):
            return self.projection(features, Modality.AUDIO).to(self.language_model.dtype)

    def ids(self, caption: str) -> list[int]:
        """What is learnt of a caption: its words and the end."""
        return [*self.tokenizer(" " + caption, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def misalignment(self, sounds: torch.Tensor, captions: Sequence[str]) -> torch.Tensor:
        """Scalar: how far queries (n, queries, hidden) are from their words, by cosine, and which of all captions' words they are nearest
        to (cross-entropy): the nearest is what tells sounds apart, but only what is close is read as a word by the language model.

        Query k means the caption's word k; those behind its end mean the end, and words without a query are left out.
        """
        queries = sounds.shape[1]
        ids = [self.ids(caption)[:queries] for caption in captions]
        meant = torch.tensor([[self.words.index(word) for word in row] + [self._end] * (queries - len(row)) for row in ids])
        words = self.language_model.get_input_embeddings().weight[self.words].float()
        alike = nn.functional.normalize(sounds.float(), dim=-1) @ nn.functional.normalize(words, dim=-1).T
        meant = meant.flatten().to(alike.device)
        far = 1 - alike.flatten(0, 1).gather(1, meant[:, None]).mean()
        return far + nn.functional.cross_entropy(alike.flatten(0, 1) / TEMPERATURE, meant)

    @property
    def _end(self) -> int:
        return self.words.index(self.tokenizer.eos_token_id)

    def nats(self, sounds: torch.Tensor, captions: Sequence[str]) -> torch.Tensor:
        """(n,) float32: how unlikely each caption is behind its sound, in nats."""
        rows = [[*self.prompt, *self.ids(caption)] for caption in captions]
        length = max(map(len, rows))
        padded = torch.tensor([row + [self.tokenizer.eos_token_id] * (length - len(row)) for row in rows], device=sounds.device)
        labels = padded.clone()
        labels[:, : len(self.prompt)] = IGNORED
        for place, row in enumerate(rows):
            labels[place, len(row) :] = IGNORED
        words = self.language_model.get_input_embeddings()(padded)
        logits = self.language_model(inputs_embeds=torch.cat([sounds, words], 1), use_cache=False, logits_to_keep=length + 1).logits
        losses = nn.functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        return losses.sum(1)

    def state(self) -> dict[str, Any]:
        return {"model": self.projection.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.projection.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.inference_mode()
def measure(trainer: HearingTrainer, heard: Heard, captions: Sequence[str]) -> list[str]:
    """For each sound the likeliest of ``captions``."""
    found = []
    for features in heard.features:
        sound = trainer.embeddings(features[None]).expand(len(captions), -1, -1)
        found.append(captions[int(trainer.nats(sound, captions).argmin())])
    return found


def nearest_class(learnt: Heard, heard: Heard) -> list[str]:
    """Without a language model: the caption whose mean class token is most alike. What the frozen features give by themselves."""
    captions = sorted(set(learnt.captions))
    told = torch.tensor([captions.index(caption) for caption in learnt.captions])
    mean, spread = learnt.features[:, 0].mean(0), learnt.features[:, 0].std(0) + 1e-6
    known, asked = ((features[:, 0] - mean) / spread for features in (learnt.features, heard.features))
    centres = torch.stack([known[told == number].mean(0) for number in range(len(captions))])
    alike = nn.functional.normalize(asked, dim=-1) @ nn.functional.normalize(centres, dim=-1).T
    return [captions[place] for place in alike.argmax(-1).tolist()]
