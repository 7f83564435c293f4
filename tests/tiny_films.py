"""Tiny random checkpoints of the video pipelines in the hub's layout: ModelScopeT2V, I2VGen-XL, AnimateDiff, Wan."""

from pathlib import Path

import diffusers
import torch
from tiny_pipelines import write_pipeline, write_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

WIDTH = 32
DOWN, UP = ("CrossAttnDownBlock3D", "DownBlock3D"), ("UpBlock3D", "CrossAttnUpBlock3D")


def autoencoder(latents: int = 4) -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16, 16), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latents, norm_num_groups=4, sample_size=64,
    )  # fmt: skip


def clip_text(heads: int = 4, layers: int = 3) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=1000, hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=layers, num_attention_heads=heads,
            bos_token_id=0, eos_token_id=2,
        )
    )  # fmt: skip


def scheduler() -> diffusers.DDIMScheduler:
    return diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)


def modelscope(folder: Path) -> Path:
    """As ``ali-vilab/text-to-video-ms-1.7b``."""
    torch.manual_seed(0)
    unet = diffusers.UNet3DConditionModel(
        sample_size=8, block_out_channels=(WIDTH, 2 * WIDTH), layers_per_block=1, down_block_types=DOWN, up_block_types=UP,
        cross_attention_dim=WIDTH, attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    pipe = diffusers.TextToVideoSDPipeline(autoencoder(), clip_text(), write_tokenizer(folder / "tokenizer"), unet, scheduler())
    pipe.save_pretrained(folder)
    return folder


def i2vgen(folder: Path) -> Path:
    """As ``ali-vilab/i2vgen-xl``."""
    torch.manual_seed(0)
    unet = diffusers.I2VGenXLUNet(
        sample_size=8, block_out_channels=(WIDTH, 2 * WIDTH), layers_per_block=1, down_block_types=DOWN, up_block_types=UP,
        cross_attention_dim=WIDTH, num_attention_heads=None, attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    vision = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=WIDTH, projection_dim=WIDTH, num_hidden_layers=1, num_attention_heads=4, image_size=32,
            patch_size=8,
        )
    )  # fmt: skip
    looks = CLIPImageProcessorPil(crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32})
    tokenizer = write_tokenizer(folder / "tokenizer")
    diffusers.I2VGenXLPipeline(autoencoder(), clip_text(), tokenizer, vision, looks, unet, scheduler()).save_pretrained(folder)
    return folder


def motion_adapter(folder: Path) -> Path:
    """As ``guoyww/animatediff-motion-adapter-v1-5-2``, fitting ``tiny_pipelines.write_pipeline``."""
    torch.manual_seed(0)
    diffusers.MotionAdapter(
        block_out_channels=(WIDTH, 2 * WIDTH), motion_layers_per_block=1, motion_mid_block_layers_per_block=1, motion_norm_num_groups=8,
        motion_num_attention_heads=4, motion_max_seq_length=32,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def stable_diffusion(folder: Path) -> Path:
    return write_pipeline(folder, "StableDiffusionPipeline")


def t5_tokenizer() -> T5TokenizerFast:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz ,.")]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0, model_max_length=64)


def umt5(width: int = WIDTH) -> UMT5EncoderModel:
    return UMT5EncoderModel(UMT5Config(vocab_size=64, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=4))


def _wan_parts(image: bool = False) -> dict:
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True])
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=WIDTH, freq_dim=32,
        ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    )  # fmt: skip
    flow = diffusers.UniPCMultistepScheduler(flow_shift=3.0, prediction_type="flow_prediction", use_flow_sigmas=True)
    return {"tokenizer": t5_tokenizer(), "text_encoder": umt5(), "vae": vae, "transformer": transformer, "scheduler": flow}


def wan(folder: Path) -> Path:
    """As ``Wan-AI/Wan2.1-T2V-1.3B-Diffusers``."""
    diffusers.WanPipeline(**_wan_parts()).save_pretrained(folder)
    return folder


def wan_image(folder: Path) -> Path:
    """As ``Wan-AI/Wan2.2-TI2V-5B-Diffusers``: its index names ``WanPipeline``, pictures come in by expanded time steps."""
    diffusers.WanPipeline(**_wan_parts(), expand_timesteps=True).save_pretrained(folder)
    return folder
