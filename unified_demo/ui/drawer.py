"""The drawer of kept conversations: list, search, rename, delete, export and import, and who may see them.

A browser is known by a random key that it keeps (or by the name it logged in with). The store is ``unified_demo.history``.
"""

import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unified_demo.errors import UnifiedError
from unified_demo.history import Entry, History
from unified_demo.ui.frames import media_url
from unified_demo.ui.keeping import read_body, restore_visit, visit_body, visit_title, visit_words
from unified_demo.ui.visit import Visit
from unified_demo.ui.words import say

log = logging.getLogger(__name__)

EXPORT_KEPT_S = 600.0
"""An export lies among the media, under a name that cannot be guessed, until it was fetched."""


class Drawer:
    """Connects visits with the history; without one (None) nothing is kept."""

    def __init__(self, history: History | None) -> None:
        self.history = history

    def enter(self, visit: Visit, browser_key: str | None, user: str | None) -> str:
        """Say who the visitor is; returns the key the browser shall keep."""
        key = browser_key if isinstance(browser_key, str) and len(browser_key) == 64 else secrets.token_hex(32)
        visit.owner = f"user:{user}" if user else f"browser:{key}"
        return key

    def keep(self, visit: Visit) -> None:
        """Save the conversation as far as it has come; a failure is logged and loses nothing that is on the page.

        Where another window went on with it in the meantime, this one becomes a conversation of its own.
        """
        if self.history is None or not visit.owner or not visit.conversation.messages:
            return
        try:
            if self.history.changed(visit.owner, visit.key) not in (0.0, visit.kept):
                visit.key = secrets.token_hex(16)
            visit.kept = self.history.save(visit.owner, visit.key, visit_title(visit), visit_words(visit), visit_body(visit))
        except (UnifiedError, sqlite3.Error, OSError):
            log.exception("the conversation could not be kept")

    def open(self, visit: Visit, key: str) -> None:
        """Show a kept conversation. Raises UnifiedError."""
        if self.history is not None and key != visit.key:
            changed = self.history.changed(visit.owner, key)
            restore_visit(visit, key, self.history.load(visit.owner, key), self.history.media)
            visit.kept = changed

    def seen(self, visit: Visit) -> None:
        """The page shows all that is kept of the conversation, though another window kept it."""
        if self.history is not None:
            visit.kept = self.history.changed(visit.owner, visit.key)

    def delete(self, visit: Visit, key: str) -> bool:
        """True when it was the one on the page, which is then empty."""
        current = key == visit.key
        if current:
            visit.clear()
        if self.history is not None:
            self.history.delete(visit.owner, key)
        return current

    def rename(self, visit: Visit, key: str, title: str) -> None:
        if self.history is not None:
            self.history.rename(visit.owner, key, title)

    def export(self, visit: Visit) -> Path | None:
        """A zip of all of the visitor's conversations, for ten minutes."""
        if self.history is None:
            return None
        file = self.history.media / f"{secrets.token_hex(32)}.zip"
        file.write_bytes(self.history.export(visit.owner))
        timer = threading.Timer(EXPORT_KEPT_S, file.unlink, kwargs={"missing_ok": True})
        timer.daemon = True
        timer.start()
        return file

    def read_export(self, visit: Visit, file: Path) -> int:
        """Add the conversations of an export; returns how many. Raises UnifiedError when none can be read."""
        if self.history is None:
            return 0
        rows = self.history.read_export(file)
        for row in rows:
            read_body(row["body"], self.history.media)
        for row in rows:
            self.history.save(visit.owner, secrets.token_hex(16), str(row.get("title")), str(row.get("words")), row["body"])
        return len(rows)

    def html(self, visit: Visit, search: str = "", export: Path | None = None) -> Markup:
        """The list, the latest first."""
        entries = self.history.entries(visit.owner, search) if self.history and visit.owner else []
        return entries_html(entries, visit.key, search, export, visit.window)


def entries_html(entries: Sequence[Entry], current: str, search: str = "", export: Path | None = None, window: str = "") -> Markup:
    if entries:
        rows = Markup("").join(_entry(entry, current) for entry in entries)
    else:
        rows = Markup('<li class="um-quiet">{}</li>').format(
            say("Nothing found.") if search else say("Your conversations will be kept here.")
        )
    link = (
        Markup('<a id="um-export" hidden href="{}" download="conversations.zip">zip</a>').format(media_url(export))
        if export
        else Markup("")
    )
    return Markup('<nav aria-label="{}" data-current="{}" data-window="{}"><ul>{}</ul>{}</nav>').format(
        say("Conversations"), current, window, rows, link
    )


def _entry(entry: Entry, current: str) -> Markup:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.changed))
    action = Markup('<button type="button" data-um="{what}" data-key="{key}" aria-label="{words}" title="{words}">{sign}</button>')
    return Markup(
        '<li data-key="{key}"{now}><button type="button" class="um-open" data-um="open" data-key="{key}">'
        "<span>{title}</span><small>{when}</small></button>"
        "{rename}{delete}</li>"
    ).format(
        key=entry.id,
        now=Markup(' aria-current="true"') if entry.id == current else Markup(""),
        title=entry.title,
        when=when,
        rename=action.format(what="rename", key=entry.id, words=say("Rename"), sign="✎"),
        delete=action.format(what="delete", key=entry.id, words=say("Delete"), sign="×"),
    )


def text_of(data: dict[str, Any], name: str) -> str:
    """A text that the page script sent; empty when it sent something else."""
    value = data.get(name)
    return value if isinstance(value, str) else ""
