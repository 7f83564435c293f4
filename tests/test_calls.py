"""One call of a turn on its own: cancelled while the others go on, carried out once more after it failed."""

import threading
from pathlib import Path

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import STOPPED, Engine, TurnCancel
from unified_demo.errors import ExpertError
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import Task
from unified_demo.messages import CallDone, CallFailed, Conversation, Message, TaskCall, TextPart, TurnDone

ASKED = Conversation((Message("user", (TextPart("draw"),)),))
FIRST, SECOND = Task.IMAGE_GENERATION.value, Task.LAYOUT_GENERATION.value
ANSWER = f"<{FIRST}>a fox</{FIRST}> and <{SECOND}>a hen<box>[0,0,500,500]</box></{SECOND}> too"


def build(tmp_path: Path, first: FakeExpert) -> Engine:
    specs = (fake_spec(first, FIRST), fake_spec(task=SECOND))
    return load_engine(Settings(media_dir=tmp_path), ScriptedModel([ANSWER]), specs)


def test_one_call_is_cancelled_and_the_rest_goes_on(tmp_path: Path) -> None:
    gate, cancel = threading.Event(), TurnCancel()
    engine = build(tmp_path, FakeExpert(gives=fake_spec(task=FIRST).gives, gate=gate))
    ends: dict[int, CallDone | CallFailed] = {}
    for event in engine.respond(ASKED, cancel=cancel):
        if isinstance(event, TaskCall) and event.index == 0:
            cancel.of_call(0).set()
        if isinstance(event, CallDone | CallFailed):
            assert event.index not in ends
            ends[event.index] = event
        last = event
    assert isinstance(ends[0], CallFailed) and ends[0].error == STOPPED
    assert isinstance(ends[1], CallDone)
    assert isinstance(last, TurnDone) and not last.stopped
    assert not cancel.is_set()
    assert {"call_0_start_s", "call_0_end_s", "call_1_start_s", "call_1_end_s"} <= set(last.timings)


def test_the_flag_of_the_turn_ends_its_calls_also_those_that_come_later() -> None:
    cancel = TurnCancel()
    early = cancel.of_call(0)
    assert not early.is_set()
    cancel.set()
    assert early.is_set() and cancel.of_call(1).is_set()


def test_a_failed_call_is_carried_out_once_more(tmp_path: Path) -> None:
    expert = FakeExpert(gives=fake_spec(task=FIRST).gives, error=ExpertError("The stove is cold."))
    engine = build(tmp_path, expert)
    *events, done = engine.respond(ASKED)
    assert [event.error for event in events if isinstance(event, CallFailed)] == ["The stove is cold."]
    assert isinstance(done, TurnDone)
    expert.error = None
    call = next(part for part in done.message.parts if isinstance(part, TaskCall))
    *_, again = engine.repeat(ASKED.with_message(done.message), call)
    assert isinstance(again, CallDone) and again.index == 0
    assert [artefact.id for artefact in again.artefacts] == ["img-2"]
    assert len(expert.requests) == 2


def test_a_repeated_call_that_is_cancelled_ends_as_stopped(tmp_path: Path) -> None:
    engine, cancel = build(tmp_path, FakeExpert(gives=fake_spec(task=FIRST).gives, gate=threading.Event())), TurnCancel()
    events = engine.repeat(ASKED, TaskCall(0, FIRST, "a fox"), cancel=cancel)
    next(events)
    cancel.set()
    assert [event.error for event in events if isinstance(event, CallFailed)] == [STOPPED]
