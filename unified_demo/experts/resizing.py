"""A thing larger or smaller in its picture: its own pixels, scaled where it stands, over what is behind it. No model is used here."""

import numpy as np
from PIL import Image

from unified_demo.experts.patches import Mask, Pixels

FACTORS = {"bigger": 1.4, "smaller": 0.7}
"""As in the training data."""


def resized(picture: Pixels, behind: Pixels, mask: Mask, factor: float) -> Pixels:
    """What ``mask`` (bool H x W, not empty) covers of ``picture``, ``factor`` times as wide and high, laid over ``behind`` (the picture
    without the thing; both uint8 H x W x 3). The middle of its foot stays; what leaves the picture is cut off."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    alpha = mask[top:bottom, left:right, None].astype(np.uint8) * 255
    thing = Image.fromarray(np.concatenate([picture[top:bottom, left:right], alpha], 2), "RGBA")
    width, height = max(1, round(thing.width * factor)), max(1, round(thing.height * factor))
    scaled = thing.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    sheet = Image.new("RGBA", (picture.shape[1], picture.shape[0]))
    sheet.paste(scaled, (round((left + right - width) / 2), int(bottom) - height))
    return np.asarray(Image.alpha_composite(Image.fromarray(behind).convert("RGBA"), sheet).convert("RGB"))
