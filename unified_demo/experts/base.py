"""The contract every expert keeps: what it declares (ExpertSpec), what it is asked, what it yields.

An expert is an external model that carries out one task. It knows nothing of chat, pages or routing.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from unified_demo.grammar import TASK_TAGS, TASKS, Box, MediaKind, Task, TaskSpec, title_of
from unified_demo.messages import Artefact, RegionPart, Stroke


@dataclass(frozen=True)
class ExpertRequest:
    """A validated call. ``inputs`` are the referenced artefacts in order, ``regions`` lie in the first of them.

    ``steps``, ``guidance`` and ``strength`` (of an edit, 0..1) are None where the expert shall choose.
    ``cancel`` is honoured at each step: when it is set, ``run`` returns without further output.
    ``strokes``: what the user painted where the call names this box; an expert that needs a mask takes it from them.
    """

    prompt: str
    inputs: tuple[Artefact, ...] = ()
    regions: tuple[RegionPart, ...] = ()
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    strokes: Mapping[Box, tuple[Stroke, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Step ``step`` of ``steps`` is done; ``preview`` is a PIL image or None."""

    step: int
    steps: int
    note: str = ""
    preview: Any = None


@dataclass(frozen=True)
class Output:
    """One result, still in memory. IMAGE: a PIL RGB image; MASK: a bool array H x W at the picture's size, or T x H x W;
    VIDEO: uint8 frames T x H x W x 3 (RGB); AUDIO: a ``recordings.Sound``. Masks of videos and videos have ``fps``.

    ``of``, ``label`` and ``box`` are copied to the artefact; ``recipe`` is merged into its recipe.
    """

    kind: MediaKind
    value: Any
    of: str | None = None
    label: str = ""
    box: Any = None
    recipe: dict[str, Any] = field(default_factory=dict)
    fps: float = 0.0


ExpertEvent = Progress | Output


class Expert(Protocol):
    """A loaded expert. ``run`` yields at least one Progress per step and then its Outputs."""

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]: ...


@dataclass(frozen=True)
class ExpertSpec:
    """What is known of an expert before anything is loaded.

    ``weights`` names entries of the weights manifest, ``memory_bytes`` is what it holds once loaded.
    ``load`` builds the expert; the registry calls it on first use. ``options`` names the fields of ``config.Drawing`` that it heeds.
    ``needs_box``, of a plug-in: the call must name a region (of the ten tasks ``grammar.TASKS`` says it).
    """

    task: str
    name: str
    description: str
    needs: tuple[MediaKind, ...]
    gives: MediaKind
    licence: str
    weights: tuple[str, ...]
    memory_bytes: int
    load: Callable[[], Expert]
    commercial_use: bool = True
    options: tuple[str, ...] = ()
    needs_box: bool = False

    @property
    def declared(self) -> TaskSpec:
        """The task as grammar, prompt and router know it: one of the ten, or what a plug-in declares. GrammarError when that is bad."""
        if self.task in TASK_TAGS:
            return TASKS[Task(self.task)]
        return TaskSpec(self.task, title_of(self.task), self.description, self.needs, self.gives, self.needs_box)
