"""Segmentation of pictures and videos by words and boxes: Grounding DINO finds, SAM 2 outlines and follows. In place of SEEM.

SEEM, which UnifiedMLLM names, needs CUDA operators of its own and is not in transformers. One SAM 2 video network serves both
tasks: a picture is a video of one frame. Pictures are prepared here, for the processors of SAM 2 in transformers want torchvision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import ExpertRequest, Output, Progress
from unified_demo.grammar import Box, MediaKind
from unified_demo.media import load_image, load_video, mask_to_box
from unified_demo.recordings import Video

MOST_FRAMES = 96
"""A longer video is thinned to this many frames, evenly."""
FOUND = 0.3
"""A detection counts from this score on (the value its authors use)."""
SAME_THING = 0.4
"""The detector's box replaces the language model's when they overlap at least this much (IoU)."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_COLOURS = ((255, 80, 60), (60, 150, 255), (70, 200, 90), (255, 190, 40), (190, 90, 255), (60, 210, 210))


@dataclass(frozen=True)
class Wanted:
    """A thing to outline: its words, its box, and the frame in which the box lies."""

    label: str
    box: Box
    frame: int = 0


class Finder:
    """Grounding DINO (arXiv 2303.05499): words -> boxes in a picture."""

    def __init__(self, network: Any, processor: Any) -> None:
        self._network, self._processor = network, processor

    @torch.no_grad()
    def find(self, image: Image.Image, phrase: str) -> list[Box]:
        """Boxes of what the phrase means, best first; empty when nothing is found."""
        text = phrase.lower().strip(" .") + "."
        inputs = self._processor(images=image, text=text, return_tensors="pt").to(self._network.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self._network.dtype)
        output = self._network(**inputs)
        scores = output.logits[0].float().sigmoid().amax(-1)
        boxes = [_box(*output.pred_boxes[0, index].float().tolist()) for index in scores.argsort(descending=True) if scores[index] >= FOUND]
        return [box for box in boxes if box is not None]


def _box(x: float, y: float, width: float, height: float) -> Box | None:
    x0, y0, x1, y1 = max(x - width / 2, 0.0), max(y - height / 2, 0.0), min(x + width / 2, 1.0), min(y + height / 2, 1.0)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


