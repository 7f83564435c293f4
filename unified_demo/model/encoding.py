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
    """label -> mean word embedding (hidden,), from the frozen language model; remembered."""

    def __init__(self, vocabulary: Vocabulary, words: torch.Tensor) -> None:
        self._vocabulary, self._words = vocabulary, words
        self._known: dict[str, torch.Tensor] = {}

    def __call__(self, label: str) -> torch.Tensor:
        if label not in self._known:
            self._known[label] = self._words[self._vocabulary.encode(" " + label)].float().mean(0)
        return self._known[label]


def encode_picture(image: Floats | None, regions: Sequence[Region], label_words: LabelWords) -> EncodedPicture:
    """``image`` (17, 384) or None, and the regions of one picture, as tensors (see EncodedPicture)."""
    zeros = torch.zeros(FEATURE_WIDTH)
    features = [torch.from_numpy(region.feature) if region.feature is not None else zeros for region in regions]
    known = torch.tensor([[float(region.feature is not None)] for region in regions])
    listed = list(regions)
    return EncodedPicture(
        image=torch.from_numpy(image) if image is not None else torch.zeros(0, FEATURE_WIDTH),
        labels=torch.stack([_label_mix(region, label_words) for region in regions]),
        place=torch.from_numpy(place_features(listed)),
        colours=torch.stack([torch.from_numpy(region.colours).flatten() for region in regions]),
        features=torch.stack(features),
        known=known,
        neighbours=torch.from_numpy(neighbour_weights(listed)),
    )


def _label_mix(region: Region, label_words: LabelWords) -> torch.Tensor:
    """The label's words, mixed with the detector's second guess in proportion to the scores."""
    mixed = label_words(region.label)
    if region.others:
        name, score = region.others[0]
        share = score / (score + region.score)
        mixed = (1 - share) * mixed + share * label_words(name)
    return mixed
