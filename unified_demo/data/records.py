"""Dialogues as JSON records and back: the conversation, what was asked in each turn, and what every artefact shows.

A record says its version; readers refuse another one. Pictures are not kept, but a planned scene can be composed from its plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.compact import box_of, box_record, plan_of, plan_record, scene_of, scene_record
from unified_demo.data.context import Event, Seen
from unified_demo.data.multitask import Dialogue
from unified_demo.data.planned import PlannedScene
from unified_demo.data.plans import ScenePlan
from unified_demo.data.verify import RecordError
from unified_demo.errors import GrammarError
from unified_demo.grammar import TASK_TAGS, MediaKind, TimeSpan, read_span, spell_span
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart

VERSION = 1
OTHER_TASKS = ("caption", "question", "ground", "chat", "several")
"""What a turn may be about besides the ten tasks."""


@dataclass(frozen=True)
class Turn:
    """What the user asked for, how the answer took it, and in which phrasings. ``about`` is the artefact meant, or empty."""

    task: str
    manner: str
    templates: tuple[str, ...]
    about: str


def record_of(dialogue: Dialogue, name: str) -> dict[str, Any]:
    """One JSON object; scenes are kept as ``compact_scene`` leaves them."""
    return {
        "version": VERSION,
        "id": name,
        "part": dialogue.part,
        "messages": [
            {"role": message.role, "parts": [_part_record(part) for part in message.parts]} for message in dialogue.conversation.messages
        ],
        "turns": [
            {"task": turn.task, "manner": turn.manner, "templates": list(turn.templates), "about": turn.about}
            for turn in dialogue.exchanges
        ],
        "artefacts": {name: _seen_record(seen) for name, seen in dialogue.seen.items()},
    }


def conversation_of(record: Mapping[str, Any]) -> Conversation:
    """The conversation of a record. Raises RecordError, which says what is wrong, for another version or a broken record."""
    with_name = _check(record)
    try:
        messages = [Message(message["role"], tuple(_part(part) for part in message["parts"])) for message in record["messages"]]
    except (KeyError, TypeError, ValueError, AttributeError, GrammarError) as exc:
        raise RecordError(f"{with_name} has a broken message ({exc!r}); build it again.") from exc
    if any(message.role not in ("user", "assistant") for message in messages):
        raise RecordError(f"{with_name} has a message of neither the user nor the assistant; build it again.")
    return Conversation(tuple(messages))


def turns_of(record: Mapping[str, Any]) -> tuple[Turn, ...]:
    """What was asked in each pair of messages. RecordError for an unknown task."""
    with_name = _check(record)
    try:
        turns = tuple(
            Turn(_text(turn["task"]), _text(turn["manner"]), tuple(map(_text, turn["templates"])), _text(turn["about"]))
            for turn in record["turns"]
        )
    except (KeyError, TypeError) as exc:
        raise RecordError(f"{with_name} has a broken list of turns ({exc!r}); build it again.") from exc
    for turn in turns:
        if turn.task not in (*TASK_TAGS, *OTHER_TASKS):
            raise RecordError(f"{with_name} asks for the unknown task '{turn.task}'; known are {', '.join((*TASK_TAGS, *OTHER_TASKS))}.")
    return turns


def seen_of(record: Mapping[str, Any]) -> dict[str, Seen]:
    """What every picture, video and sound shows, by id. RecordError when it cannot be read."""
    with_name = _check(record)
    artefacts = conversation_of(record).artefacts()
    try:
        return {name: _seen(artefacts[name], row) for name, row in record["artefacts"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, GrammarError) as exc:
        raise RecordError(f"{with_name} has an artefact that cannot be read ({exc!r}); build it again.") from exc


def plan_in(record: Mapping[str, Any], artefact_id: str) -> ScenePlan | None:
    """The plan from which the picture can be composed, or None when it was not planned."""
    scene = seen_of(record)[artefact_id].scene
    return scene.plan if isinstance(scene, PlannedScene) else None


def _check(record: Mapping[str, Any]) -> str:
    if not isinstance(record, Mapping) or record.get("version") != VERSION:
        got = record.get("version") if isinstance(record, Mapping) else type(record).__name__
        raise RecordError(f"A record has the version {got}, and {VERSION} is needed; build the shards again.")
    return f"The record {record.get('id', 'without a name')}"


# ---- parts ----


def _part_record(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    if isinstance(part, RegionPart):
        return _region_record(part)
    if isinstance(part, TaskCall):
        regions = [_region_record(region) for region in part.regions]
        return {"call": str(part.task), "prompt": part.prompt, "refs": list(part.refs), "regions": regions, "index": part.index}
    artefact = part.artefact
    row: dict[str, Any] = {"media": artefact.id}
    if artefact.kind == MediaKind.MASK:
        row |= {"of": artefact.of, "label": artefact.label, "box": box_record(artefact.box) if artefact.box else None}
    return row


def _region_record(region: RegionPart) -> dict[str, Any]:
    row: dict[str, Any] = {"phrase": region.phrase, "in": region.artefact_id}
    if region.boxes:
        row["boxes"] = [box_record(box) for box in region.boxes]
    if region.spans:
        row["spans"] = [_span_record(span) for span in region.spans]
    return row


def _part(row: Mapping[str, Any]) -> Part:
    if "text" in row:
        return TextPart(_text(row["text"]))
    if "phrase" in row:
        return _region(row)
    if "call" in row:
        if row["call"] not in TASK_TAGS:
            raise ValueError(f"the unknown task '{row['call']}'")
        regions = tuple(_region(region) for region in row["regions"])
        return TaskCall(int(row["index"]), row["call"], _text(row["prompt"]), tuple(map(_text, row["refs"])), regions)
    name = _text(row["media"])
    box = box_of(row["box"]) if row.get("box") else None
    kind = MediaKind(name.split("-")[0])
    return MediaPart(Artefact(name, kind, Path("record"), of=row.get("of"), label=row.get("label", ""), box=box))


def _region(row: Mapping[str, Any]) -> RegionPart:
    boxes = tuple(box_of(box) for box in row.get("boxes", ()))
    place = None if row["in"] is None else _text(row["in"])
    return RegionPart(_text(row["phrase"]), boxes, tuple(_span(span) for span in row.get("spans", ())), place)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where words are needed")
    return value


def _span_record(span: TimeSpan) -> list[int]:
    return [int(side) for side in spell_span(span)[1:-1].split(",")]


def _span(sides: Sequence[int]) -> TimeSpan:
    return read_span(str(list(sides)))


# ---- artefacts ----


def _seen_record(seen: Seen) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if seen.made:
        row |= {"made": str(seen.made), "call": seen.call}
    if seen.scene:
        row["scene"] = scene_record(seen.scene)
    if isinstance(seen.scene, PlannedScene) and seen.scene.plan and not seen.made:
        row["plan"] = plan_record(seen.scene.plan)
    if seen.spans:
        row["spans"] = {str(index): _span_record(span) for index, span in seen.spans.items()}
    if seen.events:
        row["events"] = [[event.name, *_span_record(event.span)] for event in seen.events]
    return row


def _seen(artefact: Artefact, row: Mapping[str, Any]) -> Seen:
    scene = scene_of(row["scene"]) if "scene" in row else None
    if scene and "plan" in row:
        scene = PlannedScene(scene.regions, scene.things, scene.links, scene.names, plan=plan_of(row["plan"]))
    spans = {int(index): _span(span) for index, span in row.get("spans", {}).items()}
    events = tuple(Event(_text(name), _span([start, end])) for name, start, end in row.get("events", ()))
    return Seen(artefact, scene, spans, events, row.get("made", ""), row.get("call", ""))
