"""Point clouds in the PLY format (Turk 1994), text or binary of either byte order: places and colours of the vertices.

Faces and other properties are left out. The header is compared with the limits and with what the file holds before it is believed.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unified_demo.config import Limits
from unified_demo.errors import MediaError

MAGIC = (b"ply\n", b"ply\r")
_MOST_HEADER_BYTES = 2**16
_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_PLACES = ("x", "y", "z")
_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_DAMAGED = "The PLY file is damaged; please save the point cloud again."


@dataclass
class _Element:
    """``properties``: name and NumPy's type of each; ``lists``: some have no fixed length."""

    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)
    lists: bool = False


def read_ply(path: Path, limits: Limits) -> np.ndarray:
    """(n, 3) places, or (n, 6) with colours 0..1, float64. MediaError: no points, too many, fewer than the header says, damaged."""
    with path.open("rb") as file:
        head = file.read(_MOST_HEADER_BYTES)
    order, elements, start = _header(head)
    before = list(itertools.takewhile(lambda element: element.name != "vertex", elements))
    if len(before) == len(elements) or not {*_PLACES} <= {name for name, _ in elements[len(before)].properties}:
        raise MediaError("The PLY file has no vertices with x, y and z; please save it as a point cloud.")
    vertices = elements[len(before)]
    if any(element.lists for element in (*before, vertices)):
        raise MediaError("The PLY file has lists before its points; please save it as a plain point cloud.")
    if vertices.count == 0:
        raise MediaError("The file holds no values; please send one that does.")
    if vertices.count > limits.points:
        raise MediaError(f"The point cloud has {vertices.count:,} points; at most {limits.points:,} are allowed, so please thin it out.")
    read = _read_text if order == "" else _read_binary
    return _places_and_colours(read(path, start, order, before, vertices), vertices)


def _header(head: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("" for text), elements, and where the data begin."""
    end = head.find(b"end_header")
    start = head.find(b"\n", end) + 1
    if end < 0 or start == 0:
        raise MediaError(_DAMAGED)
    order, elements = None, list[_Element]()
    try:
        for line in head[:end].decode("ascii", "replace").splitlines()[1:]:
            match line.split():
                case ["format", name, _]:
                    order = _ORDERS[name]
                case ["element", name, count] if count.isdecimal():
                    elements.append(_Element(name, int(count)))
                case ["property", "list", *_]:
                    elements[-1].lists = True
                case ["property", kind, name]:
                    elements[-1].properties.append((name, _TYPES[kind]))
                case ["element" | "property" | "format", *_]:
                    raise MediaError(_DAMAGED)
    except (KeyError, IndexError, ValueError) as exc:
        raise MediaError(_DAMAGED) from exc
    if order is None or any(len({name for name, _ in element.properties}) < len(element.properties) for element in elements):
        raise MediaError(_DAMAGED)
    return order, elements, start


def _read_binary(path: Path, start: int, order: str, before: list[_Element], vertices: _Element) -> np.ndarray:
    row = np.dtype([(name, order + kind) for name, kind in vertices.properties])
    start += sum(element.count * sum(np.dtype(kind).itemsize for _, kind in element.properties) for element in before)
    there = max(path.stat().st_size - start, 0) // row.itemsize
    if there < vertices.count:
        raise MediaError(_too_few(vertices.count, there))
    with path.open("rb") as file:
        file.seek(start)
        return np.frombuffer(file.read(vertices.count * row.itemsize), row)


def _read_text(path: Path, start: int, order: str, before: list[_Element], vertices: _Element) -> np.ndarray:
    with path.open("rb") as file:
        file.seek(start)
        lines = [line for line in file.read().decode("ascii", "replace").splitlines() if line.strip()]
    skipped = sum(element.count for element in before)
    rows = lines[skipped : skipped + vertices.count]
    if len(rows) < vertices.count:
        raise MediaError(_too_few(vertices.count, len(rows)))
    row = np.dtype([(name, "f8") for name, _ in vertices.properties])
    try:
        return np.loadtxt(rows, row, comments=None, ndmin=1)
    except ValueError as exc:
        raise MediaError(_DAMAGED) from exc


def _too_few(told: int, there: int) -> str:
    return f"The PLY file says it has {told:,} points and holds {there:,}; please save the point cloud again."


def _places_and_colours(rows: np.ndarray, vertices: _Element) -> np.ndarray:
    kinds = dict(vertices.properties)
    colours = next((names for names in _COLOURS if {*names} <= {*kinds}), ())
    columns = [rows[name].astype(np.float64) for name in _PLACES]
    for name in colours:
        most = np.iinfo(kinds[name]).max if np.dtype(kinds[name]).kind in "iu" else 1.0
        columns.append(rows[name].astype(np.float64) / most)
    return np.stack(columns, axis=1)
