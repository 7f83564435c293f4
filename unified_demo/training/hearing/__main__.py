"""``python -m unified_demo.training.hearing``: teach the frozen SmolLM2 to tell ESC-10's sounds through a small universal projection.

One command: features of the frozen encoder are computed once, folds 1 to 4 are learnt, fold 5 is measured. It resumes by itself. What
comes out is a figure and a checkpoint; the page does not use it.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from unified_demo import provenance
from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.model.loading import load_encoder, load_language_model
from unified_demo.training.hearing.clips import CAPTIONS, HELD_OUT_FOLD, cached_features, make_encoder, read_clips
from unified_demo.training.hearing.trainer import Heard, HearingOptions, HearingTrainer, make_projection, measure, nearest_class
from unified_demo.training.timed import log_every
from unified_demo.zoo import Zoo

logger = logging.getLogger("unified_demo.training.hearing")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.hearing", description=__doc__)
    parser.add_argument("--sounds", type=Path, required=True, help="folder of ESC-10")
    parser.add_argument("--out", type=Path, required=True, help="folder of features, checkpoint, curve and hearing.json")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, in all runs together")
    parser.add_argument("--align-steps", type=int, default=80, help="first steps, which align queries with words (cheap)")
    parser.add_argument("--batch", type=int, default=8, help="sounds in each step behind those, which run the language model")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        _run(flags)
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _run(flags: argparse.Namespace) -> None:
    settings = Settings()
    zoo, kept = Zoo(settings.cache_dir, settings.weights_dir), settings.cache_dir / "converted"
    clips = read_clips(flags.sounds)
    vit = load_encoder(zoo.path("image_encoder"), kept / "image_encoder.safetensors", "cpu", torch.float32).network
    features = cached_features(make_encoder(vit).bfloat16(), clips, flags.out / "features.safetensors")
    held_out = torch.tensor([clip.fold == HELD_OUT_FOLD for clip in clips])
    learnt, asked = (
        Heard(features[chosen], [clip.caption for clip, taken in zip(clips, chosen, strict=True) if taken])
        for chosen in (~held_out, held_out)
    )
    torch.manual_seed(flags.seed)
    language_model, tokenizer = load_language_model(zoo.path("language_model"), kept / "language_model")
    projection = make_projection(language_model, features.shape[-1], projections=3, blocks=1)
    options = HearingOptions(flags.minutes, batch=flags.batch, align_steps=flags.align_steps, seed=flags.seed)
    trainer = HearingTrainer(language_model, tokenizer, projection, learnt, options, flags.out)
    trainer.run(log_every(10))
    captions = list(CAPTIONS.values())
    found = measure(trainer, asked, captions)
    half = len(found) // 2
    figures = {
        "accuracy": _share(found, asked.captions),
        "with the sounds of other clips": _share(found[-half:] + found[:-half], asked.captions),
        "nearest class without a language model": _share(nearest_class(learnt, asked), asked.captions),
        "chance": 1 / len(captions),
    }
    run = {
        "clips": len(asked.captions),
        "steps": trainer.step,
        "aligning": min(trainer.step, options.align_steps),
        "minutes": round(trainer.spent_s / 60, 1),
    }
    report = {**figures, **run, "commit": provenance.commit(), "machine": provenance.machine()}
    (flags.out / "hearing.json").write_text(json.dumps(report, indent=1))
    logger.info("%s", json.dumps(report))


def _share(found: Sequence[str], right: Sequence[str]) -> float:
    return round(sum(one == other for one, other in zip(found, right, strict=True)) / len(right), 4)


if __name__ == "__main__":
    sys.exit(main())
