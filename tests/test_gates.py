"""Which adapters work for which task: shares that sum to 1, by layer, and their picture."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from tiny_model import make_network

from unified_demo.evaluation.gates import DRAWN, draw_gates, draw_request, figures, gates_of
from unified_demo.evaluation.symbolic import SymbolicModel
from unified_demo.grammar import TASK_TAGS
from unified_demo.model.backend import TinyModel


@pytest.fixture(scope="module")
def model() -> SymbolicModel:
    network, vocabulary = make_network()
    return SymbolicModel(TinyModel(network, vocabulary, None, TASK_TAGS))


def test_gates_are_shares_of_each_adapted_layer(model: SymbolicModel) -> None:
    for number in range(6):
        gates = gates_of(model, draw_request(number))
        assert gates.shape == (1, 3)
        np.testing.assert_allclose(gates.sum(1), 1.0, atol=1e-5)
    assert not any(layer.record for layer in model.network.lora_layers)


def test_a_gate_that_is_shut_shows(model: SymbolicModel) -> None:
    """With the same weights for all adapters the shares are equal; a gate that prefers one adapter gives it more."""
    gates = [layer.lora_gate["default"].weight for layer in model.network.lora_layers]
    kept = [weight.detach().clone() for weight in gates]
    dialogue = draw_request(1)
    try:
        with torch.no_grad():
            for weight in gates:
                weight.zero_()
        np.testing.assert_allclose(gates_of(model, dialogue), 1 / 3, atol=1e-6)
    finally:
        with torch.no_grad():
            for weight, old in zip(gates, kept, strict=True):
                weight.copy_(old)
    assert figures(gates_of(model, dialogue))["largest"] > 1 / 3 + 1e-3


def test_figures_of_hand_made_gates() -> None:
    found = figures(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    assert found == pytest.approx({"adapter 1": 0.3, "adapter 2": 0.525, "adapter 3": 0.175, "largest": 0.65})


def test_requests_of_every_task_are_drawn_and_are_always_the_same() -> None:
    tasks = {draw_request(number).exchanges[0].task for number in range(0, DRAWN, 2)}
    assert set(TASK_TAGS) <= tasks
    assert draw_request(3).conversation == draw_request(3).conversation


def test_the_picture_has_a_cell_for_each_task_layer_and_adapter() -> None:
    svg = draw_gates({"seg": [[0.5, 0.5], [0.9, 0.1]], "a<b": [[0.2, 0.8], [1.0, 0.0]]}, "gates")
    cells = ET.fromstring(svg).findall("{http://www.w3.org/2000/svg}rect")
    assert len(cells) == 8
    assert [float(cell.get("fill-opacity")) for cell in cells] == [0.5, 0.5, 0.9, 0.1, 0.2, 0.8, 1.0, 0.0]
