"""Two ways to tune a frozen language model, LoRAMoE and Neural Tuning, under one roof: put in and told apart.

Each has a module of its own; what differs for those who train and save is here.
"""

from collections.abc import Sequence

import torch
from torch import nn

from unified_demo.model.lora_moe import LoraMoeConfig, LoraMoeLinear, add_lora_moe
from unified_demo.model.neural_tuning import NeuralConfig, SparseNetwork, add_neural_tuning

Tuning = LoraMoeConfig | NeuralConfig
TunedLayer = LoraMoeLinear | SparseNetwork
TUNINGS = ("loramoe", "neural")
_ADDED = ("lora_", "neural")


def is_added(name: str) -> bool:
    """Whether a parameter or module of that (dotted) name came with the tuning."""
    return any(part.startswith(_ADDED) for part in name.split("."))


def cast_added(network: nn.Module, dtype: torch.dtype) -> None:
    """What the tuning added, in another precision, for inference."""
    for name, parameter in network.named_parameters():
        if is_added(name):
            parameter.data = parameter.data.to(dtype)


def add_tuning(network: nn.Module, decoder: nn.Module, tuning: Tuning) -> Sequence[TunedLayer]:
    """Put the tuning into ``network``, whose decoder layers are in ``decoder``, in place; the new layers in order."""
    return add_lora_moe(network, tuning) if isinstance(tuning, LoraMoeConfig) else add_neural_tuning(decoder, tuning)


def gated(layers: Sequence[TunedLayer]) -> list[LoraMoeLinear]:
    """Those of ``layers`` that have a gate to be balanced."""
    return [layer for layer in layers if isinstance(layer, LoraMoeLinear)]
