"""From a plan to pixels: background, shadows, cut-outs from back to front, and exactly which pixels each thing shows.

Backgrounds are photographs or drawn ones. Masks are the truth: boxes are the bounds of what is visible, never those of the plan.
Augmentation of the finished picture is in ``augment``.
"""

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from unified_demo.data.cutouts import SOLID, CutoutLibrary
from unified_demo.data.layouts import SKY
from unified_demo.data.plans import Placed, ScenePlan
from unified_demo.errors import MediaError
from unified_demo.grammar import Box

Mask = npt.NDArray[np.bool_]
HIDDEN = 0.02
"""A thing of which less than this share is visible counts as not there: its box is None."""


@dataclass(frozen=True)
class Composed:
    """``image`` RGB; per object of the plan: ``masks`` (H, W) visible pixels, ``boxes`` their bounds or None when (nearly) nothing of

    it is visible, ``visible`` the visible share 0..1 of its pixels.
    """

    image: Image.Image
    masks: tuple[Mask, ...]
    boxes: tuple[Box | None, ...]
    visible: tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """A thing ready to be laid on: RGBA and its left upper corner in pixels."""

    sprite: Image.Image
    left: int
    top: int

    def solid(self) -> Mask:
        """(h, w) of the sprite: the pixels that belong to the thing."""
        return np.asarray(self.sprite.getchannel("A")) >= SOLID


def render_plan(plan: ScenePlan, library: CutoutLibrary) -> Composed:
    """The picture of a plan; the same for the same plan and files. MediaError names a cut-out or background that cannot be used."""
    layers = [layer_of(item, plan, library) for item in plan.objects]
    return lay(background_of(plan, library), layers, shadows_of(plan))


def layer_of(item: Placed, plan: ScenePlan, library: CutoutLibrary) -> Layer:
    """The cut-out fitted to the box of the plan, in whole pixels."""
    left, top = round(item.box.x0 * plan.width), round(item.box.y0 * plan.height)
    size = (max(2, round(item.box.x1 * plan.width) - left), max(2, round(item.box.y1 * plan.height) - top))
    return Layer(library.placed(item.cutout, item.colour, item.flip, item.turn_deg, size), left, top)


IN_THE_AIR = 0.63
"""Flying things whose box ends above this height throw no shadow that one sees."""


def shadows_of(plan: ScenePlan) -> list[float]:
    """Strength 0..1 of the soft shadow under each object; what flies or is held has none."""
    strength = random.Random(plan.seed).uniform(0.25, 0.5)
    held = {thing for _, word, thing in plan.links if word == "holding"}
    flying = [item.category in SKY and item.box.y1 < IN_THE_AIR for item in plan.objects]
    return [0.0 if flies or index in held else strength for index, flies in enumerate(flying)]


def lay(background: Image.Image, layers: list[Layer], shadows: list[float]) -> Composed:
    """Layers from back to front on the background; ``background`` is not changed."""
    canvas = background.copy()
    size = (canvas.height, canvas.width)
    owner = np.full(size, -1, np.int32)
    areas = []
    for number, (layer, strength) in enumerate(zip(layers, shadows, strict=True)):
        if (shadow := shadow_patch(layer, strength)) is not None:
            canvas.paste((12, 12, 18), shadow[1], shadow[0])
        canvas.paste(layer.sprite, (layer.left, layer.top), layer.sprite)
        rows, columns, cut = _window(layer, size)
        solid = layer.solid()
        areas.append(int(solid.sum()))
        owner[rows, columns][solid[cut]] = number
    masks = tuple(owner == number for number in range(len(layers)))
    counts = np.bincount(owner[owner >= 0], minlength=len(layers)) if layers else np.zeros(0, int)
    visible = tuple(float(counts[number]) / max(area, 1) for number, area in enumerate(areas))
    boxes = tuple(mask_box(mask) if share >= HIDDEN else None for mask, share in zip(masks, visible, strict=True))
    return Composed(canvas, masks, boxes, visible)


