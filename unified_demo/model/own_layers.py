"""Layers of the language model that a reader of messages has for itself: copies that training changed, and that read in both directions.

The language model stays frozen; what a copy differs by is kept as low-rank matrices, as in LoRA (Hu et al., arXiv 2106.09685). That a
decoder reads better for once with its causal mask gone is known from LLM2Vec (BehnamGhader et al., arXiv 2404.05961). It chooses nothing.
"""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import nn

from unified_demo.errors import ModelLoadError


class OwnLayers(nn.Module):
    """Copies of the layers ``first`` to ``last`` - 1 of a Llama ``backbone``. Their weights are those of the backbone at first."""

    def __init__(self, backbone: nn.Module, first: int, last: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(deepcopy(layer) for layer in backbone.layers[first:last])
        self.rotary = deepcopy(backbone.rotary_emb)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, length, hidden) states behind the layer ``first`` - 1 and the (batch, length) mask of those that are words -> as many."""
        places = torch.arange(states.shape[1], device=states.device)[None]
        angles = self.rotary(states, places)
        seen = mask[:, None, None, :].expand(-1, 1, states.shape[1], -1)
        for layer in self.layers:
            states = layer(states, attention_mask=seen, position_ids=places, position_embeddings=angles)
        return states

    @torch.no_grad()
    def differences(self, backbone: nn.Module, first: int, rank: int) -> dict[str, torch.Tensor]:
        """What the weights differ by from the backbone's: of a matrix ``name.up`` (out, rank) and ``name.down`` (rank, in), of a vector the
        whole of it."""
        found: dict[str, torch.Tensor] = {}
        for number, layer in enumerate(self.layers):
            frozen = dict(backbone.layers[first + number].named_parameters())
            for name, weight in layer.named_parameters():
                change = weight.float() - frozen[name].float()
                if change.ndim == 1:
                    found[f"{number}.{name}"] = change
                    continue
                left, size, right = torch.linalg.svd(change, full_matrices=False)
                root = size[:rank].sqrt()
                found[f"{number}.{name}.up"] = left[:, :rank] * root
                found[f"{number}.{name}.down"] = root[:, None] * right[:rank]
        return found

    @torch.no_grad()
    def differ_by(self, differences: Mapping[str, torch.Tensor]) -> "OwnLayers":
        """Inverse of ``differences``, once; ModelLoadError where they are those of another language model."""
        try:
            for number, layer in enumerate(self.layers):
                for name, weight in layer.named_parameters():
                    key = f"{number}.{name}"
                    change = differences[key] if weight.ndim == 1 else differences[f"{key}.up"].float() @ differences[f"{key}.down"].float()
                    weight.copy_(weight.float() + change.float().to(weight.device))
        except (KeyError, RuntimeError) as exc:
            raise ModelLoadError(f"The layers of the reader of messages do not fit this language model ({exc}).") from exc
        return self
