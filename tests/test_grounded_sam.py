"""Grounding DINO + SAM 2 on tiny random checkpoints in the hub's layout: pictures, videos, frames, cancelling."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_hub
import torch
from PIL import Image

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.grounded_sam import (
    Finder,
    GroundedSegmentation,
    GroundedTracking,
    Outliner,
    Wanted,
    coloured,
    load_parts,
)
from unified_demo.grammar import Box, MediaKind, TimeSpan
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, RegionPart

NOISE = np.random.default_rng(0).integers(0, 255, (6, 40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finder, Outliner]:
    folder = tmp_path_factory.mktemp("hub")
    return load_parts(tiny_hub.grounding_dino(folder / "dino"), tiny_hub.sam2(folder / "sam"), "cpu", torch.float32)


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path)


@pytest.fixture
def video(store: MediaStore) -> Artefact:
    return store.add_video(list(NOISE), 3.0, "vid-1")


def asked(artefact: Artefact, *boxes: Box, spans: tuple[TimeSpan, ...] = (), **fields: Any) -> ExpertRequest:
    return ExpertRequest("the cup", (artefact,), (RegionPart("the red cup", boxes, spans, artefact.id),), **fields)


def outputs(events: Iterator[ExpertEvent]) -> list[Output]:
    return [event for event in events if isinstance(event, Output)]


class Sighted:
    """A finder that sees one box, whatever is asked."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def find(self, image: Image.Image, phrase: str) -> list[Box]:
        return [self.box]


def test_words_find_boxes(parts: tuple[Finder, Outliner], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_demo.experts.grounded_sam.FOUND", 0.0)
    assert parts[0].find(Image.fromarray(NOISE[0]), "the red cup")
    monkeypatch.setattr("unified_demo.experts.grounded_sam.FOUND", 1.0)
    assert parts[0].find(Image.fromarray(NOISE[0]), "the red cup") == []


def test_a_picture_is_a_video_of_one_frame(parts: tuple[Finder, Outliner], store: MediaStore) -> None:
    picture = store.add_image(Image.fromarray(NOISE[0]), "img-1")
    boxes = Box(0.1, 0.1, 0.5, 0.5), Box(0.1, 0.1, 0.55, 0.5)
    events = list(GroundedSegmentation(*parts).run(asked(picture, *boxes)))
    steps = [(event.step, event.steps) for event in events if isinstance(event, Progress)]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    first, second = outputs(iter(events))
    assert first.kind == MediaKind.MASK and first.value.shape == (40, 60) and first.value.dtype == bool and first.of == "img-1"
    assert (first.box, second.box) == boxes and first.label == "the red cup" and 0 < first.recipe["area"] <= 1


def test_the_detectors_box_replaces_the_models_only_where_they_agree(parts: tuple[Finder, Outliner], store: MediaStore) -> None:
    picture = store.add_image(Image.fromarray(NOISE[0]), "img-1")
    near, far = Box(0.12, 0.1, 0.52, 0.5), Box(0.6, 0.6, 0.9, 0.9)
    for seen, used in ((near, near), (far, Box(0.1, 0.1, 0.5, 0.5))):
        expert = GroundedSegmentation(Sighted(seen), parts[1])  # type: ignore[arg-type]
        assert outputs(expert.run(asked(picture, Box(0.1, 0.1, 0.5, 0.5))))[0].box == used


def test_a_thing_is_followed_through_all_frames(parts: tuple[Finder, Outliner], video: Artefact) -> None:
    events = list(GroundedTracking(*parts).run(asked(video, Box(0.1, 0.1, 0.5, 0.5))))
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps == [0, *range(1, 7)] and all(event.preview for event in events if isinstance(event, Progress) and event.step)
    mask, shown = outputs(iter(events))
    assert mask.value.shape == (6, 40, 60) and mask.value.dtype == bool and mask.fps == 3.0 and mask.recipe["frames"] == 6
    assert shown.kind == MediaKind.VIDEO and shown.value.shape == (6, 40, 60, 3) and shown.of == "vid-1"


def test_a_span_says_in_which_frame_the_box_lies(parts: tuple[Finder, Outliner]) -> None:
    order = [index for index, _ in parts[1].follow(NOISE, [Wanted("cup", Box(0.1, 0.1, 0.5, 0.5), 3)])]
    assert order == [3, 4, 5, 2, 1, 0]


def test_frames_condition_each_other(parts: tuple[Finder, Outliner]) -> None:
    """A frame outlined from memory differs from the same frame without one: the memory is in use."""
    wanted = Wanted("cup", Box(0.1, 0.1, 0.5, 0.5), 0)
    followed = dict(parts[1].follow(NOISE, [wanted]))
    still = dict(parts[1].follow(np.stack([NOISE[0], NOISE[3]]), [wanted]))
    assert (followed[0] == still[0]).all() and (followed[3] != still[1]).any()


@pytest.mark.parametrize("allowed", [1, 2, 4])
def test_cancel_at_each_frame(parts: tuple[Finder, Outliner], video: Artefact, allowed: int) -> None:
    cancel = threading.Event()
    run = GroundedTracking(*parts).run(asked(video, Box(0.1, 0.1, 0.5, 0.5), cancel=cancel))
    for _ in range(allowed):
        next(run)
    cancel.set()
    assert list(run) == []


def test_what_cannot_be_done_is_said(parts: tuple[Finder, Outliner], store: MediaStore, video: Artefact) -> None:
    picture = store.add_image(Image.fromarray(NOISE[0]), "img-1")
    for expert, artefact in ((GroundedSegmentation(*parts), video), (GroundedTracking(*parts), picture)):
        with pytest.raises(ExpertError, match="at least one box"):
            list(expert.run(asked(artefact, Box(0, 0, 1, 1))))
    with pytest.raises(ModelLoadError, match="fetch them again"):
        load_parts(store.root, store.root, "cpu", torch.float32)


def test_colours_lie_where_the_masks_are() -> None:
    masks = np.zeros((2, 40, 60), bool)
    masks[0, :10] = True
    masks[1, 30:] = True
    shown = coloured(NOISE[0], masks)
    assert (shown[10:30] == NOISE[0, 10:30]).all() and (shown[:10] != NOISE[0, :10]).any() and (shown[30:] != NOISE[0, 30:]).any()
