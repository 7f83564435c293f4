"""Trained generators as a folder that ``StableDiffusionPipeline`` loads (``StableDiffusionGLIGENPipeline`` too, with fusers), and what
they can draw.

Half precision, averaged weights, every spelling with its meaning's embedding. ``vocabulary.json`` beside them names the nouns, so that
an expert can refuse others. Contact sheets of fixed prompts are drawn here as well.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageDraw, ImageFont

from unified_demo.experts.grounds import DEFAULT, NAMES, PLAIN
from unified_demo.hues import PAINT_HUES
from unified_demo.nouns import plural
from unified_demo.training.generators.autoencoder import GROWTH, SIDE
from unified_demo.training.generators.networks import build_scheduler, without_fusers
from unified_demo.training.generators.pictures import ground_prompt
from unified_demo.training.generators.words import FILLER, GROUND_WORDS, NOT_LEARNT, SPECIAL, Vocabulary

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny, StableDiffusionPipeline

    from unified_demo.training.generators.diffusion import DiffusionTrainer

COLUMNS, CAPTION = 8, 14
SHARD = "40MB"
"""Of one file of weights."""
GUIDANCE, STEPS = 1.5, 8
SHEET_PROMPTS = (
    "a dog", "a cat", "an apple", "a car", "a house", "a tree", "a bicycle", "a guitar",
    "a fox", "an elephant", "a banana", "a fire engine", "a castle", "a rose", "a rocket", "a camera",
    "a red umbrella", "a green umbrella", "a blue balloon", "a yellow hat", "a purple chair",
    "an orange book", "a pink t-shirt", "a red bed",
    "a dog on the beach", "a car in the snow", "a cactus in the desert", "a ship on the sea", "an owl at night", "a cow on grass",
    "a pizza on a blue background", "a star on a black background",
)  # fmt: skip


def pipeline_of(trainer: "DiffusionTrainer", autoencoder: "AutoencoderTiny") -> "StableDiffusionPipeline":
    """The averaged weights as a pipeline; the trainer's networks are part of it."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(**parts_of(trainer, autoencoder))


def parts_of(trainer: "DiffusionTrainer", autoencoder: "AutoencoderTiny") -> dict[str, Any]:
    """What a pipeline of the averaged weights is made of, whichever class it is."""
    trainer.load_average()
    return {
        "vae": autoencoder,
        "text_encoder": trainer.encoder.eval(),
        "tokenizer": trainer.tokenizer,
        "unet": trainer.unet.eval(),
        "scheduler": build_scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def export(pipeline: "StableDiffusionPipeline", words: Vocabulary, nouns: Collection[str], fusers: bool, folder: Path) -> None:
    """Write the pipeline in half precision, ``vocabulary.json`` and ``sampling.json`` to ``folder``; it is half precision then.

    ``nouns``: those that are offered, of ``words.looks``; the others are refused. ``fusers``: GLIGEN's have learnt boxes and go along.
    """
    if not fusers:
        pipeline.unet = without_fusers(pipeline.unet)
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD)
    things, offered = _spellings(words, words.looks), _spellings(words, nouns)
    others = set(words.tokens()) - things - {*SPECIAL, *NOT_LEARNT}
    spelt = {name: (name, *GROUND_WORDS.get(name, ())) for name in NAMES}
    grounds = {word: "" if name == DEFAULT else ground_prompt(name) for name, spellings in spelt.items() for word in spellings}
    looks = {noun: words.looks[noun] for noun in sorted(nouns)}
    singular = (offered - {plural(noun).lower() for noun in offered}) | {noun.lower() for noun in nouns}
    content = {
        "nouns": sorted(singular),
        "words": sorted({*others, *FILLER}),
        "paints": list(PAINT_HUES),
        "grounds": grounds,
        "looks": looks,
    }
    (folder / "vocabulary.json").write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    sampling = {"steps": STEPS, "guidance": GUIDANCE, "side": GROWTH * SIDE, "paper": PLAIN[DEFAULT]}
    (folder / "sampling.json").write_text(json.dumps(sampling) + "\n", encoding="utf-8")


def _spellings(words: Vocabulary, nouns: Iterable[str]) -> set[str]:
    """Every spelling of the nouns: themselves, plurals, synonyms and theirs."""
    numbers = words.tokens()
    meant = {numbers[noun.lower()] for noun in nouns}
    return {spelling for spelling, meaning in zip(numbers, words.meanings(), strict=True) if meaning in meant}


def offered(folder: Path) -> set[str]:
    """The nouns that an exported folder offers. OSError when it is not there."""
    return set(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))["looks"])


def draw_sheet(pipeline: Any, prompts: Sequence[str], side: int, path: Path, **options: Any) -> None:
    """One picture for each prompt, seed = its number, eight beside each other with the prompt below."""
    pipeline.set_progress_bar_config(disable=True)
    rows = -(-len(prompts) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * side, rows * (side + CAPTION)), "white")
    for number, prompt in enumerate(prompts):
        call = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "height": side, "width": side, **options}
        picture = pipeline(prompt, generator=torch.Generator().manual_seed(number), **call).images[0]
        left, top = number % COLUMNS * side, number // COLUMNS * (side + CAPTION)
        sheet.paste(picture, (left, top))
        ImageDraw.Draw(sheet).text((left + 2, top + side), prompt[:24], fill="black", font=ImageFont.load_default(10))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
