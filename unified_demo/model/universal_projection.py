"""The universal projection module: features of any modality -> a fixed number of embeddings of the language model's width.

Source: Han et al., OneLLM, arXiv 2312.03700. A few projections of transformer blocks are shared by all modalities and mixed by a soft
gate; each modality has query tokens of its own, which collect what the language model gets. ``projection`` is one of those stacks;
``gate`` is not the task router.
"""

from collections.abc import Iterable

import torch
from torch import nn

from unified_demo.model.modality_tokenizers import Modality

QUERIES = 30


class UniversalProjection(nn.Module):
    """(n, tokens, encoder_width) -> (n, queries, language_width).

    The paper's sizes are 3 ``projections`` of 8 ``blocks`` at width 1024; its code normalises sigmoids where the paper, and this, has a
    softmax. One projection is the plain projection.
    """

    def __init__(
        self, encoder_width: int, language_width: int, projections: int = 3, blocks: int = 2, heads: int = 6, queries: int = QUERIES,
        modalities: Iterable[Modality] = tuple(Modality),
    ) -> None:  # fmt: skip
        super().__init__()
        names = [modality.value for modality in modalities]
        self.projections = nn.ModuleList(_stack(encoder_width, blocks, heads) for _ in range(projections))
        self.queries = nn.ParameterDict({name: torch.randn(queries, encoder_width) * 0.02 for name in names})
        self.enter = nn.ModuleDict({name: _linear_norm(encoder_width, encoder_width) for name in names})
        self.gate = nn.ModuleDict({name: _gate(encoder_width, projections) for name in names})
        self.leave = nn.ModuleDict({name: _linear_norm(encoder_width, language_width) for name in names})

    def gates(self, modality: Modality) -> torch.Tensor:
        """(queries, projections), rows sum to 1: which projection fills which query's place.

        The gate reads each token as it enters. Only the queries' places leave, and there it reads the query alone: what it says is a
        property of the modality.
        """
        return torch.softmax(self.gate[modality.value](self.queries[modality.value]), -1)

    def forward(self, features: torch.Tensor, modality: Modality) -> torch.Tensor:
        name = modality.value
        queries = self.queries[name].expand(len(features), -1, -1)
        joined = torch.cat([queries, self.enter[name](features)], 1)
        filled = torch.stack([projection(joined)[:, : queries.shape[1]] for projection in self.projections], -1)
        return self.leave[name]((filled * self.gates(modality)[:, None]).sum(-1))


def _stack(width: int, blocks: int, heads: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(blocks)
        )
    )


def _gate(width: int, projections: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, projections))


def _linear_norm(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, outer), nn.LayerNorm(outer))
