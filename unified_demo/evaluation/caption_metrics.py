"""Measures of captions against several human ones: BLEU-1..4, ROUGE-L and CIDEr-D, as pure functions of strings.

Definitions as COCO's caption evaluation computes them (BLEU: Papineni et al., ACL 2002; ROUGE-L: Lin, 2004, with beta 1.2; CIDEr-D:
arXiv 1411.5726). Its tokeniser is a Java program; ours is ``tokenise`` below, so figures differ a little from published ones.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Tokens = Sequence[str]
_WORD = re.compile(r"[^\W_]+(?:[-.][^\W_]+)*|'(?:s|re|ve|ll|d|m)\b")
MAX_ORDER = 4
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0


@dataclass(frozen=True)
class CaptionScores:
    """Over a corpus. ``bleu`` of order 1 to 4 and ``rouge_l`` 0..1; ``cider`` 0..10, human captions of COCO reach about 0.9."""

    bleu: tuple[float, ...]
    rouge_l: float
    cider: float
    captions: int


def tokenise(text: str) -> list[str]:
    """Lower-case words without punctuation, near to Penn Treebank's.

    "dog's" becomes "dog 's", "don't" becomes "do n't", hyphenated words ("black-and-white") and numbers ("3.5") stay whole.
    """
    plain = text.lower().replace("’", "'")
    pieces = re.split(r"(?<=\w)(n't)\b", plain)
    return [word for piece in pieces for word in ([piece] if piece == "n't" else _WORD.findall(piece))]


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """All measures for one candidate and its references per picture. ValueError when the lengths differ or references lack."""
    if len(candidates) != len(references) or not candidates:
        raise ValueError(f"{len(candidates)} captions and {len(references)} lists of references do not pair up.")
    if not all(references):
        raise ValueError(f"Picture {next(i for i, texts in enumerate(references) if not texts)} has no reference caption.")
    ours = [tokenise(text) for text in candidates]
    theirs = [[tokenise(text) for text in texts] for texts in references]
    rouge = sum(rouge_l(tokens, texts) for tokens, texts in zip(ours, theirs, strict=True)) / len(ours)
    ciders = cider_d(ours, theirs)
    return CaptionScores(bleu(ours, theirs), rouge, sum(ciders) / len(ciders), len(ours))


def ngrams(tokens: Tokens, order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, ...]:
    """BLEU of order 1 to 4 over the corpus, 0..1, not smoothed.

    Clipped n-gram precisions pooled over the corpus, their geometric mean, times exp(1 - r / c) when the candidates (c words)
    are shorter than the references (r: for each candidate the length closest to its own, the shorter one on a tie).
    """
    matched, possible = [0] * MAX_ORDER, [0] * MAX_ORDER
    length, wanted = 0, 0
    for tokens, texts in zip(candidates, references, strict=True):
        length += len(tokens)
        wanted += min((len(text) for text in texts), key=lambda size: (abs(size - len(tokens)), size))
        for order in range(1, MAX_ORDER + 1):
            found = ngrams(tokens, order)
            most: Counter[tuple[str, ...]] = Counter()
            for text in texts:
                most |= ngrams(text, order)
            matched[order - 1] += (found & most).total()
            possible[order - 1] += found.total()
    if not length:
        return (0.0,) * MAX_ORDER
    brevity = 1.0 if length >= wanted else math.exp(1 - wanted / length)
    scores, logarithm = [], 0.0
    for order, (hits, total) in enumerate(zip(matched, possible, strict=True), start=1):
        logarithm += math.log(hits / total) if hits else -math.inf
        scores.append(brevity * math.exp(logarithm / order))
    return tuple(scores)


def common_length(first: Tokens, second: Tokens) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            diagonal, row[place] = row[place], diagonal + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]


def rouge_l(tokens: Tokens, references: Sequence[Tokens], beta: float = ROUGE_BETA) -> float:
    """F-measure of the longest common subsequence, 0..1; best precision and best recall over the references, as COCO does."""
    shared = [(common_length(tokens, text), len(text)) for text in references]
    precision = max((count for count, _ in shared), default=0) / len(tokens) if tokens else 0.0
    recall = max((count / size for count, size in shared if size), default=0.0)
    if not precision or not recall:
        return 0.0
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def cider_d(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], sigma: float = CIDER_SIGMA) -> list[float]:
    """CIDEr-D of each picture, 0..10: cosine of tf-idf n-gram vectors, clipped, with a Gaussian penalty on the length.

    Document frequencies come from the references given, so scores of different picture sets do not compare, and one picture
    alone scores 0. The length is counted in bigrams, as the COCO code does.
    """
    frequency: Counter[tuple[str, ...]] = Counter()
    for texts in references:
        frequency.update({gram for text in texts for order in range(1, MAX_ORDER + 1) for gram in ngrams(text, order)})
    pictures = math.log(len(references)) if references else 0.0

    def weigh(tokens: Tokens, order: int) -> dict[tuple[str, ...], float]:
        return {gram: count * (pictures - math.log(max(1, frequency[gram]))) for gram, count in ngrams(tokens, order).items()}

    scores = []
    for tokens, texts in zip(candidates, references, strict=True):
        total = 0.0
        for order in range(1, MAX_ORDER + 1):
            ours = weigh(tokens, order)
            for text in texts:
                excess = max(len(tokens) - 1, 0) - max(len(text) - 1, 0)
                total += _clipped_cosine(ours, weigh(text, order)) * math.exp(-(excess**2) / (2 * sigma**2))
        scores.append(10 * total / MAX_ORDER / len(texts))
    return scores


def _clipped_cosine(ours: dict[tuple[str, ...], float], theirs: dict[tuple[str, ...], float]) -> float:
    norm = math.sqrt(sum(value**2 for value in ours.values())) * math.sqrt(sum(value**2 for value in theirs.values()))
    if not norm:
        return 0.0
    return sum(min(value, theirs[gram]) * theirs[gram] for gram, value in ours.items() if gram in theirs) / norm
