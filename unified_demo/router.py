"""The task router: checks a call against what its expert needs, runs the expert, names what went wrong.

It decides which expert works on which artefacts; it stores nothing, holds no thread and knows no page.
"""

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from unified_demo.config import Drawing
from unified_demo.errors import ExpertError, RoutingError, UnifiedError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.experts.registry import ExpertRegistry
from unified_demo.grammar import KIND_WORDS, Box, MediaKind, title_of
from unified_demo.messages import Artefact, RegionPart, Stroke, TaskCall
from unified_demo.safety import Safety
from unified_demo.strokes import strokes_meant

log = logging.getLogger(__name__)

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
"""Names of what torch and Python raise."""
MEMORY_HELP = "start with --offload or a smaller --max-memory, or ask for something smaller."
NO_PICTURE = "there is no picture in this conversation; attach one and ask again"


class Router:
    """Sends task calls to the experts of ``registry``."""

    def __init__(self, registry: ExpertRegistry, safety: Safety | None = None) -> None:
        """``safety``: what is not made; None checks nothing."""
        self.registry = registry
        self.safety = safety

    def tasks(self) -> tuple[str, ...]:
        """Tags of the tasks that are offered: exactly those with an expert."""
        return self.registry.tasks()

    def dispatch(
        self,
        call: TaskCall,
        artefacts: Mapping[str, Artefact],
        seed: int,
        cancel: threading.Event,
        drawing: Drawing | None = None,
        marks: Sequence[RegionPart] = (),
    ) -> Generator[ExpertEvent, None, None]:
        """Validate ``call``, run its expert on the artefacts of the conversation and pass its events on.

        Without a reference the most recent artefact of each needed kind is taken. ``marks``: what the user marked, the latest first; a
        region of the call that is one of them, and was painted, is told to the expert as it was painted. Ends early when ``cancel`` is set.
        Raises RoutingError (the call cannot be carried out), ExpertError (the expert failed),
        ModelLoadError or MediaError (its weights or a file are missing).
        """
        request = self._request(call, artefacts, seed, cancel)
        request = replace(request, strokes=_painted(request, marks))
        if drawing:
            request = replace(request, steps=drawing.steps, guidance=drawing.guidance, strength=drawing.strength)
        if call.task not in self.registry.loaded():
            yield Progress(0, 0, f"loading {self.registry.spec(call.task).name}")
        try:
            yield from self._run(call.task, request)
        except UnifiedError:
            raise
        except Exception as exc:
            log.exception("the expert for %s failed", call.task)
            raise ExpertError(
                f"The {title_of(call.task)} failed ({type(exc).__name__}); the rest of the answer stands, try again."
            ) from exc

    def _run(self, task: str, request: ExpertRequest) -> Generator[ExpertEvent, None, None]:
        """The expert's events. When memory runs out before a result the largest idle expert leaves and it begins once more."""
        for attempt in range(2):
            finished = 0
            try:
                with self.registry.acquire(task) as expert:
                    for event in expert.run(request):
                        if request.cancel.is_set():
                            return
                        if isinstance(event, Output):
                            finished += 1
                            if self.safety:
                                self.safety.check_output(event.kind, event.value)
                        yield event
                return
            except (RuntimeError, MemoryError) as exc:
                if type(exc).__name__ not in OUT_OF_MEMORY:
                    raise
                if attempt or finished or not self.registry.relieve(task):
                    raise ExpertError(f"The {title_of(task)} ran out of memory; {MEMORY_HELP}") from exc
                log.warning("%s ran out of memory; trying once more with more room", task)

    def _request(self, call: TaskCall, artefacts: Mapping[str, Artefact], seed: int, cancel: threading.Event) -> ExpertRequest:
        if call.task not in self.registry.tasks():
            offered = ", ".join(title_of(task) for task in self.registry.tasks()) or "nothing yet"
            raise RoutingError(f"The task {title_of(call.task)} is not offered here; offered: {offered}.")
        if self.safety:
            self.safety.check_words(" ".join((call.prompt, *(region.phrase for region in call.regions))))
        spec = self.registry.spec(call.task)
        inputs = _choose_inputs(call, spec, artefacts)
        if spec.declared.needs_box and not any(region.boxes for region in call.regions):
            raise RoutingError(
                f"The {title_of(call.task)} needs a region and the answer named none; say which thing is meant and ask again."
            )
        return ExpertRequest(prompt=call.prompt, inputs=inputs, regions=call.regions, seed=seed, cancel=cancel)


def _painted(request: ExpertRequest, marks: Sequence[RegionPart]) -> dict[Box, tuple[Stroke, ...]]:
    """Of the boxes of the request those that were painted; they lie in its first artefact."""
    boxes = [box for region in request.regions for box in region.boxes] if request.inputs else []
    found = {box: strokes_meant(box, request.inputs[0].id, marks) for box in boxes}
    return {box: strokes for box, strokes in found.items() if strokes}


def _choose_inputs(call: TaskCall, spec: ExpertSpec, artefacts: Mapping[str, Artefact]) -> tuple[Artefact, ...]:
    """The referenced artefacts in order; a needed kind that is not among them is filled with the most recent of its kind."""
    unknown = [ref for ref in call.refs if ref not in artefacts]
    if unknown:
        known = ", ".join(artefacts) or "nothing"
        raise RoutingError(f"There is no {unknown[0]} in this conversation, which holds {known}; name one of these and ask again.")
    inputs = [artefacts[ref] for ref in call.refs]
    for kind in dict.fromkeys(spec.needs):
        if any(artefact.kind == kind for artefact in inputs):
            continue
        latest = next((artefact for artefact in reversed(list(artefacts.values())) if artefact.kind == kind), None)
        if latest is None:
            raise RoutingError(missing_kind(kind))
        if call.refs:
            got = " and ".join(call.refs)
            raise RoutingError(f"The {title_of(call.task)} needs a {KIND_WORDS[kind]}, and {got} is none; name {latest.id} and ask again.")
        inputs.append(latest)
    return tuple(inputs)


def missing_kind(kind: MediaKind) -> str:
    """The sentence for a conversation that lacks what a task needs."""
    return NO_PICTURE if kind == MediaKind.IMAGE else NO_PICTURE.replace("picture", KIND_WORDS[kind])
