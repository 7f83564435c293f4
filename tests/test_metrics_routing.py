"""Routing measures on answers judged by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.evaluation.routing_metrics import (
    call_complaint,
    is_well_formed,
    judge,
    judge_call,
    parse_answer,
    routing_scores,
    well_formedness,
    word_overlap,
)
from unified_demo.messages import TaskCall

SEG = "<seg><ref>img-1</ref>the brown dog<box>[100,100,400,400]</box></seg>"
GEN = "<gen>a red bus in the rain</gen>"


def calls(raw: str) -> tuple[TaskCall, ...]:
    return parse_answer(raw).calls


def test_the_same_calls_are_right() -> None:
    verdict = judge(calls(SEG + GEN), calls("Sure. " + SEG + " and " + GEN))
    assert verdict.task
    assert verdict.all_calls
    assert verdict.in_order
    assert all(call.right for call in verdict.calls)


def test_the_order_and_the_number_of_calls() -> None:
    swapped = judge(calls(SEG + GEN), calls(GEN + SEG))
    assert (swapped.task, swapped.all_calls, swapped.in_order) == (False, True, False)
    assert all(call.right for call in swapped.calls)
    lacking = judge(calls(SEG + GEN), calls(SEG))
    assert (lacking.task, lacking.all_calls) == (True, False)
    assert [call.found for call in lacking.calls] == [True, False]
    doubled = judge(calls(SEG), calls(SEG + SEG))
    assert (doubled.task, doubled.all_calls) == (True, False)


def test_no_call_where_none_is_wanted_is_right() -> None:
    assert judge((), ()).task
    assert judge((), ()).all_calls
    assert not judge((), calls(GEN)).task
    assert not judge(calls(GEN), ()).task


@pytest.mark.parametrize(
    ("raw", "refs", "boxes", "words"),
    [
        (SEG, True, True, True),
        (SEG.replace("img-1", "img-2"), False, False, True),
        (SEG.replace("400,400", "400,300"), True, True, True),
        (SEG.replace("400,400", "250,240"), True, False, True),
        (SEG.replace("<box>[100,100,400,400]</box>", ""), True, False, True),
        (SEG.replace("the brown dog", "a dog, brown"), True, True, True),
        (SEG.replace("the brown dog", "the grey wall"), True, True, False),
    ],
)
def test_arguments_are_judged_one_by_one(raw: str, refs: bool, boxes: bool, words: bool) -> None:
    verdict = judge_call(calls(SEG)[0], calls(raw)[0])
    assert (verdict.refs, verdict.boxes, verdict.words) == (refs, boxes, words)
    assert verdict.right is (refs and boxes and words)


def test_calls_of_one_task_are_paired_by_fit() -> None:
    other = "<seg><ref>img-1</ref>the cat<box>[600,600,900,900]</box></seg>"
    assert all(call.right for call in judge(calls(SEG + other), calls(other + SEG)).calls)


def test_boxes_in_another_order_match_and_may_not_be_used_twice() -> None:
    two = "<seg><ref>img-1</ref>dogs<box>[0,0,100,100]</box><box>[500,500,600,600]</box></seg>"
    turned = "<seg><ref>img-1</ref>dogs<box>[500,500,600,600]</box><box>[0,0,100,100]</box></seg>"
    same = "<seg><ref>img-1</ref>dogs<box>[0,0,100,100]</box><box>[0,0,100,101]</box></seg>"
    assert judge_call(calls(two)[0], calls(turned)[0]).boxes
    assert not judge_call(calls(two)[0], calls(same)[0]).boxes


def test_words() -> None:
    assert word_overlap("make a picture of two red buses", "two red buses") == 1
    assert word_overlap("the", "a") == 1
    assert word_overlap("a dog", "") == 0
    assert word_overlap("brown dog", "black dog") == pytest.approx(0.5)
    assert word_overlap("一只狗", "一只猫") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "raw",
    [
        SEG,
        GEN,
        "A dog sleeps on <p>a mat</p><box>[1,2,3,4]</box>.",
        "Just words.",
        "<ivgen><ref>img-1</ref>the waves roll</ivgen>",
        "<layout>two cats<p>cat</p><box>[0,0,300,300]</box><p>cat</p><box>[500,0,900,300]</box></layout>",
    ],
)
def test_wellformed_answers(raw: str) -> None:
    assert is_well_formed(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "<seg>the dog<box>[100,100,400,400]</box></seg>",
        "<seg><ref>img-1</ref>the dog</seg>",
        "<seg><ref>vid-1</ref>the dog<box>[100,100,400,400]</box></seg>",
        SEG.removesuffix("</seg>"),
        SEG.replace("[100,100,400,400]", "[400,100,100,400]"),
        "<p>a mat<box>[1,2,3,4]</box>",
        "</gen>",
        "<vedit>make it rain</vedit>",
    ],
)
def test_broken_answers(raw: str) -> None:
    assert not is_well_formed(raw)


def test_references_to_what_is_not_there() -> None:
    call = calls(SEG)[0]
    assert call_complaint(call, {"img-1"}) is None
    assert call_complaint(call, {"img-2"}) == "img-1 is not in the conversation"
    assert call_complaint(TaskCall(0, "dance", "")) == "dance is no task"
    assert not is_well_formed(SEG, known=())
    both = "<edit><ref>img-1</ref>make it winter</edit><ivgen><ref>img-2</ref>zoom in</ivgen>"
    assert is_well_formed(both, known=("img-1",)) and not is_well_formed(both, known=())
    assert not is_well_formed("<ivgen><ref>img-2</ref>zoom in</ivgen>", known=("img-1",))


def test_shares_over_answers_and_calls() -> None:
    verdicts = [judge(calls(SEG + GEN), calls(SEG)), judge((), ()), judge(calls(GEN), calls(GEN))]
    scores = routing_scores(verdicts)
    assert (scores.task.hits, scores.task.total) == (3, 3)
    assert (scores.all_calls.hits, scores.all_calls.total) == (2, 3)
    assert (scores.arguments.hits, scores.arguments.total) == (2, 3)
    assert well_formedness([SEG, GEN, "<gen>"]).value == pytest.approx(2 / 3)
    assert well_formedness([SEG], [{"img-7"}]).value == 0
    assert routing_scores([]).task.value == 0


@given(st.text(alphabet="<>/segbox[]0123456789, img-1ref", max_size=80))
def test_any_text_can_be_judged(raw: str) -> None:
    answer = parse_answer(raw)
    assert judge(answer.calls, answer.calls).in_order
