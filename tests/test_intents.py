"""What a message asks for, read before the answer, and how the answer is held to it."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_model import make_network, make_scene, project

from unified_demo.config import GenerationOptions, Settings
from unified_demo.conversation import render_conversation
from unified_demo.data.wishes import NONE, wishes
from unified_demo.errors import ModelLoadError
from unified_demo.grammar import TASK_TAGS, TASKS, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.model.backend import Seen, TinyModel
from unified_demo.model.decoder import Decoder
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.guiding import POINTS_FIRST, Guide, promising
from unified_demo.model.intents import (
    CHOICES,
    LONGEST,
    NO_CALL,
    PLAIN,
    SAID,
    IntentConfig,
    IntentHead,
    IntentReader,
    Situation,
    done_vector,
    load_head,
    lower_states,
    own_layers,
    save_head,
    tokens_of,
    words_of,
)
from unified_demo.model.passes import switched_off
from unified_demo.promises import PROMISES
from unified_demo.training.intents import (
    IntentOptions,
    Lesson,
    draw_lessons,
    joined_wishes,
    learn,
    padded,
    states_of,
    whole_wishes,
    wishes_with_layouts,
)

PICTURE = Artefact("img-1", MediaKind.IMAGE, Path("1.png"))
SMALL = IntentConfig(hidden=64, layer=1, width=16, queries=2, blocks=1, heads=2, dropout=0.0)


WISHES = {"segment the red": ("seg",), "Here is the": (), "please! segment": ("gen", "agen")}
THINGS = ("dog", "cat", "car", "cup", "bird", "chair", "clock", "boat")


@pytest.fixture(scope="module")
def built():
    return make_network()


def asked(text: str, *media: Artefact) -> Conversation:
    return Conversation((Message("user", (*map(MediaPart, media), TextPart(text))),))


# ---- reading ----


def test_lower_states_are_those_of_the_language_model_and_padding_changes_nothing(built):
    network, _ = built
    backbone = network.language_model.model
    rows = torch.tensor([[5, 9, 300, 41, 7], [8, 8, 2, 0, 0]])
    with torch.no_grad():
        reference = backbone(input_ids=rows[:1], output_hidden_states=True).hidden_states[1]
        assert torch.allclose(lower_states(backbone, rows, 1)[:1], reference, atol=1e-5)
        assert torch.allclose(lower_states(backbone, rows, 1)[1, :3], lower_states(backbone, rows[1:, :3], 1)[0], atol=1e-5)
        assert not torch.allclose(lower_states(backbone, rows, 2)[:1], reference, atol=1e-2)


@pytest.mark.parametrize(
    ("answer", "last"),
    [((), NO_CALL), ((TextPart("Paris."),), SAID), ((TextPart("Here."), TaskCall(0, Task.IMAGE_EDITING, "winter", ("img-1",))), "edit")],
)
def test_a_situation_is_what_is_there_and_what_was_called_last(answer: tuple[Part, ...], last: str):
    before = (Message("assistant", answer),) if answer else ()
    conversation = Conversation((*asked("hello", PICTURE).messages, *before, *asked("and now?").messages))
    situation = Situation.of(conversation)
    assert situation == Situation(frozenset({MediaKind.IMAGE}), last)
    assert situation.vector().sum() == 2


def test_a_message_is_read_with_its_marked_regions_and_a_long_one_at_both_ends(built):
    _, vocabulary = built
    shown = RegionPart("this dog", (), artefact_id="img-1")
    message = Message("user", (MediaPart(PICTURE), TextPart("cut out "), shown, TextPart(" please")))
    assert words_of(Conversation((message,))) == "cut out this dog please"
    assert words_of(asked("", PICTURE)) == "" and words_of(Conversation(())) == ""
    whole = vocabulary.encode(" first " + "and " * 400 + "last")
    assert tokens_of(vocabulary, "first " + "and " * 400 + "last") == whole[: LONGEST // 2] + whole[-LONGEST // 2 :]


def test_padding_is_not_read_and_choices_know_those_before(built):
    torch.manual_seed(0)
    head = IntentHead(SMALL).eval()
    states = [torch.randn(3, 64), torch.randn(7, 64)]
    (both, both_mask), (one, one_mask) = padded(states), padded(states[:1])
    together, alone = head.words(both, both_mask), head.words(one, one_mask)
    assert torch.allclose(together[0, :3], alone[0], atol=1e-5)
    situation = Situation(frozenset()).vector()[None]
    first, second = (head(alone, one_mask, situation, done_vector(called)[None]) for called in ((), ("gen",)))
    assert first.shape == (1, len(CHOICES)) and not torch.allclose(first, second, atol=1e-3)
    assert torch.allclose(head(together[:1], both_mask[:1], situation, done_vector(())[None]), first, atol=1e-5)
    assert not torch.equal(done_vector(("gen",)), done_vector(("gen", "gen")))


def test_joined_wishes_are_asked_for_in_their_order():
    single = {asked.rstrip(".。！？!?"): tag for tag, rows in wishes().items() for asked, _, _ in rows}
    rng = random.Random(5)
    for lesson in (joined_wishes(rng) for _ in range(40)):
        assert 2 <= len(lesson.calls) <= 3 and not lesson.plain
        assert all(set(TASKS[Task(tag)].needs) <= lesson.situation.kinds for tag in lesson.calls)
        found = {(lesson.text.find(" ".join(ask.split())), tag) for ask, tag in single.items() if " ".join(ask.split()) in lesson.text}
        assert {tag for _, tag in found} >= set(lesson.calls), lesson


def test_plain_chat_is_a_choice_of_its_own_that_calls_nothing(built):
    network, vocabulary = built
    nothing = Situation(frozenset())
    lessons = [Lesson(f"the {thing} is there", nothing, (), plain=True) for thing in THINGS]
    lessons += [Lesson(f"segment {thing} please!", nothing, ()) for thing in THINGS]
    assert lessons[0].choices == (PLAIN,) and lessons[-1].choices == (NO_CALL,)
    states = states_of(network.language_model, vocabulary, [lesson.text for lesson in lessons], 1)
    reader = IntentReader([learn(lessons, states, IntentOptions(epochs=40, batch=8, lr=5e-3), SMALL)], network.language_model, vocabulary)
    plain, other = reader.read(asked(lessons[0].text)), reader.read(asked(lessons[-1].text))
    assert plain.plain > 0.5 > other.plain
    for intent in (plain, other):
        assert intent.plan() == () and set(intent.next()) == {*TASK_TAGS, NO_CALL}
        assert sum(intent.next().values()) == pytest.approx(1.0, abs=1e-5)


def test_a_head_learns_what_messages_ask_for_one_call_after_the_other(built):
    network, vocabulary = built
    nothing = Situation(frozenset())
    lessons = [Lesson(f"{wish} {thing}", nothing, calls) for wish, calls in WISHES.items() for thing in THINGS]
    states = states_of(network.language_model, vocabulary, [lesson.text for lesson in lessons], 1)
    head = learn(lessons, states, IntentOptions(epochs=40, batch=8, lr=5e-3), SMALL)
    reader = IntentReader([head], network.language_model, vocabulary)
    right = [reader.read(asked(lesson.text)).plan() == lesson.calls for lesson in lessons]
    assert sum(right) >= 0.9 * len(lessons)
    assert reader.read(asked("")) is None


def test_layers_of_its_own_learn_are_kept_as_differences_and_read_in_both_directions(built, tmp_path: Path):
    network, vocabulary = built
    backbone, nothing, config = network.language_model.model, Situation(frozenset()), replace(SMALL, own=1)
    lessons = [Lesson(f"{thing} {wish}", nothing, calls) for wish, calls in WISHES.items() for thing in THINGS]
    states = states_of(network.language_model, vocabulary, [lesson.text for lesson in lessons], 0)
    options = IntentOptions(epochs=30, batch=8, lr=5e-3, own_lr=5e-3, rank=64)
    head = learn(lessons, states, options, config, backbone, keep=lambda head: save_head(head, tmp_path / "intents.safetensors"))
    reader = IntentReader([load_head(tmp_path / "intents.safetensors")], network.language_model, vocabulary)
    assert sum(reader.read(asked(lesson.text)).plan() == lesson.calls for lesson in lessons) >= 0.9 * len(lessons)
    other_head = IntentHead(SMALL)
    frozen = IntentReader([other_head], network.language_model, vocabulary)
    assert torch.equal(reader.read(asked("red dog")).states, frozen.read(asked("red dog")).states), "what others read is the frozen model's"

    again = learn(lessons, states, replace(options, epochs=1, lr=0.0, own_lr=0.0), config, backbone, start=head)
    assert all(torch.allclose(again.state_dict()[name], weight) for name, weight in head.state_dict().items())
    both = IntentReader([again, load_head(tmp_path / "intents.safetensors"), other_head], network.language_model, vocabulary)
    shares = [one.read(asked("red dog segment the")).next(("gen",)) for one in (both, reader, frozen)]
    assert shares[0]["agen"] == pytest.approx((4 * shares[1]["agen"] + shares[2]["agen"]) / 5, abs=0.02), "own layers count twice"

    own, mask = own_layers(config, backbone), torch.ones(1, 5, dtype=torch.bool)
    first = torch.randn(1, 5, 64)
    other = first.clone()
    other[0, 4] += 1
    assert not torch.allclose(own(first, mask)[0, 0], own(other, mask)[0, 0], atol=1e-4), "the first word sees the last one"
    one_less = mask.clone()
    one_less[0, 4] = False
    assert torch.allclose(own(first, one_less)[0, :4], own(other, one_less)[0, :4], atol=1e-5), "what is no word is not seen"
    assert all(not change.any() for change in own.differences(backbone, 0, 4).values())

    with pytest.raises(ModelLoadError, match="do not fit this language model"):
        own_layers(config, backbone).differ_by({})


def test_lessons_are_wishes_and_not_refusals():
    lessons = draw_lessons(random.Random(0), 250)
    assert len({(lesson.text, lesson.situation) for lesson in lessons}) == len(lessons) == 250
    assert {lesson.calls[0] for lesson in lessons if lesson.calls} == set(TASK_TAGS)
    for lesson in lessons:
        first = TASKS[Task(lesson.calls[0])] if lesson.calls else None
        assert not first or set(first.needs) <= lesson.situation.kinds, lesson


def test_every_whole_wish_is_a_lesson_with_what_it_needs():
    lessons = list(whole_wishes(random.Random(0)))
    assert len(lessons) == sum(map(len, wishes().values()))
    assert all(set(TASKS[Task(tag)].needs) <= lesson.situation.kinds for lesson in lessons for tag in lesson.calls)
    assert {lesson.calls for lesson in lessons} == {(), *((tag,) for tag in wishes() if tag != NONE)}


def test_layouts_beside_other_wishes_are_lessons_though_nobody_wrote_their_boxes():
    lessons = list(wishes_with_layouts())
    assert len(lessons) > 40 and all("layout" in lesson.calls and len(lesson.calls) > 1 for lesson in lessons)
    assert not any("{" in lesson.text for lesson in lessons)


def test_single_wishes_of_dialogues_weigh_more():
    nothing, photo = Situation(frozenset()), Situation(frozenset([MediaKind.IMAGE]))
    several, region = Lesson("a dog and its bark", nothing, ("gen", "agen")), Lesson("cut the dog out", photo, ("seg",))
    framed, whole = Lesson("draw a dog", nothing, ("gen",)), next(whole_wishes(random.Random(0)))
    assert region.weight == Lesson("a dog, please", nothing, ("gen",), True).weight > 1
    assert several.weight == framed.weight == whole.weight == 1


def test_a_head_survives_its_file_and_another_file_is_named(tmp_path: Path):
    head = IntentHead(SMALL).eval()
    save_head(head, tmp_path / "intents.safetensors")
    again = load_head(tmp_path / "intents.safetensors").eval()
    states = padded([torch.randn(4, 64)])
    assert again.config == SMALL and torch.allclose(again.words(*states), head.words(*states), atol=1e-2)
    (tmp_path / "intents.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelLoadError, match=r"intents\.safetensors does not fit"):
        load_head(tmp_path / "intents.safetensors")


# ---- guiding ----


class Told:
    """An intent whose choices are given: by how many calls there were, {choice: probability}."""

    def __init__(self, *steps: dict[str, float], plain: float = 0.0) -> None:
        self.steps, self.plain = steps, plain

    def next(self, called=()):
        return dict.fromkeys((*TASK_TAGS, NO_CALL), 0.0) | self.steps[min(len(called), len(self.steps) - 1)]

    def plan(self):
        calls = []
        while len(calls) < 3 and (best := max((shares := self.next(calls)), key=shares.__getitem__)):
            calls.append(best)
        return tuple(calls)


END = {NO_CALL: 1.0}


def written(built, monkeypatch, intent: Told, script: str, conversation: Conversation, tasks=TASK_TAGS) -> list[str]:
    """What is shown of an answer when the network writes ``script`` word for word, or "W" where that is forbidden."""
    network, vocabulary = built
    model = TinyModel(network, vocabulary, None, tasks)
    monkeypatch.setattr(model, "look", lambda artefact: _seen(network, vocabulary, int(artefact.path.stem)))
    monkeypatch.setattr(model, "intents", SimpleNamespace(read=lambda _: intent))
    pieces = script.replace("<", "\0<").replace(">", ">\0").split("\0")
    wanted = [
        token for piece in pieces for token in ([vocabulary.tag_ids[piece]] if piece in vocabulary.tag_ids else vocabulary.encode(piece))
    ]

    def say(decoder, hidden):
        start = decoder.__dict__.setdefault("start", len(decoder._ids))
        done = decoder._ids[start:]
        follows = wanted[len(done)] if done == wanted[: len(done)] and len(done) < len(wanted) else vocabulary.end_id
        decoder.logits = torch.zeros(vocabulary.point_base + len(decoder._proposals))
        decoder.logits[vocabulary.encode("W")[0]] = 1.0 if not done else 0.0
        decoder.logits[follows] = 9.0

    monkeypatch.setattr(Decoder, "_look_ahead", say)
    return list(model.generate(conversation, GenerationOptions(max_new_tokens=200), threading.Event()))


def _seen(network, vocabulary, seed: int) -> Seen:
    scene = make_scene(seed)
    return Seen(project(network, vocabulary, scene), tuple(region.box for region in scene.regions))


def test_a_plausible_answer_stays_word_for_word(built, monkeypatch):
    answer = "Here you are.<gen>a dog</gen>"
    assert "".join(written(built, monkeypatch, Told({"gen": 0.6, "layout": 0.4}, END), answer, asked("draw a dog"))) == answer
    layout = written(built, monkeypatch, Told({"layout": 0.6, "gen": 0.4}, END), answer, asked("draw a dog"))
    assert "".join(layout) == answer


def test_a_call_that_nobody_asked_for_gives_way_and_its_promise_with_it(built, monkeypatch):
    shown = written(built, monkeypatch, Told({"vgen": 0.9, "gen": 0.1}, END), "I will draw it.<gen>a dog</gen>", asked("film a dog"))
    assert "".join(shown).startswith("I will film it.<vgen>") and "draw" not in "".join(shown)


def test_a_wish_for_something_new_is_not_answered_with_a_missing_picture(built, monkeypatch):
    shown = written(built, monkeypatch, Told({"gen": 1.0}, END), "There is no picture in this conversation yet.", asked("draw a comb"))
    assert "".join(shown).startswith(("W<gen>", "I will draw it.<gen>"))
    assert "There is no" not in "".join(shown)


def test_a_refusal_of_what_needs_a_picture_stays(built, monkeypatch):
    refusal = "I cannot see a cat in this picture."
    shown = written(built, monkeypatch, Told({"seg": 1.0}, END), refusal, asked("cut out the cat", PICTURE))
    assert "".join(shown) == refusal


def test_a_call_that_is_missing_is_added_and_one_too_many_is_not_made(built, monkeypatch):
    both = Told({"gen": 1.0}, {"agen": 1.0}, END)
    one = "I will do both.<gen>a dog</gen>"
    assert "".join(written(built, monkeypatch, both, one, asked("a dog and its bark"))).startswith(one + "<agen>")
    two = "I will do both.<gen>a dog</gen><agen>a bark</agen>"
    assert "".join(written(built, monkeypatch, Told({"gen": 1.0}, END), two, asked("a dog"))) == one


def test_of_two_wishes_the_second_is_not_forgotten_though_the_end_is_plausible(built, monkeypatch):
    both = Told({"gen": 1.0}, {"agen": 0.6, NO_CALL: 0.4}, END)
    one = "I will do both.<gen>a dog</gen>"
    assert "".join(written(built, monkeypatch, both, one, asked("a dog and its bark"))).startswith(one + "<agen>")
    perhaps = Told({"gen": 1.0}, {"agen": 0.4, NO_CALL: 0.6}, END)
    assert "".join(written(built, monkeypatch, perhaps, one, asked("a dog and its bark"))) == one


def test_several_calls_come_in_their_order_though_the_first_was_not_certain(built, monkeypatch):
    both = Told({"gen": 0.6, "vgen": 0.4}, {"vgen": 1.0}, END)
    shown = "".join(written(built, monkeypatch, both, "I will film it.<vgen>a dog</vgen>", asked("draw a dog and film it")))
    assert shown.startswith("I will do both.<gen>") and "<vgen>" in shown
    either = Told({"gen": 0.6, "vgen": 0.4}, END)
    film = "I will film it.<vgen>a dog</vgen>"
    assert "".join(written(built, monkeypatch, either, film, asked("a dog"))) == film


def test_something_new_is_not_all_that_is_wanted_when_a_picture_is_changed_too(built):
    _, vocabulary = built
    for steps, new in [(({"gen": 1.0}, END), True), (({"gen": 1.0}, {"edit": 1.0}, END), False), ((END,), False)]:
        assert Guide(Told(*steps), vocabulary, frozenset(), False).wants_something_new() is new


def test_where_one_of_two_wishes_has_no_tool_the_other_is_done(built, monkeypatch):
    both = Told({"agen": 0.6, "gen": 0.4}, {"gen": 1.0}, END)
    shown = written(built, monkeypatch, both, "Listen.<agen>a bark</agen>", asked("a dog and its bark"), tasks=("gen",))
    assert "".join(shown).startswith("I have no tool for audio generation here. <gen>")
    alone = written(built, monkeypatch, Told({"agen": 1.0}, END), "Listen.<agen>a bark</agen>", asked("bark"), tasks=("gen",))
    assert "".join(alone) == "I have no tool for audio generation here."


def test_more_calls_than_were_learnt_are_the_networks_and_nothing_is_begun_at_the_end(built, monkeypatch):
    four = "I will do both." + "<gen>a dog</gen>" * 4
    assert "".join(written(built, monkeypatch, Told({"gen": 1.0}, {"gen": 1.0}, {"gen": 1.0}, END), four, asked("four dogs"))) == four
    _, vocabulary = built
    state = DecodingState(vocabulary, [], {}, TASK_TAGS, most=200)
    guide = Guide(Told({"gen": 1.0}, END), vocabulary, frozenset(), False)
    assert guide.instead(vocabulary.end_id, state, True) is not None
    state.written = vocabulary.encode("the ") * 150
    assert guide.instead(vocabulary.end_id, state, True) is None


def test_words_where_nothing_is_to_be_called(built, monkeypatch):
    shown = written(built, monkeypatch, Told(END), "Listen.<agen>a bark</agen>", asked("why do dogs bark?"))
    assert "".join(shown) == "W"


def test_words_that_are_no_promise_stay_without_their_call(built, monkeypatch):
    shown = written(built, monkeypatch, Told(END), "Monday is a day.<agen>a morning</agen>", asked("ugh, mondays"))
    assert "".join(shown) == "Monday is a day."


def test_an_outline_points_first_and_a_picture_is_not_pointed_into(built, monkeypatch):
    outline = written(built, monkeypatch, Told({"seg": 1.0}, END), "Here you are.<edit><ref>img-1</ref>dog</edit>", asked("dog", PICTURE))
    assert "".join(outline).startswith("Here is<p>") and "</p><box>" in "".join(outline) and "<seg><ref>img-1</ref>" in "".join(outline)
    edit = written(built, monkeypatch, Told({"edit": 1.0}, END), "Here is<p> the dog</p><box>", asked("winter", PICTURE))
    assert "".join(edit).startswith("Here you are.<edit><ref>img-1</ref>")


def test_what_needs_media_that_are_not_there_is_left_to_the_network(built, monkeypatch):
    answer = "Here you are.<gen>a dog</gen>"
    assert "".join(written(built, monkeypatch, Told({"vedit": 1.0}, END), answer, asked("make the video older"))) == answer


@pytest.mark.parametrize(("text", "may"), [("", True), ("Here is the cl", True), ("Here is the dog", False), ("Paris is", False)])
def test_only_what_may_become_a_promise_waits(text: str, may: bool):
    assert promising(text) is may


def test_every_task_has_a_promise_that_waits_or_points_first():
    assert set(PROMISES) | set(POINTS_FIRST) == set(TASK_TAGS)
    assert all(promising(promise) for promises in PROMISES.values() for promise in promises)


# ---- plain chat ----


def test_a_frozen_decoder_is_the_language_model_with_nothing_added(built):
    network, vocabulary = built
    tokens = vocabulary.tokenize(render_conversation(asked("why is the sky blue?")), {}, {})
    decoder = Decoder(network, tokens, {}, frozen=True)
    other = Decoder(network, tokens, {})
    for token in vocabulary.encode(" because of"):
        decoder.step(token)
    ids = torch.tensor([[*tokens.ids, *vocabulary.encode(" because of")]])
    with torch.no_grad(), switched_off():
        expected = network.language_model(ids).logits[0, -1]
    assert torch.allclose(decoder.logits[: len(expected)], expected, atol=1e-4)
    assert torch.isneginf(decoder.logits[len(expected) :]).all() and not decoder.gate_usage()
    with torch.no_grad():
        assert not torch.allclose(network.language_model(ids).logits[0, -1], expected, atol=1e-2)
    assert torch.isfinite(other.logits[vocabulary.vocab_size :]).any()


def test_what_speaks_to_us_is_not_left_to_the_frozen_model(built):
    _, vocabulary = built
    guide = Guide(Told(END, plain=0.9), vocabulary, frozenset(), False)
    left = [guide.leaves_to_the_frozen_model(asked(text)) for text in ("what can one do?", "what can You do?", "is that your name?")]
    assert left == [True, False, False]


@pytest.mark.parametrize(
    ("plain", "before", "left"),
    [
        (0.9, (), True),
        (0.4, (), False),
        (0.9, (TextPart("Hello."),), True),
        (0.9, (TextPart("Here."), TaskCall(0, Task.AUDIO_GENERATION, "rain")), False),
        (0.9, (MediaPart(PICTURE),), False),
    ],
)
def test_only_plain_chat_among_plain_chat_is_left_to_the_frozen_model(built, plain: float, before: tuple[Part, ...], left: bool):
    _, vocabulary = built
    earlier = (*asked("hello").messages, Message("assistant", before)) if before else ()
    conversation = Conversation((*earlier, *asked("why is the sky blue?").messages))
    kinds = frozenset(artefact.kind for artefact in conversation.artefacts().values())
    assert Guide(Told(END, plain=plain), vocabulary, kinds, False).leaves_to_the_frozen_model(conversation) is left


def test_an_answer_left_to_the_frozen_model_has_no_tags(built, monkeypatch):
    network, vocabulary = built
    model = TinyModel(network, vocabulary, None, TASK_TAGS)
    monkeypatch.setattr(model, "intents", SimpleNamespace(read=lambda _: Told(END, plain=0.9)))
    options, frozen = GenerationOptions(max_new_tokens=40, temperature=2.0), Decoder.__init__
    seen = []
    monkeypatch.setattr(Decoder, "__init__", lambda self, *given, **named: (seen.append(named), frozen(self, *given, **named))[1])
    answer = model.generate(asked("why is the sky blue?"), options, threading.Event())
    text, facts = "", {}
    try:
        while True:
            text += next(answer)
    except StopIteration as end:
        facts = end.value
    assert seen == [{"frozen": True, "adapters": ""}] and text and "<" not in text and facts["frozen"] == 1.0


def test_two_answers_at_once_are_each_as_by_itself(built):
    """What one thread adds to a pass, or switches off in it, does not reach the other's; nor whether turn marks count in its words."""
    network, vocabulary = built
    scenes = [make_scene(seed) for seed in (3, 4)]

    def begun(number: int) -> tuple[list[int], torch.Tensor]:
        picture = {"img-1": project(network, vocabulary, scenes[number])}
        conversation = asked("what is <|im_end|> on the left?", PICTURE)
        counts, boxes = {"img-1": len(picture["img-1"].image)}, {"img-1": tuple(region.box for region in scenes[number].regions)}
        tokens = vocabulary.tokenize(render_conversation(conversation), counts, boxes)
        return tokens.ids, Decoder(network, tokens, picture, frozen=number == 1).logits

    alone = [begun(0), begun(1)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(begun, [0, 1] * 60))
    for number, (ids, logits) in enumerate(together):
        assert ids == alone[number % 2][0]
        assert torch.allclose(logits, alone[number % 2][1], atol=1e-4)


