"""Projectors: encoder features and region proposals become embeddings of the language model.

The image projector turns 1 + 16 pooled vectors into 17 embeddings. The region projector makes one embedding per proposal
from its label's words, place, colours, pooled feature and neighbours.
Both are added to the hidden states of a middle layer, hence the gain. They do not run the encoder or the detector.
"""

import torch
from torch import nn

from unified_demo.regions import COLOURS, PARTS, PLACE_WIDTH, RELATIONS

IMAGE_SIDE = 4
IMAGE_TOKENS = 1 + IMAGE_SIDE * IMAGE_SIDE
FEATURE_WIDTH = 384
GAIN = 4.0
"""Size of one number of the output at the start; hidden states there are about 6."""


class ImageProjector(nn.Module):
    """(..., 17, 384) -> (..., 17, hidden): a two-layer MLP with a learnt position for each place."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(FEATURE_WIDTH)
        self.up = nn.Linear(FEATURE_WIDTH, hidden_size)
        self.down = nn.Linear(hidden_size, hidden_size)
        self.place = nn.Parameter(torch.zeros(IMAGE_TOKENS, hidden_size))
        self.gain = nn.Parameter(torch.full((hidden_size,), GAIN))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        joined = self.down(nn.functional.gelu(self.up(self.norm(features)))) + self.place
        return nn.functional.rms_norm(joined, joined.shape[-1:]) * self.gain


class RegionProjector(nn.Module):
    """One embedding per proposal.

    Inputs (n proposals of one picture): ``labels`` (n, hidden) mean word embedding of the label, ``place`` (n, PLACE_WIDTH),
    ``colours`` (n, PARTS*len(COLOURS)), ``features`` (n, 384) and ``known`` (n, 1) whether the feature is there,
    ``neighbours`` (RELATIONS, n, n). Output (n, hidden).
    """

    def __init__(self, hidden_size: int, node_width: int = 96, inner: int = 1024) -> None:
        super().__init__()
        colour_width = PARTS * len(COLOURS)
        self.feature_norm = nn.LayerNorm(FEATURE_WIDTH)
        self.feature = nn.Linear(FEATURE_WIDTH, 192)
        self.label = nn.Linear(hidden_size, 256)
        self.node = nn.Linear(256 + PLACE_WIDTH + colour_width, node_width)
        self.up = nn.Linear(256 + PLACE_WIDTH + colour_width + 192 + 1 + RELATIONS * node_width, inner)
        self.down = nn.Linear(inner, hidden_size)
        self.gain = nn.Parameter(torch.full((hidden_size,), GAIN))

    def forward(
        self,
        labels: torch.Tensor,
        place: torch.Tensor,
        colours: torch.Tensor,
        features: torch.Tensor,
        known: torch.Tensor,
        neighbours: torch.Tensor,
    ) -> torch.Tensor:
        label = nn.functional.gelu(self.label(labels * 8))
        own = torch.cat([label, place, colours], -1)
        node = nn.functional.gelu(self.node(own))
        around = torch.einsum("...rij,...jd->...ird", neighbours, node).flatten(-2)
        seen = self.feature(self.feature_norm(features)) * known
        joined = torch.cat([own, seen, known, around], -1)
        mixed = self.down(nn.functional.gelu(self.up(joined)))
        return nn.functional.rms_norm(mixed, mixed.shape[-1:]) * self.gain
