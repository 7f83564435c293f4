"""The instructions that the routing benchmark asks: the committed hand-written ones, and requests in held-out templates.

``instructions.jsonl`` has one per line: id, kind, text, attached ("img", "vid", "aud"), picture (a photo of ``assets/``),
calls ({task, content: list of alternatives}) and language. What is broken is named with file and line and left out. No model here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unified_demo.data.scenes import Scene
from unified_demo.errors import MediaError
from unified_demo.grammar import TASK_TAGS, MediaKind
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TaskCall, TextPart

INSTRUCTIONS = Path(__file__).with_name("instructions.jsonl")
ASSETS = Path(__file__).resolve().parents[2] / "assets"
KINDS = (*TASK_TAGS, "captioning", "question", "grounding", "chat", "refusal", "several")
VIDEO_SIZE, VIDEO_SECONDS = (640, 360), 4.0


@dataclass(frozen=True)
class ExpectedCall:
    """A call that should come. ``content``: each entry lists words of which one should be said in the call, in lower case."""

    task: str
    content: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Instruction:
    """``conversation`` ends with the user's request. ``part``: "ood" (hand-written) or "held_out" (templates never trained on).

    ``calls``: what should come, in full (TaskCall) or by the words that should be said. ``scenes``: pictures without pixels, by id.
    """

    id: str
    kind: str
    part: str
    language: str
    text: str
    conversation: Conversation
    calls: tuple[ExpectedCall | TaskCall, ...]
    scenes: Mapping[str, Scene] = field(default_factory=dict)


def read_instructions(store: MediaStore, path: Path = INSTRUCTIONS, assets: Path = ASSETS) -> tuple[list[Instruction], list[str]]:
    """All instructions of a file and a complaint for each line that was left out. MediaError when the file cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise MediaError(f"{path} cannot be read ({exc}); name a file with one instruction in JSON per line.") from exc
    found, complaints, seen = [], [], set()
    photos: dict[str, Artefact] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            instruction = _read(json.loads(line), store, assets, photos)
            if instruction.id in seen:
                raise ValueError(f"the id {instruction.id} was there before")
        except (KeyError, TypeError, AttributeError, ValueError, MediaError) as exc:
            complaints.append(f"{path}:{number} is broken ({type(exc).__name__}: {exc}); left out")
            continue
        seen.add(instruction.id)
        found.append(instruction)
    return found, complaints


def _read(row: dict[str, Any], store: MediaStore, assets: Path, photos: dict[str, Artefact]) -> Instruction:
    if row["kind"] not in KINDS:
        raise ValueError(f"{row['kind']} is no kind; there are: {', '.join(KINDS)}")
    calls = tuple(_read_call(call) for call in row["calls"])
    media = tuple(MediaPart(_artefact(MediaKind(kind), row.get("picture"), store, assets, photos)) for kind in row["attached"])
    conversation = Conversation((Message("user", (*media, TextPart(str(row["text"])))),))
    return Instruction(str(row["id"]), row["kind"], "ood", str(row["language"]), str(row["text"]), conversation, calls)


def _read_call(call: dict[str, Any]) -> ExpectedCall:
    if call["task"] not in TASK_TAGS:
        raise ValueError(f"{call['task']} is no task; there are: {', '.join(TASK_TAGS)}")
    return ExpectedCall(call["task"], tuple(tuple(str(word).lower() for word in words) for words in call["content"]))


def _artefact(kind: MediaKind, picture: str | None, store: MediaStore, assets: Path, photos: dict[str, Artefact]) -> Artefact:
    """A photo of ``assets``; a video or sound is an artefact that nobody looks at."""
    if kind != MediaKind.IMAGE:
        return Artefact(f"{kind.value}-1", kind, Path(f"{kind.value}-1"), *VIDEO_SIZE, VIDEO_SECONDS)
    if picture is None:
        raise ValueError("a picture is attached and none is named")
    if picture not in photos:
        photos[picture] = store.add_upload(assets / Path(picture).name, "img-1")
    return photos[picture]
