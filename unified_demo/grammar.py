"""THE list of tasks and tags of the unified representation, and how boxes and spans are spelt.

No other file spells a tag. The literal strings are ours: UnifiedMLLM (arXiv 2408.02503) describes
task tokens and grounding tokens but never published their spelling. Pure values, no model, no I/O.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from unified_demo.errors import GrammarError

GRID = 999
"""Coordinates are integers 0..GRID, relative to the original picture (or to the duration)."""


LONGEST_TAG, LONGEST_DESCRIPTION = 24, 160
"""In characters; every task's description stands in the prompt."""
_TAG_NAME = re.compile(r"[a-z]+(?:-[a-z]+)*", re.ASCII)


class MediaKind(StrEnum):
    """What an artefact is; the value is also the prefix of its id (``img-1``)."""

    IMAGE = "img"
    VIDEO = "vid"
    AUDIO = "aud"
    MASK = "mask"
    POINTS = "pts"
    DEPTH = "depth"
    NORMALS = "norm"
    IMU = "imu"
    FMRI = "fmri"


KIND_WORDS = {
    MediaKind.IMAGE: "picture",
    MediaKind.VIDEO: "video",
    MediaKind.AUDIO: "sound",
    MediaKind.MASK: "mask",
    MediaKind.POINTS: "point cloud",
    MediaKind.DEPTH: "depth map",
    MediaKind.NORMALS: "map of surface normals",
    MediaKind.IMU: "recording of motion",
    MediaKind.FMRI: "recording of brain activity",
}
"""What people call one of them."""
DATA_KINDS = (MediaKind.POINTS, MediaKind.DEPTH, MediaKind.NORMALS, MediaKind.IMU, MediaKind.FMRI)
"""Arrays of numbers that are kept with a preview: ``signals.py`` says which shapes are what."""


class Task(StrEnum):
    """The ten tasks of UnifiedMLLM that need an expert; the value is the tag."""

    IMAGE_SEGMENTATION = "seg"
    VIDEO_SEGMENTATION = "vseg"
    IMAGE_GENERATION = "gen"
    LAYOUT_GENERATION = "layout"
    IMAGE_EDITING = "edit"
    REASONING_EDITING = "redit"
    VIDEO_GENERATION = "vgen"
    IMAGE_TO_VIDEO = "ivgen"
    VIDEO_EDITING = "vedit"
    AUDIO_GENERATION = "agen"


@dataclass(frozen=True)
class TaskSpec:
    """What a task call must carry and what it returns: one of the ten tasks, or one that a plug-in brings.

    ``needs`` lists the media kinds that must be referenced, ``needs_box`` whether a region is required. GrammarError when the tag
    cannot be spelt or the description is no description.
    """

    tag: str
    title: str
    description: str
    needs: tuple[MediaKind, ...]
    gives: MediaKind
    needs_box: bool = False

    def __post_init__(self) -> None:
        if not _TAG_NAME.fullmatch(self.tag) or len(self.tag) > LONGEST_TAG:
            raise GrammarError(
                f"'{self.tag}' cannot be a tag; small letters are needed, words joined by '-', at most {LONGEST_TAG} characters."
            )
        if not self.description.strip() or len(self.description) > LONGEST_DESCRIPTION or not self.description.isprintable():
            raise GrammarError(
                f"The description of '{self.tag}' has {len(self.description.strip())} characters; one line of 1 to {LONGEST_DESCRIPTION} "
                "is needed, such as 'make a picture from words'."
            )

    @property
    def plans(self) -> bool:
        """The boxes are those of a picture that is yet to be made: the prompt says what goes where."""
        return self.needs_box and not self.needs


TASKS: dict[Task, TaskSpec] = {
    spec_task: TaskSpec(spec_task.value, title, description, needs, gives, needs_box)
    for spec_task, title, description, needs, gives, needs_box in (
        (Task.IMAGE_SEGMENTATION, "segmentation", "outline a thing in a picture", (MediaKind.IMAGE,), MediaKind.MASK, True),
        (Task.VIDEO_SEGMENTATION, "video segmentation", "follow a thing through a video", (MediaKind.VIDEO,), MediaKind.MASK, True),
        (Task.IMAGE_GENERATION, "image generation", "make a picture from words", (), MediaKind.IMAGE, False),
        (Task.LAYOUT_GENERATION, "layout generation", "make a picture with things in given boxes", (), MediaKind.IMAGE, True),
        (Task.IMAGE_EDITING, "image editing", "change the whole picture", (MediaKind.IMAGE,), MediaKind.IMAGE, False),
        (Task.REASONING_EDITING, "region editing", "change or remove one thing in a picture", (MediaKind.IMAGE,), MediaKind.IMAGE, True),
        (Task.VIDEO_GENERATION, "video generation", "make a video from words", (), MediaKind.VIDEO, False),
        (Task.IMAGE_TO_VIDEO, "image to video", "animate a picture", (MediaKind.IMAGE,), MediaKind.VIDEO, False),
        (Task.VIDEO_EDITING, "video editing", "change a video", (MediaKind.VIDEO,), MediaKind.VIDEO, False),
        (Task.AUDIO_GENERATION, "audio generation", "make a sound from words", (), MediaKind.AUDIO, False),
    )
}


