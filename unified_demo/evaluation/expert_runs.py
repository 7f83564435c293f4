"""Experts by themselves: a call is made from labels, without the language model, and the expert's last outputs are taken.

For benchmarks of editing, video and sound. What has no expert is said to have none; nothing is scored here.
"""

import threading
from collections.abc import Mapping

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.benchmark import NO_EXPERT, Row
from unified_demo.experts.base import Output
from unified_demo.grammar import Box, Task
from unified_demo.messages import Artefact, RegionPart, TaskCall


def offered(engine: Engine, task: Task) -> bool:
    return task.value in engine.tasks()


def no_expert(system: str, group: str) -> Row:
    return Row(system, group, 0, note=NO_EXPERT)


def call_expert(
    engine: Engine, task: Task, prompt: str, artefacts: Mapping[str, Artefact], phrase: str = "", box: Box | None = None
) -> tuple[list[Output], str]:
    """(outputs, error) of one call on all ``artefacts``; an error that is meant for people leaves the outputs empty."""
    refs = tuple(artefacts)
    regions = (RegionPart(phrase or prompt, (box,), artefact_id=refs[0] if refs else None),) if box else ()
    call = TaskCall(0, task.value, prompt, refs, regions)
    try:
        events = list(engine.router.dispatch(call, artefacts, 0, threading.Event()))
    except UnifiedError as exc:
        return [], str(exc)
    return [event for event in events if isinstance(event, Output)], ""
