"""``python -m unified_demo.training run``: train the tiny model's adapters, projectors and region reader; resumes by itself."""

import argparse
import json
import logging
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file

from unified_demo import provenance
from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.model.loading import build_network, load_language_model, save_trained
from unified_demo.model.multimodal_lm import MultimodalNetwork
from unified_demo.model.neural_tuning import NeuralConfig
from unified_demo.model.tokens import Vocabulary
from unified_demo.model.tuning import TUNINGS
from unified_demo.training.ablation import VARIANTS, Variant, ablate, table
from unified_demo.training.chats import answer_own, sample_chats, write_chats
from unified_demo.training.curves import PANELS, draw_curve, read_curve, series, smooth
from unified_demo.training.loop import LoopOptions, Trainer
from unified_demo.training.reading import ReadOptions, train_reader
from unified_demo.training.recipes import RECIPES, stream
from unified_demo.zoo import Zoo

logger = logging.getLogger("unified_demo.training")

HELD_OUT = 400
"""Photos that only measure variants."""


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training", description=__doc__)
    parser.add_argument(
        "action",
        choices=("chats", "run", "read", "export", "ablate"),
        help="sample plain chat to keep; train; train the region reader alone; write the committed weights; compare variants",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and curves")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="grounding", help="what to train on")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--lora-lr", type=float, default=5e-4)
    parser.add_argument("--tuning", choices=TUNINGS, default="loramoe", help="of the language model; name the same one for export")
    parser.add_argument("--adapters", type=int, default=4, help="LoRAMoE: adapters in each layer")
    parser.add_argument("--rank", type=int, default=8, help="LoRAMoE: rank of one adapter")
    parser.add_argument("--neurons", type=int, default=128, help="Neural Tuning: neurons in each layer, of which 40 %% fire")
    parser.add_argument("--first-layer", type=int, default=14, help="layer where pictures enter and the tuning begins")
    parser.add_argument("--targets", default="gate_proj,up_proj,down_proj", help="LoRAMoE: projections that get it")
    parser.add_argument("--sights", type=Path, help="folder of shards made by 'python -m unified_demo.data look'")
    parser.add_argument("--chats", type=Path, help="chats.jsonl made by the action 'chats'")
    parser.add_argument("--count", type=int, default=1500, help="how many chats to sample; how many examples to measure variants on")
    parser.add_argument("--steps", type=int, default=100, help="batches that each variant of 'ablate' sees")
    parser.add_argument("--table", type=Path, help="Markdown file that 'ablate' writes")
    parser.add_argument("--pairs", type=Path, help="NSR-1K spatial.train.json")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/model.safetensors"), help="where export writes")
    parser.add_argument("--init", type=Path, help="checkpoint or exported weights to start from; what they lack starts fresh")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.action == "export" and not (arguments.out / "checkpoint.pt").is_file():
        parser.error(f"there is no checkpoint.pt in {arguments.out}; train there first")
    if arguments.init and not arguments.init.is_file():
        parser.error(f"{arguments.init} does not exist; train first, or name another checkpoint")
    return arguments


def main() -> None:
    arguments = _flags()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(arguments.seed)
    settings = Settings()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    language_model, tokenizer = load_language_model(
        Zoo(settings.cache_dir, settings.weights_dir).path("language_model"), settings.cache_dir / "converted" / "language_model"
    )
    if arguments.action == "chats":
        own = answer_own(language_model, tokenizer)
        made_up = sample_chats(language_model, tokenizer, arguments.count, arguments.seed)
        count = write_chats(chain(own, made_up), arguments.out / "chats.jsonl")
        logger.info("%d chats written to %s", count, arguments.out / "chats.jsonl")
        return
    if arguments.action == "ablate":
        _ablate(arguments, device)
        return
    config = _config(arguments)
    network, vocabulary = build_network(language_model, tokenizer, config)
    network.to(device)
    if arguments.init:
        state = _read_state(arguments.init)
        missing = network.load_state_dict(state, strict=False).missing_keys
        logger.info("started from %s; fresh: %s", arguments.init, [name for name in missing if name in network.trained_state()])
    options = LoopOptions(
        minutes=arguments.minutes,
        batch=arguments.batch,
        lr=arguments.lr,
        lora_lr=arguments.lora_lr,
        seed=arguments.seed,
    )
    recipe = RECIPES[arguments.recipe]
    if arguments.action == "read":
        recipe = replace(recipe, fine_names=False)
    trainer = Trainer(
        network, vocabulary, stream(recipe, arguments.sights, arguments.pairs, arguments.chats), options, arguments.out, device
    )
    if arguments.action == "export":
        trainer.resume()
        save_trained(network, arguments.weights, config)
        return
    if arguments.action == "read":
        trainer.resume()
        logger.info("%s", json.dumps(train_reader(trainer, ReadOptions(minutes=arguments.minutes, seed=arguments.seed))))
        trainer.save()
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    trainer.run(lambda figures: logger.info("%s", json.dumps(figures)) if figures["step"] % 10 == 1 else None)
    _report(arguments)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """What was trained: of a checkpoint, or of weights that were exported."""
    if path.suffix == ".safetensors":
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    return torch.load(path, weights_only=True, map_location="cpu")["model"]


