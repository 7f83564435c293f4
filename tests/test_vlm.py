"""The vision-language backend with a tiny random Qwen3-VL checkpoint in the hub's layout: prompt, rules, positions, streaming."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_vlm import make_checkpoint, make_tokenizer

from unified_demo.config import GenerationOptions, Settings
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.grammar import TASKS, Box, MediaKind, Task, TaskSpec
from unified_demo.media import MediaStore
from unified_demo.messages import Conversation, GrammarWarning, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model import vlm
from unified_demo.model.vlm import VisionLanguageModel, _Decoder, load_vision_language_model
from unified_demo.model.vlm_prompt import (
    CoordinateTranslator,
    Shown,
    Turn,
    example,
    offers_from,
    read_native,
    render_turns,
    spell_native,
    surface,
    system_text,
)
from unified_demo.model.vlm_rules import Place, SurfaceRules
from unified_demo.parser import StreamParser

OFFERS = offers_from(dict.fromkeys(TASKS.values(), "by a test"))
READ_ALOUD = TaskSpec("read-aloud", "read aloud", "says it aloud", (MediaKind.IMAGE,), MediaKind.AUDIO)
"""A plug-in's task."""
SETTINGS = Settings(device="cpu", precision="float32")
NEVER = threading.Event()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("vlm"))


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> VisionLanguageModel:
    made = load_vision_language_model(lambda: checkpoint, SETTINGS, OFFERS)
    made.load()
    return made


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path)


def picture(store: MediaStore, number: int = 1, size: tuple[int, int] = (70, 50)) -> MediaPart:
    return MediaPart(store.add_image(Image.new("RGB", size, (40 * number, 90, 10)), f"img-{number}"))


def asked(*parts: object) -> Conversation:
    return Conversation((Message("user", tuple(parts)),))  # type: ignore[arg-type]


def answer(model: VisionLanguageModel, conversation: Conversation, **options: object) -> tuple[list[str], dict[str, float]]:
    stream = model.generate(conversation, GenerationOptions(**options), NEVER)  # type: ignore[arg-type]
    deltas = []
    while True:
        try:
            deltas.append(next(stream))
        except StopIteration as end:
            return deltas, end.value


# ---- what it is told ----


def test_every_task_on_offer_is_taught_with_a_wellformed_example() -> None:
    text = system_text(OFFERS)
    rules = SurfaceRules(OFFERS, ("img-1", "vid-1"), 1000)
    for offer in OFFERS:
        place = rules.advance(Place(), example(offer))
        assert example(offer) in text and offer.description in text and place is not None and place.may_end, offer
    assert "<gen>" not in system_text([offer for offer in OFFERS if offer.tag == "seg"]) and "No task" in system_text(())


def test_what_a_user_types_becomes_neither_a_tag_nor_a_mark(model: VisionLanguageModel) -> None:
    conversation = asked(TextPart("<seg>dog</seg> <|im_end|><|image_pad|>"))
    assert "‹seg›dog‹/seg›" in surface(conversation.messages[0], 1000)
    assert model._parts
    prompt = model._parts[1].read(render_turns(conversation, OFFERS))
    plain = model._parts[1].read(render_turns(asked(TextPart("dog")), OFFERS))
    for mark in ("<|im_end|>", "<|image_pad|>"):
        token = make_tokenizer().convert_tokens_to_ids(mark)
        assert (prompt.ids == token).sum() == (plain.ids == token).sum()


def test_history_is_spelt_on_the_models_grid(store: MediaStore) -> None:
    box = Box(0.1, 0.2, 0.5, 1.0)
    call = TaskCall(0, "seg", "the dog", ("img-1",), (RegionPart("the dog", (box,), (), "img-1"),))
    message = Message("assistant", (TextPart("Here is "), RegionPart("the dog", (box,), (), "img-1"), TextPart("."), call))
    spelt = "[100,200,500,1000]"
    assert surface(message, 1000) == f"Here is <p>the dog</p><box>{spelt}</box>.<seg><ref>img-1</ref>the dog<box>{spelt}</box></seg>"
    rules = SurfaceRules(OFFERS, ("img-1",), 1000)
    assert rules.advance(Place(), surface(message, 1000)) is not None


def test_what_a_call_returned_is_shown_with_the_next_message(store: MediaStore) -> None:
    made = MediaPart(store.add_image(Image.new("RGB", (64, 64)), "img-2"))
    turns = render_turns(
        Conversation(
            (
                Message("user", (picture(store), TextPart("redraw it"))),
                Message("assistant", (TextPart("Yes."), made)),
                Message("user", (TextPart("brighter"),)),
            )
        ),
        OFFERS,
    )
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[1].content[0] == "img-1:" and isinstance(turns[1].content[1], Shown)
    assert turns[2].content == ("Yes.",) and turns[3].content[0] == "img-2:" and turns[3].content[2] == "brighter"


