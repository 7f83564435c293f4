"""AudioCaps (NAACL 2019) and Clotho (arXiv 1910.09387): sounds with captions, as tables of comma-separated values.

AudioCaps as cdjkim/audiocaps ships it (dataset/README.md): audiocap_id, youtube_id, start_time (seconds), caption, one row a caption;
the sounds themselves are not published, found files are ``<youtube_id>*`` below the folder. Clotho as its readers take it
(clotho_captions_<split>.csv, latin-1): file_name, caption_1 .. caption_5, sounds in ``<split>/``.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unified_demo.data.published.reading import Broken, Complaints, files_of, read_text

AUDIOCAPS = ("audiocap_id", "youtube_id", "start_time", "caption")
CLOTHO = ("file_name", "caption_1", "caption_2", "caption_3", "caption_4", "caption_5")
AUDIOCAPS_SECONDS = 10.0
YOUTUBE_ID = 11
"""Letters of an id; files may go on with the start."""
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus")


@dataclass(frozen=True)
class CaptionedSound:
    """``sound`` is None where the recording is not there; ``start_s`` and ``duration_s`` within the original video (AudioCaps)."""

    id: str
    captions: tuple[str, ...]
    split: str
    sound: Path | None = None
    start_s: float = 0.0
    duration_s: float = 0.0


def read_audiocaps(folder: Path, complaints: Complaints) -> Iterator[CaptionedSound]:
    """Clips by file in order of their first row, captions of the same clip together. MediaError without a table."""
    sounds = {path.stem[:YOUTUBE_ID]: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES}
    for path in files_of(folder, ("*.csv",), "tables"):
        clips: dict[tuple[str, float], list[str]] = {}
        for line, row in _rows(path, AUDIOCAPS, complaints, ("utf-8-sig",)):
            try:
                start = float(row["start_time"])
                if start < 0:
                    raise ValueError(start)
            except ValueError:
                complaints.add(path, line, "wrong type", f"begins at '{row['start_time']}', which is no time in seconds")
                continue
            clips.setdefault((row["youtube_id"], start), []).append(row["caption"])
        for (name, start), captions in clips.items():
            yield CaptionedSound(name, tuple(captions), path.stem, sounds.get(name), start, AUDIOCAPS_SECONDS)


def read_clotho(folder: Path, complaints: Complaints) -> Iterator[CaptionedSound]:
    """Sounds by split. A split without a folder of sounds is read for its captions alone, with one complaint."""
    for path in files_of(folder, ("clotho_captions_*.csv",), "tables"):
        split = path.stem.removeprefix("clotho_captions_")
        sounds = folder / split
        if not sounds.is_dir():
            complaints.add(
                path, 0, "missing sound", f"has no folder {sounds.name} of sounds beside it; its captions are read, the sounds are"
            )
        for line, row in _rows(path, CLOTHO, complaints, ("utf-8-sig", "latin-1")):
            sound = sounds / Path(row["file_name"]).name if sounds.is_dir() else None
            if sound and not sound.is_file():
                complaints.add(path, line, "missing sound", f"names the sound {sound.name}, which is not at {sound}")
                continue
            yield CaptionedSound(row["file_name"], tuple(row[name] for name in CLOTHO[1:]), split, sound)


def _rows(path: Path, columns: tuple[str, ...], complaints: Complaints, encodings: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line where it ends, row) with every column filled; broken rows become complaints."""
    text = read_text(path, complaints, encodings)
    if text is None:
        return
    table = csv.DictReader(io.StringIO(text, newline=""))
    if not set(columns) <= set(table.fieldnames or ()):
        complaints.add(
            path, 1, "wrong layout", f"has the columns {', '.join(table.fieldnames or ())[:80]}; needed are {', '.join(columns)}"
        )
        return
    while True:
        try:
            row = next(table)
            yield table.line_num, _filled(row, columns)
        except StopIteration:
            return
        except csv.Error as exc:
            complaints.add(path, table.line_num, "broken table", f"cannot be read ({exc})")
            return
        except Broken as exc:
            complaints.add(path, table.line_num, exc.kind, str(exc))


def _filled(row: dict[str, str | None], columns: tuple[str, ...]) -> dict[str, str]:
    if None in row:
        raise Broken("wrong layout", "has more values than columns")
    values = {name: (row[name] or "").strip() for name in columns}
    if missing := [name for name, value in values.items() if not value]:
        raise Broken("missing field", f"has no {missing[0]}")
    return values
