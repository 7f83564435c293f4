"""The cards of the start page: a picture, a question and the task it needs. What has no expert here is not offered."""

from pathlib import Path
from typing import Any

from unified_demo.engine import Engine

ASSETS = Path(__file__).resolve().parents[2] / "assets"
EXAMPLES = (
    ("giraffes.jpg", "Segment the giraffe on the left", "seg"),
    ("astronaut.jpg", "Make it look like a watercolour", "edit"),
    ("coffee.jpg", "Remove the spoon", "redit"),
    ("", "Draw a red fox in the snow", "gen"),
    ("dog.jpg", "Make the dog blue", "redit"),
    ("cat.jpg", "Describe this picture", ""),
    ("", "Make the sound of rain on a roof", "agen"),
    ("dog.jpg", "Segment the dog", "seg"),
    ("astronaut.jpg", "Segment the person", "seg"),
    ("coffee.jpg", "Where is the spoon?", ""),
)
"""Picture, question and the task it needs; the first six that this profile can do are shown."""
MOST_EXAMPLES = 6


def example_cards(engine: Engine) -> list[dict[str, Any]]:
    """What the start page offers: questions whose task has an expert here."""
    offered = [(name, text) for name, text, task in EXAMPLES if not task or task in engine.tasks()]
    pictures = [(text, [str(ASSETS / name)] if name else []) for name, text in offered[:MOST_EXAMPLES]]
    return [{"text": text, "display_text": text, "files": files, **({"icon": files[0]} if files else {})} for text, files in pictures]
