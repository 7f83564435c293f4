"""Messages and events <-> plain JSON, checked on the way in, for histories and exports. Files are named, never by a path.

It stores nothing and draws nothing.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from unified_demo.errors import GrammarError, UnifiedError
from unified_demo.messages import (
    CallDone,
    CallFailed,
    CallStarted,
    Event,
    GrammarWarning,
    Message,
    RegionFound,
    TaskCall,
    TextDelta,
    TurnDone,
)

FILE_NAME = re.compile(r"[0-9a-f]{64}\.(png|jpg|mp4|flac|npy)")
"""How ``media.MediaStore`` names files; nothing that a browser would run."""
_KEPT = (TextDelta, RegionFound, CallStarted, TaskCall, GrammarWarning, CallDone, CallFailed, TurnDone)
"""Events that tell what happened; progress is over."""
_EVENTS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in _KEPT}
_MESSAGE = TypeAdapter(Message)


def message_record(message: Message) -> dict[str, Any]:
    return _without_folders(_MESSAGE.dump_python(message, mode="json", fallback=str))


def event_records(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Progress is left out."""
    return [
        {"is": type(event).__name__, **_without_folders(_EVENTS[type(event).__name__].dump_python(event, mode="json", fallback=str))}
        for event in events
        if isinstance(event, _KEPT)
    ]


def read_message(record: Any, folder: Path) -> Message:
    """Inverse of ``message_record``; files lie in ``folder``. Raises UnifiedError."""
    return _read(_MESSAGE, record, folder)


def read_events(records: Any, folder: Path) -> list[Event]:
    """Inverse of ``event_records``; raises UnifiedError."""
    if not isinstance(records, list) or not all(isinstance(row, dict) and row.get("is") in _EVENTS for row in records):
        raise UnifiedError("This conversation is damaged: its events cannot be read.")
    return [_read(_EVENTS[row["is"]], {key: value for key, value in row.items() if key != "is"}, folder) for row in records]


def file_names(record: Any) -> set[str]:
    """Names of all files that a record speaks of."""
    if isinstance(record, list):
        return set().union(*map(file_names, record))
    if isinstance(record, dict):
        own = {record["path"]} if isinstance(record.get("path"), str) and "kind" in record else set()
        return own.union(*map(file_names, record.values()))
    return set()


def _read(adapter: TypeAdapter[Any], record: Any, folder: Path) -> Any:
    try:
        return adapter.validate_python(_with_folder(record, folder))
    except (ValidationError, GrammarError, RecursionError) as exc:
        raise UnifiedError("This conversation is damaged: a message cannot be read.") from exc


def _without_folders(record: Any) -> Any:
    return _map_paths(record, lambda path: Path(path).name)


def _with_folder(record: Any, folder: Path) -> Any:
    def placed(name: Any) -> str:
        if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
            raise UnifiedError("This conversation is damaged: it names a file that no store can have.")
        return str(folder / name)

    return _map_paths(record, placed)


def _map_paths(record: Any, change: Any) -> Any:
    """The record with ``change`` applied to the path of each artefact in it."""
    if isinstance(record, list):
        return [_map_paths(item, change) for item in record]
    if isinstance(record, dict):
        inner = {key: _map_paths(value, change) for key, value in record.items()}
        return {**inner, "path": change(inner["path"])} if "path" in inner and "kind" in inner else inner
    return record