def mask_box(mask: Mask) -> Box | None:
    """Bounds of the true pixels of (H, W), normalised; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    height, width = mask.shape
    return Box(float(columns[0] / width), float(rows[0] / height), float((columns[-1] + 1) / width), float((rows[-1] + 1) / height))


def _window(layer: Layer, size: tuple[int, int]) -> tuple[slice, slice, tuple[slice, slice]]:
    """Where a layer lies in the picture, and which part of it does."""
    height, width = size
    x0, y0 = max(0, layer.left), max(0, layer.top)
    x1, y1 = min(width, layer.left + layer.sprite.width), min(height, layer.top + layer.sprite.height)
    x1, y1 = max(x0, x1), max(y0, y1)
    return slice(y0, y1), slice(x0, x1), (slice(y0 - layer.top, y1 - layer.top), slice(x0 - layer.left, x1 - layer.left))


def shadow_patch(layer: Layer, strength: float) -> tuple[Image.Image, tuple[int, int]] | None:
    """A soft dark patch (L) where the thing stands, as of light from above, and its corner; None when nothing stands."""
    height = layer.sprite.height
    low = layer.solid()[int(height * 0.8) :]
    columns = np.flatnonzero(low.any(0)) if low.size and strength else np.zeros(0, int)
    if not len(columns):
        return None
    left, span = int(columns[0]), int(columns[-1]) + 1 - int(columns[0])
    thick = max(4, int(min(height, span) * 0.16))
    blur = max(1.5, thick * 0.35)
    margin = int(3 * blur) + 1
    size = (span + 2 * margin, thick + 2 * margin)
    coarse = max(1, int(blur))  # so soft a patch is drawn small, much faster
    patch = Image.new("L", (-(-size[0] // coarse), -(-size[1] // coarse)))
    corners = (margin, margin, margin + span - 1, margin + thick - 1)
    ImageDraw.Draw(patch).ellipse(tuple(value / coarse for value in corners), fill=int(255 * strength))
    patch = patch.filter(ImageFilter.GaussianBlur(blur / coarse)).resize(size, Image.Resampling.BILINEAR)
    return patch, (layer.left + left - margin, layer.top + height - margin - int(thick * 0.62))


def touched(layer: Layer, strength: float, size: tuple[int, int]) -> Mask:
    """(H, W) of ``size``: every pixel that the layer or its shadow may change."""
    canvas = Image.new("L", (size[1], size[0]))
    if (shadow := shadow_patch(layer, strength)) is not None:
        canvas.paste(255, shadow[1], shadow[0].point([0] + [255] * 255))
    alpha = layer.sprite.getchannel("A")
    canvas.paste(255, (layer.left, layer.top), alpha.point([0] + [255] * 255))
    return np.asarray(canvas) > 0


# ---- backgrounds ----


def background_of(plan: ScenePlan, library: CutoutLibrary) -> Image.Image:
    """RGB background of a plan at its size; MediaError for a key of unknown kind."""
    kind, _, name = plan.background.partition(":")
    if kind == "photo":
        return _photograph(library.background(plan.background), plan)
    if kind == "drawn":
        return draw_background(name, plan.width, plan.height, plan.seed)
    raise MediaError(f"'{plan.background}' is no background; 'photo:<name>' and 'drawn:<kind>' are.")


def _photograph(photo: Image.Image, plan: ScenePlan) -> Image.Image:
    """Cut to the plan's shape at a place of chance and scaled; a little out of focus, as backgrounds are."""
    rng = random.Random(plan.seed)
    aspect = plan.width / plan.height
    near = rng.uniform(0.65, 1.0)
    width = max(2, round(min(photo.width, photo.height * aspect) * near))
    height = min(photo.height, max(2, round(width / aspect)))
    left, top = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
    picture = photo.crop((left, top, left + width, top + height))
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.resize((plan.width, plan.height), Image.Resampling.BICUBIC)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.0)))


HUES = {
    "meadow": (((120, 180, 235), (215, 235, 250)), ((130, 185, 90), (70, 130, 55))),
    "street": (((165, 190, 215), (225, 228, 230)), ((150, 150, 152), (95, 95, 100))),
    "room": (((232, 222, 205), (244, 238, 226)), ((190, 150, 110), (150, 110, 78))),
    "table": (((200, 205, 210), (226, 228, 230)), ((205, 170, 125), (170, 130, 90))),
    "beach": (((95, 170, 225), (200, 230, 245)), ((238, 220, 175), (215, 190, 140))),
    "dusk": (((70, 60, 120), (240, 150, 110)), ((70, 75, 85), (40, 42, 55))),
}
"""Kind -> (upper part from top to horizon, lower part from horizon to bottom), RGB."""


def draw_background(kind: str, width: int, height: int, seed: int) -> Image.Image:
    """A simple drawn background: sky and ground with a horizon and texture, or a plain, dotted or striped paper."""
    rng = np.random.default_rng(seed)
    if kind in HUES:
        pixels = _sky_and_ground(rng, *HUES[kind], width, height)
    elif kind in ("plain", "dots", "stripes"):
        pixels = _paper(rng, kind, width, height)
    else:
        raise MediaError(f"There is no drawn background '{kind}'.")
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _sky_and_ground(rng: np.random.Generator, upper: tuple, lower: tuple, width: int, height: int) -> npt.NDArray[np.float32]:
    horizon = int(height * rng.uniform(0.38, 0.52))
    shift = rng.uniform(-18, 18, 3)
    pixels = np.empty((height, width, 3), np.float32)
    for rows, (first, last) in ((slice(0, horizon), upper), (slice(horizon, height), lower)):
        share = np.linspace(0, 1, rows.stop - rows.start, dtype=np.float32)[:, None]
        pixels[rows] = ((1 - share) * np.array(first) + share * np.array(last) + shift)[:, None]
    pixels += 10 * _cloudy(rng, width, height, 5)[..., None]
    ground = _cloudy(rng, width, height, 40)[..., None] * np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    pixels[horizon:] += 16 * ground[horizon:]
    return pixels


def _paper(rng: np.random.Generator, kind: str, width: int, height: int) -> npt.NDArray[np.float32]:
    base, accent = rng.uniform(150, 240, 3), rng.uniform(-45, 45, 3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if kind == "dots":
        step = rng.uniform(24, 60)
        pattern = ((x % step - step / 2) ** 2 + (y % step - step / 2) ** 2 < (step * 0.2) ** 2).astype(np.float32)
    elif kind == "stripes":
        angle, step = rng.uniform(0, np.pi), rng.uniform(24, 70)
        pattern = ((x * np.cos(angle) + y * np.sin(angle)) % step < step / 2).astype(np.float32)
    else:
        pattern = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) / max(width, height)
    return base + pattern[..., None] * accent + 3 * _cloudy(rng, width, height, 60)[..., None]


def _cloudy(rng: np.random.Generator, width: int, height: int, cells: int) -> npt.NDArray[np.float32]:
    """Smooth noise about -1..1 with so many cells across."""
    small = rng.uniform(0, 255, (max(2, cells * height // width), cells)).astype(np.uint8)
    smooth = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 127.5 - 1
