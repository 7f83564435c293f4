"""Files of data: point clouds, depth maps, surface normals, motion (IMU) and brain activity (fMRI), told apart and checked.

What a file is taken for, in this order; words of the name are those between signs that are no letters ("scan_depth-3.npy"):

| file | taken for |
|---|---|
| ``.ply`` | a point cloud |
| ``.csv`` | motion: six columns, acceleration x y z and rotation x y z (in the order of their names), with or without a time before |
| PNG, greyscale with 16 bits | a depth map, unless the name says photo, picture or scan |
| PNG, greyscale with 8 bits | a depth map when the name says depth or disparity |
| PNG, RGB | surface normals when the name says normals and the vectors have length 1 |
| array named by a word of NAMES | that, if its shape allows it; in an archive the array's name counts as well |
| array N | brain activity, a value for each voxel (also 1 x N and N x 1) |
| array N x 3 .. N x 6 | a point cloud: x y z, and of six columns red green blue |
| array H x W | a depth map |
| array H x W x 3 | surface normals, of length 1 |
| array H x W x 1, 1 x H x W | a depth map |
| array X x Y x Z | brain activity, a volume |

The shapes are those of OneLLM's tokenizers (``model/modality_tokenizers.py``). A file is opened by its content; its name only settles what
a shape leaves open. Values that are no number stand for holes of depth, normals and volumes; such points are left out; motion has none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from unified_demo.arrays import NPY_MAGIC, ZIP_MAGIC, Table, check_count, is_npz, read_npy, read_npz, read_table
from unified_demo.config import Limits
from unified_demo.errors import MediaError
from unified_demo.grammar import MediaKind
from unified_demo.ply import MAGIC as PLY_MAGIC
from unified_demo.ply import read_ply

SUFFIXES = (".ply", ".npy", ".npz", ".csv")
NAMES = {
    MediaKind.DEPTH: ("depth", "depths", "disparity", "disp"),
    MediaKind.NORMALS: ("normal", "normals"),
    MediaKind.POINTS: ("point", "points", "cloud", "pointcloud", "pcd", "lidar", "xyz"),
    MediaKind.IMU: ("imu", "accel", "accelerometer", "gyro", "motion"),
    MediaKind.FMRI: ("fmri", "bold", "brain", "voxel", "voxels"),
}
_PICTURES = ("photo", "picture", "image", "img", "scan", "xray")
_COLOURS = ("colors", "colours", "color", "colour", "rgb")
IMU_COLUMNS = 6
MIN_SIDE = 8
MIN_SAMPLES = 2
UNIT_SHARE, UNIT_SLACK = 0.9, 0.1
"""At least this share of the vectors of surface normals has a length this near 1."""
_FAR = 1e5
"""Places beyond this stay float64, for float32 would blur them."""
_SECONDS = {
    "ms": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "microseconds": 1e-6, "ns": 1e-9, "nanoseconds": 1e-9,
    "s": 1.0, "sec": 1.0, "seconds": 1.0, "time": 1.0, "t": 1.0,
}  # fmt: skip
"""Words in the name of a column of times, and the unit they mean; the smallest one counts ("time_ms")."""
ALLOWED = "point clouds (.ply, .npy, .npz), depth maps and surface normals (.png, .npy, .npz), IMU (.csv, .npy) and fMRI (.npy)"


@dataclass(frozen=True)
class Signal:
    """``values``, float32 (far places float64): POINTS N x 3, 4, 5 or 6 (x y z, of six red green blue 0..1), DEPTH H x W and NORMALS
    H x W x 3 (NaN: a hole), IMU T x 6 (acceleration, rotation), FMRI N or X x Y x Z. ``facts``: shape, low, high and others, for people.

    ``duration_s``: of motion whose file tells the time, else 0.
    """

    kind: MediaKind
    values: np.ndarray
    duration_s: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


def read_signal(path: Path, limits: Limits) -> Signal | None:
    """What is in a visitor's file of data; None when it is none. MediaError, one sentence: what cannot be used, and why."""
    form = _form(path)
    if form is None:
        return None
    if form == "png":
        return _read_png(path, limits) if path.stat().st_size <= limits.data_bytes else None
    if (size := path.stat().st_size) > limits.data_bytes:
        got, allowed = size / 2**20, limits.data_bytes / 2**20
        raise MediaError(f"The file has {got:.0f} MB; at most {allowed:.0f} MB are allowed, so please send a smaller copy.")
    if form == "ply":
        return _points(read_ply(path, limits), limits)
    if form == "csv":
        return _motion_of(read_table(path, limits))
    if form == "npy":
        return _signal_of(read_npy(path, limits), _words(path.stem), limits)
    return _signal_of_several(read_npz(path, limits), _words(path.stem), limits)