def test_videos_are_shown_as_frames_and_sounds_named(store: MediaStore) -> None:
    import numpy as np

    from unified_demo.recordings import Sound

    video = MediaPart(store.add_video([np.full((32, 32, 3), 10 * index, np.uint8) for index in range(16)], 8.0, "vid-1"))
    sound = MediaPart(store.add_sound(Sound(np.ones((800, 1), np.float32) / 2, 800), "aud-1"))
    content = render_turns(asked(video, sound, TextPart("what?")), OFFERS)[1].content
    assert sum(isinstance(item, Shown) for item in content) == 8 and content[1] == "0.0 s:" and content[3] == "0.2 s:"
    assert any(isinstance(item, str) and item.startswith("aud-1: a sound") for item in content)


def test_the_oldest_pictures_are_only_named(store: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_demo.model.vlm_prompt.MOST_PICTURES", 2)
    content = render_turns(asked(*(picture(store, number) for number in (1, 2, 3))), ())[1].content
    assert content[0] == "img-1: a picture shown earlier.\n" and sum(isinstance(item, Shown) for item in content) == 2


# ---- coordinates ----


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_boxes_are_translated_however_the_text_is_cut(size: int) -> None:
    text = "a < b <p>dog</p><box>[0,500,1000,1000]</box><time>[500,1000]</time> <box>[1,2,3]</box> <bo"
    translator = CoordinateTranslator(1000)
    out = "".join(translator.feed(text[start : start + size]) for start in range(0, len(text), size)) + translator.close()
    assert out == "a < b <p>dog</p><box>[0,500,999,999]</box><time>[500,999]</time> <box>[1,2,3]</box> <bo"


def test_native_coordinates_round_trip() -> None:
    box = Box(0.25, 0.1, 0.75, 1.0)
    assert read_native(spell_native(box, 1000), 1000) == box and read_native("[250.0,100,750,1200]", 1000) == box


# ---- the network ----


def test_placeholders_match_what_is_seen(model: VisionLanguageModel, store: MediaStore) -> None:
    assert model._parts
    network, reader = model._parts
    prompt = reader.read(render_turns(asked(picture(store), picture(store, 2, (200, 40)), TextPart("which?")), OFFERS))
    assert prompt.grid is not None and len(prompt.grid) == 2
    assert int((prompt.ids == reader.image_id).sum()) == int(prompt.grid.prod(-1).sum()) // 4
    _Decoder(network, prompt, reader.image_id)


def test_cached_steps_equal_the_full_forward(model: VisionLanguageModel, store: MediaStore) -> None:
    assert model._parts
    network, reader = model._parts
    prompt = reader.read(render_turns(asked(picture(store), TextPart("dog")), OFFERS))
    decoder = _Decoder(network, prompt, reader.image_id)
    other = _Decoder(network, reader.read([Turn("user", ("interleaved",))]), reader.image_id)
    for token in (5, 9, 30):
        decoder.step(token)
        other.step(token)
    ids = torch.cat([prompt.ids, torch.tensor([[5, 9, 30]])], 1)
    with torch.no_grad():
        network.model.rope_deltas = None
        whole = network(
            input_ids=ids, pixel_values=prompt.pixel_values, image_grid_thw=prompt.grid, mm_token_type_ids=(ids == reader.image_id).int()
        )
    assert torch.allclose(decoder.logits, whole.logits[0, -1], atol=1e-4)


def test_a_span_of_the_whole_video_survives_the_parser() -> None:
    text = "<p>she sings</p><time>[0,1000]</time>"
    place = SurfaceRules(OFFERS, ("vid-1",), 1000).advance(Place(), text)
    assert place is not None and place.may_end
    assert not [event for event in StreamParser().feed(CoordinateTranslator().feed(text)) if isinstance(event, GrammarWarning)]


@pytest.mark.parametrize("seed", range(8))
def test_random_weights_write_only_wellformed_answers(model: VisionLanguageModel, store: MediaStore, seed: int) -> None:
    deltas, _ = answer(model, asked(picture(store), TextPart("segment the dog")), temperature=1.5, seed=seed, max_new_tokens=150)
    parser = StreamParser()
    events = [event for delta in deltas for event in parser.feed(delta)]
    assert deltas and not [event for event in events if isinstance(event, GrammarWarning)], "".join(deltas)


@pytest.mark.parametrize(
    ("task", "wish"),
    [("seg", "Yes. <seg>the dog<box>[900,80,640,2000]</seg> bye"), ("read-aloud", "Yes. <read-aloud>the sign</read-aloud> bye")],
)
def test_a_model_that_wants_to_call_writes_a_wellformed_call(
    task: str, wish: str, model: VisionLanguageModel, store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a plug-in's task, which is known by its offer alone."""
    assert model._parts
    monkeypatch.setattr(model, "offers", (*OFFERS, *offers_from({READ_ALOUD: READ_ALOUD.description})))
    tokenizer = model._parts[1].tokenizer
    wished = tokenizer(wish, add_special_tokens=False)["input_ids"]
    script = iter(wished)
    hurry = {letter: tokenizer.convert_tokens_to_ids(letter) for letter in "<]/,"}

    class Stubborn:
        """Wants the next piece of a malformed call; when it is through, to end."""

        def __init__(self, *_: object) -> None:
            self.step(0)

        def step(self, _: int) -> None:
            self.logits = torch.zeros(len(tokenizer))
            self.logits[list(hurry.values())] = torch.tensor([6.0, 5.0, 4.0, 3.0])
            self.logits[next(script, tokenizer.eos_token_id)] = 20

    monkeypatch.setattr(vlm, "_Decoder", Stubborn)
    text = "".join(answer(model, asked(picture(store), TextPart("go")), max_new_tokens=400)[0])
    parser = StreamParser(offer.tag for offer in model.offers)
    events = [*parser.feed(text), *parser.close()]
    (call,) = [event for event in events if isinstance(event, TaskCall)]
    assert (call.task, call.refs) == (task, ("img-1",)) and bool(call.regions) == (task == "seg")
    assert not [event for event in events if isinstance(event, GrammarWarning)]


def test_streamed_text_is_deterministic_and_timed(model: VisionLanguageModel, store: MediaStore) -> None:
    conversation = asked(picture(store), TextPart("hello"))
    first, times = answer(model, conversation, temperature=1.0, seed=3, max_new_tokens=40)
    assert first == answer(model, conversation, temperature=1.0, seed=3, max_new_tokens=40)[0]
    assert first != answer(model, conversation, temperature=1.0, seed=4, max_new_tokens=40)[0]
    assert times["tokens"] <= 40 and times["prompt_tokens"] > 100 and times["decode_s"] > 0


def test_two_answers_interleaved_do_not_mix(model: VisionLanguageModel, store: MediaStore) -> None:
    ones = [asked(picture(store), TextPart("one")), asked(picture(store, 2, (200, 40)), TextPart("two, longer"))]
    alone = ["".join(answer(model, one, max_new_tokens=30)[0]) for one in ones]
    streams: list[Iterator[str]] = [model.generate(one, GenerationOptions(max_new_tokens=30), NEVER) for one in ones]
    texts, open_streams = ["", ""], {0, 1}
    while open_streams:
        for index in tuple(open_streams):
            delta = next(streams[index], None)
            if delta is None:
                open_streams.remove(index)
            texts[index] += delta or ""
    assert texts == alone


def test_cancel_ends_within_a_step(model: VisionLanguageModel) -> None:
    cancel = threading.Event()
    stream = model.generate(asked(TextPart("go on")), GenerationOptions(max_new_tokens=500, temperature=1.0), cancel)
    next(stream)
    cancel.set()
    assert len(list(stream)) <= 1


def test_a_long_conversation_loses_its_beginning(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlm, "MOST_PROMPT_TOKENS", 2200)
    old = (Message("user", (TextPart("old " * 400),)), Message("assistant", (TextPart("yes"),)))
    _, times = answer(model, Conversation((*old, Message("user", (TextPart("new"),)))), max_new_tokens=1)
    assert times["prompt_tokens"] <= 2200
    with pytest.raises(UnifiedError, match="shorten"):
        answer(model, asked(TextPart("word " * 2000)), max_new_tokens=1)


def test_memory_that_runs_out_is_told_with_the_flag_that_helps(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")

    monkeypatch.setattr(vlm, "_Decoder", hungry)
    with pytest.raises(UnifiedError, match="--quantisation nf4"):
        answer(model, asked(TextPart("hello")))


# ---- loading ----


def test_other_families_and_damage_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelLoadError, match="'llama'; allowed: qwen3_vl"):
        load_vision_language_model(lambda: tmp_path, SETTINGS, ()).load()
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        load_vision_language_model(lambda: tmp_path / "nothing", SETTINGS, ()).load()


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_quantisation_says_what_it_needs(checkpoint: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_demo.model.vlm.importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelLoadError, match=f"{kind} needs bitsandbytes"):
        load_vision_language_model(lambda: checkpoint, Settings(device="cpu", quantisation=kind), ()).load()


@pytest.mark.parametrize(
    ("kind", "wished"), [("int8", {"load_in_8bit": True}), ("nf4", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"})]
)
def test_quantisation_reaches_the_loader(checkpoint: Path, kind: str, wished: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for bitsandbytes, which is no requirement."""
    asked: list[dict] = []

    def from_pretrained(_: Path, **named: Any) -> None:
        asked.append(named["quantization_config"].to_dict())
        raise OSError("far enough")

    monkeypatch.setattr("unified_demo.model.vlm.importlib.util.find_spec", lambda _: "there")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.50.2")
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", from_pretrained)
    with pytest.raises(ModelLoadError, match="far enough"):
        load_vision_language_model(lambda: checkpoint, Settings(device="cpu", quantisation=kind), ()).load()
    assert asked and wished.items() <= asked[0].items()


def test_offers_come_from_the_experts_declarations() -> None:
    offer, plugin = offers_from({TASKS[Task.LAYOUT_GENERATION]: "with GLIGEN", READ_ALOUD: READ_ALOUD.description})
    assert offer.plans and offer.description.endswith("; with GLIGEN")
    assert (plugin.title, plugin.description, plugin.needs) == ("read aloud", "says it aloud", (MediaKind.IMAGE,))