# ---- the committed weights ----

THINGS = (
    "comb", "couch", "tie", "plate", "cook", "fir", "pair of shorts", "notebook", "spruce", "paintbrush", "pie", "candle", "sandwich",
    "bomb", "flame", "temple", "onion", "dancer", "magnet", "bear", "butterfly", "scooter", "mango", "stop sign",
)  # fmt: skip


@pytest.fixture(scope="module")
def committed():
    from unified_demo.model.tiny import load_multimodal_lm
    from unified_demo.zoo import Zoo

    settings = Settings()
    return load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model


@pytest.mark.weights
def test_plain_things_are_drawn(committed):
    drawn = {thing: "".join(_answer(committed, asked(f"draw a {thing}"))) for thing in THINGS}
    assert sum("<gen>" in answer for answer in drawn.values()) >= len(THINGS) - 1, drawn


@pytest.mark.weights
@pytest.mark.parametrize(
    ("text", "kinds", "calls"),
    [
        ("cut out the dog", {MediaKind.IMAGE}, ("seg",)),
        ("where is the dog?", {MediaKind.IMAGE}, ()),
        ("remove the dog", {MediaKind.IMAGE}, ("redit",)),
        ("make it winter", {MediaKind.IMAGE}, ("edit",)),
        ("the sound of rain", set(), ("agen",)),
        ("a short clip of waves, please", set(), ("vgen",)),
        ("what is the capital of France?", set(), ()),
        ("画一只猫", set(), ("gen",)),
        ("draw a lighthouse and make the sound of waves", set(), ("gen", "agen")),
    ],
)
def test_the_committed_head_reads_plain_wishes(committed, text: str, kinds: set[MediaKind], calls: tuple[str, ...]):
    media = [Artefact(f"{kind.value}-1", kind, Path("1.png")) for kind in kinds]
    assert committed.guide(asked(text, *media), frozenset(kinds), False).intent.plan() == calls


def _answer(model: TinyModel, conversation: Conversation) -> list[str]:
    return list(model.generate(conversation, GenerationOptions(max_new_tokens=24), threading.Event()))