def checked(kind: MediaKind, values: np.ndarray, limits: Limits) -> Signal:
    """``values`` as what they are said to be. MediaError when their shape or their numbers do not allow it."""
    return {
        MediaKind.POINTS: lambda: _points(values, limits),
        MediaKind.DEPTH: lambda: _depth(values),
        MediaKind.NORMALS: lambda: _normals(values),
        MediaKind.IMU: lambda: _motion(values),
        MediaKind.FMRI: lambda: _activity(values),
    }[kind]()


# ---- which file, which kind ----


def _form(path: Path) -> str | None:
    """How the file is written, by its first bytes (a table: by its name); None: no file of data."""
    if not path.is_file() or not path.stat().st_size:
        return None
    with path.open("rb") as file:
        head = file.read(16)
    suffix = path.suffix.lower()
    if head.startswith(NPY_MAGIC):
        return "npy"
    if head.startswith(PLY_MAGIC):
        return "ply"
    if head.startswith(ZIP_MAGIC) and (suffix == ".npz" or is_npz(path)):
        return "npz"
    if suffix == ".csv" and b"\x00" not in head:
        return "csv"
    if suffix in SUFFIXES:
        raise MediaError(f"The file is damaged or no {suffix} file; please save it again.")
    return "png" if head.startswith(b"\x89PNG") else None


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))


def _possible(shape: Sequence[int]) -> Iterator[MediaKind]:
    """Kinds that an array of this shape can be, the likeliest first."""
    match tuple(shape):
        case (_,) | (1, _) | (_, 1):
            yield MediaKind.FMRI
        case (rows, columns) if 3 <= columns <= IMU_COLUMNS:
            yield MediaKind.POINTS
            if columns == IMU_COLUMNS and rows >= MIN_SAMPLES:
                yield MediaKind.IMU
        case (height, width) if min(height, width) >= MIN_SIDE:
            yield MediaKind.DEPTH
        case (_, _, 3):
            yield from (MediaKind.NORMALS, MediaKind.FMRI)
        case (_, _, 1) | (1, _, _):
            yield from (MediaKind.DEPTH, MediaKind.FMRI)
        case (channels, _, _):
            yield MediaKind.FMRI
            if channels == 3:
                yield MediaKind.NORMALS


def _signal_of(values: np.ndarray, words: set[str], limits: Limits) -> Signal:
    possible = list(_possible(values.shape))
    named = [kind for kind, names in NAMES.items() if words & {*names}]
    if not possible:
        raise MediaError(f"An array of {_shape(values)} is none of {ALLOWED}; please send one of these.")
    kind = next((kind for kind in named if kind in possible), possible[0])
    return checked(kind, values, limits)


def _signal_of_several(arrays: dict[str, np.ndarray], words: set[str], limits: Limits) -> Signal:
    """Of an archive with several arrays the one whose name says what it is; points and colours of one length belong together."""
    (first, values), *others = sorted(arrays.items(), key=lambda pair: not _named(pair[0]))
    if others and not _named(first):
        names = ", ".join(sorted(arrays))[:80]
        raise MediaError(f"The archive has the arrays {names}; name the one that is meant 'points', 'depth', 'normals', 'imu' or 'fmri'.")
    colours = next((array for name, array in others if _words(name) & {*_COLOURS}), None)
    if colours is not None and colours.shape == values.shape and values.ndim == 2 and values.shape[1] == 3:
        values = np.concatenate([values, _from_bytes(colours)], axis=1)
    return _signal_of(values, words | _words(first), limits)


