"""The benchmark ``video``: following a thing through a clip, J and F as DAVIS measures them.

Clips in DAVIS's layout: ``JPEGImages/<clip>/*.jpg`` (or png) and ``Annotations/<clip>/*.png``, where 0 is background and each other value
one object; ``data clips`` composes some. The expert gets the clip as a video and the first true box; beside it that mask, held still.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from unified_demo.data.footage import FRAMES, MASKS
from unified_demo.engine import Engine
from unified_demo.errors import MediaError
from unified_demo.evaluation.benchmark import ALL, Context, NotReady, Result, Row, stratified
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.expert_runs import call_expert, no_expert, offered
from unified_demo.evaluation.video_metrics import Masklet, VideoScore, masklet_score, mean_score
from unified_demo.grammar import Box, Task
from unified_demo.media import MediaStore, mask_to_box

MEASURES = {"J&F": "mean of J and F", "J": "region similarity (mask IoU)", "F": "boundary accuracy", "errors": "clips without an output"}
FPS = 24.0


@dataclass(frozen=True)
class Clip:
    """One object of one clip: its frames in order, and its masks, frames x H x W."""

    name: str
    frames: tuple[Path, ...]
    truth: Masklet


class Video:
    name = "video"
    title = "Video segmentation"
    systems = ("expert", "held still")

    def run(self, context: Context) -> Result:
        """Raises NotReady without clips, unless there is no expert that could follow anything."""
        names = context.chosen(self.systems)
        engine = context.subjects.router_only()
        try:
            clips, complaints = read_clips(context.folder("davis", MASKS))
        except NotReady:
            if offered(engine, Task.VIDEO_SEGMENTATION) or "expert" not in names:
                raise
            return Result((no_expert("expert", ALL),), MEASURES)
        chosen = stratified(clips, lambda clip: clip.frames, context.limit)
        rows: list[Row] = []
        samples: list[dict] = []
        store = MediaStore(context.out / "media")
        for name in names:
            if name == "expert" and not offered(engine, Task.VIDEO_SEGMENTATION):
                rows.append(no_expert(name, ALL))
                continue
            scores, errors = [], 0
            tiles: list[Tile] = []
            for clip in chosen:
                masklet, error = follow(clip, engine, store) if name == "expert" else (still(clip), "")
                scores.append(masklet_score(masklet, clip.truth, inner_frames_only=len(clip.truth) > 2))
                errors += bool(error)
                samples.append({"system": name, "clip": clip.name, "J": scores[-1].region, "F": scores[-1].boundary, "error": error})
                tiles.append(_tile(clip, masklet, scores[-1], error))
            draw_sheet(tiles, context.out / f"{name}.webp")
            rows.append(Row(name, ALL, len(chosen), figures(mean_score(scores), errors)))
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))


def follow(clip: Clip, engine: Engine, store: MediaStore) -> tuple[Masklet | None, str]:
    """The expert's masklet and what went wrong. A video has even sides, so that a last row or column of it may lie beyond the frames."""
    video = store.add_video((np.asarray(load(path)) for path in clip.frames), FPS, "vid-1")
    box = mask_to_box(clip.truth[0])
    outputs, error = call_expert(engine, Task.VIDEO_SEGMENTATION, clip.name, {video.id: video}, phrase=clip.name, box=box)
    if not outputs:
        return None, error or "the expert gave nothing"
    given = np.asarray(outputs[-1].value, dtype=bool)
    count, height, width = clip.truth.shape
    if given.shape != (count, video.height, video.width):
        return None, f"the masklet is {given.shape} instead of {(count, video.height, video.width)}"
    return given[:, :height, :width], ""


def _tile(clip: Clip, masklet: Masklet | None, score: VideoScore, error: str) -> Tile:
    """The frame in the middle."""
    place = len(clip.truth) // 2
    truth, mask = clip.truth[place], None if masklet is None else masklet[place]
    box = mask_to_box(truth) or Box(0, 0, 1, 1)
    return Tile(score.both, clip.frames[place], f"{clip.name}\nJ {score.region:.2f}, F {score.boundary:.2f}\n{error}", box, None, mask)


def load(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def still(clip: Clip) -> Masklet:
    """The first true mask in every frame."""
    return np.broadcast_to(clip.truth[0], clip.truth.shape)


def figures(score: VideoScore, errors: int) -> dict[str, float | None]:
    return {"J&F": score.both, "J": score.region, "F": score.boundary, "errors": float(errors)}


def read_clips(folder: Path) -> tuple[list[Clip], list[str]]:
    """Every object that is there in the first frame, and complaints about clips that cannot be read. NotReady without any clip."""
    clips: list[Clip] = []
    complaints: list[str] = []
    for masks in sorted(path for path in (folder / MASKS).iterdir() if path.is_dir()):
        try:
            clips += _objects(masks, folder / FRAMES / masks.name)
        except MediaError as exc:
            complaints.append(str(exc))
    if not clips:
        raise NotReady(f"{folder / MASKS} holds no clip with masks that can be read; name a folder in DAVIS's layout.")
    return clips, complaints


def _objects(masks: Path, frames: Path) -> Iterator[Clip]:
    files = sorted(masks.glob("*.png"))
    pictures = sorted(path for path in frames.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files or len(pictures) != len(files):
        raise MediaError(f"{masks.name} has {len(files)} masks and {len(pictures)} frames; left out.")
    try:
        layers = [np.asarray(Image.open(path)) for path in files]
        sizes = {load(path).size for path in pictures}
    except (OSError, UnidentifiedImageError) as exc:
        raise MediaError(f"A picture of the clip {masks} does not open ({exc}); left out.") from exc
    if any(layer.ndim != 2 or layer.shape != layers[0].shape for layer in layers) or sizes != {layers[0].shape[::-1]}:
        raise MediaError(f"The masks of {masks} are not one channel of the size of the frames; left out.")
    stack = np.stack(layers)
    return (Clip(f"{masks.name} {value}", tuple(pictures), stack == value) for value in np.unique(stack[0]) if value)
