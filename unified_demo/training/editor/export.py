"""The trained editor as a folder that ``StableDiffusionInstructPix2PixPipeline`` loads, sheets of held-out pairs, and pairs on disk.

Half precision, averaged weights. What the benchmark ``editing`` reads is written here, nothing is measured.
"""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageDraw, ImageFont

from unified_demo.data.edit_pairs import DRAWN_KINDS, LINES_FILE, PICTURES, VERSION
from unified_demo.experts.drawn_edits import KINDS, drawn_edits, editor_prompt
from unified_demo.training.editor.networks import SIDE
from unified_demo.training.editor.scenes import Pair, SceneMaker
from unified_demo.training.generators.export import parts_of

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny, StableDiffusionInstructPix2PixPipeline

    from unified_demo.training.editor.trainer import EditorTrainer

CAPTION, COLUMNS = 14, 4
GUIDANCE = 1.0
"""One pass a step: the picture after an edit is settled by picture and words."""


def pipeline_of(trainer: "EditorTrainer", autoencoder: "AutoencoderTiny") -> "StableDiffusionInstructPix2PixPipeline":
    """The averaged weights as a pipeline; the trainer's networks are part of it."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipeline = StableDiffusionInstructPix2PixPipeline(**parts_of(trainer, autoencoder))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def export(pipeline: "StableDiffusionInstructPix2PixPipeline", steps: int, folder: Path) -> None:
    """Write the pipeline in half precision and ``sampling.json`` to ``folder``; it is half precision then."""
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "sampling.json").write_text(json.dumps({"steps": steps, "guidance": GUIDANCE, "side": SIDE}) + "\n", encoding="utf-8")


def edit(pipeline: Any, picture: Image.Image, prompt: str, steps: int, seed: int) -> Image.Image:
    call = {"num_inference_steps": steps, "guidance_scale": GUIDANCE, "image_guidance_scale": 1.0}
    edited: Image.Image = pipeline(prompt, image=picture, generator=torch.Generator().manual_seed(seed), **call).images[0]
    return edited


def draw_pairs(pipeline: Any, maker: SceneMaker, count: int, steps: int, path: Path) -> None:
    """Before, edited and wished beside each other, the edits in turn."""
    rows = -(-count // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * 3 * SIDE, rows * (SIDE + CAPTION)), "white")
    for number, pair in enumerate(held_out_pairs(maker, count, 1)):
        before, wished = (Image.fromarray(picture) for picture in maker.both(pair, SIDE))
        words = editor_prompt(pair.edits)
        left, top = number % COLUMNS * 3 * SIDE, number // COLUMNS * (SIDE + CAPTION)
        for place, picture in enumerate((before, edit(pipeline, before, words, steps, number), wished)):
            sheet.paste(picture, (left + place * SIDE, top))
        ImageDraw.Draw(sheet).text((left + 2, top + SIDE), words, fill="black", font=ImageFont.load_default(10))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def held_out_pairs(maker: SceneMaker, count: int, seed: int) -> list[Pair]:
    """The edits in turn, styles three times as often; each changes something."""
    rng = random.Random(f"drawn-{seed}")
    table = list(drawn_edits().values())
    turn = [edit for edit in table if edit.name in maker.styles or edit.kind != "style"]
    styles = [edit for edit in turn if edit.kind == "style"]
    order = [one for number, edit in enumerate(turn) for one in ((edit, styles[number % len(styles)]) if number % 2 else (edit,))]
    pairs = []
    for number in range(count):
        while (pair := maker.pair(rng, (order[number % len(order)],))).after == pair.before:
            continue
        pairs.append(pair)
    return pairs


def write_pairs(maker: SceneMaker, folder: Path, count: int, seed: int) -> None:
    """Pairs of held-out things in the layout of ``data edits``, instructions in ordinary words."""
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"version": VERSION, "seed": seed, "count": count})]
    rng = random.Random(f"words-{seed}")
    for number, pair in enumerate(held_out_pairs(maker, count, seed)):
        kind = pair.edits[0].kind
        words = rng.choice([word for edit in pair.edits for word in edit.words])
        row: dict[str, Any] = {
            "id": f"{number:04d}",
            "kind": DRAWN_KINDS[KINDS.index(kind)],
            "part": "held_out",
            "instruction": phrase(kind, words),
        }
        for name, picture in zip(("before", "after"), maker.both(pair, SIDE), strict=True):
            row[name] = f"{PICTURES}/{number:04d}-{name}.png"
            Image.fromarray(picture).save(folder / row[name])
        lines.append(json.dumps(row | {"width": SIDE, "height": SIDE, "box": None, "changed": None}))
    (folder / LINES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def phrase(kind: str, words: str) -> str:
    """What a call would say."""
    return {"style": f"make it look like {words}", "ground": f"change the picture: {words}", "paint": f"make everything {words}"}[kind]
