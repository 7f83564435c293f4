"""Every row of the full profile: a call goes from the page through router and pipeline to an artefact, on a tiny checkpoint in the
hub's layout.

In bfloat16, as the profile runs by default. No real weights of the hub were run here; ids, classes and options are those of
``weights/full.toml``, sizes and steps are smaller.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_films
import tiny_hub
import tiny_sounds
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from tiny_pipelines import write_pipeline
from tiny_vlm import make_checkpoint

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Limits, Settings
from unified_demo.experts.diffusion import Pipeline, PipelineSource, place
from unified_demo.experts.full import Placement, build_specs
from unified_demo.fakes import ScriptedModel
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.intake import user_message
from unified_demo.messages import CallProgress, Conversation, TurnDone
from unified_demo.model.vlm import VisionLanguageModel
from unified_demo.model.vlm_prompt import example, offers_from
from unified_demo.profiles import Choice, FullProfile, read_profile
from unified_demo.recordings import video_bytes
from unified_demo.ui.chat import _Page
from unified_demo.ui.visit import Visit
from unified_demo.weight_sources import SKIPPED
from unified_demo.zoo import Zoo

PROFILE: FullProfile = read_profile(Settings().weights_dir / "full.toml")
NOISE = np.random.default_rng(0).integers(0, 255, (6, 48, 80, 3), dtype=np.uint8)


def gligen_inpainting(folder: Path) -> Path:
    return write_pipeline(folder, "StableDiffusionGLIGENPipeline", inpainting=True)


def pipeline(kind: str) -> Callable[[Path], Path]:
    return lambda folder: write_pipeline(folder, kind)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "IDEA-Research/grounding-dino-base": tiny_hub.grounding_dino,
    "facebook/sam2.1-hiera-large": tiny_hub.sam2,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": pipeline("StableDiffusionPipeline"),
    "Tongyi-MAI/Z-Image-Turbo": tiny_hub.z_image,
    "masterful/gligen-1-4-generation-text-box": pipeline("StableDiffusionGLIGENPipeline"),
    "masterful/gligen-1-4-inpainting-text-box": gligen_inpainting,
    "black-forest-labs/FLUX.2-klein-4B": tiny_hub.flux2_klein,
    "timbrooks/instruct-pix2pix": pipeline("StableDiffusionInstructPix2PixPipeline"),
    "ali-vilab/text-to-video-ms-1.7b": tiny_films.modelscope,
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": tiny_films.wan,
    "ali-vilab/i2vgen-xl": tiny_films.i2vgen,
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": tiny_films.wan_image,
    "guoyww/animatediff-motion-adapter-v1-5-2": tiny_films.motion_adapter,
    "auffusion/auffusion-full-no-adapter": tiny_sounds.auffusion,
    "cvssp/audioldm2": tiny_sounds.audioldm2,
    "stabilityai/stable-audio-open-1.0": tiny_sounds.stable_audio,
    "Qwen/Qwen3-VL-4B-Instruct": make_checkpoint,
}
"""Hub model -> what makes a tiny one of the same layout."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a hub model, made on first use, with the files alone that the profile would fetch of it."""
    made: dict[str, Path] = {}

    def find(key: str) -> Path:
        if key not in made:
            made[key] = MAKERS[key](tmp_path_factory.mktemp("hub") / "model")
            there = [path.relative_to(made[key]).as_posix() for path in made[key].rglob("*") if path.is_file()]
            fetched = set(filter_repo_objects(there, allow_patterns=PROFILE.models[key].files, ignore_patterns=SKIPPED))
            for name in set(there) - fetched:
                (made[key] / name).unlink()
        return made[key]

    return find


def small(name: str) -> tuple[FullProfile, str]:
    """The profile with one row made small enough to run here: two steps, few pixels, few frames."""
    row = PROFILE.experts[name]
    options = {key: 64 if key in ("height", "width") else value for key, value in row.options.items()}
    clip = {**row.clip, "frames": 5} if row.clip else {}
    least = 112 if row.kind == "reference_editing" else 64
    side = row.side if row.kind == "auffusion" else min(row.side, least)
    tiny = replace(row, steps=2, side=side, options=options, clip=clip)
    return replace(PROFILE, experts={name: tiny}), row.task


def sent(tmp_path: Path, needs: tuple[MediaKind, ...]) -> list[Path]:
    files = []
    if MediaKind.IMAGE in needs:
        files.append(tmp_path / "photo.png")
        Image.fromarray(NOISE[0]).save(files[-1])
    if MediaKind.VIDEO in needs:
        files.append(tmp_path / "clip.mp4")
        files[-1].write_bytes(video_bytes(NOISE, 3.0))
    return files


