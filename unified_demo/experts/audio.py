"""Sounds from words: Auffusion (a picture of the sound, then a vocoder), AudioLDM 2 and Stable Audio by diffusers' pipelines.

Auffusion's own code imports what diffusers no longer has; its checkpoint without adapter has the layout of Stable Diffusion plus
a HiFi-GAN, which transformers holds as ``SpeechT5HifiGan``.
"""

import json
import math
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Output, Progress
from unified_demo.experts.diffusion import Pipeline, PipelineSource, StepCallback, load_pipeline, place
from unified_demo.experts.video import restore_text_model, watched_steps
from unified_demo.grammar import MediaKind
from unified_demo.recordings import Sound

SECONDS, LEAST_SECONDS = 5.0, 1.0
"""How long a sound is where nothing is said, and at least."""
LOG_MEL = (math.log(1e-5), math.log(200.0))
"""What black and white of Auffusion's pictures stand for."""
_SAID_SECONDS = re.compile(r",?\s*\b(?:for |of |lasting |about )?(\d{1,3}(?:\.\d+)?)[\s-]?(?:s|secs?|seconds?)\b( long)?", re.IGNORECASE)


def read_seconds(prompt: str, most: float) -> tuple[str, float]:
    """("rain, 3 seconds", 10) -> ("rain", 3.0): the words without a length, and the length within what the model can."""
    found = _SAID_SECONDS.search(prompt)
    wished = float(found[1]) if found else SECONDS
    words = " ".join(_SAID_SECONDS.sub("", prompt).split()).strip(" ,") if found else prompt
    return words or prompt, min(max(wished, LEAST_SECONDS), most)


class Voice(Protocol):
    """One of the models: ``call`` makes ``seconds`` of what ``prompt`` says, by the scheduler of ``pipeline``."""

    pipeline: Pipeline
    most_seconds: float

    def call(self, prompt: str, seconds: float, request: ExpertRequest) -> Sound: ...


class AudioExpert:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def move_to(self, device: str) -> None:
        self._voice.pipeline.move_to(device)

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One Progress per step, then a sound. ExpertError without words."""
        if not request.prompt.strip():
            raise ExpertError("Audio generation got no words; please say what shall be heard.")
        voice = self._voice
        prompt, seconds = read_seconds(request.prompt, voice.most_seconds)
        sound = yield from self._hear(request, prompt, seconds)
        if sound is not None:
            recipe = {name: value for name, value in voice.pipeline.recipe(request, 0, 0).items() if name not in ("width", "height")}
            yield Output(MediaKind.AUDIO, sound, label=prompt, recipe={**recipe, "seconds": round(sound.duration_s, 2)})

    def _hear(self, request: ExpertRequest, prompt: str, seconds: float) -> Generator[Progress, None, Sound | None]:
        voice = self._voice

        def call(on_step: StepCallback) -> Sound:
            with watched_steps(voice.pipeline.pipe, on_step):
                return voice.call(prompt, seconds, request)

        return (yield from voice.pipeline.carry_out(request, call, lambda sound: sound, "composing"))


def _named(pipeline: Pipeline, request: ExpertRequest) -> dict[str, Any]:
    named = {
        "num_inference_steps": pipeline.steps(request),
        "guidance_scale": pipeline.guidance(request),
        "generator": pipeline.generator(request),
    }
    return named | pipeline.source.options


class Auffusion:
    """arXiv 2401.01044: Stable Diffusion draws the log-mel spectrogram, 256 mels high; a HiFi-GAN makes it heard."""

    MULTIPLE = 64
    MELS = 256

    def __init__(self, pipeline: Pipeline, vocoder: Any) -> None:
        self.pipeline, self.vocoder = pipeline, vocoder
        self.sample_rate: int = vocoder.config.sampling_rate
        self.hop = math.prod(vocoder.config.upsample_rates)
        self.most_seconds = pipeline.source.side * self.hop / self.sample_rate

    def call(self, prompt: str, seconds: float, request: ExpertRequest) -> Sound:
        columns = max(math.ceil(seconds * self.sample_rate / self.hop / self.MULTIPLE), 1) * self.MULTIPLE
        made = self.pipeline.pipe(prompt, height=self.MELS, width=columns, output_type="pt", **_named(self.pipeline, request))
        samples = self.hear(made.images[0])
        return Sound(samples[: round(seconds * self.sample_rate)], self.sample_rate)

    @torch.no_grad()
    def hear(self, picture: torch.Tensor) -> np.ndarray:
        """Picture 3 x mels x columns within 0..1, low tones at the bottom -> samples (columns x hop, 1)."""
        low, high = LOG_MEL
        log_mel = picture[0].flip(0).float() * (high - low) + low
        wave = self.vocoder(log_mel.T.to(self.vocoder.device, self.vocoder.dtype))
        return wave.float().cpu().numpy()[:, None]


class AudioLdm2:
    """arXiv 2308.05734."""

    most_seconds = 30.0

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def call(self, prompt: str, seconds: float, request: ExpertRequest) -> Sound:
        made = self.pipeline.pipe(prompt, audio_length_in_s=seconds, output_type="np", **_named(self.pipeline, request))
        rate = self.pipeline.pipe.vocoder.config.sampling_rate
        return Sound(np.asarray(made.audios[0], np.float32)[:, None].clip(-1, 1), rate)


class StableAudio:
    """arXiv 2407.14358; stereo."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        vae = pipeline.pipe.vae
        self.most_seconds = pipeline.pipe.transformer.config.sample_size * vae.hop_length / vae.config.sampling_rate

    def call(self, prompt: str, seconds: float, request: ExpertRequest) -> Sound:
        made = self.pipeline.pipe(prompt, audio_end_in_s=seconds, **_named(self.pipeline, request))
        return Sound(made.audios[0].T.float().cpu().numpy().clip(-1, 1), self.pipeline.pipe.vae.config.sampling_rate)


