"""Which noun answers a question that does not name it: "what would keep the rain off me?" means the umbrella.

The frozen language model reads the question as one that is about to be answered; two linear maps, trained by ``training.answers``, bring
what it makes of it and what it makes of each noun into one space (as CLIP does for pictures and captions, Radford et al.,
arXiv 2103.00020), so that a noun that no question of training asked for has its place as well.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.functional import normalize

from unified_demo.errors import ModelLoadError
from unified_demo.model.likelihood import FRAME, LONGEST, AnswerLikelihood, asks_openly
from unified_demo.model.passes import switched_off
from unified_demo.model.tokens import Vocabulary

FRAME_BEFORE, FRAME_BEHIND = 2, 3
"""Tokens of the frame before the question and, but for the end of its line, behind it."""
WEIGHT = 0.5
"""How much the likelihood of a noun as an answer counts for the region reader."""


def question_state(states: torch.Tensor) -> torch.Tensor:
    """(tokens, hidden) last states over a framed question -> (2 * hidden,): the one about to answer, and the question's mean."""
    return torch.cat([states[-1], states[FRAME_BEFORE : len(states) - FRAME_BEHIND].mean(0)]).float()


class AnswerMaps:
    """``tensors``: "mean" and "deviation" of question states, "question.weight" and "question.bias", "vectors" (nouns, width) of unit
    length, "scale"."""

    def __init__(self, nouns: Sequence[str], tensors: dict[str, torch.Tensor]) -> None:
        self.nouns = {noun: row for row, noun in enumerate(nouns)}
        self._tensors = {name: tensor.float() for name, tensor in tensors.items()}

    @classmethod
    def load(cls, path: Path) -> "AnswerMaps":
        """Inverse of ``training.answers.save_answers``; ModelLoadError when the file does not fit this code."""
        try:
            with safe_open(path, "pt") as handle:
                return cls((handle.metadata() or {})["nouns"].splitlines(), {name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
        except (OSError, KeyError, ValueError, SafetensorError) as exc:
            raise ModelLoadError(
                f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit."
            ) from exc

    def shares(self, state: torch.Tensor, nouns: Sequence[str]) -> np.ndarray:
        """(2 * hidden,) -> (nouns,) log-probability that each answers the question and no other of them does; KeyError for one without a
        vector."""
        part = self._tensors
        asked = normalize(part["question.weight"] @ ((state - part["mean"]) / part["deviation"]) + part["question.bias"], dim=-1)
        return (part["vectors"][[self.nouns[noun] for noun in nouns]] @ asked * part["scale"]).log_softmax(-1).numpy()


class AnswerReader:
    """``language_model``: a causal language model, whose tuning is off meanwhile. Safe to use from several threads."""

    def __init__(self, maps: AnswerMaps, language_model: nn.Module, vocabulary: Vocabulary) -> None:
        self._maps, self._language_model, self._vocabulary = maps, language_model, vocabulary

    def knows(self, noun: str) -> bool:
        return noun in self._maps.nouns

    def shares(self, question: str, nouns: Sequence[str]) -> np.ndarray:
        """(nouns,) as of ``AnswerMaps.shares``; what is said behind the question ("... Segment it.") is not read."""
        asked, mark, _ = question.rpartition("?")
        backbone = self._language_model.model
        ids = self._vocabulary.encode(FRAME.format((asked + mark or question)[:LONGEST]))
        tokens = torch.tensor([ids], device=backbone.embed_tokens.weight.device)
        with torch.no_grad(), switched_off():
            states = backbone(input_ids=tokens, use_cache=False).last_hidden_state[0]
        return self._maps.shares(question_state(states).cpu(), nouns)

    def gains(self, question: str, nouns: Iterable[str]) -> dict[str, float]:
        """Of the nouns that it knows: nats by which each is likelier the answer than if all of them were as likely."""
        known = sorted({noun for noun in nouns if self.knows(noun)})
        return dict(zip(known, (self.shares(question, known) + np.log(len(known))).tolist(), strict=True)) if known else {}


def likelier(question: str, nouns: Iterable[str], likelihood: AnswerLikelihood, answers: AnswerReader | None) -> dict[str, float]:
    """Nats by which each noun is likelier meant: half of what the frozen model finds, and behind an open question what the maps find.

    ``answers`` is for things that the region reader was not taught: among the detector's own kinds, in photos, it knows better.
    """
    gains = {noun: WEIGHT * gain for noun, gain in likelihood.gains(question, [noun for noun in nouns if noun]).items()}
    more = answers.gains(question, gains) if answers and asks_openly(question) else {}
    return {noun: gain + more.get(noun, 0.0) for noun, gain in gains.items()}
