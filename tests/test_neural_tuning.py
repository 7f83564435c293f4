"""Neural Tuning at two layers on both backbones: starts as the frozen model, fires its share, one token at a time is the whole at once."""

import random
from pathlib import Path

import pytest
import torch
from tiny_model import LABELS, make_network, make_scene, project
from tiny_vlm import make_checkpoint
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from unified_demo.config import Settings
from unified_demo.conversation import render_conversation
from unified_demo.data.dialogues import DialogueWriter
from unified_demo.errors import ModelLoadError
from unified_demo.messages import Conversation, Message, TextPart
from unified_demo.model.decoder import Decoder
from unified_demo.model.loading import load_trained, read_config, save_trained
from unified_demo.model.neural_tuning import NeuralConfig, NeuralProjection, add_neural_tuning
from unified_demo.model.packing import pack_linears
from unified_demo.model.passes import is_switched_off, switched_off
from unified_demo.model.tokens import Tokens
from unified_demo.model.tuning import cast_added, is_added
from unified_demo.model.vlm import read_checkpoint
from unified_demo.training.loop import Example, LoopOptions, Trainer

CONFIG = NeuralConfig(neurons=10, firing=0.4, average=0.3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("vlm"), initializer_range=0.3, num_hidden_layers=3)


def llama() -> LlamaModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    return LlamaModel(LlamaConfig(**sizes, num_key_value_heads=2, initializer_range=0.3)).eval()


def qwen(checkpoint: Path) -> Qwen3VLTextModel:
    return read_checkpoint(checkpoint, Settings(device="cpu", precision="float32"))[0].model.language_model


@pytest.fixture(params=["SmolLM2's kind", "Qwen3-VL's kind"])
def decoder(request: pytest.FixtureRequest, checkpoint: Path) -> nn.Module:
    return llama() if request.param.startswith("Smol") else qwen(checkpoint)


def awake(decoder: nn.Module) -> None:
    """Back-projections that matter."""
    torch.manual_seed(1)
    for name, parameter in decoder.named_parameters():
        if "neural_up" in name:
            nn.init.normal_(parameter, std=0.5)


def words(length: int = 7) -> torch.Tensor:
    return torch.randn(2, length, 32, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_it_starts_as_the_frozen_model_and_goes_back_to_it(decoder: nn.Module) -> None:
    expected = decoder(inputs_embeds=words()).last_hidden_state
    add_neural_tuning(decoder, CONFIG)
    assert torch.equal(decoder(inputs_embeds=words()).last_hidden_state, expected)
    awake(decoder)
    assert not torch.allclose(decoder(inputs_embeds=words()).last_hidden_state, expected, atol=1e-2)
    with switched_off():
        assert torch.equal(decoder(inputs_embeds=words()).last_hidden_state, expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("neurons", "share", "count"), [(128, 0.4, 51), (10, 0.4, 4), (16, 0.25, 4)])
def test_exactly_the_strongest_share_fires_for_every_token(neurons: int, share: float, count: int, training: bool) -> None:
    decoder = llama().train(training)
    (network, *_) = add_neural_tuning(decoder, NeuralConfig(neurons, share))
    seen: list[torch.Tensor] = []
    for layer in decoder.layers:
        layer.self_attn.q_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0][..., -neurons:].detach()))
    decoder(inputs_embeds=words(20))
    assert len(seen) == 3
    assert all((fired > 0).sum(-1).eq(count).all() and (fired >= 0).all() for fired in seen)
    order = torch.randn(4, neurons, generator=torch.Generator().manual_seed(3))
    strongest = order.topk(count, -1).indices.sort(-1).values
    assert torch.equal(network.fire(order).nonzero()[:, 1].view(4, count), strongest)


