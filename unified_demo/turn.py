"""Folds the events of one turn into the assistant's Message, in the order in which the parts were said.

The engine uses it for TurnDone; a page may use it to keep the partial answer of a turn that it closed.
Pure: no model, no thread, no file.
"""

from dataclasses import dataclass, field

from unified_demo.grammar import Box, TimeSpan
from unified_demo.messages import CallDone, Event, MediaPart, Message, Part, RegionFound, RegionPart, TaskCall, TextDelta, TextPart


@dataclass
class _Text:
    pieces: list[str] = field(default_factory=list)

    def parts(self) -> list[Part]:
        return [TextPart("".join(self.pieces))]


@dataclass
class _Phrase(_Text):
    boxes: list[Box] = field(default_factory=list)
    spans: list[TimeSpan] = field(default_factory=list)
    artefact_id: str | None = None

    def parts(self) -> list[Part]:
        """One region, or plain text when the phrase got no box."""
        words = "".join(self.pieces)
        if not (self.boxes or self.spans):
            return [TextPart(words)]
        return [RegionPart(words, tuple(self.boxes), tuple(self.spans), self.artefact_id)]


@dataclass
class _Call:
    call: TaskCall
    outputs: list[MediaPart] = field(default_factory=list)

    def parts(self) -> list[Part]:
        return [self.call, *self.outputs]


class TurnBuilder:
    """``add`` every event of the turn, then ``message``; may be asked at any time."""

    def __init__(self) -> None:
        self._items: list[_Text | _Call] = []
        self._phrases: dict[int, _Phrase] = {}
        self._calls: dict[int, _Call] = {}

    def add(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            self._text_item(event.phrase).pieces.append(event.text)
        elif isinstance(event, RegionFound):
            phrase = self._phrases.setdefault(event.phrase, _Phrase([event.text]))
            phrase.boxes += [event.box] if event.box else []
            phrase.spans += [event.span] if event.span else []
            phrase.artefact_id = event.artefact_id
        elif isinstance(event, TaskCall):
            self._calls[event.index] = _Call(event)
            self._items.append(self._calls[event.index])
        elif isinstance(event, CallDone) and event.index in self._calls:
            self._calls[event.index].outputs += [MediaPart(artefact) for artefact in event.artefacts]

    def message(self) -> Message:
        """The assistant's message so far; neighbouring texts are one part, text that is only empty is dropped."""
        parts: list[Part] = []
        for part in (part for item in self._items for part in item.parts()):
            if isinstance(part, TextPart) and parts and isinstance(parts[-1], TextPart):
                parts[-1] = TextPart(parts[-1].text + part.text)
            else:
                parts.append(part)
        return Message("assistant", tuple(part for part in parts if not isinstance(part, TextPart) or part.text))

    def _text_item(self, phrase: int | None) -> _Text:
        if phrase is not None:
            if phrase not in self._phrases:
                self._phrases[phrase] = _Phrase()
                self._items.append(self._phrases[phrase])
            return self._phrases[phrase]
        if not self._items or type(self._items[-1]) is not _Text:
            self._items.append(_Text())
        last = self._items[-1]
        assert isinstance(last, _Text)
        return last
