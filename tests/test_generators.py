"""The small generators: words, pictures, the set encoder, training that resumes, and folders that diffusers' pipelines load."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_cutouts import write_tiny_assets

from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.errors import ExpertError
from unified_demo.experts.grounds import NAMES, PLAIN, ground
from unified_demo.experts.vocabulary import read_vocabulary
from unified_demo.grammar import Box
from unified_demo.training.generators.autoencoder import (
    CHANNELS,
    GROWTH,
    SIDE,
    AutoencoderOptions,
    AutoencoderTrainer,
    Components,
    begin_from,
    build_autoencoder,
    exported_components,
    patch_components,
    reconstruction_loss,
)
from unified_demo.training.generators.crops import CropMaker
from unified_demo.training.generators.diffusion import Batch, DiffusionOptions, DiffusionTrainer
from unified_demo.training.generators.export import draw_sheet, export, offered, pipeline_of
from unified_demo.training.generators.networks import Sizes, build_text_encoder, build_unet, load_exported, picture_codes
from unified_demo.training.generators.pictures import Painter, Scene, Thing
from unified_demo.training.generators.stream import Mix, PictureStream
from unified_demo.training.generators.words import LENGTH, Vocabulary, build_tokenizer, vocabulary

WORDS = Vocabulary({"cat": "tiny:cat", "ball": "tiny:ball", "zebra": "tiny:zebra", "fire engine": "tiny:car"}, {"kitty": "cat"})
DECODER, LARGE = (8, (1, 0, 0, 0, 0)), GROWTH * SIDE
SIZES = Sizes(channels=(16, 16), attends=(False, True), groups=8, heads=2, text=64, text_layers=1)
Parts = tuple[Painter, Components]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("assets")
    catalogue = write_tiny_assets(folder)
    library = CutoutLibrary(folder, catalogue)
    painter = Painter(library, WORDS.looks)
    pictures, _ = CropMaker(painter, side=32)(random.Random(0), 60)
    yield painter, patch_components(pictures * 2 - 1)


# ---- words ----


def test_the_committed_vocabulary_is_large_and_every_synonym_means_something() -> None:
    words = vocabulary()
    assert len(words.looks) >= 400 and len(words.common) >= 100 and set(words.common) <= set(words.looks)
    assert all(noun in words.looks and word not in words.looks for word, noun in words.synonyms.items())
    numbers, meanings = words.tokens(), words.meanings()
    assert sorted(numbers.values()) == list(range(len(meanings)))
    for one, other in (("dogs", "dog"), ("puppies", "dog"), ("ocean", "sea"), ("fire trucks", "fire engine"), ("grey", "gray")):
        assert meanings[numbers[one]] == numbers[other], one
    assert all(meanings[meaning] == meaning for meaning in meanings)


def test_the_tokenizer_keeps_things_and_drops_filler() -> None:
    tokenizer, numbers = build_tokenizer(WORDS), WORDS.tokens()

    def ids(prompt: str) -> list[int]:
        return list(tokenizer(prompt)["input_ids"])[1:-1]

    assert ids("A picture of the Fire Engine, please!") == [numbers["fire engine"]]
    assert ids("two kitties at the beach") == [numbers["two"], numbers["kitties"], numbers["beach"]]
    assert ids("a zork") == [numbers["<unknown>"]]
    assert ids("catfish") == [numbers["<unknown>"]], "a noun inside another word is not that noun"
    padded = tokenizer("cat", padding="max_length", truncation=True)["input_ids"]
    assert len(padded) == LENGTH and padded[:4] == [numbers[name] for name in ("<start>", "cat", "<end>", "<pad>")]
    assert len(tokenizer("cat " * 50, truncation=True)["input_ids"]) == LENGTH


# ---- pictures ----


def test_grounds_are_always_the_same_and_all_different() -> None:
    pictures = {name: np.asarray(ground(name, 32)) for name in NAMES}
    assert len(PLAIN) >= 8 and len(NAMES) - len(PLAIN) >= 8
    assert len({pixels.tobytes() for pixels in pictures.values()}) == len(NAMES)
    assert tuple(pictures["blue"][5, 5]) == PLAIN["blue"]


def test_prompts_say_number_paint_and_place() -> None:
    box = Box(0.1, 0.1, 0.4, 0.4)
    assert Scene((Thing("ball", "blue", box),), "white").prompt == "a blue ball"
    assert (
        Scene((Thing("cat", "", box), Thing("cat", "", box), Thing("ball", "red", box)), "beach").prompt == "two cats and a red ball, beach"
    )
    assert Scene((Thing("zebra", "", box),), "pink").prompt == "a zebra on a pink background"


def test_a_thing_alone_stands_in_the_middle_and_has_its_paint(made: Parts) -> None:
    painter, _ = made
    scenes = list(painter.all_alone())
    assert len(scenes) == len(WORDS.looks) * len(NAMES) + 6 + 6, "ball and car come in six more colours"
    pixels = np.asarray(painter.paint(painter.alone("ball", "green"))).astype(int)
    assert pixels.shape == (SIDE, SIDE, 3)
    middle = pixels[SIDE // 2, SIDE // 2]
    assert middle[1] > middle[0] + 40 and middle[1] > middle[2] + 40
    assert tuple(pixels[2, 2]) == PLAIN["white"]
    layer = np.asarray(painter.paint_layer(painter.alone("ball", "green"), 2 * SIDE))
    assert layer.shape == (2 * SIDE, 2 * SIDE, 4) and layer[SIDE, SIDE, 3] == 255 and layer[2, 2].tolist() == [*PLAIN["white"], 0]
    assert [scene.prompt for scene in painter.empty()][:2] == ["a white background", "a black background"]


def test_arranged_things_do_not_meet_and_fill_their_boxes(made: Parts) -> None:
    painter, _ = made
    rng, counts = random.Random(3), set()
    for _ in range(30):
        scene = painter.arranged(rng, True)
        counts.add(len(scene.things))
        boxes = [thing.box for thing in scene.things]
        assert all(one.iou(other) == 0 for place, one in enumerate(boxes) for other in boxes[:place])
        if len(boxes) == 1 and scene.ground in PLAIN and scene.things[0].noun != "zebra":
            pixels = np.asarray(painter.paint(scene)).astype(int)
            there = np.argwhere(np.abs(pixels - PLAIN[scene.ground]).max(-1) > 40)
            top, left = there.min(0) / SIDE
            assert abs(top - boxes[0].y0) < 0.03 and abs(left - boxes[0].x0) < 0.03
    assert counts == {1, 2, 3, 4}


# ---- autoencoder ----


def test_the_set_encoder_gives_the_components(made: Parts) -> None:
    painter, components = made
    network = build_autoencoder(components)
    picture = torch.from_numpy(np.array(painter.paint(painter.alone("cat", "", "meadow")))).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = components.encode(picture)
    assert latents.shape == (1, CHANNELS, SIDE // 8, SIDE // 8)
    assert torch.allclose(network.encode(picture).latents, latents, atol=1e-4)
    assert torch.allclose(components.encode(picture[..., 8:, :]), latents[..., 1:, :], atol=1e-5), "no place knows of another"
    back = torch.linalg.pinv(components.matrix) @ latents.flatten(2) + components.mean[:, None]
    truth = torch.nn.functional.unfold(picture, 8, stride=8)
    assert ((back - truth) ** 2).mean() < 0.1 * truth.var()


def test_the_loss_of_equal_pictures_is_nothing() -> None:
    picture = torch.rand(2, 3, 16, 16)
    assert reconstruction_loss(picture, picture, 1.0) == 0
    assert reconstruction_loss(picture + 0.5, picture, 1.0) == pytest.approx(2.0)


def decoder_trainer(made: Parts, folder: Path, steps: int) -> AutoencoderTrainer:
    painter, components = made
    torch.manual_seed(0)
    network = build_autoencoder(components, DECODER)
    return AutoencoderTrainer(network, CropMaker(painter, side=32), AutoencoderOptions(minutes=60, steps=steps, batch=2), folder)


def test_an_interrupted_decoder_ends_with_the_same_weights(made: Parts, tmp_path: Path) -> None:
    whole = decoder_trainer(made, tmp_path / "whole", 4)
    before = {name: value.clone() for name, value in whole.network.state_dict().items()}
    whole.run(lambda figures: None)
    broken = decoder_trainer(made, tmp_path / "parts", 4)
    for _ in range(2):
        broken.train_step()
    (tmp_path / "parts").mkdir()
    broken.save()
    again = decoder_trainer(made, tmp_path / "parts", 4)
    again.run(lambda figures: None)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
        assert torch.equal(value, before[name]) == name.startswith("encoder."), f"{name}: the encoder stays, the decoder learns"
    assert len((tmp_path / "whole" / "autoencoder.jsonl").read_text().splitlines()) == 4


# ---- diffusion ----


def diffusion_trainer(made: Parts, folder: Path, steps: int, boxed: float = 0.5) -> DiffusionTrainer:
    painter, components = made
    stream = PictureStream(painter, components, Mix(boxed=boxed, arranged=0.1))
    tokenizer = build_tokenizer(WORDS)
    latents = stream.usual_latents()
    codes = dict(zip(latents, picture_codes(torch.stack(list(latents.values())), SIZES.text), strict=True))
    torch.manual_seed(0)
    unet, encoder = build_unet(SIZES), build_text_encoder(SIZES, tokenizer, codes)
    options = DiffusionOptions(minutes=60, steps=steps, batch=4, warmup_steps=2)
    return DiffusionTrainer(unet, encoder, tokenizer, WORDS.meanings(), stream, options, folder)


def test_an_interrupted_run_ends_with_the_same_weights(made: Parts, tmp_path: Path) -> None:
    figures: list[dict] = []
    whole = diffusion_trainer(made, tmp_path / "whole", 6)
    whole.run(figures.append)
    assert {row["boxed"] for row in figures} == {0, 1} and all(np.isfinite(row["loss"]) for row in figures)
    broken = diffusion_trainer(made, tmp_path / "parts", 6)
    for _ in range(3):
        broken.train_step()
    (tmp_path / "parts").mkdir()
    broken.save()
    again = diffusion_trainer(made, tmp_path / "parts", 6)
    again.run(lambda row: None)
    for name, value in whole.average.items():
        assert torch.equal(value, again.average[name]), name


def test_both_networks_learn_and_so_do_the_fusers(made: Parts, tmp_path: Path) -> None:
    trainer = diffusion_trainer(made, tmp_path, 10, boxed=1.0)
    before = {name: value.detach().clone() for name, value in trainer.networks.named_parameters()}
    trainer.train_step()
    moved = {name for name, value in trainer.networks.named_parameters() if not torch.equal(value, before[name])}
    for part in ("fuser.attn", "fuser.alpha_attn", "position_net.linears", "attn2.to_k", "token_embedding", "conv_out"):
        assert any(part in name for name in moved), part


def test_what_the_noise_level_leaves_is_what_is_asked_for(made: Parts, tmp_path: Path) -> None:
    """A network that answers v perfectly has no loss: signal * noise - level * clean, checked with the trainer's own numbers."""
    trainer = diffusion_trainer(made, tmp_path, 10, boxed=0.0)
    batch = trainer.stream(random.Random(1), 3)
    asked: dict[str, Any] = {}

    def perfect(noised: torch.Tensor, steps: torch.Tensor, hidden: torch.Tensor, cross_attention_kwargs: Any) -> Any:
        signal, level = trainer.signal[steps][:, None, None, None], trainer.noise[steps][:, None, None, None]
        asked.update(steps=steps, hidden=hidden, last=float(trainer.signal[-1]))
        noise = (noised - signal * batch.latents) / level
        return type("Answer", (), {"sample": signal * noise - level * batch.latents})

    trainer.unet = perfect  # type: ignore[assignment]
    loss, _ = trainer.loss(batch, random.Random(2))
    assert float(loss) < 1e-4 and asked["last"] == pytest.approx(0, abs=1e-4), "the last level is noise alone"
    assert asked["hidden"].shape == (3, LENGTH, SIZES.text) and len(set(asked["steps"].tolist())) == 3


