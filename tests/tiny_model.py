"""A two-layer model with random weights and a tokenizer made on the spot, for tests of the network and of decoding."""

import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unified_demo.data.expressions import knowledge
from unified_demo.data.scenes import Scene, draw_scene
from unified_demo.model.encoding import LabelWords, encode_picture
from unified_demo.model.loading import build_network

SENTENCES = [f"Here is the {label} on the left. segment the red {label}, please! I cannot see a {label}." for label in knowledge()]
LABELS = tuple(knowledge())


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", bos_token="<|im_start|>")


def make_network(seed: int = 0, **tuning):
    """(network, vocabulary): two layers, pictures enter at the second, LoRAMoE (or what ``tuning`` says) with random weights."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=2048,
    )  # fmt: skip
    chosen = tuning if "tuning" in tuning else {"adapters": 3, "rank": 4, **tuning}
    network, vocabulary = build_network(LlamaForCausalLM(config), tokenizer, {"first_layer": 1, **chosen})
    with torch.no_grad():
        for name, weight in network.language_model.named_parameters():
            if any(part in name for part in ("lora_B", "lora_gate", "neural_up")):
                weight.normal_(std=0.2)
        network.tag_shifts.normal_(std=0.1)
    return network.eval(), vocabulary


def make_scene(seed: int = 0) -> Scene:
    return draw_scene(random.Random(seed), LABELS, [])


def project(network, vocabulary, scene: Scene):
    """The scene as ProjectedPicture of ``network``."""
    words = LabelWords(vocabulary, network.language_model.get_input_embeddings().weight.detach())
    with torch.no_grad():
        return network.project(encode_picture(scene.image, scene.regions, words))
