"""The push parser: streamed surface text in, typed events out.

Every character is looked at once and nothing is scanned again; any way of cutting a text into chunks
gives the same events (adjacent TextDelta joined). What is malformed never raises and never shows a raw
tag: it becomes text without the tag, or a GrammarWarning. It does not resolve references and runs nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby

from unified_demo.errors import GrammarError
from unified_demo.grammar import (
    BOX,
    GROUNDING_TAGS,
    PHRASE,
    PLANNING_TAGS,
    REF,
    TASK_TAGS,
    TIME,
    Box,
    TimeSpan,
    close_tag,
    open_tag,
    read_box,
    read_ref,
    read_span,
)
from unified_demo.messages import CallStarted, GrammarWarning, ParserEvent, RegionFound, RegionPart, TaskCall, TextDelta

_NUMBERS = frozenset("0123456789 \t\n[](){},.;:+-")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ ")
_PAYLOAD_CHARACTERS = {BOX: _NUMBERS, TIME: _NUMBERS, REF: _WORD}
_BEFORE_COMMA = re.compile(r" ([,.;:])")
_PAYLOAD_LIMIT = 64
_RAW_LIMIT = 200


@dataclass(frozen=True)
class _Reference:
    artefact_id: str


@dataclass(frozen=True)
class _Edge:
    """A ``<p>`` or ``</p>`` inside a payload: a new run of text begins."""


_PayloadItem = str | Box | TimeSpan | _Reference | _Edge


@dataclass
class _OpenCall:
    index: int
    task: str
    items: list[_PayloadItem] = field(default_factory=list)


@dataclass
class _OpenPhrase:
    """A grounded phrase; once it is closed boxes may follow. ``used`` False: a reference waits for its box."""

    number: int
    pieces: list[str] = field(default_factory=list)
    text: str = ""
    closed: bool = False
    artefact_id: str | None = None
    used: bool = True

    def close(self) -> None:
        self.closed = True
        self.text = _squeeze("".join(self.pieces))


class StreamParser:
    """Parses one answer. ``task_tags`` are the tags that open a call; a plug-in adds its own.

    ``feed`` and ``close`` return the events that became certain; they never raise on any text.
    """

    def __init__(self, task_tags: Iterable[str] = TASK_TAGS) -> None:
        self._task_tags = frozenset(task_tags)
        names = (*GROUNDING_TAGS, *self._task_tags)
        self._opens = {open_tag(name): name for name in names}
        self._closes = {close_tag(name): name for name in names}
        spelt = (*self._opens, *self._closes)
        self._prefixes = frozenset(tag[:length] for tag in spelt for length in range(1, len(tag)))
        self._events: list[ParserEvent] = []
        self._said: list[str] = []
        self._said_phrase: int | None = None
        self._held = ""
        self._before_held = ""
        self._phrase: _OpenPhrase | None = None
        self._call: _OpenCall | None = None
        self._payload_tag: str | None = None
        self._payload: list[str] = []
        self._phrases = 0
        self._calls = 0

    def feed(self, delta: str) -> list[ParserEvent]:
        """Take the next piece of the answer, of any length, and return what it settles."""
        start = 0
        while start < len(delta):
            if self._held:
                self._extend_held(delta[start])
                start += 1
                continue
            bracket = delta.find("<", start)
            end = len(delta) if bracket < 0 else bracket
            if end > start:
                self._on_text(delta[start:end])
            if bracket >= 0:
                self._held = "<"
            start = end + 1
        return self._take_events()

    def close(self) -> list[ParserEvent]:
        """The answer is over: settle what is still open. The parser is empty afterwards."""
        before, held, self._before_held, self._held = self._before_held, self._held, "", ""
        text = before + (held if held == "<" else "")
        if text:
            self._on_text(text)
        if held and held != "<":
            self._warn("The answer ended inside a tag.", held)
        self._drop_payload()
        if self._call:
            self._abandon_call()
        self._end_phrase()
        return self._take_events()

    # ---- characters to text and tags ----

    def _extend_held(self, character: str) -> None:
        """``_held`` is a proper beginning of a tag; it grows, becomes a tag, or turns out to be text.

        ``_before_held`` is an earlier beginning, cut off by the ``<`` of ``_held``: plain text, unless a tag follows
        that leaves the text. Then its bracket is replaced, or ``<b</p>ox>`` would read ``<box>`` on the page.
        """
        grown = self._held + character
        if grown in self._prefixes:
            self._held = grown
        elif grown in self._opens or grown in self._closes:
            before, self._before_held, self._held = self._before_held, "", ""
            if before:
                self._on_text("‹" + before[1:])
            self._on_tag(grown)
        elif character == "<":
            if self._before_held:
                self._on_text(self._before_held)
            self._before_held, self._held = self._held, "<"
        else:
            text, self._before_held, self._held = self._before_held + grown, "", ""
            self._on_text(text)

    def _on_text(self, text: str) -> None:
        if self._payload_tag:
            text = self._fill_payload(text)
            if not text:
                return
        if self._call:
            self._call.items.append(text)
        elif self._phrase and not self._phrase.closed:
            self._phrase.pieces.append(text)
            self._say(text, self._phrase.number)
        else:
            words = text.lstrip()
            self._say(text[: len(text) - len(words)], None)
            if words:
                self._end_phrase()
                self._say(words, None)

    def _on_tag(self, tag: str) -> None:
        name = self._opens.get(tag)
        closed = self._closes.get(tag)
        if self._payload_tag:
            if closed == self._payload_tag:
                self._read_payload()
                return
            self._drop_payload()
        if self._call:
            self._on_tag_in_call(tag, name, closed)
        elif name == PHRASE:
            self._end_phrase()
            self._phrase = _OpenPhrase(self._phrases)
            self._phrases += 1
        elif name and name in self._task_tags:
            self._end_phrase()
            self._start_call(name)
        elif name:
            self._close_phrase()
            self._payload_tag = name
        elif closed == PHRASE and self._phrase and not self._phrase.closed:
            self._phrase.close()
        else:
            self._warn("A close tag stands without its open tag.", tag)

    def _on_tag_in_call(self, tag: str, name: str | None, closed: str | None) -> None:
        assert self._call is not None
        if closed == self._call.task:
            call, self._call = self._call, None
            self._emit(_build_call(call))
        elif name and name in self._task_tags:
            self._abandon_call()
            self._start_call(name)
        elif closed in self._task_tags:
            self._abandon_call()
        elif PHRASE in (name, closed):
            self._call.items.append(_Edge())
        elif name:
            self._payload_tag = name
        else:
            self._warn("A close tag stands without its open tag.", tag)

    # ---- phrases ----

    def _close_phrase(self) -> None:
        """Something came that cannot stand in a phrase: close it where it is, if it is open."""
        if self._phrase and not self._phrase.closed:
            self._phrase.close()
            self._warn("A grounded phrase has no close tag.", open_tag(PHRASE))

    def _end_phrase(self) -> None:
        """No further box can belong to the phrase."""
        self._close_phrase()
        phrase, self._phrase = self._phrase, None
        if phrase and not phrase.used:
            self._warn("A reference after a phrase has no box.", f"{open_tag(REF)}{phrase.artefact_id}{close_tag(REF)}")

    # ---- calls ----

    def _start_call(self, task: str) -> None:
        self._call = _OpenCall(self._calls, task)
        self._calls += 1
        self._emit(CallStarted(self._call.index, task))

    def _abandon_call(self) -> None:
        assert self._call is not None
        call, self._call = self._call, None
        words = "".join(item for item in call.items if isinstance(item, str))
        self._warn("A task call was dropped, for its close tag is missing.", open_tag(call.task) + words)

    # ---- payloads of box, time and ref ----

    def _fill_payload(self, text: str) -> str:
        """Take the characters a payload may hold; the first other one ends it, and the rest is returned as text."""
        assert self._payload_tag is not None
        allowed = _PAYLOAD_CHARACTERS[self._payload_tag]
        room = _PAYLOAD_LIMIT - len(self._payload)
        length = next((i for i, character in enumerate(text[:room]) if character not in allowed), min(len(text), room))
        self._payload.extend(text[:length])
        if length == len(text):
            return ""
        self._drop_payload()
        return text[length:]

    def _drop_payload(self) -> None:
        if self._payload_tag:
            raw = open_tag(self._payload_tag) + "".join(self._payload)
            self._payload_tag, self._payload = None, []
            self._warn("A grounding tag was not closed.", raw)

    def _read_payload(self) -> None:
        name, text = self._payload_tag, "".join(self._payload)
        self._payload_tag, self._payload = None, []
        assert name is not None
        raw = open_tag(name) + text + close_tag(name)
        try:
            if name == REF:
                self._on_reference(read_ref(text))
            else:
                self._on_region(read_box(text) if name == BOX else read_span(text), raw)
        except GrammarError as exc:
            self._warn(str(exc), raw)

    def _on_reference(self, artefact_id: str) -> None:
        if self._call:
            self._call.items.append(_Reference(artefact_id))
        elif self._phrase:
            self._phrase.artefact_id, self._phrase.used = artefact_id, False
        else:
            self._say(artefact_id, None)

    def _on_region(self, region: Box | TimeSpan, raw: str) -> None:
        phrase = self._phrase
        if self._call:
            self._call.items.append(region)
        elif phrase and phrase.text:
            phrase.used = True
            box, span = (region, None) if isinstance(region, Box) else (None, region)
            self._emit(RegionFound(phrase.number, phrase.text, box, span, phrase.artefact_id))
        else:
            self._warn("A region stands without a phrase.", raw)

    # ---- events ----

    def _say(self, text: str, phrase: int | None) -> None:
        if phrase != self._said_phrase:
            self._flush_said()
            self._said_phrase = phrase
        if text:
            self._said.append(text)

    def _flush_said(self) -> None:
        if self._said:
            self._events.append(TextDelta("".join(self._said), self._said_phrase))
            self._said = []

    def _emit(self, event: ParserEvent) -> None:
        self._flush_said()
        self._events.append(event)

    def _warn(self, message: str, raw: str) -> None:
        self._emit(GrammarWarning(message, raw[:_RAW_LIMIT]))

    def _take_events(self) -> list[ParserEvent]:
        self._flush_said()
        events, self._events = self._events, []
        return events


def _build_call(call: _OpenCall) -> TaskCall:
    """Payload pieces to a TaskCall: all text joined is the prompt, text before boxes or spans is their phrase.

    A region lies in the reference named last before it, else in the first one of the call (None: no reference).
    """
    items = _join_text(call.items)
    refs = tuple(dict.fromkeys(item.artefact_id for item in items if isinstance(item, _Reference)))
    words = _squeeze(" ".join(item for item in items if isinstance(item, str)))
    prompt = _BEFORE_COMMA.sub(r"\1", words) if call.task in PLANNING_TAGS else words
    regions: list[RegionPart] = []
    phrase = ""
    boxes: list[Box] = []
    spans: list[TimeSpan] = []
    place = refs[0] if refs else None
    for item in (*items, _Edge()):
        if isinstance(item, Box):
            boxes.append(item)
        elif isinstance(item, TimeSpan):
            spans.append(item)
        elif boxes or spans:
            regions.append(RegionPart(phrase, tuple(boxes), tuple(spans), place))
            phrase, boxes, spans = "", [], []
        if isinstance(item, _Reference):
            place = item.artefact_id
        elif isinstance(item, str):
            phrase = _squeeze(item)
    if len(regions) == 1 and not regions[0].phrase:
        regions = [replace(regions[0], phrase=prompt)]
    return TaskCall(call.index, call.task, prompt, refs, tuple(regions))


def _join_text(items: list[_PayloadItem]) -> list[_PayloadItem]:
    """Join neighbouring text and drop text that is only white space, so that chunking leaves no trace."""
    joined: list[_PayloadItem] = []
    for is_text, group in groupby(items, key=lambda item: isinstance(item, str)):
        if not is_text:
            joined.extend(group)
        elif words := "".join(item for item in group if isinstance(item, str)).strip():
            joined.append(words)
    return joined


def _squeeze(text: str) -> str:
    return " ".join(text.split())
