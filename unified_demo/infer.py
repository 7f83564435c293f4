"""One question, one result: the events of a turn become plain values that JSON can carry. The page's endpoint and programs use it.

It keeps no state between calls and draws nothing.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from unified_demo.config import GenerationOptions
from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.intake import user_message
from unified_demo.messages import Artefact, CallDone, CallFailed, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart, TurnDone

CallResult = CallDone | CallFailed


@dataclass(frozen=True)
class InferResult:
    """An answer. Boxes are xyxy in 0..1 of their picture; ``artefacts`` are the uploads and then the outputs.

    ``warnings`` tells of files that were left out and of slips in the model's notation.
    """

    text: str
    raw: str
    regions: tuple[RegionPart, ...]
    calls: tuple[tuple[TaskCall, CallResult | None], ...]
    artefacts: tuple[Artefact, ...]
    timings: dict[str, float]
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of ``artefacts``, in their order."""
        return tuple(artefact.path for artefact in self.artefacts)

    def as_json(self) -> dict[str, Any]:
        """Only str, float, list, dict and None; files by name, for a path of the server means nothing elsewhere."""
        return {
            "text": self.text,
            "raw": self.raw,
            "regions": [
                {"phrase": region.phrase, "boxes": [list(box.as_tuple()) for box in region.boxes], "artefact": region.artefact_id}
                for region in self.regions
            ],
            "calls": [_call_json(call, end) for call, end in self.calls],
            "artefacts": [_artefact_json(item) for item in self.artefacts],
            "timings": {name: float(value) for name, value in self.timings.items()},
            "warnings": list(self.warnings),
        }


def infer(
    engine: Engine,
    text: str,
    files: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | str | None = None,
    cancel: threading.Event | None = None,
) -> InferResult:
    """Answer ``text`` about the pictures in ``files``; ``settings`` as in ``read_settings``. ``cancel`` ends it: what is there is returned.

    Raises UnifiedError with a sentence for the user: nothing or too much sent, no usable file, unknown setting, weights missing.
    """
    options = read_settings(settings)
    message, complaints = user_message(text, list(files), Conversation(), engine.store, engine.settings.limits, cancel=cancel)
    if message is None:
        raise UnifiedError(" ".join(complaints))
    done: TurnDone | None = None
    calls: dict[int, tuple[TaskCall, CallResult | None]] = {}
    for event in engine.respond(Conversation((message,)), options, cancel):
        if isinstance(event, TaskCall):
            calls[event.index] = (event, None)
        elif isinstance(event, CallDone | CallFailed) and event.index in calls:
            calls[event.index] = (calls[event.index][0], event)
        elif isinstance(event, TurnDone):
            done = event
    if done is None:
        raise UnifiedError("The answer ended without a result; please try again.")
    parts = (*message.parts, *done.message.parts)
    return InferResult(
        text=plain_text(done.message),
        raw=done.raw,
        regions=tuple(part for part in done.message.parts if isinstance(part, RegionPart)),
        calls=tuple(calls[index] for index in sorted(calls)),
        artefacts=tuple(part.artefact for part in parts if isinstance(part, MediaPart)),
        timings=dict(done.timings),
        warnings=(*complaints, *done.warnings),
    )


def plain_text(message: Message) -> str:
    """The words of a message, grounded phrases included, without anything of the notation."""
    words = [part.text if isinstance(part, TextPart) else part.phrase for part in message.parts if isinstance(part, TextPart | RegionPart)]
    return "".join(words).strip()


def read_settings(settings: Mapping[str, Any] | str | None) -> GenerationOptions:
    """GenerationOptions from an object or its JSON text. Raises UnifiedError naming what is allowed."""
    if isinstance(settings, str):
        try:
            settings = json.loads(settings) if settings.strip() else {}
        except ValueError as exc:
            raise UnifiedError(f"The settings are not JSON ({exc}); an object with {_allowed()} is expected.") from exc
    if settings is None:
        return GenerationOptions()
    if not isinstance(settings, Mapping):
        raise UnifiedError(f"The settings are a {type(settings).__name__}; an object with {_allowed()} is expected.")
    kinds = {item.name: (get_args(item.type) or (item.type,))[0] for item in fields(GenerationOptions)}
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in kinds:
            raise UnifiedError(f"There is no setting '{name}'; allowed: {_allowed()}.")
        values[name] = _as_kind(name, value, kinds[name])
    return GenerationOptions(**values)


def _as_kind(name: str, value: object, kind: type) -> object:
    whole = (isinstance(value, int) and abs(value) < 2**63) or (isinstance(value, float) and value.is_integer())
    fits = {int: whole, float: whole or isinstance(value, float), bool: True}[kind]
    if not fits or isinstance(value, bool) != (kind is bool):
        words = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise UnifiedError(f"{name} is {json.dumps(value, default=str)[:40]}; {words} is expected.")
    return kind(value)


def _allowed() -> str:
    return ", ".join(item.name for item in fields(GenerationOptions))


def _artefact_json(artefact: Artefact) -> dict[str, Any]:
    facts = {"facts": artefact.facts} if artefact.facts else {}
    return {"id": artefact.id, "kind": artefact.kind.name.lower(), "file": artefact.path.name, **facts}


def _call_json(call: TaskCall, end: CallResult | None) -> dict[str, Any]:
    return {
        "task": call.task,
        "status": "done" if isinstance(end, CallDone) else "failed",
        "seconds": end.seconds if end else None,
        "error": end.error if isinstance(end, CallFailed) else None,
        "artefacts": [artefact.id for artefact in end.artefacts] if isinstance(end, CallDone) else [],
    }