def test_codes_tell_pictures_apart_and_have_one_size() -> None:
    pictures = torch.rand(5, 2, 4, 4)
    codes = picture_codes(torch.cat([pictures, pictures[:1] + 0.001]), 8)
    assert codes.square().mean(1) == pytest.approx(np.ones(6), abs=1e-4)
    distances = torch.cdist(codes, codes)
    assert distances[0, 5] < 0.1 * distances[0, 1:5].min()


# ---- export ----


@pytest.fixture(scope="module")
def exported(made: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    trainer = diffusion_trainer(made, folder, 4)
    trainer.run(lambda figures: None)
    pipeline = pipeline_of(trainer, build_autoencoder(made[1], DECODER))
    draw_sheet(pipeline, ("a cat", "a ball"), LARGE, folder / "sheet.png", num_inference_steps=1)
    export(pipeline, WORDS, ("cat", "ball", "fire engine"), True, folder / "weights")
    export(pipeline, WORDS, ("cat",), False, folder / "plain")
    return folder


def test_the_export_loads_as_stable_diffusion_and_draws(exported: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(exported / "weights", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def drawn(prompt: str) -> bytes:
        seed = torch.Generator().manual_seed(1)
        picture = pipeline(prompt, num_inference_steps=2, height=LARGE, width=LARGE, generator=seed, guidance_scale=2.0).images[0]
        assert picture.size == (LARGE, LARGE) and picture.mode == "RGBA", "the fourth channel is what a thing covers"
        return bytes(picture.tobytes())

    assert drawn("a kitty") == drawn("the cat"), "spellings share their meaning's embedding"
    assert drawn("a cat") != drawn("a zebra")
    assert Image.open(exported / "sheet.png").width == 8 * LARGE
    assert all(path.stat().st_size < 45 * 2**20 for path in (exported / "weights").rglob("*"))


def test_the_export_loads_as_gligen_and_boxes_matter(exported: Path) -> None:
    from diffusers import StableDiffusionGLIGENPipeline

    from unified_demo.experts.gligen import GligenCall, draw

    pipeline = StableDiffusionGLIGENPipeline.from_pretrained(exported / "weights", dtype=torch.float32)
    pictures = []
    for box in ((0.1, 0.1, 0.5, 0.5), (0.5, 0.5, 0.9, 0.9)):
        seed = torch.Generator().manual_seed(1)
        call = GligenCall("a cat", ("a cat",), (box,), LARGE, 2, 1.5, seed, share=1.0)
        pictures.append(draw(pipeline, call, lambda step, latents: None).images[0].tobytes())
    assert pictures[0] != pictures[1]


def test_the_export_says_what_can_be_drawn(exported: Path) -> None:
    words = read_vocabulary(str(exported / "weights"))
    assert words is not None and words.nouns == {"cat", "kitty", "ball", "fire engine"} and {"beach", "red", "background"} <= words.words
    assert words.check("a red ball on a blue background") == ()
    with pytest.raises(ExpertError, match="giraffe"):
        words.check("a giraffe")
    looks = json.loads((exported / "weights" / "vocabulary.json").read_text())["looks"]
    assert set(looks) == offered(exported / "weights") == {"cat", "ball", "fire engine"}
    assert words.grounds["beach"] == words.grounds["sand"] == "beach" and words.grounds["white"] == "" and "red" in words.paints
    assert words.check("two balls, sand") == () and words.check("a big ball") == ("big",)
    for prompt in ("a zebra", "two zebras"):
        with pytest.raises(ExpertError, match="zebra"):
            words.check(prompt)


def test_the_fusers_stay_behind_where_boxes_are_not_learnt(exported: Path) -> None:
    names = [load_file(path).keys() for path in (exported / "plain" / "unet").glob("*.safetensors")]
    assert names and not any("fuser" in name or "position_net" in name for keys in names for name in keys)


def test_an_exported_folder_is_trained_on(made: Parts, exported: Path) -> None:
    """Encoder, decoder, UNet and words are as they were, also where the list of words has grown; new words begin at random."""
    components, found = made[1], exported_components(exported / "weights")
    assert torch.allclose(found.matrix, components.matrix, atol=2e-3)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.allclose(found.encode(picture), components.encode(picture), atol=2e-2)
    network = build_autoencoder(found, DECODER)
    begin_from(network, exported / "weights")
    weights = load_file(exported / "weights" / "vae" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(network.decoder.layers[0].weight, weights["decoder.layers.0.weight"].float())
    grown = Vocabulary({"ant": "tiny:cat", **WORDS.looks}, WORDS.synonyms)
    tokenizer = build_tokenizer(grown)
    unet, encoder = load_exported(exported / "weights", tokenizer)
    kept = load_file(exported / "weights" / "text_encoder" / "model.safetensors")
    before = next(value for name, value in kept.items() if "token_embedding" in name).float()
    table, numbers = encoder.get_input_embeddings().weight, WORDS.tokens()
    assert all(
        torch.equal(table[tokenizer.convert_tokens_to_ids(word)], before[numbers[word]]) for word in ("cat", "kitty", "beach", "red")
    )
    assert table[tokenizer.convert_tokens_to_ids("ant")].std() > 0.03
    assert unet.dtype == torch.float32 == encoder.dtype


def test_new_nouns_have_a_share_of_their_own(made: Parts) -> None:
    rng, painter = random.Random(2), made[0]
    shares = [PictureStream(*made, Mix(empty=0, new=share), new={"zebra"})(rng, 400).prompts for share in (0.0, 0.7)]
    usual, more = (sum("zebra" in prompt for prompt in prompts) / len(prompts) for prompts in shares)
    assert usual == pytest.approx(1 / len(painter.looks), abs=0.08) and more == pytest.approx(0.7 + 0.3 * usual, abs=0.1)
    none = PictureStream(*made, Mix(empty=0, new=1.0))(rng, 40).prompts
    assert len({prompt.split()[1] for prompt in none}) > 1, "without new nouns there is no share"


def test_batches_are_functions_of_the_random_state(made: Parts) -> None:
    stream = PictureStream(*made, Mix())
    one, two = stream(random.Random(4), 3), stream(random.Random(4), 3)
    assert isinstance(one, Batch) and one.prompts == two.prompts and torch.equal(one.latents, two.latents)
