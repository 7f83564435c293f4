"""What a visitor sends becomes a user Message: text checked, uploads stored, marks placed, one clear sentence for all that was refused.

Nothing is escaped here (the renderer in ``conversation.py`` does that) and no model is asked.
"""

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unified_demo.config import Limits
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.grammar import MediaKind
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TextPart

NOTHING_SENT = "The message is empty; write something or attach a picture."
POINTING_WORD = "this"
"""Stands for a marked region where the text has no word for it."""
_POINTING_WORDS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (r"\bthis(?: thing| one| object| part of the picture| area| region)?\b|这个|这里|这", r"\bthat\b|那个|那", r"\bit\b|它")
)
"""Words that a marked region takes the place of, the surest first."""


def check_text(text: str, limits: Limits) -> None:
    """Raises UnifiedError when ``text`` is longer than allowed."""
    if len(text) > limits.text_characters:
        raise UnifiedError(f"The text has {len(text):,} characters; at most {limits.text_characters:,} are allowed, so please shorten it.")


def user_message(
    text: str,
    files: Sequence[str | Path],
    conversation: Conversation,
    store: MediaStore,
    limits: Limits,
    marks: Sequence[RegionPart] = (),
    kept: Mapping[str, Artefact] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Message | None, list[str]]:
    """The visitor's message (pictures, videos, sounds and data first, then the text) and a complaint for each thing that was refused.

    ``marks`` are regions that were drawn, and whole artefacts (without box) that are meant; those of artefacts that are gone are left
    out. ``kept``: artefacts by their file's name that come back, with a message that is edited, and are not stored anew. ``cancel`` ends
    the reading of files.
    One bad file does not lose the others. The message is None when there is nothing to answer: no text and no
    file, a text that is too long, or files of which none could be used. Never raises for what a visitor sent.
    """
    text = text.strip()
    try:
        check_text(text, limits)
    except UnifiedError as exc:
        return None, [str(exc)]
    if not text and not files and not any(mark.boxes for mark in marks):
        return None, [NOTHING_SENT]
    attached, complaints = read_uploads(files, conversation, store, limits, kept, cancel)
    if files and not attached:
        return None, complaints
    media = tuple(MediaPart(artefact) for _, artefact in attached)
    there = {*conversation.artefacts(), *(part.artefact.id for part in media)}
    return Message("user", (*media, *place_marks(text, [mark for mark in marks if mark.artefact_id in there]))), complaints


def read_uploads(
    files: Sequence[str | Path],
    conversation: Conversation,
    store: MediaStore,
    limits: Limits,
    kept: Mapping[str, Artefact] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[list[tuple[str, Artefact]], list[str]]:
    """Files that can be used, each with the artefact it becomes in the next message, and a complaint for each of the others.

    ``kept``: artefacts by the name of their stored file, or by the path of the upload they came from; they are not stored anew.
    ``cancel`` ends the reading: what was read until then is returned.
    """
    found: list[tuple[str, Artefact]] = []
    given: Counter[MediaKind] = Counter()
    complaints: list[str] = []
    for path in files[: limits.files]:
        if cancel and cancel.is_set():
            break
        known = (kept or {}).get(str(path)) or (kept or {}).get(Path(path).name)
        try:
            read = known or store.add_upload(path, "", limits, cancel)
        except MediaError as exc:
            complaints.append(f"{Path(path).name}: {exc}")
            continue
        found.append((str(path), replace(read, id=conversation.next_id(read.kind, given[read.kind]))))
        given[read.kind] += 1
    if len(files) > limits.files:
        complaints.append(f"{len(files)} files were sent; at most {limits.files} at once are allowed, so the others were left out.")
    return found, complaints


def place_marks(text: str, marks: Sequence[RegionPart]) -> tuple[Part, ...]:
    """The text with each marked region in place of "this", "that" or "it", else at the end; whole artefacts are named by their id."""
    regions = [mark for mark in marks if mark.boxes]
    spots = sorted([found.span() for words in _POINTING_WORDS for found in words.finditer(text)][: len(regions)])
    parts: list[Part] = []
    written = 0
    for region, (start, end) in zip(regions, spots, strict=False):
        parts += [TextPart(text[written:start]), replace(region, phrase=text[start:end])]
        written = end
    parts.append(TextPart(text[written:]))
    for region in regions[len(spots) :]:
        parts += [TextPart(" " if text or len(parts) > 1 else ""), replace(region, phrase=POINTING_WORD)]
    whole = " and ".join(mark.artefact_id or "" for mark in marks if not mark.boxes)
    parts.append(TextPart(f" (I mean {whole})" if whole else ""))
    return tuple(part for part in _joined(parts) if not isinstance(part, TextPart) or part.text)


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring texts as one."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, TextPart) and joined and isinstance(joined[-1], TextPart):
            joined[-1] = TextPart(joined[-1].text + part.text)
        else:
            joined.append(part)
    return joined
