"""Training of the editor of drawn pictures: pairs, grounds, a network that begins by changing nothing, and what is written for others."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from unified_demo.data.catalogue import Catalogue, CutoutInfo
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.edit_pairs import read_edits
from unified_demo.data.published.reading import Complaints
from unified_demo.data.split import part_of_noun
from unified_demo.errors import MediaError
from unified_demo.experts.drawn_edits import drawn_edits, find_drawn_edits
from unified_demo.experts.drawn_layers import INK, line_art, repainted
from unified_demo.experts.grounds import DEFAULT
from unified_demo.experts.moods import GROUNDS, MOODS, finished, lit, mood_ground
from unified_demo.regions import COLOURS
from unified_demo.training.editor.export import edit, export, pipeline_of, write_pairs
from unified_demo.training.editor.networks import (
    CHANNELS,
    FILLER,
    EditorSizes,
    build_editor_unet,
    build_editor_words,
    edit_words,
    editor_tokenizer,
)
from unified_demo.training.editor.scenes import Look, SceneMaker, changed
from unified_demo.training.editor.stream import EditStream, PieceMaker
from unified_demo.training.editor.trainer import EditorOptions, EditorTrainer
from unified_demo.training.generators.autoencoder import SCALING, Components, build_autoencoder, patch_components

SIZES = EditorSizes(channels=(48, 48), text=64)
NOUNS = ("cat", "fox", "car", "zebra", "umbrella")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CutoutLibrary:
    """Things in four styles: a shaded ellipse, flat ones with an eye."""
    folder = tmp_path_factory.mktemp("assets")
    infos = []
    for number, noun in enumerate(NOUNS):
        for prefix, style in (("emoji", "3d"), ("emoji-flat", "flat"), ("emoji-modern", "modern")):
            picture = Image.new("RGBA", (60, 40 + 4 * number))
            pen = ImageDraw.Draw(picture)
            pen.ellipse((0, 0, 59, picture.height - 1), fill=(230 if style == "modern" else 200, 40 * number, 60, 255))
            if prefix == "emoji-flat":
                pen.ellipse((20, 10, 30, 20), fill=(255, 255, 255, 255))
            picture.save(folder / f"{prefix}-{number}.png")
            shares = tuple(float(name == "red") for name in COLOURS)
            infos.append(
                CutoutInfo(
                    f"{prefix}:{number}", noun, "thing", (), "made here", "CC0", 60 / picture.height, shares,
                    f"{prefix}-{number}.png", 1.0, style,
                )
            )  # fmt: skip
    return CutoutLibrary(folder, Catalogue(tuple(infos)))


@pytest.fixture(scope="module")
def maker(library: CutoutLibrary) -> SceneMaker:
    return SceneMaker(library, "train")


@pytest.fixture(scope="module")
def components(maker: SceneMaker) -> Iterator[Components]:
    pieces, _ = PieceMaker(maker, side=64)(random.Random(0), 20)
    yield patch_components(pieces * 2 - 1, CHANNELS)


# ---- pairs ----


def test_held_out_things_stay_out_of_training(library: CutoutLibrary, maker: SceneMaker) -> None:
    assert {maker.nouns[code] for code in maker.codes} == {noun for noun in NOUNS if part_of_noun(noun) == "train"}
    assert {*SceneMaker(library, "held_out").nouns.values()} == {"zebra", "umbrella"}
    with pytest.raises(MediaError, match="fluent-emoji-flat"):
        SceneMaker(CutoutLibrary(library.folder, Catalogue(library.catalogue.cutouts[:1])), "train")


def test_every_edit_of_the_table_can_be_drawn(maker: SceneMaker) -> None:
    before = Look("3d", "meadow")
    for one in drawn_edits().values():
        pair = maker.pair(random.Random(3), (one,))
        assert maker.render(pair, changed(before, (one,)), 32).shape == (32, 32, 3), one.name


def test_the_same_things_stand_at_the_same_places(maker: SceneMaker) -> None:
    pair = maker.pair(random.Random(1), find_drawn_edits("blue background"))
    blue, black = (maker.render(pair, Look("3d", name), 64).astype(int) for name in ("blue", "black"))
    things = (blue == black).all(-1)
    assert 0.02 < things.mean() < 0.9
    flat = maker.render(pair, Look("flat", "blue"), 64).astype(int)
    assert ((np.abs(flat - mood_ground("blue", 64)).max(-1) > 40) == things).mean() > 0.95


def test_line_art_is_ink_on_white(maker: SceneMaker) -> None:
    thing = Image.new("RGBA", (40, 40))
    ImageDraw.Draw(thing).rectangle((4, 4, 35, 35), fill=(200, 60, 60, 255))
    drawn = np.asarray(line_art(thing.convert("RGBa")).convert("RGBA"))
    assert (drawn[20, 20] == (255, 255, 255, 255)).all() and drawn[1, 1, 3] == 0
    assert np.abs(drawn[20, 4, :3].astype(int) - INK).max() < 40
    assert changed(Look("3d", "beach", "red"), find_drawn_edits("line art")) == Look("line", DEFAULT)
    assert changed(Look("3d", "beach"), find_drawn_edits("flat at night")) == Look("flat", "night")


def test_paint_changes_hue_and_keeps_light() -> None:
    things = np.array([[(200, 40, 40), (90, 10, 10), (255, 255, 255)]], np.float32)
    blue = repainted(things, "blue")
    assert (blue[..., 2] > blue[..., 0]).all() and blue[0, 0].sum() > blue[0, 1].sum()


def test_moods_light_things_and_grounds_are_the_same_each_time() -> None:
    assert len(GROUNDS) == len(set(GROUNDS)) and set(MOODS) <= set(GROUNDS)
    for name in GROUNDS:
        assert mood_ground(name, 32).shape == (32, 32, 3)
    white = np.full((8, 8, 3), 255, np.float32)
    assert (lit(white, "night") < 220).all() and (lit(white, "beach") == white).all()
    assert (finished(white, "beach") == white).all() and not (finished(white * 0, "winter") == 0).all()


def test_pairs_for_the_benchmark_can_be_read(library: CutoutLibrary, tmp_path: Path) -> None:
    write_pairs(SceneMaker(library, "held_out"), tmp_path, 12, 1)
    complaints = Complaints()
    samples = list(read_edits(tmp_path, complaints))
    assert (
        len(samples) == 12
        and not complaints.found
        and {sample.kind for sample in samples} <= {"drawn style", "drawn ground", "drawn paint"}
    )
    for sample in samples:
        assert sample.box is None and find_drawn_edits(sample.instruction), sample.instruction
        with Image.open(sample.before) as before, Image.open(sample.after) as after:
            assert before.tobytes() != after.tobytes()


# ---- the network ----


def test_the_editor_begins_by_changing_nothing() -> None:
    torch.manual_seed(0)
    unet = build_editor_unet(SIZES).eval()
    picture, words = 0.4 * torch.randn(2, CHANNELS, 8, 8), torch.randn(2, 4, SIZES.text)
    with torch.no_grad():
        answer = unet(torch.cat([torch.randn_like(picture), picture], 1), torch.full((2,), 999), words).sample
    assert torch.allclose(answer, -SCALING * picture, atol=0.03)
    with pytest.raises(ValueError, match="48 in 16"):
        build_editor_unet(EditorSizes(channels=(32, 48)))


def test_every_spelling_has_a_token_and_means_its_edit() -> None:
    numbers, meanings = edit_words()
    tokenizer = editor_tokenizer()
    for one in drawn_edits().values():
        for word in (one.name, *one.words):
            if set(word.split()) & set(FILLER):
                continue
            (token,) = tokenizer(f"Make it {word}, please")["input_ids"][1:-1]
            assert meanings[token] == numbers[one.name], word


def trainer(maker: SceneMaker, components: Components, folder: Path, steps: int) -> EditorTrainer:
    torch.manual_seed(0)
    tokenizer = editor_tokenizer()
    options = EditorOptions(steps=steps, batch=4, warmup_steps=1, lr=2e-3)
    stream = EditStream(maker, components, large=0.0)
    return EditorTrainer(
        build_editor_unet(SIZES), build_editor_words(SIZES, tokenizer), tokenizer, edit_words()[1], stream, options, folder
    )


def test_training_learns_what_edits_add(maker: SceneMaker, components: Components, tmp_path: Path) -> None:
    learner = trainer(maker, components, tmp_path, 30)
    batch = learner.stream(random.Random(4), 4)
    learner.stream = lambda rng, count: batch
    rows = [learner.train_step() for _ in range(30)]
    assert rows[0]["loss"] == pytest.approx(rows[0]["noisy"], rel=0.05), "at first nothing is changed"
    assert rows[-1]["loss"] < 0.7 * rows[-1]["noisy"]


def test_training_learns_from_batches_that_differ_and_resumes_to_the_batch(
    maker: SceneMaker, components: Components, tmp_path: Path
) -> None:
    rows: list[dict] = []
    trainer(maker, components, tmp_path / "whole", 64).run(rows.append)
    assert rows[0]["loss"] == pytest.approx(rows[0]["noisy"], rel=0.05), "at first nothing is changed"
    assert sum(row["loss"] for row in rows[32:]) < 0.9 * sum(row["noisy"] for row in rows[32:])
    parts: list[dict] = []
    first = trainer(maker, components, tmp_path / "parts", 64)
    for _ in range(5):
        parts.append(first.train_step())
    first.save()
    trainer(maker, components, tmp_path / "parts", 64).run(parts.append)
    assert [row["loss"] for row in parts] == [row["loss"] for row in rows]


def test_the_export_is_loaded_by_the_instruct_pipeline(maker: SceneMaker, components: Components, tmp_path: Path) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    network = build_autoencoder(components, (8, (1, 0, 0, 0)), out_channels=3)
    export(pipeline_of(trainer(maker, components, tmp_path / "run", 1), network.eval()), 1, tmp_path / "editor")
    loaded = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "editor", dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    picture = Image.new("RGB", (64, 64), (200, 60, 60))
    one, other = (edit(loaded, picture, "night", 1, seed) for seed in (0, 1))
    assert one.size == (64, 64) and one.mode == "RGB"
    assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1, "one step from noise alone: the seed changes nothing"
