"""The training loop: flat, resumable, the same on a CPU and on a GPU.

Draws conversations from a stream of (scene, conversation), batches them, takes the loss on the answers only, saves every few
minutes. What is drawn is the recipe's business (``recipes``), what the network is, ``model``'s.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from unified_demo.conversation import render_conversation
from unified_demo.data.scenes import Scene
from unified_demo.grammar import TASK_TAGS, open_tag
from unified_demo.messages import Conversation
from unified_demo.model.encoding import LabelWords, encode_picture
from unified_demo.model.lora_moe import balance_loss
from unified_demo.model.multimodal_lm import EncodedPicture, MultimodalNetwork, ProjectedPicture, none_likelier
from unified_demo.model.passes import switched_off
from unified_demo.model.pointing import facts
from unified_demo.model.tokens import Tokens, Vocabulary
from unified_demo.training.timed import TimedRun

POOL = 8
"""Batches drawn at a time and sorted by length."""


@dataclass(frozen=True)
class LoopOptions:
    """``minutes`` of wall time in all runs together; the learning rate falls to a tenth along them (cosine).

    With ``steps`` it falls along so many steps instead, and the run ends there if the minutes have not ended it before: such
    a run gives the same weights however often it is interrupted.
    """

    minutes: float = 60.0
    steps: int | None = None
    batch: int = 5
    most_tokens: int = 420
    lr: float = 1e-3
    lora_lr: float = 5e-4
    warmup_steps: int = 40
    point_weight: float = 2.0
    decision_weight: float = 3.0
    balance: float = 0.01
    save_every_s: float = 180.0
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """A conversation with what its pictures show (by artefact id) and which messages are learnt (None: all).

    ``keep``: the answers are the frozen model's own; what is learnt is to stay close to it.
    """

    scenes: dict[str, Scene]
    conversation: Conversation
    learn: frozenset[int] | None = None
    keep: bool = False


class Drawn(NamedTuple):
    """An example as tokens and the scenes of its pictures; ``keep``: the frozen model's answers."""

    tokens: Tokens
    scenes: dict[str, Scene]
    keep: bool = False


