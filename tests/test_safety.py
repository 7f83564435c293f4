"""What a public server does not make: words before, pictures after; and what every output carries in its metadata."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessorPil

from unified_demo.assembly import load_engine
from unified_demo.config import Limits, Settings
from unified_demo.engine import MADE_WITH, Engine
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.experts.picture_checker import MODEL, PictureChecker
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import MediaKind
from unified_demo.intake import user_message
from unified_demo.messages import CallDone, CallFailed, Conversation
from unified_demo.safety import Safety, refuse_sexual_words


def no_red(picture: Image.Image) -> str | None:
    """A picture filter as an operator may write one."""
    return "it is too red" if picture.getpixel((0, 0))[0] > 100 else None


def engine(tmp_path: Path, expert: FakeExpert, prompt: str = "waves", **settings: Any) -> Engine:
    task = {MediaKind.IMAGE: "gen", MediaKind.VIDEO: "vgen", MediaKind.AUDIO: "agen"}[expert.gives]
    return load_engine(Settings(media_dir=tmp_path, **settings), ScriptedModel([f"<{task}>{prompt}</{task}>"]), [fake_spec(expert, task)])


def outcome(made: Engine) -> CallDone | CallFailed:
    message, _ = user_message("go", [], Conversation(), made.store, Limits())
    assert message
    (event,) = [event for event in made.respond(Conversation((message,))) if isinstance(event, CallDone | CallFailed)]
    return event


@pytest.mark.parametrize("prompt", ["a nude woman", "PORN", "p0rn", "n4ked people", "an erotic scene", "hentai girl"])
def test_words_that_a_public_server_refuses(prompt: str) -> None:
    assert refuse_sexual_words(prompt)


@pytest.mark.parametrize(
    "prompt", ["a fox in the snow", "a naked mole rat", "Essex in winter", "a sextant", "Middlesex", "10 cats at 5 pm"]
)
def test_words_that_pass(prompt: str) -> None:
    assert refuse_sexual_words(prompt) is None


def test_a_public_server_refuses_before_the_expert_runs(tmp_path: Path) -> None:
    expert = FakeExpert(MediaKind.IMAGE)
    event = outcome(engine(tmp_path, expert, "a nude man", public=True))
    assert isinstance(event, CallFailed) and "does not make sexual content" in event.error and not expert.requests
    assert isinstance(outcome(engine(tmp_path, expert, "a fox", public=True)), CallDone)


def test_at_home_nothing_is_checked(tmp_path: Path) -> None:
    assert isinstance(outcome(engine(tmp_path, FakeExpert(MediaKind.IMAGE), "a nude by Rodin")), CallDone)


@pytest.mark.parametrize("kind", [MediaKind.IMAGE, MediaKind.VIDEO])
def test_a_picture_filter_keeps_results_back(tmp_path: Path, kind: MediaKind) -> None:
    event = outcome(engine(tmp_path, FakeExpert(kind), picture_filter="test_safety:no_red"))
    assert isinstance(event, CallFailed) and "kept back: it is too red" in event.error
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob("*.mp4"))


def checker(folder: Path, threshold: float, before: str = "vision_model.") -> Path:
    """As ``safety_checker`` and ``feature_extractor`` of Stable Diffusion 1.5, tiny; ``before``: what the hub's file has before the names
    of the picture network.

    A picture is kept back when it resembles a notion more than ``threshold``, a cosine.
    """
    part = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "projection_dim": 16}
    words = {**part, "vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(vision_config={**part, "image_size": 32, "patch_size": 8}, text_config=words, projection_dim=16)
    torch.manual_seed(0)
    network = StableDiffusionSafetyChecker(config)
    network.concept_embeds_weights.data.fill_(threshold)
    network.special_care_embeds_weights.data.fill_(2.0)
    network.save_pretrained(folder / "safety_checker")
    file = folder / "safety_checker" / "model.safetensors"
    state = {before + name if name.startswith("vision_model.") else name: value for name, value in load_file(file).items()}
    save_file(state, file, metadata={"format": "pt"})
    looks = CLIPImageProcessorPil(crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32})
    looks.save_pretrained(folder / "feature_extractor")
    return folder


@pytest.mark.parametrize(("threshold", "kept_back"), [(-1.0, True), (1.0, False)])
def test_the_checker_of_stable_diffusion_may_look_at_every_result(tmp_path: Path, threshold: float, kept_back: bool) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f"[folders]\n'{MODEL}' = '{checker(tmp_path / 'sd', threshold).as_posix()}'\n")
    made = engine(tmp_path / "media", FakeExpert(MediaKind.IMAGE), picture_filter="stable-diffusion", experts_file=own, device="cpu")
    event = outcome(made)
    assert isinstance(event, CallFailed) is kept_back and (not kept_back or "kept back" in event.error)


def test_without_its_weights_nothing_passes(tmp_path: Path) -> None:
    made = engine(tmp_path, FakeExpert(MediaKind.IMAGE), picture_filter="stable-diffusion", device="cpu")
    event = outcome(made)
    assert isinstance(event, CallFailed) and "could not be fetched" in event.error
    with pytest.raises(ModelLoadError, match="lacks weights"):
        PictureChecker(lambda: checker(tmp_path / "sd", 0.0, "renamed."), "cpu")(Image.new("RGB", (32, 32)))


def test_sounds_are_not_looked_at() -> None:
    Safety(picture=lambda picture: "always").check_output(MediaKind.AUDIO, object())


def test_pictures_are_looked_at_by_default_where_strangers_may_have_the_full_profile(tmp_path: Path) -> None:
    """Nothing is fetched until a picture is there; without the hub that picture does not pass."""

    def made(**settings: Any) -> CallDone | CallFailed:
        return outcome(engine(tmp_path, FakeExpert(MediaKind.IMAGE), device="cpu", cache_dir=tmp_path / "cache", **settings))

    kept = made(profile="full", public=True)
    assert isinstance(kept, CallFailed) and "could not be fetched" in kept.error
    for passes in ({"profile": "full", "public": True, "picture_filter": "none"}, {"profile": "full"}, {"profile": "tiny", "public": True}):
        assert isinstance(made(**passes), CallDone)


def test_a_filter_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("nowhere:at_all", "test_safety:nothing", "test_safety"):
        with pytest.raises(UnifiedError, match=r"package\.module:function"):
            engine(tmp_path, FakeExpert(MediaKind.IMAGE), picture_filter=name)


def test_every_output_says_what_made_it(tmp_path: Path) -> None:
    import av
    import soundfile

    def written(kind: MediaKind) -> str:
        event = outcome(engine(tmp_path, FakeExpert(kind)))
        assert isinstance(event, CallDone)
        path = event.artefacts[0].path
        if kind == MediaKind.IMAGE:
            with Image.open(path) as image:
                return str(image.text["unified_demo"])  # type: ignore[attr-defined]
        if kind == MediaKind.AUDIO:
            with soundfile.SoundFile(path) as file:
                return str(file.comment)
        with av.open(str(path)) as container:
            return container.metadata["comment"]

    for kind in (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO):
        assert MADE_WITH in written(kind) and "trainedAlgorithmicMedia" in MADE_WITH
