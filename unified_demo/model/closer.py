"""A closer look: everything that may be a thing, cut out and encoded by itself, for things that the detector does not propose.

In the whole picture a small thing covers a few patches, and where the detector knows no such thing its score is next to nothing; so
boxes count from a far lower score on than elsewhere, whatever the detector calls them. Up to MOST pictures are encoded where an answer
else needs one: it is done for nouns that are asked for and not proposed, and for open questions that no proposal answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from unified_demo.grammar import Box
from unified_demo.model.detection import Detection, Detector
from unified_demo.model.vision import GRID, ImageEncoder, pool_region
from unified_demo.regions import WHOLE_PICTURE, Floats, Region, Sight, region_colours

THRESHOLD, LOOKED_AT, MOST = 0.015, 120, 48
"""Least score, boxes taken from the detector, and boxes that are encoded, best first."""
SAME_THING = 0.6
MARGIN, NARROWEST = 0.1, 0.6
"""Room around a box on each side, as a share of it; its shorter side is widened to so much of the longer one."""
EDGE = 2
"""Rows and columns of patches along the edge that are not pooled."""
BATCH = 16
WIDTH = 768
"""Class token and mean of the patches."""


@dataclass(frozen=True)
class Candidates:
    """``regions``: what may be a thing, described as in a sight; ``features`` (n, 768): what each looks like by itself."""

    regions: tuple[Region, ...]
    features: Floats


def look_closer(picture: Image.Image, sight: Sight, encoder: ImageEncoder, detector: Detector) -> Candidates:
    """The proposals of ``sight``, each box once and under its best label, and what else may be a thing. ``picture``: any size and mode."""
    proposals = sorted((region for region in sight.regions if region.label != WHOLE_PICTURE), key=lambda region: -region.score)
    regions = list({region.box: region for region in reversed(proposals)}.values())
    new = detections(picture, detector, [region.box for region in regions])
    whole, pixels = encoder.encode([picture])[0], np.asarray(picture.convert("RGB"))
    for item in new:
        feature = pool_region(whole, item.box.as_tuple()).numpy().astype(np.float32)
        regions.append(Region(item.label, item.score, item.box, region_colours(pixels, item.box), feature, item.others))
    return Candidates(tuple(regions), crop_features(picture, [region.box for region in regions], encoder))


def detections(picture: Image.Image, detector: Detector, known: Sequence[Box] = ()) -> list[Detection]:
    """What may be a thing besides the ``known`` ones, so many that there are MOST together."""
    boxes, found = list(known), []
    for item in detector.detect(picture, threshold=THRESHOLD, limit=LOOKED_AT, tiled=False):
        if len(boxes) < MOST and all(item.box.iou(box) < SAME_THING for box in boxes):
            boxes.append(item.box)
            found.append(item)
    return found


def crop_features(picture: Image.Image, boxes: Sequence[Box], encoder: ImageEncoder) -> Floats:
    """(n, 768), one row a box."""
    picture = picture.convert("RGB")
    rows = [np.zeros((0, WIDTH), np.float32)]
    for start in range(0, len(boxes), BATCH):
        features = encoder.encode([crop_of(picture, box) for box in boxes[start : start + BATCH]])
        patches = features[:, 1:].view(len(features), GRID, GRID, -1)[:, EDGE:-EDGE, EDGE:-EDGE]
        rows.append(torch.cat([features[:, 0], patches.mean((1, 2))], dim=1).numpy())
    return np.concatenate(rows)


def crop_of(picture: Image.Image, box: Box) -> Image.Image:
    """The box with some room around it, within the picture; at least two pixels wide and high."""
    width, height = (box.x1 - box.x0) * picture.width, (box.y1 - box.y0) * picture.height
    least = NARROWEST * max(width, height)
    half_width, half_height = max(width, least) * (0.5 + MARGIN), max(height, least) * (0.5 + MARGIN)
    x, y = (box.x0 + box.x1) / 2 * picture.width, (box.y0 + box.y1) / 2 * picture.height
    left, top = max(0, min(round(x - half_width), picture.width - 2)), max(0, min(round(y - half_height), picture.height - 2))
    right, bottom = min(picture.width, max(round(x + half_width), left + 2)), min(picture.height, max(round(y + half_height), top + 2))
    return picture.crop((left, top, right, bottom))
