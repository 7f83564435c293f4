"""The editor's networks, in the layout of ``StableDiffusionInstructPix2PixPipeline`` (arXiv 2211.09800), with random weights.

Latents are twice as fine as the generator's and have twice as many channels: what an edit leaves alone, thin lines above all, must
survive them. The UNet takes noised latents and the picture's beside each other. Nothing is trained here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from unified_demo.experts.drawn_edits import drawn_edits
from unified_demo.training.generators.words import END, PAD, SPECIAL, START, UNKNOWN, tokenizer_of

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

SIDE, CHANNELS = 256, 16
"""Pixels of a picture as the editor works on it; latents of one place of 8 x 8 pixels."""
FILLER = ("a", "an", "the", "of", "it", "this", "make", "turn", "into", "to", "be", "look", "like", "as", "in", "at", "on", "with", "and",
          "everything", "all", "picture", "image", "drawing", "please", "change", "put", "give")  # fmt: skip


@dataclass(frozen=True)
class EditorSizes:
    """``channels`` of the UNet's levels, from fine to coarse, and whether a level ``attends`` to words; ``text``: width of the encoder."""

    channels: tuple[int, ...] = (48, 96, 160, 224)
    attends: tuple[bool, ...] = (False, False, True, True)
    groups: int = 16
    heads: int = 4
    text: int = 128


def build_editor_unet(sizes: EditorSizes) -> "UNet2DConditionModel":
    from diffusers import UNet2DConditionModel

    kinds = ["CrossAttn" if attends else "" for attends in sizes.attends]
    return UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=2 * CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=sizes.channels,
        layers_per_block=1,
        norm_num_groups=sizes.groups,
        attention_head_dim=sizes.heads,
        cross_attention_dim=sizes.text,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
    )


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
