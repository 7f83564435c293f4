"""Networks of the full profile in their published shapes, and the same classes in small, without weights. Nothing is read from a hub."""

from typing import Any

import torch


def qwen3_vl(small: bool = False) -> torch.nn.Module:
    """Qwen3-VL-4B (or 2 layers of width 64)."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text: dict[str, Any] = {
        "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
    }  # fmt: skip
    vision: dict[str, Any] = {
        "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2560,
        "deepstack_visual_indexes": [5, 11, 17],
    }  # fmt: skip
    if small:
        text |= {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        text |= {"num_key_value_heads": 2, "head_dim": 16}
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
        vision |= {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0],
        }
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True))


def unet(small: bool = False, **shape: Any) -> torch.nn.Module:
    """The UNet of Stable Diffusion 1.5; ``attention_type="gated"``: GLIGEN's, ``in_channels=8``: InstructPix2Pix's."""
    from diffusers import UNet2DConditionModel

    if small:
        shape |= {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}
        shape |= {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8, **shape)


def i2vgen(small: bool = False) -> torch.nn.Module:
    """The UNet of I2VGen-XL."""
    from diffusers import I2VGenXLUNet

    shape: dict[str, Any] = {}
    if small:
        shape = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8, "attention_head_dim": 8}
        shape |= {"down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"), "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D")}
    return I2VGenXLUNet(cross_attention_dim=1024, **shape)
