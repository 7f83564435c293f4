"""``python -m unified_demo.training.intents``: what messages ask for is learnt (``model.intents``); an hour and a half on one core.

Messages are drawn as for the adapters (``recipes``): frames, whole wishes, several wishes, dialogues, in English and Chinese; pictures
are not needed. The lowest layers of the language model read each message once; copies of the next ones, and the head, learn from what
they make of it.
Refusals are left out: a wish for what is not there is the same wish.
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from unified_demo.data.chinese import in_script
from unified_demo.data.exchanges import Exchange
from unified_demo.data.knowledge import knowledge
from unified_demo.data.layout_prompts import Planned, read_planned
from unified_demo.data.multitask import Dialogue, write_dialogue
from unified_demo.data.requests import JOINED
from unified_demo.data.scenes import draw_scene
from unified_demo.data.several import bundles
from unified_demo.data.typos import misspelt
from unified_demo.data.wishes import NONE, wishes
from unified_demo.grammar import TASK_TAGS, TASKS, Task
from unified_demo.messages import Conversation, Message
from unified_demo.model.intents import (
    CHOICES,
    KINDS,
    MOST_CALLS,
    NO_CALL,
    PLAIN,
    IntentConfig,
    IntentHead,
    Situation,
    done_vector,
    load_head,
    lower_states,
    own_layers,
    save_head,
    speaks_to_us,
    tokens_of,
    words_of,
)
from unified_demo.model.own_layers import OwnLayers
from unified_demo.model.tokens import Vocabulary
from unified_demo.training.chats import is_general, read_chats
from unified_demo.training.commands import carry_out, frozen_language_model
from unified_demo.training.recipes import created, layout_request

logger = logging.getLogger("unified_demo.training.intents")

CREATED, LAYOUTS, SEVERAL, JOINED_WISHES = 0.05, 0.1, 0.15, 0.05
"""Shares of lone messages for something new, for layouts, with several wishes, and of whole wishes in one message; the rest come from
dialogues."""
OWN_LAYERS = 6
HASTY = 0.1
"""Share of messages with a slip of the keyboard."""
TURNS = (1, 1, 1, 2, 3)
WISH_WEIGHT, REGION_WEIGHT = 2, 2
"""How often messages of dialogues are learnt in an epoch: those written whole, and those about regions, where they ask for one call; the
others once. Each whole wish comes once more by itself."""
REGIONS = (Task.IMAGE_SEGMENTATION, Task.VIDEO_SEGMENTATION, Task.REASONING_EDITING)
WRITTEN = ("wish", "chinese")


@dataclass(frozen=True)
class Lesson:
    """A message, what it is read with, and the tags of the calls that it asks for, in order; whether it is ``plain`` chat."""

    text: str
    situation: Situation
    calls: tuple[str, ...]
    written: bool = False
    plain: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """What is to be chosen, one after the other."""
        return (*self.calls, PLAIN if self.plain else NO_CALL)

    @property
    def weight(self) -> int:
        if len(self.calls) > 1:
            return 1
        return WISH_WEIGHT if self.written else REGION_WEIGHT if self.calls and self.calls[0] in REGIONS else 1


@dataclass(frozen=True)
class IntentOptions:
    """``rank``: of the matrices that are kept of what the own layers learnt."""

    epochs: int = 3
    batch: int = 64
    lr: float = 1e-3
    own_lr: float = 1e-4
    weight_decay: float = 0.05
    own_weight_decay: float = 0.01
    smoothing: float = 0.05
    rank: int = 256
    seed: int = 0


WARMUP = 0.06
"""Share of the steps in which the learning rates rise."""


# ---- messages ----


def draw_lessons(rng: random.Random, count: int, planned: Sequence[Planned] = ()) -> list[Lesson]:
    """``count`` messages, none twice in the same situation. ``planned``: prompts of NSR-1K with their boxes."""
    found: dict[tuple[str, Situation], Lesson] = {}
    labels = tuple(knowledge())
    while len(found) < count:
        for lesson in _draw(rng, labels, list(planned)):
            if rng.random() < HASTY:
                lesson = replace(lesson, text=misspelt(rng, lesson.text))
            if lesson.text:
                found.setdefault((lesson.text, lesson.situation), lesson)
    return list(found.values())[:count]


def whole_wishes(rng: random.Random) -> Iterator[Lesson]:
    """Each of them once, with the media it needs; one in ten with other media too, for in dialogues some hardly come up."""
    for task, rows in wishes().items():
        needs = frozenset(TASKS[Task(task)].needs if task != NONE else ())
        for asked, _, _ in rows:
            others = frozenset([rng.choice(KINDS)] if rng.random() < 0.1 else [])
            calls = () if task == NONE else (task,)
            yield Lesson(" ".join(asked.split()), Situation(needs | others), calls, plain=asked in _plain_wishes())


def wishes_with_layouts() -> Iterator[Lesson]:
    """Each message with several wishes of which one is a layout: no dialogue has them."""
    for bundle in (*bundles("english"), *bundles("chinese")):
        if bundle.lays_out:
            calls = tuple(str(step.task) for step in bundle.steps)[:MOST_CALLS]
            yield Lesson(" ".join(bundle.asked.split()), Situation(bundle.needs), calls)


@cache
def _plain_wishes() -> frozenset[str]:
    """What is no wish to us, in English; it may speak of pictures ("can I write off a camera on my taxes?")."""
    return frozenset(asked for asked, _, language in wishes()[NONE] if language == "english" and not speaks_to_us(asked))


def joined_wishes(rng: random.Random) -> Lesson:
    """Two or three whole wishes of one language in one message, one after the other."""
    language, count = rng.choice(("english", "english", "chinese")), rng.choice((2, 2, 2, 3))
    every = [(asked, task) for task, rows in wishes().items() if task != NONE for asked, _, spoken in rows if spoken == language]
    drawn = rng.sample(every, count)
    frames = JOINED if language == "english" else in_script("joined", traditional=False)
    text = drawn[0][0].rstrip(".。！？!?")
    for asked, _ in drawn[1:]:
        text = rng.choice(frames).format(a=text, b=asked)
    needs = frozenset(kind for _, task in drawn for kind in TASKS[Task(task)].needs)
    return Lesson(" ".join(text.split()), Situation(needs), tuple(task for _, task in drawn))


def _draw(rng: random.Random, labels: tuple[str, ...], planned: list[Planned]) -> Iterator[Lesson]:
    roll = rng.random()
    if roll < JOINED_WISHES:
        yield joined_wishes(rng)
        return
    if roll < JOINED_WISHES + CREATED + LAYOUTS:
        exchange = created(rng, labels) if roll < JOINED_WISHES + CREATED else layout_request(rng, labels, planned)
        alone = Conversation((Message("user", exchange.user),))
        yield Lesson(words_of(alone), Situation.of(alone), _calls(exchange), _written(exchange))
        return
    only = "several" if roll < JOINED_WISHES + CREATED + LAYOUTS + SEVERAL else ""
    dialogue = write_dialogue(rng, lambda given: draw_scene(given, labels, [], {}), labels, 1 if only else rng.choice(TURNS), only=only)
    yield from lessons_of(dialogue)


def lessons_of(dialogue: Dialogue) -> Iterator[Lesson]:
    """What each message of a dialogue asks for; not those that were refused."""
    for turn, exchange in enumerate(dialogue.exchanges):
        asked = Conversation(dialogue.conversation.messages[: 2 * turn + 1])
        refused = exchange.task in (*TASK_TAGS, "several") and not exchange.calls() and not exchange.templates[0].endswith("unsaid")
        if not refused:
            said = words_of(asked)
            plain = said in _plain_wishes() or (exchange.task == "chat" and not exchange.chinese and is_general(said))
            yield Lesson(words_of(asked), Situation.of(asked), _calls(exchange), _written(exchange), plain)


def _calls(exchange: Exchange) -> tuple[str, ...]:
    return tuple(str(call.task) for call in exchange.calls())[:MOST_CALLS]


def _written(exchange: Exchange) -> bool:
    return any(word in name for name in exchange.templates for word in WRITTEN)


def chat_lessons(path: Path) -> list[Lesson]:
    """Questions of kept chats: the frozen model answered them."""
    chats = [Conversation(chat.messages[:1]) for chat in read_chats(path)]
    return [Lesson(words_of(chat), Situation.of(chat), (), True, plain=True) for chat in chats]


# ---- states ----


def states_of(language_model: nn.Module, vocabulary: Vocabulary, texts: Sequence[str], layer: int, batch: int = 64) -> list[torch.Tensor]:
    """(length, hidden) bf16 states of each text behind the first ``layer`` layers."""
    ids = [tokens_of(vocabulary, text) for text in texts]
    found: list[torch.Tensor] = [torch.empty(0)] * len(ids)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        padded = nn.utils.rnn.pad_sequence([torch.tensor(ids[row]) for row in rows], batch_first=True)
        with torch.no_grad():
            states = lower_states(language_model.model, padded, layer)
        for row, one in zip(rows, states, strict=True):
            found[row] = one[: len(ids[row])].to(torch.bfloat16).clone()
        if start % (100 * batch) == 0:
            logger.info("read %d of %d messages", start, len(order))
    return found


# ---- learning ----


class Reading(nn.Module):
    """What is trained: a head, and the layers that it has of its own."""

    def __init__(self, head: IntentHead, own: OwnLayers | None) -> None:
        super().__init__()
        self.head, self.own = head, own

    def loss(self, lessons: Sequence[Lesson], states: Sequence[torch.Tensor], smoothing: float) -> torch.Tensor:
        read, mask = padded(states)
        if self.own:
            with torch.autocast(read.device.type, torch.bfloat16):
                read = self.own(read, mask)
        words = self.head.words(read.float(), mask)
        steps = [(row, step) for row, lesson in enumerate(lessons) for step in range(min(len(lesson.calls) + 1, MOST_CALLS + 1))]
        situations = torch.stack([lessons[row].situation.vector() for row, _ in steps])
        done = torch.stack([done_vector(lessons[row].calls[:step]) for row, step in steps])
        wanted = torch.tensor([CHOICES.index(lessons[row].choices[step]) for row, step in steps])
        rows = [row for row, _ in steps]
        return functional.cross_entropy(self.head(words[rows], mask[rows], situations, done), wanted, label_smoothing=smoothing)


def learn(
    lessons: Sequence[Lesson],
    states: Sequence[torch.Tensor],
    options: IntentOptions,
    config: IntentConfig,
    backbone: nn.Module | None = None,
    start: IntentHead | None = None,
    keep: Callable[[IntentHead], None] = lambda head: None,
) -> IntentHead:
    """A head that gives each lesson's calls, one after the other, and then NO_CALL. ``states`` are those below the layers that the head has
    of its own, which begin as those of ``backbone``; where there is a ``start``, it learns on. ``keep`` gets it after each epoch."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    own = own_layers(config, backbone).float().requires_grad_(True) if config.own and backbone else None
    reading = Reading(IntentHead(config), own).train()
    if start:
        reading.head.load_state_dict(start.state_dict())
    if start and own:
        own.differ_by(start.differences)
    rows = [index for index, lesson in enumerate(lessons) for _ in range(lesson.weight)]
    groups = [{"params": reading.head.parameters(), "lr": options.lr, "weight_decay": options.weight_decay}]
    groups += [{"params": own.parameters(), "lr": options.own_lr, "weight_decay": options.own_weight_decay}] if own else []
    optimizer = torch.optim.AdamW(groups)
    steps = options.epochs * (len(rows) // options.batch + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / (WARMUP * steps), max(0.0, 1 - step / steps)))
    for epoch in range(options.epochs):
        started, total = time.monotonic(), 0.0
        drawn = batches(rng, rows, states, options.batch)
        for done, batch in enumerate(drawn, start=1):
            loss = reading.loss([lessons[row] for row in batch], [states[row] for row in batch], options.smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(reading.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
            if done % 100 == 0:
                logger.info("epoch %d, %d of %d: loss %.3f, %.0f s", epoch + 1, done, len(drawn), total / done, time.monotonic() - started)
        logger.info("epoch %d: loss %.3f, %.0f s", epoch + 1, total / len(drawn), time.monotonic() - started)
        if own and backbone:
            reading.head.differences = own.differences(backbone, config.layer - config.own, options.rank)
        keep(reading.head)
    return reading.head.eval()


def batches(rng: random.Random, rows: Sequence[int], states: Sequence[torch.Tensor], size: int) -> list[list[int]]:
    """Rows in random batches, each of about equally long messages."""
    mixed = rng.sample(list(rows), len(rows))
    pools = [sorted(mixed[start : start + 20 * size], key=lambda row: len(states[row])) for start in range(0, len(mixed), 20 * size)]
    made = [pool[start : start + size] for pool in pools for start in range(0, len(pool), size)]
    rng.shuffle(made)
    return made


def padded(states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, length, hidden) float32 states and the (batch, length) mask of what is no padding."""
    rows = nn.utils.rnn.pad_sequence([row.float() for row in states], batch_first=True)
    lengths = torch.tensor([len(row) for row in states])
    return rows, torch.arange(rows.shape[1])[None] < lengths[:, None]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.intents", description=__doc__)
    parser.add_argument("--count", type=int, default=72_000, help="messages that are drawn, besides each whole wish once")
    parser.add_argument("--chats", type=Path, help="chats.jsonl made by 'training chats': questions that ask for no call")
    parser.add_argument("--pairs", type=Path, help="NSR-1K spatial.train.json")
    parser.add_argument("--epochs", type=int, default=IntentOptions.epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="a head to learn on from, such as one of fewer epochs")
    parser.add_argument("--own", type=int, default=OWN_LAYERS, help="layers that are the head's own; 0 takes half the time")
    parser.add_argument("--weights", type=Path, help="where the head is written (default: weights/tiny/own_intents or intents.safetensors)")
    return carry_out(_run, parser.parse_args(arguments))


def _run(flags: argparse.Namespace) -> None:
    language_model, tokenizer = frozen_language_model()
    vocabulary = Vocabulary(tokenizer, language_model.config.vocab_size)
    planned = read_planned(flags.pairs.parent) if flags.pairs else []
    rng = random.Random(flags.seed)
    lessons = draw_lessons(rng, flags.count, planned) + list(whole_wishes(rng)) + list(wishes_with_layouts())
    lessons += chat_lessons(flags.chats) if flags.chats else []
    logger.info("%d messages, %d written whole", len(lessons), sum(lesson.written for lesson in lessons))
    start = load_head(flags.start) if flags.start else None
    config = start.config if start else IntentConfig(hidden=language_model.config.hidden_size, own=flags.own)
    states = states_of(language_model, vocabulary, [lesson.text for lesson in lessons], config.layer - config.own)
    weights = flags.weights or Path("weights/tiny", f"{'own_' if config.own else ''}intents.safetensors")
    options = IntentOptions(epochs=flags.epochs, seed=flags.seed)
    learn(lessons, states, options, config, language_model.model, start, lambda head: save_head(head, weights))
    load_head(weights)
    logger.info("wrote %s, %d bytes", weights, weights.stat().st_size)


if __name__ == "__main__":
    sys.exit(main())