class Outliner:
    """SAM 2 (arXiv 2408.00714): boxes -> masks, through all frames."""

    def __init__(self, network: Any) -> None:
        self._network = network
        size = network.config.image_size
        self._side = size if isinstance(size, int) else size[0]

    def follow(self, frames: np.ndarray, wanted: Sequence[Wanted]) -> Iterator[tuple[int, np.ndarray]]:
        """``frames`` uint8 T x H x W x 3 -> (frame number, bool things x H x W), first forwards from the earliest box, then backwards."""
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        network = self._network
        height, width = frames.shape[1:3]
        prepared = torch.stack([self._prepare(frame) for frame in frames])
        session = Sam2VideoInferenceSession(prepared, height, width, inference_device=network.device, dtype=network.dtype)
        for number, thing in enumerate(wanted):
            corners = torch.tensor(thing.box.as_tuple()).reshape(1, 1, 2, 2) * self._side
            points = {"point_coords": corners, "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32)}
            session.add_point_inputs(session.obj_id_to_idx(number), thing.frame, points)
            session.obj_with_new_inputs = [*session.obj_with_new_inputs, number]
            with torch.no_grad():
                network(session, frame_idx=thing.frame)
        first = min(thing.frame for thing in wanted)
        for order, reverse in ((range(first, len(frames)), False), (range(first - 1, -1, -1), True)):
            for index in order:
                with torch.no_grad():
                    masks = network(session, frame_idx=index, reverse=reverse).pred_masks.float()
                    large = torch.nn.functional.interpolate(masks, (height, width), mode="bilinear", align_corners=False)
                yield index, (large[:, 0] > 0).cpu().numpy()

    def _prepare(self, frame: np.ndarray) -> torch.Tensor:
        """3 x side x side, normalised as the network was trained."""
        image = Image.fromarray(frame).resize((self._side, self._side), Image.Resampling.BILINEAR)
        values = (np.asarray(image, np.float32) / 255 - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
        return torch.from_numpy(values.transpose(2, 0, 1))


class _GroundedSam:
    def __init__(self, finder: Finder, outliner: Outliner) -> None:
        self._finder, self._outliner = finder, outliner

    def move_to(self, device: str) -> None:
        for part in (self._finder, self._outliner):
            part._network.to(device)

    def _grounded(self, image: Image.Image, wanted: Wanted) -> Wanted:
        """The same thing with the detector's box, where both mean the same."""
        near = [box for box in self._finder.find(image, wanted.label) if box.iou(wanted.box) >= SAME_THING]
        best = max(near, key=wanted.box.iou, default=wanted.box)
        return Wanted(wanted.label, best, wanted.frame)


class GroundedSegmentation(_GroundedSam):
    """One mask per region of a picture."""

    def run(self, request: ExpertRequest) -> Iterator[Progress | Output]:
        """A Progress for each region that was found, then the masks that hold something. ExpertError when none does."""
        asked = _wanted(request, MediaKind.IMAGE, 1)
        picture = request.inputs[0]
        image = load_image(picture)
        steps = len(asked) + 1
        found = []
        for step, wanted in enumerate(asked, 1):
            yield Progress(step - 1, steps, f"finding {wanted.label}")
            if request.cancel.is_set():
                return
            found.append(self._grounded(image, wanted))
        yield Progress(steps - 1, steps, "outlining")
        ((_, masks),) = self._outliner.follow(np.asarray(image)[None], found)
        yield Progress(steps, steps, "outlining")
        if not masks.any():
            raise ExpertError(f"Nothing could be outlined where {found[0].label or 'the thing'} should be; please mark a larger region.")
        for thing, mask in zip(found, masks, strict=True):
            if mask.any():
                area = round(float(mask.mean()), 4)
                yield Output(MediaKind.MASK, mask, of=picture.id, label=thing.label, box=thing.box, recipe={"area": area})


class GroundedTracking(_GroundedSam):
    """A masklet per region of a video, and the video with the things coloured in."""

    def run(self, request: ExpertRequest) -> Iterator[Progress | Output]:
        """A Progress per frame, eight of them with a preview. A region's time span says in which frame its box lies, else the first."""
        source = request.inputs[0] if request.inputs else None
        asked = _wanted(request, MediaKind.VIDEO, MOST_FRAMES)
        assert source is not None
        video = load_video(source, MOST_FRAMES)
        count = len(video.frames)
        found = []
        for wanted in asked:
            yield Progress(0, count, f"finding {wanted.label}")
            if request.cancel.is_set():
                return
            at = min(wanted.frame, count - 1)
            found.append(self._grounded(Image.fromarray(video.frames[at]), Wanted(wanted.label, wanted.box, at)))
        masklets = np.zeros((len(found), *video.frames.shape[:3]), bool)
        for step, (index, masks) in enumerate(self._outliner.follow(video.frames, found), 1):
            if request.cancel.is_set():
                return
            masklets[:, index] = masks
            preview = Image.fromarray(coloured(video.frames[index], masks)) if step % max(count // 8, 1) == 0 else None
            yield Progress(step, count, "following", preview)
        if not masklets.any():
            raise ExpertError("Nothing could be followed from this region; please mark a larger one, or name another moment.")
        yield from self._outputs(source.id, video, found, masklets)

    def _outputs(self, of: str, video: Video, found: list[Wanted], masklets: np.ndarray) -> Iterator[Output]:
        for thing, masklet in zip(found, masklets, strict=True):
            seen = [index for index, mask in enumerate(masklet) if mask_to_box(mask)]
            recipe = {"frames": len(masklet), "seen_in_frames": len(seen)}
            yield Output(MediaKind.MASK, masklet, of, thing.label, thing.box, recipe, video.fps)
        shown = np.stack([coloured(frame, masklets[:, index]) for index, frame in enumerate(video.frames)])
        yield Output(MediaKind.VIDEO, shown, of, ", ".join(thing.label for thing in found), fps=video.fps)


def coloured(frame: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """uint8 H x W x 3 with each of the bool masks (things x H x W) tinted in a colour of its own."""
    shown = frame.astype(np.float32)
    for number, mask in enumerate(masks):
        shown[mask] = 0.45 * shown[mask] + 0.55 * np.array(_COLOURS[number % len(_COLOURS)], np.float32)
    return shown.round().astype(np.uint8)


def _wanted(request: ExpertRequest, kind: MediaKind, frames: int) -> list[Wanted]:
    """What a request asks for; ExpertError when it lacks its medium or a box."""
    asked = [
        Wanted(region.phrase or request.prompt, box, round(region.spans[0].start * (frames - 1)) if region.spans else 0)
        for region in request.regions
        for box in region.boxes
    ]
    if not request.inputs or request.inputs[0].kind != kind or not asked:
        medium = "picture" if kind == MediaKind.IMAGE else "video"
        raise ExpertError(f"Segmentation got no {medium} or no box; one {medium} and at least one box are needed.")
    return asked


# ---- loading ----


def load_parts(finder: Path, outliner: Path, device: str, dtype: torch.dtype) -> tuple[Finder, Outliner]:
    """From two checkpoints in the hub's layout (``IDEA-Research/grounding-dino-*``, ``facebook/sam2.1-hiera-*``). ModelLoadError."""
    from transformers import AutoImageProcessor, AutoTokenizer, GroundingDinoForObjectDetection, GroundingDinoProcessor, Sam2VideoModel

    try:
        processor = GroundingDinoProcessor(AutoImageProcessor.from_pretrained(finder, backend="pil"), AutoTokenizer.from_pretrained(finder))
        detector = GroundingDinoForObjectDetection.from_pretrained(finder, dtype=dtype)
        network = Sam2VideoModel.from_pretrained(outliner, dtype=dtype)
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise ModelLoadError(f"Grounding DINO or SAM 2 cannot be loaded ({exc}); fetch them again.") from exc
    return Finder(detector.to(device).eval(), processor), Outliner(network.to(device).eval())
