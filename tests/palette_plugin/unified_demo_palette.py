"""A plug-in for UnifiedMLLM Demo: the main colours of a picture as a row of swatches."""

from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

from unified_demo.experts.base import ExpertEvent, ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.grammar import MediaKind
from unified_demo.media import load_image

COLOURS = 6
SIDE, LINE = 120, 40


class Palette:
    """Median cut. ``run`` yields one step and one picture; the recipe has the colours as #rrggbb, most frequent first."""

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        small = load_image(request.inputs[0])
        small.thumbnail((256, 256))
        yield Progress(1, 1, "counting colours")
        reduced = small.quantize(COLOURS)
        palette = reduced.getpalette()
        found = [tuple(palette[3 * index : 3 * index + 3]) for _, index in sorted(reduced.getcolors(), reverse=True)]
        names = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in found]
        yield Output(MediaKind.IMAGE, swatches(names), of=request.inputs[0].id, label="colour palette", recipe={"colours": names})


def swatches(names: list[str]) -> Image.Image:
    """One square for each colour, its name below."""
    picture = Image.new("RGB", (SIDE * len(names), SIDE + LINE), "white")
    draw = ImageDraw.Draw(picture)
    for place, name in enumerate(names):
        draw.rectangle((SIDE * place, 0, SIDE * (place + 1) - 1, SIDE - 1), fill=name)
        draw.text((SIDE * (place + 0.5), SIDE + LINE / 2), name, "black", ImageFont.load_default(20), anchor="mm")
    return picture


SPEC = ExpertSpec(
    task="colour-palette",
    name="median cut",
    description="show the main colours of a picture as a row of swatches",
    needs=(MediaKind.IMAGE,),
    gives=MediaKind.IMAGE,
    licence="Apache-2.0",
    weights=(),
    memory_bytes=0,
    load=Palette,
)