@torch.no_grad()
def test_it_is_what_the_paper_says(decoder: nn.Module) -> None:
    """Written out layer by layer: average with the layer below, filter, additions to queries and values; keys as they were."""
    add_neural_tuning(decoder, NeuralConfig(10, 0.4, 0.3, first_layer=1))
    awake(decoder)
    heard: dict[str, torch.Tensor] = {}

    def listen(name: str, place: nn.Module) -> None:
        place.register_forward_hook(lambda _, args, output: heard.update({name: output}))

    for number, layer in enumerate(decoder.layers):
        listen(f"x{number}", layer.input_layernorm)
        for part in "qkv":
            listen(f"{part}{number}", getattr(layer.self_attn, part + "_proj"))
    decoder(inputs_embeds=words())
    below = None
    for number, layer in enumerate(decoder.layers):
        attention, hidden = layer.self_attn, heard[f"x{number}"]
        if number == 0:
            assert not hasattr(attention, "neural") and torch.equal(heard["q0"], attention.q_proj(hidden))
            continue
        own = hidden @ attention.neural.down.weight.T
        mixed = own if below is None else 0.7 * own + 0.3 * below
        below = mixed / (mixed.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        fired = torch.relu(below - below.sort(-1, descending=True).values[..., 4:5])
        for part in "qkv":
            projection = getattr(attention, part + "_proj")
            assert isinstance(projection, NeuralProjection)
            added = 0 if part == "k" else fired @ projection.neural_up.weight.T
            torch.testing.assert_close(heard[f"{part}{number}"], projection.base_layer(hidden) + added, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_one_token_at_a_time_is_the_whole_at_once(decoder: nn.Module) -> None:
    """The average runs over layers, not over tokens: with a cache, with two answers in turns, nothing leaks."""
    add_neural_tuning(decoder, CONFIG)
    awake(decoder)
    both = [words(9)[:1], words(9)[1:]]
    whole = [decoder(inputs_embeds=one).last_hidden_state for one in both]
    caches = [DynamicCache(config=decoder.config) for _ in both]
    begun = [decoder(inputs_embeds=one[:, :4], past_key_values=cache, use_cache=True) for one, cache in zip(both, caches, strict=True)]
    written = [output.last_hidden_state for output in begun]
    for place in range(4, 9):
        for number, cache in enumerate(caches):
            step = decoder(inputs_embeds=both[number][:, place : place + 1], past_key_values=cache, use_cache=True).last_hidden_state
            written[number] = torch.cat([written[number], step], 1)
    for one, expected in zip(written, whole, strict=True):
        torch.testing.assert_close(one, expected, atol=1e-4, rtol=1e-4)


def test_gradients_only_in_its_own_weights_and_the_same_when_computed_again(decoder: nn.Module) -> None:
    decoder.requires_grad_(False).train()
    add_neural_tuning(decoder, CONFIG)
    awake(decoder)
    trained = {name: weight for name, weight in decoder.named_parameters() if weight.requires_grad}
    assert all(is_added(name) for name in trained) and len(trained) == 3 * 4
    gradients = []
    for again in (False, True):
        if again:
            decoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        decoder(inputs_embeds=words().requires_grad_()).last_hidden_state.square().sum().backward()
        gradients.append({name: weight.grad.clone() for name, weight in trained.items() if weight.grad is not None})
        decoder.zero_grad()
    assert set(gradients[0]) == set(trained) and all(gradient.any() for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-4)


def test_the_loss_falls_by_its_weights_alone(decoder: nn.Module) -> None:
    """Learnt: to say at each place the first word's state, which only attention can fetch."""
    decoder.requires_grad_(False).train()
    add_neural_tuning(decoder, NeuralConfig(24))
    optimizer = torch.optim.Adam([weight for weight in decoder.parameters() if weight.requires_grad], 2e-2)
    losses = []
    for _ in range(40):
        states = decoder(inputs_embeds=words()).last_hidden_state
        loss = (states - states[:, :1].detach()).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0], losses


def test_a_share_that_fires_none_or_all_is_refused() -> None:
    with pytest.raises(ValueError, match="0 of 10 neurons would fire"):
        NeuralConfig(10, 0.01)
    with pytest.raises(ValueError, match="10 of 10"):
        NeuralConfig(10, 1.0)


# ---- in the tiny profile's network ----

TINY = {"tuning": "neural", "neurons": 12, "first_layer": 1}


def test_the_tiny_network_is_saved_and_reloaded_exactly(tmp_path: Path) -> None:
    network, _ = make_network(**TINY)
    assert not network.lora_layers and sum("neural" in name for name in network.trained_state()) == 4
    save_trained(network, tmp_path / "model.safetensors", TINY)
    config = read_config(tmp_path / "model.safetensors")
    assert config == TINY
    again, _ = make_network(seed=1, **config)
    load_trained(again, tmp_path / "model.safetensors")
    for name, tensor in network.trained_state().items():
        torch.testing.assert_close(again.trained_state()[name], tensor.bfloat16().float(), rtol=0, atol=0)


def test_weights_of_one_method_are_refused_by_the_other(tmp_path: Path) -> None:
    network, _ = make_network(**TINY)
    save_trained(network, tmp_path / "model.safetensors", TINY)
    with pytest.raises(ModelLoadError, match="does not fit"):
        load_trained(make_network()[0], tmp_path / "model.safetensors")


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_of_the_tiny_network_step_by_step(packed: bool) -> None:
    """Float32 as trained, and as it is served: bfloat16, frozen weights packed, what was added cast."""
    network, vocabulary = make_network(**TINY)
    if packed:
        network.language_model.bfloat16()
        cast_added(network.language_model, torch.bfloat16)
        pack_linears(network.language_model)
    scene = make_scene(3)
    conversation = DialogueWriter(scene, LABELS, random.Random(3)).write(2)
    boxes = {"img-1": [region.box for region in scene.regions]}
    tokens = vocabulary.tokenize(render_conversation(conversation, add_answer_start=False), {"img-1": 0}, boxes)
    projected = {"img-1": project(network, vocabulary, scene)}
    whole = Decoder(network, tokens, projected).logits
    cut = len(tokens.ids) - 12
    decoder = Decoder(network, Tokens(tokens.ids[:cut], tokens.labels[:cut], tokens.slots[:cut], tokens.proposals), projected)
    assert decoder.gate_usage() == {}
    for token in tokens.ids[cut:]:
        decoder.step(token)
    finite = whole.isfinite()
    torch.testing.assert_close(decoder.logits[finite], whole[finite], rtol=1e-3, atol=5e-2 if packed else 1e-3)


def test_the_loss_falls_and_only_what_is_trained_changes(tmp_path: Path) -> None:
    network, vocabulary = make_network(**TINY)
    with torch.no_grad():
        network.language_model.get_input_embeddings().weight.mul_(8)
    scene = make_scene(1)
    example = Example({"img-1": scene}, DialogueWriter(scene, LABELS, random.Random(1)).write(1))
    options = LoopOptions(minutes=1e6, steps=30, batch=1, warmup_steps=1, lr=2e-2, lora_lr=2e-2)
    trainer = Trainer(network, vocabulary, lambda rng: example, options, tmp_path)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    losses: list[float] = []
    trainer.run(lambda figures: losses.append(figures["loss"]))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), losses
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= set(network.trained_state())
    assert sum(is_added(name) for name in changed) == 4


def test_plain_chat_is_kept_close_to_the_frozen_model(tmp_path: Path) -> None:
    """The divergence is that from the untuned language model: none before anything is learnt."""
    network, vocabulary = make_network(**TINY)
    said = Conversation((Message("user", (TextPart("segment the dog"),)), Message("assistant", (TextPart("I cannot see a dog."),))))
    trainer = Trainer(network, vocabulary, lambda rng: Example({}, said, keep=True), LoopOptions(batch=1), tmp_path)
    drifts = [trainer.loss(trainer.next_batch())[1]["drift"]]
    with torch.no_grad():
        network.tag_shifts.zero_()
        for name, weight in network.named_parameters():
            if "neural_up" in name:
                weight.zero_()
    drifts.append(trainer.loss(trainer.next_batch())[1]["drift"])
    assert drifts[0] > drifts[1] >= 0
    assert not is_switched_off()
