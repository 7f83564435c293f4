"""Look at a picture once: encoder features and region proposals, the same for training data and for chat.

``Perception.look`` runs DINOv2 and the detector and describes what was found. It knows no tokens and no language model.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from unified_demo.grammar import Box
from unified_demo.model.closer import Candidates, look_closer
from unified_demo.model.detection import Detection, Detector
from unified_demo.model.projector import IMAGE_SIDE
from unified_demo.model.vision import ImageEncoder, pool_grid, pool_region
from unified_demo.regions import Region, Sight, region_colours, with_second_names, with_whole_picture

SCORE_THRESHOLD, MOST_PROPOSALS = 0.08, 24
"""Measured on eval_coco: the best proposal then fits 95 % of the targets; tiles cost three times as much and add nothing here."""
KNOWN = 0.95
"""Score of what was drawn here."""


class Perception:
    """Encoder and detector together; both may be shared by threads."""

    def __init__(self, encoder: ImageEncoder, detector: Detector) -> None:
        self.encoder, self.detector = encoder, detector

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what the detector was taught."""
        return self.detector.labels

    def look(self, picture: Image.Image, shown: Sequence[tuple[str, Box]] = ()) -> Sight:
        """A PIL picture of any size and mode. ``shown``: what is in it, by its noun, where that is known: then nothing is looked for."""
        features = self.encoder.encode([picture])[0]
        found = [Detection(noun, KNOWN, box) for noun, box in shown[:MOST_PROPOSALS]]
        found = found or self.detector.detect(picture, threshold=SCORE_THRESHOLD, limit=MOST_PROPOSALS, tiled=False)
        pixels = np.asarray(picture.convert("RGB"))
        regions = []
        for item in found:
            colours = region_colours(pixels, item.box)
            feature = pool_region(features, item.box.as_tuple()).numpy().astype(np.float32)
            regions.append(Region(item.label, item.score, item.box, colours, feature, item.others))
        regions = with_second_names(regions)
        everything = with_whole_picture(regions, region_colours(pixels, Box(0.0, 0.0, 1.0, 1.0)), features[0].numpy())
        return Sight(pool_grid(features, IMAGE_SIDE).numpy(), tuple(everything))

    def look_closer(self, picture: Image.Image, sight: Sight) -> Candidates:
        """Everything in it that may be a thing; ``sight``: what was seen at first."""
        return look_closer(picture, sight, self.encoder, self.detector)
