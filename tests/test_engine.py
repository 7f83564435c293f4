"""One turn from end to end with a scripted model and fake experts: order, overlap, failures, stop, several users."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Settings
from unified_demo.engine import STOPPED, UNFINISHED, Engine, FairLock
from unified_demo.errors import MediaError, ModelLoadError, RoutingError, UnifiedError
from unified_demo.experts.base import ExpertSpec, Output
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import MediaKind, Task
from unified_demo.intake import user_message
from unified_demo.media import load_mask
from unified_demo.messages import (
    CallDone,
    CallFailed,
    CallProgress,
    CallStarted,
    Conversation,
    Event,
    MediaPart,
    Message,
    RegionFound,
    RegionPart,
    TaskCall,
    TextDelta,
    TextPart,
    TurnDone,
)
from unified_demo.router import NO_PICTURE

BOX = "<box>[0,0,500,999]</box>"
SEG = f"<seg><ref>img-1</ref>the dog{BOX}</seg>"
PATIENCE_S = 60


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Engine]:
    def engine(script: Any, *specs: ExpertSpec) -> Engine:
        model = script if hasattr(script, "generate") else ScriptedModel(script)
        return load_engine(Settings(media_dir=tmp_path / "media"), model, specs or (fake_spec(),))

    return engine


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (80, 40), (90, 120, 60)).save(path)
    return path


def ask(engine: Engine, text: str, *files: Path, before: Conversation | None = None) -> Conversation:
    conversation = before or Conversation()
    message, complaints = user_message(text, files, conversation, engine.store, engine.settings.limits)
    assert message is not None and not complaints
    return conversation.with_message(message)


def of_type(events: Iterable[Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in of_type(events, TextDelta))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def expect_no_expert_thread() -> None:
    """No worker of a turn is left; on a busy machine it may need a moment to end."""
    wait_until(lambda: not any(thread.name.startswith("unified_demo-expert") for thread in threading.enumerate()))


# ---- a turn ----


def test_a_turn_from_text_to_mask(build: Callable[..., Engine], photo: Path) -> None:
    engine = build(["Here is ", "<p>the ", "dog</p>", BOX, ". ", SEG, " Done."])
    events = list(engine.respond(ask(engine, "segment the dog", photo)))
    done = events[-1]
    assert isinstance(done, TurnDone) and not done.stopped and not done.warnings
    (call_done,) = of_type(events, CallDone)
    (mask,) = call_done.artefacts
    assert (mask.id, mask.kind, mask.of, mask.label, (mask.width, mask.height)) == ("mask-1", MediaKind.MASK, "img-1", "the dog", (80, 40))
    assert load_mask(mask).sum() == pytest.approx(80 * 40 / 2, rel=0.05)
    parts = done.message.parts
    assert [type(part) for part in parts] == [TextPart, RegionPart, TextPart, TaskCall, MediaPart, TextPart]
    assert isinstance(parts[1], RegionPart) and (parts[1].phrase, parts[1].artefact_id) == ("the dog", "img-1")
    assert parts[4] == MediaPart(mask) and parts[5] == TextPart(" Done.")
    assert done.raw == f"Here is <p>the dog</p>{BOX}. {SEG} Done."
    assert text_of(events) == "Here is the dog.  Done."


def test_a_region_without_a_reference_lies_in_the_latest_of_what_it_can_lie_in(build: Callable[..., Engine], photo: Path) -> None:
    """A box in a picture, a span of time in a video or sound; where there is none the region is left out."""
    engine = build([f"<p>the dog</p>{BOX} <p>a bark</p><time>[250,500]</time>"])
    picture = MediaPart(engine.store.add_image(Image.open(photo), "img-1"))
    film = MediaPart(engine.store.add_video(np.zeros((4, 48, 64, 3), np.uint8), 2.0, "vid-1"))

    def placed(*parts: MediaPart) -> list[tuple[str, str | None]]:
        asked = Conversation((Message("user", (*parts, TextPart("go"))),))
        return [(region.text, region.artefact_id) for region in of_type(engine.respond(asked), RegionFound)]

    both = [("the dog", "img-1"), ("a bark", "vid-1")]
    assert placed(picture, film) == placed(film, picture) == both
    assert placed(picture) == both[:1] and placed(film) == both[1:]


def test_order_of_the_events_of_a_call(build: Callable[..., Engine], photo: Path) -> None:
    engine = build([SEG])
    events = of_type(engine.respond(ask(engine, "go", photo)), CallStarted, TaskCall, CallProgress, CallDone, TurnDone)
    kinds = [type(event) for event in events]
    assert kinds[:2] == [CallStarted, TaskCall] and kinds[-2:] == [CallDone, TurnDone]
    assert [event.step for event in of_type(events, CallProgress) if event.steps] == [1, 2, 3]


def test_timings_and_recipe(build: Callable[..., Engine], photo: Path) -> None:
    engine = build([f"<p>dog</p>{BOX}", SEG])
    events = list(engine.respond(ask(engine, "go", photo), GenerationOptions(seed=7)))
    timings = events[-1].timings
    assert {"first_text_s", "first_box_s", "first_output_s", "prefill_s", "decode_s", "tokens", "total_s"} <= set(timings)
    assert timings["first_text_s"] <= timings["first_box_s"] <= timings["first_output_s"] <= timings["total_s"]
    (call,) = of_type(events, CallDone)
    assert call.recipe["seed"] == 7 and call.recipe["task"] == "seg" and call.recipe["seconds"] >= 0
    assert {"expert", "weights", "licence", "prompt"} <= set(call.recipe)
    assert call.artefacts[0].recipe["seed"] == 7


def test_raw_text_is_what_the_model_wrote_and_the_page_sees_no_tag(build: Callable[..., Engine], photo: Path) -> None:
    script = ["a < b <3 <p>x", "</seg></p> <bo", "x>[1,2]</box>", "<unknown>"]
    engine = build(script)
    events = list(engine.respond(ask(engine, "go", photo)))
    assert events[-1].raw == "".join(script)
    assert text_of(events) == "a < b <3 x <unknown>"
    assert events[-1].warnings


def test_two_turns_share_nothing_but_the_conversation(build: Callable[..., Engine], photo: Path) -> None:
    engine = build([SEG])
    first = ask(engine, "go", photo)
    done = list(engine.respond(first))[-1]
    again = ask(engine, "again", before=first.with_message(done.message))
    assert list(engine.respond(again))[-1].message.parts[-1].artefact.id == "mask-2"
    assert list(engine.respond(first))[-1].message.parts[-1].artefact.id == "mask-1"


# ---- calls ----


def test_several_calls_run_in_order_and_stand_in_the_message_in_order(build: Callable[..., Engine], photo: Path) -> None:
    expert = FakeExpert()
    engine = build([f"<seg>a{BOX}</seg> x ", f"<seg>b{BOX}</seg> y ", f"<seg>c{BOX}</seg>"], fake_spec(expert))
    events = list(engine.respond(ask(engine, "go", photo)))
    assert [request.prompt for request in expert.requests] == ["a", "b", "c"]
    assert [event.index for event in of_type(events, CallDone)] == [0, 1, 2]
    labels = [
        part.prompt if isinstance(part, TaskCall) else part.artefact.label
        for part in events[-1].message.parts
        if not isinstance(part, TextPart)
    ]
    assert labels == ["a", "a", "b", "b", "c", "c"]
    assert list(Conversation((events[-1].message,)).artefacts()) == ["mask-1", "mask-2", "mask-3"]


def test_an_expert_works_while_the_text_goes_on(build: Callable[..., Engine], photo: Path) -> None:
    gate = threading.Event()
    expert = FakeExpert(gate=gate)

    def script(_: Conversation) -> Iterator[str]:
        yield SEG
        wait_until(lambda: bool(expert.requests))
        yield " and the text goes on"
        gate.set()

    engine = build(script, fake_spec(expert))
    events = list(engine.respond(ask(engine, "go", photo)))
    kinds = [type(event) for event in events]
    assert kinds.index(CallDone) > kinds.index(TextDelta)
    assert text_of(events) == " and the text goes on"


def test_progress_arrives_between_two_pieces_of_text(build: Callable[..., Engine], photo: Path) -> None:
    finished = threading.Event()

    class Noticing(FakeExpert):
        def run(self, request: Any) -> Iterator[Any]:
            yield from super().run(request)
            finished.set()

    def script(_: Conversation) -> Iterator[str]:
        yield SEG
        assert finished.wait(PATIENCE_S)
        yield " more"

    engine = build(script, fake_spec(Noticing(steps=2)))
    kinds = [type(event) for event in engine.respond(ask(engine, "go", photo))]
    assert kinds[: kinds.index(TextDelta)].count(CallProgress) >= 2


def test_the_expert_is_prepared_while_its_payload_is_written(build: Callable[..., Engine], photo: Path) -> None:
    expert = FakeExpert()

    def script(_: Conversation) -> Iterator[str]:
        yield "<seg>"
        wait_until(lambda: bool(expert.prepared))
        yield f"the dog{BOX}</seg>"

    engine = build(script, fake_spec(expert))
    events = list(engine.respond(ask(engine, "go", photo)))
    assert [artefact.id for artefact in expert.prepared[0]] == ["img-1"]
    assert len(of_type(events, CallDone)) == 1


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MediaError("The picture is gone."), KeyError("x")])
def test_a_failing_call_leaves_the_others_standing(build: Callable[..., Engine], photo: Path, error: Exception) -> None:
    failing = fake_spec(FakeExpert(MediaKind.IMAGE, error=error), "edit")
    engine = build([f"<seg>a{BOX}</seg>", "<edit>make it blue</edit>", f"<seg>b{BOX}</seg> end"], fake_spec(), failing)
    events = list(engine.respond(ask(engine, "go", photo)))
    (failed,) = of_type(events, CallFailed)
    assert failed.index == 1 and failed.error
    assert "Traceback" not in failed.error and "out of memory" not in failed.error
    assert [event.index for event in of_type(events, CallDone)] == [0, 2]
    assert [part.artefact.id for part in events[-1].message.parts if isinstance(part, MediaPart)] == ["mask-1", "mask-2"]
    assert text_of(events).endswith(" end") and not events[-1].stopped


@pytest.mark.parametrize("value", [np.zeros((4, 4)), "no mask at all", None])
def test_an_output_that_cannot_be_kept_fails_its_call(build: Callable[..., Engine], photo: Path, value: object) -> None:
    class Odd(FakeExpert):
        def _output(self, request: Any) -> Output:
            return Output(MediaKind.MASK, value)

    engine = build([SEG, "<edit>x</edit>"], fake_spec(Odd()), fake_spec(None, "edit"))
    events = list(engine.respond(ask(engine, "go", photo)))
    assert [event.index for event in of_type(events, CallFailed)] == [0]
    assert [event.index for event in of_type(events, CallDone)] == [1]


def test_a_bug_while_keeping_an_output_fails_its_call(build: Callable[..., Engine], photo: Path) -> None:
    class Odd(FakeExpert):
        def _output(self, request: Any) -> Output:
            return Output(MediaKind.IMAGE, "a text has no pixels")

    engine = build([SEG, f"<seg>b{BOX}</seg>", " end"], fake_spec(Odd()))
    events = list(engine.respond(ask(engine, "go", photo)))
    assert [event.index for event in of_type(events, CallFailed)] == [0, 1]
    assert isinstance(events[-1], TurnDone) and not events[-1].stopped


def test_a_later_call_may_use_an_earlier_output(build: Callable[..., Engine]) -> None:
    editor = FakeExpert(MediaKind.IMAGE)
    engine = build(
        ["<gen>a cat</gen>", "<edit><ref>img-1</ref>make it blue</edit>", "<edit>and smaller</edit>"],
        fake_spec(None, "gen"),
        fake_spec(editor, "edit"),
    )
    events = list(engine.respond(ask(engine, "draw a cat")))
    assert [event.artefacts[0].id for event in of_type(events, CallDone)] == ["img-1", "img-2", "img-3"]
    assert [request.inputs[0].id for request in editor.requests] == ["img-1", "img-2"]


# ---- what cannot be carried out ----


def errors(build: Callable[..., Engine], script: list[str], *files: Path, specs: tuple[ExpertSpec, ...] = ()) -> list[str]:
    engine = build([*script, " The end."], *specs)
    events = list(engine.respond(ask(engine, "go", *files)))
    assert text_of(events).endswith(" The end.") and isinstance(events[-1], TurnDone)
    return [event.error for event in of_type(events, CallFailed)]


def test_no_picture_where_one_is_needed(build: Callable[..., Engine]) -> None:
    assert errors(build, [f"<seg>the dog{BOX}</seg>"]) == [NO_PICTURE]
    assert NO_PICTURE == "there is no picture in this conversation; attach one and ask again"


def test_unknown_reference_is_named(build: Callable[..., Engine], photo: Path) -> None:
    (error,) = errors(build, [f"<seg><ref>img-9</ref>the dog{BOX}</seg>"], photo)
    assert "img-9" in error and "img-1" in error


def test_reference_of_the_wrong_kind(build: Callable[..., Engine], photo: Path) -> None:
    (error,) = errors(build, [SEG, "<edit><ref>mask-1</ref>blue</edit>"], photo, specs=(fake_spec(), fake_spec(None, "edit")))
    assert "mask-1" in error and "img-1" in error


def test_a_call_without_an_expert_is_not_offered(build: Callable[..., Engine], photo: Path) -> None:
    (error,) = errors(build, ["<vgen>a storm</vgen>"], photo)
    assert "video generation" in error and "segmentation" in error


def test_a_call_without_its_region(build: Callable[..., Engine], photo: Path) -> None:
    (error,) = errors(build, ["<seg>the dog</seg>"], photo)
    assert "region" in error


def test_a_call_that_is_never_closed_is_reported(build: Callable[..., Engine], photo: Path) -> None:
    engine = build(["x <seg>the dog"])
    events = list(engine.respond(ask(engine, "go", photo)))
    assert [event.error for event in of_type(events, CallFailed)] == [UNFINISHED]
    assert events[-1].warnings


def test_a_region_takes_the_most_recent_picture(build: Callable[..., Engine], photo: Path) -> None:
    engine = build([f"<p>a</p>{BOX}", f"<p>b</p><ref>img-1</ref>{BOX}", f"<p>c</p><ref>img-7</ref>{BOX}"])
    events = list(engine.respond(ask(engine, "go", photo, photo)))
    assert [event.artefact_id for event in of_type(events, RegionFound)] == ["img-2", "img-1"]
    assert len(events[-1].warnings) == 1 and "img-7" in events[-1].warnings[0]


def test_a_region_without_any_picture_is_a_warning(build: Callable[..., Engine]) -> None:
    engine = build([f"see <p>the dog</p>{BOX}"])
    events = list(engine.respond(ask(engine, "go")))
    assert not of_type(events, RegionFound) and NO_PICTURE in events[-1].warnings[0]
    assert events[-1].message.parts == (TextPart("see the dog"),)


def test_nothing_to_answer_is_refused(build: Callable[..., Engine]) -> None:
    engine = build(["hello"])
    too_long = Conversation((Message("user", (TextPart("x" * 10_001),)),))
    for conversation in (
        Conversation(),
        Conversation((Message("user", ()),)),
        Conversation((Message("assistant", (TextPart("a"),)),)),
        too_long,
    ):
        with pytest.raises(UnifiedError):
            list(engine.respond(conversation))


def test_a_model_that_cannot_load_raises_before_any_event(build: Callable[..., Engine]) -> None:
    class Missing(ScriptedModel):
        def load(self) -> None:
            raise ModelLoadError("The weights of the language model are missing; run the fetch command.")

    engine = build(Missing([]))
    with pytest.raises(ModelLoadError):
        list(engine.respond(ask(engine, "go")))


def test_a_model_that_breaks_takes_its_expert_along(build: Callable[..., Engine], photo: Path) -> None:
    expert = FakeExpert(gate=threading.Event())

    def script(_: Conversation) -> Iterator[str]:
        yield SEG
        wait_until(lambda: bool(expert.requests))
        raise RuntimeError("broken")

    engine = build(script, fake_spec(expert))
    with pytest.raises(RuntimeError, match="broken"):
        list(engine.respond(ask(engine, "go", photo)))
    assert expert.requests[0].cancel.is_set()
    expect_no_expert_thread()


# ---- stop ----


class Endless(ScriptedModel):
    """Says "la " for ever, unless it is cancelled; notes whether it was told and whether it was closed."""

    def __init__(self, first: str = "") -> None:
        super().__init__([])
        self.first = first
        self.steps = 0
        self.closed = False

    def generate(self, conversation: Conversation, options: Any, cancel: threading.Event) -> Generator[str, None, dict[str, float]]:
        try:
            yield self.first
            while not cancel.is_set():
                self.steps += 1
                yield "la "
        finally:
            self.closed = True
        return {}


def test_cancel_in_the_text_keeps_the_partial_answer(build: Callable[..., Engine]) -> None:
    model = Endless()
    engine = build(model)
    cancel = threading.Event()
    events = []
    for event in engine.respond(ask(engine, "sing"), cancel=cancel):
        events.append(event)
        if len(events) == 5:
            cancel.set()
            steps = model.steps
    done = events[-1]
    assert isinstance(done, TurnDone) and done.stopped
    assert model.steps - steps <= 1 and model.closed
    assert done.message.parts == (TextPart("la " * 5),)
    assert {"prefill_s", "decode_s", "tokens", "total_s"} <= set(done.timings)


def test_closing_the_iterator_in_the_text_stops_the_model(build: Callable[..., Engine]) -> None:
    model = Endless()
    engine = build(model)
    cancel = threading.Event()
    turn = engine.respond(ask(engine, "sing"), cancel=cancel)
    next(turn)
    turn.close()
    assert cancel.is_set() and model.closed
    expect_no_expert_thread()


def test_cancel_in_an_expert_ends_the_turn(build: Callable[..., Engine], photo: Path) -> None:
    expert = FakeExpert(gate=threading.Event())
    engine = build(["See. ", SEG, f"<seg>b{BOX}</seg>"], fake_spec(expert))
    cancel = threading.Event()
    threading.Thread(target=lambda: (wait_until(lambda: bool(expert.requests)), cancel.set())).start()
    events = list(engine.respond(ask(engine, "go", photo), cancel=cancel))
    assert [(event.index, event.error) for event in of_type(events, CallFailed)] == [(0, STOPPED), (1, STOPPED)]
    assert events[-1].stopped and events[-1].message.parts[0] == TextPart("See. ")
    assert len(expert.requests) == 1
    expect_no_expert_thread()


def test_closing_the_iterator_in_an_expert_leaves_no_thread(build: Callable[..., Engine], photo: Path) -> None:
    expert = FakeExpert(gate=threading.Event())
    engine = build(Endless(SEG), fake_spec(expert))
    turn = engine.respond(ask(engine, "go", photo))
    for _ in turn:
        if expert.requests:
            break
    turn.close()
    assert expert.requests[0].cancel.is_set()
    expect_no_expert_thread()


def test_a_deaf_expert_does_not_hold_the_user(build: Callable[..., Engine], photo: Path) -> None:
    """An expert that ignores the flag cannot be killed: the turn ends without it, and its late output goes nowhere."""
    release = threading.Event()

    class Deaf(FakeExpert):
        def run(self, request: Any) -> Iterator[Any]:
            self.requests.append(request)
            release.wait(PATIENCE_S)
            yield self._output(request)

    expert = Deaf()
    engine = build([SEG], fake_spec(expert))
    cancel = threading.Event()
    threading.Thread(target=lambda: (wait_until(lambda: bool(expert.requests)), cancel.set())).start()
    events = list(engine.respond(ask(engine, "go", photo), cancel=cancel))
    assert events[-1].stopped and [event.error for event in of_type(events, CallFailed)] == [STOPPED]
    assert not release.is_set()
    release.set()
    expect_no_expert_thread()


def test_cancel_before_the_start(build: Callable[..., Engine]) -> None:
    engine = build(["never said"])
    cancel = threading.Event()
    cancel.set()
    (done,) = engine.respond(ask(engine, "go"), cancel=cancel)
    assert isinstance(done, TurnDone) and done.stopped and done.message.parts == ()


def test_a_finished_turn_leaves_the_flag_alone(build: Callable[..., Engine]) -> None:
    engine = build(["hello"])
    cancel = threading.Event()
    list(engine.respond(ask(engine, "go"), cancel=cancel))
    assert not cancel.is_set()


# ---- several users ----


def echo(conversation: Conversation) -> Iterator[str]:
    last = conversation.messages[-1].parts[-1]
    assert isinstance(last, TextPart)
    yield from last.text
    yield f"<seg>{last.text}{BOX}</seg>"


def test_two_turns_advanced_alternately_do_not_mix(build: Callable[..., Engine], photo: Path) -> None:
    engine = build(echo)
    turns = [engine.respond(ask(engine, name, photo)) for name in ("anna", "bert")]
    heard: list[list[Event]] = [[], []]
    alive = {0, 1}
    while alive:
        for user in sorted(alive):
            event = next(turns[user], None)
            if event is None:
                alive.discard(user)
            else:
                heard[user].append(event)
    assert [text_of(events) for events in heard] == ["anna", "bert"]
    assert [events[-1].message.parts[-1].artefact.label for events in heard] == ["anna", "bert"]


def test_many_users_at_once_share_one_model_step_by_step(build: Callable[..., Engine], photo: Path) -> None:
    inside = threading.Lock()

    def script(conversation: Conversation) -> Iterator[str]:
        for delta in echo(conversation):
            assert inside.acquire(blocking=False), "two turns were in the model at once"
            time.sleep(0.001)
            inside.release()
            yield delta

    engine = build(script)
    names = ["anna", "bert", "carl", "dora"]
    results: dict[str, list[Event]] = {}

    def user(name: str) -> None:
        results[name] = list(engine.respond(ask(engine, name, photo)))

    threads = [threading.Thread(target=user, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert {name: text_of(events) for name, events in results.items()} == {name: name for name in names}
    assert all(of_type(results[name], CallDone)[0].artefacts[0].label == name for name in names)
    assert all(results[name][-1].message.parts[-1].artefact.id == "mask-1" for name in names)
    expect_no_expert_thread()


def test_a_user_who_does_not_read_on_holds_nobody(build: Callable[..., Engine]) -> None:
    engine = build(Endless())
    idle = engine.respond(ask(engine, "sing"))
    next(idle)
    other = build(["hello"])
    other.model, other.model_lock = ScriptedModel(["hello"]), engine.model_lock
    assert text_of(other.respond(ask(other, "go"))) == "hello"
    idle.close()


def test_the_lock_is_first_come_first_served() -> None:
    lock, never = FairLock(), threading.Event()
    order: list[str] = []

    def other() -> None:
        with lock.held(never) as granted:
            assert granted
            order.append("other")

    with lock.held(never):
        thread = threading.Thread(target=other)
        thread.start()
        wait_until(lambda: len(lock._tickets) == 2)
    with lock.held(never):
        order.append("first again")
    thread.join(PATIENCE_S)
    assert order == ["other", "first again"]


def test_waiting_for_the_lock_can_be_cancelled() -> None:
    lock, never, cancelled = FairLock(), threading.Event(), threading.Event()
    cancelled.set()
    with lock.held(never), lock.held(cancelled) as granted:
        assert not granted
    with lock.held(never) as granted:
        assert granted


# ---- assembly ----


def test_offered_tasks_are_those_with_an_expert(build: Callable[..., Engine]) -> None:
    assert set(build([], fake_spec(), fake_spec(None, "gen")).tasks()) == {"seg", "gen"}
    assert set(build([], *(fake_spec(None, task.value) for task in Task)).tasks()) == {task.value for task in Task}


def test_load_engine_without_a_folder_cleans_up_after_itself(photo: Path) -> None:
    engine = load_engine(model=ScriptedModel(["hello"]), experts=())
    root = engine.store.root
    assert root.is_dir() and engine.tasks() == ()
    del engine
    wait_until(lambda: not root.exists())


def test_nothing_is_loaded_before_it_is_needed(build: Callable[..., Engine], photo: Path) -> None:
    model = ScriptedModel(["hello"])
    engine = build(model)
    assert model.loads == 0 and engine.router.registry.loaded() == ()
    list(engine.respond(ask(engine, "go", photo)))
    assert model.loads == 1 and engine.router.registry.loaded() == ()


def test_the_default_profile_offers_exactly_the_tasks_with_an_expert(tmp_path: Path) -> None:
    """Every other task of the table is refused in words, whatever the model writes. Needs no weights."""
    engine = load_engine(Settings(media_dir=tmp_path / "media"), ScriptedModel([]))
    offered = set(engine.tasks())
    assert offered and offered <= {task.value for task in Task}
    for task in set(Task) - offered:
        with pytest.raises(RoutingError, match="not offered"):
            list(engine.router.dispatch(TaskCall(0, task.value, "x"), {}, 0, threading.Event()))
