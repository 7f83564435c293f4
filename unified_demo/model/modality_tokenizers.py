"""Eight modalities -> tokens of one width, read by one frozen encoder: OneLLM's tokenizers and universal encoder.

Source: Han et al., OneLLM, arXiv 2312.03700. Pictures, and what looks like pictures, go through the encoder's own patches; sounds,
points, motion and brain activity through a small layer each and learnt places, then through the same frozen blocks. What comes out is
projected by ``universal_projection``. Nothing here is trained yet; no file is read here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import nn

SAMPLE_RATE = 16_000
MEL_BINS = 128
POINT_NUMBERS = 6
"""Of one point: its place x, y, z and its colour red, green, blue."""
IMU_CHANNELS = 6
FMRI_TOKENS = 8


class Modality(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    DEPTH = "depth"
    NORMAL = "normal"
    AUDIO = "audio"
    POINT = "point"
    IMU = "imu"
    FMRI = "fmri"


SEVERAL = (Modality.VIDEO, Modality.DEPTH, Modality.NORMAL)
"""Several pictures make one: frames, or a photo and its map of depths or normals."""


@dataclass(frozen=True)
class SignalSizes:
    """The longest sound (frames of 10 ms) and motion (samples), how a cloud is grouped, and the voxels of a brain: the paper's."""

    mel_frames: int = 1024
    imu_samples: int = 400
    point_groups: int = 1024
    point_neighbours: int = 32
    voxels: int = 15_724


