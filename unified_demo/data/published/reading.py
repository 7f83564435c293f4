"""What all readers share: complaints with file and line, JSON that may break off, pickles that cannot run code, pictures that decode.

A reader yields what is sound and says of everything else where it stood and why it was left out; nothing broken is passed on.
"""

import io
import json
import logging
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError

from unified_demo.errors import MediaError
from unified_demo.grammar import Box, GrammarError

logger = logging.getLogger(__name__)

Sample = TypeVar("Sample")

WHITE = " \t\r\n"
EDGE = 1.5
"""Annotations may stick out of the picture by so many pixels (rounding), no more."""


@dataclass(frozen=True)
class Complaint:
    """One thing that was left out: where it stood (line 0: the file as a whole), what kind of trouble, the sentence."""

    path: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place} {self.text}; left out"


@dataclass
class Complaints:
    """Collects complaints of one run; ``kinds`` counts them. Each is logged as a warning."""

    found: list[Complaint] = field(default_factory=list)

    def add(self, path: Path, line: int, kind: str, text: str) -> None:
        complaint = Complaint(path, line, kind, text)
        self.found.append(complaint)
        logger.warning("%s", complaint)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(complaint.kind for complaint in self.found)


class Broken(Exception):
    """Raised inside a reader for one broken entry; becomes a complaint. ``kind`` is a short name such as "missing picture"."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def need(entry: Any, key: str, kinds: type | tuple[type, ...]) -> Any:
    """``entry[key]`` when it is there and of that type, else Broken."""
    if not isinstance(entry, dict) or key not in entry:
        raise Broken("missing field", f"has no '{key}'")
    value = entry[key]
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds in (int, float)):
        raise Broken("wrong type", f"has '{key}' = {str(value)[:40]!r}, a {type(value).__name__}")
    return value


def read_text(path: Path, complaints: Complaints, encodings: tuple[str, ...] = ("utf-8-sig",)) -> str | None:
    """The file's text in the first encoding that fits; None with a complaint when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        complaints.add(path, 0, "missing file", f"cannot be read ({exc.strerror})")
        return None
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as exc:
            line, reason = content.count(b"\n", 0, exc.start) + 1, exc.reason
    complaints.add(path, line, "undecodable text", f"is not text in {encodings[-1]} ({reason})")
    return None


def read_json(path: Path, complaints: Complaints, encodings: tuple[str, ...] = ("utf-8-sig",)) -> Any:
    """The whole file as JSON; None with a complaint that names the line where it breaks."""
    text = read_text(path, complaints, encodings)
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        complaints.add(path, exc.lineno, "broken json", f"is no valid JSON ({exc.msg})")
    except RecursionError:
        complaints.add(path, 0, "broken json", "is nested too deeply")
    return None


def json_entries(path: Path, complaints: Complaints) -> Iterator[tuple[int, Any]]:
    """(line, entry) of a file that holds one JSON list; entries before a break are kept, the break is a complaint."""
    text = read_text(path, complaints)
    if text is None:
        return
    decoder, place, line = json.JSONDecoder(), _skip(text, 0), 1
    if text[place : place + 1] != "[":
        complaints.add(path, 1, "wrong layout", "does not hold a JSON list")
        return
    place = _skip(text, place + 1)
    counted = 0
    while text[place : place + 1] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            entry, place = decoder.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError) as exc:
            where = exc.lineno if isinstance(exc, json.JSONDecodeError) else line
            complaints.add(path, where, "broken json", f"breaks off within the entry that begins in line {line}, the rest is lost")
            return
        yield line, entry
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            complaints.add(path, line + text.count("\n", counted, place), "broken json", "breaks off before its list ends")
            return


def json_lines(path: Path, complaints: Complaints) -> Iterator[tuple[int, Any]]:
    """(line, entry) of a file with one JSON value a line; broken lines become complaints, empty ones are passed over."""
    text = read_text(path, complaints)
    for number, line in enumerate((text or "").split("\n"), start=1):
        if not line.strip(WHITE):
            continue
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as exc:
            complaints.add(path, number, "broken json", f"is no valid JSON ({str(exc)[:80]})")
            continue
        yield number, entry


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in WHITE:
        place += 1
    return place


