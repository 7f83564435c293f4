"""Tiny random checkpoints in the exact layout of the hub's: Stable Diffusion, GLIGEN (text and inpainting), InstructPix2Pix."""

import json
import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionGLIGENPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SIDE = 64
WIDTH = 32
"""Channels of everything."""


def write_pipeline(folder: Path, kind: str, inpainting: bool = False, latents: int = 4) -> Path:
    """Save a pipeline of the class ``kind`` with random weights, always the same, to ``folder``."""
    torch.manual_seed(0)
    gligen = kind == "StableDiffusionGLIGENPipeline"
    in_channels = latents * (2 if inpainting or "Pix2Pix" in kind else 1) + inpainting
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=in_channels,
        out_channels=latents,
        block_out_channels=(WIDTH, 2 * WIDTH),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
        attention_type="gated" if gligen else "default",
    )
    for name, value in unet.named_parameters():
        if ".fuser.alpha_" in name:
            torch.nn.init.ones_(value)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latents,
        norm_num_groups=4,
        sample_size=SIDE,
    )
    words = CLIPTextConfig(
        vocab_size=1000,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=2,
    )
    parts = {
        "unet": unet,
        "vae": vae,
        "text_encoder": CLIPTextModel(words),
        "tokenizer": write_tokenizer(folder / "tokenizer"),
        "scheduler": DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
    }
    classes = {
        made.__name__: made for made in (StableDiffusionPipeline, StableDiffusionGLIGENPipeline, StableDiffusionInstructPix2PixPipeline)
    }
    classes[kind](**parts, requires_safety_checker=False).save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's byte pairs without any merge: every letter is a token."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_lowercase + string.digits + string.punctuation
    names = ["<|startoftext|>", "<|padding|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def write_tiny_autoencoder(folder: Path) -> Path:
    torch.manual_seed(0)
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
    ).save_pretrained(folder)
    return folder
