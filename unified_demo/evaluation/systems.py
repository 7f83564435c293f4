"""What the referring benchmark compares: the whole picture, a detector with a template, and our model through the engine.

Each system answers one expression about one picture with a box and a mask. The template understands the detector's class
names (singular and plural) and left, right, largest: no synonyms, no colours, no relations. Nothing is scored here.
"""

import hashlib
import re
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from unified_demo.config import GenerationOptions
from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.metrics import Mask
from unified_demo.experts.base import Output
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import load_image, load_mask
from unified_demo.messages import (
    Artefact,
    CallDone,
    CallFailed,
    Conversation,
    MediaPart,
    Message,
    RegionFound,
    RegionPart,
    TaskCall,
    TextPart,
    TurnDone,
)
from unified_demo.model.detection import Detection
from unified_demo.router import Router

INSTRUCTIONS = (
    "segment {}",
    "Segment {} in this picture.",
    "please segment {}",
    "Can you segment {}?",
    "Cut out {}.",
    "Outline {}, please.",
)
CONFIDENT = 0.3
"""Left, right and largest are chosen among detections with at least this score, or all when there is none.

The best of 0.15 to 0.55 on the 50 COCO photos, with and without tiles: the baseline gets the benefit of the doubt.
"""
LEFT = frozenset({"left", "leftmost"})
RIGHT = frozenset({"right", "rightmost"})
LARGEST = frozenset({"largest", "biggest", "larger", "bigger", "big", "large"})
PLURALS = {"person": "people", "mouse": "mice", "knife": "knives", "sheep": "sheep"}
"""Plurals of class names that do not just add s or es."""


@dataclass(frozen=True)
class Prediction:
    """``box`` normalised, ``mask`` bool H x W of the picture; None = nothing. ``text`` is what a model wrote, ``error`` what went wrong."""

    box: Box | None = None
    mask: Mask | None = None
    text: str = ""
    error: str = ""


class System(Protocol):
    """Answers ``expression`` about the stored ``picture``."""

    name: str

    def answer(self, picture: Artefact, expression: str) -> Prediction: ...


