"""LoRAMoE on the full profile's language model: added to its feed-forward layers, saved, and loaded on top of the hub's checkpoint.

The checkpoint itself stays as it is; a file of adapters says for which shape it was made. Training them is ``training.adapters``.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from unified_demo.errors import ModelLoadError
from unified_demo.model.lora_moe import LoraMoeLinear, add_lora_moe
from unified_demo.model.multimodal_lm import default_lora

_MARK = "lora_"


@dataclass(frozen=True)
class AdapterShape:
    """``adapters`` of rank ``rank`` around each feed-forward projection of the decoder layers from ``first_layer`` on; and of the
    backbone they fit: its ``width`` and number of ``layers``."""

    adapters: int
    rank: int
    first_layer: int
    width: int
    layers: int


def shape_for(network: Any, adapters: int = 4, rank: int = 8, first_layer: int = 0) -> AdapterShape:
    """The shape for a loaded vision-language network."""
    text = network.config.text_config
    return AdapterShape(adapters, rank, first_layer, text.hidden_size, text.num_hidden_layers)


def add_adapters(network: Any, shape: AdapterShape) -> list[LoraMoeLinear]:
    """Fresh adapters in float32, which change nothing yet; returns the layers. ModelLoadError where there is nothing to put them on."""
    try:
        layers = add_lora_moe(network, default_lora(range(shape.first_layer, shape.layers), shape.adapters, shape.rank))
    except ValueError as exc:
        raise ModelLoadError(f"This language model has no feed-forward layers that adapters fit around ({exc}); take a dense one.") from exc
    for layer in layers:
        for part in (layer.lora_A, layer.lora_B, layer.lora_gate):
            part.to(layer.get_base_layer().weight.device)
    return layers


def save_adapters(state: dict[str, torch.Tensor], shape: AdapterShape, path: Path) -> None:
    """What training made, in bfloat16; ``state`` by the network's names, adapters only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    save_file(kept, path, metadata={"shape": json.dumps(asdict(shape))})


def load_adapters(network: Any, path: Path) -> list[LoraMoeLinear]:
    """Put saved adapters around a loaded network, in the network's own precision; returns the layers.

    Raises ModelLoadError when the file is missing or damaged, or was made for another shape of network.
    """
    try:
        with safe_open(path, "pt") as handle:
            shape = AdapterShape(**json.loads((handle.metadata() or {})["shape"]))
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
    places = {name: value for name, value in network.named_parameters() if _MARK in name}
    if {name: value.shape for name, value in places.items()} != {name: value.shape for name, value in state.items()}:
        raise ModelLoadError(f"The adapters {path.name} do not fit this model or this version of the code; take the ones made for both.")
    for layer in layers:
        for part in (layer.lora_A, layer.lora_B, layer.lora_gate):
            part.to(network.dtype)
    with torch.no_grad():
        for name, value in places.items():
            value.copy_(state[name])
    network.requires_grad_(False)
    return layers
