"""The one renderer: a conversation becomes pieces of prompt with a loss mask, for chat and for training alike.

A piece is a run of text, a tag, a slot for a picture, or a box; the model turns pieces into tokens (``model/tokens.py``).
It does not tokenise, load media or know embedding sizes. User text is escaped here and nowhere else.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeGuard

from unified_demo import grammar
from unified_demo.grammar import Box, MediaKind, TimeSpan
from unified_demo.messages import Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
ANSWER_START = f"{TURN_START}assistant\n"
SYSTEM_TEXT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""The language model's own default; used where no picture is in play, so that plain chat stays what it was."""
VISIBLE = (MediaKind.IMAGE, MediaKind.VIDEO)
"""Kinds that have a slot; a video is shown by its first frame."""
SPOKEN_OF = (*VISIBLE, MediaKind.AUDIO)
"""Kinds whose ids stand in the prompt. A mask is not shown to the model again, and no model here reads data."""
NO_PICTURE = ""
"""Artefact id of boxes that are planned."""


@dataclass(frozen=True)
class Text:
    """Plain text. ``trusted`` text may hold turn marks; all other text never becomes a special token."""

    text: str
    loss: bool = False
    trusted: bool = False


@dataclass(frozen=True)
class Tag:
    """One added token, such as ``<box>``."""

    token: str
    loss: bool = False


@dataclass(frozen=True)
class Picture:
    """The slot that an encoded picture and its region proposals fill."""

    artefact_id: str


@dataclass(frozen=True)
class Coordinates:
    """A box in a picture (None: the latest one): one pointing token when a proposal fits, digits otherwise."""

    box: Box
    artefact_id: str | None
    loss: bool = False


Piece = Text | Tag | Picture | Coordinates


def render_conversation(
    conversation: Conversation, add_answer_start: bool = True, learn: Collection[int] | None = None, tags: Collection[str] = grammar.TAGS
) -> list[Piece]:
    """All messages in the language model's chat format; the loss covers the assistant's words only.

    ``add_answer_start`` opens the assistant's next turn (chat); training passes whole dialogues and switches it off.
    ``learn`` has the numbers of the messages with a loss (None: all). Without media the chat begins with the language model's own
    system text. ``tags`` are those that the model knows: text cannot become one of them, and calls of others, made while there was
    a plug-in for them, are left out.
    """
    pieces: list[Piece] = []
    if not any(artefact.kind in SPOKEN_OF or artefact.kind == MediaKind.MASK for artefact in conversation.artefacts().values()):
        pieces.append(Text(f"{TURN_START}system\n{SYSTEM_TEXT}{TURN_END}\n", trusted=True))
    for number, message in enumerate(conversation.messages):
        known = tuple(part for part in message.parts if not isinstance(part, TaskCall) or part.task in tags)
        answer = message.role == "assistant" and (learn is None or number in learn)
        pieces.extend(_render_message(replace(message, parts=known), answer))
    if add_answer_start:
        pieces.append(Text(ANSWER_START, trusted=True))
    return [replace(piece, text=grammar.escape(piece.text, tags)) if _is_said(piece) else piece for piece in pieces]


def _is_said(piece: Piece) -> TypeGuard[Text]:
    return isinstance(piece, Text) and not piece.trusted


def _render_message(message: Message, answer: bool) -> list[Piece]:
    """``answer``: the words are learnt. What experts returned stands behind an answer: it was not there while that was written."""
    pieces: list[Piece] = [Text(f"{TURN_START}{message.role}\n", trusted=True)]
    returned: list[Piece] = []
    for part in message.parts:
        behind = message.role == "assistant" and isinstance(part, MediaPart)
        (returned if behind else pieces).extend(_render_part(part, answer))
    pieces.append(Text(TURN_END, loss=answer, trusted=True))
    return [*pieces, *returned, Text("\n", trusted=True)]


def _render_part(part: Part, answer: bool) -> list[Piece]:
    if isinstance(part, TextPart):
        return [Text(part.text, loss=answer)]
    if isinstance(part, MediaPart):
        return _render_media(part, answer)
    if isinstance(part, RegionPart):
        return _wrap(grammar.PHRASE, [Text(_spaced(part.phrase), loss=answer)], answer) + _render_regions(part, answer)
    return _render_call(part, answer)


def _render_media(part: MediaPart, answer: bool) -> list[Piece]:
    """An attached picture, video or sound: its id and the slot of what can be seen."""
    artefact = part.artefact
    if artefact.kind not in SPOKEN_OF:
        return []
    slot: list[Piece] = [Picture(artefact.id)] if artefact.kind in VISIBLE else []
    return [*_wrap(grammar.REF, [Text(artefact.id)], loss=False), *slot]


def _render_regions(part: RegionPart, loss: bool) -> list[Piece]:
    pieces: list[Piece] = []
    for box in part.boxes:
        pieces += _wrap(grammar.BOX, [Coordinates(box, part.artefact_id, loss)], loss)
    for span in part.spans:
        pieces += _render_span(span, loss)
    return pieces


def _render_span(span: TimeSpan, loss: bool) -> list[Piece]:
    return _wrap(grammar.TIME, [Text(grammar.spell_span(span), loss)], loss)


def _render_call(call: TaskCall, loss: bool) -> list[Piece]:
    inner: list[Piece] = []
    for ref in call.refs:
        inner += _wrap(grammar.REF, [Text(ref, loss)], loss)
    if call.task in grammar.PLANNING_TAGS:
        inner += _render_plan(call, loss)
    elif call.regions:
        for region in call.regions:
            inner += [Text(_spaced(region.phrase), loss), *_render_regions(region, loss)]
    else:
        inner.append(Text(_spaced(call.prompt), loss))
    return _wrap(call.task, inner, loss)


def _render_plan(call: TaskCall, loss: bool) -> list[Piece]:
    """The prompt with the words of each region marked where they stand, like a grounded sentence; boxes lie in no picture that is there."""
    pieces: list[Piece] = []
    rest = call.prompt
    for region in call.regions:
        before, found, behind = rest.partition(region.phrase)
        rest = behind if found else rest
        pieces += _between(before if found else "", loss)
        pieces += _wrap(grammar.PHRASE, [Text(_spaced(region.phrase), loss)], loss)
        pieces += _render_regions(replace(region, artefact_id=NO_PICTURE), loss)
    return pieces + _between(rest, loss)


def _between(words: str, loss: bool) -> list[Piece]:
    """Words beside a marked phrase; a comma keeps close to what is before it."""
    words = words.strip()
    return [Text(words if words[0] in ",.;:" else _spaced(words), loss)] if words else []


def _wrap(tag: str, inner: list[Piece], loss: bool) -> list[Piece]:
    return [Tag(grammar.open_tag(tag), loss), *inner, Tag(grammar.close_tag(tag), loss)]


def _spaced(phrase: str) -> str:
    """Words inside tags start with a space, so that they have the tokens they have in running text."""
    return " " + phrase.strip()
