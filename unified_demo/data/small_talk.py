"""What people say between their wishes, each with a reply that knows nothing but that message: ``small_talk.toml``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from unified_demo.errors import MediaError

SMALL_TALK_FILE = Path(__file__).with_name("small_talk.toml")


@dataclass(frozen=True)
class SmallTalkData:
    """``said``: (message, reply); ``others``: messages that sound like it and ask for more."""

    said: tuple[tuple[str, str], ...]
    others: tuple[str, ...]


def read_small_talk(table: Path = SMALL_TALK_FILE) -> SmallTalkData:
    """All of the table. MediaError when it cannot be read."""
    try:
        rows = tomllib.loads(table.read_text("utf-8"))
        said = tuple((message, reply) for reply, messages in rows["talk"].items() for message in messages)
        return SmallTalkData(said, tuple(rows["more"]["others"]))
    except (OSError, tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError) as exc:
        raise MediaError(f"The table of small talk, {table}, cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
