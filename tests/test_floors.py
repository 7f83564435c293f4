"""A file imports only from lower floors or from its own folder (the picture stands in the README)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "unified_demo"
SOURCE = Path(__file__).resolve().parent.parent / PACKAGE
FLOORS = {
    "errors": 0, "grammar": 0, "messages": 0, "config": 0, "outlines": 0, "weight_sources": 0, "recordings": 0, "profiles": 0,
    "arrays": 0, "ply": 0, "signals": 0, "previews": 0,
    "media": 1, "regions": 1, "parser": 1, "conversation": 1, "turn": 1, "zoo": 1, "transcript": 1, "compiling": 1, "hues": 1, "unread": 1,
    "model_facts": 1, "promises": 1, "nouns": 1, "deeds": 1, "strokes": 1, "remembered": 1,
    "intake": 2, "history": 2, "safety": 2, "provenance": 2, "model": 2, "experts": 2, "data": 2,
    "router": 3, "fakes": 3, "marked": 3,
    "engine": 4,
    "assembly": 5, "infer": 5,
    "ui": 6, "training": 6, "evaluation": 6,
    "serving": 7,
}  # fmt: skip
GROUND = (
    "errors",
    "grammar",
    "messages",
    "config",
    "outlines",
    "weight_sources",
    "recordings",
    "profiles",
    "arrays",
    "ply",
    "signals",
    "previews",
)
"""Modules of floor 0 may use each other; there is nothing below them."""


def place(module: str) -> str:
    """``unified_demo.model.loading`` -> ``model``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[str]:
    """Modules of this package that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the whole name instead of a relative import"
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith(PACKAGE + "."):
                yield node.module


def floor(path: Path, room: str) -> int:
    if path.name == "__main__.py" or path == SOURCE / "__init__.py":
        return 7
    return FLOORS[room]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_from_below(path: Path) -> None:
    relative = path.relative_to(SOURCE)
    room = relative.parts[0].removesuffix(".py")
    assert room in FLOORS or room == "__init__", f"{relative} stands on no floor; add it to FLOORS and to the picture in the README"
    for module in imports(path):
        other = place(module)
        if other == room or (room in GROUND and other in GROUND):
            continue
        assert other in FLOORS, f"{relative} imports {module}, which stands on no floor"
        assert FLOORS[other] < floor(path, room), f"{relative} (floor {floor(path, room)}) imports {module} (floor {FLOORS[other]})"
