"""The generators' autoencoder: 8 latents for 8 x 8 pixels, in diffusers' ``AutoencoderTiny`` layout.

The encoder is linear, the principal components of 8 x 8 patches, and is set, not trained: latents are there at once and stay what they
are while the decoder, a small network, goes on learning. What comes out is twice as large as what went in, and a fourth channel tells
what belongs to a thing (after LayerDiffuse, arXiv 2402.17113). Training resumes to the exact batch. It knows nothing of words.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from unified_demo.training.timed import TimedRun

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny

SIDE, FACTOR, CHANNELS = 128, 8, 8
"""Pixels of a picture while training, and pixels of a latent, along one side; latents at one place."""
GROWTH, OUT_CHANNELS = 2, 4
"""Pixels along one side that come out for one that went in; red, green, blue and how much of a pixel belongs to a thing."""
WIDTH = 48
"""Of the encoder: 4 x 4 x 3 numbers pass its second last level whole."""
DEVIATION, SCALING = 0.4, 2.0
"""Mean standard deviation of the latents, which the layout's decoder squashes to -3..3, and what they are multiplied with for a UNet."""
CHECKPOINT = "autoencoder.pt"

Crops = Callable[[random.Random, int], tuple[torch.Tensor, torch.Tensor]]
"""``crops(rng, count)`` -> (count, 3, side, side) and (count, OUT_CHANNELS, GROWTH * side, GROWTH * side), 0..1."""


@dataclass(frozen=True)
class Components:
    """``matrix`` (channels, 192): latents = matrix @ (patch - mean), patches -1..1 as (3, 8, 8) flattened; ``mean`` (192,)."""

    matrix: torch.Tensor
    mean: torch.Tensor

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) of -1..1 -> (n, CHANNELS, h / 8, w / 8): what the network's encoder gives, much faster."""
        count, _, height, width = pictures.shape
        patches = functional.unfold(pictures, FACTOR, stride=FACTOR)
        latents = self.matrix @ (patches - self.mean[:, None])
        return latents.view(count, -1, height // FACTOR, width // FACTOR)


def patch_components(pictures: torch.Tensor, channels: int = CHANNELS) -> Components:
    """The strongest components of the 8 x 8 patches of (n, 3, h, w), -1..1, half whitened: strong ones stay larger."""
    patches = functional.unfold(pictures, FACTOR, stride=FACTOR).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    strength, directions = values.flip(0)[:channels], vectors.flip(1)[:, :channels].T
    scale = DEVIATION * strength**-0.25 / (strength**0.25).mean()
    return Components(scale[:, None] * directions, mean)


def exported_components(folder: Path) -> Components:
    """Those that the encoder of an exported folder was set from, read off what it does. OSError when it is not there."""
    from diffusers import AutoencoderTiny

    network = AutoencoderTiny.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32)
    size = 3 * FACTOR**2
    with torch.no_grad():
        patches = torch.cat([torch.zeros(1, size), torch.eye(size)]).view(-1, 3, FACTOR, FACTOR)
        shift, *columns = network.encode(patches).latents.flatten(1)
    matrix = torch.stack([column - shift for column in columns], dim=1)
    return Components(matrix, -torch.linalg.pinv(matrix) @ shift)


@dataclass(frozen=True)
class AutoencoderOptions:
    """``minutes`` in all runs together; the learning rate falls to a twentieth along them, or along ``steps`` when given.

    ``noise``: standard deviation of what is added to the latents, so that the decoder forgives what a generator gets wrong.
    """

    minutes: float = 30.0
    steps: int | None = None
    batch: int = 8
    lr: float = 4e-4
    noise: float = 0.03
    edges: float = 1.0
    warmup_steps: int = 50
    save_every_s: float = 180.0
    seed: int = 0


def build_autoencoder(
    components: Components, decoder: tuple[int, tuple[int, ...]] = (WIDTH, (3, 3, 2, 0, 0)), out_channels: int = OUT_CHANNELS
) -> "AutoencoderTiny":
    """The encoder is set from ``components`` (at most WIDTH) and frozen, the decoder (width, blocks per level from coarse to fine) is
    random."""
    from diffusers import AutoencoderTiny

    levels = 1 + int(math.log2(FACTOR))
    network = AutoencoderTiny(
        out_channels=out_channels,
        latent_channels=len(components.matrix),
        scaling_factor=SCALING,
        encoder_block_out_channels=(WIDTH,) * levels,
        num_encoder_blocks=(0,) * levels,
        decoder_block_out_channels=(decoder[0],) * len(decoder[1]),
        num_decoder_blocks=decoder[1],
    )
    _set_encoder(network, components)
    _begin(network.decoder)
    network.encoder.requires_grad_(False)
    return network