def _config(arguments: argparse.Namespace) -> dict:
    """What ``build_network`` needs to build the same network again; goes into the exported file."""
    if arguments.tuning == "neural":
        return {"tuning": "neural", **asdict(NeuralConfig(arguments.neurons, first_layer=arguments.first_layer))}
    chosen = {"adapters": arguments.adapters, "rank": arguments.rank, "targets": arguments.targets.split(",")}
    return {"tuning": "loramoe", **chosen, "first_layer": arguments.first_layer}


def _ablate(arguments: argparse.Namespace, device: str) -> None:
    """Variants on photos; the last HELD_OUT of them are kept for measuring. ``--init`` gives the trained region reader."""
    if not arguments.sights or not arguments.init:
        raise SystemExit("ablate needs --sights and --init (a checkpoint with a trained region reader)")
    settings = Settings()
    weights = Zoo(settings.cache_dir, settings.weights_dir).path("language_model")
    reader = {name: weight for name, weight in _read_state(arguments.init).items() if name.startswith("reader.")}

    def build(variant: Variant) -> tuple[MultimodalNetwork, Vocabulary]:
        language_model, tokenizer = load_language_model(weights, settings.cache_dir / "converted" / "language_model")
        network, vocabulary = build_network(language_model, tokenizer, {**variant.config(), "first_layer": arguments.first_layer})
        if variant.reader:
            network.load_state_dict(reader, strict=False)
        return network.to(device), vocabulary

    recipe = replace(RECIPES["multitask"], sights=1.0, without_picture=0.0, layouts=0.0, plain=0.0)
    draws = (
        stream(recipe, arguments.sights, arguments.pairs, photos=slice(None, -HELD_OUT)),
        stream(recipe, arguments.sights, arguments.pairs, photos=slice(-HELD_OUT, None)),
    )
    options = LoopOptions(minutes=1e6, steps=arguments.steps, batch=arguments.batch, seed=arguments.seed)
    done = ablate(VARIANTS, build, draws, options, arguments.count, arguments.out)
    if arguments.table:
        arguments.table.write_text(f"# Ablations\n\n{table(done, arguments.steps, arguments.batch)}")


def _report(arguments: argparse.Namespace) -> None:
    """``run.json``: flags, commit, machine, what the run did in all and at its end; ``curve.png`` beside it."""
    rows = read_curve(arguments.out / "curve.jsonl")
    last = {name: round(smooth(series(rows, name)[1])[-1], 4) for name, _ in PANELS if series(rows, name)[1]}
    done = {"steps": len(rows), "minutes": rows[-1]["minutes"], "tokens": sum(row["tokens"] for row in rows), "last": last} if rows else {}
    flags = {name: str(value) for name, value in vars(arguments).items()}
    report = {"flags": flags, "commit": provenance.commit(), "machine": provenance.machine(), **done}
    (arguments.out / "run.json").write_text(json.dumps(report, indent=1))
    try:
        draw_curve(arguments.out)
    except UnifiedError as exc:
        logger.warning("%s", exc)


if __name__ == "__main__":
    main()
