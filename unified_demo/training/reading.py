"""Train the region reader alone: words and proposals only, no language model, about a hundred boxes a second.

Conversations come from the same stream as the loop's; every box to point at is one example, and so is every question. Each is seen
``epochs`` times within its pool, then never again, so the accuracy on a new pool is that on unseen scenes.
"""

import logging
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from unified_demo.messages import Message, TextPart
from unified_demo.model.pointing import answer_places
from unified_demo.model.reader import Reading
from unified_demo.model.tokens import Tokens, Vocabulary
from unified_demo.training.loop import Trainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadOptions:
    """``minutes`` of wall time; the learning rate rises over ``warmup`` steps and falls to a hundredth (cosine of the time spent)."""

    minutes: float = 20.0
    pool: int = 4096
    epochs: int = 2
    batch: int = 64
    lr: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.02
    without_question: float = 0.3
    seed: int = 515


ABSENT = ("I cannot see", "No, I cannot see", "I see no ")
"""How answers begin that say that nothing fits."""
Question = tuple[Reading, list[int]]
"""What the reader sees, and which of its scores are right: 0 nothing fits, 1 + i proposal i."""


def examples(trainer: Trainer, rng: random.Random) -> Iterator[Question]:
    """Two kinds from drawn conversations, without end: every box to point at, with its phrase; and every question by itself, with
    what the first phrase of its answer points at, or nothing."""
    network = trainer.network
    while True:
        drawn = trainer.draw(rng)
        if not drawn.scenes:
            continue
        tokens, scenes, _ = trainer.tokenize(drawn)
        proposals = network.proposals(tokens, {key: trainer.plain(scene) for key, scene in scenes.items()})
        for place, label in enumerate(tokens.labels):
            if label >= trainer.vocabulary.point_base and (reading := network.reading(tokens.ids[:place], proposals)):
                yield reading, [1 + label - trainer.vocabulary.point_base]
        answers = [message for message in drawn.conversation.messages if message.role == "assistant"]
        for start, answer in zip(answer_places(tokens.ids, network.answer_marks), answers, strict=False):
            if fitting := _fitting(tokens, start, answer, trainer.vocabulary):
                yield network.question(tokens.ids[: start + 1], proposals), fitting


def _fitting(tokens: Tokens, start: int, answer: Message, vocabulary: Vocabulary) -> list[int]:
    """What fits the question whose answer starts behind ``start``; empty when the answer does not tell."""
    first = answer.parts[0] if answer.parts else None
    if isinstance(first, TextPart) and first.text.startswith(ABSENT):
        return [0]
    fitting: list[int] = []
    for place in range(start + 1, len(tokens.ids)):
        token = tokens.ids[place]
        if token >= vocabulary.point_base:
            fitting.append(1 + token - vocabulary.point_base)
        elif token == vocabulary.end_id or (
            fitting and tokens.ids[place - 1] == vocabulary.tag_ids["</box>"] and token != vocabulary.tag_ids["<box>"]
        ):
            break
    return fitting


def train_reader(trainer: Trainer, options: ReadOptions) -> dict[str, float]:
    """Train ``network.reader``; returns steps, boxes seen and the accuracy on the last unseen pool."""
    reader, rng = trainer.network.reader.requires_grad_(True).train(), random.Random(options.seed)
    words = trainer.network.language_model.get_input_embeddings().weight.detach()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=options.weight_decay)
    source, started, saved, step, seen, figure = examples(trainer, rng), time.monotonic(), time.monotonic(), 0, 0, 0.0
    while (time.monotonic() - started) / 60 < options.minutes:
        begun = time.monotonic()
        drawn = [next(source) for _ in range(options.pool)]
        meant = trainer.network.understood([reading for reading, _ in drawn])
        pool = [(reading, answers) for reading, (_, answers) in zip(meant, drawn, strict=True)]
        drawn_s = time.monotonic() - begun
        seen += len(pool)
        for epoch in range(options.epochs):
            hits, total = 0, 0.0
            for batch in _batches(rng, pool, options):
                spent = min(1.0, (time.monotonic() - started) / 60 / options.minutes)
                rate = min(1.0, (step + 1) / options.warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * spent)))
                optimizer.param_groups[0]["lr"] = options.lr * rate
                with torch.autocast(words.device.type, torch.bfloat16):
                    scores = reader([reading for reading, _ in batch], words).float()
                right = torch.zeros_like(scores)
                for row, (_, answers) in zip(right, batch, strict=True):
                    row[answers] = 1 / len(answers)
                loss = -(right * scores.log_softmax(-1).clamp(min=-1e4)).sum(-1).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
                optimizer.step()
                step += 1
                hits += int((right.gather(1, scores.argmax(-1, keepdim=True)) > 0).sum())
                total += float(loss.detach()) * len(batch)
            if epoch == 0:
                figure = hits / len(pool)
                logger.info("%d boxes, loss %.3f, unseen %.3f, drawing %.0f s", seen, total / len(pool), figure, drawn_s)
        if time.monotonic() - saved > 120:
            trainer.save()
            saved = time.monotonic()
    return {"steps": step, "boxes": seen, "unseen": round(figure, 4)}


def _batches(rng: random.Random, pool: list[Question], options: ReadOptions) -> Iterator[list[Question]]:
    """Batches of pictures with about as many proposals; now and then the question is left out, so that the phrase alone must do."""
    order = sorted(rng.sample(pool, len(pool)), key=lambda item: len(item[0].labels))
    batches = [order[start : start + options.batch] for start in range(0, len(order), options.batch)]
    rng.shuffle(batches)
    for batch in batches:
        drop = [reading.phrase and rng.random() < options.without_question for reading, _ in batch]
        yield [
            (replace(reading, question=(), meaning=None) if out else reading, answer)
            for out, (reading, answer) in zip(drop, batch, strict=True)
        ]
