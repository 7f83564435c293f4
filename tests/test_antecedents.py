"""Which earlier picture, video or sound a message is about: candidates, the head and its file, and what the committed one says."""

import random
from pathlib import Path

import pytest
import torch
from tiny_model import make_network

from unified_demo.config import Settings
from unified_demo.errors import ModelLoadError
from unified_demo.grammar import TASK_TAGS, Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.model.antecedents import (
    FACTS_WIDTH,
    WISH_WIDTH,
    AntecedentHead,
    AntecedentReader,
    candidates,
    embedding_of,
    load_head,
    save_head,
    wish_vector,
)
from unified_demo.model.focus import in_focus
from unified_demo.model.intents import NO_CALL, Intent, IntentConfig, IntentHead, IntentReader
from unified_demo.training.antecedents import AntecedentOptions, accuracy, draw_lessons, learn
from unified_demo.training.intents import states_of

BOX = Box(0.1, 0.1, 0.4, 0.5)


@pytest.fixture(scope="module")
def built():
    return make_network()


def media(key: str) -> MediaPart:
    kind = next(kind for kind in MediaKind if key.startswith(f"{kind.value}-"))
    return MediaPart(Artefact(key, kind, Path(key)))


def user(text: str, *keys: str) -> Message:
    return Message("user", (*map(media, keys), TextPart(text)))


def answer(*parts: Part) -> Message:
    return Message("assistant", parts)


def edited(ref: str, gives: str, prompt: str) -> Message:
    return answer(TextPart("Here it is."), TaskCall(0, Task.IMAGE_EDITING, prompt, (ref,)), media(gives))


HISTORY = (
    user("make it winter", "img-1"),
    edited("img-1", "img-2", "winter"),
    user("and a clip of waves"),
    answer(TaskCall(0, Task.VIDEO_GENERATION, "waves on a beach"), media("vid-1")),
)


def test_candidates_tell_who_made_them_and_what_they_show():
    one, two, three = candidates(Conversation((*HISTORY, user("the beach one again"))), {"img-1": ["dog", "cup", "dog"]})
    assert [one.key, two.key, three.key] == ["img-1", "img-2", "vid-1"]
    assert (one.shows, two.shows, three.shows) == ("dog cup", "winter", "waves on a beach")
    assert {len(one.facts), len(two.facts), len(three.facts)} == {FACTS_WIDTH}
    assert not torch.equal(one.facts, two.facts) and not torch.equal(two.facts, three.facts)
    again = candidates(Conversation((*HISTORY, user("the clip again"))), {})
    assert torch.equal(again[0].facts, one.facts), "no word of the message tells of the first picture"
    assert not torch.equal(again[2].facts, three.facts), "'beach' does of the clip"


@pytest.mark.parametrize(
    "last",
    [
        user("now img-1"),
        Message("user", (TextPart("what is "), RegionPart("this", (BOX,), artefact_id="img-1"))),
        user("and?", "img-3"),
    ],
)
def test_what_the_last_message_says_or_brings_is_a_fact(last: Message):
    plain = {one.key: one.facts for one in candidates(Conversation((*HISTORY, user("and?"))), {})}
    told = {one.key: one.facts for one in candidates(Conversation((*HISTORY, last)), {})}
    assert set(told) >= set(plain)
    assert not torch.equal(told["img-1"], plain["img-1"])


def test_what_was_pointed_into_or_worked_on_last_is_a_fact():
    before = (user("look", "img-1"), answer(TextPart("Nice.")), user("and this", "img-2"))
    found = answer(TextPart("Here is "), RegionPart("the dog", (BOX,), artefact_id="img-1"))
    facts = [
        {one.key: one.facts for one in candidates(Conversation((*before, after, user("again"))), {})}["img-1"]
        for after in (answer(TextPart("Nice.")), found, edited("img-1", "img-3", "winter"))
    ]
    assert not torch.equal(facts[0], facts[1]) and not torch.equal(facts[1], facts[2])


def test_masks_are_no_candidates():
    cut = answer(TaskCall(0, Task.IMAGE_SEGMENTATION, "the dog", ("img-1",)), MediaPart(Artefact("mask-1", MediaKind.MASK, Path("m"))))
    assert [one.key for one in candidates(Conversation((user("cut out the dog", "img-1"), cut, user("and?"))), {})] == ["img-1"]


def test_a_wish_is_its_call_and_the_call_before():
    conversation = Conversation((*HISTORY, user("and?")))
    known, none, unknown = wish_vector(conversation, "edit"), wish_vector(conversation, NO_CALL), wish_vector(conversation)
    assert len(known) == WISH_WIDTH and known.sum() == none.sum() == 2 and unknown.sum() == 1
    assert not torch.equal(known, none)


def test_a_head_scores_each_candidate_alone_and_ignores_padding():
    torch.manual_seed(0)
    head = AntecedentHead(64, 16, 2).eval()
    states, facts, shows, wish = torch.randn(1, 5, 64), torch.randn(1, 3, FACTS_WIDTH), torch.randn(1, 3, 64), torch.randn(1, WISH_WIDTH)
    mask = torch.ones(1, 5, dtype=torch.bool)
    with torch.no_grad():
        scores = head(states, mask, facts, shows, wish)
        longer = torch.cat([states, torch.randn(1, 2, 64)], 1)
        padded = head(longer, torch.tensor([[True] * 5 + [False] * 2]), facts, shows, wish)
        order = [2, 0, 1]
        assert torch.allclose(head(states, mask, facts[:, order], shows[:, order], wish), scores[:, order], atol=1e-5)
    assert scores.shape == (1, 3) and torch.allclose(scores, padded, atol=1e-5)


