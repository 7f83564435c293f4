"""Pictures of data for people: point clouds shaded from three sides, depth and activity in perceptual colours, motion as curves.

A ``Signal`` in, a PIL RGB picture out, always the same for the same values, on a dark ground that fits light and dark pages. Nothing is
read or stored here.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unified_demo.grammar import MediaKind
from unified_demo.signals import Signal

GROUND, LINE, INK = (18, 20, 24), (52, 56, 64), (196, 201, 210)
HOLE = (40, 43, 50)
MOST_SIDE = 1024
"""Pixels of the longer side of a map; smaller ones are enlarged by whole numbers up to LEAST_SIDE."""
LEAST_SIDE = 256
MOST_POINTS = 300_000
"""Points that are drawn; of more, evenly chosen ones."""
MOST_SLICES = 24
VIEW = 560
"""Pixels of the large view of a point cloud; the two small ones stand beside it."""
ROBUST = (1.0, 99.0)
"""Percentiles between which colours change, so that a few far values do not take them all."""
_VIRIDIS = "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725"
_COOL_WARM = "3b4cc0 6788ee 9abbff c9d7f0 dddddd f2cab5 f7a889 e26952 b40426"
_CURVES = ((255, 122, 112), (104, 205, 138), (98, 168, 255))
"""Of x, y and z."""


def draw_preview(signal: Signal) -> Image.Image:
    """RGB, at most MOST_SIDE wide and high."""
    draw: dict[MediaKind, Callable[[Signal], Image.Image]] = {
        MediaKind.POINTS: lambda given: draw_points(given.values),
        MediaKind.DEPTH: lambda given: draw_depth(given.values),
        MediaKind.NORMALS: lambda given: draw_normals(given.values),
        MediaKind.IMU: lambda given: draw_motion(given.values, given.duration_s),
        MediaKind.FMRI: lambda given: draw_activity(given.values),
    }
    return draw[signal.kind](signal)


# ---- maps ----


def draw_depth(depth: np.ndarray) -> Image.Image:
    """(H, W), NaN: a hole. Near is bright."""
    return _sized(_colours(1 - _stretched(depth), _VIRIDIS))


def draw_normals(normals: np.ndarray) -> Image.Image:
    """(H, W, 3) in -1..1, NaN: a hole; x red, y green, z blue."""
    holes = np.isnan(normals).any(-1)
    pixels = np.where(holes[..., None], HOLE, (np.nan_to_num(normals) + 1) * 127.5).clip(0, 255)
    return _sized(pixels.round().astype(np.uint8))


def draw_activity(voxels: np.ndarray) -> Image.Image:
    """(n,): rows of voxels in the file's order, low blue and high red; (x, y, z): slices along z, the lowest first, front up."""
    if voxels.ndim == 1:
        return _sized(_colours(_stretched(_rows_of(voxels)), _COOL_WARM))
    voxels = _cropped(voxels)
    chosen = np.unique(np.linspace(0, voxels.shape[2] - 1, min(voxels.shape[2], MOST_SLICES)).round().astype(int))
    slices = np.pad(np.moveaxis(_stretched(voxels)[:, ::-1, chosen], 2, 0).swapaxes(1, 2), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    columns = _columns(len(slices), slices.shape[2] / slices.shape[1])
    rows = -(-len(slices) // columns)
    room = np.full((rows * columns, *slices.shape[1:]), np.nan, np.float32)
    room[: len(slices)] = slices
    mosaic = room.reshape(rows, columns, *slices.shape[1:]).swapaxes(1, 2).reshape(rows * slices.shape[1], -1)
    grey = np.nan_to_num(mosaic)[..., None] * (255 - np.array(GROUND)) + GROUND
    return _sized(grey.round().astype(np.uint8))


def _cropped(voxels: np.ndarray) -> np.ndarray:
    """Without what is empty around the activity; all of it when there is none."""
    there = np.nan_to_num(voxels) != 0
    if not there.any():
        return voxels
    sides = [np.flatnonzero(there.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return voxels[tuple(slice(side[0], side[-1] + 1) for side in sides)]


def _columns(count: int, aspect: float) -> int:
    """Of a mosaic of ``count`` pictures, each ``aspect`` times as wide as high, so that it is about 1.6 times as wide as high."""
    return int(np.clip(round((count * 1.6 / aspect) ** 0.5), 1, count))


def _rows_of(values: np.ndarray) -> np.ndarray:
    """(n,) -> rows, about three times as wide as high, filled up with NaN."""
    width = int(np.ceil((3 * len(values)) ** 0.5))
    filled = np.full(-(-len(values) // width) * width, np.nan, np.float32)
    filled[: len(values)] = values
    return filled.reshape(-1, width)


def _stretched(values: np.ndarray) -> np.ndarray:
    """0..1 between the ROBUST percentiles, NaN stays."""
    low, high = np.nanpercentile(values, ROBUST)
    with np.errstate(invalid="ignore"):
        return ((values - low) / max(high - low, 1e-12)).clip(0, 1).astype(np.float32)


def _colours(shares: np.ndarray, scale: str) -> np.ndarray:
    """0..1, NaN: a hole -> uint8 (..., 3)."""
    table = _scale(scale)
    picked = table[(np.nan_to_num(shares) * (len(table) - 1)).round().astype(int)]
    return np.where(np.isnan(shares)[..., None], np.array(HOLE, np.uint8), picked)


@cache
def _scale(colours: str) -> np.ndarray:
    """256 colours between those named, uint8."""
    stops = np.array([[int(colour[at : at + 2], 16) for at in (0, 2, 4)] for colour in colours.split()], float)
    places = np.linspace(0, len(stops) - 1, 256)
    return np.stack([np.interp(places, range(len(stops)), stops[:, channel]) for channel in range(3)], -1).round().astype(np.uint8)


def _sized(pixels: np.ndarray) -> Image.Image:
    """Reduced to MOST_SIDE, or enlarged by a whole number so that each value stays a square."""
    image = Image.fromarray(pixels)
    longer = max(image.size)
    if longer > MOST_SIDE:
        return image.resize((_part(image.width, longer), _part(image.height, longer)), Image.Resampling.LANCZOS)
    times = max(min(-(-LEAST_SIDE // min(image.size)), MOST_SIDE // longer), 1)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _part(side: int, longer: int) -> int:
    return max(round(side * MOST_SIDE / longer), 1)


# ---- point clouds ----


def draw_points(points: np.ndarray) -> Image.Image:
    """(n, 3 or more): from a corner, from the front (x, z) and from above (x, y); z is up. In the colours of the points, else by height."""
    chosen = points[:: -(-len(points) // MOST_POINTS)]
    places = chosen[:, :3] - (points[:, :3].max(0) + points[:, :3].min(0)) / 2
    places = places / max(float(np.linalg.norm(places, axis=1).max()), 1e-12)
    coloured = points.shape[1] == 6 and points[:, 3:].min() >= 0 and points[:, 3:].max() <= 1
    colours = chosen[:, 3:] * 255 if coloured else _colours(_stretched(places[:, 2]), _VIRIDIS).astype(np.float32)
    small = VIEW // 2
    sheet = Image.new("RGB", (VIEW + small, VIEW), GROUND)
    sheet.paste(Image.fromarray(_seen(places @ _turned(-35, 28), colours, VIEW)), (0, 0))
    for at, (turn, name) in enumerate((((0, 0), "x z"), ((0, 90), "x y"))):
        sheet.paste(Image.fromarray(_seen(places @ _turned(*turn), colours, small)), (VIEW, at * small))
        pen = ImageDraw.Draw(sheet)
        pen.line([(VIEW, at * small), (VIEW + small, at * small)], LINE)
        pen.text((VIEW + 12, at * small + 10), name, INK, _font(15))
    ImageDraw.Draw(sheet).line([(VIEW, 0), (VIEW, VIEW)], LINE)
    return sheet


def _turned(azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """(3, 3): places @ this are (right, up, towards the viewer)."""
    a, e = np.deg2rad((azimuth_deg, elevation_deg))
    right = np.array((np.cos(a), np.sin(a), 0))
    away = np.array((-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)))
    return np.stack([right, np.cross(right, away), -away], axis=1)


def _seen(seen: np.ndarray, colours: np.ndarray, side: int) -> np.ndarray:
    """Orthographic picture of points (right, up, towards) within the unit ball: the nearest wins, edges in depth are darkened."""
    scale = 0.5 * side * 0.94
    x, y = (side / 2 + scale * seen[:, 0]).astype(int), (side / 2 - scale * seen[:, 1]).astype(int)
    reach = int(np.clip(round(1.4 * side / max(len(seen), 1) ** 0.5), 1, 5)) if len(seen) < side * side else 0
    order = np.argsort(seen[:, 2], kind="stable")
    pixels = np.full((side, side, 3), GROUND, np.float32)
    near = np.full((side, side), -np.inf, np.float32)
    x, y, towards, colours = x[order], y[order], seen[order, 2], colours[order]
    offsets = [(dx, dy) for dx in range(-reach, reach + 1) for dy in range(-reach, reach + 1) if dx * dx + dy * dy <= reach * reach + 1]
    for dx, dy in offsets:
        u, v = (x + dx).clip(0, side - 1), (y + dy).clip(0, side - 1)
        fresh = towards >= near[v, u]
        u, v = u[fresh], v[fresh]
        near[v, u], pixels[v, u] = towards[fresh], colours[fresh]
    return (pixels * _edges(near)[..., None]).round().clip(0, 255).astype(np.uint8)


def _edges(near: np.ndarray) -> np.ndarray:
    """Eye-dome lighting (Boucheny 2009): the more of its surroundings lies in front of a pixel, the darker it is; 0..1."""
    there = np.isfinite(near)
    ahead = np.zeros_like(near)
    for down, across in ((0, 2), (0, -2), (2, 0), (-2, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        beside = np.roll(near, (down, across), (0, 1))
        with np.errstate(invalid="ignore"):
            ahead += np.where(there & np.isfinite(beside), np.maximum(beside - near, 0), 0)
    return np.where(there, np.exp(-6 * ahead / 8), 1.0)


# ---- motion ----


def draw_motion(samples: np.ndarray, duration_s: float = 0.0) -> Image.Image:
    """(t, 6): acceleration above, rotation below, x y z in three colours, over seconds or, where they are unknown, samples."""
    width, height, left, top, between = 1000, 560, 76, 44, 44
    tall = (height - 2 * top - between) // 2
    fine = Image.new("RGB", (2 * width, 2 * height), GROUND)
    pen = ImageDraw.Draw(fine)
    for row, (name, part) in enumerate((("acceleration", samples[:, :3]), ("rotation", samples[:, 3:]))):
        frame = (left, top + row * (tall + between), width - 24, top + row * (tall + between) + tall)
        _axes(pen, frame, part, name, duration_s or float(len(samples) - 1), "s" if duration_s else "samples", row == 1)
        low, high = _span(part)
        for axis, colour in enumerate(_CURVES):
            across, up = _outline(part[:, axis], frame[2] - frame[0])
            places = [(2 * (frame[0] + x), 2 * (frame[3] - (y - low) / (high - low) * tall)) for x, y in zip(across, up, strict=True)]
            pen.line(places, colour, 4, "curve")
            pen.text((2 * (frame[2] - 84 + 30 * axis), 2 * (frame[1] - 26)), "xyz"[axis], colour, _font(32))
    return fine.resize((width, height), Image.Resampling.LANCZOS)


def _axes(
    pen: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], part: np.ndarray, name: str, end: float, unit: str, last: bool
) -> None:
    """Frame, grid and numbers of one plot."""
    left, top, right, bottom = (2 * place for place in frame)
    low, high = _span(part)
    pen.text((left, top - 52), name, INK, _font(32))
    for value in _ticks(low, high):
        y = bottom - (value - low) / (high - low) * (bottom - top)
        pen.line([(left, y), (right, y)], LINE, 2)
        pen.text((left - 16, y), f"{value:g}", INK, _font(26), "rm")
    pen.line([(left, top), (left, bottom), (right, bottom)], LINE, 3)
    for value in _ticks(0.0, end) if last else ():
        x = left + value / end * (right - left)
        pen.line([(x, bottom), (x, bottom + 10)], LINE, 3)
        words = f"{value:g} {unit}" if value == 0 else f"{value:g}"
        pen.text((x, bottom + 18), words, INK, _font(26), "la" if value == 0 else "ma")


def _span(part: np.ndarray) -> tuple[float, float]:
    """Lowest and highest place of a plot, a little room around the values."""
    low, high = float(part.min()), float(part.max())
    room = 0.06 * (high - low) or max(abs(high), 1.0)
    return low - room, high + room


def _ticks(low: float, high: float) -> Sequence[float]:
    """About four round numbers in between."""
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (times * step) <= 5)
    return [float(f"{index * step:.6g}") for index in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _outline(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a curve, 0..width; of many samples the lowest and the highest in each pixel."""
    count = len(values)
    if count <= 2 * width:
        return np.linspace(0, width, count), values
    edges = np.linspace(0, count, width + 1).astype(int)[:-1]
    pair = np.stack([np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)], 1)
    return np.repeat(np.linspace(0, width, width), 2), pair.reshape(-1)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
