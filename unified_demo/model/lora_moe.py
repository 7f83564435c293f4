"""LoRAMoE: several low-rank adapters per FFN projection, mixed for each token by a dense softmax gate.

Source: Dou et al., arXiv 2312.09979, as used by UnifiedMLLM. The adapters of one layer are stacked into one pair of matrices,
so a mixture costs two products whatever their number. Here ``gate`` always means the mixture's gate, never the task router.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from unified_demo.model.passes import adapters_in_use, is_switched_off

FFN_PROJECTIONS = ("gate_proj", "up_proj", "down_proj")


@dataclass
class LoraMoeConfig(LoraConfig):
    """A peft LoraConfig plus ``adapters``, the number of adapters in each layer; ``r`` is the rank of one adapter."""

    adapters: int = field(default=4, metadata={"help": "low-rank adapters per projection, mixed by the gate"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adapters < 1:
            raise ValueError(f"adapters is {self.adapters}; at least one is needed.")
        self._register_custom_module({nn.Linear: LoraMoeLinear})


class LoraMoeLinear(nn.Module, LoraLayer):
    """``y = W x + alpha/r * sum_i gate_i(x) B_i A_i x`` around a frozen ``nn.Linear``, as a peft layer.

    Per adapter name: lora_A (adapters*r, in), lora_B (out, adapters*r), lora_gate (adapters, in). lora_B starts at zero, so the
    layer starts as the frozen one. A token-gated mixture cannot be merged into W. ``last_gate`` (..., adapters) keeps the gate of
    the latest call while ``record`` is set.
    """

    adapter_layer_names = ("lora_A", "lora_B", "lora_gate")

    def __init__(
        self, base_layer: nn.Linear, adapter_name: str, config: LoraMoeConfig, r: int = 8, lora_alpha: float = 16, **kwargs: Any
    ) -> None:
        super().__init__()
        LoraLayer.__init__(self, base_layer)
        self.lora_gate = nn.ModuleDict({})
        self.adapters = config.adapters
        self.record = False
        self.last_gate: torch.Tensor | None = None
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, r, lora_alpha, config=config)

    def update_layer(self, adapter_name: str, r: int, lora_alpha: float, config: LoraMoeConfig, **kwargs: Any) -> None:
        """Add a freshly initialised adapter set under ``adapter_name``."""
        self.r[adapter_name], self.lora_alpha[adapter_name] = r, lora_alpha
        self.scaling[adapter_name] = lora_alpha / r
        inner = config.adapters * r
        self.lora_A[adapter_name] = nn.Linear(self.in_features, inner, bias=False)
        self.lora_B[adapter_name] = nn.Linear(inner, self.out_features, bias=False)
        self.lora_gate[adapter_name] = nn.Linear(self.in_features, config.adapters, bias=False)
        nn.init.zeros_(self.lora_B[adapter_name].weight)
        nn.init.zeros_(self.lora_gate[adapter_name].weight)
        self.set_adapter(self.active_adapters)

    def gate(self, hidden: torch.Tensor, name: str) -> torch.Tensor:
        """(..., in) -> (..., adapters), sums to 1."""
        return torch.softmax(nn.functional.linear(hidden, self.lora_gate[name].weight.to(hidden.dtype)), -1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        output = self.base_layer(hidden)
        if self.disable_adapters or is_switched_off():
            return output
        other = adapters_in_use()
        for name in (other,) if other in self.lora_A else self.active_adapters:
            gate = self.gate(hidden, name)
            if self.record:
                self.last_gate = gate
            low = nn.functional.linear(hidden, self.lora_A[name].weight.to(hidden.dtype))
            mixed = low.unflatten(-1, (self.adapters, self.r[name])) * (gate * self.scaling[name]).unsqueeze(-1)
            output = output + nn.functional.linear(mixed.flatten(-2), self.lora_B[name].weight.to(hidden.dtype))
        return output


def add_lora_moe(language_model: nn.Module, config: LoraMoeConfig) -> list[LoraMoeLinear]:
    """Put LoRAMoE around ``config.target_modules`` of ``language_model`` in place; returns the new layers in order."""
    inject_adapter_in_model(config, language_model)
    return [module for module in language_model.modules() if isinstance(module, LoraMoeLinear)]


def balance_loss(gates: list[torch.Tensor]) -> torch.Tensor:
    """CV^2 of the adapters' total gate mass, mean over layers: 0 when all adapters are used alike, or there is none."""
    if not gates:
        return torch.zeros(())
    losses = []
    for gate in gates:
        mass = gate.float().flatten(0, -2).sum(0)
        losses.append(mass.var(unbiased=False) / mass.mean().clamp_min(1e-9) ** 2)
    return torch.stack(losses).mean()
