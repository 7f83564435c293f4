"""Training at two layers: it learns, it resumes to the same weights, and it touches nothing that is frozen."""

import dataclasses
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_model import LABELS, make_network, make_scene

from unified_demo.data.dialogues import DialogueWriter
from unified_demo.messages import RegionPart, TaskCall
from unified_demo.training.curves import draw_curve, read_curve, series, smooth
from unified_demo.training.loop import POOL, Example, LoopOptions, Trainer
from unified_demo.training.reading import ReadOptions, train_reader
from unified_demo.training.recipes import GROUNDING, RECIPES, Recipe, stream

RATE = 1e-2
OPTIONS = LoopOptions(minutes=30, steps=30, batch=2, lr=RATE, lora_lr=RATE, warmup_steps=5, most_tokens=200)


def small_stream() -> Callable[[random.Random], Example]:
    """Two conversations over and over: a model that learns anything learns these."""
    examples: list[Example] = []
    for seed in range(2):
        scene = make_scene(seed)
        examples.append(Example({"img-1": scene}, DialogueWriter(scene, LABELS, random.Random(seed)).write(1)))
    return lambda rng: rng.choice(examples)


def make_trainer(folder: Path, options: LoopOptions = OPTIONS, draw: Callable[[random.Random], Example] | None = None) -> Trainer:
    network, vocabulary = make_network()
    with torch.no_grad():
        network.language_model.get_input_embeddings().weight.mul_(8)  # so that the frozen words can be told apart
    return Trainer(network, vocabulary, draw or small_stream(), options, folder)


def train(trainer: Trainer) -> list[dict]:
    figures: list[dict] = []
    trainer.run(figures.append)
    return figures


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, dict[str, torch.Tensor], list[dict]]:
    """(trainer after thirty steps, all tensors before, figures of each step)."""
    trainer = make_trainer(tmp_path_factory.mktemp("run"))
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    return trainer, before, train(trainer)


def test_the_loss_falls_by_half(trained: tuple[Trainer, dict, list[dict]]) -> None:
    figures = trained[2]
    losses = [row["loss"] for row in figures]
    assert len(losses) == OPTIONS.steps
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5]), losses


def test_only_what_is_trained_changes(trained: tuple[Trainer, dict, list[dict]]) -> None:
    trainer, before, _ = trained
    after, learnt = trainer.network.state_dict(), set(trainer.network.trained_state())
    assert set(before) == set(after)
    assert not [name for name in set(after) - learnt if not torch.equal(before[name], after[name])], "frozen tensors changed"
    assert {name for name in set(after) - learnt if not name.startswith("language_model.")} == set()
    changed = {name for name in learnt if not torch.equal(before[name], after[name])}
    assert {"lora_A", "lora_B", "lora_gate"} <= {part for name in changed for part in name.split(".")}
    assert {"image_projector", "region_projector", "belief", "reader", "tag_embeddings"} <= {name.split(".")[0] for name in learnt}
    assert {"region_projector", "belief", "tag_embeddings"} <= {name.split(".")[0] for name in changed}


def test_the_language_model_asks_for_no_gradient(trained: tuple[Trainer, dict, list[dict]]) -> None:
    trainer = trained[0]
    asking = {name for name, parameter in trainer.network.named_parameters() if parameter.requires_grad}
    assert asking <= set(trainer.network.trained_state())
    held = {id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in trainer.network.parameters() if parameter.requires_grad}


