"""The benchmark ``retention``: how far training moved the language model on plain chat, token by token.

``chats.jsonl`` holds general questions with the answers that the frozen model gave (greedy, at most 48 tokens); both models read
them, and their distributions over the next word are compared. Without a picture our model should be what it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from unified_demo.errors import MediaError
from unified_demo.evaluation.benchmark import ALL, Context, Result, Row, stratified
from unified_demo.evaluation.retention_metrics import Retention, retention
from unified_demo.messages import Conversation, Message, TextPart

CHATS = Path(__file__).with_name("chats.jsonl")
MEASURES = {
    "KL": "mean over answer tokens of KL(frozen || ours) in nats; what ours gives to tags counts as moved",
    "perplexity": "of the frozen model's answers",
    "frozen perplexity": "of the same answers under the frozen model",
    "worst KL": "the largest mean KL of one answer",
    "tokens": "answer tokens compared",
    "left alone": "share of the questions that ours recognises as plain chat and leaves to its frozen language model",
    "KL of the others": "the same as KL, over the answers that are not left to it; None where all are",
}


@dataclass(frozen=True)
class Chat:
    """A question and the frozen model's answer."""

    question: str
    answer: str

    @property
    def conversation(self) -> Conversation:
        return Conversation((Message("user", (TextPart(self.question),)), Message("assistant", (TextPart(self.answer),))))


@dataclass(frozen=True)
class Compared:
    """Log-probabilities (tokens, words + tags) of both models for an answer, and the ids that came.

    ``left``: ours leaves this answer to its frozen language model.
    """

    frozen: npt.NDArray[np.floating]
    ours: npt.NDArray[np.floating]
    targets: npt.NDArray[np.integer]
    left: bool = False


class Comparer(Protocol):
    """Both models on one finished conversation."""

    def compare(self, system: str, conversation: Conversation) -> Compared: ...


class RetentionBenchmark:
    name = "retention"
    title = "Retention on plain chat"
    systems = ("model", "untrained")

    def run(self, context: Context) -> Result:
        """Raises MediaError without the committed questions, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        chats, complaints = read_chats()
        chosen = stratified(chats, lambda chat: "", context.limit)
        comparer = context.subjects.comparer()
        rows, samples = [], []
        for name in names:
            compared = [comparer.compare(name, chat.conversation) for chat in chosen]
            found = [measured(item) for item in compared]
            left = [item.left for item in compared]
            rows.append(Row(name, ALL, len(found), figures(found, left)))
            samples += [
                {
                    "system": name,
                    "question": chat.question,
                    "answer": chat.answer,
                    "KL": item.kl,
                    "tokens": item.positions,
                    "left alone": alone,
                }
                for chat, item, alone in zip(chosen, found, left, strict=True)
            ]
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))


def measured(compared: Compared) -> Retention:
    return retention(compared.frozen, compared.ours, compared.targets)


def figures(found: Sequence[Retention], left: Sequence[bool]) -> dict[str, float | None]:
    """Token means over all answers, of which some are ``left`` to the frozen model; None without any."""
    tokens = sum(item.positions for item in found)
    if not tokens:
        return dict.fromkeys(MEASURES)
    surprise = sum(np.log(item.tuned_perplexity) * item.positions for item in found) / tokens
    before = sum(np.log(item.base_perplexity) * item.positions for item in found) / tokens
    return {
        "KL": _mean_kl(found),
        "perplexity": float(np.exp(surprise)),
        "frozen perplexity": float(np.exp(before)),
        "worst KL": max(item.kl for item in found),
        "tokens": float(tokens),
        "left alone": sum(left) / len(left),
        "KL of the others": _mean_kl([item for item, alone in zip(found, left, strict=True) if not alone]),
    }


def _mean_kl(found: Sequence[Retention]) -> float | None:
    tokens = sum(item.positions for item in found)
    return sum(item.kl * item.positions for item in found) / tokens if tokens else None


def read_chats(path: Path = CHATS) -> tuple[list[Chat], list[str]]:
    """Questions with answers, and a complaint for each broken line. MediaError when the file cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise MediaError(f"{path} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
    chats, complaints = [], []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            chat = Chat(row["question"], row["answer"])
            if not chat.question.strip() or not chat.answer.strip():
                raise ValueError("a question and an answer are needed")
            chats.append(chat)
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            complaints.append(f"{path}:{number} is broken ({type(exc).__name__}: {exc}); left out")
    return chats, complaints
