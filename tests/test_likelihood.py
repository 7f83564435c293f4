"""What the frozen language model thinks is asked for: its figures, and that the region reader hears it where it is not sure."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import make_network, make_scene, project

from unified_demo.config import Settings
from unified_demo.conversation import render_conversation
from unified_demo.grammar import Box, MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TextPart
from unified_demo.model.backend import Seen, TinyModel
from unified_demo.model.decoding_seen import NamesWhatIsAskedFor
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.intents import lower_states
from unified_demo.model.likelihood import ABOUT_NOTHING, FRAME, AnswerLikelihood, asks_openly, believed, leaves_unnamed, unasked
from unified_demo.model.passes import switched_off
from unified_demo.regions import COLOURS, PARTS, Region, Sight

PICTURE = Artefact("img-1", MediaKind.IMAGE, Path("1.png"))


@pytest.fixture(scope="module")
def built():
    return make_network()


def asked(text: str, *more: RegionPart) -> Conversation:
    return Conversation((Message("user", (MediaPart(PICTURE), TextPart(text), *more)),))


def told(built, text: str, scene):
    network, vocabulary = built
    projected = {"img-1": project(network, vocabulary, scene)}
    boxes = {"img-1": tuple(region.box for region in scene.regions)}
    return vocabulary.tokenize(render_conversation(asked(text)), {"img-1": len(projected["img-1"].image)}, boxes), projected


def test_a_gain_is_how_much_likelier_a_name_is_than_behind_a_question_about_nothing(built):
    network, vocabulary = built
    names = ["dog", "dining table", "dog"]

    def whole(question: str, name: str) -> float:
        ids, more = vocabulary.encode(FRAME.format(question)), vocabulary.encode(" " + name)
        with torch.no_grad(), switched_off():
            logs = network.language_model(input_ids=torch.tensor([ids + more])).logits[0].float().log_softmax(-1)
        return sum(float(logs[len(ids) - 1 + place, token]) for place, token in enumerate(more))

    assert len(vocabulary.encode(" dining table")) > 1
    question = "what would you eat at?"
    gains = AnswerLikelihood(network.language_model, vocabulary).gains(question, names)
    assert gains.keys() == set(names)
    for name, gain in gains.items():
        assert gain == pytest.approx(whole(question, name) - whole(ABOUT_NOTHING, name), abs=1e-3)
    again = AnswerLikelihood(network.language_model, vocabulary)
    assert again.gains(question, names[::-1]) == pytest.approx(gains, abs=1e-3)
    assert again.gains(ABOUT_NOTHING, ["dog"]) == pytest.approx({"dog": 0.0}, abs=1e-3)
    assert again.gains("x " * 4000, ["dog"]).keys() == {"dog"}, "of a long question the beginning is read"


def test_what_is_likelier_moves_what_is_asked_for_and_what_is_believed_of_the_last_question_alone(built):
    network, _ = built
    tokens, projected = told(built, "which one?", make_scene(3))
    proposals = network.proposals(tokens, projected)
    count = len(proposals.labels)
    assert proposals.likelier.shape == (count,) and not proposals.likelier.any()
    pushed = replace(proposals, likelier=torch.eye(count)[1] * 40)
    ids = [*tokens.ids]
    assert int(network.asked(ids, pushed).argmax()) == 1
    last = [len(ids) - 1]
    with torch.no_grad():
        network.belief.weight.normal_()
    assert not torch.allclose(network.beliefs(ids, last, proposals), network.beliefs(ids, last, pushed), atol=1e-3)
    assert torch.allclose(network.beliefs([*ids, 5], last, pushed), network.beliefs([*ids, 5], last, proposals))


def test_what_a_question_means_is_read_once_and_as_it_stands(built):
    network, _ = built
    tokens, projected = told(built, "which one?", make_scene(3))
    reading = network.question(tokens.ids, network.proposals(tokens, projected))
    with torch.no_grad():
        states = lower_states(network.language_model.model, torch.tensor([reading.question]), 1)[0]
    one, other = network.understood([reading, replace(reading, question=[*reading.question, 9])])
    assert torch.allclose(one.meaning, states, atol=1e-5) and len(other.meaning) == len(states) + 1
    assert torch.allclose(other.meaning[: len(states)], states, atol=1e-5), "padding is not read"
    assert network.understood([reading])[0].meaning is one.meaning
    assert network.understood([replace(reading, question=[])])[0].meaning is None


@pytest.mark.parametrize(("sure", "marked", "heard"), [(0.5, False, True), (0.95, False, False), (0.5, True, False)])
def test_the_language_model_is_heard_where_the_reader_is_not_sure_and_nothing_is_marked(built, monkeypatch, sure, marked, heard):
    network, vocabulary = built
    model, scene = TinyModel(network, vocabulary, None, ()), make_scene(3)
    tokens, projected = told(built, "which one?", scene)
    seen = {"img-1": Seen(projected["img-1"], (), Sight(None, tuple(scene.regions)))}
    count = len(tokens.proposals)
    monkeypatch.setattr(network, "wanted", lambda *_: torch.tensor([0.0, sure, *[(1 - sure) / (count - 1)] * (count - 1)]))
    shown = (RegionPart("this", (scene.regions[0].box,), artefact_id="img-1"),) if marked else ()
    pictures, labels = model._asked_for(asked("which one?", *shown), tokens, projected, seen)
    found = pictures["img-1"].likelier
    assert found.shape == (len(scene.regions),) and bool(found.any()) is heard
    first = scene.regions[tokens.proposals[0][1]].label
    assert (first in labels) is not marked


def test_a_label_is_believed_with_all_its_proposals_and_some_beside_it():
    assert believed(["dog", "cat", "dog"], [0.1, 0.25, 0.3, 0.25]) == {"dog", "cat"}
    assert believed(["dog", "cat", "cup"], [0.0, 0.7, 0.2, 0.1]) == {"dog"}
    assert believed(["dog", "cat", "cup"], [0.1, 0.3, 0.3, 0.3]) == frozenset() == believed(["dog"], [0.8, 0.2]) == believed([], [1.0])


@pytest.mark.parametrize(
    ("written", "labels", "barred"),
    [
        ("<p>The", {"person"}, True),
        ("Here is <p>the", {"person"}, True),
        ("<p>the red", {"person"}, True),
        ("<p>the person", {"person"}, False),
        ("<p>the person next to the", {"person"}, False),
        ("<p>the small one next to the", {"person"}, False),
        ("<p>A", {"person"}, False),
        ("<p>The", set(), False),
        ("<p>The", {"person", "dog"}, False),
        ("The", {"person"}, False),
        ("<p>The person</p><box>0,0,9,9</box> is next to <p>the", {"person"}, False),
    ],
)
def test_the_first_phrase_is_not_of_another_kind_than_what_is_asked_for(built, written: str, labels: set[str], barred: bool):
    _, vocabulary = built
    state = DecodingState(vocabulary, [], {}, (), believed=labels)
    box = Box(0.1, 0.1, 0.4, 0.4)
    state.seen = {"img-1": [Region(label, 0.9, box, np.zeros((PARTS, len(COLOURS)), np.float32)) for label in ("person", "dog")]}
    for piece in re.split(r"(</?\w+>)", written):
        for token in [vocabulary.tag_ids[piece]] if piece in vocabulary.tag_ids else vocabulary.encode(piece):
            state.add(token)
    logits = torch.zeros(vocabulary.point_base)
    NamesWhatIsAskedFor(vocabulary).apply(logits, state)
    dog, dogs = (vocabulary.encode(f" {word}")[0] for word in ("dog", "dogs"))
    assert bool(torch.isinf(logits[dog])) is barred and bool(torch.isinf(logits[dogs])) is barred
    assert not torch.isinf(logits[vocabulary.encode(" person")[0]]) and not torch.isinf(logits[vocabulary.encode(" puppy")[0]])


@pytest.mark.parametrize(
    ("written", "allowed"),
    [
        ("<p>", None),
        ("<p>The", {" dining", " dog", " dogs"}),
        ("<p>The dining", {" table", " tables"}),
        ("<p>The dog", None),
        ("<p>The small", None),
    ],
)
def test_where_the_question_names_nothing_the_first_phrase_is_what_is_believed(built, written: str, allowed: set[str] | None):
    _, vocabulary = built
    state = DecodingState(vocabulary, [], {}, (), believed={"dining table", "dog"}, unnamed=True)
    for piece in re.split(r"(</?\w+>)", written):
        for token in [vocabulary.tag_ids[piece]] if piece in vocabulary.tag_ids else vocabulary.encode(piece):
            state.add(token)
    logits = torch.zeros(vocabulary.point_base)
    NamesWhatIsAskedFor(vocabulary).apply(logits, state)
    open_now = set(torch.isfinite(logits).nonzero()[:, 0].tolist())
    if allowed is not None:
        assert open_now == {vocabulary.encode(word)[0] for word in allowed}
    elif written == "<p>":
        assert vocabulary.encode("A")[0] not in open_now and vocabulary.encode("H")[0] in open_now
    else:
        assert len(open_now) == len(logits)


@pytest.mark.parametrize("unnamed", [True, False])
def test_an_open_question_whose_answer_is_believed_is_not_denied(built, unnamed: bool):
    _, vocabulary = built
    denial = vocabulary.encode("I cannot see")[0]
    for believed_now in ({"dog"}, set()):
        logits = torch.zeros(vocabulary.point_base)
        state = DecodingState(vocabulary, [], {}, (), believed=believed_now, unnamed=unnamed)
        NamesWhatIsAskedFor(vocabulary).apply(logits, state)
        assert bool(torch.isinf(logits[denial])) is (unnamed and bool(believed_now))


@pytest.mark.parametrize(
    ("question", "unnamed"),
    [
        ("What would you open to send an e-mail?", True), ("Who pays the vet?", True), ("On what would soup be boiled?", True),
        ("Where would you shave?", True), ("where are eggs kept cold?", True), ("Who can see us?", True),
        ("where is the small one?", False),
        ("which dog is the largest?", False), ("what do the dogs want?", False), ("What do you see?", False),
        ("what is in the picture?", False), ("cut out the thing with wheels", False), ("how many are there?", False),
    ],
)  # fmt: skip
def test_a_question_that_names_nothing_is_told_from_one_that_does(question: str, unnamed: bool):
    assert leaves_unnamed(question, {"dog", "oven"}) is unnamed


@pytest.mark.parametrize(
    ("question", "out"),
    [
        ("Who pays the vet?", {"dog", "oven"}), ("What barks?", {"person"}), ("What is the man holding?", {"person"}),
        ("Where would you shave? Cut it out.", {"person"}), ("What is the man doing?", set()), ("What is she wearing?", set()),
        ("which of them is the tallest?", set()), ("where is the person?", set()), ("What do you see?", set()), ("cut out the dog", set()),
    ],
)  # fmt: skip
def test_who_asks_for_a_person_and_what_for_none(question: str, out: set[str]):
    assert unasked(question, ["dog", "oven", "person"]) == out
    assert unasked(question, ["dog", "oven"]) == set(), "without a person anything may be meant"


def test_an_open_question_names_what_it_does_not_ask_for():
    assert asks_openly("What keeps the ice cream frozen?") and asks_openly("Where would one rinse the teapot?")
    assert not any(map(asks_openly, ("what colour is the teapot?", "where is the teapot?", "cut out the teapot", "what is this called?")))


@pytest.mark.weights
@pytest.mark.parametrize(
    ("question", "names", "best"),
    [
        ("What would you open to send an e-mail?", ["microwave", "laptop", "chair"], "laptop"),
        ("What keeps the rain off somebody?", ["dog", "bench", "umbrella"], "umbrella"),
        ("Where would you wash your hands?", ["sink", "oven", "person"], "sink"),
    ],
)
def test_the_frozen_model_knows_what_things_are_for(question: str, names: list[str], best: str):
    from unified_demo.model.tiny import load_multimodal_lm
    from unified_demo.zoo import Zoo

    settings = Settings()
    model = load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), ()).model
    gains = model._likelihood.gains(question, names)
    assert max(gains, key=gains.__getitem__) == best
