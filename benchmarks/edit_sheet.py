"""A contact sheet of edits that may be passed on: every style and filter, and every removal, on the photos of ``assets/``.

``python -m benchmarks.edit_sheet --out docs/edits.webp`` asks the experts of the default profile without the language model.
Nothing is selected: each row of the style table once, the photos in turn; each thing that the detector finds, removed. With
``--content 64`` so many things are added instead, and what the detector finds replaced, by nouns of chance in places of chance. With
``--drawings 64`` so many edits of pictures that the generator draws: every edit of the table in turn, four for each picture.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.expert_runs import call_expert
from unified_demo.experts.drawn_edits import drawn_edits
from unified_demo.experts.grounds import PLACES
from unified_demo.experts.restyling import styles
from unified_demo.experts.small_generators import GENERATOR
from unified_demo.experts.vocabulary import FILE
from unified_demo.fakes import ScriptedModel
from unified_demo.grammar import Box, Task
from unified_demo.media import MediaStore
from unified_demo.model.detection import Detector
from unified_demo.nouns import said
from unified_demo.zoo import Zoo

PHOTOS = Path(__file__).resolve().parent.parent / "assets"
SURE = 0.5
"""Score of a thing that is removed."""
EDITS_EACH = 4
"""Of each drawn picture."""
WHOLE = Box(0, 0, 1, 1)
WIDTH = 1040
"""Pixels of the sheet that is kept: small enough to be committed."""


def wishes(photos: list[Path], detector: Detector) -> Iterator[tuple[Path, Task, str, Box | None]]:
    """(photo, task, instruction, box): styles first."""
    for number, style in enumerate(styles()):
        yield photos[number % len(photos)], Task.IMAGE_EDITING, style.words[0], None
    for photo in photos:
        with Image.open(photo) as opened:
            found = detector.detect(opened.convert("RGB"))
        for thing in found:
            if thing.score >= SURE:
                yield photo, Task.REASONING_EDITING, f"remove the {thing.label}", thing.box


def contents(photos: list[Path], detector: Detector, nouns: Sequence[str], count: int) -> Iterator[tuple[Path, Task, str, Box | None]]:
    """As ``wishes``: every fourth wish replaces what the detector is surest of, the others add something in a box of chance."""
    rng = random.Random(0)
    chosen = rng.sample(nouns, min(count, len(nouns)))
    for number, noun in enumerate(chosen):
        photo = photos[number % len(photos)]
        side = rng.uniform(0.25, 0.5)
        x, y = rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)
        box, wish = Box(x, y, x + side, y + side), f"add {said(noun, 1)}"
        if number % 4 == 3:
            with Image.open(photo) as opened:
                found = detector.detect(opened.convert("RGB"))
            if found:
                surest = max(found, key=lambda thing: thing.score)
                box, wish = surest.box, f"replace the {surest.label} with {said(noun, 1)}"
        yield photo, Task.REASONING_EDITING, wish, box


def drawings(engine: Engine, nouns: Sequence[str], count: int, folder: Path) -> Iterator[tuple[Path, Task, str, Box | None]]:
    """As ``wishes``, of pictures of one noun of chance, or two, every second one on a ground of chance."""
    rng, edits = random.Random(0), list(drawn_edits().values())
    rng.shuffle(edits)
    path = folder / "none.png"
    for number in range(count):
        if number % EDITS_EACH == 0:
            prompt = " and ".join(said(noun, 1) for noun in rng.sample(nouns, 1 + number // EDITS_EACH % 2))
            if number // EDITS_EACH % 4 > 1:
                prompt += f", {rng.choice(list(PLACES))}"
            outputs, error = call_expert(engine, Task.IMAGE_GENERATION, prompt, {})
            if not outputs:
                raise MediaError(f"'{prompt}' could not be drawn: {error}")
            path = folder / f"drawn-{number}.png"
            outputs[-1].value.save(path)
        yield path, Task.IMAGE_EDITING, edits[number % len(edits)].words[0], None


def draw(engine: Engine, asked: Iterable[tuple[Path, Task, str, Box | None]], out: Path, drawn: bool = False) -> int:
    """Write the sheet; gives the number of its tiles. ``drawn``: the pictures come from the generator, as their recipe would say."""
    with tempfile.TemporaryDirectory() as folder:
        store, tiles = MediaStore(folder), list[Tile]()
        for photo, task, instruction, box in asked:
            picture = replace(store.add_upload(photo, "img-1"), recipe={"layout": []} if drawn else {})
            outputs, error = call_expert(engine, task, instruction, {"img-1": picture}, box=box)
            shown = store.add_image(outputs[-1].value, "img-2") if outputs else picture
            tiles.append(Tile(len(tiles), shown.path, f"{instruction}\n{error}", box or WHOLE, None, None))
        draw_sheet(tiles, out)
    with Image.open(out) as sheet:
        small = sheet.convert("RGB").resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS)
    small.save(out, quality=75)
    return len(tiles)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edit_sheet", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of JPEG photos")
    parser.add_argument("--content", type=int, default=0, metavar="COUNT", help="add and replace so many things instead")
    parser.add_argument("--drawings", type=int, default=0, metavar="COUNT", help="do so many edits of pictures drawn here instead")
    parser.add_argument("--out", type=Path, default=Path("docs/edits.webp"), help="WebP or PNG file to write")
    options = parser.parse_args()
    settings = Settings()
    try:
        zoo = Zoo(settings.cache_dir, settings.weights_dir)
        detector, photos = Detector(zoo.path("detector")), sorted(options.photos.glob("*.jpg"))
        nouns = json.loads((settings.weights_dir / "tiny" / GENERATOR / FILE).read_text(encoding="utf-8"))["looks"]
        engine = load_engine(settings, ScriptedModel(()))
        with tempfile.TemporaryDirectory() as scratch:
            if options.drawings:
                asked = drawings(engine, list(nouns), options.drawings, Path(scratch))
            else:
                asked = contents(photos, detector, list(nouns), options.content) if options.content else wishes(photos, detector)
            count = draw(engine, asked, options.out, options.drawings > 0)
    except UnifiedError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(f"{count} edits are drawn in {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
