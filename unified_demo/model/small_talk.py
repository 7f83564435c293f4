"""Small talk: what people say between their wishes ("lovely, thanks", "hm, not quite", "are you a robot?").

The adapters that write tags take such words beside a picture for one more wish, and the frozen language model answers them as anybody's
assistant. So a small network over what its lower layers make of the message tells small talk from everything else, and LoRAMoE adapters of
their own, which know no tags, answer that message alone. Both are trained by ``training.small_talk``.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.functional import gelu

from unified_demo.errors import ModelLoadError
from unified_demo.messages import Conversation, TextPart
from unified_demo.model.intents import Intent, words_of
from unified_demo.model.lora_moe import LoraMoeConfig, LoraMoeLinear

ADAPTERS = "small_talk"
HEAD = "head."
LEAST, CERTAIN = 0.4, 0.85
"""Probability from which a message is taken for small talk where it asks for nothing else, and where it seems to ask for a call or to be
a question of general knowledge."""
_ASKS = re.compile(
    r"\b(?:describe|caption|explain|summari[sz]e|name|list|read|count|find|show|tell|look|see|what|which|who|where|how)\b"
    r".*\b(?:pictures?|photos?|photographs?|images?|drawings?|videos?|clips?|sounds?|recordings?)\b"
    r"|^(?:please )?(?:add|put|write|erase|remove|rotate|flip|crop|zoom|blur)\b",
    re.IGNORECASE,
)
"""What is about the pictures that are there."""


def talk_state(states: torch.Tensor) -> torch.Tensor:
    """(length, hidden) states of a message -> (3 * hidden,): their mean, the last, and the largest but for the first."""
    states = states.float()
    return torch.cat([states.mean(0), states[-1], states[min(1, len(states) - 1) :].amax(0)])


class SmallTalk:
    """``tensors``: of the head, over standardised states ("head.mean", "head.deviation": (3 * hidden,)), "head.into" (width, 3 * hidden),
    "head.bias" (width,), "head.weight" (width,) and "head.least" (); "NAME.lora_A", "NAME.lora_B", "NAME.lora_gate" of each layer of the
    language model that has adapters. ``rank``: of one adapter."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], rank: int) -> None:
        self._head = {name.removeprefix(HEAD): tensor.float() for name, tensor in tensors.items() if name.startswith(HEAD)}
        self._adapters = {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD)}
        self._rank = rank

    @classmethod
    def load(cls, path: Path) -> "SmallTalk":
        """Inverse of ``training.small_talk.save_small_talk``; ModelLoadError when the file does not fit this code."""
        try:
            with safe_open(path, "pt") as handle:
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
                return cls(tensors, int((handle.metadata() or {})["rank"]))
        except (OSError, KeyError, ValueError, SafetensorError) as exc:
            raise ModelLoadError(
                f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit."
            ) from exc

    def share(self, states: torch.Tensor) -> float:
        """(length, hidden) states, as of ``Intent.states``, -> the probability that they are of small talk."""
        head = self._head
        known = head["into"] @ ((talk_state(states) - head["mean"]) / head["deviation"]) + head["bias"]
        return float(torch.sigmoid(gelu(known) @ head["weight"] + head["least"]))

    def is_meant(self, conversation: Conversation, intent: Intent) -> bool:
        """Whether the last message, of nothing but words, is small talk."""
        if intent.states is None or not all(isinstance(part, TextPart) for part in conversation.messages[-1].parts):
            return False
        if conversation.artefacts() and _ASKS.search(words_of(conversation)):
            return False
        return self.share(intent.states) >= (CERTAIN if intent.plan() or intent.plain > LEAST else LEAST)

    def put_into(self, language_model: nn.Module) -> None:
        """Add its adapters to the layers that have some; they work ``using_adapters(ADAPTERS)``. ModelLoadError where they do not fit."""
        layers = adapted_layers(language_model)
        add_talk_adapters(layers, self._rank)
        try:
            for name, layer in layers.items():
                for part in layer.adapter_layer_names:
                    weight = getattr(layer, part)[ADAPTERS].weight
                    weight.data.copy_(self._adapters[f"{name}.{part}"])
        except (KeyError, RuntimeError) as exc:
            raise ModelLoadError(
                f"The adapters of small talk do not fit this language model ({exc}); take those of the same commit."
            ) from exc


def adapted_layers(language_model: nn.Module) -> dict[str, LoraMoeLinear]:
    """Those with LoRAMoE, by name."""
    return {name: module for name, module in language_model.named_modules() if isinstance(module, LoraMoeLinear)}


def add_talk_adapters(layers: Mapping[str, LoraMoeLinear], rank: int) -> None:
    """Fresh ones, as many to a layer as it has of the others."""
    for layer in layers.values():
        layer.update_layer(ADAPTERS, rank, 2 * rank, LoraMoeConfig(adapters=layer.adapters))
