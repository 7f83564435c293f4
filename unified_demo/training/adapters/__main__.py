"""``python -m unified_demo.training.adapters``: tune the full profile's language model, by LoRAMoE or Neural Tuning; resumes by itself.

run: train. export: the file for ``app.py --adapters``. On several GPUs start it with ``torchrun --nproc-per-node N -m ...``.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.model.tuning import TUNINGS
from unified_demo.model.vlm_adapters import Shape, add_adapters, neural_shape_for, read_shape, save_adapters, shape_for
from unified_demo.profiles import read_full
from unified_demo.training.timed import log_every

logger = logging.getLogger("unified_demo.training.adapters")


def _flags(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.adapters", description=__doc__)
    parser.add_argument("action", choices=("run", "export"))
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and the curve")
    parser.add_argument("--backbone", type=Path, help="folder of a Qwen3-VL checkpoint (default: the full profile's, fetched)")
    parser.add_argument("--assets", type=Path, help="folder made by 'python -m unified_demo.data fetch': dialogues about composed scenes")
    parser.add_argument("--refcoco", type=Path, help="folder of RefCOCO, RefCOCO+ or RefCOCOg")
    parser.add_argument("--photos", type=Path, help="COCO's train2014, where it does not lie beside RefCOCO")
    parser.add_argument("--minutes", type=float, default=60.0, help="in all runs together")
    parser.add_argument("--steps", type=int, help="end after so many steps; the learning rate falls along them")
    parser.add_argument("--batch", type=int, default=4, help="conversations in each process and step")
    parser.add_argument("--most-tokens", type=int, default=4096, help="longer conversations are left out")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--tuning", choices=TUNINGS, default="loramoe", help="adapters in the feed-forward layers, or Neural Tuning")
    parser.add_argument("--adapters", type=int, default=4, help="LoRAMoE: adapters in each layer")
    parser.add_argument("--rank", type=int, default=8, help="LoRAMoE: rank of one adapter")
    parser.add_argument("--neurons", type=int, default=128, help="Neural Tuning: neurons in each layer, of which 40 %% fire")
    parser.add_argument("--first-layer", type=int, default=0, help="decoder layer where the adapters begin")
    parser.add_argument("--shard", action="store_true", help="with several processes: each holds a part of the model (FSDP2)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="of the frozen model")
    parser.add_argument("--weights", type=Path, default=Path("adapters.safetensors"), help="where export writes")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    flags = _flags(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        if flags.action == "export":
            export(flags.out / "checkpoint.pt", flags.weights)
        else:
            _run(flags)
    except UnifiedError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def export(checkpoint: Path, weights: Path) -> None:
    """The adapters of a checkpoint as a file for the backend. UnifiedError without one."""
    if not checkpoint.is_file():
        raise UnifiedError(f"There is no {checkpoint}; train there first.")
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    save_adapters(state["model"], read_shape(state["shape"]), weights)
    logger.info("written: %s", weights)


def _run(flags: argparse.Namespace) -> None:
    from accelerate import Accelerator

    from unified_demo.model.vlm import read_checkpoint
    from unified_demo.training.adapters.examples import lessons
    from unified_demo.training.adapters.trainer import AdapterOptions, AdapterTrainer

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if flags.shard and accelerator.num_processes == 1:
        raise UnifiedError("--shard needs several processes: torchrun --nproc-per-node N -m unified_demo.training.adapters run ...")
    settings = Settings("full", device=accelerator.device.type, precision=flags.precision)
    full = read_full(settings)
    draw = lessons({row.task: row.description for row in full.choice.experts}, flags.assets, flags.refcoco, flags.photos)
    folder = flags.backbone or full.folder(full.profile.models[full.profile.language_models[full.choice.language_model]])
    torch.manual_seed(flags.seed)
    network, reader = read_checkpoint(folder, settings)
    if flags.tuning == "neural":
        shape: Shape = neural_shape_for(network, flags.neurons, flags.first_layer)
    else:
        shape = shape_for(network, flags.adapters, flags.rank, flags.first_layer)
    options = AdapterOptions(
        flags.minutes, flags.steps, flags.batch, flags.most_tokens, flags.lr, seed=flags.seed, shard=flags.shard
    )  # fmt: skip
    trainer = AdapterTrainer(network, add_adapters(network, shape), shape, reader, draw, options, flags.out, accelerator)
    trainer.run(log_every(10))


if __name__ == "__main__":
    status = main()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(status)
