"""Arrays from files that strangers send: ``.npy``, ``.npz`` and tables of numbers (``.csv``), checked before anything is unpacked.

Pickles are refused. What the header says is compared with the limits and with the bytes that are there before the values are read.
"""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from unified_demo.config import Limits
from unified_demo.errors import MediaError

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
MOST_ARRAYS = 16
_DELIMITERS = (",", ";", "\t")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGED = "The array is damaged or incomplete; please save it again with numpy.save."
_LOCKED = "The archive is damaged or locked; please save it again with numpy.savez."


@dataclass(frozen=True)
class Table:
    """``values`` float64 rows x columns; ``names`` of the columns, none when the file has no header."""

    values: np.ndarray
    names: tuple[str, ...] = ()


def read_npy(path: Path, limits: Limits) -> np.ndarray:
    """Real numbers in any shape. MediaError: a pickle, no numbers, none at all, too many, or others than the header says."""
    with path.open("rb") as file:
        return _read_array(file, path.stat().st_size, limits)


def read_npz(path: Path, limits: Limits) -> dict[str, np.ndarray]:
    """Arrays by name, at most MOST_ARRAYS. MediaError as for ``read_npy``, or when it is no such archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.endswith(".npy")]
            if not 1 <= len(members) <= MOST_ARRAYS:
                raise MediaError(
                    f"The archive has {len(members)} arrays; 1 to {MOST_ARRAYS} are allowed, so please save those that matter."
                )
            found = {}
            for item in members:
                if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise MediaError(_LOCKED)
                with archive.open(item) as file:
                    found[item.filename.removesuffix(".npy")] = _read_array(file, item.file_size, limits)
            return found
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as exc:
        raise MediaError(_LOCKED) from exc


def is_npz(path: Path) -> bool:
    """A zip with an array in it; only its list of files is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _read_array(file: IO[bytes], size: int, limits: Limits) -> np.ndarray:
    """``size``: bytes that ``file`` holds, or says it holds."""
    try:
        shape, by_column, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError, tokenize.TokenError) as exc:
        raise MediaError(_DAMAGED) from exc
    if dtype.hasobject:
        raise MediaError("The array holds Python objects (a pickle), which are never opened here; please save plain numbers.")
    if dtype.kind not in "biuf":
        raise MediaError(f"The array holds {dtype.name}; real numbers are needed, so please convert it first.")
    if min(shape, default=1) < 0:
        raise MediaError(_DAMAGED)
    count = math.prod(shape)
    check_count(count, limits)
    told, there = count * dtype.itemsize, size - file.tell()
    if told != there:
        raise MediaError(f"The array says it has {told:,} bytes and the file holds {there:,}; please save it again with numpy.save.")
    return np.frombuffer(file.read(told), dtype).reshape(shape, order="F" if by_column else "C")


def check_count(count: int, limits: Limits) -> None:
    """MediaError when there are no values, or more than allowed."""
    if count == 0:
        raise MediaError("The file holds no values; please send one that does.")
    if count > limits.data_values:
        raise MediaError(f"The file has {count:,} values; at most {limits.data_values:,} are allowed, so please thin it out.")


def read_table(path: Path, limits: Limits) -> Table:
    """Rows of numbers between commas, semicolons or tabs, with or without a line of names before them. MediaError: anything else."""
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as exc:
        raise MediaError("The table is not text; a CSV file of numbers is needed.") from exc
    if not lines:
        raise MediaError("The file holds no values; please send one that does.")
    delimiter = max(_DELIMITERS, key=lines[-1].count)
    first = lines[0].lstrip("#").split(delimiter)
    names = () if _numbers(first) else tuple(name.strip().strip('"').lower() for name in first)
    rows = lines[bool(names) :]
    check_count(len(rows) * len(first), limits)
    try:
        return Table(np.loadtxt(rows, delimiter=delimiter, comments=None, ndmin=2), names)
    except ValueError as exc:
        raise MediaError(_what_is_wrong(rows, delimiter, len(first), 1 + bool(names))) from exc


def _what_is_wrong(rows: Sequence[str], delimiter: str, columns: int, start: int) -> str:
    for number, row in enumerate(rows, start):
        cells = row.split(delimiter)
        wrong = next((cell for cell in cells if not _numbers([cell])), None)
        if wrong is not None:
            return f"Line {number} of the table has '{wrong.strip()[:20]}' where a number is needed; please send numbers alone."
        if len(cells) != columns:
            return f"Line {number} of the table has {len(cells)} columns and the first one {columns}; please send lines of one length."
    return "The table is damaged; please save it again."


def _numbers(cells: Sequence[str]) -> bool:
    try:
        for cell in cells:
            float(cell)
    except ValueError:
        return False
    return True
