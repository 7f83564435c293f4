"""Caption measures: by hand, against sacrebleu and rouge-score, and against figures of pycocoevalcap 1.2.

pycocoevalcap weighs 100 MB and its tokeniser needs Java, so its figures for four captions stand here as numbers.
"""

import pytest
import sacrebleu
from rouge_score import rouge_scorer

from unified_demo.evaluation.caption_metrics import bleu, caption_scores, cider_d, common_length, rouge_l, tokenise

CAPTIONS = [
    "a brown dog runs on the green grass",
    "two people ride bikes down a street",
    "a cat",
    "a red bus is parked near a red bus stop in the city at night with people",
]
REFERENCES = [
    ["a dog is running on grass", "the brown dog runs across a green field of grass"],
    ["two people riding bikes", "people on bikes ride down the street together"],
    ["a cat sleeps on the sofa", "a small cat is lying on a couch"],
    ["a red bus stops in the city", "a bus is parked at a bus stop at night", "people wait near a red bus"],
]
COCO_BLEU = [0.9117647058555364, 0.6285682454522308, 0.4235459274865845, 0.23974161338489858]
COCO_CIDER = [2.01927808, 1.8482626, 1.42024643, 0.81822445]
COCO_ROUGE = [0.64893617, 0.66485014, 0.45864662, 0.69936306]


def split(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


OURS, THEIRS = split(CAPTIONS), [split(texts) for texts in REFERENCES]


def test_words_without_punctuation() -> None:
    assert tokenise("The dog's bowl, isn't it?") == ["the", "dog", "'s", "bowl", "is", "n't", "it"]
    assert tokenise("A black-and-white cat (3.5 kg) ...") == ["a", "black-and-white", "cat", "3.5", "kg"]
    assert tokenise("Don’t 'quote' me") == ["do", "n't", "quote", "me"]
    assert tokenise("") == []


def test_against_the_coco_code() -> None:
    assert bleu(OURS, THEIRS) == pytest.approx(COCO_BLEU, rel=1e-6)
    assert cider_d(OURS, THEIRS) == pytest.approx(COCO_CIDER)
    assert [rouge_l(tokens, texts) for tokens, texts in zip(OURS, THEIRS, strict=True)] == pytest.approx(COCO_ROUGE)


def test_bleu_is_that_of_sacrebleu() -> None:
    streams = [[texts[place] if place < len(texts) else None for texts in REFERENCES] for place in range(3)]
    expected = sacrebleu.corpus_bleu(CAPTIONS, streams, tokenize="none", smooth_method="none").score / 100
    assert bleu(OURS, THEIRS)[3] == pytest.approx(expected)


def test_bleu_by_hand() -> None:
    found = bleu([["the", "the", "the", "cat"]], [[["the", "cat", "is", "on", "the", "mat"]]])
    brevity = 2.718281828459045 ** (1 - 6 / 4)
    assert found[0] == pytest.approx(brevity * 3 / 4), "two of three thes are clipped away beyond two"
    assert found[1] == pytest.approx(brevity * (3 / 4 * 1 / 3) ** 0.5)
    assert found[3] == 0
    assert bleu([[]], [[["a"]]]) == (0, 0, 0, 0)


def test_rouge_is_that_of_google_with_beta_one() -> None:
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    for tokens, texts in zip(OURS, THEIRS, strict=True):
        expected = scorer.score(" ".join(texts[0]), " ".join(tokens))["rougeL"].fmeasure
        assert rouge_l(tokens, texts[:1], beta=1) == pytest.approx(expected)


def test_common_subsequence_by_hand() -> None:
    assert common_length("abcde", "xaxcxe") == 3
    assert common_length("", "abc") == 0


def test_an_empty_caption_scores_nothing() -> None:
    scores = caption_scores(["", "a cat"], [["a dog runs"], ["a cat"]])
    assert scores.captions == 2
    assert scores.rouge_l == pytest.approx(0.5)
    assert 0 < scores.cider < 10


def test_the_corpus_scores_together() -> None:
    scores = caption_scores([text.capitalize() + "." for text in CAPTIONS], REFERENCES)
    assert scores.bleu == pytest.approx(COCO_BLEU, rel=1e-6)
    assert scores.cider == pytest.approx(sum(COCO_CIDER) / 4)


def test_missing_references_are_refused() -> None:
    with pytest.raises(ValueError, match="Picture 1 has no reference"):
        caption_scores(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="pair up"):
        caption_scores(["a"], [])
