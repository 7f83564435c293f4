"""``python -m unified_demo.training.small_talk``: small talk is told from wishes and questions, and answered (``model.small_talk``); a
quarter of an hour on one core.

The head learns from the messages of ``small_talk.toml``, questions about the program, and as others the messages that ``training.intents``
draws. The adapters learn the replies; the language model and the adapters that write tags stay as they are.
"""

import argparse
import logging
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from unified_demo.config import Settings
from unified_demo.conversation import render_conversation
from unified_demo.data.requests import about_ourselves
from unified_demo.data.small_talk import SmallTalkData, read_small_talk
from unified_demo.data.wishes import NONE, wishes
from unified_demo.messages import Conversation, Message, TextPart
from unified_demo.model.intents import IntentConfig
from unified_demo.model.loading import build_network, read_config
from unified_demo.model.passes import using_adapters
from unified_demo.model.small_talk import ADAPTERS, HEAD, adapted_layers, add_talk_adapters, talk_state
from unified_demo.model.tokens import Vocabulary
from unified_demo.training.commands import carry_out, frozen_language_model
from unified_demo.training.intents import draw_lessons, states_of
from unified_demo.zoo import Zoo

logger = logging.getLogger("unified_demo.training.small_talk")

LEFT_OUT = 10
"""Every so many messages are not learnt from; what the log says is measured on them."""
RANK = 4
CLAIMS = ("video", "sound")
"""Replies that speak of these are true where there are tools for them, and are not learnt."""


@dataclass(frozen=True)
class TalkOptions:
    """``weight``: how many times a message that is drawn each one of small talk, and of what only sounds like it, counts for the head."""

    epochs: int = 8
    batch: int = 16
    lr: float = 1e-3
    width: int = 128
    head_epochs: int = 10
    head_batch: int = 256
    head_lr: float = 1e-3
    dropout: float = 0.3
    decay: float = 0.05
    weight: float = 3.0
    seed: int = 0


# ---- messages ----


def replies(data: SmallTalkData) -> list[tuple[str, str]]:
    """(message, reply) of the table, and of what is asked about the program."""
    own = [(asked, said) for asked, said in about_ourselves() if not any(word in said for word in CLAIMS)]
    return [*data.said, *own]


def other_messages(rng: random.Random, data: SmallTalkData, count: int) -> list[str]:
    """The table's, and ``count`` that are drawn, those left out that may be small talk."""
    talk = {message.lower() for message, _ in data.said} | {asked.lower() for asked, _ in about_ourselves()}
    unclear = {" ".join(asked.split()).lower() for asked, _, _ in wishes()[NONE] if not asked.rstrip().endswith(("?", "？"))}
    drawn = dict.fromkeys(lesson.text for lesson in draw_lessons(rng, count))
    return [*data.others, *(text for text in drawn if text.lower() not in talk | unclear)]


# ---- telling small talk ----


