"""Ablations at two layers: every kind of variant trains on the same conversations and is measured; what is done is not done again."""

import dataclasses
import json
import random
from pathlib import Path

import pytest
import torch
from tiny_model import LABELS, make_network, make_scene

from unified_demo.data.dialogues import DialogueWriter
from unified_demo.training import ablation
from unified_demo.training.ablation import VARIANTS, Figures, Variant, VariantTrainer, ablate, measure, prepare, table
from unified_demo.training.loop import Example, LoopOptions

OPTIONS = LoopOptions(minutes=1e6, steps=3, batch=2, warmup_steps=2, most_tokens=300)


def draw(rng: random.Random) -> Example:
    scene = make_scene(rng.randrange(6))
    return Example({"img-1": scene}, DialogueWriter(scene, LABELS, rng).write(2))


def build(variant: Variant):
    return make_network(**{**variant.config(), "first_layer": 1})


def run(variants, folder: Path) -> dict[str, Figures]:
    return ablate(variants, build, (draw, draw), OPTIONS, 6, folder)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_is_trained_and_measured(variant: Variant, tmp_path: Path) -> None:
    (figures,) = run([variant], tmp_path).values()
    assert figures.words > 0 and figures.word_count > 20 and figures.box_count > 3
    assert 0 <= figures.calls <= 1 and 0 <= figures.boxes <= 1 and figures.trained > 1000


def test_the_same_is_measured_for_all(tmp_path: Path) -> None:
    done = run([Variant("points"), Variant("digits", pointing=False)], tmp_path)
    counts = {(item.word_count, item.call_count, item.box_count) for item in done.values()}
    assert len(counts) == 1


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = run([Variant("one")], tmp_path)
    (kept,) = tmp_path.glob("*/figures.json")
    kept.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(first["one"], calls=0.123))))
    assert run([Variant("one")], tmp_path)["one"].calls == 0.123


def test_boxes_are_right_when_the_right_proposal_is_pointed_at(tmp_path: Path) -> None:
    network, vocabulary = make_network()
    variant = Variant("points")
    prepare(network, vocabulary, variant)
    trainer = VariantTrainer(network, vocabulary, draw, OPTIONS, tmp_path)
    trainer.variant = variant
    examples = [draw(random.Random(seed)) for seed in range(6)]
    chance = measure(trainer, examples).boxes
    answers = iter([label - vocabulary.point_base for example in examples for label in trainer.tokenize(example).tokens.labels
                    if label >= vocabulary.point_base])  # fmt: skip

    def right(self_hidden, readings, proposals):
        logits = plain(self_hidden, readings, proposals)
        if len(readings) == 1 and readings[0] is not None:
            logits[0, vocabulary.point_base + next(answers)] = 99.0
        return logits

    plain, network.logits = network.logits, right
    assert measure(trainer, examples).boxes == 1.0 > chance


def test_without_regions_the_prompt_has_none_and_full_training_moves_the_language_model(tmp_path: Path) -> None:
    network, vocabulary = make_network(adapters=0)
    variant = Variant("full", adapters=0, lora_lr=1e-2, regions=False, pointing=False)
    prepare(network, vocabulary, variant)
    trainer = VariantTrainer(network, vocabulary, draw, OPTIONS, tmp_path)
    trainer.variant = variant
    assert -2 not in trainer.tokenize(draw(random.Random(1))).tokens.ids
    before = [layer.mlp.up_proj.weight.clone() for layer in network.language_model.model.layers]
    trainer.run(lambda _: None)
    moved = [not torch.equal(old, layer.mlp.up_proj.weight) for old, layer in zip(before, network.language_model.model.layers, strict=True)]
    assert moved == [False, True]


def test_a_box_is_four_coordinates_and_comes_back(tmp_path: Path) -> None:
    network, vocabulary = make_network()
    variant = Variant("coordinates", pointing=False, coordinates=True)
    trainer = VariantTrainer(network, prepare(network, vocabulary, variant), draw, OPTIONS, tmp_path)
    trainer.variant = variant
    drawn = trainer.tokenize(draw(random.Random(2)))
    start = drawn.tokens.ids.index(network.open_box) + 1
    wanted = ablation._box_behind(drawn.tokens, start, drawn, trainer.vocabulary)
    assert drawn.tokens.ids[start + 4] == vocabulary.tag_ids["</box>"]
    assert max(wanted.iou(region.box) for scene in drawn.scenes.values() for region in scene.regions) > 0.85
    assert trainer.vocabulary.read_box(drawn.tokens.ids[start + 2 : start + 4] * 2) is None


def test_the_table_has_a_row_for_each() -> None:
    text = table({"a": Figures(1.5, 10, 0.5, 4, 0.25, 8, 2_000_000, 3.0)}, 100, 5)
    assert "500 conversations" in text and "| a | 2.00 M | 1.500 | 0.500 | 0.250 | 3 |" in text
