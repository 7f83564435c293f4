"""Sound experts on tiny random checkpoints in the hub's layouts: lengths, steps, seeds, the vocoder, and the libraries' traps."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import tiny_sounds
import torch

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.audio import (
    LOG_MEL,
    AudioExpert,
    load_audio_ldm2,
    load_auffusion,
    load_stable_audio,
    plain_weights,
    read_seconds,
    read_vocoder,
)
from unified_demo.experts.base import ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import PipelineSource
from unified_demo.grammar import MediaKind


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def auffusion(hub: Path) -> AudioExpert:
    place = tiny_sounds.auffusion(hub / "auffusion")
    return load_auffusion(PipelineSource(str(place), "StableDiffusionPipeline", 3, 5.0, 1024))


@pytest.fixture(scope="module")
def audioldm2(hub: Path) -> AudioExpert:
    return load_audio_ldm2(PipelineSource(str(tiny_sounds.audioldm2(hub / "audioldm2")), "AudioLDM2Pipeline", 3, 5.0, 0))


@pytest.fixture(scope="module")
def stable_audio(hub: Path) -> AudioExpert:
    return load_stable_audio(PipelineSource(str(tiny_sounds.stable_audio(hub / "stable")), "StableAudioPipeline", 3, 5.0, 0))


def heard(expert: AudioExpert, prompt: str, **fields: object) -> tuple[list[Progress], Output]:
    events = list(expert.run(ExpertRequest(prompt, **fields)))  # type: ignore[arg-type]
    (output,) = [event for event in events if isinstance(event, Output)]
    return [event for event in events if isinstance(event, Progress)], output


@pytest.mark.parametrize("name", ["auffusion", "audioldm2", "stable_audio"])
def test_every_step_is_told_and_the_seed_decides(name: str, request: pytest.FixtureRequest) -> None:
    expert = request.getfixturevalue(name)
    events, output = heard(expert, "rain on a roof, 1 second", seed=1, steps=4)
    assert [(event.step, event.steps) for event in events] == [(step, 4) for step in range(5)]
    sound = output.value
    assert output.kind == MediaKind.AUDIO and sound.samples.dtype == np.float32 and sound.samples.ndim == 2
    assert np.isfinite(sound.samples).all() and np.abs(sound.samples).max() <= 1 and sound.duration_s == pytest.approx(1.0, abs=0.02)
    assert output.label == "rain on a roof" and {"steps", "guidance", "sampler", "pipeline", "seconds"} <= set(output.recipe)
    assert (heard(expert, "rain on a roof, 1 second", seed=1, steps=4)[1].value.samples == sound.samples).all()
    assert (heard(expert, "rain on a roof, 1 second", seed=2, steps=4)[1].value.samples != sound.samples).any()


@pytest.mark.parametrize("name", ["auffusion", "audioldm2", "stable_audio"])
def test_cancel_ends_within_one_step(name: str, request: pytest.FixtureRequest) -> None:
    cancel = threading.Event()
    run = request.getfixturevalue(name).run(ExpertRequest("rain, 1 s", steps=60, cancel=cancel))
    next(event for event in run if event.step == 1)
    cancel.set()
    after = list(run)
    assert len(after) < 30 and not [event for event in after if isinstance(event, Output)]


@pytest.mark.parametrize(
    ("said", "words", "seconds"),
    [
        ("rain", "rain", 5.0),
        ("rain, 3 seconds", "rain", 3.0),
        ("a bell for 2.5s", "a bell", 2.5),
        ("8-second clip of waves", "clip of waves", 8.0),
        ("waves lasting 100 seconds", "waves", 10.0),
        ("rain 0 s", "rain", 1.0),
        ("5 seconds", "5 seconds", 5.0),
        ("10 cats", "10 cats", 5.0),
    ],
)
def test_the_length_is_read_from_the_words(said: str, words: str, seconds: float) -> None:
    assert read_seconds(said, 10.0) == (words, seconds)


def test_a_longer_sound_is_a_wider_picture(auffusion: AudioExpert) -> None:
    long = heard(auffusion, "rain, 2 seconds", steps=1)[1].value
    assert long.samples.shape == (32000, 1) and long.sample_rate == 16000


def test_the_vocoder_reads_low_tones_from_the_bottom(auffusion: AudioExpert) -> None:
    """The picture is flipped and stretched to log-mel before the vocoder hears it."""
    voice = auffusion._voice
    given: list[torch.Tensor] = []
    vocoder = voice.vocoder  # type: ignore[attr-defined]
    handle = vocoder.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    picture = torch.zeros(3, 256, 64)
    picture[:, -1] = 1.0
    samples = voice.hear(picture)  # type: ignore[attr-defined]
    handle.remove()
    assert samples.shape == (64 * 160, 1) and given[0].shape == (64, 256)
    assert given[0][:, 0].mean() == pytest.approx(LOG_MEL[1]) and given[0][:, 1:].mean() == pytest.approx(LOG_MEL[0])


def test_normalised_weights_are_multiplied_out() -> None:
    layer = torch.nn.utils.weight_norm(torch.nn.ConvTranspose1d(6, 4, 5))
    state = {f"ups.0.{name}": value for name, value in layer.state_dict().items()}
    plain = plain_weights(state)
    assert set(plain) == {"upsampler.0.weight", "upsampler.0.bias"} and torch.allclose(plain["upsampler.0.weight"], layer.weight)


def test_a_vocoder_whose_kernels_and_rates_differ_oddly_keeps_its_length(tmp_path: Path) -> None:
    place = tiny_sounds.auffusion(tmp_path / "odd", upsample_kernel_sizes=[10, 8, 4, 4, 4])
    assert read_vocoder(place / "vocoder")(torch.zeros(20, 256)).shape == (20 * 160,)


def test_vocoders_that_do_not_fit_are_named(tmp_path: Path) -> None:
    place = tiny_sounds.auffusion(tmp_path / "one", num_mels=80)
    with pytest.raises(ModelLoadError, match="80 mels; 256 are needed"):
        load_auffusion(PipelineSource(str(place), "StableDiffusionPipeline", 3, 5.0, 1024))
    (place / "vocoder" / "vocoder.pt").unlink()
    with pytest.raises(ModelLoadError, match="fetch it again"):
        read_vocoder(place / "vocoder")


@pytest.mark.parametrize("load", [load_audio_ldm2, load_stable_audio])
def test_a_folder_without_the_pipeline_is_named(load: object, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="fetch it again"):
        load(PipelineSource(str(tmp_path), "x", 3, 5.0, 0))  # type: ignore[operator]


def test_words_are_needed(auffusion: AudioExpert) -> None:
    with pytest.raises(ExpertError, match="what shall be heard"):
        list(auffusion.run(ExpertRequest("  ")))


# ---- traps ----


def test_trap_audioldm2_names_a_language_model_that_cannot_generate(hub: Path, audioldm2: AudioExpert) -> None:
    index = json.loads((hub / "audioldm2" / "model_index.json").read_text())
    assert index["language_model"] == ["transformers", "GPT2Model"]
    assert type(audioldm2._voice.pipeline.pipe.language_model).__name__ == "GPT2LMHeadModel"


def test_trap_stable_audio_names_a_solver_that_needs_another_package(hub: Path, stable_audio: AudioExpert) -> None:
    index = json.loads((hub / "stable" / "model_index.json").read_text())
    assert index["scheduler"][1] == "CosineDPMSolverMultistepScheduler"
    solver = stable_audio._voice.pipeline.pipe.scheduler
    assert type(solver).__name__ == "EDMDPMSolverMultistepScheduler" and solver.config.sigma_max == 500
