"""Edits by instruction with FLUX.2 klein's pipelines on a tiny random checkpoint: whole pictures, references, regions, what stays."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_hub
import torch
from PIL import Image

from unified_demo.config import Settings
from unified_demo.errors import ExpertError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import Pipeline, PipelineSource, load_pipeline
from unified_demo.experts.full import Placement, build_specs
from unified_demo.experts.instructed_regions import InstructedRegionExpert, MaskedEditor
from unified_demo.experts.patches import Mask, Pixels
from unified_demo.experts.reference_editing import MULTIPLE, ReferenceEditExpert, token_size
from unified_demo.experts.segmentation import SegmentationExpert
from unified_demo.grammar import Box, MediaKind
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, RegionPart
from unified_demo.profiles import choose, read_overrides, read_profile
from unified_demo.zoo import Zoo

BOX = Box(0.3, 0.3, 0.7, 0.7)
INSIDE = slice(24, 56), slice(36, 84)
"""Of a picture of 120 x 80 pixels, the box; its middle third stands out."""


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_hub.flux2_klein(tmp_path_factory.mktemp("klein") / "model")


@pytest.fixture(scope="module")
def edits(klein: Path) -> ReferenceEditExpert:
    return ReferenceEditExpert(load_pipeline(PipelineSource(str(klein), "Flux2KleinPipeline", 2, 1.0, 96)))


@pytest.fixture(scope="module")
def painter(klein: Path) -> Pipeline:
    return load_pipeline(PipelineSource(str(klein), "Flux2KleinInpaintPipeline", 2, 1.0, 64))


class Middle:
    """Outlines the middle third of a box."""

    def embed(self, image: Image.Image) -> Image.Image:
        return image

    def mask(self, image: Image.Image, corners: tuple[float, float, float, float]) -> Mask:
        x0, y0, x1, y1 = corners
        mask = np.zeros((image.height, image.width), bool)
        mask[int(y0 + (y1 - y0) / 3) : int(y1 - (y1 - y0) / 3), int(x0 + (x1 - x0) / 3) : int(x1 - (x1 - x0) / 3)] = True
        return mask


class Grey:
    """Fills holes with grey."""

    def fill(self, picture: Pixels, hole: Mask) -> Pixels:
        return np.full_like(picture, 100)


@pytest.fixture
def regions(painter: Pipeline) -> InstructedRegionExpert:
    return InstructedRegionExpert(SegmentationExpert(Middle()), Grey(), MaskedEditor(painter))  # type: ignore[arg-type]


def photo(folder: Path, name: str, seed: int, size: tuple[int, int] = (120, 80)) -> Artefact:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return MediaStore(folder).add_image(Image.fromarray(noise), name)


def pixels_of(events: Iterator[ExpertEvent]) -> np.ndarray:
    (output,) = [event for event in events if isinstance(event, Output)]
    assert output.kind == MediaKind.IMAGE and output.of == "img-1"
    return np.asarray(output.value).astype(int)


def changed(events: Iterator[ExpertEvent], picture: Artefact) -> np.ndarray:
    """Bool H x W: which pixels are others now."""
    return (pixels_of(events) != np.asarray(Image.open(picture.path))).any(-1)


# ---- whole pictures ----


def test_every_step_is_told_and_the_picture_keeps_its_size(edits: ReferenceEditExpert, tmp_path: Path) -> None:
    picture = photo(tmp_path, "img-1", 0)
    events = list(edits.run(ExpertRequest("make it night", (picture,), steps=3)))
    assert [(event.step, event.steps) for event in events if isinstance(event, Progress)] == [(step, 3) for step in range(4)]
    assert pixels_of(iter(events)).shape == (80, 120, 3)
    assert isinstance(events[-1], Output) and events[-1].recipe["pipeline"] == "Flux2KleinPipeline"


def test_words_seed_and_every_picture_that_is_named_decide(edits: ReferenceEditExpert, tmp_path: Path) -> None:
    picture, other, third = (photo(tmp_path, f"img-{number}", number) for number in (1, 2, 3))

    def made(prompt: str, *inputs: Artefact, seed: int = 1) -> np.ndarray:
        return pixels_of(edits.run(ExpertRequest(prompt, inputs, seed=seed)))

    first = made("make it night", picture)
    assert (first == made("make it night", picture)).all()
    assert (first != made("make it night", picture, seed=2)).any() and (first != made("make it day", picture)).any()
    with_other = made("make it night", picture, other)
    assert (first != with_other).any() and (with_other != made("make it night", picture, third)).any()


def test_what_the_pipeline_does_not_take_is_said_before_it_runs(edits: ReferenceEditExpert, tmp_path: Path) -> None:
    strip = photo(tmp_path, "img-1", 0, (450, 50))
    with pytest.raises(ExpertError, match="450 x 50 pixels; one side may be up to 8 times the other"):
        list(edits.run(ExpertRequest("make it night", (strip,))))
    for request in (ExpertRequest("make it night"), ExpertRequest(" ", (photo(tmp_path, "img-2", 0),))):
        with pytest.raises(ExpertError, match="no picture or no words"):
            list(edits.run(request))


@pytest.mark.parametrize("size", [(120, 80), (3000, 2000), (50, 400), (1024, 1024), (17, 16)])
def test_pictures_are_worked_on_in_whole_tokens_so_nothing_is_cropped(size: tuple[int, int]) -> None:
    width, height = token_size(size, 1024)
    assert width % MULTIPLE == height % MULTIPLE == 0 and max(width, height) == 1024
    assert abs(width / height - size[0] / size[1]) < 0.1 * size[0] / size[1]


# ---- regions ----


def asked(picture: Artefact, prompt: str, **fields: object) -> ExpertRequest:
    return ExpertRequest(prompt, (picture,), (RegionPart(prompt, (BOX,), artefact_id=picture.id),), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "most"), [("add a fox", "box"), ("replace the cup with a fox", "box"), ("let it look rusty", "outline")]
)
def test_only_what_is_meant_changes(regions: InstructedRegionExpert, tmp_path: Path, prompt: str, most: str) -> None:
    picture = photo(tmp_path, "img-1", 0)
    where = changed(regions.run(asked(picture, prompt)), picture)
    box = np.zeros_like(where)
    box[INSIDE] = True
    assert where[35:45, 55:65].any(), "the middle stays as it was"
    assert not (where & ~box).any(), "something changed outside the box"
    assert where[26:30, 40:80].any() == (most == "box")


def test_the_model_gets_the_wish_in_its_own_words_and_the_crop_it_paints_into(
    regions: InstructedRegionExpert, painter: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict] = []
    real = type(painter.pipe).__call__
    monkeypatch.setattr(type(painter.pipe), "__call__", lambda pipe, **named: calls.append(named) or real(pipe, **named))
    picture = photo(tmp_path, "img-1", 0)
    list(regions.run(asked(picture, "let it look rusty")))
    list(regions.run(asked(picture, "replace the cup with a fox")))
    list(regions.run(asked(picture, "remove the cup")))
    list(regions.run(asked(picture, "make the cup red")))
    assert [call["prompt"] for call in calls] == ["let it look rusty", "replace the cup with a fox"]
    assert all(call["image"].size == call["mask_image"].size and call["strength"] == 1.0 for call in calls)
    painted = [float(np.asarray(call["mask_image"]).mean()) / 255 for call in calls]
    assert all(0.1 < share < 0.5 for share in painted), "the crop is about twice as wide and high as what is painted"


def test_the_same_seed_gives_the_same_and_the_global_generator_is_left_alone(regions: InstructedRegionExpert, tmp_path: Path) -> None:
    picture = photo(tmp_path, "img-1", 0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = pixels_of(regions.run(asked(picture, "add a fox", seed=3)))
    assert torch.equal(before, torch.get_rng_state())
    assert (first == pixels_of(regions.run(asked(picture, "add a fox", seed=3)))).all()
    assert (first != pixels_of(regions.run(asked(picture, "add a fox", seed=4)))).any()


def test_cancel_ends_within_a_step(regions: InstructedRegionExpert, tmp_path: Path) -> None:
    cancel = threading.Event()
    run = regions.run(asked(photo(tmp_path, "img-1", 0), "add a fox", steps=40, cancel=cancel))
    next(event for event in run if isinstance(event, Progress) and event.steps == 40 and event.step == 1)
    cancel.set()
    rest = list(run)
    assert len(rest) < 5 and not any(isinstance(event, Output) for event in rest)


# ---- as rows of the profile ----


def test_modern_is_flux_and_paper_is_the_papers(tmp_path: Path) -> None:
    profile = read_profile(Settings().weights_dir / "full.toml")
    names = {
        wanted: {row.task: row.name for row in choose(profile, wanted, read_overrides(None, profile), False).experts}
        for wanted in ("paper", "modern")
    }
    assert (names["modern"]["edit"], names["modern"]["redit"]) == ("flux2-klein-4b", "flux2-klein-4b-regions")
    assert (names["paper"]["edit"], names["paper"]["redit"]) == ("instruct-pix2pix", "gligen-inpainting")
    choice = choose(profile, "modern", read_overrides(None, profile), False)
    specs = build_specs(profile, choice, lambda model: Path(model.id), Placement("cpu", "float32"), Zoo(tmp_path, Settings().weights_dir))
    klein = {spec.task: spec for spec in specs if "klein" in spec.name}
    assert set(klein) == {"edit", "redit"} and all(spec.options == ("steps",) for spec in klein.values()), "distilled: no guidance"
    assert all(spec.licence == "Apache-2.0" and spec.commercial_use for spec in klein.values())