def _named(name: str) -> bool:
    return any(_words(name) & {*names} for names in NAMES.values())


def _read_png(path: Path, limits: Limits) -> Signal | None:
    """None: a picture like any other, or one that is damaged."""
    words = _words(path.stem)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            deep = image.mode.startswith("I") and not words & {*_PICTURES}
            flat = image.mode == "L" and words & {*NAMES[MediaKind.DEPTH]}
            facing = image.mode == "RGB" and words & {*NAMES[MediaKind.NORMALS]}
            if not (deep or flat or facing):
                return None
            check_count(image.width * image.height * len(image.getbands()), limits)
            values = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    if facing:
        vectors = values / np.float32(127.5) - 1
        return _normals(vectors) if _unit_share(vectors) >= UNIT_SHARE else None
    return _depth(values)


# ---- one check for each kind ----


def _points(values: np.ndarray, limits: Limits) -> Signal:
    if values.ndim != 2 or not 3 <= values.shape[1] <= 6:
        raise MediaError(f"A point cloud has 3 to 6 numbers for each point; this array is {_shape(values)}.")
    if len(values) > limits.points:
        raise MediaError(f"The point cloud has {len(values):,} points; at most {limits.points:,} are allowed, so please thin it out.")
    kept = _compact(values)
    kept = kept[np.isfinite(kept).all(1)]
    if not len(kept):
        raise MediaError(_NO_NUMBERS)
    coloured = kept.shape[1] == 6 and _is_colour(kept[:, 3:])
    if coloured:
        kept[:, 3:] = _from_bytes(kept[:, 3:])
    extent = [_rounded(side) for side in kept[:, :3].max(0) - kept[:, :3].min(0)]
    facts = {"points": len(kept), "extent": extent, "coloured": coloured, "left_out": int(len(values) - len(kept))}
    return Signal(MediaKind.POINTS, kept, facts=facts)


def _depth(values: np.ndarray) -> Signal:
    values = values.squeeze() if values.ndim == 3 and 1 in values.shape else values
    if values.ndim != 2 or min(values.shape) < MIN_SIDE:
        raise MediaError(f"A depth map has at least {MIN_SIDE} x {MIN_SIDE} values; this array is {_shape(values)}.")
    metres = _compact(values)
    metres[~np.isfinite(metres) | (metres == 0)] = np.nan
    return Signal(MediaKind.DEPTH, metres, facts={"shape": list(metres.shape), **_range(metres)})


def _normals(values: np.ndarray) -> Signal:
    values = np.moveaxis(values, 0, -1) if values.ndim == 3 and values.shape[0] == 3 < values.shape[-1] else values
    if values.ndim != 3 or values.shape[-1] != 3 or min(values.shape[:2]) < MIN_SIDE:
        raise MediaError(
            f"Surface normals are height x width x 3 values, at least {MIN_SIDE} x {MIN_SIDE} x 3; this array is {_shape(values)}."
        )
    if values.dtype == np.uint8:
        values = values / np.float32(127.5) - 1
    vectors = _compact(values)
    if not np.isfinite(vectors).any():
        raise MediaError(_NO_NUMBERS)
    if _unit_share(vectors) < UNIT_SHARE:
        raise MediaError(
            "An array of height x width x 3 is taken for surface normals, whose vectors have the length 1, and these have not; "
            "please save a picture as PNG or JPEG, and a volume of brain activity under a name with 'fmri'."
        )
    holes = ~np.isfinite(vectors).all(-1) | (np.abs(vectors).sum(-1) == 0)
    vectors[holes] = np.nan
    return Signal(MediaKind.NORMALS, vectors, facts={"shape": list(vectors.shape[:2]), "holes": _rounded(float(holes.mean()))})


