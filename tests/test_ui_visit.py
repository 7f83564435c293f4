"""What is kept of a visitor: turns, retry, undo and clear never mix answers up."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unified_demo.grammar import Box, MediaKind
from unified_demo.messages import Artefact, MediaPart, Message, RegionPart, TextDelta, TextPart
from unified_demo.ui.visit import Visit, question_of


def question(text: str) -> Message:
    return Message("user", (TextPart(text),))


def answered(visit: Visit, text: str, answer: str) -> None:
    turn = visit.begin(question(text))
    turn.view.apply(TextDelta(answer))
    visit.settle(turn)


def texts(visit: Visit) -> list[str]:
    return ["".join(part.text for part in message.parts) for message in visit.conversation.messages]


def test_a_settled_turn_joins_the_conversation() -> None:
    visit = Visit()
    answered(visit, "one", "eins")
    answered(visit, "two", "zwei")
    assert texts(visit) == ["one", "eins", "two", "zwei"]
    assert len(visit.answers) == 2
    assert visit.turn is None


def test_a_new_question_stops_the_running_answer_and_keeps_its_part() -> None:
    visit = Visit()
    first = visit.begin(question("one"))
    first.view.apply(TextDelta("ei"))
    visit.begin(question("two"))
    assert first.cancel.is_set()
    visit.settle(first)
    assert texts(visit) == ["one", "ei", "two"]
    assert visit.answers[0].state == "stopped"


def test_a_cleared_answer_cannot_come_back() -> None:
    visit = Visit()
    turn = visit.begin(question("one"))
    visit.clear()
    assert turn.cancel.is_set()
    visit.settle(turn)
    assert visit.conversation.messages == ()
    assert visit.answers == []


@pytest.mark.parametrize(("meanwhile", "kept"), [(Visit.settle, ["one", "ei"]), (Visit.clear, [])])
def test_two_threads_end_an_answer_once(meanwhile: Callable[[Visit], None], kept: list[str]) -> None:
    """The turn's own thread settles it while a button of the page does the same, or clears everything."""
    visit = Visit()
    turn = visit.begin(question("one"))
    turn.view.apply(TextDelta("ei"))
    button = threading.Thread(target=meanwhile, args=(visit,))
    stop = turn.view.stop

    def stop_while_a_button_is_pressed() -> None:
        button.start()
        button.join(0.2)
        stop()

    turn.view.stop = stop_while_a_button_is_pressed
    visit.settle(turn)
    button.join()
    assert texts(visit) == kept
    assert len(visit.answers) == len(kept) // 2


def test_forget_answer_keeps_the_question_and_undo_returns_it() -> None:
    visit = Visit()
    answered(visit, "one", "eins")
    answered(visit, "two", "zwei")
    assert visit.forget_answer()
    assert texts(visit) == ["one", "eins", "two"]
    assert visit.undo() == question("two")
    assert texts(visit) == ["one", "eins"]
    assert question_of(visit.undo()) == ("one", [])
    assert visit.undo() is None
    assert not visit.forget_answer()


def test_a_retry_of_an_earlier_question_cuts_what_follows() -> None:
    visit = Visit()
    for text, answer in (("one", "eins"), ("two", "zwei"), ("three", "drei")):
        answered(visit, text, answer)
    visit.edit(4)
    for number in (1, 6, -1, "2", None, 2.5):
        assert Visit.forget_answer(visit, number) is (number is None)
    assert texts(visit) == ["one", "eins", "two", "zwei", "three"]
    assert visit.editing == 4
    assert visit.forget_answer(2)
    assert (texts(visit), len(visit.answers)) == (["one", "eins", "two"], 1)
    assert visit.editing is None, "the message that was edited is gone"


def test_marks_of_a_question_survive_what_the_composer_held_before() -> None:
    """A draft gets its id where it will stand, so the picture of a later question may have the same one."""
    visit = Visit()
    picture, other = (Artefact("img-1", MediaKind.IMAGE, Path(f"{n}.png"), 10, 10) for n in (1, 2))
    mark = RegionPart("this", (Box(0.1, 0.1, 0.5, 0.5),), artefact_id="img-1")
    answered(visit, "one", "eins")
    visit.conversation = visit.conversation.with_message(Message("user", (MediaPart(picture), TextPart("what is "), mark)))
    visit.edit(0)
    visit.attach({"upload/2.png": other})
    visit.edit(2)
    visit.attach({"upload/1.png": picture})
    assert visit.marks == [mark]
    visit.attach({})
    assert visit.marks == []


def test_marks_follow_their_picture_when_another_is_taken_out_of_the_composer() -> None:
    visit = Visit()
    one, two = (Artefact(f"img-{n}", MediaKind.IMAGE, Path(f"{n}.png"), 10, 10) for n in (1, 2))
    visit.attach({"a": one, "b": two})
    visit.marks = [RegionPart("", artefact_id="img-1"), RegionPart("", artefact_id="img-2")]
    visit.attach({"b": replace(two, id="img-1")})
    assert [mark.artefact_id for mark in visit.marks] == ["img-1"]
    assert list(visit.markable()) == ["img-1"]


def test_a_window_that_joins_has_its_own_marks_and_settles_the_answer_itself() -> None:
    first, second = Visit(owner="ann"), Visit(owner="ann", language="zh")
    answered(first, "one", "eins")
    turn = first.begin(question("two"))
    first.marks = [RegionPart("", artefact_id="img-1")]
    second.join(first)
    turn.view.apply(TextDelta("zwei"))
    assert (second.key, second.running(), second.marks, second.language) == (first.key, turn.cancel, [], "zh")
    first.settle(turn)
    second.ended(turn.cancel)
    second.ended(turn.cancel)
    assert texts(first) == texts(second) == ["one", "eins", "two", "zwei"]
    first.clear()
    assert texts(second) == ["one", "eins", "two", "zwei"]
