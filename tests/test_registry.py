"""Lazy loading, one lock each, least recently used out under a memory budget, retry after a failed load."""

import threading
import time
from collections.abc import Iterator

import pytest

from unified_demo.errors import ExpertError, ModelLoadError, RoutingError
from unified_demo.experts.base import ExpertRequest, ExpertSpec, Progress
from unified_demo.experts.registry import ExpertRegistry
from unified_demo.grammar import MediaKind


class Counting:
    """Knows how often it was loaded, prepared and how many requests were inside at once."""

    def __init__(self) -> None:
        self.prepared: list[tuple[object, ...]] = []

    def prepare(self, inputs: tuple[object, ...]) -> None:
        self.prepared.append(inputs)

    def run(self, request: ExpertRequest) -> Iterator[Progress]:
        yield Progress(1, 1)


def spec(task: str, memory: int = 10, loads: list[str] | None = None, load: object = None) -> ExpertSpec:
    def default_load() -> Counting:
        if loads is not None:
            loads.append(task)
        return Counting()

    return ExpertSpec(task, task, "", (), MediaKind.MASK, "MIT", (), memory, load or default_load)  # type: ignore[arg-type]


def test_nothing_is_loaded_before_first_use() -> None:
    loads: list[str] = []
    registry = ExpertRegistry([spec("seg", loads=loads), spec("gen", loads=loads)], 100)
    assert registry.tasks() == ("seg", "gen") and registry.loaded() == () and loads == []
    with registry.acquire("seg") as first:
        pass
    with registry.acquire("seg") as second:
        assert second is first
    assert loads == ["seg"] and registry.loaded() == ("seg",)


def test_unknown_task_and_double_task() -> None:
    registry = ExpertRegistry([spec("seg")], 100)
    with pytest.raises(RoutingError, match="'gen'; available are: seg"), registry.acquire("gen"):
        pass
    with pytest.raises(RoutingError, match="none"):
        ExpertRegistry([], 100).spec("seg")
    with pytest.raises(ModelLoadError, match="Two experts"):
        ExpertRegistry([spec("seg"), spec("seg")], 100)


def test_least_recently_used_goes_first() -> None:
    loads: list[str] = []
    registry = ExpertRegistry([spec(task, 40, loads) for task in ("a", "b", "c")], 100)
    for task in ("a", "b", "a", "c"):
        with registry.acquire(task):
            pass
    assert registry.loaded() == ("a", "c")
    with registry.acquire("b"):
        assert registry.loaded()[-1] == "b"
    assert registry.loaded() == ("c", "b") and loads == ["a", "b", "c", "b"]


def test_too_large_for_the_budget() -> None:
    registry = ExpertRegistry([spec("seg", 200)], 100)
    with pytest.raises(ModelLoadError, match="budget"), registry.acquire("seg"):
        pass
    assert registry.loaded() == ()


def test_failed_load_is_tried_again() -> None:
    attempts: list[int] = []

    def load() -> Counting:
        attempts.append(1)
        if len(attempts) == 1:
            raise ModelLoadError("no weights")
        return Counting()

    registry = ExpertRegistry([spec("seg", load=load)], 100)
    with pytest.raises(ModelLoadError, match="no weights"), registry.acquire("seg"):
        pass
    assert registry.loaded() == ()
    with registry.acquire("seg") as expert:
        assert isinstance(expert, Counting)


def test_error_in_use_keeps_the_expert_and_frees_the_lock() -> None:
    registry = ExpertRegistry([spec("seg")], 100)
    with pytest.raises(ExpertError), registry.acquire("seg"):
        raise ExpertError("went wrong")
    done = threading.Event()

    def other() -> None:
        with registry.acquire("seg"):
            done.set()

    threading.Thread(target=other).start()
    assert done.wait(5) and registry.loaded() == ("seg",)


def test_one_request_at_a_time_and_one_load() -> None:
    loads: list[str] = []
    registry = ExpertRegistry([spec("seg", loads=loads)], 100)
    inside, most = [], []

    def use() -> None:
        with registry.acquire("seg"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) == 8 and loads == ["seg"]