class TalkHead(nn.Module):
    """(n, 3 * hidden) states -> (n,) logits that they are of small talk."""

    def __init__(self, states: torch.Tensor, options: TalkOptions) -> None:
        super().__init__()
        self.mean, self.deviation = states.mean(0), states.std(0) + 1e-3
        self.into, self.out = nn.Linear(states.shape[1], options.width), nn.Linear(options.width, 1)
        self.drop = nn.Dropout(options.dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        known = functional.gelu(self.into(self.drop((states - self.mean) / self.deviation)))
        return cast(torch.Tensor, self.out(self.drop(known)).squeeze(-1))

    def tensors(self) -> dict[str, torch.Tensor]:
        found = {
            "mean": self.mean, "deviation": self.deviation, "into": self.into.weight, "bias": self.into.bias,
            "weight": self.out.weight[0], "least": self.out.bias[0],
        }  # fmt: skip
        return {f"{HEAD}{name}": tensor.detach() for name, tensor in found.items()}


def learn_head(talk: torch.Tensor, others: torch.Tensor, counts: torch.Tensor, options: TalkOptions) -> TalkHead:
    """(n, 3 * hidden) and (m, 3 * hidden) states; ``counts`` (m,): how much each of the others counts."""
    torch.manual_seed(options.seed)
    states, wanted = torch.cat([talk, others]), torch.cat([torch.ones(len(talk)), torch.zeros(len(others))])
    weights = torch.cat([torch.full((len(talk),), options.weight), counts])
    head = TalkHead(states, options).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=options.head_lr, weight_decay=options.decay)
    batch = min(options.head_batch, len(states))
    steps = options.head_epochs * (len(states) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.head_lr, total_steps=steps)
    for _ in range(options.head_epochs):
        order = torch.randperm(len(states))
        for start in range(0, len(states) - batch + 1, batch):
            rows = order[start : start + batch]
            loss = functional.binary_cross_entropy_with_logits(head(states[rows]), wanted[rows], weights[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head.eval()


# ---- answering ----


def example(vocabulary: Vocabulary, message: str, reply: str) -> tuple[list[int], int]:
    """(token ids of the prompt and the reply, how many of them are the prompt's)."""
    prompt = vocabulary.tokenize(render_conversation(Conversation((Message("user", (TextPart(message),)),))), {}, {}).ids
    return [*prompt, *vocabulary.encode(reply), vocabulary.end_id], len(prompt)


def reply_loss(language_model: nn.Module, rows: Sequence[tuple[list[int], int]]) -> torch.Tensor:
    """Mean over the tokens of the replies."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row, _ in rows], batch_first=True)
    with using_adapters(ADAPTERS):
        hidden = language_model.model(ids[:, :-1], use_cache=False).last_hidden_state
    due = torch.zeros(ids.shape, dtype=torch.bool)
    for place, (row, start) in enumerate(rows):
        due[place, start : len(row)] = True
    return functional.cross_entropy(language_model.lm_head(hidden[due[:, 1:]]).float(), ids[due])


def learn_replies(
    language_model: nn.Module, rows: Sequence[tuple[list[int], int]], measured: Sequence[tuple[list[int], int]], options: TalkOptions
) -> None:
    """Train the adapters of small talk in place; padding comes behind the replies, where it is seen by nothing."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    layers = adapted_layers(language_model)
    language_model.requires_grad_(False)
    add_talk_adapters(layers, RANK)
    parts = [getattr(layer, part)[ADAPTERS].weight for layer in layers.values() for part in layer.adapter_layer_names]
    for weight in parts:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(parts, lr=options.lr, weight_decay=0.01)
    steps = options.epochs * (len(rows) // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=steps)
    started = time.monotonic()
    for epoch in range(options.epochs):
        order, total = rng.sample(range(len(rows)), len(rows)), 0.0
        for start in range(0, len(rows) - options.batch + 1, options.batch):
            loss = reply_loss(language_model, [rows[row] for row in order[start : start + options.batch]])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parts, 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        with torch.no_grad():
            apart = float(reply_loss(language_model, measured)) if measured else 0.0
        mean = total / (len(rows) // options.batch)
        logger.info("epoch %d: loss %.3f, of those left out %.3f, %.0f s", epoch + 1, mean, apart, time.monotonic() - started)


def save_small_talk(path: Path, head: TalkHead, language_model: nn.Module) -> None:
    """For ``model.small_talk.SmallTalk.load``; adapters in half precision."""
    tensors = {name: tensor.float().contiguous() for name, tensor in head.tensors().items()}
    for name, layer in adapted_layers(language_model).items():
        for part in layer.adapter_layer_names:
            tensors[f"{name}.{part}"] = getattr(layer, part)[ADAPTERS].weight.detach().to(torch.bfloat16).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"rank": str(RANK)})
    path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.small_talk", description=__doc__)
    parser.add_argument("--count", type=int, default=22_000, help="other messages that are drawn")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/small_talk.safetensors"), help="where it is written")
    parser.add_argument("--epochs", type=int, default=TalkOptions.epochs)
    parser.add_argument("--seed", type=int, default=TalkOptions.seed)
    return carry_out(_run, parser.parse_args(arguments))


def _run(flags: argparse.Namespace) -> None:
    settings, options = Settings(), TalkOptions(epochs=flags.epochs, seed=flags.seed)
    rng, data = random.Random(flags.seed), read_small_talk()
    language_model, tokenizer = frozen_language_model()
    vocabulary = Vocabulary(tokenizer, language_model.config.vocab_size)
    talk, others = replies(data), other_messages(rng, data, flags.count)
    rng.shuffle(talk)
    rng.shuffle(others)
    logger.info("%d messages of small talk, %d others", len(talk), len(others))
    read = [states_of(language_model, vocabulary, texts, IntentConfig().layer) for texts in ([text for text, _ in talk], others)]
    told, rest = (torch.stack([talk_state(states) for states in one]) for one in read)
    counts = torch.tensor([options.weight if text in data.others else 1.0 for text in others])
    head = learn_head(_learnt(told), _learnt(rest), _learnt(counts), options)
    with torch.no_grad():
        found, wrong = ((head(one[::LEFT_OUT]) >= 0).float() for one in (told, rest))
    near = wrong[counts[::LEFT_OUT] > 1]
    logger.info(
        "of those left out: %.3f of %d told; wrongly %.4f of %d others, %.3f of %d that sound like it",
        found.mean(), len(found), wrong.mean(), len(wrong), near.mean(), len(near),
    )  # fmt: skip
    network, vocabulary = build_network(
        language_model, tokenizer, read_config(Zoo(settings.cache_dir, settings.weights_dir).path("tiny_adapters"))
    )
    rows = [example(vocabulary, *pair) for pair in talk]
    learn_replies(network.language_model, [row for place, row in enumerate(rows) if place % LEFT_OUT], rows[::LEFT_OUT], options)
    save_small_talk(flags.weights, head, network.language_model)
    logger.info("wrote %s, %d bytes", flags.weights, flags.weights.stat().st_size)


def _learnt(states: torch.Tensor) -> torch.Tensor:
    return states[[place for place in range(len(states)) if place % LEFT_OUT]]


if __name__ == "__main__":
    sys.exit(main())
