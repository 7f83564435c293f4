"""MobileSAM: a picture and boxes in, masks out. TinyViT encoder (ours) + SAM's mask decoder (transformers').

Source: MobileSAM (arXiv 2306.14289) and Segment Anything (arXiv 2304.02643). ``embed`` looks at the picture once,
``mask`` answers any number of boxes about it. Knows nothing of artefacts, chat or caching.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from unified_demo.experts.tiny_vit import STRIDE, TinyViT

SIDE = 1024
"""The longer side of the picture the encoder sees, pixels."""
GRID = SIDE // STRIDE
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
_BOX_CORNERS = ("prompt_encoder.point_embeddings.2.weight", "prompt_encoder.point_embeddings.3.weight")
_FREQUENCIES = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_NO_MASK = "prompt_encoder.no_mask_embed.weight"
_DECODER_NAMES = (
    (".norm_final_attn.", ".layer_norm_final_attn."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".norm3.", ".layer_norm3."),
    (".norm4.", ".layer_norm4."),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
)


@dataclass(frozen=True)
class Embedding:
    """What the encoder saw: ``features`` 1 x 256 x 64 x 64, the picture's ``width`` and ``height`` in pixels."""

    features: Tensor
    width: int
    height: int


def convert_checkpoint(source: Path, target: Path) -> None:
    """The published pickle -> safetensors. Loaded with ``weights_only``: nothing in the pickle is executed."""
    state = torch.load(source, map_location="cpu", weights_only=True)
    kept = {name: value.contiguous() for name, value in state.items() if value.is_floating_point()}
    save_file({name: value for name, value in kept.items() if ".head." not in name and ".norm_head." not in name}, target)


def fastest_dtype() -> torch.dtype:
    """bfloat16 where this CPU computes in it (twice as fast, masks within 0.99 IoU of float32), else float32."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32


class MobileSam(nn.Module):
    """``dtype`` is what the encoder computes in; the small decoder always computes in float32."""

    def __init__(self, state: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.encoder = TinyViT()
        _load(self.encoder, _under(state, "image_encoder."))
        self.encoder.fold().to(dtype=dtype, memory_format=torch.channels_last)
        self.decoder = SamMaskDecoder(SamMaskDecoderConfig(layer_norm_eps=1e-5, attn_implementation="sdpa"))
        _load(self.decoder, {_decoder_name(name): value for name, value in _under(state, "mask_decoder.").items()})
        self.register_buffer("frequencies", state[_FREQUENCIES])
        self.register_buffer("corners", torch.cat([state[name] for name in _BOX_CORNERS]))
        self.register_buffer("no_mask", state[_NO_MASK].reshape(1, -1, 1, 1))
        steps = (torch.arange(GRID) + 0.5) / GRID
        places = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        self.register_buffer("places", self._encode_places(places).permute(2, 0, 1).unsqueeze(0))
        self.requires_grad_(False).eval()

    @classmethod
    def from_file(cls, path: Path, dtype: torch.dtype = torch.float32) -> "MobileSam":
        """Load the safetensors written by ``convert_checkpoint``."""
        return cls(load_file(path), dtype)

    @torch.inference_mode()
    def embed(self, image: Image.Image) -> Embedding:
        """Look at an RGB picture of any size."""
        pixels = np.asarray(image.convert("RGB").resize(_seen_size(*image.size), Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
        values = (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() - _column(PIXEL_MEAN)) / _column(PIXEL_STD)
        # A quarter of the time could be saved without the padding to a square, but masks get worse by one point of IoU.
        padded = F.pad(values, (0, SIDE - width, 0, SIDE - height)).unsqueeze(0)
        features = self.encoder(padded.to(dtype=self.dtype, memory_format=torch.channels_last))
        return Embedding(features.float().contiguous(), *image.size)

    @torch.inference_mode()
    def mask(self, embedding: Embedding, corners: tuple[float, float, float, float]) -> np.ndarray:
        """Bool H x W at the picture's size for a pixel xyxy box, by the decoder's single-mask answer."""
        scale = SIDE / max(embedding.width, embedding.height)
        places = (torch.tensor(corners, device=self.corners.device).view(1, 1, 2, 2) * scale + 0.5) / SIDE
        logits, _ = self.decoder(
            image_embeddings=embedding.features,
            image_positional_embeddings=self.places,
            sparse_prompt_embeddings=self._encode_places(places) + self.corners,
            dense_prompt_embeddings=self.no_mask.expand(1, -1, GRID, GRID),
            multimask_output=False,
        )
        return (_full_size(logits[0], embedding)[0] > 0).cpu().numpy()

    def _encode_places(self, places: Tensor) -> Tensor:
        """Points in 0..1, ... x 2 -> random Fourier features, ... x 256."""
        angles = (places * 2 - 1) @ self.frequencies * (2 * torch.pi)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)


def _full_size(logits: Tensor, embedding: Embedding) -> Tensor:
    """N x 1 x h x w mask logits, 4 pixels of the encoder's picture each -> N x H x W, padding cut off."""
    width, height = _seen_size(embedding.width, embedding.height)
    fine = F.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False)[..., :height, :width]
    return F.interpolate(fine, (embedding.height, embedding.width), mode="bilinear", align_corners=False)[:, 0]


def _seen_size(width: int, height: int) -> tuple[int, int]:
    """Size in which the encoder sees a picture: longer side ``SIDE``."""
    scale = SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _column(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(3, 1, 1)


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _decoder_name(name: str) -> str:
    """SAM's name of a decoder parameter -> transformers'. Three-layer MLPs are spelt proj_in, layers.0, proj_out there."""
    for theirs, ours in _DECODER_NAMES:
        name = name.replace(theirs, ours)
    if "mlps" in name or "prediction_head" in name:
        name = name.replace(".layers.0.", ".proj_in.").replace(".layers.1.", ".layers.0.").replace(".layers.2.", ".proj_out.")
    return name


def _load(module: nn.Module, state: dict[str, Tensor]) -> None:
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"The checkpoint does not fit {type(module).__name__}: missing {missing[:3]}, unexpected {unexpected[:3]}.")
