"""``python -m unified_demo.training.generators``: train the small generators in steps, look at them, export them; each resumes.

decoder: the autoencoder (its encoder is set at once). diffusion: UNet and text encoder. sheet: fixed prompts drawn by the last
checkpoint. export: the folder that the experts load.
"""

import argparse
import logging
import random
from pathlib import Path

import torch

from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.training.generators import autoencoder as coder
from unified_demo.training.generators import diffusion
from unified_demo.training.generators.crops import CropMaker
from unified_demo.training.generators.export import SHEET_PROMPTS, draw_sheet, export, offered, pipeline_of
from unified_demo.training.generators.networks import Sizes, build_text_encoder, build_unet, load_exported, picture_codes
from unified_demo.training.generators.pictures import Painter
from unified_demo.training.generators.stream import Mix, PictureStream
from unified_demo.training.generators.words import build_tokenizer, vocabulary
from unified_demo.training.timed import add_flags, log_every

COMPONENTS = "components.pt"


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.generators", description=__doc__)
    parser.add_argument("action", choices=("decoder", "diffusion", "sheet", "export"))
    add_flags(parser, batch=16, lr=8e-4)
    parser.add_argument(
        "--noisier", type=float, default=2.0, help="1: all noise levels alike; more: high ones, where words matter, more often"
    )
    parser.add_argument("--boxed", type=float, default=0.0, help="share of batches with boxes, for GLIGEN's layouts")
    parser.add_argument("--arranged", type=float, default=0.0, help="share of batches with several things and no boxes")
    parser.add_argument("--usual", type=float, default=0.82, help="share of single things on the usual ground in their own colours")
    parser.add_argument("--new", type=float, default=0.0, help="share of single things that the folder of --init cannot draw yet")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/generator"), help="where export writes")
    parser.add_argument("--common", action="store_true", help="pictures of the most usual nouns only, which are learnt sooner")
    parser.add_argument("--only", type=Path, help="nouns that export offers, one in a line; all without it")
    parser.add_argument("--fusers", action="store_true", help="boxes are learnt: export keeps GLIGEN's fusers")
    parser.add_argument("--init", type=Path, help="an exported folder to begin with; its encoder and its words are kept")
    return parser.parse_args()


def main() -> None:
    arguments = _flags()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    library = CutoutLibrary(arguments.assets, read_catalogue(arguments.assets), capacity=4000)
    components = _components(library, arguments)
    if arguments.action == "decoder":
        _decoder_trainer(library, components, arguments).run(log_every(50))
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = _diffusion_trainer(library, components, arguments, device)
    if arguments.action == "diffusion":
        trainer.run(log_every(50))
        return
    trainer.resume()
    if not arguments.init and not (arguments.out / coder.CHECKPOINT).is_file():
        raise SystemExit(f"There is no decoder in {arguments.out}; train one there, or name a folder that has one with --init.")
    decoder = _decoder_trainer(library, components, arguments)
    decoder.resume()
    pipeline = pipeline_of(trainer, decoder.network.to(device).eval())
    if arguments.action == "sheet":
        draw_sheet(pipeline, SHEET_PROMPTS, coder.GROWTH * coder.SIDE, arguments.out / f"sheet-{trainer.step:06d}.png")
    else:
        only = arguments.only.read_text(encoding="utf-8").splitlines() if arguments.only else vocabulary().looks
        export(pipeline, vocabulary(), list(only), arguments.fusers, arguments.weights)


def _components(library: CutoutLibrary, arguments: argparse.Namespace) -> coder.Components:
    """Those of the folder, else those of --init, else new ones from 1,000 crops; whatever was trained on them needs the same."""
    path = arguments.out / COMPONENTS
    if not path.is_file() and arguments.init:
        found = coder.exported_components(arguments.init)
        torch.save({"matrix": found.matrix, "mean": found.mean}, path)
    if not path.is_file():
        pictures, _ = CropMaker(Painter(library, vocabulary().looks))(random.Random(1), 1000)
        found = coder.patch_components(pictures * 2 - 1)
        torch.save({"matrix": found.matrix, "mean": found.mean}, path)
    return coder.Components(**torch.load(path, weights_only=True))


def _decoder_trainer(library: CutoutLibrary, components: coder.Components, arguments: argparse.Namespace) -> coder.AutoencoderTrainer:
    options = coder.AutoencoderOptions(minutes=arguments.minutes, seed=arguments.seed)
    network = coder.build_autoencoder(components)
    if arguments.init:
        coder.begin_from(network, arguments.init)
    return coder.AutoencoderTrainer(network, CropMaker(Painter(library, vocabulary().looks)), options, arguments.out)


def _diffusion_trainer(
    library: CutoutLibrary, components: coder.Components, arguments: argparse.Namespace, device: str
) -> diffusion.DiffusionTrainer:
    words, sizes = vocabulary(), Sizes()
    mix = Mix(boxed=arguments.boxed, arranged=arguments.arranged, usual=arguments.usual, new=arguments.new)
    looks = {noun: words.looks[noun] for noun in words.common} if arguments.common else words.looks
    new = set(looks) - offered(arguments.init) if arguments.init else ()
    stream = PictureStream(Painter(library, looks), components, mix, new)
    codes: dict[str, torch.Tensor] = {}
    if not arguments.init and not (arguments.out / diffusion.CHECKPOINT).is_file():
        latents = stream.usual_latents()
        codes = dict(zip(latents, picture_codes(torch.stack(list(latents.values())), sizes.text), strict=True))
    tokenizer = build_tokenizer(words)
    options = diffusion.DiffusionOptions(
        minutes=arguments.minutes, batch=arguments.batch, lr=arguments.lr, noisier=arguments.noisier, seed=arguments.seed
    )
    if arguments.init:
        unet, encoder = load_exported(arguments.init, tokenizer)
    else:
        unet, encoder = build_unet(sizes), build_text_encoder(sizes, tokenizer, codes)
    return diffusion.DiffusionTrainer(unet, encoder, tokenizer, words.meanings(), stream, options, arguments.out, device)


if __name__ == "__main__":
    main()