def _motion(values: np.ndarray, seconds: float = 0.0) -> Signal:
    if values.ndim != 2 or values.shape[1] != IMU_COLUMNS or len(values) < MIN_SAMPLES:
        raise MediaError(
            f"Motion has at least {MIN_SAMPLES} samples of {IMU_COLUMNS} values, acceleration x y z and rotation x y z; "
            f"this file has {_shape(values)}."
        )
    samples = _compact(values)
    if wrong := int((~np.isfinite(samples)).sum()):
        raise MediaError(f"The motion has {wrong:,} values that are no numbers; please fill the gaps and send it again.")
    low, high = samples.min(0), samples.max(0)
    facts = {
        "samples": len(samples),
        "acceleration": [_rounded(low[:3].min()), _rounded(high[:3].max())],
        "rotation": [_rounded(low[3:].min()), _rounded(high[3:].max())],
    }
    return Signal(MediaKind.IMU, samples, seconds, facts)


def _activity(values: np.ndarray) -> Signal:
    values = values.reshape(-1) if values.ndim == 2 and 1 in values.shape else values
    if values.ndim not in (1, 3) or values.size < MIN_SAMPLES:
        raise MediaError(f"Brain activity is a value for each voxel or one volume of x, y and z; this array is {_shape(values)}.")
    voxels = _compact(values)
    voxels[~np.isfinite(voxels)] = np.nan
    return Signal(MediaKind.FMRI, voxels, facts={"shape": list(voxels.shape), **_range(voxels)})


def _motion_of(table: Table) -> Signal:
    """Of seven columns the first is the time; how long it lasts is known when its name says the unit."""
    values, names = table.values, list(table.names) or [""] * table.values.shape[1]
    times = None
    if values.shape[1] == IMU_COLUMNS + 1:
        times, values = values[:, 0], values[:, 1:]
    seconds = 0.0
    if times is not None:
        if not (np.diff(times) >= 0).all():
            raise MediaError(
                "The first of seven columns is taken for the time, and it does not grow from line to line; please mend or drop it."
            )
        unit = min((_SECONDS[word] for word in _words(names.pop(0)) if word in _SECONDS), default=0.0)
        seconds = _rounded(unit * float(times[-1] - times[0]))
    order = _columns(names)
    return _motion(values[:, order] if order else values, seconds)


def _columns(names: Sequence[str]) -> list[int]:
    """Where acceleration x y z and rotation x y z stand, as the names say; empty when they do not."""
    places = []
    for quantity in ("acc", "gyr|rot|ang"):
        for axis in "xyz":
            places += [index for index, name in enumerate(names) if re.search(quantity, name) and _axis(name) == axis]
    return places if sorted(places) == list(range(IMU_COLUMNS)) else []


def _axis(name: str) -> str:
    """Of "gyro_x", "x acceleration" and "accX" the x."""
    alone = re.findall(r"(?<![a-z])[xyz](?![a-z])", name)
    return alone[0] if alone else name[-1:]


# ---- numbers ----

_NO_NUMBERS = "The file has no value that is a finite number; please send one that has."


def _compact(values: np.ndarray) -> np.ndarray:
    """A copy as float32, or float64 where that would blur; what exceeds the range becomes infinite."""
    most = np.abs(values[np.isfinite(values)].astype(np.float64)).max(initial=0.0)
    with np.errstate(over="ignore"):
        return values.astype(np.float64 if _FAR < most < np.finfo(np.float32).max else np.float32)


def _range(values: np.ndarray) -> dict[str, Any]:
    """Smallest and largest value, and the share of holes. MediaError when there is nothing but holes."""
    holes = np.isnan(values)
    if holes.all():
        raise MediaError(_NO_NUMBERS)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return {"low": _rounded(low), "high": _rounded(high), "holes": _rounded(float(holes.mean()))}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _unit_share(vectors: np.ndarray) -> float:
    """Of the vectors that are there, how many have a length near 1."""
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths = lengths[np.isfinite(lengths) & (lengths > 0)]
    return float((np.abs(lengths - 1) <= UNIT_SLACK).mean()) if lengths.size else 0.0


def _is_colour(values: np.ndarray) -> bool:
    return bool(values.min() >= 0 and values.max() <= 255)


def _from_bytes(colours: np.ndarray) -> np.ndarray:
    """Colours 0..255 or 0..1 as 0..1."""
    return colours / 255 if colours.max(initial=0) > 1 else colours


def _shape(values: np.ndarray) -> str:
    return " x ".join(map(str, values.shape)) or "one number"
