"""A contact sheet: one tile for each answer, worst first, with the true box, the predicted box and the predicted mask.

Green is the truth, magenta the answer. It draws what it is given and measures nothing.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unified_demo.evaluation.metrics import Mask
from unified_demo.grammar import Box

TILE = 260
CAPTION = 62
COLUMNS = 6
MOST_TILES = 120
"""A WebP picture ends at 16,383 pixels."""
TRUTH = (40, 220, 80)
ANSWER = (255, 40, 220)
TINT = 0.5


@dataclass(frozen=True)
class Tile:
    """One answer. ``rank`` sorts, smallest (worst) first; ``caption`` is one or two short lines."""

    rank: float
    picture: Path
    caption: str
    truth: Box
    answer: Box | None
    mask: Mask | None


def draw_sheet(tiles: Iterable[Tile], path: Path) -> None:
    """Write the worst ``MOST_TILES`` tiles as a WebP or PNG (by the name of ``path``); nothing when there is no tile."""
    chosen = sorted(tiles, key=lambda tile: tile.rank)[:MOST_TILES]
    if not chosen:
        return
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), (24, 24, 24))
    for number, tile in enumerate(chosen):
        sheet.paste(_draw_tile(tile), (number % COLUMNS * TILE, number // COLUMNS * (TILE + CAPTION)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=82)


def _draw_tile(tile: Tile) -> Image.Image:
    with Image.open(tile.picture) as opened:
        picture = opened.convert("RGB")
    scale = (TILE - 6) / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = _tinted(picture.resize(size), tile.mask)
    draw = ImageDraw.Draw(small)
    for box, colour in ((tile.truth, TRUTH), (tile.answer, ANSWER)):
        if box:
            draw.rectangle((box.x0 * size[0], box.y0 * size[1], box.x1 * size[0] - 1, box.y1 * size[1] - 1), outline=colour, width=2)
    framed = Image.new("RGB", (TILE, TILE + CAPTION), (24, 24, 24))
    framed.paste(small, ((TILE - size[0]) // 2, 3))
    lines = [part for line in tile.caption.splitlines() for part in textwrap.wrap(line, 42)]
    ImageDraw.Draw(framed).multiline_text((5, TILE), "\n".join(lines[:4]), fill=(235, 235, 235), font=ImageFont.load_default(12), spacing=2)
    return framed


def _tinted(picture: Image.Image, mask: Mask | None) -> Image.Image:
    if mask is None:
        return picture
    inside = np.asarray(Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST), dtype=bool)
    pixels = np.asarray(picture).astype(np.float32)
    pixels[inside] = pixels[inside] * (1 - TINT) + np.array(ANSWER, np.float32) * TINT
    return Image.fromarray(pixels.astype(np.uint8))
