"""What the router checks before an expert runs, what it hands over, and how it names failures."""

import threading
from pathlib import Path

import pytest

from unified_demo.errors import ExpertError, ModelLoadError, RoutingError
from unified_demo.experts.base import ExpertSpec, Output, Progress
from unified_demo.experts.registry import ExpertRegistry
from unified_demo.fakes import FakeExpert, fake_spec
from unified_demo.grammar import TASKS, Box, MediaKind, Task
from unified_demo.messages import Artefact, RegionPart, Stroke, TaskCall
from unified_demo.router import NO_PICTURE, Router

REGION = RegionPart("the dog", (Box(0, 0, 0.5, 0.5),))


def artefacts(*ids: str) -> dict[str, Artefact]:
    return {key: Artefact(key, MediaKind(key.split("-")[0]), Path("nowhere"), 8, 8) for key in ids}


def run(spec: ExpertSpec, call: TaskCall, known: dict[str, Artefact], cancel: threading.Event | None = None) -> list[object]:
    return list(Router(ExpertRegistry([spec], 2**30)).dispatch(call, known, 3, cancel or threading.Event()))


def test_a_valid_call_reaches_its_expert() -> None:
    expert = FakeExpert()
    call = TaskCall(0, "seg", "the dog", ("img-1",), (REGION,))
    events = run(fake_spec(expert), call, artefacts("img-1", "img-2"))
    (request,) = expert.requests
    assert (request.prompt, [item.id for item in request.inputs], request.regions, request.seed) == ("the dog", ["img-1"], (REGION,), 3)
    assert [type(event) for event in events] == [Progress] * 4 + [Output]
    assert isinstance(events[0], Progress) and events[0].steps == 0 and "loading" in events[0].note


def test_an_expert_is_told_what_was_painted_where_the_call_names_it() -> None:
    (box,), stroke = REGION.boxes, Stroke(((0.25, 0.25),), 0.2)
    marks = [RegionPart("this", (Box(0, 0, 0.5, 0.49),), artefact_id="img-1", strokes=(stroke,))]
    expert = FakeExpert()
    router = Router(ExpertRegistry([fake_spec(expert)], 2**30))
    for picture, told in (("img-1", {box: (stroke,)}), ("img-2", {})):
        call = TaskCall(0, "seg", "the dog", (picture,), (REGION,))
        list(router.dispatch(call, artefacts("img-1", "img-2"), 0, threading.Event(), marks=marks))
        assert expert.requests[-1].strokes == told


def test_a_loaded_expert_is_not_announced_again() -> None:
    router = Router(ExpertRegistry([fake_spec()], 2**30))
    call = TaskCall(0, "seg", "dog", (), (REGION,))
    first, second = (list(router.dispatch(call, artefacts("img-1"), 0, threading.Event())) for _ in range(2))
    assert len(first) == len(second) + 1


def test_without_a_reference_the_most_recent_of_the_needed_kind_is_taken() -> None:
    expert = FakeExpert()
    run(fake_spec(expert), TaskCall(0, "seg", "dog", (), (REGION,)), artefacts("img-1", "img-2", "mask-1"))
    assert [item.id for item in expert.requests[0].inputs] == ["img-2"]


@pytest.mark.parametrize(
    ("call", "known", "words"),
    [
        (TaskCall(0, "seg", "dog", (), (REGION,)), (), NO_PICTURE),
        (TaskCall(0, "seg", "dog", (), (REGION,)), ("mask-1", "vid-1"), NO_PICTURE),
        (TaskCall(0, "seg", "dog", ("img-3",), (REGION,)), ("img-1",), "img-3"),
        (TaskCall(0, "seg", "dog", ("vid-1",), (REGION,)), ("vid-1",), NO_PICTURE),
        (TaskCall(0, "seg", "dog", ("vid-1",), (REGION,)), ("img-1", "vid-1"), "vid-1"),
        (TaskCall(0, "seg", "dog", ("img-1",)), ("img-1",), "region"),
        (TaskCall(0, "seg", "dog", ("img-1",), (RegionPart("dog"),)), ("img-1",), "region"),
        (TaskCall(0, "gen", "dog"), ("img-1",), "not offered"),
        (TaskCall(0, "speak", "dog"), ("img-1",), "not offered"),
    ],
)
def test_a_call_that_cannot_be_carried_out(call: TaskCall, known: tuple[str, ...], words: str) -> None:
    expert = FakeExpert()
    with pytest.raises(RoutingError, match=words):
        run(fake_spec(expert), call, artefacts(*known))
    assert not expert.requests


