"""LoRAMoE: parity with plain LoRA and with the frozen layer, gates, balance, save and reload through peft's own layout."""

import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from unified_demo.model.lora_moe import LoraMoeConfig, LoraMoeLinear, balance_loss


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up_proj = nn.Linear(12, 20)

    def forward(self, hidden):
        return self.up_proj(hidden)


def moe(adapters: int, r: int = 4) -> tuple[nn.Module, LoraMoeLinear]:
    torch.manual_seed(0)
    block = Block()
    model = get_peft_model(block, LoraMoeConfig(adapters=adapters, r=r, lora_alpha=8, target_modules=["up_proj"]))
    layer = model.base_model.model.up_proj
    nn.init.normal_(layer.lora_B["default"].weight)
    nn.init.normal_(layer.lora_gate["default"].weight)
    return model, layer


def test_starts_as_the_frozen_layer():
    torch.manual_seed(0)
    block, hidden = Block(), torch.randn(3, 12)
    expected = block(hidden)
    wrapped = get_peft_model(block, LoraMoeConfig(adapters=4, r=4, target_modules=["up_proj"]))
    assert torch.equal(wrapped(hidden), expected)


def test_one_adapter_is_plain_lora():
    model, layer = moe(adapters=1)
    torch.manual_seed(0)
    plain = get_peft_model(Block(), LoraConfig(r=4, lora_alpha=8, target_modules=["up_proj"]))
    other = plain.base_model.model.up_proj
    other.lora_A["default"].weight.data = layer.lora_A["default"].weight.data.clone()
    other.lora_B["default"].weight.data = layer.lora_B["default"].weight.data.clone()
    hidden = torch.randn(2, 5, 12)
    torch.testing.assert_close(model(hidden), plain(hidden))


def test_mixture_equals_the_sum_over_adapters():
    model, layer = moe(adapters=3)
    hidden = torch.randn(4, 12)
    gate = layer.gate(hidden, "default")
    downs = layer.lora_A["default"].weight.view(3, 4, 12)
    ups = layer.lora_B["default"].weight.view(20, 3, 4)
    expected = layer.base_layer(hidden)
    for index in range(3):
        expected = expected + gate[:, index : index + 1] * 2.0 * (hidden @ downs[index].T @ ups[:, index].T)
    torch.testing.assert_close(model(hidden), expected)


def test_gate_sums_to_one_and_can_be_recorded():
    model, layer = moe(adapters=5)
    layer.record = True
    model(torch.randn(7, 12))
    torch.testing.assert_close(layer.last_gate.sum(-1), torch.ones(7))


def test_disabled_adapters_give_the_frozen_layer():
    model, layer = moe(adapters=2)
    hidden = torch.randn(3, 12)
    with model.disable_adapter():
        assert torch.equal(model(hidden), layer.base_layer(hidden))


def test_saved_and_reloaded_exactly(tmp_path):
    model, _ = moe(adapters=3)
    hidden = torch.randn(3, 12)
    state = peft.get_peft_model_state_dict(model)
    assert any("lora_gate" in name for name in state)
    fresh, _ = moe(adapters=3)
    for parameter in fresh.parameters():
        if parameter.requires_grad:
            nn.init.zeros_(parameter)
    peft.set_peft_model_state_dict(fresh, state)
    assert torch.equal(fresh(hidden), model(hidden))


def test_only_the_adapters_train():
    model, _ = moe(adapters=2)
    trained = {name.rsplit(".default", 1)[0].rsplit(".", 1)[-1] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"lora_A", "lora_B", "lora_gate"}


def test_balance_is_zero_when_even_and_grows_when_one_adapter_takes_all():
    even, one = torch.full((10, 4), 0.25), torch.eye(4)[torch.zeros(10, dtype=torch.long)]
    assert float(balance_loss([even])) == pytest.approx(0.0)
    assert float(balance_loss([one])) == pytest.approx(3.0)


def test_no_adapter_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        LoraMoeConfig(adapters=0)