def _set_encoder(network: "AutoencoderTiny", components: Components) -> None:
    """Two convolutions of stride 2 put 2 x 2 neighbours into channels, the third takes the components of what they hold.

    The library shifts pictures to 0..1 first; the last bias takes that and the mean back.
    """
    first, *halving, last = [layer for layer in network.encoder.layers if isinstance(layer, nn.Conv2d)]
    for layer in (first, *halving, last):
        layer.weight.data.zero_()
        if layer.bias is not None:
            layer.bias.data.zero_()
    first.weight.data[range(3), range(3), 1, 1] = 1
    place = [(channel, 0, 0) for channel in range(3)]
    for level, layer in enumerate(halving[:-1]):
        spread = [(source, row, column) for source in range(len(place)) for row in (0, 1) for column in (0, 1)]
        for target, (source, row, column) in enumerate(spread):
            layer.weight.data[target, source, 1 + row, 1 + column] = 1
        place = [
            (place[source][0], place[source][1] + (row << level), place[source][2] + (column << level)) for source, row, column in spread
        ]
    matrix = components.matrix.view(-1, 3, FACTOR, FACTOR)
    for source, (channel, row, column) in enumerate(place):
        for down in (0, 1):
            for right in (0, 1):
                pixel = matrix[:, channel, down * FACTOR // 2 + row, right * FACTOR // 2 + column]
                halving[-1].weight.data[: len(matrix), source, 1 + down, 1 + right] = 2 * pixel
    last.weight.data[range(len(matrix)), range(len(matrix)), 1, 1] = 1
    last.bias.data.copy_(-components.matrix @ (components.mean + 1))


def _begin(decoder: nn.Module) -> None:
    """Kaiming's start for rectified layers, residual branches at a fifth; from the library's default it learns for minutes next to
    nothing."""
    layers = [module for module in decoder.modules() if isinstance(module, nn.Conv2d)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for block in decoder.modules():
        if type(block).__name__ == "AutoencoderTinyBlock":
            block.conv[-1].weight.data.mul_(0.2)
    layers[-1].weight.data.mul_(0.3)


def reconstruction_loss(answer: torch.Tensor, truth: torch.Tensor, edges: float) -> torch.Tensor:
    """Mean absolute difference at full, half, quarter and eighth size, and of neighbouring pixels' steps; (n, 3, h, w) each."""
    difference = answer - truth
    total = difference.abs().mean() + edges * 0.5 * (difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean())
    for size in (2, 4, 8):
        total = total + functional.avg_pool2d(difference, size).abs().mean()
    return total


def begin_from(network: "AutoencoderTiny", folder: Path) -> None:
    """The decoder takes what an exported one has in layers of the same place and shape. OSError when the folder is not there."""
    from diffusers import AutoencoderTiny

    ours, theirs = (
        part.decoder.state_dict() for part in (network, AutoencoderTiny.from_pretrained(folder, subfolder="vae", torch_dtype=torch.float32))
    )
    fitting = {name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape}
    network.decoder.load_state_dict(fitting, strict=False)


class AutoencoderTrainer(TimedRun):
    """Trains the decoder. Network, crops and checkpoints; ``run`` may be called again and again."""

    curve, checkpoint, floor = "autoencoder.jsonl", CHECKPOINT, 0.05
    options: AutoencoderOptions

    def __init__(self, network: "AutoencoderTiny", crops: Crops, options: AutoencoderOptions, folder: Path) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.crops, self.options, self.folder = crops, options, folder
        self.optimizer = torch.optim.AdamW(network.decoder.parameters(), lr=options.lr, betas=(0.9, 0.98), weight_decay=0.0)

    def train_step(self) -> dict:
        """One batch; a function of seed and step."""
        rng = random.Random(self.options.seed * 1_000_003 + self.step)
        torch.manual_seed(rng.getrandbits(31))
        small, truth = ((part * 2 - 1).contiguous(memory_format=torch.channels_last) for part in self.crops(rng, self.options.batch))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr * self.rate()
        with torch.autocast(truth.device.type, torch.bfloat16):
            latents = self.network.encode(small).latents
            answer = self.network.decode(latents + self.options.noise * torch.randn_like(latents)).sample
        loss = reconstruction_loss(answer.float(), truth, self.options.edges)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.decoder.parameters(), 10.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        error = float(((answer.detach().float().clamp(-1, 1) - truth) ** 2).mean()) / 4
        return {
            "step": self.step,
            "loss": round(loss.item(), 4),
            "psnr": round(-10 * math.log10(max(error, 1e-9)), 2),
            "norm": round(float(norm), 3),
        }

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
