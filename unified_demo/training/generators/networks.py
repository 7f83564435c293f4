"""The networks beside the autoencoder, in diffusers' layouts: a UNet with GLIGEN's fusers and a small CLIP text encoder.

Random weights, but for the text encoder's nouns: they begin as a code of the picture they name, so that nouns that look alike lie near
each other from the first step. Nothing is trained here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unified_demo.training.generators.autoencoder import CHANNELS, FACTOR, SIDE
from unified_demo.training.generators.words import LENGTH

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

CODE_SPREAD = 0.1
"""Standard deviation of the token embeddings."""
OPEN_GATE = 0.5
"""Where the gates of GLIGEN's fusers begin; they are closed at first only where a trained UNet must not be disturbed."""


@dataclass(frozen=True)
class Sizes:
    """``channels`` of the UNet's levels, from fine to coarse, each a multiple of ``groups``, and whether a level ``attends`` to words;
    ``heads`` of its attention (what the library takes under another name); ``text``: width of the text encoder.

    The coarsest level sees the whole picture as one place: from there up every place has weights of its own for what a word means.
    """

    channels: tuple[int, ...] = (32, 96, 192, 192, 256)
    attends: tuple[bool, ...] = (False, True, True, False, False)
    groups: int = 16
    heads: int = 4
    text: int = 256
    text_layers: int = 2


def build_unet(sizes: Sizes) -> "UNet2DConditionModel":
    from diffusers import UNet2DConditionModel

    kinds = ["CrossAttn" if attends else "" for attends in sizes.attends]
    unet = UNet2DConditionModel(
        sample_size=SIDE // FACTOR,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=sizes.channels,
        layers_per_block=1,
        norm_num_groups=sizes.groups,
        attention_head_dim=sizes.heads,
        cross_attention_dim=sizes.text,
        attention_type="gated",
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
    )
    for name, parameter in unet.named_parameters():
        if name.endswith(("fuser.alpha_attn", "fuser.alpha_dense")):
            torch.nn.init.constant_(parameter.data, OPEN_GATE)
    return unet


def without_fusers(unet: "UNet2DConditionModel") -> "UNet2DConditionModel":
    """The same without GLIGEN's parts, which cost a sixth of it and do nothing before boxes are learnt; nor does it say where it began."""
    kept = {name: value for name, value in unet.config.items() if name != "_name_or_path"}
    plain = type(unet).from_config({**kept, "attention_type": "default"})
    plain.load_state_dict({name: value for name, value in unet.state_dict().items() if name in plain.state_dict()})
    return plain.to(memory_format=torch.channels_last).eval()


def build_text_encoder(sizes: Sizes, tokenizer: "PreTrainedTokenizerFast", codes: dict[str, torch.Tensor]) -> "CLIPTextModel":
    """``codes``: noun -> (sizes.text,) that its embedding begins with, mean square 1; other words begin at random."""
    from transformers import CLIPTextConfig, CLIPTextModel

    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=1 + max(tokenizer.get_vocab().values()),
            hidden_size=sizes.text,
            intermediate_size=2 * sizes.text,
            projection_dim=sizes.text,
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=max(1, sizes.text // 64),
            max_position_embeddings=LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    table = encoder.get_input_embeddings().weight.data
    torch.nn.init.normal_(table, std=CODE_SPREAD)
    for noun, code in codes.items():
        table[tokenizer.convert_tokens_to_ids(noun.lower())] = CODE_SPREAD * code
    return encoder


def load_exported(folder: Path, tokenizer: "PreTrainedTokenizerFast") -> "tuple[UNet2DConditionModel, CLIPTextModel]":
    """Both networks of an exported folder in single precision, to be trained on; words that ``tokenizer`` has and the folder has not
    begin at random. OSError when the folder is not there."""
    from diffusers import UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", dtype=torch.float32)
    encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32)
    known = AutoTokenizer.from_pretrained(folder, subfolder="tokenizer").get_vocab()
    numbers = tokenizer.get_vocab()
    before = encoder.get_input_embeddings().weight.detach().clone()
    table = encoder.resize_token_embeddings(1 + max(numbers.values()), mean_resizing=False).weight.data
    torch.nn.init.normal_(table, std=CODE_SPREAD)
    for word, number in numbers.items():
        if word in known:
            table[number] = before[known[word]]
    return unet, encoder


def plain_attention(unet: "UNet2DConditionModel", encoder: "CLIPTextModel") -> None:
    """Attention as two products and a softmax: torch's fused one takes half of a training step on so few tokens on a CPU."""
    from diffusers.models.attention_processor import AttnProcessor

    unet.set_attn_processor(AttnProcessor())
    encoder.set_attn_implementation("eager")


def build_scheduler() -> "DDIMScheduler":
    """Predicts v on a cosine schedule that ends in noise alone; steps are counted from the noisy end, as few steps need."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def picture_codes(latents: torch.Tensor, width: int) -> torch.Tensor:
    """(n, ...) pictures' latents -> (n, width): principal components, half whitened, mean square 1; zeros where n is too small."""
    flat = latents.flatten(1).float()
    left, strength, _ = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    kept = min(width, len(strength) - 1)
    codes = torch.zeros(len(flat), width)
    codes[:, :kept] = left[:, :kept] * strength[:kept].sqrt()
    return codes / codes.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
