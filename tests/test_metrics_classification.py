"""Accuracy with its interval, and what a tuned model kept, on numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.evaluation.classification_metrics import confusions, top_accuracy, wilson_interval
from unified_demo.evaluation.retention_metrics import mean_kl, perplexity, retention


def test_wilson_interval_of_a_textbook_case() -> None:
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662), "Newcombe, Statistics in Medicine 17 (1998), table I, method 3"
    low, high = wilson_interval(0, 20)
    assert (round(low, 4), round(high, 4)) == (0.0, 0.1611), "the same table"


def test_without_trials_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="cannot be"):
        wilson_interval(3, 2)


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_interval_holds_the_share(hits: int, total: int) -> None:
    low, high = wilson_interval(min(hits, total), total)
    assert 0 <= low <= min(hits, total) / total + 1e-12 <= high + 2e-12 <= 1 + 2e-12


def test_top_accuracy() -> None:
    rankings = [["dog", "cat"], ["cat", "dog"], ["cow"], []]
    truths = ["dog", "dog", "dog", "dog"]
    assert top_accuracy(rankings, truths).value == 0.25
    assert top_accuracy(rankings, truths, top=5).value == 0.5
    assert confusions(rankings, truths) == {("dog", "dog"): 1, ("dog", "cat"): 1, ("dog", "cow"): 1, ("dog", ""): 1}
    with pytest.raises(ValueError, match="zip"):
        top_accuracy(rankings, truths[:2])


def test_kl_by_hand() -> None:
    base = np.log(np.array([[0.5, 0.5], [0.25, 0.75]]))
    tuned = np.log(np.array([[0.25, 0.75], [0.25, 0.75]]))
    by_hand = (0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)) / 2
    assert mean_kl(base, tuned) == pytest.approx(by_hand)
    assert mean_kl(base, base) == 0


def test_a_token_the_base_rules_out_does_not_count() -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        base, tuned = np.log(np.array([[1.0, 0.0]])), np.log(np.array([[0.5, 0.5]]))
        assert mean_kl(base, tuned) == pytest.approx(math.log(2))


def test_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="not logits"):
        mean_kl(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="one shape"):
        mean_kl(np.zeros((1, 2)), np.zeros((2, 2)))


def test_perplexity_of_a_fair_choice_is_the_number_of_choices() -> None:
    even = np.full((3, 8), math.log(1 / 8))
    assert perplexity(even[:, 0]) == pytest.approx(8)
    kept = retention(even, even, np.array([0, 5, 7]))
    assert (kept.kl, kept.positions) == (0, 3)
    assert kept.base_perplexity == pytest.approx(kept.tuned_perplexity)
    with pytest.raises(ValueError, match="at least one"):
        perplexity(np.array([]))
