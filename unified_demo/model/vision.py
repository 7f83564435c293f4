"""DINOv2 ViT-S/14 as the image encoder: a picture becomes 1 + 16x16 feature vectors of width 384.

The weights come from an ONNX file (the only copy in a package registry) and are put into transformers' Dinov2Model.
Pictures are squeezed to a square, never padded or cropped, so that relative coordinates stay what they are.
Source: Oquab et al., DINOv2, arXiv 2304.07193.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

SIDE, GRID, WIDTH = 224, 16, 384
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def convert_onnx(path: Path) -> dict[str, torch.Tensor]:
    """The ONNX initializers under the names of ``transformers.Dinov2Model``; float32."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    arrays = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    products = iter(sorted((name for name in arrays if name.startswith("onnx::MatMul_")), key=lambda name: int(name.rsplit("_", 1)[1])))
    cls_token = arrays["model.cls_token"]
    positions = arrays["onnx::Reshape_1360"]
    state = {
        "embeddings.cls_token": cls_token,
        "embeddings.mask_token": torch.zeros(1, cls_token.shape[-1]),
        "embeddings.position_embeddings": torch.cat([cls_token, positions], 1),
        "embeddings.patch_embeddings.projection.weight": arrays["model.patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": arrays["model.patch_embed.proj.bias"],
        "layernorm.weight": arrays["model.norm.weight"],
        "layernorm.bias": arrays["model.norm.bias"],
    }
    for index in range(12):
        source, target = f"model.blocks.{index}.", f"encoder.layer.{index}."
        qkv = arrays[next(products)].T.chunk(3)
        for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), qkv, arrays[source + "attn.qkv.bias"].chunk(3), strict=True):
            state[f"{target}attention.{name}.weight"] = weight.contiguous()
            state[f"{target}attention.{name}.bias"] = bias.contiguous()
        for onnx_name, name in (("attn.proj", "attention.o_proj"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
            state[f"{target}{name}.weight"] = arrays[next(products)].T.contiguous()
            state[f"{target}{name}.bias"] = arrays[f"{source}{onnx_name}.bias"]
        for part in ("norm1", "norm2"):
            state[f"{target}{part}.weight"] = arrays[f"{source}{part}.weight"]
            state[f"{target}{part}.bias"] = arrays[f"{source}{part}.bias"]
        state[f"{target}layer_scale1.lambda1"] = arrays[source + "ls1.gamma"]
        state[f"{target}layer_scale2.lambda1"] = arrays[source + "ls2.gamma"]
    return state


class ImageEncoder:
    """``encode(pictures) -> (n, 257, 384)`` float32; row 0 is the class token, then 16 rows of 16 patches."""

    def __init__(self, state: dict[str, torch.Tensor], device: str = "cpu", dtype: torch.dtype = torch.bfloat16) -> None:
        from transformers import Dinov2Config, Dinov2Model

        config = Dinov2Config(hidden_size=WIDTH, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14)
        self.device, self.dtype = device, dtype
        self.network = Dinov2Model(config).eval()
        self.network.load_state_dict(state)
        self.network.to(device, dtype).requires_grad_(False)

    @torch.inference_mode()
    def encode(self, pictures: list[Image.Image]) -> torch.Tensor:
        pixels = torch.stack([_to_tensor(picture) for picture in pictures]).to(self.device, self.dtype)
        return self.network(pixel_values=pixels).last_hidden_state.float().cpu()


def _to_tensor(picture: Image.Image) -> torch.Tensor:
    array = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return torch.from_numpy((array - _MEAN) / _STD).permute(2, 0, 1)


def pool_grid(features: torch.Tensor, side: int) -> torch.Tensor:
    """(257, 384) -> (1 + side*side, 384): class token and patches averaged to side x side."""
    patches = features[1:].view(GRID, GRID, -1).permute(2, 0, 1)
    pooled = functional.adaptive_avg_pool2d(patches, side).flatten(1).T
    return torch.cat([features[:1], pooled])


def pool_region(features: torch.Tensor, box: tuple[float, float, float, float]) -> torch.Tensor:
    """(257, 384) and a normalised box -> (384,): the mean of the patches the box covers, at least one."""
    x0, y0, x1, y1 = (value * GRID for value in box)
    left, top = min(int(x0 + 0.5), GRID - 1), min(int(y0 + 0.5), GRID - 1)
    right, bottom = max(left + 1, min(int(x1 + 0.5), GRID)), max(top + 1, min(int(y1 + 0.5), GRID))
    return features[1:].view(GRID, GRID, -1)[top:bottom, left:right].mean((0, 1))
