"""Weights on disk -> networks: the language model from its GGUF, the encoder from its ONNX file, our trained tensors.

Each source file is converted once and kept as safetensors in the cache, so that the second start is quick.
What is downloaded and where is the zoo's business.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from unified_demo.errors import ModelLoadError
from unified_demo.grammar import TaskSpec
from unified_demo.model.multimodal_lm import MultimodalNetwork, default_lora
from unified_demo.model.neural_tuning import NeuralConfig
from unified_demo.model.tokens import Vocabulary
from unified_demo.model.tuning import Tuning
from unified_demo.model.vision import ImageEncoder, convert_onnx

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def load_language_model(
    gguf: Path, converted: Path, dtype: torch.dtype = torch.bfloat16
) -> tuple["LlamaForCausalLM", "PreTrainedTokenizerBase"]:
    """(LlamaForCausalLM, tokenizer) from a GGUF file; ``converted`` is the folder that keeps the dequantised copy."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    if not (converted / "model.safetensors").exists():
        _convert_language_model(gguf, converted)
    config = LlamaConfig.from_json_file(converted / "config.json")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    state = {name: tensor.to(dtype) for name, tensor in load_file(converted / "model.safetensors").items()}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    return model.eval(), AutoTokenizer.from_pretrained(converted)


def _convert_language_model(gguf: Path, converted: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logger.info("converting %s once", gguf.name)
    converted.mkdir(parents=True, exist_ok=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
        AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(converted)
    except (OSError, ValueError, KeyError) as exc:
        raise ModelLoadError(f"{gguf.name} cannot be read as a GGUF language model; run 'python -m unified_demo.zoo verify'.") from exc
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    (converted / "config.json").write_text(json.dumps(config))
    state = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    _save_atomically(state, converted / "model.safetensors")


def load_encoder(onnx_file: Path, converted: Path, device: str, dtype: torch.dtype) -> ImageEncoder:
    """DINOv2 from its ONNX file; ``converted`` is the safetensors copy that is made once."""
    if not converted.exists():
        converted.parent.mkdir(parents=True, exist_ok=True)
        _save_atomically(convert_onnx(onnx_file), converted)
    return ImageEncoder(load_file(converted), device, dtype)


def _save_atomically(state: dict[str, torch.Tensor], path: Path) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    save_file(state, part)
    part.replace(path)


def build_network(
    language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", config: dict | None = None
) -> tuple[MultimodalNetwork, Vocabulary]:
    """The network around a loaded language model; ``config``: ``first_layer``, ``tuning`` ("loramoe" or "neural") and the arguments
    of ``default_lora`` or ``NeuralConfig``; no LoRAMoE with 0 ``adapters``.
    """
    options = dict(config or {})
    first_layer = options.pop("first_layer", 14)
    vocabulary = Vocabulary(tokenizer, language_model.config.vocab_size)
    tuning: Tuning | None
    if options.pop("tuning", "loramoe") == "neural":
        tuning = NeuralConfig(first_layer=first_layer, **options)
    else:
        layers = range(first_layer, language_model.config.num_hidden_layers)
        tuning = default_lora(layers, **options) if options.get("adapters", 1) else None
    network = MultimodalNetwork(language_model, tuning, first_layer)
    network.init_tags(vocabulary)
    return network, vocabulary


def add_plugins(network: MultimodalNetwork, vocabulary: Vocabulary, plugins: Sequence[TaskSpec]) -> Vocabulary:
    """The vocabulary with the tags of ``plugins`` behind the trained ones; ``network``, its trained tensors loaded, gets rows for them."""
    vocabulary = Vocabulary(vocabulary.tokenizer, vocabulary.vocab_size, plugins)
    if plugins:
        network.add_tags(vocabulary)
    return vocabulary


def save_trained(network: MultimodalNetwork, path: Path, config: dict) -> None:
    """What was trained, in bfloat16, with the configuration in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in network.trained_state().items()}
    save_file(state, path, metadata={"config": json.dumps(config)})
    path.chmod(0o644)


def load_trained(network: MultimodalNetwork, path: Path) -> None:
    """Inverse of ``save_trained``; ModelLoadError when the file does not fit this code."""
    try:
        network.load_trained({name: tensor.float() for name, tensor in load_file(path).items()})
    except (OSError, KeyError, RuntimeError) as exc:
        raise ModelLoadError(f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit.") from exc


def read_config(path: Path) -> dict:
    """The configuration stored beside the trained tensors."""
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as handle:
            return json.loads((handle.metadata() or {})["config"])
    except (OSError, KeyError, ValueError) as exc:
        raise ModelLoadError(f"{path} is missing or is not a trained model of this project.") from exc
