"""What a vision-language model that was never trained on our representation is told: its rules, the tasks on offer, the conversation.

Messages are lists of text and pictures, as chat templates and OpenAI-compatible servers take them. Coordinates are spelt on the
model's own grid (0..1000 for the Qwen3-VL family) on the way in and translated to ours on the way out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unified_demo import grammar
from unified_demo.conversation import Coordinates, Piece, Tag, Text, render_conversation
from unified_demo.errors import GrammarError
from unified_demo.grammar import Box, MediaKind, TaskSpec, TimeSpan, close_tag, open_tag
from unified_demo.media import load_image, load_video
from unified_demo.messages import Artefact, Conversation, MediaPart, Message
from unified_demo.model.vlm_rules import Offer

NATIVE_GRID = 1000
VIDEO_FRAMES = 8
"""Frames of a video that the model is shown."""
MOST_PICTURES = 24
"""Pictures and frames that the model is shown; the oldest beyond are only named."""
_EXAMPLE_BOX = "[120,80,640,900]"
_HELD_LIMIT = 64
_NUMBERS = re.compile(r"\s*\[\s*((?:[\d.]+\s*,\s*)*[\d.]+)\s*\]\s*", re.ASCII)


@dataclass(frozen=True)
class Shown:
    """A picture in a message: PIL RGB."""

    image: Any


Content = str | Shown


@dataclass(frozen=True)
class Turn:
    """One message for the model."""

    role: Literal["system", "user", "assistant"]
    content: tuple[Content, ...]


# ---- what it is told ----


def system_text(offers: Sequence[Offer], grid: int = NATIVE_GRID) -> str:
    """The unified representation in words, with one line and one example for each task on offer."""
    box = f"{open_tag(grammar.BOX)}{_EXAMPLE_BOX}{close_tag(grammar.BOX)}"
    lines = [
        "You are a helpful assistant. You see pictures, and you can have things made by writing task calls. Attached files have names "
        "such as img-1, vid-1 or aud-1, and so has what a call returned.",
        f"When you speak of a thing that can be seen, mark it: <p>the red cup</p>{box}. A box is [x0,y0,x1,y1], integers from 0 to {grid} "
        "relative to the picture, left and top first. With several pictures, name the one you mean before the box: "
        f"<p>the red cup</p><ref>img-2</ref>{box}.",
        f"For a part of a video write {open_tag(grammar.TIME)}[start,end]{close_tag(grammar.TIME)} behind the phrase, from 0 to {grid} of "
        "its length.",
    ]
    if not offers:
        return "\n".join([*lines, "No task can be called now; say so when something should be made or changed."])
    lines.append(
        "These tasks can be called, each by its tag; write a call wherever the user wants its result, also when it is only hinted at:"
    )
    lines += [f"- {offer.title}: {offer.description}. {example(offer)}" for offer in offers]
    lines.append(
        "Use the tags exactly as shown, close each one, invent no others, and call nothing that was not asked for. If a task needs "
        "a file that is not there, ask for it. If a wish needs a task that is not listed, say that you cannot do it. Say one short "
        "sentence before a call; its result appears by itself."
    )
    return "\n".join(lines)


def example(offer: Offer) -> str:
    """How a call of the task is written."""
    box = f"{open_tag(grammar.BOX)}{_EXAMPLE_BOX}{close_tag(grammar.BOX)}"
    refs = "".join(f"{open_tag(grammar.REF)}{kind.value}-1{close_tag(grammar.REF)}" for kind in offer.needs[:1])
    if offer.plans:
        inner = f"what is to be seen <p>one thing</p>{box} <p>another thing</p>{box}"
    else:
        inner = f"{refs}{_WORDS.get(offer.tag, 'what is wanted, in words')}{box if offer.needs_box else ''}"
    return f"{open_tag(offer.tag)}{inner}{close_tag(offer.tag)}"


_WORDS = {
    "seg": "the red cup",
    "vseg": "the red cup",
    "redit": "replace the red cup by a green apple (or: remove the red cup)",
    "edit": "make it look like winter",
    "agen": "rain on a roof, 5 seconds",
}
"""Words of the examples, where those of the task's description would not do."""


# ---- the conversation ----


def render_turns(conversation: Conversation, offers: Sequence[Offer], grid: int = NATIVE_GRID) -> list[Turn]:
    """System text and messages; what a call returned stands at the beginning of the user's next message. MediaError: a file is gone."""
    turns = [Turn("system", (system_text(offers, grid),))]
    shown = _newest(conversation)
    returned: list[Content] = []
    for message in conversation.messages:
        media = [part.artefact for part in message.parts if isinstance(part, MediaPart)]
        content = [item for artefact in media for item in _present(artefact, artefact.id in shown)]
        words = surface(message, grid, (*grammar.TAGS, *(offer.tag for offer in offers)))
        if message.role == "assistant":
            returned = content
            turns.append(Turn("assistant", (words,)))
        else:
            turns.append(Turn("user", (*returned, *content, words)))
            returned = []
    return turns


def surface(message: Message, grid: int, tags: Sequence[str] = grammar.TAGS) -> str:
    """A message in the surface form, without its files; what a user typed cannot become one of ``tags``."""
    said = Message(message.role, tuple(part for part in message.parts if not isinstance(part, MediaPart)))
    pieces = render_conversation(Conversation((said,)), add_answer_start=False, tags=tags)
    pieces = [piece for piece in pieces if not (isinstance(piece, Text) and piece.trusted)]
    return "".join(_spell(piece, pieces[index - 1] if index else None, grid) for index, piece in enumerate(pieces))


