"""``python -m unified_demo.training.antecedents``: teach a small head which earlier picture, video or sound a message is about.

Dialogues are drawn as for the adapters, without pictures: what things show is told by the labels of their scenes. The frozen lower layers
of the language model read each message once; the head (``model.antecedents``) learns from what they make of it. Some minutes on
one core.
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from unified_demo.data.knowledge import knowledge
from unified_demo.data.multitask import Dialogue, write_dialogue
from unified_demo.data.scenes import draw_scene
from unified_demo.data.wordings import SubSet
from unified_demo.grammar import TASK_TAGS
from unified_demo.messages import Conversation
from unified_demo.model.antecedents import (
    FACTS_WIDTH,
    KINDS,
    AntecedentHead,
    Candidate,
    candidates,
    embedding_of,
    load_head,
    save_head,
    wish_vector,
)
from unified_demo.model.intents import NO_CALL, IntentConfig, words_of
from unified_demo.model.tokens import Vocabulary
from unified_demo.training.commands import carry_out, frozen_language_model
from unified_demo.training.intents import batches, padded, states_of

logger = logging.getLogger("unified_demo.training.antecedents")

TURNS = (2, 3, 4, 5, 6, 7)
UNKNOWN = 0.4
"""Share of messages that are learnt without what they ask for."""


@dataclass(frozen=True)
class Lesson:
    """A message, what it may be about, and which of ``candidates`` it is; ``wish`` as of ``wish_vector``."""

    text: str
    candidates: tuple[Candidate, ...]
    wish: torch.Tensor
    right: int


@dataclass(frozen=True)
class AntecedentOptions:
    epochs: int = 7
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 0


def draw_lessons(rng: random.Random, count: int, part: SubSet = "train") -> list[Lesson]:
    """``count`` messages with at least two candidates."""
    labels, found = tuple(knowledge()), list[Lesson]()
    while len(found) < count:
        dialogue = write_dialogue(rng, lambda given: draw_scene(given, labels, [], {}), labels, rng.choice(TURNS), part)
        found += lessons_of(dialogue)
    return found[:count]


def lessons_of(dialogue: Dialogue) -> Iterator[Lesson]:
    """Messages whose first call refers to one thing that was there before, and those that are answered in words about one."""
    labels = {key: tuple(region.label for region in seen.scene.regions) for key, seen in dialogue.seen.items() if seen.scene}
    for turn, exchange in enumerate(dialogue.exchanges):
        asked = Conversation(dialogue.conversation.messages[: 2 * turn + 1])
        keys = [key for key, artefact in asked.artefacts().items() if artefact.kind in KINDS]
        calls = exchange.calls()
        meant = calls[0].refs if calls else (exchange.about,) if exchange.manner == "answer" else ()
        if len(keys) > 1 and len(meant) == 1 and meant[0] in keys and words_of(asked):
            known: Mapping[str, Sequence[str]] = {key: labels[key] for key in keys if key in labels}
            wish = wish_vector(asked, str(calls[0].task) if calls else NO_CALL)
            yield Lesson(words_of(asked), tuple(candidates(asked, known)), wish, keys.index(meant[0]))


def learn(
    lessons: Sequence[Lesson], states: Sequence[torch.Tensor], shows: Mapping[str, torch.Tensor], options: AntecedentOptions
) -> AntecedentHead:
    """``states`` of each lesson's message; ``shows``: mean embedding of what each candidate shows, by its words."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    head = AntecedentHead(states[0].shape[1]).train()
    optimizer = torch.optim.AdamW(head.parameters(), options.lr, weight_decay=options.weight_decay)
    steps = options.epochs * (len(lessons) // options.batch + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, steps + options.epochs, pct_start=0.1)
    for epoch in range(options.epochs):
        started, total = time.monotonic(), 0.0
        drawn = batches(rng, range(len(lessons)), states, options.batch)
        for batch in drawn:
            given = [_unknown(lessons[row]) if rng.random() < UNKNOWN else lessons[row] for row in batch]
            scores = score(head, given, [states[row] for row in batch], shows)
            loss = functional.cross_entropy(scores, torch.tensor([lesson.right for lesson in given]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        logger.info("epoch %d: loss %.3f, %.0f s", epoch + 1, total / len(drawn), time.monotonic() - started)
    return head.eval()


def _unknown(lesson: Lesson) -> Lesson:
    wish = lesson.wish.clone()
    wish[: len(TASK_TAGS) + 1] = 0
    return replace(lesson, wish=wish)


def score(
    head: AntecedentHead, lessons: Sequence[Lesson], states: Sequence[torch.Tensor], shows: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """(lessons, most candidates) scores, hardly any where a lesson has fewer."""
    words, mask = padded(states)
    most = max(len(lesson.candidates) for lesson in lessons)
    facts, shown = torch.zeros(len(lessons), most, FACTS_WIDTH), torch.zeros(len(lessons), most, words.shape[2])
    there = torch.zeros(len(lessons), most, dtype=torch.bool)
    for row, lesson in enumerate(lessons):
        for place, candidate in enumerate(lesson.candidates):
            facts[row, place], shown[row, place], there[row, place] = candidate.facts, shows[candidate.shows], True
    scores = head(words, mask, facts, shown, torch.stack([lesson.wish for lesson in lessons]))
    return scores.masked_fill(~there, -1e4)


def accuracy(head: AntecedentHead, lessons: Sequence[Lesson], states: Sequence[torch.Tensor], shows: Mapping[str, torch.Tensor]) -> float:
    """Share of lessons whose right candidate has the best score."""
    with torch.no_grad():
        right = [int(score(head, [lesson], [state], shows).argmax()) == lesson.right for lesson, state in zip(lessons, states, strict=True)]
    return sum(right) / len(right)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.antecedents", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="messages that are drawn")
    parser.add_argument("--held-out", type=int, default=1_000, help="messages in held-out templates, to measure")
    parser.add_argument("--epochs", type=int, default=AntecedentOptions.epochs)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/antecedents.safetensors"), help="where the head is written")
    return carry_out(_run, parser.parse_args(arguments))


def _run(flags: argparse.Namespace) -> None:
    language_model, tokenizer = frozen_language_model()
    vocabulary = Vocabulary(tokenizer, language_model.config.vocab_size)
    words = language_model.get_input_embeddings().weight.detach()
    lessons = draw_lessons(random.Random(flags.seed), flags.count)
    measured = draw_lessons(random.Random(flags.seed + 998), flags.held_out, "held_out")
    every = [*lessons, *measured]
    states = states_of(language_model, vocabulary, [lesson.text for lesson in every], IntentConfig().layer)
    shows = {one.shows: embedding_of(one.shows, vocabulary, words) for lesson in every for one in lesson.candidates}
    head = learn(lessons, states[: len(lessons)], shows, AntecedentOptions(epochs=flags.epochs, seed=flags.seed))
    save_head(head, flags.weights)
    right = accuracy(load_head(flags.weights).eval(), measured, states[len(lessons) :], shows)
    logger.info("wrote %s, %d bytes; %.3f of %d held-out messages", flags.weights, flags.weights.stat().st_size, right, len(measured))


if __name__ == "__main__":
    sys.exit(main())
