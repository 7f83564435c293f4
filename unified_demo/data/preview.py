"""``python -m unified_demo.data preview``: a contact sheet of composed scenes, clips, edits or renders, with boxes and names drawn.

For eyes, not for training: whoever changes how data is made looks at its pictures first.
"""

import argparse
import logging
import random
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from unified_demo.data.augment import augment
from unified_demo.data.catalogue import Catalogue, read_catalogue
from unified_demo.data.clips import Clip, draw_clip
from unified_demo.data.compose import Composed, Mask, render_plan
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.edits import KINDS, Edit, draw_edit
from unified_demo.data.plans import ScenePlan, draw_plan
from unified_demo.errors import MediaError
from unified_demo.grammar import Box

logger = logging.getLogger(__name__)

CELL = 320
INKS = ((230, 60, 60), (40, 140, 240), (40, 180, 80), (240, 160, 20), (170, 80, 220), (20, 180, 190), (240, 90, 170), (120, 110, 40))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assets", type=Path, required=True, help="folder that 'fetch' wrote")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--kind", choices=("scenes", "clips", "edits", "renders"), default="scenes")
    parser.add_argument("--part", choices=("train", "held_out"), default="train")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--augment", type=float, default=0.0, help="strength of photographic augmentation, 0 to 1")


def main(arguments: argparse.Namespace) -> None:
    """Write the sheet and log how fast its pictures were made."""
    catalogue = read_catalogue(arguments.assets)
    library = CutoutLibrary(arguments.assets, catalogue)
    rng = random.Random(arguments.seed)
    started, worked = time.perf_counter(), time.process_time()
    if arguments.kind == "scenes":
        cells = [_scene(rng, catalogue, library, arguments) for _ in range(arguments.count)]
    elif arguments.kind == "clips":
        cells = [
            cell for _ in range(max(1, arguments.count // 4)) for cell in _clip_cells(draw_clip(rng, catalogue, library, arguments.part))
        ]
    elif arguments.kind == "edits":
        made = [
            draw_edit(rng, catalogue, library, arguments.part, kind=KINDS[number % len(KINDS)]) for number in range(arguments.count // 2)
        ]
        cells = [cell for edit in made for cell in _edit_cells(edit)]
    else:
        cells = _render_cells(arguments.assets, rng, arguments.count)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - worked
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    logger.info("%d pictures in %.1f s (%.1f s of one core), %.0f MB at most", len(cells), wall_s, cpu_s, peak_mb)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(cells, 4).save(arguments.out)


def contact_sheet(cells: Sequence[Image.Image], columns: int) -> Image.Image:
    """Cells side by side, each fitted into CELL x CELL."""
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * CELL, max(1, rows) * CELL), (40, 40, 44))
    for number, cell in enumerate(cells):
        small = cell.copy()
        small.thumbnail((CELL - 6, CELL - 6))
        sheet.paste(small, (number % columns * CELL + 3, number // columns * CELL + 3))
    return sheet


def _scene(rng: random.Random, catalogue: Catalogue, library: CutoutLibrary, arguments: argparse.Namespace) -> Image.Image:
    plan = draw_plan(rng, catalogue, arguments.part)
    composed = render_plan(plan, library)
    picture = augment(composed.image, rng, arguments.augment)
    return annotated(picture, composed.boxes, [item.noun for item in plan.objects], composed.masks, links_in_words(plan))


def links_in_words(plan: ScenePlan) -> str:
    return "; ".join(f"{plan.objects[first].noun} {word} {plan.objects[second].noun}" for first, word, second in plan.links)


def annotated(
    picture: Image.Image, boxes: Sequence[Box | None], names: Sequence[str], masks: Sequence[Mask] = (), title: str = ""
) -> Image.Image:
    """A copy with boxes, names and the outlines of masks drawn."""
    out = picture.convert("RGB")
    pixels = np.asarray(out).copy()
    for number, mask in enumerate(masks):
        pixels[_outline(mask)] = INKS[number % len(INKS)]
    out = Image.fromarray(pixels)
    pen = ImageDraw.Draw(out)
    for number, (box, name) in enumerate(zip(boxes, names, strict=True)):
        if box is None:
            continue
        ink = INKS[number % len(INKS)]
        x0, y0, x1, y1 = box.x0 * out.width, box.y0 * out.height, box.x1 * out.width - 1, box.y1 * out.height - 1
        pen.rectangle((x0, y0, x1, y1), outline=ink)
        _label(pen, x0, y0 - 11, name, ink)
    _label(pen, 0, out.height - 12, title, (0, 0, 0))
    return out


def _label(pen: ImageDraw.ImageDraw, x: float, y: float, words: str, ink: tuple[int, int, int]) -> None:
    if words:
        bounds = pen.textbbox((x, max(0, y)), words)
        pen.rectangle(bounds, fill=ink)
        pen.text((x, max(0, y)), words, fill="white")


def _outline(mask: Mask) -> Mask:
    """Pixels of the mask that touch others."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


def _clip_cells(clip: Clip) -> list[Image.Image]:
    """Four frames of a clip, the masklets drawn."""
    names = [item.noun for item in clip.plan.scene.objects]
    words = "; ".join(f"{names[motion.thing]} {motion.words}" for motion in clip.plan.motions)
    cells = []
    for number in np.linspace(0, len(clip.frames) - 1, 4).round().astype(int):
        composed: Composed = clip.frames[number]
        cells.append(annotated(composed.image, composed.boxes, names, composed.masks, f"{number}: {words}"))
    return cells


def _edit_cells(edit: Edit) -> list[Image.Image]:
    """Before with the thing's box, after with what changed."""
    before = annotated(edit.before, [edit.box], [edit.kind], title=edit.summary())
    return [before, annotated(edit.after, [], [], [edit.changed] if edit.changed is not None else [])]


def _render_cells(assets: Path, rng: random.Random, count: int) -> list[Image.Image]:
    """Colour, depth and normals of models from several sides."""
    from unified_demo.data.cataloguing import furniture_models
    from unified_demo.data.renders import Camera, Renderer, load_model

    models = list(furniture_models(assets / "sweethome3d-furniture", assets / "furniture"))
    if not models:
        raise MediaError(f"{assets} has no models; fetch sweethome3d-furniture.")
    cells = []
    for row in rng.sample(models, min(len(models), max(1, count // 4))):
        renderer = Renderer(load_model(row["model"], row["size_m"], row["rotation"]))
        views = [renderer.view(Camera(azimuth)) for azimuth in (30.0, 150.0)]
        title = f"{row['name'].noun} {row['size_m'][0]:.2f} x {row['size_m'][1]:.2f} x {row['size_m'][2]:.2f} m"
        cells += [annotated(_on_gray(view.rgb, view.alpha), [], [], title=title) for view in views]
        cells.append(annotated(Image.fromarray(_depth_tone(views[0].depth)), [], [], title=f"{views[0].depth.max():.2f} m at most"))
        cells.append(Image.fromarray(((views[0].normals + 1) * 127.5).astype(np.uint8)))
    return cells


def _on_gray(rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray((rgb * alpha[..., None] + 205 * (1 - alpha[..., None])).astype(np.uint8))


def _depth_tone(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Near is light, far is dark, nothing is black."""
    seen = depth > 0
    tone = np.zeros(depth.shape, np.uint8)
    if seen.any():
        low, high = depth[seen].min(), depth[seen].max()
        tone[seen] = (255 - 200 * (depth[seen] - low) / max(high - low, 1e-6)).astype(np.uint8)
    return np.repeat(tone[..., None], 3, axis=2)