def title_of(tag: str) -> str:
    """A task's name for people; a plug-in's tag is its name: ``colour-palette`` is the colour palette."""
    return TASKS[Task(tag)].title if tag in TASK_TAGS else tag.replace("-", " ")


def next_id(kind: MediaKind, known: Iterable[str]) -> str:
    """The id that the next artefact of the kind gets: ``img-3`` after ``img-1`` and ``img-2``."""
    taken = [int(key.rsplit("-", 1)[1]) for key in known if key.startswith(f"{kind.value}-")]
    return f"{kind.value}-{max(taken, default=0) + 1}"


PHRASE, BOX, TIME, REF = "p", "box", "time", "ref"
GROUNDING_TAGS: tuple[str, ...] = (PHRASE, BOX, TIME, REF)
TASK_TAGS: tuple[str, ...] = tuple(task.value for task in Task)
PLANNING_TAGS: tuple[str, ...] = tuple(task.value for task, spec in TASKS.items() if spec.plans)
TAGS: tuple[str, ...] = GROUNDING_TAGS + TASK_TAGS

_BOX_TEXT = re.compile(r"\s*\[\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\]\s*", re.ASCII)
_SPAN_TEXT = re.compile(r"\s*\[\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\]\s*", re.ASCII)
_REF_TEXT = re.compile(rf"\s*((?:{'|'.join(MediaKind)})-\d{{1,4}})\s*", re.ASCII)


@dataclass(frozen=True)
class Box:
    """Normalised xyxy in the original picture: 0 <= x0 < x1 <= 1, 0 <= y0 < y1 <= 1.

    Raises GrammarError when the order or the range is violated.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1):
            raise GrammarError(f"The box {self.as_tuple()} is not a region: 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 are needed.")

    def as_tuple(self) -> tuple[float, float, float, float]:
        return (self.x0, self.y0, self.x1, self.y1)

    @property
    def area(self) -> float:
        """Share of the picture, 0..1."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def overlap(self, other: "Box") -> float:
        """Area of the intersection, 0..1 of the picture."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(width, 0.0) * max(height, 0.0)

    def iou(self, other: "Box") -> float:
        """Intersection over union, 0..1."""
        shared = self.overlap(other)
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True)
class TimeSpan:
    """A span of a video or sound as fractions of its duration, 0 <= start < end <= 1; else GrammarError."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise GrammarError(f"The span {self.start}..{self.end} is not within 0..1 in order.")


def open_tag(tag: str) -> str:
    return f"<{tag}>"


def close_tag(tag: str) -> str:
    return f"</{tag}>"


def added_tokens(more: Sequence[str] = ()) -> list[str]:
    """Every tag as one token each, in a stable order; this order is the layout of the trained embedding rows.

    ``more``: tags of plug-ins, behind them.
    """
    return [token for tag in (*TAGS, *more) for token in (open_tag(tag), close_tag(tag))]


def spell_box(box: Box) -> str:
    """``[x0,y0,x1,y1]`` with integers 0..GRID; a box thinner than one grid step is widened to one step."""
    x0, y0 = round(box.x0 * GRID), round(box.y0 * GRID)
    x1, y1 = round(box.x1 * GRID), round(box.y1 * GRID)
    x0, y0 = min(x0, GRID - 1), min(y0, GRID - 1)
    return f"[{x0},{y0},{max(x1, x0 + 1)},{max(y1, y0 + 1)}]"


def read_box(text: str) -> Box:
    """Inverse of ``spell_box``; GrammarError when the text is not four integers 0..999 in order."""
    found = _BOX_TEXT.fullmatch(text)
    if not found:
        raise GrammarError(f"'{text[:40]}' is not a box; four integers from 0 to {GRID} are needed.")
    x0, y0, x1, y1 = (int(digits) / GRID for digits in found.groups())
    return Box(x0, y0, x1, y1)


def spell_span(span: TimeSpan) -> str:
    start = min(round(span.start * GRID), GRID - 1)
    return f"[{start},{max(round(span.end * GRID), start + 1)}]"


def read_span(text: str) -> TimeSpan:
    """Inverse of ``spell_span``; GrammarError when the text is not two integers 0..999 in order."""
    found = _SPAN_TEXT.fullmatch(text)
    if not found:
        raise GrammarError(f"'{text[:40]}' is not a time span; two integers from 0 to {GRID} are needed.")
    return TimeSpan(*(int(digits) / GRID for digits in found.groups()))


def read_ref(text: str) -> str:
    """An artefact id such as ``img-1``; GrammarError otherwise."""
    found = _REF_TEXT.fullmatch(text)
    if not found:
        raise GrammarError(f"'{text[:40]}' is not the id of an artefact, such as img-1.")
    return found.group(1)


def escape(text: str, tags: Iterable[str] = TAGS) -> str:
    """Make user text unable to become one of ``tags``: ``<box>`` turns into ``‹box›``. Other angle brackets stay."""
    return _any_of(tuple(tags)).sub(r"‹\1›", text)


@cache
def _any_of(tags: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"<(/?(?:" + "|".join(tags) + r"))>")
