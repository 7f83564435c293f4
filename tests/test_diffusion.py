"""The diffusers experts on tiny random checkpoints in the hub's layout: steps, previews, seeds, cancelling, boxes, pasting."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import SIDE, write_pipeline, write_tiny_autoencoder

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts import editing, generation, layout
from unified_demo.experts.base import Expert, ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import PREVIEW_EVERY, PipelineSource, load_pipeline
from unified_demo.experts.editing import working_size
from unified_demo.experts.inpainting import Crop, Inpainter, crop_round
from unified_demo.experts.strength import read_strength
from unified_demo.grammar import Box, MediaKind
from unified_demo.media import RECIPE_KEY, MediaStore
from unified_demo.messages import Artefact, RegionPart

BOXES = (RegionPart("a fox", (Box(0.1, 0.1, 0.5, 0.6),)), RegionPart("an owl", (Box(0.6, 0.2, 0.9, 0.8),)))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pipelines")
    made = {
        "generation": write_pipeline(root / "generation", generation.PIPELINE),
        "layout": write_pipeline(root / "layout", layout.PIPELINE),
        "inpainting": write_pipeline(root / "inpainting", layout.PIPELINE, inpainting=True),
        "editing": write_pipeline(root / "editing", editing.PIPELINE),
        "preview": write_tiny_autoencoder(root / "preview"),
    }
    index = made["layout"] / "model_index.json"
    named = json.loads(index.read_text())
    index.write_text(json.dumps({**named, "_class_name": "StableDiffusionPipeline"}))
    return made


def source(places: dict[str, Path], name: str, pipeline: str, preview: bool = False) -> PipelineSource:
    return PipelineSource(str(places[name]), pipeline, 4, 3.0, SIDE, str(places["preview"]) if preview else "")


@pytest.fixture(scope="module")
def draws(places: dict[str, Path]) -> Expert:
    return generation.loader(source(places, "generation", generation.PIPELINE, preview=True))()


@pytest.fixture(scope="module")
def lays_out(places: dict[str, Path]) -> Expert:
    return layout.loader(source(places, "layout", layout.PIPELINE))()


@pytest.fixture(scope="module")
def edits(places: dict[str, Path]) -> Expert:
    return editing.loader(source(places, "editing", editing.PIPELINE))()


@pytest.fixture(scope="module")
def paints(places: dict[str, Path]) -> Inpainter:
    return Inpainter(load_pipeline(source(places, "inpainting", layout.PIPELINE)))


@pytest.fixture
def photo(tmp_path: Path) -> Artefact:
    noise = np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    return MediaStore(tmp_path).add_image(Image.fromarray(noise), "img-1")


def result(events: Iterator[ExpertEvent]) -> tuple[list[Progress], Output]:
    found = list(events)
    (output,) = [event for event in found if isinstance(event, Output)]
    return [event for event in found if isinstance(event, Progress)], output


def pixels(output: Output) -> np.ndarray:
    return np.asarray(output.value)


# ---- steps, previews, seeds ----


def test_every_step_is_told_and_every_second_has_a_preview(draws: Expert) -> None:
    events, output = result(draws.run(ExpertRequest("a fox", steps=5)))
    assert [(event.step, event.steps) for event in events] == [(step, 5) for step in range(6)]
    seen = [event.step for event in events if event.preview is not None]
    assert seen == list(range(PREVIEW_EVERY, 5, PREVIEW_EVERY))
    assert all(event.preview.size == (SIDE, SIDE) for event in events if event.preview is not None)
    assert output.kind == MediaKind.IMAGE and output.value.size == (SIDE, SIDE) and output.value.mode == "RGB"


def test_seed_and_guidance_decide_the_picture(draws: Expert) -> None:
    def drawn(**fields: object) -> np.ndarray:
        return pixels(result(draws.run(ExpertRequest("a fox", **fields)))[1])  # type: ignore[arg-type]

    first = drawn(seed=1)
    assert (first == drawn(seed=1)).all() and (first != drawn(seed=2)).any()
    assert (first != drawn(seed=1, guidance=9.0)).any() and (first != drawn(seed=1, steps=2)).any()


def test_the_recipe_is_written_into_the_png(draws: Expert, tmp_path: Path) -> None:
    _, output = result(draws.run(ExpertRequest("a fox", seed=7, steps=2, guidance=2.5)))
    artefact = MediaStore(tmp_path).add_image(output.value, "img-1", label=output.label, recipe=output.recipe)
    with Image.open(artefact.path) as image:
        kept = json.loads(image.text[RECIPE_KEY])  # type: ignore[attr-defined]
    assert kept["recipe"] == {
        "steps": 2,
        "guidance": 2.5,
        "width": SIDE,
        "height": SIDE,
        "sampler": "DDIMScheduler",
        "pipeline": generation.PIPELINE,
    }


def test_beside_a_large_autoencoder_previews_are_rough_colours(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    latents = torch.zeros(1, 4, SIDE // 8, SIDE // 8)
    own = load_pipeline(source(places, "generation", generation.PIPELINE)).decode_preview(latents)
    monkeypatch.setattr("unified_demo.experts.diffusion.SMALL_DECODER", 0)
    rough = load_pipeline(source(places, "generation", generation.PIPELINE)).decode_preview(latents)
    assert own.size == rough.size == (SIDE, SIDE) and own.tobytes() != rough.tobytes()
    assert np.ptp(np.asarray(rough)) == 0, "zero latents are grey all over"


@pytest.mark.parametrize("steps", [0, 101])
def test_absurd_steps_are_refused(draws: Expert, steps: int) -> None:
    with pytest.raises(ExpertError, match="1 to 100"):
        list(draws.run(ExpertRequest("a fox", steps=steps)))


def test_a_folder_that_holds_no_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="StableDiffusionPipeline"):
        load_pipeline(PipelineSource(str(tmp_path), generation.PIPELINE, 4, 3.0, SIDE))


# ---- cancelling ----


@pytest.mark.parametrize("name", ["draws", "lays_out", "edits"])
def test_cancel_ends_within_one_step(name: str, request: pytest.FixtureRequest, photo: Artefact) -> None:
    cancel = threading.Event()
    asked = ExpertRequest("a fox", (photo,), BOXES, steps=40, cancel=cancel)
    run = request.getfixturevalue(name).run(asked)
    next(event for event in run if event.step == 2)
    cancel.set()
    after = [event for event in run if isinstance(event, Progress)]
    assert len(after) < 20 and not [event for event in after if isinstance(event, Output)]


def test_closing_the_iterator_ends_the_thread(draws: Expert) -> None:
    run = draws.run(ExpertRequest("a fox", steps=100))
    next(event for event in run if event.step == 1)
    run.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("unified_demo-diffusion")]


# ---- layout ----


def test_boxes_and_phrases_decide_the_layout(lays_out: Expert) -> None:
    def laid_out(*regions: RegionPart) -> np.ndarray:
        return pixels(result(lays_out.run(ExpertRequest("a fox and an owl", regions=regions)))[1])

    moved = RegionPart("a fox", (Box(0.5, 0.5, 0.9, 0.9),))
    named = RegionPart("a pear", BOXES[0].boxes)
    first = laid_out(*BOXES)
    assert (first == laid_out(*BOXES)).all()
    assert (first != laid_out(moved, BOXES[1])).any() and (first != laid_out(named, BOXES[1])).any()


def test_layouts_are_those_of_the_library(lays_out: layout.LayoutExpert) -> None:
    pipe = lays_out._pipeline.pipe
    theirs = pipe(
        "a fox and an owl",
        height=SIDE,
        width=SIDE,
        num_inference_steps=4,
        guidance_scale=3.0,
        gligen_phrases=["a fox", "an owl"],
        gligen_boxes=[list(region.boxes[0].as_tuple()) for region in BOXES],
        generator=torch.Generator("cpu").manual_seed(3),
    )
    _, ours = result(lays_out.run(ExpertRequest("a fox and an owl", regions=BOXES, seed=3)))
    assert (np.asarray(theirs.images[0]) == pixels(ours)).all()


def test_layout_keeps_its_boxes_in_the_recipe(lays_out: Expert) -> None:
    _, output = result(lays_out.run(ExpertRequest("", regions=BOXES)))
    assert output.recipe["layout"][1] == {"phrase": "an owl", "box": [0.6, 0.2, 0.9, 0.8]}


def test_layout_needs_boxes_and_not_too_many(lays_out: Expert) -> None:
    for regions in ((), (RegionPart("a fox", (Box(0, 0, 1, 1),) * 31),)):
        with pytest.raises(ExpertError, match="1 to 30"):
            list(lays_out.run(ExpertRequest("a fox", regions=regions)))


# ---- editing ----


def test_an_edited_picture_keeps_its_size(edits: Expert, photo: Artefact) -> None:
    events, output = result(edits.run(ExpertRequest("make it snow", (photo,), steps=3)))
    assert output.value.size == (90, 50) and output.of == "img-1" and len(events) == 4
    assert (output.recipe["width"], output.recipe["height"]) == (64, 32) and output.recipe["image_guidance"] == 1.5


def test_strength_is_read_from_words_or_set(edits: Expert, photo: Artefact) -> None:
    _, slight = result(edits.run(ExpertRequest("make it slightly darker", (photo,), steps=2)))
    _, strong = result(edits.run(ExpertRequest("make it darker", (photo,), steps=2, strength=1.0)))
    assert (slight.recipe["strength"], strong.recipe["strength"]) == (0.33, 1.0)
    assert slight.recipe["image_guidance"] > strong.recipe["image_guidance"] and (pixels(slight) != pixels(strong)).any()


@pytest.mark.parametrize(
    ("said", "left", "strength"),
    [
        ("make it snow", "make it snow", 0.5),
        ("make it a bit warmer", "make it warmer", 0.33),
        ("make it winter, a little", "make it winter", 0.33),
        ("van Gogh style, 40%", "van Gogh style", 0.4),
        ("turn it completely into ice", "turn it into ice", 1.0),
        ("make it darker by 70 percent", "make it darker", 0.7),
    ],
)
def test_words_of_strength(said: str, left: str, strength: float) -> None:
    assert read_strength(said, None, 0.5) == (left, strength)
    assert read_strength(said, 0.9, 0.5) == (left, 0.9)


@pytest.mark.parametrize(("size", "wished"), [((2000, 1000), (256, 128)), ((100, 100), (256, 256)), ((2000, 20), (256, 8))])
def test_working_size(size: tuple[int, int], wished: tuple[int, int]) -> None:
    assert working_size(size, 256) == wished


def test_editing_needs_a_picture_and_words(edits: Expert, photo: Artefact) -> None:
    for asked in (ExpertRequest("make it snow"), ExpertRequest(" ", (photo,))):
        with pytest.raises(ExpertError, match="one picture"):
            list(edits.run(asked))


# ---- inpainting ----


def test_only_the_box_is_painted(paints: Inpainter) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (100, 160, 3), dtype=np.uint8)
    box = Box(0.3, 0.2, 0.55, 0.7)
    events: list[Progress] = []
    run = paints.paint(ExpertRequest("add a fox", steps=2), picture, box, "a fox")
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            painted = end.value
            break
    inside = np.zeros((100, 160), bool)
    inside[20:70, 48:88] = True
    assert (painted[~inside] == picture[~inside]).all()
    assert (painted[inside] != picture[inside]).any(axis=-1).mean() > 0.9
    assert [event.step for event in events] == [0, 1, 2]


def test_painting_is_repeatable_and_draws_nothing_from_the_global_generator(paints: Inpainter) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)

    def painted(seed: int) -> np.ndarray:
        run = paints.paint(ExpertRequest("add a fox", steps=2, seed=seed), picture, Box(0.2, 0.2, 0.8, 0.8), "a fox")
        try:
            while True:
                next(run)
        except StopIteration as end:
            return end.value

    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = painted(1)
    assert (torch.get_rng_state() == before).all()
    assert (first == painted(1)).all() and (first != painted(2)).any()


def test_other_numbers_of_latent_channels(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "layout", layout.PIPELINE, latents=8)
    write_pipeline(tmp_path / "inpainting", layout.PIPELINE, inpainting=True, latents=8)
    places = {"layout": tmp_path / "layout", "inpainting": tmp_path / "inpainting"}
    laid_out = layout.loader(source(places, "layout", layout.PIPELINE))()
    assert result(laid_out.run(ExpertRequest("a fox", regions=BOXES, steps=2)))[1].value.size == (SIDE, SIDE)
    run = Inpainter(load_pipeline(source(places, "inpainting", layout.PIPELINE))).paint(
        ExpertRequest("add a fox", steps=1), np.zeros((64, 64, 3), np.uint8), Box(0.4, 0.4, 0.45, 0.45), "a fox"
    )
    assert len([event for event in (next(run), next(run)) if isinstance(event, Progress)]) == 2


def test_the_crop_lies_round_the_region_within_the_picture() -> None:
    assert crop_round(Crop(40, 40, 60, 50), 200, 100) == Crop(30, 25, 70, 65)
    assert crop_round(Crop(0, 80, 20, 100), 200, 100) == Crop(0, 60, 40, 100)
    wide = crop_round(Crop(10, 40, 190, 60), 200, 100)
    assert wide == Crop(0, 0, 200, 100) and wide.box(Crop(10, 40, 190, 60)) == (0.05, 0.4, 0.95, 0.6)
