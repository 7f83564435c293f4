"""The cards of the start page: a picture, a question and the task it needs. What has no expert here is not offered."""

from pathlib import Path
from typing import Any

from unified_demo.engine import Engine
from unified_demo.ui.words import say

ASSETS = Path(__file__).resolve().parents[2] / "assets"
EXAMPLES = (
    ("giraffes.jpg", "Segment the giraffe on the left", "seg"),
    ("astronaut.jpg", "Make it look like a watercolour", "edit"),
    ("", "Draw a red fox in the snow", "gen"),
    ("coffee.jpg", "Remove the spoon", "redit"),
    ("dog.jpg", "Make the dog blue", "redit"),
    ("cat.jpg", "Describe this picture", ""),
    ("dog.jpg", "Segment the dog", "seg"),
    ("astronaut.jpg", "Segment the person", "seg"),
    ("coffee.jpg", "Where is the spoon?", ""),
    ("", "Make the sound of rain on a roof", "agen"),
)
"""Picture, question and the task it needs; the first six that this profile can do are shown."""
MOST_EXAMPLES = 6


def example_cards(engine: Engine) -> list[dict[str, Any]]:
    """What the start page offers: questions whose task has an expert here. The tiny model reads English best, so a Chinese card also
    says the English words that it will send."""
    offered = [(name, text) for name, text, task in EXAMPLES if not task or task in engine.tasks()]
    return [_card(text, [str(ASSETS / name)] if name else [], engine.settings.profile == "tiny") for name, text in offered[:MOST_EXAMPLES]]


def _card(text: str, files: list[str], english: bool) -> dict[str, Any]:
    told = say(text)
    shown = f"{told}（{text}）" if english and told != text else told
    return {"text": text if english else told, "display_text": shown, "files": files, **({"icon": files[0]} if files else {})}
