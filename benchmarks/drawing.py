"""Seconds for one picture: the small generator as the product runs it beside the same weights in diffusers at its default settings.

``python -m benchmarks.drawing`` draws the same prompts in turn with both, so that other work on the machine slows both alike, and prints
medians and their ratio; with ``--sheet docs/pictures.webp`` it draws 64 unselected nouns instead. Quality is measured elsewhere
(``unified_demo.evaluation``).
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.edit_sheet import WIDTH
from unified_demo import provenance
from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.experts.base import ExpertRequest
from unified_demo.experts.small_generators import GENERATOR, PIPELINE, build_specs, source
from unified_demo.experts.vocabulary import FILE
from unified_demo.grammar import Box, Task
from unified_demo.nouns import said
from unified_demo.zoo import Zoo

ON_SHEET = 64
SEVERAL = "three red cars and a dog on the beach"
Drawer = Callable[[str], Any]


def drawers(zoo: Zoo) -> dict[str, Drawer]:
    """Each draws a prompt. ModelLoadError when the generator is not there or broken."""
    import torch
    from diffusers import StableDiffusionPipeline

    expert = {spec.task: spec for spec in build_specs(zoo)}[Task.IMAGE_GENERATION].load()
    place = source(zoo, GENERATOR, PIPELINE)
    assert place is not None
    plain = StableDiffusionPipeline.from_pretrained(place.place, dtype=torch.float32)
    plain.set_progress_bar_config(disable=True)
    return {
        f"ours, {place.steps} steps": lambda prompt: list(expert.run(ExpertRequest(prompt))),
        f"ours, {place.steps} steps, three layers": lambda prompt: list(expert.run(ExpertRequest(SEVERAL))),
        f"diffusers, {place.steps} steps": lambda prompt: plain(prompt, num_inference_steps=place.steps),
        "diffusers, its defaults": lambda prompt: plain(prompt),
    }


def measure(chosen: dict[str, Drawer], prompts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Wall and processor seconds of a picture, medians; the first prompt warms up and does not count."""
    wall: dict[str, list[float]] = {name: [] for name in chosen}
    busy: dict[str, list[float]] = {name: [] for name in chosen}
    for prompt in prompts:
        for name, drawer in chosen.items():
            started, used = time.perf_counter(), time.process_time()
            drawer(prompt)
            wall[name].append(time.perf_counter() - started)
            busy[name].append(time.process_time() - used)
    return {
        name: {"seconds": round(statistics.median(wall[name][1:]), 3), "cpu_s": round(statistics.median(busy[name][1:]), 3)}
        for name in chosen
    }


def draw_pictures(draw: Drawer, nouns: Sequence[str], out: Path) -> None:
    """A contact sheet of one picture for each noun."""
    tiles = []
    with tempfile.TemporaryDirectory() as folder:
        for number, noun in enumerate(nouns):
            path = Path(folder) / f"{number}.png"
            draw(said(noun, 1))[-1].value.save(path)
            tiles.append(Tile(number, path, said(noun, 1), Box(0, 0, 1, 1), None, None))
        draw_sheet(tiles, out)
    with Image.open(out) as sheet:
        small = sheet.convert("RGB").resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS)
    small.save(out, quality=75)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=8, help="of each (default: 8)")
    parser.add_argument("--out", type=Path, default=Path("runs/drawing.json"), help="JSON file (default: runs/drawing.json)")
    parser.add_argument("--sheet", type=Path, help="draw 64 nouns of chance to this file instead")
    chosen = parser.parse_args(arguments)
    settings = Settings()
    nouns = sorted(json.loads((settings.weights_dir / "tiny" / GENERATOR / FILE).read_text(encoding="utf-8"))["looks"])
    try:
        systems = drawers(Zoo(settings.cache_dir, settings.weights_dir))
        if chosen.sheet:
            draw_pictures(next(iter(systems.values())), random.Random(1).sample(nouns, ON_SHEET), chosen.sheet)
            return 0
        figures = measure(systems, random.Random(0).sample(nouns, chosen.pictures + 1))
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 2
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"benchmark": "drawing", "commit": provenance.commit(), "machine": provenance.machine(), "figures": figures}
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    slowest = figures["diffusers, its defaults"]["cpu_s"]
    for name, row in figures.items():
        ratio = slowest / row["cpu_s"]
        print(f"{name:<34}{row['seconds']:>8.3f} s{row['cpu_s']:>8.3f} processor s   {ratio:>5.1f} times as fast as the defaults")
    return 0


if __name__ == "__main__":
    sys.exit(main())
