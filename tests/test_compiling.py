"""--compile: the same answers and pictures, few graphs, and a sentence where this machine cannot. Graphs are run by torch itself here,
for a real compiler takes longer than all other tests."""

import functools
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_vlm import make_checkpoint
from torch._dynamo.testing import CompileCounter

from unified_demo import compiling
from unified_demo.compiling import Compiled
from unified_demo.config import GenerationOptions, Settings
from unified_demo.experts.diffusion import PipelineSource, place
from unified_demo.experts.full import Order, Placement
from unified_demo.media import MediaStore
from unified_demo.messages import Conversation, MediaPart, Message, TextPart
from unified_demo.model.vlm import attention_backend, load_vision_language_model
from unified_demo.profiles import read_profile
from unified_demo.zoo import Zoo


@pytest.fixture(autouse=True)
def afresh() -> None:
    torch._dynamo.reset()


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> CompileCounter:
    """Counts graphs and runs them as they are."""
    made = CompileCounter()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=made))
    return made


def answers(folder: Path, store: MediaStore, lengths: tuple[int, ...], **settings: Any) -> list[str]:
    model = load_vision_language_model(lambda: folder, Settings(device="cpu", precision="float32", **settings), ())
    said = []
    for words in lengths:
        picture = MediaPart(store.add_image(Image.new("RGB", (64, 64 + 32 * (words % 2))), "img-1"))
        conversation = Conversation((Message("user", (picture, TextPart("word " * words))),))
        options = GenerationOptions(max_new_tokens=12, temperature=1.0)
        said.append("".join(model.generate(conversation, options, threading.Event())))
    return said


def test_a_compiled_step_gives_the_same_answers_with_one_graph(counter: CompileCounter, tmp_path: Path) -> None:
    folder, store = make_checkpoint(tmp_path / "vlm", initializer_range=0.2), MediaStore(tmp_path)
    plain = answers(folder, store, (1, 8, 30))
    assert counter.frame_count == 0 and len(set(plain)) == 3
    assert answers(folder, store, (1, 8, 30), compile=True) == plain
    assert counter.frame_count == 1, "a graph for each answer would cost more than it gives"


def test_the_denoiser_of_a_pipeline_is_compiled(counter: CompileCounter) -> None:
    class Pipe:
        unet = torch.nn.Linear(2, 2)

        def set_progress_bar_config(self, **_: object) -> None:
            """Quiet anyway."""

        def to(self, device: str) -> None:
            self.unet.to(device)

    pipe, latents = Pipe(), torch.ones(1, 2)
    before = pipe.unet(latents)
    for compiled, graphs in ((False, 0), (True, 1)):
        place(pipe, PipelineSource("x", "y", 2, 1.0, 64, compiled=compiled))
        assert torch.equal(pipe.unet(latents), before) and counter.frame_count == graphs


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no kernel for this")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=broken))
    step = Compiled(lambda x: x * 2 + 1, "cpu")
    assert step.compiled and step(torch.ones(2)).tolist() == [3, 3] and not step.compiled
    assert step(torch.zeros(1)).tolist() == [1] and caplog.text.count("going on without it") == 1 and "no kernel" in caplog.text


@pytest.mark.parametrize(("device", "missing"), [("cpu", "a C++ compiler"), ("cuda", "Triton")])
def test_without_a_compiler_one_sentence(
    device: str, missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: None)
    step = Compiled(lambda x: x + 1, device)
    assert not step.compiled and step(1) == 2 and f"--compile needs {missing}" in caplog.text


def test_errors_of_the_step_itself_are_not_hidden(counter: CompileCounter) -> None:
    def failing(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(7)

    with pytest.raises((RuntimeError, ValueError)):
        Compiled(failing, "cpu")(torch.ones(2))


def test_the_flag_reaches_every_pipeline_but_the_one_that_remembers_frames(tmp_path: Path) -> None:
    profile = read_profile(Settings().weights_dir / "full.toml")
    placement = Placement("cpu", "float32", compile=True)
    for row in profile.experts.values():
        order = Order(row, (tmp_path,), placement, Zoo(tmp_path, Settings().weights_dir))
        assert order.source().compiled is (row.name != "flow-guided-pix2pix"), row.name


def test_attention_is_chosen_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, chosen in ((object(), "flash_attention_2"), (None, "sdpa")):
        monkeypatch.setattr("unified_demo.model.vlm.importlib.util.find_spec", lambda name, there=there: there)
        assert attention_backend("cuda") == chosen and attention_backend("cpu") == "sdpa"
