"""Neural Tuning: a sparse network beside the attention of each layer, of whose neurons only the strongest fire for a token.

Source: Sun et al., arXiv 2408.03001. From a start layer on the attention's input is projected down to a few neurons, averaged with
the layer below, filtered and projected back onto queries and values. The filter is the same in training and inference (the authors'
code draws its share at random in training and leaves it out at inference). Their tokens <GLB> and <LCL-i> and the decoders that these
feed are not here.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from unified_demo.model.passes import is_switched_off

PASSED = "neural_pass"
"""The argument of the decoder layers that carries one forward pass's neurons upwards."""


@dataclass(frozen=True)
class NeuralConfig:
    """``neurons`` in each layer from ``first_layer`` on, of which the share ``firing`` fires for a token; ``average``: how much of the
    layer below stays in a layer's neurons."""

    neurons: int = 128
    firing: float = 0.4
    average: float = 0.1
    first_layer: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.fired < self.neurons:
            raise ValueError(f"{self.fired} of {self.neurons} neurons would fire; at least one must, and not all.")

    @property
    def fired(self) -> int:
        """How many neurons fire for each token."""
        return round(self.neurons * self.firing)


class ForwardPass:
    """Neurons (..., neurons) of each tuned layer, by its number, in one forward pass; nothing stays from one pass to the next.

    The average runs over layers, never over tokens, so a key-value cache needs nothing of it. A layer that is computed again in the
    backward pass finds here what was below it. Not a dict, for FSDP hands copies of those to the layers.
    """

    def __init__(self) -> None:
        self.layers: dict[int, torch.Tensor] = {}


class SparseNetwork(nn.Module):
    """The neurons of one layer. Switched off none fires, which is the frozen layer."""

    def __init__(self, width: int, config: NeuralConfig) -> None:
        super().__init__()
        self.config = config
        self.down = nn.Linear(width, config.neurons, bias=False)
        self.scale = nn.Parameter(torch.ones(config.neurons))

    def neurons(self, hidden: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        """(..., width) and the neurons of the layer below, if that has any -> (..., neurons) float32 of norm sqrt(neurons)."""
        own = nn.functional.linear(hidden, self.down.weight.to(hidden.dtype)).float()
        if below is not None:
            own = own.lerp(below, self.config.average)
        return nn.functional.rms_norm(own, own.shape[-1:], self.scale.float(), 1e-6)

    def fire(self, neurons: torch.Tensor) -> torch.Tensor:
        """By how much each neuron surpasses the strongest one that does not fire; 0 for those that do not."""
        if is_switched_off():
            return torch.zeros_like(neurons)
        strongest = neurons.topk(self.config.fired + 1, -1).values
        return torch.relu(neurons - strongest[..., -1:])


class NeuralProjection(nn.Module):
    """``y = W x + U s`` around a frozen linear W, for an input (..., width + neurons) that has the fired neurons s behind x.

    U starts at zero, so the layer starts as the frozen one. With ``reads`` off s is cut off and there is no U.
    """

    def __init__(self, base_layer: nn.Module, neurons: int, reads: bool) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.neurons = neurons
        self.neural_up = nn.Linear(neurons, base_layer.out_features, bias=False) if reads else None
        if self.neural_up is not None:
            nn.init.zeros_(self.neural_up.weight)

    def forward(self, joined: torch.Tensor) -> torch.Tensor:
        hidden, fired = joined[..., : -self.neurons], joined[..., -self.neurons :]
        output = self.base_layer(hidden)
        if self.neural_up is None:
            return output
        return output + nn.functional.linear(fired, self.neural_up.weight.to(fired.dtype))


def add_neural_tuning(decoder: nn.Module, config: NeuralConfig) -> list[SparseNetwork]:
    """Put a sparse network beside the attention of the layers of ``decoder`` in place; returns them in order.

    ``decoder`` is a transformers decoder (LlamaModel, Qwen3VLTextModel) whose ``layers`` have a ``self_attn`` with ``q_proj``,
    ``k_proj`` and ``v_proj``, and hand unknown arguments down to it.
    """
    decoder.register_forward_pre_hook(_begin_pass, with_kwargs=True)
    networks = []
    for number, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        if number >= config.first_layer:
            attention.neural = SparseNetwork(attention.q_proj.in_features, config)
            attention.neural_number = number
            networks.append(attention.neural)
            for name in ("q_proj", "k_proj", "v_proj"):
                setattr(attention, name, NeuralProjection(getattr(attention, name), config.neurons, reads=name != "k_proj"))
        attention.register_forward_pre_hook(_join_neurons, with_kwargs=True)
    return networks


def _begin_pass(_decoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    return args, {**kwargs, PASSED: ForwardPass()}


def _join_neurons(attention: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """The attention reads its input with the fired neurons behind it; its projections know which part is theirs. A layer that is run by
    itself (``intents.lower_states``) is in no pass."""
    kwargs = dict(kwargs)
    passed: ForwardPass = kwargs.pop(PASSED, None) or ForwardPass()
    if hasattr(attention, "neural"):
        hidden, number = kwargs["hidden_states"], attention.neural_number
        neurons = attention.neural.neurons(hidden, passed.layers.get(number - 1))
        passed.layers[number] = neurons
        kwargs["hidden_states"] = torch.cat([hidden, attention.neural.fire(neurons).to(hidden.dtype)], -1)
    return args, kwargs
