"""The segmentation expert: boxes in a picture -> one crisp mask each, by MobileSAM.

The picture is looked at once and kept in a small cache, so a second mask costs only the decoder (about 0.04 s on two
cores). Weights come from the zoo. Finding the box that a phrase means is the language model's business.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import box_to_pixels, load_image
from unified_demo.messages import Artefact
from unified_demo.zoo import Zoo

if TYPE_CHECKING:
    from unified_demo.experts.mobile_sam import Embedding, MobileSam

log = logging.getLogger(__name__)

ROLE = "segmenter"
KEPT_PICTURES = 8
"""Embeddings kept, 4 MB each."""
BOX_MARGIN = 0.05
"""A mask may stick out of the box asked for by this share of the box's width and height; what lies beyond is cut off."""


class SegmentationExpert:
    """One mask per region box; label = the region's phrase. Keeps the embeddings of the last pictures. Thread-safe."""

    def __init__(self, model: "MobileSam") -> None:
        self._model = model
        self._looking = threading.Lock()
        self._seen: OrderedDict[Path, Embedding] = OrderedDict()

    def prepare(self, inputs: Sequence[Artefact]) -> None:
        """Look at the first picture early, while its box is still being written."""
        if inputs and inputs[0].kind == MediaKind.IMAGE:
            self._embedding(inputs[0])

    def run(self, request: ExpertRequest) -> Iterator[Progress | Output]:
        """Yields one Progress for the look at the picture, and one Progress and one MASK Output for each box."""
        picture, regions = _asked_for(request)
        steps = len(regions) + 1
        yield Progress(0, steps, "looking at the picture")
        if request.cancel.is_set():
            return
        self._embedding(picture)
        yield Progress(1, steps, "outlining")
        for step, (label, box) in enumerate(regions, start=2):
            if request.cancel.is_set():
                return
            mask = self.outline(picture, box)
            if not mask.any():
                raise ExpertError(f"Nothing could be outlined in the box {box.as_tuple()}; please mark a larger region.")
            yield Progress(step, steps, label)
            yield Output(MediaKind.MASK, mask, of=picture.id, label=label, box=box, recipe={"area": round(float(mask.mean()), 4)})

    def outline(self, picture: Artefact, box: Box) -> np.ndarray:
        """Bool H x W at the picture's size, all False when nothing stands out in the box."""
        embedding = self._embedding(picture)
        corners = box_to_pixels(box, embedding.width, embedding.height)
        return within_box(self._model.mask(embedding, corners), corners)

    def _embedding(self, picture: Artefact) -> "Embedding":
        with self._looking:
            if picture.path not in self._seen:
                self._seen[picture.path] = self._model.embed(load_image(picture))
                while len(self._seen) > KEPT_PICTURES:
                    self._seen.popitem(last=False)
            self._seen.move_to_end(picture.path)
            return self._seen[picture.path]


def _asked_for(request: ExpertRequest) -> tuple[Artefact, list[tuple[str, Box]]]:
    """The picture and (label, box) pairs of a request; ExpertError when there is none."""
    pairs = [(region.phrase or request.prompt, box) for region in request.regions for box in region.boxes]
    if not request.inputs or request.inputs[0].kind != MediaKind.IMAGE or not pairs:
        raise ExpertError("Segmentation got no picture or no box; one picture and at least one box are needed.")
    return request.inputs[0], pairs


def within_box(mask: np.ndarray, corners: tuple[float, float, float, float]) -> np.ndarray:
    """Cut off what sticks out of the pixel box by more than ``BOX_MARGIN`` of its size; bool H x W in and out."""
    x0, y0, x1, y1 = corners
    across, down = (x1 - x0) * BOX_MARGIN, (y1 - y0) * BOX_MARGIN
    rows = slice(max(0, int(y0 - down)), int(np.ceil(y1 + down)))
    columns = slice(max(0, int(x0 - across)), int(np.ceil(x1 + across)))
    kept = np.zeros_like(mask)
    kept[rows, columns] = mask[rows, columns]
    return kept


_in_use: WeakValueDictionary[Path, SegmentationExpert] = WeakValueDictionary()
_loading = threading.Lock()


def load_mobile_sam(zoo: Zoo) -> SegmentationExpert:
    """Fetch the weights if need be, convert the pickle to safetensors once, build the model; tasks that use it at once share it."""
    from unified_demo.experts.mobile_sam import MobileSam, convert_checkpoint, fastest_dtype

    path = zoo.converted(ROLE, ".safetensors", convert_checkpoint)
    with _loading:
        expert = _in_use.get(path)
        if expert is None:
            expert = _in_use[path] = SegmentationExpert(MobileSam.from_file(path, fastest_dtype()))
        return expert


def build_specs(zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """The experts of this file; nothing is loaded or fetched here."""
    return (
        ExpertSpec(
            task=Task.IMAGE_SEGMENTATION.value,
            name="MobileSAM",
            description="outlines the thing in a box, pixel by pixel",
            needs=(MediaKind.IMAGE,),
            gives=MediaKind.MASK,
            licence=zoo.file(ROLE).licence,
            weights=(ROLE,),
            memory_bytes=250 * 2**20,
            load=partial(load_mobile_sam, zoo),
        ),
    )
