"""Optical flow between two frames by matching blocks from coarse to fine, and warping along it. Whole-pixel motion and a half.

Small on purpose: it guides latents that are eight times coarser than the picture, where a pixel more or less does not count. It is
no measure of motion, and things that move farther than about a quarter of the picture between two frames are not found.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

SIDE = 256
"""Frames are matched at this length of their longer side."""
COARSEST = 24
_BLOCK = 7
_STEPS = tuple((float(y), float(x)) for y in range(-2, 3) for x in range(-2, 3))
_HALVES = tuple((y / 2, x / 2) for y in range(-1, 2) for x in range(-1, 2))
_STILL = 2e-3
"""What a pixel of doubt costs: where nothing is to be seen, blocks stay with their neighbours."""


def warp(source: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """``source`` (C, H, W) looked up at each place plus ``flow`` (2, H, W; pixels down and right); edges repeat."""
    height, width = source.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=source.device), torch.arange(width, device=source.device), indexing="ij"
    )  # fmt: skip
    x = (columns + flow[1]) / max(width - 1, 1) * 2 - 1
    y = (rows + flow[0]) / max(height - 1, 1) * 2 - 1
    grid = torch.stack([x, y], -1)[None].to(source.dtype)
    return grid_sample(source[None], grid, mode=mode, padding_mode="border", align_corners=True)[0]


def resized_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """The same motion on another grid."""
    scale = torch.tensor([height / flow.shape[1], width / flow.shape[2]], device=flow.device, dtype=flow.dtype)[:, None, None]
    return interpolate(flow[None], (height, width), mode="bilinear", align_corners=False)[0] * scale


def flow_between(source: Tensor, target: Tensor) -> Tensor:
    """(3, H, W) twice, 0..1 -> (2, H, W): ``warp(source, flow)`` looks like ``target``."""
    pyramid = [(source, target)]
    while min(pyramid[-1][0].shape[-2:]) >= 2 * COARSEST:
        pyramid.append((_halved(pyramid[-1][0]), _halved(pyramid[-1][1])))
    flow = torch.zeros(2, *pyramid[-1][0].shape[-2:], device=source.device)
    for level, (start, end) in enumerate(reversed(pyramid)):
        flow = resized_flow(flow, *start.shape[-2:])
        for steps in (_STEPS, _STEPS) if level == 0 else (_STEPS,):
            flow = _matched(start, end, flow, steps)
    return _smooth(_matched(source, target, flow, _HALVES))


def seen_in_both(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(flow as ``flow_between``, bool (H, W): the place of the target is there in the source, too)."""
    flow, back = flow_between(source, target), flow_between(target, source)
    returned = (flow + warp(back, flow)).norm(dim=0)
    alike = (warp(source, flow) - target).abs().mean(0)
    return flow, (returned < 1.5 + 0.05 * flow.norm(dim=0)) & (alike < 0.12)


def _halved(picture: Tensor) -> Tensor:
    return avg_pool2d(picture[None], 2)[0]


def _matched(source: Tensor, target: Tensor, flow: Tensor, steps: tuple[tuple[float, float], ...]) -> Tensor:
    """Each block moves by the step that makes it most alike."""
    around = _smooth(flow)
    moved = [flow + torch.tensor(step, device=flow.device)[:, None, None] for step in steps]
    costs = torch.stack([(warp(source, guess) - target).abs().mean(0) + _STILL * (guess - around).norm(dim=0) for guess in moved])
    best = _averaged(costs).argmin(0)
    return torch.gather(torch.stack(moved), 0, best[None, None].expand(1, 2, -1, -1))[0]


def _averaged(planes: Tensor) -> Tensor:
    return avg_pool2d(planes[None], _BLOCK, stride=1, padding=_BLOCK // 2, count_include_pad=False)[0]


def _smooth(flow: Tensor) -> Tensor:
    return avg_pool2d(flow[None], 3, stride=1, padding=1, count_include_pad=False)[0]
