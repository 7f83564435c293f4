"""Spelling of boxes, spans and references, escaping, and the task table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.errors import GrammarError
from unified_demo.grammar import (
    GRID,
    TAGS,
    TASK_TAGS,
    TASKS,
    Box,
    Task,
    TimeSpan,
    added_tokens,
    close_tag,
    escape,
    open_tag,
    read_box,
    read_ref,
    read_span,
    spell_box,
    spell_span,
)
from unified_demo.messages import TextDelta
from unified_demo.parser import StreamParser

_edge = st.integers(0, GRID - 1).flatmap(lambda low: st.tuples(st.just(low), st.integers(low + 1, GRID)))


@given(_edge, _edge)
def test_a_box_on_the_grid_survives_spelling(horizontal: tuple[int, int], vertical: tuple[int, int]) -> None:
    box = Box(horizontal[0] / GRID, vertical[0] / GRID, horizontal[1] / GRID, vertical[1] / GRID)
    assert read_box(spell_box(box)) == box


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_any_box_is_spelt_within_one_step(x0: float, x1: float, y0: float, y1: float) -> None:
    if not (x0 < x1 and y0 < y1):
        return
    near = read_box(spell_box(Box(x0, y0, x1, y1)))
    assert max(abs(a - b) for a, b in zip(near.as_tuple(), (x0, y0, x1, y1), strict=True)) <= 1.01 / GRID


@given(_edge)
def test_a_span_survives_spelling(edges: tuple[int, int]) -> None:
    span = TimeSpan(edges[0] / GRID, edges[1] / GRID)
    assert read_span(spell_span(span)) == span


@pytest.mark.parametrize(
    "text", ["", "[1,2,3]", "[1,2,3,4,5]", "[3,2,1,4]", "[1,1,1,4]", "[-1,2,3,4]", "[1.5,2,3,4]", "[0,0,1000,4]", "[١,2,3,4]", "dog"]
)
def test_what_is_not_a_box_is_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        read_box(text)


@pytest.mark.parametrize("text", ["", "dog", "img", "img-", "img-x", "../img-1", "img-1/..", "pic-1", "img-12345"])
def test_what_is_not_a_reference_is_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        read_ref(text)


def test_overlap_of_boxes() -> None:
    whole, half = Box(0, 0, 1, 1), Box(0, 0, 0.5, 1)
    assert whole.iou(whole) == 1
    assert whole.iou(half) == half.iou(whole) == 0.5
    assert half.iou(Box(0.5, 0, 1, 1)) == 0


def test_each_task_stands_in_the_table() -> None:
    assert set(TASKS) == set(Task)
    assert all(spec.tag == task.value and spec.title and spec.description for task, spec in TASKS.items())
    assert len(set(TAGS)) == len(TAGS) and set(TASK_TAGS) < set(TAGS)


def test_added_tokens_are_every_tag_once() -> None:
    tokens = added_tokens()
    assert len(tokens) == len(set(tokens)) == 2 * len(TAGS)
    assert all(open_tag(tag) in tokens and close_tag(tag) in tokens for tag in TAGS)


@given(st.lists(st.one_of(st.sampled_from(added_tokens()), st.text(alphabet="<>/abpsegoxtime ", max_size=6))).map("".join))
def test_escaped_text_holds_no_tag(text: str) -> None:
    escaped = escape(text)
    assert not [token for token in added_tokens() if token in escaped]
    parser = StreamParser()
    events = [*parser.feed(escaped + "."), *parser.close()]
    assert all(isinstance(event, TextDelta) and event.phrase is None for event in events)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == escaped + "."


@given(st.text())
def test_escaping_leaves_other_text_alone(text: str) -> None:
    if not any(token in text for token in added_tokens()):
        assert escape(text) == text
