"""Folding events into what an answer looks like: colours, boxes, masks and steps."""

import gc
from pathlib import Path
from typing import get_args

import pytest

from unified_demo.engine import STOPPED
from unified_demo.grammar import Box, MediaKind
from unified_demo.messages import (
    Artefact,
    CallDone,
    CallFailed,
    CallProgress,
    CallStarted,
    Event,
    Message,
    RegionFound,
    RegionPart,
    TaskCall,
    TextDelta,
    TextPart,
    TurnDone,
)
from unified_demo.turn import TurnBuilder
from unified_demo.ui.view import _HANDLERS, AnswerView

PICTURE = Artefact("img-1", MediaKind.IMAGE, Path("one.jpg"), 100, 80)
LEFT = Box(0.1, 0.1, 0.4, 0.9)
RIGHT = Box(0.6, 0.1, 0.9, 0.9)


def view(*events: object, known: tuple = ()) -> AnswerView:
    made = AnswerView({"img-1": PICTURE}, known)
    for event in events:
        made.apply(event)
    return made


def grounded(phrase: int, text: str, box: Box) -> tuple[TextDelta, RegionFound]:
    return TextDelta(text, phrase), RegionFound(phrase, text, box, artefact_id="img-1")


def mask(number: int, box: Box | None = None, label: str = "the dog") -> Artefact:
    return Artefact(f"mask-{number}", MediaKind.MASK, Path("m.png"), 100, 80, of="img-1", label=label, box=box)


def test_every_event_of_a_turn_has_its_own_handler() -> None:
    assert set(_HANDLERS) == set(get_args(Event))
    assert len(set(_HANDLERS.values())) == len(_HANDLERS)


def test_a_phrase_has_its_number_before_its_box_is_known() -> None:
    made = view(TextDelta("A "), TextDelta("do", 0))
    assert made.phrases == {0: 1}
    assert made.pictures() == []
    made.apply(TextDelta("g", 0))
    made.apply(RegionFound(0, "dog", LEFT, artefact_id="img-1"))
    assert made.phrases == {0: 1}
    assert made.pictures() == [PICTURE]
    assert [run.text for run in made.runs] == ["A ", "dog"]


def test_the_same_region_keeps_its_number_within_an_answer_and_a_different_one_gets_its_own() -> None:
    made = view(*grounded(0, "the dog", LEFT), *grounded(1, "a cat", RIGHT), *grounded(2, "it", LEFT))
    assert made.phrases == {0: 1, 1: 2, 2: 1}
    assert sorted(made.objects) == [1, 2]


def test_the_same_region_keeps_its_number_in_the_next_answer() -> None:
    first = view(*grounded(0, "the dog", LEFT), *grounded(1, "a cat", RIGHT))
    second = view(*grounded(0, "a feline", RIGHT), *grounded(1, "a tree", Box(0, 0, 0.2, 0.2)), known=first.all_objects())
    assert second.phrases == {0: 2, 1: 3}
    assert first.objects[2].label == "a cat"
    assert {thing.number for thing in second.all_objects()} == {1, 2, 3}


def test_a_call_and_its_mask_share_the_colour_of_the_phrase() -> None:
    call = TaskCall(0, "seg", "the dog", ("img-1",), (RegionPart("the dog", (LEFT,)),))
    made = view(*grounded(0, "the dog", LEFT), CallStarted(0, "seg"))
    assert made.steps[0].status == "writing"
    made.apply(call)
    assert made.steps[0].status == "queued"
    made.apply(CallProgress(0, 1, 3, "outlining"))
    assert (made.steps[0].status, made.steps[0].step, made.steps[0].note) == ("running", 1, "outlining")
    made.apply(CallDone(0, 1.5, (mask(1, LEFT),), {"licence": "MIT"}))
    assert (made.steps[0].status, made.steps[0].seconds) == ("done", 1.5)
    assert list(made.objects) == [1]
    assert made.objects[1].masks == [mask(1, LEFT)]


def test_the_boxes_of_a_plan_lie_in_no_picture_that_is_there() -> None:
    planned = (RegionPart("a fox", (LEFT,)),)
    assert view(TaskCall(0, "layout", "a fox", (), planned), CallDone(0, 1.0, (), {})).objects == {}
    assert view(TaskCall(0, "seg", "a fox", (), planned), CallDone(0, 1.0, (), {})).objects != {}


