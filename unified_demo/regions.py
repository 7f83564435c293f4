"""Region proposals of a picture and the fixed numbers that describe them: place, rank, colours, neighbours.

A ``Region`` is a detector's box with its label; ``describe`` turns a list of them into arrays for the region projector.
Only geometry and pixel statistics live here; what they mean in words is learnt elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from unified_demo.grammar import Box

Floats = npt.NDArray[np.float32]

COLOURS = ("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
PARTS = 4
"""Whole box, top third, middle third, bottom third: a shirt and trousers have their own colours."""
MIDDLE, PLAIN = 2, 0.3
"""A shirt has a colour when that covers so much of the middle third."""
RELATIONS = 6
"""Neighbour kinds: overlapping, holding me, inside me, left of me, right of me, below me."""
PLACE_WIDTH = 40
SURE = 0.4
"""Regions with at least this score count as things that are there; ranks are taken among them."""
SECOND_NAME = 0.08
WHOLE_PICTURE = "picture"
"""Label of the proposal that covers everything."""


@dataclass(frozen=True)
class Region:
    """One proposal. ``colours``: PARTS x len(COLOURS) shares, rows sum to 1 (or 0 where unknown).

    ``feature``: pooled encoder vector (384,) or None. ``others``: further names the detector considered.
    """

    label: str
    score: float
    box: Box
    colours: Floats
    feature: Floats | None = None
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Sight:
    """What was seen in one picture: ``image`` (17, 384) pooled features; ``regions``: the whole picture, then left to right."""

    image: Floats
    regions: tuple[Region, ...]


PLACES = (
    "at the top left", "at the top", "at the top right", "on the left", "in the middle", "on the right",
    "at the bottom left", "at the bottom", "at the bottom right",
)  # fmt: skip


def place_of(box: Box) -> str:
    """Where in the picture, one of PLACES."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    row = 0 if y < 0.35 else 2 if y > 0.68 else 1
    return PLACES[3 * row + (0 if x < 0.38 else 2 if x > 0.62 else 1)]


def sort_regions(regions: list[Region]) -> list[Region]:
    """From left to right by centre: the order in which the language model reads them."""
    return sorted(regions, key=lambda region: region.box.x0 + region.box.x1)


def with_whole_picture(regions: list[Region], colours: Floats, feature: Floats | None) -> list[Region]:
    """The proposal for the whole picture comes first, the others from left to right."""
    return [Region(WHOLE_PICTURE, 1.0, Box(0.0, 0.0, 1.0, 1.0), colours, feature), *sort_regions(regions)]


def with_second_names(regions: Sequence[Region]) -> list[Region]:
    """A box that may be something else with a score of at least SECOND_NAME is proposed under that name as well."""
    named = []
    for region in regions:
        named.append(replace(region, others=()))
        named += [replace(region, label=label, score=score, others=()) for label, score in region.others if score >= SECOND_NAME]
    return named


def without_feature(region: Region) -> Region:
    return replace(region, feature=None)


def colour_shares(pixels: npt.NDArray[np.uint8]) -> Floats:
    """(h, w, 3) RGB -> share of each of COLOURS, sums to 1. Fixed rules on hue, saturation and value."""
    rgb = pixels.reshape(-1, 3).astype(np.float32) / 255
    value, low = rgb.max(1), rgb.min(1)
    chroma = value - low
    saturation = chroma / np.maximum(value, 1e-6)
    red, green, blue = rgb.T
    safe = np.maximum(chroma, 1e-6)
    sector = np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    hue = np.where(value == red, ((green - blue) / safe) % 6, sector) * 60
    index = np.select(
        [
            value < 0.22,
            (saturation < 0.17) & (value > 0.78),
            saturation < 0.2,
            (hue < 40) & (value < 0.62) & (saturation < 0.85),
            (hue < 14) | (hue >= 344),
            hue < 42,
            hue < 68,
            hue < 165,
            hue < 258,
            hue < 290,
        ],
        [0, 1, 2, 10, 3, 4, 5, 6, 7, 8],
        default=9,
    )
    counts: Floats = np.bincount(index, minlength=len(COLOURS)).astype(np.float32)
    return counts / np.float32(max(len(index), 1))


