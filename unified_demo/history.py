"""Conversations that survive: one SQLite file, their media content-addressed beside it, each row with the owner who alone can read it.

A conversation is a title and a body of JSON (``transcript.py``); what the body means is the page's business. Export and
import are one zip with ``conversations.json`` and the media. Nothing here draws or knows browsers.
"""

import contextlib
import hashlib
import io
import json
import secrets
import sqlite3
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.errors import UnifiedError
from unified_demo.transcript import FILE_NAME, file_names

MOST_TITLE_CHARACTERS = 80
MOST_IMPORT_BYTES = 2 * 2**30
MOST_IMPORT_CONVERSATIONS = 2000
INDEX = "conversations.json"
VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, words TEXT NOT NULL, changed REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_owner ON conversations (owner, changed);
CREATE TABLE IF NOT EXISTS files (conversation TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (conversation, name));
"""


@dataclass(frozen=True)
class Entry:
    """One line of the list; ``changed`` in seconds since 1970."""

    id: str
    title: str
    changed: float


class History:
    """Thread-safe. ``file`` is the database, ``media`` the folder of the store whose files the conversations name."""

    def __init__(self, file: Path, media: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.media = media
        self._lock = threading.Lock()
        self._base = sqlite3.connect(file, check_same_thread=False)
        file.chmod(0o600)
        with self._changing() as base:
            base.executescript(_SCHEMA)
            base.execute("INSERT OR IGNORE INTO settings VALUES ('secret', ?)", (secrets.token_hex(16),))
        self.secret: str = self._rows("SELECT value FROM settings WHERE name = 'secret'")[0][0]
        """Stays the same over restarts, so that browsers keep their keys."""

    def save(self, owner: str, key: str, title: str, words: str, body: Any) -> float:
        """Keep a conversation, new or changed, and tell when (as ``changed``); the title of one that is known stays.
        ``words`` is what a search looks at."""
        now = time.time()
        with self._changing() as base:
            self._check_owner(owner, key)
            base.execute(
                "INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET words = excluded.words, changed = excluded.changed, body = excluded.body",
                (key, owner, _short(title), words, now, json.dumps(body, ensure_ascii=False)),
            )
            base.execute("DELETE FROM files WHERE conversation = ?", (key,))
            base.executemany("INSERT INTO files VALUES (?, ?)", [(key, name) for name in sorted(file_names(body))])
        return now

    def changed(self, owner: str, key: str) -> float:
        """When one of the owner's conversations was kept last, in seconds since 1970; 0 when there is none."""
        rows = self._rows("SELECT changed FROM conversations WHERE owner = ? AND id = ?", (owner, key))
        return rows[0][0] if rows else 0.0

    def entries(self, owner: str, search: str = "") -> list[Entry]:
        """The owner's conversations, the latest first; with ``search`` those whose title or words have it."""
        pattern = "%" + search.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self._rows(
            "SELECT id, title, changed FROM conversations WHERE owner = ? AND (title LIKE ? ESCAPE '\\' OR words LIKE ? ESCAPE '\\') "
            "ORDER BY changed DESC",
            (owner, pattern, pattern),
        )
        return [Entry(*row) for row in rows]

    def load(self, owner: str, key: str) -> Any:
        """The body of one of the owner's conversations; UnifiedError when there is none."""
        rows = self._rows("SELECT body FROM conversations WHERE owner = ? AND id = ?", (owner, key))
        if not rows:
            raise UnifiedError("That conversation is gone; it may have been deleted in another window.")
        return json.loads(rows[0][0])

    def rename(self, owner: str, key: str, title: str) -> None:
        """An empty title changes nothing."""
        if title.strip():
            with self._changing() as base:
                base.execute("UPDATE conversations SET title = ? WHERE owner = ? AND id = ?", (_short(title), owner, key))

    def delete(self, owner: str, key: str) -> None:
        """Forget a conversation and those of its files that no other one names."""
        with self._changing() as base:
            if not base.execute("DELETE FROM conversations WHERE owner = ? AND id = ?", (owner, key)).rowcount:
                return
            names = [row[0] for row in base.execute("SELECT name FROM files WHERE conversation = ?", (key,))]
            base.execute("DELETE FROM files WHERE conversation = ?", (key,))
            still = {row[0] for row in base.execute("SELECT name FROM files")}
        for name in set(names) - still:
            for file in self._files(name):
                file.unlink(missing_ok=True)

    # ---- export and import ----

    def export(self, owner: str) -> bytes:
        """A zip with all of the owner's conversations and their media."""
        rows = self._rows("SELECT title, words, body FROM conversations WHERE owner = ? ORDER BY changed", (owner,))
        kept = [{"title": title, "words": words, "body": json.loads(body)} for title, words, body in rows]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(INDEX, json.dumps({"version": VERSION, "conversations": kept}, ensure_ascii=False, indent=1))
            for name in sorted(file_names(kept)):
                for file in self._files(name):
                    archive.write(file, f"media/{file.name}", zipfile.ZIP_STORED)
        return buffer.getvalue()

    def read_export(self, file: Path) -> list[dict[str, Any]]:
        """The conversations of a zip that ``export`` wrote, their media now in the store; the caller saves what it can read.

        Raises UnifiedError: no such zip, too large, or a file in it is not what its name says.
        """
        try:
            with zipfile.ZipFile(file) as archive:
                if sum(item.file_size for item in archive.infolist()) > MOST_IMPORT_BYTES:
                    raise UnifiedError(f"The export holds more than the allowed {MOST_IMPORT_BYTES // 2**30} GB.")
                index = json.loads(archive.read(INDEX))
                rows = index["conversations"]
                if index["version"] != VERSION or not isinstance(rows, list) or len(rows) > MOST_IMPORT_CONVERSATIONS:
                    raise UnifiedError("The export is of another version or too long; export it again with this program.")
                for row in rows:
                    self._unpack(archive, file_names(row["body"]))
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as exc:
            raise UnifiedError("This is no export of conversations; choose the zip that 'Export' gave.") from exc
        return rows

    def _unpack(self, archive: zipfile.ZipFile, names: Sequence[str] | set[str]) -> None:
        for name in names:
            if not FILE_NAME.fullmatch(name):
                raise UnifiedError("The export names a file that no store can have.")
            for member in dict.fromkeys((name, _poster(name))):
                target = self.media / member
                if f"media/{member}" not in archive.namelist() or target.exists():
                    continue
                content = archive.read(f"media/{member}")
                if member == name and hashlib.sha256(content).hexdigest() != name.split(".", 1)[0]:
                    raise UnifiedError("A file in the export is not what its name says; it was changed on the way.")
                target.write_bytes(content)

    # ---- inside ----

    def _files(self, name: str) -> Iterator[Path]:
        """The file of this name and, of a video or data, its poster; only what is there."""
        for member in dict.fromkeys((name, _poster(name))):
            if FILE_NAME.fullmatch(member) and (self.media / member).is_file():
                yield self.media / member

    def _check_owner(self, owner: str, key: str) -> None:
        rows = self._base.execute("SELECT owner FROM conversations WHERE id = ?", (key,)).fetchall()
        if rows and rows[0][0] != owner:
            raise UnifiedError("That conversation belongs to somebody else.")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._base:
            yield self._base


def _poster(name: str) -> str:
    """Videos have their first frame beside them, data their preview."""
    stem, _, suffix = name.partition(".")
    return f"{stem}.{ {'mp4': 'jpg', 'npy': 'png'}[suffix] }" if suffix in ("mp4", "npy") else name


def _short(title: str) -> str:
    words = " ".join(title.split())
    return words if len(words) <= MOST_TITLE_CHARACTERS else words[: MOST_TITLE_CHARACTERS - 1].rstrip() + "…"
