"""A tuning of the full profile's language model: put in, saved, and loaded on top of the hub's checkpoint.

LoRAMoE in its feed-forward layers or Neural Tuning beside its attention; both are called adapters here. The checkpoint itself stays as
it is; a file of adapters says of which method they are and for which shape. Training them is ``training.adapters``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from unified_demo.errors import ModelLoadError
from unified_demo.model.multimodal_lm import default_lora
from unified_demo.model.neural_tuning import NeuralConfig
from unified_demo.model.tuning import TunedLayer, Tuning, add_tuning, cast_added, is_added


@dataclass(frozen=True)
class AdapterShape:
    """LoRAMoE: ``adapters`` of rank ``rank`` around each feed-forward projection of the decoder layers from ``first_layer`` on; and of
    the backbone they fit: its ``width`` and number of ``layers``."""

    adapters: int
    rank: int
    first_layer: int
    width: int
    layers: int
    tuning: str = "loramoe"

    def config(self) -> Tuning:
        return default_lora(range(self.first_layer, self.layers), self.adapters, self.rank)


@dataclass(frozen=True)
class NeuralShape:
    """Neural Tuning: ``neurons``, ``firing`` and ``average`` as NeuralConfig has them; the rest as in AdapterShape."""

    neurons: int
    firing: float
    average: float
    first_layer: int
    width: int
    layers: int
    tuning: str = "neural"

    def config(self) -> Tuning:
        return NeuralConfig(self.neurons, self.firing, self.average, self.first_layer)


Shape = AdapterShape | NeuralShape
_SHAPES: dict[str, type[AdapterShape] | type[NeuralShape]] = {"loramoe": AdapterShape, "neural": NeuralShape}


def shape_for(network: Any, adapters: int = 4, rank: int = 8, first_layer: int = 0) -> AdapterShape:
    """The shape of LoRAMoE for a loaded vision-language network."""
    text = network.config.text_config
    return AdapterShape(adapters, rank, first_layer, text.hidden_size, text.num_hidden_layers)


def neural_shape_for(network: Any, neurons: int = 128, first_layer: int = 0) -> NeuralShape:
    """The shape of Neural Tuning for a loaded vision-language network, with the paper's share and average."""
    text, config = network.config.text_config, NeuralConfig(neurons, first_layer=first_layer)
    return NeuralShape(neurons, config.firing, config.average, first_layer, text.hidden_size, text.num_hidden_layers)


def read_shape(kept: dict[str, Any]) -> Shape:
    """Inverse of ``asdict``; KeyError or TypeError for anything else."""
    return _SHAPES[kept["tuning"]](**kept)


def add_adapters(network: Any, shape: Shape) -> Sequence[TunedLayer]:
    """Fresh adapters in float32, which change nothing yet; returns the layers. ModelLoadError where there is nothing to put them on."""
    tuning = shape.config()
    try:
        layers = add_tuning(network, network.model.language_model, tuning)
    except ValueError as exc:
        raise ModelLoadError(f"This language model has no feed-forward layers that adapters fit around ({exc}); take a dense one.") from exc
    for name, module in network.named_modules():
        if is_added(name):
            module.to(network.device)
    return layers


def save_adapters(state: dict[str, torch.Tensor], shape: Shape, path: Path) -> None:
    """What training made, in bfloat16; ``state`` by the network's names, adapters only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    save_file(kept, path, metadata={"shape": json.dumps(asdict(shape))})


def load_adapters(network: Any, path: Path) -> Sequence[TunedLayer]:
    """Put saved adapters into a loaded network, in the network's own precision; returns the layers.

    Raises ModelLoadError when the file is missing or damaged, or was made for another shape of network.
    """
    try:
        with safe_open(path, "pt") as handle:
            shape = read_shape(json.loads((handle.metadata() or {})["shape"]))
        state = load_file(path)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as exc:
        raise ModelLoadError(f"The adapters {path} are missing or no adapters of this project ({exc}).") from exc
    here = shape_for(network)
    if (shape.width, shape.layers) != (here.width, here.layers):
        raise ModelLoadError(
            f"The adapters {path.name} are for a language model of {shape.layers} layers of width {shape.width}, and this one has "
            f"{here.layers} of width {here.width}; choose the model they were trained on with --experts-file."
        )
    layers = add_adapters(network, shape)
    places = {name: value for name, value in network.named_parameters() if is_added(name)}
    if {name: value.shape for name, value in places.items()} != {name: value.shape for name, value in state.items()}:
        raise ModelLoadError(f"The adapters {path.name} do not fit this model or this version of the code; take the ones made for both.")
    cast_added(network, network.dtype)
    with torch.no_grad():
        for name, value in places.items():
            value.copy_(state[name])
    network.requires_grad_(False)
    return layers
