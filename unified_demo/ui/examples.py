"""The cards of the start page: a picture, a question and the task it needs. What has no expert here is not offered."""

from pathlib import Path
from typing import Any, NamedTuple

from unified_demo.engine import Engine
from unified_demo.ui.words import say

ASSETS = Path(__file__).resolve().parents[2] / "assets"


class Example(NamedTuple):
    """A card: name of its picture in ``assets`` ("": none), what it asks, and the tag of the task that answers it ("": words alone)."""

    picture: str
    text: str
    task: str

    @property
    def files(self) -> list[str]:
        return [str(ASSETS / self.picture)] if self.picture else []


EXAMPLES = (
    Example("giraffes.jpg", "Segment the giraffe on the left", "seg"),
    Example("astronaut.jpg", "Make it look like a watercolour", "edit"),
    Example("", "Draw a red fox in the snow", "gen"),
    Example("coffee.jpg", "Remove the spoon", "redit"),
    Example("", "Draw a fox to the left of a car", "layout"),
    Example("cat.jpg", "Describe this picture", ""),
    Example("dog.jpg", "Make the dog blue", "redit"),
    Example("dog.jpg", "Segment the dog", "seg"),
    Example("astronaut.jpg", "Segment the person", "seg"),
    Example("coffee.jpg", "Where is the spoon?", ""),
    Example("", "Make the sound of rain on a roof", "agen"),
)
"""The first six that this profile can do are shown: in the tiny profile one for each of its tasks, and one for words alone."""
MOST_EXAMPLES = 6


def offered(engine: Engine) -> list[Example]:
    """What the start page offers: questions whose task has an expert here."""
    return [example for example in EXAMPLES if not example.task or example.task in engine.tasks()][:MOST_EXAMPLES]


def example_cards(engine: Engine) -> list[dict[str, Any]]:
    """Those as the chat component wants them. The tiny model reads English best, so a Chinese card also says the English words that it
    will send."""
    return [_card(example, engine.settings.profile == "tiny") for example in offered(engine)]


def _card(example: Example, english: bool) -> dict[str, Any]:
    told, files = say(example.text), example.files
    shown = f"{told}（{example.text}）" if english and told != example.text else told
    return {"text": example.text if english else told, "display_text": shown, "files": files, **({"icon": files[0]} if files else {})}