def _spell(piece: Piece, before: Piece | None, grid: int) -> str:
    if isinstance(piece, Tag):
        return piece.token
    if isinstance(piece, Coordinates):
        return spell_native(piece.box, grid)
    assert isinstance(piece, Text)
    begins = isinstance(before, Tag) and (not before.token.startswith("</") or before.token == close_tag(grammar.REF))
    return piece.text.lstrip(" ") if begins else piece.text


def _newest(conversation: Conversation) -> set[str]:
    """Ids of the artefacts that are shown: the newest ones, as many as MOST_PICTURES allows."""
    room, shown = MOST_PICTURES, set()
    for artefact in reversed(conversation.artefacts().values()):
        room -= {MediaKind.IMAGE: 1, MediaKind.VIDEO: VIDEO_FRAMES}.get(artefact.kind, 0)
        if room >= 0:
            shown.add(artefact.id)
    return shown


def _present(artefact: Artefact, shown: bool) -> list[Content]:
    """How an artefact is put before the model."""
    if artefact.kind == MediaKind.IMAGE:
        return [f"{artefact.id}:", Shown(load_image(artefact))] if shown else [f"{artefact.id}: a picture shown earlier.\n"]
    if artefact.kind == MediaKind.VIDEO and shown:
        video = load_video(artefact, VIDEO_FRAMES)
        frames = [Shown(_picture(frame)) for frame in video.frames]
        moments = [f"{artefact.duration_s * index / len(frames):.1f} s:" for index in range(len(frames))]
        listed = [item for pair in zip(moments, frames, strict=True) for item in pair]
        return [f"{artefact.id}, a video of {artefact.duration_s:.1f} s:", *listed]
    if artefact.kind == MediaKind.MASK:
        return [f"{artefact.id}: the outline of {grammar.escape(artefact.label) or 'a thing'} in {artefact.of}.\n"]
    if artefact.kind in grammar.DATA_KINDS:
        return [f"{artefact.id}: a {grammar.KIND_WORDS[artefact.kind]}, which you cannot read.\n"]
    kind = "a video shown earlier" if artefact.kind == MediaKind.VIDEO else "a sound, which you cannot hear"
    return [f"{artefact.id}: {kind}, {artefact.duration_s:.1f} s.\n"]


def _picture(frame: Any) -> Any:
    from PIL import Image

    return Image.fromarray(frame)


# ---- coordinates ----


def spell_native(box: Box, grid: int) -> str:
    """``[x0,y0,x1,y1]`` on the model's grid."""
    return f"[{','.join(str(round(value * grid)) for value in box.as_tuple())}]"


def read_native(text: str, grid: int) -> Box | TimeSpan:
    """``[x0,y0,x1,y1]`` or ``[start,end]`` on the model's grid, also decimals; what exceeds it is cut off. GrammarError: neither."""
    found = _NUMBERS.fullmatch(text)
    try:
        numbers = [min(float(number) / grid, 1.0) for number in found[1].split(",")] if found else []
        return TimeSpan(*numbers) if len(numbers) == 2 else Box(*numbers)
    except (ValueError, TypeError) as exc:
        raise GrammarError(f"'{text[:40]}' is neither a box nor a span; numbers from 0 to {grid} are needed.") from exc


class CoordinateTranslator:
    """Surface text with boxes and spans on the model's grid -> the same text with both on ours; push, any chunks.

    What is neither passes unchanged: the parser says what is wrong with it.
    """

    def __init__(self, grid: int = NATIVE_GRID) -> None:
        self._grid = grid
        self._held = ""

    def feed(self, text: str) -> str:
        """What is certain by now; the beginning of a box or span is held back."""
        given = []
        for letter in text:
            self._held += letter
            given.append(self._settled())
        return "".join(given)

    def close(self) -> str:
        """What is still held back."""
        held, self._held = self._held, ""
        return held

    def _settled(self) -> str:
        held = self._held
        opened = next((name for name in (grammar.BOX, grammar.TIME) if held.startswith(open_tag(name))), None)
        if opened is None:
            if any(open_tag(name).startswith(held) for name in (grammar.BOX, grammar.TIME)):
                return ""
            self._held = "<" if held.endswith("<") else ""
            return held[: len(held) - len(self._held)]
        opening, closing = open_tag(opened), close_tag(opened)
        if held.endswith(closing):
            self._held = ""
            return opening + self._translated(held[len(opening) : -len(closing)]) + closing
        return self.close() if len(held) > _HELD_LIMIT else ""

    def _translated(self, payload: str) -> str:
        try:
            place = read_native(payload, self._grid)
        except GrammarError:
            return payload
        return grammar.spell_box(place) if isinstance(place, Box) else grammar.spell_span(place)


def offers_from(tasks: Mapping[TaskSpec, str]) -> tuple[Offer, ...]:
    """Tasks -> what their experts say of themselves -> offers. What a plug-in says of itself is all there is to say of its task."""
    offers = []
    for task, said in tasks.items():
        words = task.description if said == task.description else f"{task.description}; {said}"
        offers.append(Offer(task.tag, task.title, words, task.needs, task.needs_box))
    return tuple(offers)