class AudioTokenizer(nn.Module):
    """(n, frames, 128) log-mel -> (n, tokens, width): a strided convolution over time and pitch."""

    def __init__(self, width: int, frames: int, side: int = 16, stride: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, side, stride)
        self.places = _places((frames - side) // stride + 1, (MEL_BINS - side) // stride + 1, width)

    @torch.no_grad()
    def start_from_pictures(self, embeddings: Any) -> None:
        """Begin as a Dinov2Embeddings would read the sound's picture, pitch upwards and time to the right, resized to these patches."""
        inner = embeddings.patch_embeddings.projection
        grey = inner.weight.sum(1, keepdim=True).mT
        kernel = nn.functional.interpolate(grey, self.patches.kernel_size, mode="bicubic", antialias=True)
        self.patches.weight.copy_(kernel * grey[0, 0].numel() / kernel[0, 0].numel())
        self.patches.bias.copy_(inner.bias)
        places = embeddings.position_embeddings[:, 1:].mT
        side = int(places.shape[-1] ** 0.5)
        times, pitches, _ = self.places.shape
        resized = nn.functional.interpolate(places.unflatten(-1, (side, side)), (pitches, times), mode="bicubic")
        self.places.copy_(resized[0].permute(2, 1, 0))

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(mels[:, None]).permute(0, 2, 3, 1)
        return (tokens + _first(self.places, tokens.shape[1])).flatten(1, 2)


class PointTokenizer(nn.Module):
    """(n, points, 6) -> (n, groups, width): the nearest neighbours of far-apart points, one by one through a layer, then the largest."""

    def __init__(self, width: int, groups: int, neighbours: int) -> None:
        super().__init__()
        self.groups, self.neighbours = groups, neighbours
        self.point = nn.Linear(POINT_NUMBERS, width)
        self.places = _places(groups, width)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        places = points[..., :3]
        centres = _rows(places, farthest_points(places, self.groups))
        near = nearest_points(places, centres, self.neighbours)
        around = _rows(points, near.flatten(1)).unflatten(1, near.shape[1:])
        return self.point(around).amax(2) + self.places


class ImuTokenizer(nn.Module):
    """(n, samples, 6) of acceleration and rotation -> (n, samples - 9, width)."""

    def __init__(self, width: int, samples: int, kernel: int = 10) -> None:
        super().__init__()
        self.window = nn.Conv1d(IMU_CHANNELS, width, kernel, bias=False)
        self.places = _places(samples - kernel + 1, width)

    def forward(self, motion: torch.Tensor) -> torch.Tensor:
        tokens = self.window(motion.mT).mT
        return tokens + _first(self.places, tokens.shape[1])


class FmriTokenizer(nn.Module):
    """(n, voxels) -> (n, 8, width)."""

    def __init__(self, width: int, voxels: int) -> None:
        super().__init__()
        self.voxels = nn.Linear(voxels, FMRI_TOKENS * width)
        self.places = _places(FMRI_TOKENS, width)

    def forward(self, activity: torch.Tensor) -> torch.Tensor:
        return self.voxels(activity).unflatten(-1, self.places.shape) + self.places


class UniversalEncoder(nn.Module):
    """Any modality -> (n, 1 + tokens, width): tokenizers, which are trained, before one frozen vision transformer.

    ``vit`` is a transformers Dinov2Model. Inputs: image (n, 3, H, W), normalised as the encoder wants it; video, depth and normal
    (n, pictures, 3, H, W); audio (n, frames, 128); point (n, points, 6); imu (n, samples, 6); fmri (n, voxels).
    """

    def __init__(self, vit: Any, sizes: SignalSizes | None = None, modalities: Iterable[Modality] = tuple(Modality)) -> None:
        super().__init__()
        sizes, width = sizes or SignalSizes(), vit.config.hidden_size
        self.vit = vit.requires_grad_(False)
        makers: dict[Modality, Callable[[], nn.Module]] = {
            Modality.AUDIO: lambda: AudioTokenizer(width, sizes.mel_frames),
            Modality.POINT: lambda: PointTokenizer(width, sizes.point_groups, sizes.point_neighbours),
            Modality.IMU: lambda: ImuTokenizer(width, sizes.imu_samples),
            Modality.FMRI: lambda: FmriTokenizer(width, sizes.voxels),
        }
        self.tokenizers = nn.ModuleDict({name.value: make() for name, make in makers.items() if name in modalities})

    def forward(self, signal: torch.Tensor, modality: Modality) -> torch.Tensor:
        if modality in SEVERAL:
            return self._look(signal.flatten(0, 1)).unflatten(0, signal.shape[:2]).mean(1)
        if modality == Modality.IMAGE:
            return self._look(signal)
        tokens = self.tokenizers[modality.value](signal)
        summary = self.vit.embeddings.cls_token.expand(len(tokens), -1, -1)
        return self.vit.layernorm(self.vit.encoder(torch.cat([summary, tokens], 1)).last_hidden_state)

    def _look(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.vit(pixel_values=pixels).last_hidden_state


def log_mel(samples: np.ndarray, frames: int) -> torch.Tensor:
    """Mono samples in -1..1 at SAMPLE_RATE -> (frames, 128), cut or filled up, about 0 with deviation 0.5: AST's features."""
    from transformers import ASTFeatureExtractor

    extractor = ASTFeatureExtractor(sampling_rate=SAMPLE_RATE, num_mel_bins=MEL_BINS, max_length=frames)
    mels: torch.Tensor = extractor(samples - samples.mean(), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_values"][0]
    return mels


def farthest_points(places: torch.Tensor, count: int) -> torch.Tensor:
    """(n, points, 3) -> (n, count) indices: the first point, then always the one farthest from those chosen (Qi et al., PointNet++)."""
    chosen = torch.zeros(len(places), count, dtype=torch.long, device=places.device)
    nearest = places.new_full(places.shape[:2], torch.inf)
    for number in range(1, count):
        latest = _rows(places, chosen[:, number - 1 : number])
        nearest = torch.minimum(nearest, (places - latest).square().sum(-1))
        chosen[:, number] = nearest.argmax(-1)
    return chosen


def nearest_points(places: torch.Tensor, centres: torch.Tensor, count: int) -> torch.Tensor:
    """(n, points, 3) and (n, m, 3) -> (n, m, count) indices of the points nearest to each centre, nearest first."""
    return torch.cdist(centres, places).topk(count, -1, largest=False).indices


def _rows(values: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """(n, points, k) and (n, m) -> (n, m, k)."""
    return values.gather(1, indices[..., None].expand(-1, -1, values.shape[-1]))


def _places(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * 0.02)


def _first(places: torch.Tensor, count: int) -> torch.Tensor:
    """The first ``count`` places. ValueError when there are fewer."""
    if count > len(places):
        raise ValueError(f"The signal is too long: {count} steps, and there are places for {len(places)}.")
    return places[:count]
