"""Fit the pointing head alone: the network runs forward once over many requests, the head then trains on what it saw.

The rest of the network stays as it is. Requests come from the same stream as the loop's. It mended a starved head in the first runs;
once the region reader was there, 7,000 boxes were learnt by heart and made it worse (docs/experiments.md), so look at ``after``.
"""

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from unified_demo.model.multimodal_lm import ProjectedPicture
from unified_demo.model.tokens import REGION_SLOT, Tokens
from unified_demo.training.loop import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitOptions:
    """``points`` boxes to collect, of which ``held_out`` (share of the pictures) are only measured."""

    points: int = 10_000
    held_out: float = 0.1
    epochs: int = 12
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 4242


@dataclass(frozen=True)
class Point:
    """One box to point at: the inputs of ``PointingHead`` in half precision; ``allowed`` are proposals not yet pointed at."""

    hidden: torch.Tensor
    phrase: torch.Tensor
    match: torch.Tensor
    read: torch.Tensor
    facts: torch.Tensor
    injection: torch.Tensor
    region_hidden: torch.Tensor
    allowed: torch.Tensor
    answer: int
    picture: int


@torch.no_grad()
def collect(trainer: Trainer, options: FitOptions) -> list[Point]:
    """Run the network over drawn conversations until ``options.points`` boxes are seen."""
    points: list[Point] = []
    rng, picture, started = random.Random(options.seed), 0, time.monotonic()
    while len(points) < options.points:
        example = trainer.draw(rng)
        if not example.scenes:
            continue
        tokens, scenes = trainer.tokenize(example)
        points += _points(trainer, tokens, {key: trainer.project(scene) for key, scene in scenes.items()}, picture)
        picture += 1
        if picture % 200 == 0:
            logger.info("%d points from %d pictures, %.0f s", len(points), picture, time.monotonic() - started)
    return points


def _points(trainer: Trainer, tokens: Tokens, projected: dict[str, ProjectedPicture], picture: int) -> Iterator[Point]:
    network, base = trainer.network, trainer.vocabulary.point_base
    inputs, injection = network.embed(tokens, projected)
    hidden = network.run(inputs[None], injection[None], use_cache=False)[0]
    places = [place for place, token in enumerate(tokens.ids) if token == REGION_SLOT]
    proposals = network.proposals(tokens, projected)
    seen = (proposals.facts.half(), injection[places].half(), hidden[places].half())
    allowed = torch.ones(len(places), dtype=torch.bool)
    for place, label in enumerate(tokens.labels):
        if label >= base:
            if tokens.ids[place - 2] != trainer.vocabulary.tag_ids["</box>"]:
                allowed = torch.ones(len(places), dtype=torch.bool)
            phrase = network.phrase(tokens.ids[:place], hidden, proposals)
            words = (hidden[place - 1].half(), phrase.mean.half(), phrase.match, network.read([phrase], len(places))[0])
            yield Point(*words, *seen, allowed.clone(), label - base, picture)
            allowed[label - base] = False


def fit(trainer: Trainer, options: FitOptions) -> dict[str, float]:
    """Train ``network.pointing`` on collected points; returns accuracy on the held-out pictures before and after."""
    points = collect(trainer, options)
    last = points[-1].picture * (1 - options.held_out)
    train, held = [point for point in points if point.picture < last], [point for point in points if point.picture >= last]
    head, rng = trainer.network.pointing, random.Random(options.seed)
    before, step = accuracy(head, held), 0
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    steps = options.epochs * (len(train) // options.batch)
    for epoch in range(options.epochs):
        head.train()
        rng.shuffle(train)
        for start in range(0, len(train) - options.batch + 1, options.batch):
            optimizer.param_groups[0]["lr"] = options.lr * (1.01 - step / steps)
            scores, answers = _scores(head, train[start : start + options.batch])
            loss = nn.functional.cross_entropy(scores, answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        logger.info("epoch %d: loss %.3f, held-out pointing %.3f", epoch + 1, float(loss.detach()), accuracy(head, held))
    return {"points": len(points), "before": before, "after": accuracy(head, held)}


@torch.no_grad()
def accuracy(head: nn.Module, points: list[Point]) -> float:
    """Share of boxes whose best allowed proposal is the right one, 0..1."""
    head.eval()
    hits = 0
    for start in range(0, len(points), 64):
        scores, answers = _scores(head, points[start : start + 64])
        hits += int((scores.argmax(-1) == answers).sum())
    return round(hits / max(len(points), 1), 4)


def _scores(head: nn.Module, points: list[Point]) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, most proposals) scores, -inf where there is no proposal or it is used up, and the right answers."""
    pad = nn.utils.rnn.pad_sequence
    regions = [
        pad([getattr(point, name).float() for point in points], batch_first=True) for name in ("facts", "injection", "region_hidden")
    ]
    match, read, allowed = (
        pad([point.match.float() for point in points], batch_first=True),
        pad([point.read.float() for point in points], batch_first=True),
        pad([point.allowed for point in points], batch_first=True),
    )
    hidden, phrase = torch.stack([point.hidden for point in points]), torch.stack([point.phrase for point in points])
    scores = head.scores(hidden[:, None], phrase[:, None], match[:, None], head.keys(*regions), read[:, None])[:, 0]
    answers = torch.tensor([point.answer for point in points], device=scores.device)
    return scores.masked_fill(~allowed.to(scores.device), -torch.inf), answers