def region_colours(picture: npt.NDArray[np.uint8], box: Box) -> Floats:
    """(PARTS, len(COLOURS)) of a picture (H, W, 3); the sides of the box, mostly background, are left out."""
    height, width = picture.shape[:2]
    x0, x1 = box.x0 + 0.2 * (box.x1 - box.x0), box.x1 - 0.2 * (box.x1 - box.x0)
    rows = [(0.12, 0.88), (0.12, 0.38), (0.38, 0.65), (0.65, 0.92)]
    left, right = int(x0 * width), max(int(x1 * width), int(x0 * width) + 1)
    shares = []
    for low, high in rows:
        top = int((box.y0 + low * (box.y1 - box.y0)) * height)
        bottom = max(int((box.y0 + high * (box.y1 - box.y0)) * height), top + 1)
        patch = picture[top:bottom, left:right]
        step = max(1, int((patch.shape[0] * patch.shape[1] / 2500) ** 0.5))
        shares.append(colour_shares(patch[::step, ::step]))
    return np.stack(shares)


def shirt_colour(person: Region) -> str:
    """The colour that covers most of the middle third of a person; empty where it is not PLAIN."""
    shares = person.colours[MIDDLE]
    return COLOURS[int(shares.argmax())] if shares.max() >= PLAIN else ""


def place_features(regions: list[Region]) -> Floats:
    """(n, PLACE_WIDTH): geometry, score and ranks among all proposals and among the sure ones with the same label."""
    boxes = np.array([region.box.as_tuple() for region in regions], np.float32)
    centre_x, centre_y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area = width * height
    labels = np.array([region.label for region in regions])
    rows = np.zeros((len(regions), PLACE_WIDTH), np.float32)
    scores = np.array([region.score for region in regions])
    for index in range(len(regions)):
        same = (labels == labels[index]) & (scores >= min(SURE, 0.6 * scores[labels == labels[index]].max()))
        same[index] = True
        base = [*boxes[index], centre_x[index], centre_y[index], width[index], height[index], area[index], area[index] ** 0.5]
        base += [float(np.log(width[index] / height[index])) / 2, regions[index].score]
        ranks: list[float] = []
        for values in (centre_x, centre_y, area):
            ranks += _rank(values[same], values[index])
        for values in (centre_x, area):
            ranks += _rank(values[labels != WHOLE_PICTURE], values[index])[:2]
        count = int(same.sum())
        from_left = int((centre_x[same] < centre_x[index]).sum())
        places = [float(from_left == place) for place in range(1, 4)] + [float(count - 1 - from_left == place) for place in range(1, 4)]
        middle = float(count >= 3 and abs(centre_x[index] - np.median(centre_x[same])) < 1e-6)
        counts = [float(count == number) for number in (1, 2, 3, 4)] + [min(count, 10) / 10, middle]
        row = base + ranks + places + counts
        rows[index, : len(row)] = row
    return rows


def _rank(values: Floats, value: float) -> list[float]:
    """Is it the smallest, is it the largest, and its place between (0..1)."""
    if len(values) < 2:
        return [0.0, 0.0, 0.5]
    below = float((values < value).sum())
    return [float(below == 0), float(below == len(values) - 1), below / (len(values) - 1)]


def neighbour_weights(regions: list[Region]) -> Floats:
    """(RELATIONS, n, n): row i says how much each other region counts as that kind of neighbour of region i; rows sum to <= 1."""
    boxes = np.array([region.box.as_tuple() for region in regions], np.float32)
    count = len(regions)
    real = np.array([region.label != WHOLE_PICTURE for region in regions])
    centre_x, centre_y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shared_w = np.minimum(boxes[:, None, 2], boxes[None, :, 2]) - np.maximum(boxes[:, None, 0], boxes[None, :, 0])
    shared_h = np.minimum(boxes[:, None, 3], boxes[None, :, 3]) - np.maximum(boxes[:, None, 1], boxes[None, :, 1])
    shared = np.clip(shared_w, 0, None) * np.clip(shared_h, 0, None)
    gap = np.hypot(np.clip(-shared_w, 0, None), np.clip(-shared_h, 0, None))
    allowed = real[:, None] & real[None, :] & ~np.eye(count, dtype=bool)
    near = np.exp(-gap / 0.08) * allowed
    right, below = centre_x[None, :] > centre_x[:, None], centre_y[None, :] > centre_y[:, None]
    weights = np.stack(
        [
            shared / np.minimum(area[:, None], area[None, :]) * allowed,
            shared / area[:, None] * allowed * (area[None, :] > area[:, None]),
            shared / area[None, :] * allowed * (area[None, :] < area[:, None]),
            near * ~right,
            near * right,
            near * below * (shared_w > 0),
        ]
    )
    total = weights.sum(-1, keepdims=True)
    return (weights / np.maximum(total, 1.0)).astype(np.float32)
