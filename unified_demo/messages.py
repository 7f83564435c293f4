"""Pure values: what a conversation is made of and what happens during one turn.

Messages are lists of typed parts; no HTML, path or tag lives inside text. Nothing here loads or computes.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unified_demo.errors import GrammarError
from unified_demo.grammar import Box, MediaKind, TimeSpan

Role = Literal["user", "assistant"]
MOST_STROKES, MOST_STROKE_POINTS = 40, 5000
"""Of one region, and of one stroke."""
LARGEST_BRUSH = 0.5


@dataclass(frozen=True)
class Artefact:
    """One picture, video, sound, mask or array of data of a conversation, an upload or an output.

    ``path`` is a file written by ``media.MediaStore``. Size in pixels (of data: of its preview), duration in seconds.
    ``of`` is the id of the picture a mask belongs to, ``label`` its phrase, ``box`` the region asked for.
    ``recipe`` says how an output came to be (task, prompt, seed, weights, seconds), ``facts`` what is in an array of data (``signals.py``).
    """

    id: str
    kind: MediaKind
    path: Path
    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    of: str | None = None
    label: str = ""
    box: Box | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextPart:
    text: str


@dataclass(frozen=True)
class MediaPart:
    """An artefact in a message: what the user attached, or what an expert returned."""

    artefact: Artefact


@dataclass(frozen=True)
class Stroke:
    """One stroke of a brush: its ``points`` (x, y) in 0..1 of the picture, its ``radius`` as a share of the shorter side.

    ``strokes.py`` says which pixels that is. GrammarError: no points or too many, one outside of the picture, no such brush.
    """

    points: tuple[tuple[float, float], ...]
    radius: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MOST_STROKE_POINTS or not 0 < self.radius <= LARGEST_BRUSH:
            raise GrammarError(f"A stroke has {len(self.points)} points and the radius {self.radius}; that is no stroke of a brush.")
        if not all(0 <= x <= 1 and 0 <= y <= 1 for x, y in self.points):
            raise GrammarError("A stroke leaves its picture; points lie in 0..1.")


@dataclass(frozen=True)
class RegionPart:
    """A grounded phrase: words plus one or several boxes, or time spans, in the artefact ``artefact_id``.

    ``strokes`` are what a visitor painted within the one box: that, not all that the box holds, is meant. GrammarError: too many.
    """

    phrase: str
    boxes: tuple[Box, ...] = ()
    spans: tuple[TimeSpan, ...] = ()
    artefact_id: str | None = None
    strokes: tuple[Stroke, ...] = ()

    def __post_init__(self) -> None:
        if len(self.strokes) > MOST_STROKES:
            raise GrammarError(f"A region has {len(self.strokes)} strokes; at most {MOST_STROKES} are allowed.")


@dataclass(frozen=True)
class TaskCall:
    """One call of an expert: ``prompt`` in words, ``refs`` to artefacts, ``regions`` in them.

    ``index`` counts the calls of one answer from 0. ``task`` is the tag (``Task`` value or a plug-in's tag).
    """

    index: int
    task: str
    prompt: str
    refs: tuple[str, ...] = ()
    regions: tuple[RegionPart, ...] = ()


Part = TextPart | MediaPart | RegionPart | TaskCall


@dataclass(frozen=True)
class Message:
    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Conversation:
    """A whole conversation as a value; ``with_message`` returns a longer one."""

    messages: tuple[Message, ...] = ()

    def with_message(self, message: Message) -> "Conversation":
        return Conversation((*self.messages, message))

    def artefacts(self) -> dict[str, Artefact]:
        """Every artefact by id, in order of appearance."""
        return {part.artefact.id: part.artefact for message in self.messages for part in message.parts if isinstance(part, MediaPart)}

    def marks(self) -> tuple[RegionPart, ...]:
        """The regions that the user marked, the latest first."""
        parts = [part for message in self.messages if message.role == "user" for part in message.parts]
        return tuple(part for part in reversed(parts) if isinstance(part, RegionPart) and part.boxes)

    def next_id(self, kind: MediaKind, taken: int = 0) -> str:
        """The id a new artefact gets: ``img-1`` for the first picture. ``taken`` = ids given out but not yet in a message."""
        highest = max((int(key.rsplit("-", 1)[1]) for key, value in self.artefacts().items() if value.kind == kind), default=0)
        return f"{kind.value}-{highest + taken + 1}"


# ---- events of one turn, in the order a page receives them ----


@dataclass(frozen=True)
class TextDelta:
    """More visible text. ``phrase`` counts the grounded phrases of the answer from 0, None outside of them."""

    text: str
    phrase: int | None = None


@dataclass(frozen=True)
class RegionFound:
    """One more box or span for the phrase with number ``phrase``; sent the moment its close tag is parsed."""

    phrase: int
    text: str
    box: Box | None = None
    span: TimeSpan | None = None
    artefact_id: str | None = None


@dataclass(frozen=True)
class CallStarted:
    """The open tag of a task call was parsed; its payload is still being written."""

    index: int
    task: str


@dataclass(frozen=True)
class GrammarWarning:
    """The model broke a rule of the representation; ``raw`` is what was dropped or turned into text."""

    message: str
    raw: str


@dataclass(frozen=True)
class CallProgress:
    """An expert works: step ``step`` of ``steps`` (0 = loading), ``note`` in words, sometimes a preview picture."""

    index: int
    step: int
    steps: int
    note: str = ""
    preview: Any = None


@dataclass(frozen=True)
class CallDone:
    """A call ended well. ``recipe`` carries seconds, seed, weights and licence for the page."""

    index: int
    seconds: float
    artefacts: tuple[Artefact, ...]
    recipe: dict[str, Any]


@dataclass(frozen=True)
class CallFailed:
    index: int
    seconds: float
    error: str


@dataclass(frozen=True)
class TurnDone:
    """The last event of a turn: the assistant's message, the raw representation, timings in seconds."""

    message: Message
    raw: str
    timings: dict[str, float]
    warnings: tuple[str, ...] = ()
    stopped: bool = False


ParserEvent = TextDelta | RegionFound | CallStarted | TaskCall | GrammarWarning
Event = ParserEvent | CallProgress | CallDone | CallFailed | TurnDone
