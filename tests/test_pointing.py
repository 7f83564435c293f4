"""The pointing head's pieces, and that fitting it alone helps."""

import torch
from tiny_model import LABELS, make_network, make_scene

from unified_demo.data.dialogues import DialogueWriter
from unified_demo.model.pointing import label_match, phrase_places
from unified_demo.training.loop import Example, LoopOptions, Trainer
from unified_demo.training.pointing import FitOptions, fit

WORDS, OPEN, CLOSE, OPEN_PHRASE, CLOSE_PHRASE, POINT = 100, 102, 103, 100, 101, 110


def test_phrase_is_the_words_before_the_box():
    assert phrase_places([1, 2, OPEN_PHRASE, 7, 8, CLOSE_PHRASE, OPEN], OPEN, WORDS) == [3, 4]


def test_phrase_is_found_behind_earlier_boxes_of_the_group():
    ids = [OPEN_PHRASE, 7, 8, CLOSE_PHRASE, OPEN, POINT, CLOSE, OPEN, 5, 6, CLOSE, OPEN]
    assert phrase_places(ids, OPEN, WORDS) == [1, 2]


def test_no_phrase_without_an_open_box_or_without_words():
    assert phrase_places([1, 2, CLOSE], OPEN, WORDS) == []
    assert phrase_places([OPEN_PHRASE, OPEN], OPEN, WORDS) == []
    assert phrase_places([], OPEN, WORDS) == []


def test_a_label_named_outright_matches_fully():
    torch.manual_seed(0)
    words = torch.randn(5, 64)
    labels = torch.stack([words[2], words[1:3].mean(0), torch.randn(64)])
    match = label_match(words, labels)
    torch.testing.assert_close(match[:2], torch.ones(2))
    assert match[2] < 0.8


def test_fitting_the_head_alone_improves_it_and_leaves_the_rest(tmp_path):
    network, vocabulary = make_network()
    scenes = [make_scene(seed) for seed in range(12)]

    def draw(rng):
        scene = rng.choice(scenes)
        return Example({"img-1": scene}, DialogueWriter(scene, LABELS, rng).write(3))

    trainer = Trainer(network, vocabulary, draw, LoopOptions(), tmp_path)
    before = {name: tensor.clone() for name, tensor in network.trained_state().items()}
    result = fit(trainer, FitOptions(points=700, held_out=0.2, epochs=10))
    assert result["after"] > result["before"] + 0.1
    changed = {name for name, tensor in network.trained_state().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("pointing.") for name in changed)
