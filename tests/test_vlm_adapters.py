"""Both tunings on a tiny random Qwen3-VL checkpoint: trained, resumed, spread over processes, saved, loaded into the backend."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_cutouts import write_tiny_assets
from tiny_vlm import make_checkpoint

from unified_demo.config import GenerationOptions, Settings
from unified_demo.errors import MediaError, ModelLoadError, UnifiedError
from unified_demo.grammar import TASK_TAGS, TASKS, Task
from unified_demo.media import MediaStore
from unified_demo.messages import Conversation, MediaPart, Message, TextPart
from unified_demo.model.tuning import is_added
from unified_demo.model.vlm import load_vision_language_model, read_checkpoint
from unified_demo.model.vlm_adapters import AdapterShape, add_adapters, load_adapters, neural_shape_for, save_adapters, shape_for
from unified_demo.model.vlm_prompt import Turn, offers_from, system_text
from unified_demo.model.vlm_rules import Place, SurfaceRules
from unified_demo.training.adapters.__main__ import export, main
from unified_demo.training.adapters.examples import Draw, lessons
from unified_demo.training.adapters.trainer import AdapterOptions, AdapterTrainer, read_lesson

SETTINGS = Settings(device="cpu", precision="float32")
DESCRIPTIONS = dict.fromkeys(TASK_TAGS, "by a test")
MORE = {"max_position_embeddings": 16384, "initializer_range": 0.3}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("vlm"), **MORE)


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_tiny_assets(folder)
    return folder


@pytest.fixture(scope="module")
def draw(assets: Path) -> Draw:
    return lessons(DESCRIPTIONS, assets)


Train = Callable[..., AdapterTrainer]


@pytest.fixture
def trainer(checkpoint: Path, tmp_path: Path) -> Train:
    from accelerate import Accelerator

    def make(draw: Draw, steps: int, folder: str = "run", neural: bool = False, **options: float) -> AdapterTrainer:
        torch.manual_seed(0)
        network, reader = read_checkpoint(checkpoint, SETTINGS)
        shape = neural_shape_for(network) if neural else shape_for(network, adapters=2, rank=4)
        chosen = AdapterOptions(steps=steps, batch=2, most_tokens=9000, warmup_steps=1, **options)  # type: ignore[arg-type]
        return AdapterTrainer(
            network, add_adapters(network, shape), shape, reader, draw, chosen, tmp_path / folder, Accelerator(cpu=True)
        )  # fmt: skip

    return make


def short(rng: object) -> list[Turn]:
    """A lesson that fits on a line, always the same."""
    return [Turn("user", ("go",)), Turn("assistant", ("<gen>red cup</gen>",))]


# ---- what is learnt from ----


def test_lessons_are_wellformed_and_told_as_the_served_model_is(draw: Draw) -> None:
    import random

    offers = offers_from({TASKS[Task(tag)]: words for tag, words in DESCRIPTIONS.items()})
    called: set[str] = set()
    for seed in range(80):
        turns = draw(random.Random(seed))
        assert [turn.role for turn in turns] == ["system"] + ["user", "assistant"] * (len(turns) // 2)
        system = turns[0].content[0]
        assert isinstance(system, str) and system.startswith(system_text(())[:100])
        rules = SurfaceRules([offer for offer in offers if f"<{offer.tag}>" in system], ("img-1", "img-2", "img-3", "aud-1", "aud-2"), 1000)
        for turn in turns[2::2]:
            (words,) = turn.content
            assert isinstance(words, str)
            place = rules.advance(Place(), words)
            assert place is not None and place.may_end, words
            called |= {tag for tag in TASK_TAGS if f"<{tag}>" in words}
    assert {"seg", "gen", "edit", "redit", "layout", "agen"} <= called


def test_only_answers_are_learnt_and_before_them_stands_what_the_backend_reads(checkpoint: Path) -> None:
    _, reader = read_checkpoint(checkpoint, SETTINGS)
    picture = Image.new("RGB", (64, 64))
    turns = [*_asked(picture), Turn("assistant", ("the dog.",)), Turn("user", ("and?",)), Turn("assistant", ("No.",))]
    lesson = read_lesson(reader, turns)
    said = reader.tokenizer.decode(lesson.prompt.ids[0, lesson.places])
    assert said == "the dog.<|im_end|>No.<|im_end|>"
    before = reader.read(turns[:-1])
    length = before.ids.shape[1]
    assert (lesson.prompt.ids[:, :length] == before.ids).all() and int(lesson.places[-1]) == lesson.prompt.ids.shape[1] - 1
    assert (
        lesson.prompt.grid is not None and int((lesson.prompt.ids == reader.image_id).sum()) == int(lesson.prompt.grid.prod(-1).sum()) // 4
    )


def _asked(picture: Image.Image) -> list[Turn]:
    from unified_demo.model.vlm_prompt import Shown

    return [Turn("user", ("img-1:", Shown(picture), "what is here?"))]


def test_without_a_source_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="--assets"):
        lessons(DESCRIPTIONS, None)


# ---- training ----


both = pytest.mark.parametrize("neural", [False, True], ids=["loramoe", "neural"])


@both
def test_the_loss_falls_and_only_adapters_change(trainer: Train, neural: bool) -> None:
    made = trainer(short, 25, neural=neural, lr=2e-2)
    before = {name: value.clone() for name, value in made.bare.state_dict().items() if not is_added(name)}
    losses: list[float] = []
    made.run(lambda figures: losses.append(figures["loss"]))
    assert len(losses) == 25 and losses[-1] < 0.3 * losses[0], losses
    assert all((made.bare.state_dict()[name] == value).all() for name, value in before.items())
    assert set(made.state()["model"]) == {name for name, value in made.bare.named_parameters() if is_added(name)}


@both
def test_dialogues_with_pictures_train_and_a_resumed_run_is_the_same(trainer: Train, draw: Draw, neural: bool) -> None:
    whole: list[float] = []
    trainer(draw, 3, "whole", neural).run(lambda figures: whole.append(figures["loss"]))
    halves: list[float] = []
    first = trainer(draw, 3, "halves", neural)
    first.resume()
    halves.append(first.train_step()["loss"])
    first.save()
    second = trainer(draw, 3, "halves", neural)
    second.run(lambda figures: halves.append(figures["loss"]))
    assert halves == whole and len({round(loss, 3) for loss in whole}) == 3


def test_conversations_that_are_all_too_long_are_named(trainer: Train) -> None:
    made = trainer(short, 1)
    made.options = replace(made.options, most_tokens=4)
    with pytest.raises(UnifiedError, match="at most 4 tokens; raise --most-tokens"):
        made.train_step()


@both
def test_recomputing_in_the_backward_pass_changes_no_gradient(trainer: Train, neural: bool) -> None:
    import random

    made = trainer(short, 1, neural=neural)
    lesson = read_lesson(made.reader, short(random.Random(0)))
    gradients = []
    for checkpointing in (True, False):
        if not checkpointing:
            made.bare.gradient_checkpointing_disable()
        made.loss(lesson).backward()
        gradients.append([parameter.grad.clone() for parameter in made.learnt if parameter.grad is not None])
        made.optimizer.zero_grad()
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(*gradients, strict=True)) and any(one.any() for one in gradients[0])


def test_two_processes_train_together_with_copies_or_parts_of_the_model(checkpoint: Path, assets: Path, tmp_path: Path) -> None:
    """gloo on the CPU, the frozen model in bfloat16; each process reads other conversations, the checkpoint is one."""
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*command, str(checkpoint), str(assets), str(tmp_path)], capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(script.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for kind, count in (("", 18), ("neural-", 8)):
        copies, parts = ([json.loads(line) for line in (tmp_path / f"{kind}{how}" / "curve.jsonl").open()] for how in ("copies", "parts"))
        assert [row["step"] for row in copies] == [row["step"] for row in parts] == [1, 2]
        assert [row["loss"] for row in parts] == pytest.approx([row["loss"] for row in copies], rel=1e-3)
        states = [torch.load(tmp_path / f"{kind}{how}" / "checkpoint.pt", weights_only=True)["model"] for how in ("copies", "parts")]
        assert all(torch.allclose(states[0][name], value, atol=1e-4) for name, value in states[1].items()) and len(states[0]) == count
        export(tmp_path / f"{kind}parts" / "checkpoint.pt", tmp_path / "adapters.safetensors")
        network, _ = read_checkpoint(checkpoint, Settings(device="cpu"))
        assert len(load_adapters(network, tmp_path / "adapters.safetensors")) == (2 if kind else 6)


# ---- in the backend ----


def answer(folder: Path, adapters: Path | None, store: MediaStore) -> str:
    settings = Settings(device="cpu", precision="float32", adapters=adapters)
    model = load_vision_language_model(lambda: folder, settings, offers_from({TASKS[Task.IMAGE_GENERATION]: "by a test"}))
    picture = MediaPart(store.add_image(Image.new("RGB", (64, 64)), "img-1"))
    conversation = Conversation((Message("user", (picture, TextPart("go"))),))
    return "".join(model.generate(conversation, GenerationOptions(max_new_tokens=24), threading.Event()))


@both
def test_trained_adapters_change_the_answer(trainer: Train, checkpoint: Path, tmp_path: Path, neural: bool) -> None:
    def learnt(rng: object) -> list[Turn]:
        from unified_demo.model.vlm_prompt import render_turns

        store = MediaStore(tmp_path)
        picture = MediaPart(store.add_image(Image.new("RGB", (64, 64)), "img-1"))
        message = Message("user", (picture, TextPart("go")))
        offers = offers_from({TASKS[Task.IMAGE_GENERATION]: "by a test"})
        return [*render_turns(Conversation((message,)), offers), Turn("assistant", ("<gen>red cup</gen>",))]

    trainer(learnt, 50 if neural else 25, neural=neural, lr=3e-2 if neural else 2e-2).run(lambda figures: None)
    export(tmp_path / "run" / "checkpoint.pt", tmp_path / "adapters.safetensors")
    store = MediaStore(tmp_path)
    assert answer(checkpoint, tmp_path / "adapters.safetensors", store).startswith("<gen>red cup</gen>")
    assert not answer(checkpoint, None, store).startswith("<gen>red cup</gen>")


@both
def test_fresh_adapters_change_nothing(checkpoint: Path, tmp_path: Path, neural: bool) -> None:
    network, _ = read_checkpoint(checkpoint, SETTINGS)
    shape = neural_shape_for(network) if neural else shape_for(network)
    add_adapters(network, shape)
    state = {name: value for name, value in network.named_parameters() if is_added(name)}
    save_adapters(state, shape, tmp_path / "fresh.safetensors")
    store = MediaStore(tmp_path)
    assert answer(checkpoint, tmp_path / "fresh.safetensors", store) == answer(checkpoint, None, store)


def test_adapters_of_another_shape_and_damage_are_named(checkpoint: Path, tmp_path: Path) -> None:
    network, _ = read_checkpoint(checkpoint, SETTINGS)
    save_adapters({}, AdapterShape(4, 8, 0, 2560, 36), tmp_path / "large.safetensors")
    with pytest.raises(ModelLoadError, match="36 layers of width 2560, and this one has 2 of width 32"):
        load_adapters(network, tmp_path / "large.safetensors")
    save_adapters({}, AdapterShape(4, 8, 0, 32, 2), tmp_path / "empty.safetensors")
    with pytest.raises(ModelLoadError, match="made for both"):
        load_adapters(network, tmp_path / "empty.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    for name in ("broken.safetensors", "absent.safetensors"):
        with pytest.raises(ModelLoadError, match="missing or no adapters"):
            load_adapters(network, tmp_path / name)


def test_experts_inside_the_network_are_no_place_for_adapters(checkpoint: Path) -> None:
    network, _ = read_checkpoint(checkpoint, SETTINGS)
    for layer in network.model.language_model.layers:
        layer.mlp = torch.nn.Linear(32, 32)
    with pytest.raises(ModelLoadError, match="take a dense one"):
        add_adapters(network, shape_for(network))


def test_the_command_says_what_is_wrong(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--out", str(tmp_path)]) == 1 and "train there first" in capsys.readouterr().err
    assert main(["run", "--out", str(tmp_path), "--backbone", str(checkpoint)]) == 1 and "--assets" in capsys.readouterr().err
    assert main(["run", "--out", str(tmp_path), "--shard"]) == 1 and "torchrun" in capsys.readouterr().err
