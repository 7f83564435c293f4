"""TinyViT-5M as the image encoder of MobileSAM, inference only, parameter names as in its checkpoint.

Source: TinyViT (arXiv 2207.10666) in the variant of MobileSAM (arXiv 2306.14289): the third downsampling keeps its
resolution, so pictures come out 16 times smaller, and a neck turns 320 channels into 256. The picture may have any
height and width divisible by 16. No training: no dropout, and ``fold`` merges batch norms into convolutions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 16
"""Pixels of the input per step of the output."""


@dataclass(frozen=True)
class TinyViTSize:
    """Channels, blocks, heads and attention windows of the four stages; the first is convolutional."""

    channels: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    heads: tuple[int, int, int, int] = (2, 4, 5, 10)
    windows: tuple[int, int, int, int] = (7, 7, 14, 7)
    out_channels: int = 256


class ConvNorm(nn.Module):
    """Convolution without bias + batch norm; ``fold`` makes it one convolution with bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.bn(self.c(features))

    def fold(self) -> None:
        self.c = nn.utils.fuse_conv_bn_eval(self.c, self.bn)
        self.bn = nn.Identity()


class PatchEmbed(nn.Module):
    """Picture B x 3 x H x W -> B x C x H/4 x W/4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, channels // 2, 3, 2), nn.GELU(), ConvNorm(channels // 2, channels, 3, 2))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.seq(pixels)


class MBConv(nn.Module):
    """Inverted bottleneck with a residual, B x C x H x W in and out."""

    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = channels * expansion
        self.conv1 = ConvNorm(channels, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, channels)

    def forward(self, features: Tensor) -> Tensor:
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(features))))
        return F.gelu(features + self.conv3(hidden))


class PatchMerging(nn.Module):
    """From one stage to the next: other channels, and half the height and width when ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(features)))))


class WindowAttention(nn.Module):
    """Self-attention inside windows, W x N x C in and out with N = window²; learned bias per head and distance."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, channels * 3)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        across = torch.arange(window)
        apart = (across[:, None] - across[None]).abs()
        distance = apart[:, None, :, None] * window + apart[None, :, None, :]
        self.register_buffer("distance", distance.reshape(window**2, window**2), persistent=False)
        self._bias: Tensor | None = None

    def bias(self) -> Tensor:
        """1 x heads x N x N, gathered once."""
        if self._bias is None or self._bias.dtype != self.attention_biases.dtype:
            self._bias = self.attention_biases.detach()[:, self.distance].unsqueeze(0).contiguous()
        return self._bias

    def forward(self, tokens: Tensor) -> Tensor:
        windows, count, channels = tokens.shape
        mixed = self.qkv(self.norm(tokens)).view(windows, count, self.heads, 3, channels // self.heads)
        query, key, value = mixed.permute(3, 0, 2, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=self.bias())
        return self.proj(attended.transpose(1, 2).reshape(windows, count, channels))


class Mlp(nn.Module):
    def __init__(self, channels: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, channels * expansion)
        self.fc2 = nn.Linear(channels * expansion, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(tokens))))


class TinyViTBlock(nn.Module):
    """Window attention, a depth-wise convolution across windows, and an MLP; B x C x H x W in and out (channels last)."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(channels, heads, window)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)
        self.mlp = Mlp(channels)

    def forward(self, features: Tensor) -> Tensor:
        grid = features.permute(0, 2, 3, 1)
        grid = grid + self._attend(grid)
        grid = self.local_conv(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (grid + self.mlp(grid)).permute(0, 3, 1, 2)

    def _attend(self, grid: Tensor) -> Tensor:
        """Cut B x H x W x C into windows (zeros fill the last ones, as in training), attend, put together again."""
        batch, height, width, channels = grid.shape
        side = self.window
        rows, columns = -(-height // side), -(-width // side)
        padded = F.pad(grid, (0, 0, 0, columns * side - width, 0, rows * side - height))
        cut = padded.view(batch, rows, side, columns, side, channels).transpose(2, 3).reshape(-1, side * side, channels)
        whole = self.attn(cut).view(batch, rows, columns, side, side, channels).transpose(2, 3)
        return whole.reshape(batch, rows * side, columns * side, channels)[:, :height, :width]


class Stage(nn.Module):
    """A row of blocks and, but for the last stage, the way to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, features: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features)
        return features if self.downsample is None else self.downsample(features)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of B x C x H x W."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TinyViT(nn.Module):
    """Normalised picture B x 3 x H x W -> B x 256 x H/16 x W/16; H and W divisible by 16."""

    def __init__(self, size: TinyViTSize = TinyViTSize()) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(size.channels[0])
        stages = []
        for index, (channels, depth, heads, window) in enumerate(zip(size.channels, size.depths, size.heads, size.windows, strict=True)):
            blocks = [MBConv(channels) if index == 0 else TinyViTBlock(channels, heads, window) for _ in range(depth)]
            last = index == len(size.channels) - 1
            stages.append(Stage(blocks, None if last else PatchMerging(channels, size.channels[index + 1], stride=1 if index == 2 else 2)))
        self.layers = nn.ModuleList(stages)
        outputs = size.out_channels
        self.neck = nn.Sequential(
            nn.Conv2d(size.channels[-1], outputs, 1, bias=False),
            ChannelNorm(outputs, eps=1e-6),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            ChannelNorm(outputs, eps=1e-6),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.patch_embed(pixels)
        for stage in self.layers:
            features = stage(features)
        return self.neck(features)

    def fold(self) -> "TinyViT":
        """Merge every batch norm into its convolution; for inference after the weights are loaded."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        return self
