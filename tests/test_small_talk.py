"""What people say between their wishes: told from these, and answered alone."""

import random
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_model import make_network
from torch import nn

from unified_demo.config import GenerationOptions, Settings
from unified_demo.data.small_talk import SmallTalkData, read_small_talk
from unified_demo.data.split import held_out_objects
from unified_demo.errors import MediaError, ModelLoadError
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.backend import Seen, TinyModel
from unified_demo.model.decoder import Decoder
from unified_demo.model.finding import Finder
from unified_demo.model.guiding import set_apart
from unified_demo.model.passes import using_adapters
from unified_demo.model.small_talk import ADAPTERS, SmallTalk, adapted_layers, add_talk_adapters, talk_state
from unified_demo.training.small_talk import (
    TalkOptions,
    example,
    learn_head,
    learn_replies,
    other_messages,
    replies,
    reply_loss,
    save_small_talk,
)
from unified_demo.zoo import Zoo

PHOTO = Artefact("img-1", MediaKind.IMAGE, Path("assets/dog.jpg"))
DRAWN = (
    Message("user", (TextPart("draw a candle and a camel"),)),
    Message(
        "assistant",
        (TextPart("I will draw it."), TaskCall(0, Task.IMAGE_GENERATION, "an umbrella, a candle and a camel"), MediaPart(PHOTO)),
    ),
)


def said(text: str, *before: Message) -> Conversation:
    return Conversation((*before, Message("user", (TextPart(text),))))


def told(*plan: str, plain: float = 0.0, states: torch.Tensor | None = None) -> SimpleNamespace:
    return SimpleNamespace(plan=lambda: plan, plain=plain, states=states)


@pytest.fixture(scope="module")
def built():
    return make_network()


# ---- the table ----


def test_replies_are_short_know_nothing_of_what_was_shown_and_each_message_has_one():
    data = read_small_talk()
    messages = [message.lower() for message, _ in data.said] + [other.lower() for other in data.others]
    assert len(data.said) > 800 and len(data.others) > 300 and len(set(messages)) == len(messages)
    things = {*held_out_objects(), "dog", "cat", "horse", "car", "house", "tree"}
    for message, reply in data.said:
        assert 0 < len(reply.split()) <= 25 and reply.isascii(), message
        assert not things & set(reply.lower().strip(".!?").split()), reply


@pytest.mark.parametrize("text", ["", "[talk]", "[talk]\nhello = 3\n[more]\nothers = []", "[[["])
def test_a_broken_table_is_named(tmp_path: Path, text: str):
    path = tmp_path / "small_talk.toml"
    path.write_text(text)
    with pytest.raises(MediaError, match="table of small talk"):
        read_small_talk(path)


def test_what_may_be_small_talk_is_no_other_message():
    data = SmallTalkData((("Again, thanks", "You are welcome."),), ("again",))
    others = other_messages(random.Random(0), data, 60)
    assert others[0] == "again" and len(others) > 30
    assert not {"again, thanks", "who are you?"} & {other.lower() for other in others}
    assert all(not any(word in reply for word in ("video", "sound")) for _, reply in replies(data))


# ---- telling it ----


def test_the_head_tells_what_it_learnt_and_takes_no_wish_for_it(built, monkeypatch):
    network, _ = built
    width = network.language_model.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    talk, rest = (torch.randn(60, 3 * width, generator=generator) + shift for shift in (0.5, -0.5))
    learnt = learn_head(talk, rest, torch.ones(60), TalkOptions(head_epochs=40, head_lr=1e-2))
    assert (learnt(talk) > 0).float().mean() > 0.95 and (learnt(rest) < 0).float().mean() > 0.95
    reader = SmallTalk(learnt.tensors(), 1)
    states = torch.zeros(3, width) + 0.5
    share = float(torch.sigmoid(learnt(talk_state(states)[None]).detach())[0])
    assert reader.share(states) == pytest.approx(share, abs=1e-4) and share > 0.5
    assert reader.is_meant(said("lovely", *DRAWN), told(states=states))  # type: ignore[arg-type]
    assert not reader.is_meant(said("lovely"), told(states=-states))  # type: ignore[arg-type]
    monkeypatch.setattr(reader, "share", lambda _: 0.7)
    assert not reader.is_meant(said("lovely", *DRAWN), told("gen", states=states))  # type: ignore[arg-type]
    monkeypatch.setattr(reader, "share", lambda _: 0.95)
    assert reader.is_meant(said("lovely", *DRAWN), told("gen", states=states))  # type: ignore[arg-type]
    assert reader.is_meant(said("what a lovely day", *DRAWN), told(states=states))  # type: ignore[arg-type]
    for wish in ("describe the photo I just sent", "add some text saying HELLO"):
        assert not reader.is_meant(said(wish, *DRAWN), told(states=states))  # type: ignore[arg-type]
    monkeypatch.setattr(reader, "share", lambda _: 0.7)
    assert reader.is_meant(said("why?"), told(states=states)) and not reader.is_meant(said("why?"), told(plain=0.9, states=states))  # type: ignore[arg-type]
    shown = Conversation((Message("user", (MediaPart(PHOTO), TextPart("lovely"))),))
    marked = Conversation((Message("user", (RegionPart("this"), TextPart("lovely"))),))
    assert not any(reader.is_meant(one, told(states=states)) for one in (shown, marked))  # type: ignore[arg-type]


