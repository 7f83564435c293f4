"""Linear layers packed for the CPU: bf16 weights laid out once the way oneDNN wants them, so that decoding one token reads them faster.

Where the operation is missing (another device, precision or build) layers stay as they are.
"""

import torch
from torch import nn

from unified_demo.model.tuning import is_added


class PackedLinear(nn.Module):
    """``y = W x`` for a frozen bf16 CPU weight; (..., in) -> (..., out). Not for training."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), 1)
        self.bias = linear.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(hidden, self.packed, self.bias, "none", [], "")


def can_pack(weight: torch.Tensor) -> bool:
    """bf16 on a CPU whose torch has the packed operation."""
    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16 or not torch.backends.mkldnn.is_available():
        return False
    return hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def pack_linears(module: nn.Module) -> int:
    """Replace every packable frozen ``nn.Linear`` below ``module`` in place, what a tuning added excepted; returns how many."""
    count = 0
    for name, child in list(module.named_children()):
        if is_added(name):
            continue
        if type(child) is nn.Linear and can_pack(child.weight):
            setattr(module, name, PackedLinear(child))
            count += 1
        else:
            count += pack_linears(child)
    return count
