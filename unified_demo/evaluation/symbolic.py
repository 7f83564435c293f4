"""Our model on scenes that nobody photographed: regions go in as perception would have reported them, without pixels.

For benchmarks over drawn dialogues. The scenes are those training draws from, with what the split holds out. No measuring here.
"""

import threading
from collections.abc import Generator, Mapping

import numpy as np
import torch

from unified_demo.config import GenerationOptions
from unified_demo.data.scenes import Scene
from unified_demo.messages import Artefact, Conversation
from unified_demo.model.backend import Seen, TinyModel
from unified_demo.model.encoding import encode_picture
from unified_demo.regions import COLOURS, PARTS, with_whole_picture

UNKNOWN = Scene(tuple(with_whole_picture([], np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32), None)), ())


class SymbolicModel(TinyModel):
    """Shares network and vocabulary of ``model``; what ``scenes`` names by artefact id is not looked at. For one thread at a time.

    A picture that no scene describes and that has no file shows nothing but itself.
    """

    def __init__(self, model: TinyModel) -> None:
        super().__init__(
            model.network,
            model.vocabulary,
            model.perception,
            model.tasks,
            intents=model.intents,
            antecedents=model.antecedents,
            small_talk=model.small_talk,
        )
        self.scenes: Mapping[str, Scene] = {}

    def load(self) -> None:
        """Nothing is left to load."""

    def labels_of(self, artefacts: Mapping[str, Artefact]) -> dict[str, list[str]]:
        return {key: [region.label for region in self.scenes[key].regions] for key in artefacts if key in self.scenes}

    def look(self, artefact: Artefact) -> Seen:
        scene = self.scenes.get(artefact.id)
        if scene is None and artefact.path.is_file():
            return super().look(artefact)
        scene = scene or UNKNOWN
        with torch.no_grad():
            projected = self.network.project(encode_picture(scene.image, scene.regions, self._label_words))
        return Seen(projected, tuple(region.box for region in scene.regions))

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        return (yield from super().generate(conversation, options, cancel))