def test_a_mask_without_a_box_belongs_to_the_region_that_was_asked_for() -> None:
    made = view(TaskCall(0, "seg", "it", (), (RegionPart("it", (RIGHT,)),)), CallDone(0, 1.0, (mask(1),), {}))
    assert len(made.objects) == 1
    assert made.objects[1].masks


def test_a_failed_call_and_a_stopped_one_are_told_apart() -> None:
    made = view(CallStarted(0, "seg"), CallStarted(1, "seg"), CallFailed(0, 0.1, "No picture."), CallFailed(1, 0.1, STOPPED))
    assert [(step.status, step.error) for step in made.steps.values()] == [("failed", "No picture."), ("stopped", "")]


def test_stop_keeps_what_was_said_and_later_events_change_nothing() -> None:
    made = view(TextDelta("Half an"), CallStarted(0, "seg"))
    made.stop()
    made.apply(TextDelta(" answer"))
    assert made.state == "stopped"
    assert made.message() == Message("assistant", (TextPart("Half an"),))
    assert made.steps[0].status == "stopped"


def test_a_phrase_that_got_no_box_loses_its_colour_at_the_end() -> None:
    made = view(TextDelta("a ghost", 0), TurnDone(Message("assistant", (TextPart("a ghost"),)), "<p>a ghost</p>", {"total_s": 1.0}))
    assert made.phrases == {0: None}
    assert not made.objects
    assert made.state == "done"
    assert made.timings == {"total_s": 1.0}


@pytest.mark.parametrize("stopped", [True, False])
def test_the_message_of_the_engine_is_the_truth(stopped: bool) -> None:
    message = Message("assistant", (TextPart("all of it"),))
    made = view(TextDelta("all"), TurnDone(message, "all of it", {}, (), stopped))
    assert made.message() is message
    assert made.state == ("stopped" if stopped else "done")


@pytest.mark.parametrize(
    ("task", "words", "name"),
    [
        ("redit", "remove the dog", "the dog"),
        ("redit", "make it blue", "img-1"),
        ("redit", "do something odd", "img-1"),
        ("seg", "remove the dog", "remove the dog"),
        ("palette", "the dog", "the dog"),
    ],
)
def test_a_thing_is_called_by_what_it_is_not_by_what_shall_happen_to_it(task: str, words: str, name: str) -> None:
    call = TaskCall(0, task, words, ("img-1",), (RegionPart(words, (LEFT,), artefact_id="img-1"),))
    made = view(CallStarted(0, task), call)
    (thing,) = made.things_in(PICTURE)
    assert thing.name == name
    made.apply(CallDone(0, 0.1, (mask(1, LEFT, words),), {}))
    (thing,) = made.things_in(PICTURE)
    assert thing.name == name
    assert len(thing.masks) == 1


def test_an_edit_keeps_the_name_that_the_thing_had() -> None:
    first = view(*grounded(0, "the terrier", LEFT))
    call = TaskCall(0, "redit", "make it blue", ("img-1",), (RegionPart("make it blue", (LEFT,), artefact_id="img-1"),))
    assert [thing.name for thing in view(call, known=first.all_objects()).things_in(PICTURE)] == ["the terrier"]
    later = view(call, *grounded(0, "the terrier", LEFT))
    assert [thing.name for thing in later.things_in(PICTURE)] == ["the terrier"], "named after the call"


def test_complete_answers_hold_no_more_than_they_show() -> None:
    """Each held all artefacts of the conversation before it, and what built its message."""
    others = {f"img-{number}": Artefact(f"img-{number}", MediaKind.IMAGE, Path("one.jpg"), 100, 80) for number in range(2, 50)}
    building = sum(isinstance(one, TurnBuilder) for one in gc.get_objects())
    made = [AnswerView({"img-1": PICTURE, **others}) for _ in range(20)]
    for one in made:
        for event in (TextDelta("Here is "), *grounded(0, "the dog", LEFT)):
            one.apply(event)
        before = one.message()
        one.stop()
        assert one.message() == before
        assert one.pictures() == [PICTURE]
        assert set(one.artefacts) == {"img-1", "img-49"}, "what it shows, and the latest"
    gc.collect()
    assert sum(isinstance(one, TurnBuilder) for one in gc.get_objects()) == building
