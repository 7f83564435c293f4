"""The editor's networks, in the layout of ``StableDiffusionInstructPix2PixPipeline`` (arXiv 2211.09800), with random weights.

Latents are twice as fine as the generator's and have twice as many channels: what an edit leaves alone, thin lines above all, must
survive them. The UNet takes noised latents and the picture's beside each other. Nothing is trained here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from unified_demo.experts.drawn_edits import drawn_edits
from unified_demo.training.generators.autoencoder import SCALING
from unified_demo.training.generators.words import END, PAD, SPECIAL, START, UNKNOWN, tokenizer_of

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

SIDE, CHANNELS = 256, 16
"""Pixels of a picture as the editor works on it; latents of one place of 8 x 8 pixels."""
FILLER = ("a", "an", "the", "of", "it", "this", "make", "turn", "into", "to", "be", "look", "like", "as", "in", "at", "on", "with", "and",
          "everything", "all", "picture", "image", "drawing", "please", "change", "put", "give")  # fmt: skip


LARGE = 8.0
"""Against latents of a standard deviation of 0.4."""


@dataclass(frozen=True)
class EditorSizes:
    """``channels`` of the UNet's levels, from fine to coarse; ``text``: width of the encoder; ``heads`` of what pools its tokens."""

    channels: tuple[int, ...] = (48, 96, 160, 224)
    groups: int = 16
    heads: int = 4
    text: int = 128


def build_editor_unet(sizes: EditorSizes) -> "UNet2DConditionModel":
    """The words scale and shift every block: they say what is done, not where, and reach a short training's weights at once."""
    from diffusers import UNet2DConditionModel

    levels = len(sizes.channels)
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=2 * CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=sizes.channels,
        layers_per_block=1,
        norm_num_groups=sizes.groups,
        cross_attention_dim=sizes.text,
        addition_embed_type="text",
        addition_embed_type_num_heads=sizes.heads,
        resnet_time_scale_shift="scale_shift",
        down_block_types=("DownBlock2D",) * levels,
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D",) * levels,
    )
    _begin_unchanged(unet)
    return unet


@torch.no_grad()
def _begin_unchanged(unet: "UNet2DConditionModel") -> None:
    """At the first level of noise the answer is the picture as it was: what is learnt is what an edit adds to it.

    Each latent passes from the first layer over the last block's skip as itself, as its negative and beside a constant that is large
    enough for the group's normalisation to scale all pictures alike; silu(z) - silu(-z) = z puts it together again. Other paths begin
    at nothing. ValueError when the finest level is not three times as wide as the latents, in groups of three.
    """
    first, last, norm = unet.conv_in, unet.up_blocks[-1].resnets[-1], unet.conv_norm_out
    width = first.out_channels
    if width != 3 * CHANNELS or norm.num_groups != CHANNELS:
        raise ValueError(f"The finest level has {width} channels in {norm.num_groups} groups; {3 * CHANNELS} in {CHANNELS} are needed.")
    for layer in (first, last.conv_shortcut, last.conv2, unet.conv_out):
        layer.weight.zero_()
        layer.bias.zero_()
    shortcut, spread = last.conv_shortcut.weight, LARGE * 2**0.5 / 3
    for latent in range(CHANNELS):
        own, negative, constant = (3 * latent + part for part in range(3))
        first.weight[own, CHANNELS + latent, 1, 1], first.weight[negative, CHANNELS + latent, 1, 1] = 1, -1
        first.bias[constant] = LARGE
        for channel in (own, negative, constant):
            shortcut[channel, shortcut.shape[1] - width + channel, 0, 0] = 1
        for channel in (own, negative):
            norm.weight[channel], norm.bias[channel] = spread, LARGE / 3
        unet.conv_out.weight[latent, own, 1, 1], unet.conv_out.weight[latent, negative, 1, 1] = -SCALING, SCALING


def edit_words() -> tuple[dict[str, int], list[int]]:
    """Spelling -> its token, and for each token the one that is trained for it: the name of the edit."""
    meant = {name: name for name in (*SPECIAL, *drawn_edits())}
    for edit in drawn_edits().values():
        for word in edit.words:
            meant.setdefault(word, edit.name)
    numbers = {spelling: number for number, spelling in enumerate(meant)}
    return numbers, [numbers[name] for name in meant.values()]


def editor_tokenizer() -> "PreTrainedTokenizerFast":
    return tokenizer_of(edit_words()[0], FILLER)


def build_editor_words(sizes: EditorSizes, tokenizer: "PreTrainedTokenizerFast") -> "CLIPTextModel":
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=1 + max(tokenizer.get_vocab().values()),
        hidden_size=sizes.text,
        intermediate_size=2 * sizes.text,
        projection_dim=sizes.text,
        num_hidden_layers=1,
        num_attention_heads=max(1, sizes.text // 64),
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        bos_token_id=tokenizer.convert_tokens_to_ids(START),
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
    )
    encoder = CLIPTextModel(config)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight.data, std=0.5)
    assert tokenizer.unk_token == UNKNOWN
    return encoder