def test_the_curve_is_kept(trained: tuple[Trainer, dict, list[dict]]) -> None:
    trainer, _, figures = trained
    rows = [json.loads(line) for line in (trainer.folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == figures
    assert [row["step"] for row in rows] == list(range(1, OPTIONS.steps + 1))
    assert {"loss", "words", "point", "tokens_per_s", "minutes"} <= set(rows[0])


# ---- resuming ----


def batches(trainer: Trainer, count: int) -> list[list[int]]:
    """The token ids of the next ``count`` batches, without training."""
    drawn = []
    for _ in range(count):
        drawn.append([drawn.tokens.ids for drawn in trainer.next_batch()])
        trainer.step += 1
    return drawn


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, steps=POOL + 4)
    whole = make_trainer(tmp_path / "whole", options)
    losses = [row["loss"] for row in train(whole)]
    begun = make_trainer(tmp_path / "parts", options)
    first = [begun.train_step()["loss"] for _ in range(POOL - 3)]
    begun.folder.mkdir()
    begun.save()
    begun.train_step()
    resumed = make_trainer(tmp_path / "parts", options)
    assert first + [row["loss"] for row in train(resumed)] == losses
    assert resumed.step == options.steps
    expected = whole.network.trained_state()
    for name, tensor in resumed.network.trained_state().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_finished_run_does_nothing_more(trained: tuple[Trainer, dict, list[dict]]) -> None:
    again = make_trainer(trained[0].folder)
    assert train(again) == []
    assert torch.equal(again.network.tag_embeddings, trained[0].network.tag_embeddings)


def test_batches_are_a_function_of_seed_and_step(tmp_path: Path) -> None:
    options, draw = dataclasses.replace(OPTIONS, most_tokens=400), stream(GROUNDING, None, None)
    first = batches(make_trainer(tmp_path, options, draw), POOL + 3)
    later = make_trainer(tmp_path, options, draw)
    later.step = POOL - 1
    assert batches(later, 4) == first[POOL - 1 :]
    other = batches(make_trainer(tmp_path, dataclasses.replace(options, seed=1), draw), 2)
    assert other != first[:2]
    assert all(len(batch) == options.batch for batch in first)
    assert max(len(ids) for batch in first for ids in batch) <= options.most_tokens


def test_minutes_end_a_run_and_move_the_learning_rate(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, dataclasses.replace(OPTIONS, minutes=1.0, steps=None, warmup_steps=1))
    trainer.train_step()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([RATE] * 2)
    trainer.spent_s = 60.0
    trainer.train_step()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([RATE / 10] * 2)
    trainer.folder.mkdir(exist_ok=True)
    trainer.save()
    assert train(make_trainer(tmp_path, trainer.options)) == []


def test_conversations_without_a_picture_are_trained_on(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, draw=stream(Recipe(without_picture=1.0), None, None))
    figures = trainer.train_step()
    assert figures["points"] == 0
    assert figures["words"] > 0


def test_nothing_is_written_without_a_checkpoint(tmp_path: Path) -> None:
    """Untrained weights never replace the committed ones because a folder was misspelt."""
    weights = tmp_path / "model.safetensors"
    command = [sys.executable, "-m", "unified_demo.training", "export", "--out", str(tmp_path / "nothing"), "--weights", str(weights)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "train" in run.stderr
    assert not weights.exists()


def test_multitask_examples_are_what_the_model_will_meet() -> None:
    """Every answer that is learnt is about pictures whose proposals are shown; all tasks are called."""
    draw, rng = stream(RECIPES["multitask"], None, None), random.Random(1)
    examples = [draw(rng) for _ in range(120)]
    dialogues = [example for example in examples if example.learn is not None]
    assert len(dialogues) > 30 and any(example.learn is None for example in examples)
    tasks = set()
    for example in dialogues:
        messages = example.conversation.messages
        assert example.learn and max(example.learn) == len(messages) - 1
        for number in example.learn:
            answer = messages[number]
            assert answer.role == "assistant"
            calls = [part for part in answer.parts if isinstance(part, TaskCall)]
            tasks |= {call.task for call in calls}
            regions = [part for part in answer.parts if isinstance(part, RegionPart)] + [r for call in calls for r in call.regions]
            assert {region.artefact_id for region in regions if region.boxes} <= {None, *example.scenes}
    assert len(tasks) > 5


def test_the_reader_learns_alone_and_the_rest_stays(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, dataclasses.replace(OPTIONS, most_tokens=400), stream(GROUNDING, None, None))
    before = {name: tensor.clone() for name, tensor in trainer.network.trained_state().items()}
    figures = train_reader(trainer, ReadOptions(minutes=0.02, pool=64, epochs=1, batch=16))
    assert figures["boxes"] >= 64 and 0 <= figures["unseen"] <= 1
    changed = {name for name, tensor in trainer.network.trained_state().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("reader.") for name in changed)


# ---- curves ----


def test_a_curve_is_drawn_and_a_line_cut_off_does_not_matter(tmp_path: Path) -> None:
    rows = [{"words": 1 / step, "point": 0.5, "points": step % 2, "tokens_per_s": 100, "minutes": step} for step in range(1, 9)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "curve.jsonl").write_text("\n".join([*lines, lines[0][:9]]), encoding="utf-8")
    assert read_curve(tmp_path / "curve.jsonl") == rows
    assert series(rows, "point") == ([1, 3, 5, 7], [0.5] * 4)
    assert series(rows, "drift") == ([], [])
    with Image.open(draw_curve(tmp_path)) as picture:
        assert picture.width > 800 and len(picture.convert("RGB").getcolors(1 << 20)) > 10


def test_the_moving_mean_looks_back_only() -> None:
    assert smooth([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]
    assert smooth([]) == []
