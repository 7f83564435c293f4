"""Sights and conversations -> tensors: what perception saw becomes ``EncodedPicture``, pieces become one embedded sequence.

Shared by training (batches) and chat (one prompt). No learning and no decoding here.
"""

from collections.abc import Sequence

import torch

from unified_demo.model.multimodal_lm import EncodedPicture
from unified_demo.model.projector import FEATURE_WIDTH
from unified_demo.model.tokens import Vocabulary
from unified_demo.regions import Floats, Region, neighbour_weights, place_features


class LabelWords:
    """label -> mean word embedding (hidden,), or its single words' embeddings, from the frozen language model; remembered."""

    def __init__(self, vocabulary: Vocabulary, words: torch.Tensor) -> None:
        self._vocabulary, self._words = vocabulary, words
        self._known: dict[str, torch.Tensor] = {}

    def __call__(self, label: str) -> torch.Tensor:
        if label not in self._known:
            self._known[label] = self.single(label).mean(0)
        return self._known[label]

    def single(self, label: str) -> torch.Tensor:
        """(words, hidden)."""
        return self._words[self._vocabulary.encode(" " + label)].float()


def encode_picture(image: Floats | None, regions: Sequence[Region], label_words: LabelWords) -> EncodedPicture:
    """``image`` (17, 384) or None, and the regions of one picture, as tensors (see EncodedPicture)."""
    zeros = torch.zeros(FEATURE_WIDTH)
    features = [torch.from_numpy(region.feature) if region.feature is not None else zeros for region in regions]
    known = torch.tensor([[float(region.feature is not None)] for region in regions])
    listed = list(regions)
    return EncodedPicture(
        image=torch.from_numpy(image) if image is not None else torch.zeros(0, FEATURE_WIDTH),
        labels=torch.stack([label_words(region.label) for region in regions]),
        names=torch.cat([label_words.single(label) for label in sorted({region.label for region in regions})]),
        place=torch.from_numpy(place_features(listed)),
        colours=torch.stack([torch.from_numpy(region.colours).flatten() for region in regions]),
        features=torch.stack(features),
        known=known,
        neighbours=torch.from_numpy(neighbour_weights(listed)),
    )
