"""``python -m unified_demo.training.answers``: teach two linear maps which noun answers a question (``model.answers``); ten minutes on one
core.

The frozen language model reads each question and each noun once. Nouns are told apart by a softmax over all that training asks for, without
those that would answer the question as well. Held-out nouns get vectors, but no question of training asks for them.
"""

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from unified_demo.data.questions import Asked, asked_questions
from unified_demo.model.answers import question_state
from unified_demo.model.likelihood import ABOUT_NOTHING, FRAME
from unified_demo.model.naming import Names
from unified_demo.training.commands import carry_out, frozen_language_model

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

logger = logging.getLogger("unified_demo.training.answers")

WIDTH, LAYER = 256, 24
"""Of the common space; of the frozen model's layers, the one whose states tell what a noun is."""
SAID = (
    "A {noun} is a kind of",
    "This is a photo of a {noun}",
    "The {noun} looks like",
    "You would use a {noun}",
    f"{FRAME.format(ABOUT_NOTHING)} {{noun}}",
)
NOT_MEANT = -30.0
TOLD = 1000


@dataclass(frozen=True)
class AnswerOptions:
    epochs: int = 30
    batch: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    smoothing: float = 0.05
    seed: int = 0


class Maps(nn.Module):
    """``forward(questions (n, 2 * hidden), nouns (m, sentences * hidden))`` -> (n, m) logits."""

    def __init__(self, questions: torch.Tensor, nouns: torch.Tensor, dropout: float) -> None:
        super().__init__()
        self.question, self.noun = nn.Linear(questions.shape[1], WIDTH), nn.Linear(nouns.shape[1], WIDTH)
        self.log_scale, self.dropout = nn.Parameter(torch.tensor(2.5)), nn.Dropout(dropout)
        self.mean, self.deviation = questions.mean(0), questions.std(0) + 1e-3
        self.noun_mean, self.noun_deviation = nouns.mean(0), nouns.std(0) + 1e-3

    def vectors(self, nouns: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.noun(self.dropout((nouns - self.noun_mean) / self.noun_deviation)), dim=-1)

    def forward(self, questions: torch.Tensor, nouns: torch.Tensor) -> torch.Tensor:
        asked = functional.normalize(self.question(self.dropout((questions - self.mean) / self.deviation)), dim=-1)
        return asked @ self.vectors(nouns).T * self.log_scale.exp()


@torch.no_grad()
def question_states(language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", questions: Sequence[str]) -> torch.Tensor:
    """(questions, 2 * hidden), as of ``model.answers``."""
    rows = []
    for number, question in enumerate(questions, 1):
        ids = tokenizer(FRAME.format(question), return_tensors="pt").input_ids
        rows.append(question_state(language_model.model(ids).last_hidden_state[0]))
        if number % TOLD == 0:
            logger.info("%d questions read", number)
    return torch.stack(rows)


@torch.no_grad()
def noun_states(language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", nouns: Sequence[str]) -> torch.Tensor:
    """(nouns, sentences * hidden): the state behind the last word of each sentence about a noun."""
    rows = []
    for noun in nouns:
        ids = [tokenizer(said.format(noun=noun), return_tensors="pt").input_ids for said in SAID]
        states = [language_model.model(one, output_hidden_states=True).hidden_states[LAYER][0, -1].float() for one in ids]
        rows.append(torch.cat(states))
    return torch.stack(rows)


def learn(asked: Sequence[Asked], questions: torch.Tensor, nouns: dict[str, torch.Tensor], options: AnswerOptions) -> Maps:
    """``questions``: the state of each question; ``nouns``: that of every noun they ask for. The same for the same seed."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    names = sorted({one.noun for one in asked})
    states, row = torch.stack([nouns[noun] for noun in names]), {noun: index for index, noun in enumerate(names)}
    wanted = torch.tensor([row[one.noun] for one in asked])
    also = [[row[noun] for noun in sorted(one.also) if noun in row and noun != one.noun] for one in asked]
    maps = Maps(questions, states, options.dropout)
    optimizer = torch.optim.AdamW(maps.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    batch = min(options.batch, len(asked))
    batches = len(asked) // batch
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.epochs * batches)
    for epoch in range(options.epochs):
        order, losses = list(range(len(asked))), []
        rng.shuffle(order)
        for start in range(0, batches * batch, batch):
            chosen = order[start : start + batch]
            logits = maps(questions[chosen], states)
            rows = [place for place, index in enumerate(chosen) for _ in also[index]]
            logits[rows, [column for index in chosen for column in also[index]]] = NOT_MEANT
            loss = functional.cross_entropy(logits, wanted[chosen], label_smoothing=options.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            losses.append(loss.item())
        logger.info("epoch %d: loss %.3f", epoch + 1, sum(losses) / len(losses))
    return maps.eval()


@torch.no_grad()
def save_answers(path: Path, maps: Maps, nouns: Sequence[str], states: torch.Tensor) -> None:
    """For ``model.answers.AnswerMaps.load``; half precision where it does not matter. ``states`` (nouns, ...): of ``noun_states``."""
    tensors = {
        "vectors": maps.vectors(states).half(), "question.weight": maps.question.weight.half(), "question.bias": maps.question.bias.half(),
        "mean": maps.mean, "deviation": maps.deviation, "scale": maps.log_scale.exp(),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata={"nouns": "\n".join(nouns)})
    path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.answers", description=__doc__)
    parser.add_argument("--names", type=Path, default=Path("weights/tiny/names.safetensors"), help="whose nouns get vectors")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/answers.safetensors"), help="where the maps are written")
    parser.add_argument("--epochs", type=int, default=AnswerOptions.epochs)
    parser.add_argument("--seed", type=int, default=AnswerOptions.seed)
    return carry_out(_run, parser.parse_args(arguments))


def _run(flags: argparse.Namespace) -> None:
    asked, found = asked_questions(), list(Names.load(flags.names).nouns)
    language_model, tokenizer = frozen_language_model(torch.float32)
    nouns = sorted({*found, *(one.noun for one in asked)})
    states = dict(zip(nouns, noun_states(language_model, tokenizer, nouns), strict=True))
    logger.info("%d questions for %d nouns", len(asked), len({one.noun for one in asked}))
    questions = question_states(language_model, tokenizer, [one.question for one in asked])
    maps = learn(asked, questions, states, AnswerOptions(epochs=flags.epochs, seed=flags.seed))
    save_answers(flags.weights, maps, found, torch.stack([states[noun] for noun in found]))


if __name__ == "__main__":
    sys.exit(main())
