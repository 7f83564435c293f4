"""Is the thing in the picture, has it the colour, are there as many, do they fill their boxes? Judged without the generator's help.

Nouns by the nearest picture of a gallery in the frozen image encoder's features; the rest by what differs from the ground. Arrays in,
numbers out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from unified_demo.evaluation.image_metrics import Floats, Look, Pixels
from unified_demo.evaluation.metrics import Mask
from unified_demo.grammar import Box
from unified_demo.media import mask_to_box
from unified_demo.regions import COLOURS, colour_shares

DIFFERENT = 30
"""A pixel belongs to a thing when a channel differs by so much from the ground, 0..255."""
SIDE = 64
"""Things are counted at this size, so that a gap of a pixel or two does not make two of one."""
LEAST = 0.012
"""A part smaller than this share of the picture is no thing."""
PAINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")


@dataclass(frozen=True)
class Gallery:
    """``features`` (n, d), rows of length 1, and the noun that each shows."""

    features: Floats
    nouns: tuple[str, ...]

    def ranking(self, picture: Pixels, look: Look) -> list[str]:
        """All nouns, the one with the most similar picture first."""
        similar = self.features @ descriptor(picture, look)
        order = dict.fromkeys(self.nouns[index] for index in np.argsort(-similar, kind="stable"))
        return list(order)


def descriptor(picture: Pixels, look: Look) -> Floats:
    """(H, W, 3) -> (d,) of length 1: the mean of the patches' features beside that of the middle ones."""
    features = look(picture).astype(np.float64)
    rows, columns = features.shape[:2]
    middle = features[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    both = np.concatenate([features.mean((0, 1)), middle.mean((0, 1))])
    unit: Floats = (both / max(float(np.linalg.norm(both)), 1e-10)).astype(np.float32)
    return unit


def foreground(picture: Pixels) -> Mask:
    """(H, W): what differs from the median colour of the picture's rim; meant for plain grounds."""
    rim = np.concatenate(
        [picture[:3].reshape(-1, 3), picture[-3:].reshape(-1, 3), picture[:, :3].reshape(-1, 3), picture[:, -3:].reshape(-1, 3)]
    )
    return np.asarray(np.abs(picture.astype(np.int16) - np.median(rim, axis=0)).max(-1) > DIFFERENT)


def parts(mask: Mask) -> list[Mask]:
    """The connected parts (eight neighbours) at SIDE x SIDE that are large enough, each as a mask of that size."""
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((SIDE, SIDE), Image.Resampling.BOX)) > 96
    labels = np.where(small, np.arange(1, small.size + 1).reshape(small.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        spread = np.max([padded[y : y + SIDE, x : x + SIDE] for y in range(3) for x in range(3)], axis=0) * small
        if (spread == labels).all():
            break
        labels = spread
    found = [labels == number for number in np.unique(labels) if number]
    return [part for part in found if part.mean() >= LEAST]


def painted(picture: Pixels) -> str:
    """The strongest of PAINTS among what is not ground, "" when there is none."""
    things = picture[foreground(picture)]
    if not len(things):
        return ""
    shares = colour_shares(things[None])
    strongest = max(PAINTS, key=lambda name: shares[COLOURS.index(name)])
    return strongest if shares[COLOURS.index(strongest)] > 0 else ""


def filled(picture: Pixels, boxes: Sequence[Box]) -> list[Box | None]:
    """For each box the bounds of the parts that lie in it by their middle; None when none does."""
    found: list[npt.NDArray[np.bool_]] = [np.zeros((SIDE, SIDE), bool) for _ in boxes]
    for part in parts(foreground(picture)):
        rows, columns = np.nonzero(part)
        x, y = (columns.mean() + 0.5) / SIDE, (rows.mean() + 0.5) / SIDE
        inside = [index for index, box in enumerate(boxes) if box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1]
        if inside:
            found[inside[0]] |= part
    return [mask_to_box(mask) for mask in found]


def crop(picture: Pixels, box: Box) -> Pixels:
    """The pixels of a box with a tenth around, at least 8 x 8, as a square on the ground's colour."""
    height, width = picture.shape[:2]
    side = max(8, round(1.2 * max((box.x1 - box.x0) * width, (box.y1 - box.y0) * height)))
    x, y = round((box.x0 + box.x1) / 2 * width - side / 2), round((box.y0 + box.y1) / 2 * height - side / 2)
    ground = tuple(int(value) for value in np.median(picture[:3].reshape(-1, 3), axis=0))
    square = Image.new("RGB", (side, side), ground)
    square.paste(Image.fromarray(picture), (-x, -y))
    return np.asarray(square)
