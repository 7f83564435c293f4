"""Video experts on tiny random checkpoints in the hub's layouts: steps, seeds, sizes, cancelling, and the traps of the libraries."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_films
import torch
from PIL import Image

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import Expert, ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import PipelineSource
from unified_demo.experts.video import (
    ClipSize,
    ImageToVideoExpert,
    VideoEditingExpert,
    VideoGenerationExpert,
    fit,
    load_film,
    restore_text_model,
)
from unified_demo.grammar import MediaKind
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact

SMALL = {"height": 64, "width": 64}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


def source(place: Path, pipeline: str, **options: int) -> PipelineSource:
    return PipelineSource(str(place), pipeline, 3, 5.0, 64, options=dict(options))


@pytest.fixture(scope="module")
def modelscope(hub: Path) -> Expert:
    return VideoGenerationExpert(load_film(source(tiny_films.modelscope(hub / "ms"), "TextToVideoSDPipeline", **SMALL)), ClipSize(4, 8.0))


@pytest.fixture(scope="module")
def wan(hub: Path) -> Expert:
    return VideoGenerationExpert(load_film(source(tiny_films.wan(hub / "wan"), "WanPipeline", **SMALL)), ClipSize(5, 16.0, 16, 4))


@pytest.fixture(scope="module")
def i2vgen(hub: Path) -> Expert:
    return ImageToVideoExpert(load_film(source(tiny_films.i2vgen(hub / "i2v"), "I2VGenXLPipeline", target_fps=16)), ClipSize(4, 16.0))


@pytest.fixture(scope="module")
def wan_image(hub: Path) -> Expert:
    place = tiny_films.wan_image(hub / "wan_image")
    return ImageToVideoExpert(load_film(source(place, "WanImageToVideoPipeline")), ClipSize(5, 16.0, 32, 4))


@pytest.fixture(scope="module")
def animatediff(hub: Path) -> Expert:
    adapter = tiny_films.motion_adapter(hub / "motion")
    place = tiny_films.stable_diffusion(hub / "sd")
    return VideoEditingExpert(load_film(source(place, "AnimateDiffVideoToVideoPipeline"), str(adapter)), ClipSize(6, 8.0))


@pytest.fixture(scope="module")
def wan_edits(hub: Path) -> Expert:
    place = tiny_films.wan(hub / "wan_edits")
    return VideoEditingExpert(load_film(source(place, "WanVideoToVideoPipeline")), ClipSize(9, 16.0, 16, 4))


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path)


@pytest.fixture
def photo(store: MediaStore) -> Artefact:
    return store.add_image(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 110, 3), dtype=np.uint8)), "img-1")


@pytest.fixture
def video(store: MediaStore) -> Artefact:
    frames = np.random.default_rng(0).integers(0, 256, (8, 60, 110, 3), dtype=np.uint8)
    return store.add_video(list(frames), 4.0, "vid-1")


def result(events: Iterator[ExpertEvent]) -> tuple[list[Progress], Output]:
    found = list(events)
    (output,) = [event for event in found if isinstance(event, Output)]
    return [event for event in found if isinstance(event, Progress)], output


NEEDS = {"modelscope": "", "wan": "", "i2vgen": "photo", "wan_image": "photo", "animatediff": "video", "wan_edits": "video"}


@pytest.fixture(params=list(NEEDS))
def any_expert(request: pytest.FixtureRequest) -> tuple[Expert, tuple[Artefact, ...]]:
    needs = NEEDS[request.param]
    return request.getfixturevalue(request.param), (request.getfixturevalue(needs),) if needs else ()


def test_every_step_is_told_and_the_seed_decides(any_expert: tuple[Expert, tuple[Artefact, ...]]) -> None:
    expert, inputs = any_expert
    events, output = result(expert.run(ExpertRequest("a fox runs", inputs, seed=1, steps=4)))
    assert [(event.step, event.steps) for event in events] == [(step, 4) for step in range(5)]
    assert [event.step for event in events if event.preview is not None] == [2]
    assert output.kind == MediaKind.VIDEO and output.value.dtype == np.uint8 and output.value.ndim == 4 and output.fps > 0
    assert {"steps", "guidance", "sampler", "pipeline", "frames", "width", "height"} <= set(output.recipe)
    again = result(expert.run(ExpertRequest("a fox runs", inputs, seed=1, steps=4)))[1]
    other = result(expert.run(ExpertRequest("a fox runs", inputs, seed=2, steps=4)))[1]
    assert (output.value == again.value).all() and (output.value != other.value).any()


def test_cancel_ends_within_one_step(any_expert: tuple[Expert, tuple[Artefact, ...]]) -> None:
    expert, inputs = any_expert
    cancel = threading.Event()
    run = expert.run(ExpertRequest("a fox runs", inputs, steps=60, cancel=cancel))
    next(event for event in run if isinstance(event, Progress) and event.step == 1)
    cancel.set()
    after = list(run)
    assert len(after) < 30 and not [event for event in after if isinstance(event, Output)]


def test_words_matter(any_expert: tuple[Expert, tuple[Artefact, ...]]) -> None:
    expert, inputs = any_expert
    first, second = (result(expert.run(ExpertRequest(words, inputs, steps=2)))[1].value for words in ("a fox", "zebras and rain"))
    assert (first != second).any()


def test_a_video_from_words_has_the_declared_size(modelscope: Expert, wan: Expert) -> None:
    for expert, frames, fps in ((modelscope, 4, 8.0), (wan, 5, 16.0)):
        output = result(expert.run(ExpertRequest("waves", steps=2)))[1]
        assert output.value.shape == (frames, 64, 64, 3) and output.fps == fps


def test_an_animated_picture_keeps_its_proportions(i2vgen: Expert, wan_image: Expert, photo: Artefact) -> None:
    assert result(i2vgen.run(ExpertRequest("it snows", (photo,), steps=2)))[1].value.shape == (4, 64, 64, 3)
    output = result(wan_image.run(ExpertRequest("it snows", (photo,), steps=2)))[1]
    assert output.value.shape == (5, 32, 64, 3) and output.of == "img-1"


def test_an_edited_video_keeps_its_size_and_length(animatediff: Expert, wan_edits: Expert, video: Artefact) -> None:
    output = result(animatediff.run(ExpertRequest("make it winter", (video,), steps=2)))[1]
    assert output.value.shape == (6, 60, 110, 3) and output.value.shape[0] / output.fps == pytest.approx(video.duration_s)
    output = result(wan_edits.run(ExpertRequest("make it winter", (video,), steps=2)))[1]
    assert output.value.shape == (5, 60, 110, 3) and output.recipe["strength"] == 0.6


def test_strength_decides_how_much_is_drawn_anew(animatediff: Expert, video: Artefact) -> None:
    near, far = (
        result(animatediff.run(ExpertRequest("winter", (video,), steps=3, strength=strength)))[1].value.astype(int)
        for strength in (0.1, 1.0)
    )
    assert (near != far).any()


def test_frames_an_autoencoder_takes() -> None:
    assert [ClipSize(81, 16.0, 16, 4).fitting(count) for count in (1, 4, 5, 80, 200)] == [1, 1, 5, 77, 81]
    assert ClipSize(16, 8.0).fitting(7) == 7
    assert fit((1000, 500), 512, 64) == (512, 256) and fit((10, 1000), 512, 64) == (64, 512)


@pytest.mark.parametrize(("name", "words"), [("modelscope", "words"), ("i2vgen", "one picture"), ("animatediff", "one video")])
def test_what_is_missing_is_said(name: str, words: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ExpertError, match=words):
        list(request.getfixturevalue(name).run(ExpertRequest(" ")))


def test_a_folder_without_the_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="WanPipeline"):
        load_film(source(tmp_path, "WanPipeline"))


# ---- traps ----


def test_trap_clip_text_model_has_text_model_again() -> None:
    """I2VGen-XL and clip_skip use ``text_encoder.text_model``, gone since transformers 5.6; without it clip_skip=1 cannot be honoured."""
    restore_text_model()
    encoder = tiny_films.clip_text()
    assert encoder.text_model is encoder and encoder.text_model.final_layer_norm is not None
    assert not [name for name, _ in encoder.named_modules() if name.startswith("text_model")]


def test_trap_clip_skip_is_not_left_out(i2vgen: Expert) -> None:
    """The pipeline conditions on the last layer but one; leaving clip_skip out gives other embeddings without any error."""
    pipe = i2vgen._pipeline.pipe  # type: ignore[attr-defined]
    with torch.no_grad():
        one, none = (pipe.encode_prompt("a fox", "cpu", 1, clip_skip=skip)[0] for skip in (1, None))
    assert not torch.allclose(one, none)


def test_trap_a_text_encoder_saved_with_the_old_names_still_loads(hub: Path) -> None:
    """Checkpoints on the hub hold ``text_model.*`` in a pickled ``.bin``."""
    from transformers import CLIPTextModel

    folder = hub / "old"
    encoder = tiny_films.clip_text()
    encoder.save_pretrained(folder)
    state = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in encoder.state_dict().items()}
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    loaded = CLIPTextModel.from_pretrained(folder)
    ids = torch.tensor([[0, 5, 2]])
    with torch.no_grad():
        assert torch.allclose(loaded(ids).last_hidden_state, encoder.eval()(ids).last_hidden_state)


def test_the_autoencoder_of_wan_stays_exact(hub: Path) -> None:
    place = tiny_films.wan(hub / "exact")
    pipe = load_film(PipelineSource(str(place), "WanPipeline", 3, 5.0, 64, dtype="bfloat16")).pipe
    assert (pipe.vae.dtype, pipe.transformer.dtype) == (torch.float32, torch.bfloat16)


def test_the_scheduler_is_left_as_it_was(modelscope: Expert) -> None:
    pipe = modelscope._pipeline.pipe  # type: ignore[attr-defined]
    list(modelscope.run(ExpertRequest("waves", steps=1)))
    assert "step" not in vars(pipe.scheduler)
