"""What is commonly known of the detector's labels: other names, wider kinds, hints without a name.

Reads the committed table ``knowledge.toml`` once. It makes no sentences; see ``expressions``.
"""

import tomllib
from functools import cache
from pathlib import Path

KNOWLEDGE_FILE = Path(__file__).with_name("knowledge.toml")


@cache
def knowledge() -> dict[str, dict[str, list[str]]]:
    """label -> {"names", "kinds", "hints"}."""
    return tomllib.loads(KNOWLEDGE_FILE.read_text(encoding="utf-8"))


@cache
def cousins(label: str) -> tuple[str, ...]:
    """Other labels of the same kind (a bench for a chair): what a detector takes it for."""
    kinds = set(knowledge().get(label, {}).get("kinds", []))
    return tuple(other for other, entry in knowledge().items() if other != label and kinds & set(entry.get("kinds", [])))