def test_different_experts_run_side_by_side() -> None:
    registry = ExpertRegistry([spec("a"), spec("b")], 100)
    meet = threading.Barrier(2, timeout=5)
    met: list[str] = []

    def use(task: str) -> None:
        with registry.acquire(task):
            meet.wait()
            met.append(task)

    threads = [threading.Thread(target=use, args=(task,)) for task in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(met) == ["a", "b"]


def test_running_expert_is_waited_for_not_unloaded() -> None:
    registry = ExpertRegistry([spec("a", 60), spec("b", 60)], 100)
    events: list[str] = []
    started = threading.Event()

    def run_a() -> None:
        with registry.acquire("a"):
            started.set()
            time.sleep(0.1)
            events.append("a done")

    thread = threading.Thread(target=run_a)
    thread.start()
    started.wait(5)
    with registry.acquire("b"):
        events.append("b runs")
    thread.join()
    assert events == ["a done", "b runs"] and registry.loaded() == ("b",)


def test_expert_in_use_by_the_same_thread_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_demo.experts.registry.WAIT_FOR_MEMORY_S", 0.01)
    registry = ExpertRegistry([spec("a", 60), spec("b", 60)], 100)
    with registry.acquire("a"):
        with pytest.raises(ModelLoadError, match="now running"), registry.acquire("b"):
            pass
        assert registry.loaded() == ("a",)


def test_prepare_loads_and_passes_inputs() -> None:
    registry = ExpertRegistry([spec("seg")], 100)
    registry.prepare("seg")
    with registry.acquire("seg") as expert:
        assert expert.prepared == [()]  # type: ignore[attr-defined]


def test_prepare_never_raises_what_the_call_will_say() -> None:
    def load() -> Counting:
        raise ModelLoadError("no weights")

    registry = ExpertRegistry([spec("seg", load=load)], 100)
    registry.prepare("seg")
    registry.prepare("gen")


# ---- an accelerator: main memory as waiting room ----


class Moving(Counting):
    """May wait in main memory; knows where it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def move_to(self, device: str) -> None:
        self.places.append(device)


def use(registry: ExpertRegistry, *tasks: str) -> None:
    for task in tasks:
        with registry.acquire(task):
            pass


def moving(loads: list[str], *tasks: str, memory: int = 60) -> list[ExpertSpec]:
    def loader(task: str) -> object:
        def load() -> Moving:
            loads.append(task)
            return Moving()

        return load

    return [spec(task, memory, load=loader(task)) for task in tasks]


def test_the_least_recently_used_waits_in_main_memory_and_comes_back() -> None:
    loads: list[str] = []
    registry = ExpertRegistry(moving(loads, "a", "b"), 100, parked_bytes=100, device="cuda")
    use(registry, "a", "b")
    assert (registry.loaded(), registry.parked()) == (("b",), ("a",))
    with registry.acquire("a") as expert:
        assert expert.places == ["cpu", "cuda"]  # type: ignore[attr-defined]
    assert (registry.loaded(), registry.parked(), loads) == (("a",), ("b",), ["a", "b"])


def test_who_waited_longest_in_main_memory_leaves_it_first() -> None:
    loads: list[str] = []
    registry = ExpertRegistry(moving(loads, "a", "b", "c"), 100, parked_bytes=100, device="cuda")
    use(registry, "a", "b", "c")
    assert (registry.loaded(), registry.parked()) == (("c",), ("b",))
    use(registry, "a")
    assert loads == ["a", "b", "c", "a"] and registry.parked() == ("c",)


@pytest.mark.parametrize(("device", "room"), [("cpu", 100), ("cuda", 50), ("cuda", 0)])
def test_without_an_accelerator_or_room_nothing_waits(device: str, room: int) -> None:
    registry = ExpertRegistry(moving([], "a", "b"), 100, parked_bytes=room, device=device)
    use(registry, "a", "b")
    assert (registry.loaded(), registry.parked()) == (("b",), ())


def test_what_cannot_move_is_unloaded() -> None:
    registry = ExpertRegistry([spec("a", 60), spec("b", 60)], 100, parked_bytes=100, device="cuda")
    use(registry, "a", "b")
    assert registry.parked() == ()


def test_relief_takes_the_largest_idle_expert() -> None:
    registry = ExpertRegistry([spec("a", 20), spec("b", 40), spec("c", 30)], 100)
    use(registry, "a", "b", "c")
    with registry.acquire("b"):
        assert registry.relieve("c") and registry.loaded() == ("c", "b"), "b works, so a leaves"
    assert registry.relieve("c") and registry.loaded() == ("c",)
    assert not registry.relieve("c")