class Finder(Protocol):
    """What the template needs of ``model.detection.Detector``."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def detect(self, picture: Image.Image, threshold: float = 0.1, limit: int = 32, tiled: bool = True) -> list[Detection]: ...


class WholePicture:
    """The floor: everything is the answer."""

    name = "whole"

    def answer(self, picture: Artefact, expression: str) -> Prediction:
        return Prediction(Box(0, 0, 1, 1), np.ones((picture.height, picture.width), bool))


class Template:
    """Detector, class word, position word; no language model. The mask comes from the segmentation expert of ``router``."""

    name = "template"

    def __init__(self, detector: Finder, router: Router | None = None) -> None:
        self._detector = detector
        self._router = router
        self._last: tuple[Path, list[Detection]] | None = None

    def answer(self, picture: Artefact, expression: str) -> Prediction:
        found = choose(self._detections(picture), expression, self._detector.labels)
        if found is None:
            return Prediction(error="nothing was detected")
        try:
            mask = segment(self._router, picture, found.label, found.box)
        except UnifiedError as exc:
            return Prediction(found.box, None, found.label, str(exc))
        return Prediction(found.box, mask, found.label)

    def _detections(self, picture: Artefact) -> list[Detection]:
        """Detections of ``picture``; those of the last one are kept, because its expressions follow each other."""
        if self._last is None or self._last[0] != picture.path:
            self._last = (picture.path, self._detector.detect(load_image(picture), tiled=False))
        return self._last[1]


def choose(found: Sequence[Detection], expression: str, labels: Sequence[str]) -> Detection | None:
    """The detection that class and position words of ``expression`` mean; the largest one when it names no detected class."""
    words = re.findall(r"[a-z]+", expression.lower())
    label = mentioned_label(words, labels)
    scored = [(score, thing) for thing in found if (score := _score_as(thing, label)) is not None] if label else []
    if not scored:
        scored = [(thing.score, thing) for thing in found]
        if not scored:
            return None
        if not (LEFT | RIGHT) & set(words):
            words = [*words, "largest"]
    confident = [thing for score, thing in scored if score >= CONFIDENT] or [thing for _, thing in scored]
    if LEFT & set(words):
        return min(confident, key=lambda thing: thing.box.x0 + thing.box.x1)
    if RIGHT & set(words):
        return max(confident, key=lambda thing: thing.box.x0 + thing.box.x1)
    if LARGEST & set(words):
        return max(confident, key=lambda thing: thing.box.area)
    return max(scored, key=lambda pair: pair[0])[1]


def mentioned_label(words: Sequence[str], labels: Sequence[str]) -> str | None:
    """The class name, singular or plural, that comes first in ``words`` (the longest of those that start there)."""
    spelt = {tuple(form.split()): label for label in labels for form in (label, PLURALS.get(label, ""), label + "s", label + "es") if form}
    longest = max((len(form) for form in spelt), default=0)
    for start in range(len(words)):
        for length in range(longest, 0, -1):
            label = spelt.get(tuple(words[start : start + length]))
            if label:
                return label
    return None


def _score_as(thing: Detection, label: str) -> float | None:
    """The score of ``thing`` as a ``label``, also when that is not its first name; None when it has no such name."""
    return thing.score if thing.label == label else dict(thing.others).get(label)


def segment(router: Router | None, picture: Artefact, phrase: str, box: Box) -> Mask | None:
    """The segmentation expert's mask for a box of ``picture``; None when no such expert is offered."""
    task = Task.IMAGE_SEGMENTATION.value
    if router is None or task not in router.tasks():
        return None
    call = TaskCall(0, task, phrase, (picture.id,), (RegionPart(phrase, (box,), artefact_id=picture.id),))
    for event in router.dispatch(call, {picture.id: picture}, 0, threading.Event()):
        if isinstance(event, Output) and event.kind == MediaKind.MASK:
            return np.asarray(event.value, dtype=bool)
    return None


class Model:
    """Our model: an instruction goes through ``Engine.respond``; first box of a region or call, first mask that comes back."""

    def __init__(self, engine: Engine, options: GenerationOptions | None = None, name: str = "model") -> None:
        self._engine, self.name = engine, name
        self._options = options or GenerationOptions()

    def answer(self, picture: Artefact, expression: str) -> Prediction:
        message = Message("user", (MediaPart(picture), TextPart(instruction(expression))))
        box: Box | None = None
        mask: Mask | None = None
        text, error = "", ""
        with closing(self._engine.respond(Conversation((message,)), self._options)) as events:
            for event in events:
                match event:
                    case RegionFound() if event.box:
                        box = box or event.box
                    case TaskCall():
                        box = box or next((inner for region in event.regions for inner in region.boxes), None)
                    case CallDone() if mask is None:
                        mask = next((load_mask(item) for item in event.artefacts if item.kind == MediaKind.MASK), None)
                    case CallFailed():
                        error = event.error
                    case TurnDone():
                        text = event.raw
        return Prediction(box, mask, text, error)


def instruction(expression: str) -> str:
    """One of the wordings of a request to segment ``expression``; the same expression always gets the same one.

    A question is asked as it is, with the request to segment the answer behind it.
    """
    if expression.endswith("?"):
        return f"{expression} Segment it."
    number = int.from_bytes(hashlib.sha256(expression.encode()).digest()[:4], "big")
    return INSTRUCTIONS[number % len(INSTRUCTIONS)].format(expression)


def answer_safely(system: System, picture: Artefact, expression: str) -> Prediction:
    """``system.answer``, where an error that is meant for people becomes a Prediction with that error."""
    try:
        return system.answer(picture, expression)
    except UnifiedError as exc:
        return Prediction(error=str(exc))