def test_a_head_learns_what_is_meant_and_survives_its_file(built, tmp_path: Path):
    network, vocabulary = built
    words = network.language_model.get_input_embeddings().weight.detach()
    lessons = draw_lessons(random.Random(3), 160)
    states = states_of(network.language_model, vocabulary, [lesson.text for lesson in lessons], 1)
    shows = {one.shows: embedding_of(one.shows, vocabulary, words) for lesson in lessons for one in lesson.candidates}
    head = learn(lessons, states, shows, AntecedentOptions(epochs=12, batch=16, lr=3e-3))
    first = sum(lesson.right == len(lesson.candidates) - 1 for lesson in lessons) / len(lessons)
    right = accuracy(head, lessons, states, shows)
    assert right > max(0.75, first)
    save_head(head, tmp_path / "head.safetensors")
    assert abs(accuracy(load_head(tmp_path / "head.safetensors").eval(), lessons, states, shows) - right) < 0.02
    (tmp_path / "head.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelLoadError, match="does not fit"):
        load_head(tmp_path / "head.safetensors")


def test_lessons_mean_one_of_several_things():
    lessons = draw_lessons(random.Random(8), 60)
    assert all(len(lesson.candidates) > 1 and 0 <= lesson.right < len(lesson.candidates) for lesson in lessons)
    assert {lesson.right == len(lesson.candidates) - 1 for lesson in lessons} == {True, False}
    assert {bool(lesson.wish[: len(TASK_TAGS)].sum()) for lesson in lessons} == {True, False}


class Sure(torch.nn.Module):
    """Scores as told; for reading with a head that nobody trained."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, states, mask, facts, shows, wish) -> torch.Tensor:
        return torch.tensor([self.scores], dtype=torch.float32)


def intent_for(built, conversation: Conversation) -> Intent:
    network, vocabulary = built
    head = IntentHead(IntentConfig(hidden=64, layer=1, width=16, queries=2, blocks=1, heads=2, dropout=0.0))
    intent = IntentReader([head], network.language_model, vocabulary).read(conversation)
    assert intent is not None
    return intent


def test_what_is_meant_is_of_a_kind_that_the_call_needs(built):
    network, vocabulary = built
    conversation = Conversation((*HISTORY, user("more of it")))
    words = network.language_model.get_input_embeddings().weight.detach()

    def about(scores: list[float], wanted: str) -> str:
        intent = intent_for(built, conversation)
        intent.plan = lambda: (wanted,) if wanted else ()
        return AntecedentReader(Sure(scores), vocabulary, words).about(conversation, intent, {})

    assert about([5, 0, 9], "edit") == "img-1" and about([0, 5, 9], "edit") == "img-2"
    assert about([5, 0, 9], "vedit") == "", "there is one video only"
    assert about([1, 1, 0], "edit") == "", "not clear"
    assert about([5, 0, 9], "") == "vid-1" and about([5, 0, 9], "gen") == "vid-1"


def test_the_kind_that_is_meant_weighs_the_calls_that_need_one(built):
    intent = intent_for(built, Conversation((*HISTORY, user("take out all colours"))))
    before = intent.next()
    intent.weigh({MediaKind.IMAGE: 0.3, MediaKind.VIDEO: 0.6, MediaKind.AUDIO: 0.1})
    after = intent.next()
    assert after["vedit"] / after["edit"] == pytest.approx(2 * before["vedit"] / before["edit"], rel=1e-4)
    intent.weigh({MediaKind.IMAGE: 0.0, MediaKind.VIDEO: 1.0})
    assert intent.next()["vedit"] / intent.next()["edit"] == pytest.approx(4 * after["vedit"] / after["edit"], rel=1e-4), "not too sure"
    assert after["gen"] == before["gen"] and sum(after.values()) == pytest.approx(1.0, abs=1e-5)


def test_another_picture_than_the_latest_comes_into_focus_when_it_is_meant():
    conversation = Conversation((*HISTORY, user("that was the wrong one")))
    assert in_focus(conversation) == ["img-2", "vid-1"] == in_focus(conversation, "aud-7")
    assert in_focus(conversation, "img-2") == ["img-2"] == in_focus(conversation, "img-2", {MediaKind.IMAGE})
    assert in_focus(conversation, "img-2", {MediaKind.VIDEO}) == ["img-2", "vid-1"], "a second call is about the video"
    assert in_focus(conversation, "img-1") == ["img-1"]
    assert in_focus(Conversation((*HISTORY, user("and in vid-1?"))), "img-1") == ["vid-1"], "a name counts more"


@pytest.fixture(scope="module")
def committed():
    from unified_demo.model.tiny import load_multimodal_lm
    from unified_demo.zoo import Zoo

    settings = Settings()
    return load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), ()).model


@pytest.mark.weights
@pytest.mark.parametrize(
    ("text", "labels", "about"),
    [
        ("go back to the original and make it night", {}, "img-1"),
        ("now turn that into a pencil sketch", {}, "img-2"),
        ("outline the dog in the photo I sent", {"img-1": ["dog"]}, "img-1"),
    ],
)
def test_the_committed_head_knows_what_is_meant(committed, text: str, labels: dict[str, list[str]], about: str):
    conversation = Conversation((*HISTORY[:2], user(text)))
    intent = committed.guide(conversation, frozenset({MediaKind.IMAGE}), False).intent
    assert committed._antecedents.about(conversation, intent, labels) == about