class _PlainUnpickler(pickle.Unpickler):
    """Builds lists, tuples, dicts, sets, strings, bytes and numbers; whatever needs a class or a function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}, and plain values are all that is allowed")


def rows_of_build(path: Path, version: int, action: str, complaints: Complaints) -> Iterator[tuple[int, Any]]:
    """(line, row) of a file that ``data <action>`` built; its first line says the version and how many rows belong to it.

    MediaError when there is no such file or it is of another version; a file that ends early is one complaint.
    """
    if not path.is_file():
        raise MediaError(f"{path} is not there; make it with 'python -m unified_demo.data {action} --out {path.parent}'.")
    rows = json_lines(path, complaints)
    _, header = next(rows, (0, None))
    if not isinstance(header, dict) or header.get("version") != version:
        raise MediaError(f"{path} is not of version {version}; make it again with 'python -m unified_demo.data {action}'.")
    last = 1
    for last, row in rows:
        yield last, row
    if last - 1 < header.get("count", 0):
        complaints.add(path, last, "truncated", f"ends after {last - 1} of {header['count']} rows; the rest is")


def samples_of_build(path: Path, version: int, action: str, complaints: Complaints, read: Callable[[Any], Sample]) -> Iterator[Sample]:
    """What ``read`` makes of each row of ``rows_of_build``; a broken row becomes a complaint with its line and is left out."""
    for line, row in rows_of_build(path, version, action, complaints):
        try:
            yield read(row)
        except Broken as exc:
            complaints.add(path, line, exc.kind, str(exc))
        except MediaError as exc:
            complaints.add(path, line, "broken mask", str(exc))


def read_pickle(path: Path, complaints: Complaints) -> Any:
    """A pickle of plain values, also one written by Python 2; None with a complaint when it is truncated or wants more."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        complaints.add(path, 0, "missing file", f"cannot be read ({exc.strerror})")
        return None
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="latin-1").load()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as exc:
        complaints.add(path, 0, "broken pickle", f"cannot be unpickled ({type(exc).__name__}: {exc})")
    return None


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of a picture that decodes to its end; Broken otherwise. Rotation flags are not applied."""
    if not path.is_file():
        raise Broken("missing picture", f"names the picture {path.name}, which is not at {path}")
    try:
        with Image.open(path) as picture:
            size = picture.size
            picture.draft("RGB", (max(size[0] // 8, 1), max(size[1] // 8, 1)))
            picture.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise Broken("undecodable picture", f"names the picture {path.name}, which does not decode ({str(exc)[:80]})") from exc
    return size


def box_of(corners: Any, width: int, height: int) -> Box:
    """``box_within`` of four numbers from a file; Broken when they are not that."""
    if not isinstance(corners, list) or len(corners) != 4 or not all(isinstance(side, int | float) for side in corners):
        raise Broken("wrong type", f"has {str(corners)[:40]} where a box is needed")
    x0, y0, x1, y1 = corners
    return box_within(x0, y0, x1, y1, width, height)


def box_within(x0: float, y0: float, x1: float, y1: float, width: float, height: float) -> Box:
    """Pixel xyxy to a Box; Broken when it is empty or sticks out of the picture by more than rounding."""
    corners = f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}] in a picture of {width:g} x {height:g}"
    if min(x0, y0) < -EDGE or x1 > width + EDGE or y1 > height + EDGE:
        raise Broken("box outside", f"has a box outside the picture: {corners}")
    try:
        return Box(max(x0 / width, 0.0), max(y0 / height, 0.0), min(x1 / width, 1.0), min(y1 / height, 1.0))
    except (GrammarError, ZeroDivisionError) as exc:
        raise Broken("empty box", f"has an empty box: {corners}") from exc


def polygon_within(values: Any, width: float, height: float) -> tuple[float, ...]:
    """Flat x, y, ... in pixels, moved onto the edge where it sticks out a little; Broken when it is no polygon or lies outside."""
    if not isinstance(values, list | tuple) or len(values) < 6 or len(values) % 2:
        raise Broken("broken polygon", "has a polygon without three corners")
    if not all(isinstance(value, int | float) and value == value for value in values):
        raise Broken("broken polygon", "has a polygon with a corner that is no number")
    xs, ys = values[::2], values[1::2]
    if min(*xs, *ys) < -EDGE or max(xs) > width + EDGE or max(ys) > height + EDGE:
        raise Broken("polygon outside", f"has a polygon that leaves the picture of {width:g} x {height:g}")
    return tuple(float(min(max(value, 0), limit)) for value, limit in zip(values, [width, height] * (len(values) // 2), strict=True))


def files_of(folder: Path, patterns: tuple[str, ...], what: str) -> list[Path]:
    """Files of ``folder`` that fit one of the patterns, sorted; MediaError when there is none, for then the layout is another."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if not found:
        raise MediaError(f"{folder} holds no {what} ({' or '.join(patterns)}); name the folder that the archive was unpacked to.")
    return found
