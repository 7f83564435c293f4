"""A dozen generated cut-outs with a catalogue, so that tests of plans and pictures need no fetched assets."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from unified_demo.data.catalogue import Background, Catalogue, CutoutInfo, write_catalogue
from unified_demo.regions import COLOURS, colour_shares

RGB = {"red": (210, 30, 35), "green": (40, 160, 60), "yellow": (240, 220, 40), "blue": (40, 80, 200), "gray": (130, 130, 130),
       "brown": (130, 85, 50), "white": (245, 245, 245), "purple": (140, 60, 190),
       "orange": (235, 125, 30)}  # fmt: skip
THINGS = (  # noun, category, size_m, width, height, colour, may be painted
    ("table", "furniture", 1.4, 96, 64, "brown", False),
    ("cat", "animal", 0.45, 60, 60, "gray", False),
    ("fox", "animal", 0.7, 64, 44, "orange", False),
    ("apple", "fruit", 0.08, 48, 48, "red", False),
    ("person", "person", 1.7, 32, 80, "blue", False),
    ("ball", "ball", 0.22, 48, 48, "red", True),
    ("car", "vehicle", 4.2, 96, 48, "blue", True),
    ("basket", "household", 0.4, 64, 56, "brown", False),
    ("bird", "bird", 0.3, 56, 40, "yellow", False),
    ("cup", "tableware", 0.1, 40, 44, "white", False),
    ("airplane", "aircraft", 30.0, 96, 40, "white", False),
    ("umbrella", "clothing", 1.0, 72, 64, "purple", True),
    ("zebra", "animal", 2.2, 84, 64, "white", False),
)


def tiny_catalogue() -> Catalogue:
    """The catalogue alone, no files; umbrella and zebra are held out."""
    return Catalogue(tuple(_info(*thing) for thing in THINGS), (Background("photo:tiny", "tiny.png", "made here", "CC0"),))


def write_tiny_assets(folder: Path) -> Catalogue:
    """Pictures, a background photo and catalogue.json in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for noun, _, _, width, height, colour, _ in THINGS:
        _picture(noun, width, height, RGB[colour]).save(folder / f"{noun}.png")
    noise = np.random.default_rng(0).integers(90, 160, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "tiny.png")
    catalogue = tiny_catalogue()
    write_catalogue(catalogue, folder)
    return catalogue


def _info(noun: str, category: str, size_m: float, width: int, height: int, colour: str, paint: bool) -> CutoutInfo:
    picture = np.asarray(_picture(noun, width, height, RGB[colour]))
    shares = colour_shares(picture[picture[..., 3] > 127][:, :3][None])
    assert COLOURS[int(shares.argmax())] == colour
    colours = tuple(float(share) for share in shares)
    aspect = width / height
    return CutoutInfo(f"tiny:{noun}", noun, category, (), "made here", "CC0", aspect, colours, f"{noun}.png", size_m, "drawing", paint)


def _picture(noun: str, width: int, height: int, rgb: tuple[int, int, int]) -> Image.Image:
    """RGBA with a transparent margin of 3 px around an ellipse, or a table on legs; pixels touch all four sides of the bounds."""
    picture = Image.new("RGBA", (width + 6, height + 6))
    pen = ImageDraw.Draw(picture)
    if noun == "table":
        pen.rectangle((3, 3, width + 2, height // 4), fill=(*rgb, 255))
        pen.rectangle((3, 3, 12, height + 2), fill=(*rgb, 255))
        pen.rectangle((width - 7, 3, width + 2, height + 2), fill=(*rgb, 255))
    else:
        pen.ellipse((3, 3, width + 2, height + 2), fill=(*rgb, 255))
    return picture
