"""``python -m unified_demo.training.editor``: train the small editor of drawn pictures, look at it, export it; each resumes.

decoder: the decoder of its autoencoder. unet: UNet and words. sheet: held-out pairs with what the last checkpoint makes of them. pairs:
held-out pairs for the benchmark ``editing``. export: the folder that the expert loads.
"""

import argparse
import logging
import random
from pathlib import Path

import torch

from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.training.editor.decoder import editor_autoencoder
from unified_demo.training.editor.export import draw_pairs, export, pipeline_of, write_pairs
from unified_demo.training.editor.networks import CHANNELS, EditorSizes, build_editor_unet, build_editor_words, edit_words, editor_tokenizer
from unified_demo.training.editor.scenes import SceneMaker
from unified_demo.training.editor.stream import EditStream, PieceMaker
from unified_demo.training.editor.trainer import EditorOptions, EditorTrainer
from unified_demo.training.generators import autoencoder as coder
from unified_demo.training.timed import add_flags, log_every

COMPONENTS = "components.pt"


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.editor", description=__doc__)
    parser.add_argument("action", choices=("decoder", "unet", "sheet", "pairs", "export"))
    add_flags(parser, batch=12, lr=8e-4)
    parser.add_argument("--large", type=float, default=0.3, help="share of batches of whole-size pictures, a quarter as many")
    parser.add_argument("--count", type=int, default=64, help="pairs of the sheet, or to write")
    parser.add_argument("--steps", type=int, default=1, help="of sampling, for the sheet and the export")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/editor"), help="where export writes")
    parser.add_argument(
        "--generator", type=Path, default=Path("weights/tiny/generator"), help="an exported generator, whose decoder ours begins from"
    )
    return parser.parse_args()


def main() -> None:
    arguments = _flags()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    library = CutoutLibrary(arguments.assets, read_catalogue(arguments.assets), capacity=16)
    if arguments.action == "pairs":
        write_pairs(SceneMaker(library, "held_out"), arguments.out, arguments.count, arguments.seed)
        return
    maker = SceneMaker(library, "train")
    components = _components(maker, arguments.out)
    if arguments.action == "decoder":
        _decoder(maker, components, arguments).run(log_every(50))
        return
    trainer = _trainer(maker, components, arguments)
    if arguments.action == "unet":
        trainer.run(log_every(25))
        return
    trainer.resume()
    decoder = _decoder(maker, components, arguments)
    decoder.resume()
    pipeline = pipeline_of(trainer, decoder.network.eval())
    if arguments.action == "sheet":
        path = arguments.out / f"sheet-{trainer.step:06d}.png"
        draw_pairs(pipeline, SceneMaker(library, "held_out"), arguments.count, arguments.steps, path)
    else:
        export(pipeline, arguments.steps, arguments.weights)


def _components(maker: SceneMaker, folder: Path) -> coder.Components:
    """Those of the folder, else new ones from 600 pieces; whatever was trained on them needs the same."""
    path = folder / COMPONENTS
    if not path.is_file():
        pieces, _ = PieceMaker(maker)(random.Random(1), 600)
        found = coder.patch_components(pieces * 2 - 1, CHANNELS)
        torch.save({"matrix": found.matrix, "mean": found.mean}, path)
    return coder.Components(**torch.load(path, weights_only=True))


def _decoder(maker: SceneMaker, components: coder.Components, arguments: argparse.Namespace) -> coder.AutoencoderTrainer:
    options = coder.AutoencoderOptions(minutes=arguments.minutes, seed=arguments.seed)
    network = editor_autoencoder(components, arguments.generator)
    return coder.AutoencoderTrainer(network, PieceMaker(maker), options, arguments.out)


def _trainer(maker: SceneMaker, components: coder.Components, arguments: argparse.Namespace) -> EditorTrainer:
    sizes, tokenizer = EditorSizes(), editor_tokenizer()
    options = EditorOptions(minutes=arguments.minutes, batch=arguments.batch, lr=arguments.lr, seed=arguments.seed)
    unet, encoder = build_editor_unet(sizes), build_editor_words(sizes, tokenizer)
    stream = EditStream(maker, components, arguments.large)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return EditorTrainer(unet, encoder, tokenizer, edit_words()[1], stream, options, arguments.out, device)


if __name__ == "__main__":
    main()
