"""NSR-1K counting and spatial measures on prompts counted by hand."""

import pytest

from unified_demo.evaluation.layout_metrics import (
    Planned,
    count_score,
    count_summary,
    direction,
    same_noun,
    spatial_accuracy,
    spatial_correct,
)
from unified_demo.grammar import Box


def test_counting_by_hand() -> None:
    score = count_score([("dog", 2), ("cat", 1)], ["dog", "dog", "dog", "cat", "tree"])
    assert not score.correct
    assert score.precision == pytest.approx(3 / 5), "two dogs and a cat of five boxes; the tree counts against it"
    assert score.recall == 1
    assert score.iou == pytest.approx(3 / 4)
    assert score.absolute_error == pytest.approx(1 / 2)


def test_counts_that_fit_are_correct_whatever_else_is_planned() -> None:
    assert count_score([("dog", 2)], ["a dog", "dogs", "tree"]).correct
    assert not count_score([("dog", 2)], []).correct
    assert count_score([("dog", 2)], []).precision == 0


@pytest.mark.parametrize(
    ("asked", "planned", "right"),
    [
        ([("dog", 3), ("cat", 1)], {"dog": 3, "cat": 2}, True),
        ([("dog", 3), ("cat", 1)], {"dog": 3, "cat": 3}, False),
        ([("dog", 3), ("cat", 1)], {"dog": 2, "cat": 1}, False),
        ([("dog", 2), ("cat", 2)], {"dog": 2, "cat": 2}, True),
        ([("dog", 2), ("cat", 2)], {"dog": 2, "cat": 1}, False),
        ([("dog", 1), ("cat", 3)], {"dog": 1, "cat": 2}, True),
    ],
)
def test_comparisons(asked: list[tuple[str, int]], planned: dict[str, int], right: bool) -> None:
    score = count_score(asked, [noun for noun, number in planned.items() for _ in range(number)], comparison=True)
    assert score.correct is right
    assert score.precision is None


def test_a_comparison_of_one_thing_is_refused() -> None:
    with pytest.raises(ValueError, match="two things"):
        count_score([("dog", 1)], [], comparison=True)


def test_comparisons_count_for_the_accuracy_alone() -> None:
    scores = [
        count_score([("dog", 1)], ["dog"]),
        count_score([("dog", 2)], ["dog"]),
        count_score([("a", 1), ("b", 2)], [], comparison=True),
    ]
    summary = count_summary(scores)
    assert summary.accuracy == pytest.approx(1 / 3)
    assert summary.precision == 1
    assert summary.recall == pytest.approx(3 / 4)
    assert summary.mean_absolute_error == pytest.approx(1 / 2)
    assert summary.prompts == 3
    assert count_summary([]).accuracy == 0


def test_nouns_are_the_same_with_articles_and_plurals() -> None:
    assert same_noun("dining table", "a table")
    assert same_noun("apple", "an apple")
    assert same_noun("Dog", "dogs")
    assert not same_noun("dog", "cat")
    assert not same_noun("dog", "a ")


def around(x: float, y: float) -> Box:
    return Box(x - 0.05, y - 0.05, x + 0.05, y + 0.05)


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [(0.8, 0.5, "right"), (0.2, 0.5, "left"), (0.5, 0.2, "top"), (0.5, 0.8, "bottom"), (0.75, 0.75, "diagonal"), (0.5, 0.5, "diagonal")],
)
def test_directions_turn_at_45_degrees(x: float, y: float, word: str) -> None:
    assert direction(around(x, y), around(0.5, 0.5)) == word


def test_spatial_verdicts() -> None:
    plan = [Planned("dog", around(0.2, 0.5)), Planned("toilet", around(0.8, 0.5)), Planned("dog", around(0.8, 0.2))]
    assert spatial_correct("toilet", "right", "dog", plan)
    assert spatial_correct("dog", "top", "toilet", plan), "any pair will do"
    assert spatial_correct("dog", "next to", "toilet", plan)
    assert not spatial_correct("toilet", "left", "dog", plan)
    assert not spatial_correct("cat", "left", "dog", plan), "a missing noun is wrong"
    assert spatial_correct("toilets", "right", "dogs", plan), "names need not be spelt the same"
    phrases = [
        Planned("A small brown dog", around(0.2, 0.5)),
        Planned("a hot dog", around(0.8, 0.5)),
        Planned("one dead bird", around(0.5, 0.1)),
    ]
    assert spatial_correct("dog", "bottom", "bird", phrases)
    assert spatial_correct("dog", "left", "hot dog", phrases), "a phrase stands for the noun it ends in, the longest one"
    upright = [Planned("dog", around(0.5, 0.2)), Planned("cat", around(0.5, 0.8))]
    assert not spatial_correct("dog", "next to", "cat", upright)
    assert spatial_accuracy([True, False, True, True]) == 0.75
    assert spatial_accuracy([]) == 0