@dataclass
class Trainer(TimedRun):
    """Network, data stream and where to keep checkpoints; ``draw(rng)`` gives one example. The region reader is trained ``along`` or
    stays as it is."""

    network: MultimodalNetwork
    vocabulary: Vocabulary
    draw: Callable[[random.Random], Example]
    options: LoopOptions
    folder: Path
    device: str = "cpu"
    along: bool = False

    def __post_init__(self) -> None:
        self.label_words = LabelWords(self.vocabulary, self.network.language_model.get_input_embeddings().weight.detach().cpu())
        self.peaks = (self.options.lora_lr, self.options.lr)
        self.network.reader.requires_grad_(self.along)
        groups: list[list[nn.Parameter]] = [[], []]
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups[0 if name.startswith("language_model.") else 1].append(parameter)
        named = [{"params": group, "lr": peak} for group, peak in zip(groups, self.peaks, strict=True)]
        self.optimizer = torch.optim.AdamW(named, betas=(0.9, 0.98), weight_decay=0.01)
        self._call_tags = [self.vocabulary.tag_ids[open_tag(tag)] for tag in TASK_TAGS]
        self._pool: list[list[Drawn]] = []
        self._pool_number = -1

    def train_step(self) -> dict:
        """One batch; returns loss, pointing accuracy and speed."""
        begun = time.monotonic()
        batch = self.next_batch()
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self.rate()
        loss, figures = self.loss(batch)
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        tokens = sum(len(drawn.tokens.ids) for drawn in batch)
        seconds = time.monotonic() - begun
        speed = {"tokens": tokens, "tokens_per_s": round(tokens / seconds)}
        return {"step": self.step, **figures, "norm": round(float(norm), 3), **speed}

    def next_batch(self) -> list[Drawn]:
        """Batches of similar lengths: POOL batches are drawn together and sorted; a function of seed and step only."""
        number, place = divmod(self.step, POOL)
        if self._pool_number != number:
            rng = random.Random(self.options.seed * 1_000_003 + number)
            drawn = sorted((self.tokenize(self.draw(rng)) for _ in range(self.options.batch * POOL)), key=lambda item: len(item[0].ids))
            self._pool = [drawn[start : start + self.options.batch] for start in range(0, len(drawn), self.options.batch)]
            rng.shuffle(self._pool)
            self._pool_number = number
        return self._pool[place]

    def tokenize(self, example: Example) -> Drawn:
        """One example as tokens; turns that exceed ``most_tokens`` are cut off."""
        boxes = {key: [region.box for region in scene.regions] for key, scene in example.scenes.items()}
        images = {key: 0 if scene.image is None else len(scene.image) for key, scene in example.scenes.items()}
        pieces = render_conversation(example.conversation, add_answer_start=False, learn=example.learn)
        tokens = self.vocabulary.tokenize(pieces, images, boxes)
        most = self.options.most_tokens
        tokens.ids, tokens.labels, tokens.slots = tokens.ids[:most], tokens.labels[:most], tokens.slots[:most]
        return Drawn(tokens, example.scenes, example.keep)

    def project(self, scene: Scene) -> ProjectedPicture:
        return self.network.project(_to(encode_picture(scene.image, scene.regions, self.label_words), self.device))

    def plain(self, scene: Scene) -> ProjectedPicture:
        """Labels and facts of the proposals without the projectors' work."""
        seen = encode_picture(scene.image, scene.regions, self.label_words)
        nothing = torch.zeros(0, seen.labels.shape[-1])
        return ProjectedPicture(nothing, nothing, seen.labels, facts(seen.place, seen.colours), seen.names, none_likelier(seen.labels))

    def loss(self, batch: list[Drawn]) -> tuple[torch.Tensor, dict]:
        """Weighted cross-entropy over the answers' tokens (words, tags, proposals) plus the balance term.

        Where the frozen model is to be kept it is the divergence from that one instead.
        """
        inputs, injections, projected = [], [], []
        for drawn in batch:
            projected.append({key: self.project(scene) for key, scene in drawn.scenes.items()})
            words, added = self.network.embed(drawn.tokens, projected[-1])
            inputs.append(words)
            injections.append(added)
        for layer in self.network.lora_layers:
            layer.record = True
        pad = nn.utils.rnn.pad_sequence
        hidden = self.network.run(pad(inputs, batch_first=True), pad(injections, batch_first=True), use_cache=False)
        total, tally = hidden.new_zeros((), dtype=torch.float32), Tally()
        for row, drawn in enumerate(batch):
            places = drawn.tokens.learnt()
            if not places:
                continue
            proposals = self.network.proposals(drawn.tokens, projected[row])
            readings = [self.network.reading(drawn.tokens.ids[:place], proposals) for place in places]
            logits = self.network.logits(hidden[row, [place - 1 for place in places]], readings, len(drawn.tokens.proposals))
            labels = torch.tensor([drawn.tokens.labels[place] for place in places], device=logits.device)
            if drawn.keep:
                drifts = self._drift(logits, drawn.tokens.ids, places)
                total = total + drifts.sum()
                tally.keep(drifts)
                continue
            losses = nn.functional.cross_entropy(logits, labels, reduction="none")
            pointing = labels >= self.vocabulary.point_base
            weights = 1.0 + (self.options.point_weight - 1.0) * pointing
            weights = weights + (self.options.decision_weight - 1.0) * self._decisive(places, labels)
            total = total + (losses * weights).sum()
            tally.learn(losses.detach(), weights, pointing, logits.argmax(-1) == labels)
        balance = balance_loss([layer.last_gate for layer in self.network.lora_layers if layer.last_gate is not None])
        loss = total / max(tally.weight, 1.0) + self.options.balance * balance
        return loss, {"loss": round(float(loss.detach()), 4), **tally.figures(), "balance": round(float(balance.detach()), 3)}

    def _decisive(self, places: list[int], labels: torch.Tensor) -> torch.Tensor:
        """Where an answer decides what is done: its first token, and the tag of a call. Many more tokens only carry that out."""
        learnt = set(places)
        first = [place - 1 not in learnt for place in places]
        calls = torch.isin(labels, torch.tensor(self._call_tags, device=labels.device))
        return calls | torch.tensor(first, device=labels.device)

    def _drift(self, logits: torch.Tensor, ids: list[int], places: list[int]) -> torch.Tensor:
        """KL(frozen || ours) in nats at each of ``places``, tokens of the answer; what ours gives to tags counts as moved."""
        with torch.no_grad(), switched_off():
            inputs = self.network.language_model.get_input_embeddings().weight[torch.tensor(ids, device=logits.device)][None]
            hidden = self.network.run(inputs, torch.zeros_like(inputs), use_cache=False)[0, [place - 1 for place in places]]
            before = self.network.language_model.lm_head(hidden).float().log_softmax(-1)
        now = logits.log_softmax(-1)[:, : before.shape[1]]
        return (before.exp() * (before - now)).sum(-1)

    def state(self) -> dict[str, Any]:
        return {"model": self.network.trained_state(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_trained(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


@dataclass
class Tally:
    """What one batch gave: sums of losses, counts of words, boxes and kept tokens."""

    weight: float = 0.0
    words: int = 0
    words_loss: float = 0.0
    points: int = 0
    hits: int = 0
    kept: int = 0
    drift: float = 0.0

    def learn(self, losses: torch.Tensor, weights: torch.Tensor, pointing: torch.Tensor, right: torch.Tensor) -> None:
        self.weight += float(weights.sum())
        self.words += int((~pointing).sum())
        self.words_loss += float(losses[~pointing].sum())
        self.points += int(pointing.sum())
        self.hits += int(right[pointing].sum())

    def keep(self, drifts: torch.Tensor) -> None:
        self.weight += len(drifts)
        self.kept += len(drifts)
        self.drift += float(drifts.detach().sum())

    def figures(self) -> dict[str, float]:
        """Means: loss per word, share of boxes pointed at rightly, drift per kept token."""
        figures = {"words": round(self.words_loss / max(self.words, 1), 4), "point": round(self.hits / max(self.points, 1), 3)}
        kept = {"drift": round(self.drift / self.kept, 4)} if self.kept else {}
        return {**figures, "points": self.points, **kept}


def _to(picture: EncodedPicture, device: str) -> EncodedPicture:
    return picture if device == "cpu" else EncodedPicture(**{name: value.to(device) for name, value in vars(picture).items()})