# ---- answering ----


def test_other_adapters_work_in_one_thread_and_only_meanwhile():
    network, _ = make_network()
    layers = adapted_layers(network.language_model)
    name, layer = next(iter(layers.items()))
    hidden = torch.randn(1, 2, layer.in_features)
    for weight in (layer.lora_A["default"].weight, layer.lora_B["default"].weight):
        nn.init.normal_(weight)
    before = layer(hidden)
    add_talk_adapters(layers, 2)
    assert torch.equal(layer(hidden), before), name
    with using_adapters(ADAPTERS):
        assert torch.equal(layer(hidden), layer.base_layer(hidden))
        nn.init.normal_(layer.lora_B[ADAPTERS].weight)
        other, elsewhere = layer(hidden), []
        thread = threading.Thread(target=lambda: elsewhere.append(layer(hidden)))
        thread.start()
        thread.join()
    assert torch.equal(elsewhere[0], before) and torch.equal(layer(hidden), before) and not torch.allclose(other, before)


def test_replies_are_learnt_kept_and_put_into_another_network(tmp_path: Path):
    network, vocabulary = make_network()
    rows = [example(vocabulary, message, reply) for message, reply in (("red dog", "cat."), ("blue cat", "the dog."))] * 4
    others = {name: weight.clone() for name, weight in network.language_model.named_parameters()}
    learn_replies(network.language_model, rows, rows[:2], TalkOptions(epochs=30, batch=4, lr=2e-2))
    with torch.no_grad():
        learnt = float(reply_loss(network.language_model, rows))
    assert all(torch.equal(weight, dict(network.language_model.named_parameters())[name]) for name, weight in others.items())
    head = learn_head(torch.randn(4, 8), torch.randn(4, 8), torch.ones(4), TalkOptions(head_epochs=1))
    save_small_talk(tmp_path / "talk.safetensors", head, network.language_model)
    other, _ = make_network()
    with torch.no_grad(), using_adapters(ADAPTERS):
        start = float(reply_loss(other.language_model, rows))
    SmallTalk.load(tmp_path / "talk.safetensors").put_into(other.language_model)
    with torch.no_grad():
        assert float(reply_loss(other.language_model, rows)) == pytest.approx(learnt, rel=0.05)
    assert learnt < 0.9 * start


