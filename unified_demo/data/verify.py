"""Every answer is rendered to surface text, parsed back as the page would parse it, and compared part by part.

The surface text is what a model that learnt from the dialogue would write. A difference is a RecordError that names the record.
"""

from collections.abc import Iterable, Sequence

from unified_demo.conversation import Coordinates, Piece, Tag, Text, render_conversation
from unified_demo.errors import UnifiedError
from unified_demo.grammar import PHRASE, PLANNING_TAGS, REF, TASK_TAGS, TIME, MediaKind, close_tag, open_tag, spell_box, spell_span
from unified_demo.messages import (
    Conversation,
    GrammarWarning,
    MediaPart,
    Message,
    Part,
    RegionFound,
    RegionPart,
    TaskCall,
    TextDelta,
    TextPart,
)
from unified_demo.parser import StreamParser


class RecordError(UnifiedError):
    """A record of a dialogue is broken or does not survive rendering and parsing; whoever made the shard must act."""


def check_conversation(conversation: Conversation, name: str) -> None:
    """Raises RecordError, which names the record ``name`` and the turn, when an answer is not what its surface text parses to,
    or when it refers to an artefact that is not there yet."""
    known: set[str] = set()
    latest: str | None = None
    for number, message in enumerate(conversation.messages):
        where = f"Record {name}, message {number}"
        if message.role == "assistant":
            _check_answer(message, where, latest, known)
        for part in message.parts:
            if isinstance(part, MediaPart):
                known.add(part.artefact.id)
                latest = part.artefact.id if part.artefact.kind == MediaKind.IMAGE else latest


def surface_text(message: Message, latest: str | None = None) -> str:
    """The answer in the surface form of the representation; ``latest`` is the picture a box lies in without saying so."""
    pieces = render_conversation(Conversation((message,)), add_answer_start=False)
    written: list[str] = []
    places = _region_places(message.parts)
    for piece in pieces:
        if not getattr(piece, "loss", False) or (isinstance(piece, Text) and piece.trusted):
            continue
        if isinstance(piece, Tag) and piece.token in (open_tag("box"), open_tag(TIME)):
            place = places.pop(0)
            if place and place != latest:
                written.append(open_tag(REF) + place + close_tag(REF))
        written.append(_spelt(piece, written))
    return "".join(written)


def _region_places(parts: Iterable[Part]) -> list[str | None]:
    """For every box and span in order the artefact to be named before it; none inside calls, which name theirs first."""
    places: list[str | None] = []
    for part in parts:
        regions = part.regions if isinstance(part, TaskCall) else (part,) if isinstance(part, RegionPart) else ()
        for region in regions:
            count = len(region.boxes) + len(region.spans)
            place = None if isinstance(part, TaskCall) else region.artefact_id
            places += [place] * min(count, 1) + [None] * (count - 1)
    return places


def _spelt(piece: Piece, written: Sequence[str]) -> str:
    """Words inside a phrase or a call lose the space that they carry for the tokenizer's sake."""
    if isinstance(piece, Coordinates):
        return spell_box(piece.box)
    if isinstance(piece, Tag):
        return piece.token
    assert isinstance(piece, Text)
    in_phrase = bool(written) and written[-1] == open_tag(PHRASE)
    in_call = any(written.count(open_tag(tag)) > written.count(close_tag(tag)) for tag in TASK_TAGS)
    return piece.text.removeprefix(" ") if in_phrase or in_call else piece.text


# ---- comparison ----

_Seen = tuple[str, list[tuple[object, ...]], list[tuple[object, ...]]]
"""Words, grounded phrases, calls."""


def _check_answer(message: Message, where: str, latest: str | None, known: set[str]) -> None:
    surface = surface_text(message, latest)
    parser = StreamParser()
    events = [*parser.feed(surface), *parser.close()]
    for event in events:
        if isinstance(event, GrammarWarning):
            raise RecordError(f"{where}: {event.message} ({event.raw}) in '{surface[:200]}'.")
    got = _of_events(events, latest)
    whole, wanted = _of_message(message, latest, True), _of_message(message, latest, False)
    for name, expected, other, found in zip(("words", "regions", "calls"), wanted, whole, got, strict=True):
        if found not in (expected, other):
            raise RecordError(f"{where}: the {name} {found} were parsed where {expected} were meant, in '{surface[:200]}'.")
    given = set(known)
    for part in message.parts:
        if isinstance(part, MediaPart):
            given.add(part.artefact.id)
        elif isinstance(part, TaskCall) and not set(part.refs) <= given:
            raise RecordError(f"{where}: the call refers to {', '.join(part.refs)}, and there are {', '.join(sorted(given)) or 'none'}.")


def _of_message(message: Message, latest: str | None, prompts: bool) -> _Seen:
    """What should be parsed. A call with regions is spoken by their phrases; with ``prompts`` its prompt comes before them.
    A plan's prompt holds its phrases."""
    words: list[str] = []
    regions: list[tuple[object, ...]] = []
    calls: list[tuple[object, ...]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            words.append(part.text)
        elif isinstance(part, RegionPart):
            words.append(f" {part.phrase} ")
            regions.append(_region(part, latest))
        elif isinstance(part, TaskCall):
            phrases = [region.phrase for region in part.regions]
            prompt_only = not phrases or part.task in PLANNING_TAGS
            spoken = part.prompt if prompt_only else " ".join([part.prompt, *phrases] if prompts else phrases)
            calls.append((part.index, part.task, _squeeze(spoken), part.refs, [_region(region, None) for region in part.regions]))
    return _squeeze("".join(words)), regions, calls


def _of_events(events: Iterable[object], latest: str | None) -> _Seen:
    words: list[str] = []
    found: dict[int, RegionPart] = {}
    calls: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, TextDelta):
            words.append(f" {event.text} " if event.phrase is not None else event.text)
        elif isinstance(event, RegionFound):
            had = found.get(event.phrase, RegionPart(event.text))
            boxes = (*had.boxes, *([event.box] if event.box else []))
            spans = (*had.spans, *([event.span] if event.span else []))
            found[event.phrase] = RegionPart(event.text, boxes, spans, event.artefact_id)
        elif isinstance(event, TaskCall):
            calls.append((event.index, event.task, _squeeze(event.prompt), event.refs, [_region(region, None) for region in event.regions]))
    return _squeeze("".join(words)), [_region(region, latest) for region in found.values()], calls


def _region(region: RegionPart, latest: str | None) -> tuple[object, ...]:
    return (
        _squeeze(region.phrase),
        *(spell_box(box) for box in region.boxes),
        *(spell_span(span) for span in region.spans),
        region.artefact_id or latest,
    )


def _squeeze(text: str) -> str:
    """White space does not count, nor does it before a full stop that follows a phrase."""
    return "".join(text.split())
