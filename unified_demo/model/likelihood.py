"""What the frozen language model thinks answers a question: how much likelier each name is behind it than behind a question about nothing.

"What would you open to send an e-mail?" makes "laptop" likelier than "microwave", whatever the region reader was taught. One pass over
the question, and a short one for each name of several tokens. It decodes nothing and is trained by nobody.
"""

import re
from collections.abc import Collection, Sequence

import torch
from torch import nn

from unified_demo.model.passes import switched_off
from unified_demo.model.tokens import Vocabulary

FRAME, ABOUT_NOTHING = "Question: {}\nAnswer: the", "Which thing is it?"
LONGEST = 240
"""Characters of a question that are read."""


PERSON, UNASKED = "person", -4.0
"""Whom "who" asks for; nats of a kind that a question cannot ask for."""
_WHO = re.compile(r"\b(who|whom|whose)\b", re.IGNORECASE)
_UNNAMED = re.compile(
    r"\b(what|who|whom|whose|which)\b"
    r"|\bwhere (would|could|can|do|does|did|should|might|may|will|are|is)\b(?! (the|my|a|an|his|her|that|this)\b)",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"\b(picture|photo|photograph|image|scene|see|shows?|shown|visible|happen\w*|going on|describe)\b", re.IGNORECASE)
_WHICH = re.compile(r"\bwhich\b", re.IGNORECASE)
_ABOUT_IT = re.compile(
    r"\b(do|doing|wear\w*|looks?(?! for\b)|looking|feels?|feeling|like|say\w*|think\w*|colou?rs?|kind|sort|breed|made|age|old|size|big"
    r"|called|names?)\b",
    re.IGNORECASE,
)
BELIEVED, BELIEVED_OPENLY, BESIDE = 0.4, 0.25, 0.6
"""A label is believed to be asked for from this share of the belief on, where a question asks openly from the second one on; and so are
others that have so much of the best one's."""


class AnswerLikelihood:
    """``language_model``: a causal language model, whose tuning is off meanwhile. Safe to use from several threads."""

    def __init__(self, language_model: nn.Module, vocabulary: Vocabulary) -> None:
        self._language_model, self._vocabulary = language_model, vocabulary
        self._about_nothing: dict[str, float] = {}

    def gains(self, question: str, names: Sequence[str]) -> dict[str, float]:
        """Nats by which each name is likelier behind the question than behind one about nothing; pointwise mutual information."""
        if unknown := [name for name in dict.fromkeys(names) if name not in self._about_nothing]:
            self._about_nothing |= self._likelihood(ABOUT_NOTHING, unknown)
        return {name: share - self._about_nothing[name] for name, share in self._likelihood(question, list(dict.fromkeys(names))).items()}

    def _likelihood(self, question: str, names: Sequence[str]) -> dict[str, float]:
        """Log-probability of each name as the answer."""
        from transformers import DynamicCache

        backbone, cache = self._language_model.model, DynamicCache(config=self._language_model.config)
        ids = self._vocabulary.encode(FRAME.format(question[:LONGEST]))
        found = {}
        with torch.no_grad(), switched_off():
            first = self._next(backbone, ids, cache)[-1]
            for name in names:
                tokens = self._vocabulary.encode(" " + name)
                total = float(first[tokens[0]])
                if len(tokens) > 1:
                    rows = self._next(backbone, tokens[:-1], cache)
                    cache.crop(1 - len(tokens))
                    total += float(rows[range(len(tokens) - 1), tokens[1:]].sum())
                found[name] = total
        return found

    def _next(self, backbone: nn.Module, ids: Sequence[int], cache: object) -> torch.Tensor:
        """(len(ids), vocab) log-probabilities of the token behind each."""
        tokens = torch.tensor([list(ids)], device=backbone.embed_tokens.weight.device)
        hidden = backbone(input_ids=tokens, past_key_values=cache, use_cache=True).last_hidden_state[0]
        return self._language_model.lm_head(hidden).float().log_softmax(-1).cpu()


def believed(labels: Sequence[str], shares: Sequence[float], least: float = BELIEVED) -> frozenset[str]:
    """Labels of what is asked for. ``shares``: first that nothing fits, then of each proposal with its label. Empty where that is open."""
    together: dict[str, float] = {}
    for label, share in zip(labels, shares[1:], strict=True):
        together[label] = together.get(label, 0.0) + share
    best = max(together.values(), default=0.0)
    return frozenset(label for label, share in together.items() if share >= BESIDE * best) if best >= least else frozenset()


def asks_openly(question: str) -> bool:
    """Whether it asks what, who or where something is, of something in the picture, and not what a thing is like or does: what it names
    is then not what it asks for ("what keeps the ice cream frozen?")."""
    return bool(_UNNAMED.search(question)) and not _of_the_whole(question) and not _ABOUT_IT.search(question)


def unasked(question: str, labels: Collection[str]) -> frozenset[str]:
    """Those of the ``labels`` that it cannot ask for: "who" asks for a person where there is one, "what" and "where would one" for none."""
    if PERSON not in labels or _WHICH.search(question):
        return frozenset()
    if _WHO.search(question):
        return frozenset(labels) - {PERSON}
    return frozenset({PERSON}) if asks_openly(question) else frozenset()


def leaves_unnamed(question: str, labels: Collection[str]) -> bool:
    """Whether it asks "what", "who" or "where would one ..." and says none of ``labels``: then its own words do not name what it asks for.
    What it asks of the picture as a whole ("what do you see?") is not meant."""
    said = question.lower()
    if not _UNNAMED.search(said) or _of_the_whole(said):
        return False
    return not any(re.search(rf"\b{re.escape(label)}", said) for label in labels)


def _of_the_whole(question: str) -> bool:
    return bool(_WHOLE.search(question)) and not _WHO.search(question)