def test_a_file_that_does_not_fit_is_named(tmp_path: Path, built):
    (tmp_path / "talk.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelLoadError, match=r"talk\.safetensors does not fit"):
        SmallTalk.load(tmp_path / "talk.safetensors")
    network, _ = make_network()
    with pytest.raises(ModelLoadError, match="small talk do not fit"):
        SmallTalk({}, 2).put_into(network.language_model)


def test_small_talk_is_answered_alone_by_its_adapters_without_tags(monkeypatch):
    network, vocabulary = make_network()
    SmallTalkAlways(4).put_into(network.language_model)
    model = TinyModel(network, vocabulary, None, tuple(TASKS), small_talk=SmallTalkAlways(4))
    monkeypatch.setattr(model, "intents", SimpleNamespace(read=lambda _: Settled()))
    begun, start = [], Decoder.__init__

    def noted(self, given, tokens, *rest, **named) -> None:
        begun.append((len(tokens.ids), named))
        start(self, given, tokens, *rest, **named)

    monkeypatch.setattr(Decoder, "__init__", noted)
    texts = []
    for conversation in (said("lovely"), said("lovely", *DRAWN)):
        answer, text = model.generate(conversation, GenerationOptions(max_new_tokens=20, temperature=2.0), threading.Event()), ""
        try:
            while True:
                text += next(answer)
        except StopIteration as end:
            assert "frozen" not in end.value
        texts.append(text)
    assert begun[0] == begun[1] and begun[0][1] == {"frozen": False, "adapters": ADAPTERS}
    assert texts[0] == texts[1] and texts[0] and "<" not in texts[0]


class Settled:
    """An intent that asks for nothing."""

    plain, states = 0.0, None

    def plan(self) -> tuple[str, ...]:
        return ()

    def next(self, called=()) -> dict[str, float]:
        return {"": 1.0}


class SmallTalkAlways(SmallTalk):
    """Takes everything for small talk, and has fresh adapters."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def is_meant(self, conversation, intent) -> bool:
        return True

    def put_into(self, language_model) -> None:
        add_talk_adapters(adapted_layers(language_model), self._rank)


# ---- plain chat beside pictures ----


@pytest.mark.parametrize(
    ("text", "plan", "plain", "apart"),
    [
        ("who wrote Hamlet?", (), 0.9, True),
        ("who wrote Hamlet?", (), 0.3, False),
        ("who wrote Hamlet?", ("gen",), 0.9, False),
        ("is it dangerous?", (), 0.9, False),
        ("why are they red?", (), 0.9, False),
        ("where is a comb?", (), 0.9, False),
        ("who took photos first?", (), 0.9, False),
        ("are you a robot?", (), 0.9, False),
    ],
)
def test_plain_chat_beside_pictures_goes_on_from_words_alone(text: str, plan: tuple[str, ...], plain: float, apart: bool):
    found = set_apart(said(text, *DRAWN), told(*plan, plain=plain))  # type: ignore[arg-type]
    assert found == (said(text) if apart else None)


def test_what_was_said_since_the_picture_is_kept_and_the_answer_about_it_is_not():
    shown = (Message("user", (MediaPart(PHOTO), TextPart("what is this?"))), Message("assistant", (TextPart("A dog."),)))
    chat = (Message("user", (TextPart("who wrote Faust?"),)), Message("assistant", (TextPart("Goethe."),)))
    intent = told(plain=0.9)
    assert set_apart(said("and Hamlet?", *shown, *chat), intent) == said("and Hamlet?", *chat)  # type: ignore[arg-type]
    assert set_apart(said("and Hamlet?", *DRAWN, *chat), intent) == said("and Hamlet?", *chat)  # type: ignore[arg-type]
    assert set_apart(said("and Hamlet?", *chat), intent) is None, "without pictures it is plain chat as it is"  # type: ignore[arg-type]
    asked = Conversation((*DRAWN, Message("user", (RegionPart("this"), TextPart(" and Hamlet?")))))
    assert set_apart(asked, intent) is None  # type: ignore[arg-type]


def test_a_question_that_a_seen_thing_answers_is_about_the_picture():
    nouns = {"camel": 0, "whale": 1, "cup": 2}
    names = SimpleNamespace(nouns=nouns, asked=lambda text: [noun for noun in nouns if f"the {noun}" in text])
    answers = SimpleNamespace(knows=lambda noun: True, shares=lambda question, nouns: torch.tensor([0.6, 0.39, 0.01]).log().numpy())
    finder = Finder(names, SimpleNamespace(labels=()), answers)  # type: ignore[arg-type]
    asked = "what has a hump?"
    assert finder.is_concerned(asked, ["camel"]) and not finder.is_concerned(asked, ["cup"]) and not finder.is_concerned(asked, [])
    assert not finder.is_concerned("tell me about humps", ["camel"]) and finder.is_concerned("tell me about Camels", ["camel"])
    assert finder.is_concerned("tell me about the whale", [])
    assert not Finder(names, SimpleNamespace(labels=())).is_concerned(asked, ["camel"])  # type: ignore[arg-type]


# ---- the committed weights ----

TALK = [
    "thanks, that is lovely",
    "great",
    "wow, nice",
    "perfect",
    "ok",
    "lol",
    "hmm, that is not what I wanted",
    "well done!",
    "谢谢",
    "🙂",
]
MORE = [
    "make it blue",
    "no, the left one",
    "what is this?",
    "how many dogs are there?",
    "who wrote Hamlet?",
    "again",
    "thanks, now remove the dog",
]


@pytest.fixture(scope="module")
def model() -> TinyModel:
    from unified_demo.model.tiny import load_multimodal_lm

    settings = Settings()
    return load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model


def answered(model: TinyModel, conversation: Conversation) -> str:
    return "".join(model.generate(conversation, GenerationOptions(max_new_tokens=60), threading.Event()))


@pytest.mark.weights
def test_what_is_said_about_a_drawing_is_no_wish(model: TinyModel, monkeypatch):
    def look(_: Artefact) -> Seen:
        raise AssertionError("nothing is looked at for small talk")

    monkeypatch.setattr(model, "look", look)
    for text in TALK:
        alone, beside = answered(model, said(text)), answered(model, said(text, *DRAWN))
        assert beside == alone and 1 < len(beside.split()) < 30 and "<" not in beside, text
        assert beside.rstrip()[-1] in ".!?" and "draw it" not in beside, text


@pytest.mark.weights
def test_what_asks_for_more_is_no_small_talk(model: TinyModel):
    assert model.intents
    for text in MORE:
        conversation = said(text, *DRAWN)
        assert not model.small_talk.is_meant(conversation, model.intents.read(conversation)), text
