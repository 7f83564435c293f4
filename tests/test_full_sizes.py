"""Sizes in weights/full.toml against networks of the published shapes, built without memory (meta device) and counted.

The shapes are those of the hub's config files as published; the files themselves were not read here.
"""

from collections.abc import Callable

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLWan,
    AutoencoderOobleck,
    Flux2Transformer2DModel,
    MotionAdapter,
    StableAudioDiTModel,
    UNet3DConditionModel,
    WanTransformer3DModel,
    ZImageTransformer2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from benchmarks.shapes import i2vgen, qwen3_vl, unet
from unified_demo.config import Settings
from unified_demo.profiles import FullProfile, read_profile

Network = torch.nn.Module
PROFILE: FullProfile = read_profile(Settings().weights_dir / "full.toml")


def vae() -> Network:
    widths = (128, 256, 512, 512)
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return AutoencoderKL(block_out_channels=widths, down_block_types=down, up_block_types=up, layers_per_block=2)


def clip(width: int, layers: int, heads: int) -> Network:
    return CLIPTextModel(
        CLIPTextConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads)
    )


def clip_vision() -> Network:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14, projection_dim=1024
        )
    )  # fmt: skip


def umt5() -> Network:
    return UMT5EncoderModel(
        UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu")
    )


QWEN3_4B = {
    "vocab_size": 151936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128,
}  # fmt: skip


def qwen3() -> Network:
    return Qwen3Model(Qwen3Config(**QWEN3_4B))


def qwen3_speaks() -> Network:
    return Qwen3ForCausalLM(Qwen3Config(**QWEN3_4B, tie_word_embeddings=True))


def flux2_klein() -> Network:
    return Flux2Transformer2DModel(
        num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=3 * 2560, guidance_embeds=False
    )


def wan(heads: int, inner: int, channels: int) -> Network:
    return WanTransformer3DModel(num_attention_heads=heads, ffn_dim=inner, num_layers=30, in_channels=channels, out_channels=channels)


def t5_base() -> Network:
    return T5EncoderModel(T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12))


PARTS: dict[str, list[Callable[[], Network]]] = {
    "Qwen/Qwen3-VL-4B-Instruct": [qwen3_vl],
    "stable-diffusion-v1-5/stable-diffusion-v1-5": [unet, vae, lambda: clip(768, 12, 12)],
    "masterful/gligen-1-4-generation-text-box": [lambda: unet(attention_type="gated"), vae, lambda: clip(768, 12, 12)],
    "timbrooks/instruct-pix2pix": [lambda: unet(in_channels=8), vae, lambda: clip(768, 12, 12)],
    "Tongyi-MAI/Z-Image-Turbo": [ZImageTransformer2DModel, vae, qwen3],
    "black-forest-labs/FLUX.2-klein-4B": [flux2_klein, AutoencoderKLFlux2, qwen3_speaks],
    "ali-vilab/text-to-video-ms-1.7b": [lambda: UNet3DConditionModel(cross_attention_dim=1024), vae, lambda: clip(1024, 23, 16)],
    "ali-vilab/i2vgen-xl": [i2vgen, vae, lambda: clip(1024, 23, 16), clip_vision],
    "guoyww/animatediff-motion-adapter-v1-5-2": [MotionAdapter],
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": [umt5, lambda: wan(12, 8960, 16), AutoencoderKLWan],
    "stabilityai/stable-audio-open-1.0": [StableAudioDiTModel, AutoencoderOobleck, t5_base],
}


@pytest.mark.parametrize("key", list(PARTS))
def test_the_size_is_that_of_the_published_shape(key: str) -> None:
    with torch.device("meta"):
        counts = [sum(value.numel() for value in build().parameters()) / 1e9 for build in PARTS[key]]
    model = PROFILE.models[key]
    assert model.parameters == pytest.approx(sum(counts), rel=0.04)
    assert (model.largest or model.parameters) == pytest.approx(max(counts), rel=0.04)
    if model.denoiser:
        assert any(model.denoiser == pytest.approx(count, rel=0.02) for count in counts)