def test_a_video_is_asked_for_by_its_name() -> None:
    with pytest.raises(RoutingError, match="there is no video in this conversation; attach one and ask again"):
        run(fake_spec(None, "vedit"), TaskCall(0, "vedit", "make it rain"), artefacts("img-1"))


def test_what_an_expert_raises_becomes_an_expert_error_without_its_inner_words() -> None:
    secret = RuntimeError("/somewhere/secret: CUDA error")
    with pytest.raises(ExpertError) as caught:
        run(fake_spec(FakeExpert(error=secret)), TaskCall(0, "seg", "dog", (), (REGION,)), artefacts("img-1"))
    assert caught.value.__cause__ is secret and "secret" not in str(caught.value)


def test_missing_weights_stay_a_load_error() -> None:
    def load() -> FakeExpert:
        raise ModelLoadError("The weights are missing; fetch them.")

    given = fake_spec()
    spec = ExpertSpec(given.task, given.name, given.description, given.needs, given.gives, given.licence, (), 0, load)
    with pytest.raises(ModelLoadError, match="fetch them"):
        run(spec, TaskCall(0, "seg", "dog", (), (REGION,)), artefacts("img-1"))


def test_a_cancelled_call_gives_no_output() -> None:
    cancel = threading.Event()
    router = Router(ExpertRegistry([fake_spec(FakeExpert(steps=50))], 2**30))
    events = []
    for event in router.dispatch(TaskCall(0, "seg", "dog", (), (REGION,)), artefacts("img-1"), 0, cancel):
        events.append(event)
        cancel.set()
    assert len(events) <= 2 and not any(isinstance(event, Output) for event in events)


def test_a_plugin_task_needs_only_what_its_spec_says() -> None:
    expert = FakeExpert(MediaKind.IMAGE)
    run(fake_spec(expert, "speak"), TaskCall(0, "speak", "hello"), {})
    assert expert.requests[0].inputs == ()


def test_every_task_of_the_table_can_be_offered() -> None:
    registry = ExpertRegistry([fake_spec(None, task.value) for task in Task], 2**30)
    assert set(Router(registry).tasks()) == {task.value for task in TASKS}


# ---- memory that runs out ----


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


class Hungry(FakeExpert):
    """Runs out of memory until ``failures`` are used up; before or after its result."""

    def __init__(self, failures: int, late: bool = False) -> None:
        super().__init__()
        self.failures, self.late = failures, late

    def run(self, request: object) -> object:  # type: ignore[override]
        if self.late:
            yield from super().run(request)  # type: ignore[arg-type]
        if self.failures:
            self.failures -= 1
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        yield from super().run(request)  # type: ignore[arg-type]


def starving(expert: FakeExpert, *others: str) -> tuple[Router, list[object]]:
    registry = ExpertRegistry([fake_spec(expert), *(fake_spec(None, task) for task in others)], 2**30)
    for task in others:
        with registry.acquire(task):
            pass
    router = Router(registry)
    return router, list(router.dispatch(TaskCall(0, "seg", "dog", (), (REGION,)), artefacts("img-1"), 0, threading.Event()))


def test_when_memory_runs_out_the_largest_idle_expert_leaves_and_it_is_tried_again() -> None:
    router, events = starving(Hungry(1), "gen", "vgen")
    assert any(isinstance(event, Output) for event in events) and len(router.registry.loaded()) == 2


@pytest.mark.parametrize(("expert", "others"), [(Hungry(2), ("gen", "vgen")), (Hungry(1), ()), (Hungry(1, late=True), ("gen",))])
def test_after_one_retry_a_sentence_names_the_flag_that_helps(expert: FakeExpert, others: tuple[str, ...]) -> None:
    with pytest.raises(ExpertError, match="segmentation ran out of memory; start with --offload") as caught:
        starving(expert, *others)
    assert "20.00" not in str(caught.value)