@pytest.mark.parametrize("name", list(PROFILE.experts))
def test_a_call_goes_through_to_an_artefact(name: str, hub: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, task = small(name)
    row, known = profile.experts[name], TASKS[Task(task)]
    if row.kind in ("region_editing", "instructed_regions"):
        monkeypatch.setattr("unified_demo.experts.region_editing.load_mobile_sam", lambda zoo: None)
        monkeypatch.setattr("unified_demo.experts.region_editing.Remover", lambda path: None)
        monkeypatch.setattr("unified_demo.experts.region_editing.RegionEditingExpert.prepare", lambda self, inputs: None)
        monkeypatch.setattr(Zoo, "path", lambda self, role: Path(role))
    zoo = Zoo(tmp_path / "cache", Settings().weights_dir)
    specs = build_specs(profile, Choice("", (row,), {}), lambda model: hub(model.id), Placement("cpu", "bfloat16"), zoo)
    (offer,) = offers_from({known: ""})
    call = example(offer).replace("1000", "999").replace("replace the red cup by a green apple (or: remove the red cup)", "add a fox")
    engine = load_engine(
        Settings(media_dir=tmp_path / "media", max_memory_gb=100), ScriptedModel([call.replace("5 seconds", "1 second")]), specs
    )
    page, visit = _Page(engine), Visit()
    page.build()
    list(page.send({"text": "go", "files": [str(path) for path in sent(tmp_path, known.needs)]}, visit))
    *_, shown = page.follow(visit)
    (step,) = visit.answers[0].steps.values()
    assert step.status == "done" and step.steps >= 2, step.error
    artefact = step.artefacts[0]
    assert artefact.kind == known.gives and artefact.path.stat().st_size > 0 and artefact.path.name in str(shown)
    free = all(model.commercial_use for model in profile.of(row))
    assert f'data-free="{"yes" if free else "no"}"' in str(shown), "the badge of its licence"
    assert step.recipe["expert"] == row.title and step.recipe["weights"][0].startswith(row.models[0]) and step.recipe["licence"]


def test_the_whole_profile_speaks_and_acts(hub: Callable[[str], Path], tmp_path: Path) -> None:
    """Settings alone, with a file that names folders: the engine's own language model and experts."""
    ids = ["Qwen/Qwen3-VL-4B-Instruct", "IDEA-Research/grounding-dino-base", "facebook/sam2.1-hiera-large"]
    own = tmp_path / "own.toml"
    own.write_text("[folders]\n" + "".join(f"'{key}' = '{hub(key).as_posix()}'\n" for key in ids))
    engine = load_engine(
        Settings("full", "cpu", media_dir=tmp_path / "media", experts_file=own, max_memory_gb=64, allow_noncommercial=True)
    )
    assert set(engine.tasks()) == {task.value for task in Task} and isinstance(engine.model, VisionLanguageModel)
    message, _ = user_message("segment the dog", sent(tmp_path, (MediaKind.IMAGE,)), Conversation(), engine.store, Limits())
    assert message
    events = list(engine.respond(Conversation((message,)), GenerationOptions(max_new_tokens=30, temperature=1.0)))
    assert isinstance(events[-1], TurnDone) and events[-1].timings["tokens"] <= 30


def test_experts_of_the_full_profile_can_wait_in_main_memory(hub: Callable[[str], Path], tmp_path: Path) -> None:
    """Whatever their kind, the order to move reaches their networks."""
    for name in ("instruct-pix2pix", "modelscope-t2v", "auffusion", "grounded-sam2"):
        profile, task = small(name)
        row = profile.experts[name]
        zoo = Zoo(tmp_path / "cache", Settings().weights_dir)
        (spec,) = build_specs(profile, Choice("", (row,), {}), lambda model: hub(model.id), Placement("cpu", "bfloat16"), zoo)
        expert = spec.load()
        expert.move_to("meta")  # type: ignore[attr-defined]
        networks = [value for value in reachable(expert) if isinstance(value, torch.nn.Module)]
        assert networks and any(weight.device.type == "meta" for network in networks for weight in network.parameters()), task


def reachable(thing: object, depth: int = 4) -> list[object]:
    """What hangs on an expert, as deep as its networks lie."""
    if depth == 0 or not hasattr(thing, "__dict__"):
        return []
    parts = [*vars(thing).values(), *(getattr(thing, "components", None) or {}).values()]
    return [*parts, *(deeper for part in parts if not isinstance(part, torch.nn.Module) for deeper in reachable(part, depth - 1))]


@pytest.mark.parametrize(
    ("offload", "device", "said"), [(True, "cuda", "offload cuda"), (True, "cpu", "to cpu"), (False, "cuda", "to cuda")]
)
def test_parts_come_to_the_gpu_one_by_one_where_that_is_wished(offload: bool, device: str, said: str) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.orders: list[str] = []

        def set_progress_bar_config(self, **_: object) -> None:
            """Quiet anyway."""

        def to(self, place: str) -> None:
            self.orders.append(f"to {place}")

        def enable_model_cpu_offload(self, device: str) -> None:
            self.orders.append(f"offload {device}")

    pipe = Pipe()
    source = PipelineSource("x", "y", 2, 1.0, 64, device=device, offload=offload)
    place(pipe, source)
    assert pipe.orders == [said]
    Pipeline(source, pipe).move_to("cpu")
    assert len(pipe.orders) == (1 if offload else 2)


def test_a_server_may_speak_in_place_of_the_profile(tmp_path: Path) -> None:
    from unified_demo.model.openai_server import ServedModel

    for profile in ("tiny", "full"):
        engine = load_engine(Settings(profile, "cpu", media_dir=tmp_path, server="http://127.0.0.1:9/v1", server_model="some-vlm"))
        assert isinstance(engine.model, ServedModel) and {offer.tag for offer in engine.model.offers} == set(engine.tasks())


def test_cancelled_calls_of_slow_experts_end_the_turn(hub: Callable[[str], Path], tmp_path: Path) -> None:
    profile, _ = small("modelscope-t2v")
    row = replace(profile.experts["modelscope-t2v"], steps=90)
    zoo = Zoo(tmp_path / "cache", Settings().weights_dir)
    specs = build_specs(profile, Choice("", (row,), {}), lambda model: hub(model.id), Placement("cpu", "bfloat16"), zoo)
    engine = load_engine(Settings(media_dir=tmp_path / "media", max_memory_gb=100), ScriptedModel(["<vgen>waves</vgen>"]), specs)
    message, _ = user_message("go", [], Conversation(), engine.store, Limits())
    assert message
    cancel = threading.Event()
    steps = []
    for event in engine.respond(Conversation((message,)), cancel=cancel):
        if isinstance(event, CallProgress) and event.step:
            steps.append(event.step)
            cancel.set()
    assert isinstance(event, TurnDone) and event.stopped and len(steps) < 45
