"""What a visitor sends becomes a user Message: text checked, uploads stored, one clear sentence for all that was refused.

Nothing is escaped here (the renderer in ``conversation.py`` does that) and no model is asked.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unified_demo.config import Limits
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.grammar import MediaKind
from unified_demo.media import MediaStore, upload_kind
from unified_demo.messages import Conversation, MediaPart, Message, TextPart

NOTHING_SENT = "The message is empty; write something or attach a picture."


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
) -> tuple[Message | None, list[str]]:
    """The visitor's message (pictures, videos and sounds first, then the text) and a complaint for each thing that was refused.

    One bad file does not lose the others. The message is None when there is nothing to answer: no text and no
    file, a text that is too long, or files of which none could be used. Never raises for what a visitor sent.
    """
    text = text.strip()
    try:
        check_text(text, limits)
    except UnifiedError as exc:
        return None, [str(exc)]
    if not text and not files:
        return None, [NOTHING_SENT]
    attached: list[MediaPart] = []
    given: Counter[MediaKind] = Counter()
    complaints: list[str] = []
    for path in files[: limits.files]:
        kind = upload_kind(path)
        try:
            attached.append(MediaPart(store.add_upload(path, conversation.next_id(kind, given[kind]), limits)))
            given[kind] += 1
        except MediaError as exc:
            complaints.append(f"{Path(path).name}: {exc}")
    if len(files) > limits.files:
        complaints.append(f"{len(files)} files were sent; at most {limits.files} at once are allowed, so the others were left out.")
    if files and not attached:
        return None, complaints
    return Message("user", (*attached, *([TextPart(text)] if text else []))), complaints