# ---- loading ----


def load_auffusion(source: PipelineSource) -> AudioExpert:
    """``source.side``: columns of the longest sound. ModelLoadError when a part is missing or does not fit."""
    restore_text_model()
    pipeline = load_pipeline(source)
    vocoder = read_vocoder(Path(source.place) / "vocoder").to(source.device)
    if vocoder.config.model_in_dim != Auffusion.MELS:
        raise ModelLoadError(f"The vocoder of '{source.place}' reads {vocoder.config.model_in_dim} mels; {Auffusion.MELS} are needed.")
    return AudioExpert(Auffusion(pipeline, vocoder))


def read_vocoder(folder: Path) -> Any:
    """A HiFi-GAN as its authors save it (``config.json``, ``vocoder.pt`` with normalised weights) -> SpeechT5HifiGan. ModelLoadError."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    try:
        described = json.loads((folder / "config.json").read_text("utf-8"))
        config = SpeechT5HifiGanConfig(
            model_in_dim=described["num_mels"],
            sampling_rate=described["sampling_rate"],
            normalize_before=False,
            **{name: described[name] for name in ("upsample_initial_channel", "upsample_rates", "upsample_kernel_sizes")},
            **{name: described[name] for name in ("resblock_kernel_sizes", "resblock_dilation_sizes")},
        )
        state = torch.load(folder / "vocoder.pt", map_location="cpu", weights_only=True)["generator"]
        vocoder = SpeechT5HifiGan(config)
        missing, unknown = vocoder.load_state_dict(plain_weights(state), strict=False)
    except (OSError, KeyError, ValueError, RuntimeError) as exc:
        raise ModelLoadError(f"The vocoder in {folder} cannot be loaded ({exc}); fetch it again.") from exc
    if unknown or set(missing) - {"mean", "scale"}:
        raise ModelLoadError(f"The vocoder in {folder} is of another kind: {[*unknown, *missing][:3]} do not fit.")
    for layer, rate, kernel in zip(vocoder.upsampler, config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        odd = (kernel - rate) % 2
        layer.padding, layer.output_padding = ((kernel - rate) // 2 + odd,), (odd,)
    return vocoder.eval().requires_grad_(False)


def plain_weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Direction and length (``weight_v``, ``weight_g``) of each kernel multiplied; names as transformers has them."""
    plain = {}
    for name, value in state.items():
        name = name.replace("ups.", "upsampler.", 1) if name.startswith("ups.") else name
        if name.endswith(".weight_v"):
            length = state[name.replace("upsampler.", "ups.", 1).replace("weight_v", "weight_g")]
            plain[name.removesuffix("_v")] = value * (length / value.flatten(1).norm(dim=1).view(-1, *[1] * (value.dim() - 1)))
        elif not name.endswith(".weight_g"):
            plain[name] = value
    return plain


def load_audio_ldm2(source: PipelineSource) -> AudioExpert:
    """The hub's index names GPT2Model, whose steps of generation transformers no longer has; GPT2LMHeadModel reads the same weights."""
    import diffusers
    from transformers import GPT2LMHeadModel

    dtype = getattr(torch, source.dtype)
    try:
        language_model = GPT2LMHeadModel.from_pretrained(source.place, subfolder="language_model", dtype=dtype)
        pipe = diffusers.AudioLDM2Pipeline.from_pretrained(source.place, language_model=language_model, dtype=dtype)
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError) as exc:
        raise ModelLoadError(f"The AudioLDM2Pipeline of '{source.place}' cannot be loaded ({exc}); fetch it again.") from exc
    place(pipe, source)
    return AudioExpert(AudioLdm2(Pipeline(source, pipe)))


def load_stable_audio(source: PipelineSource) -> AudioExpert:
    """With a solver without noise of its own: the one its index names needs ``torchsde``."""
    import diffusers

    dtype = getattr(torch, source.dtype)
    try:
        solver = diffusers.EDMDPMSolverMultistepScheduler.from_pretrained(source.place, subfolder="scheduler")
        pipe = diffusers.StableAudioPipeline.from_pretrained(source.place, scheduler=None, dtype=dtype)
        pipe.register_modules(scheduler=solver)
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError) as exc:
        raise ModelLoadError(f"The StableAudioPipeline of '{source.place}' cannot be loaded ({exc}); fetch it again.") from exc
    place(pipe, source)
    return AudioExpert(StableAudio(Pipeline(source, pipe)))
