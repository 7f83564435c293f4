"""Which noun answers a question: the table of questions, the maps, and that what nobody asked for in training has its place."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import make_network

from unified_demo.config import Settings
from unified_demo.data.questions import QUESTIONS_FILE, Asked, asked_questions
from unified_demo.data.reasons import PURPOSES_FILE, facts
from unified_demo.data.split import part_of_noun
from unified_demo.errors import MediaError, ModelLoadError
from unified_demo.grammar import Box
from unified_demo.model.answers import FRAME_BEFORE, FRAME_BEHIND, AnswerMaps, AnswerReader, question_state
from unified_demo.model.decoding_seen import NamesWhatIsAskedFor, SaysWhatWasFound
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.likelihood import FRAME
from unified_demo.model.passes import switched_off
from unified_demo.regions import COLOURS, PARTS, Region
from unified_demo.training.answers import AnswerOptions, learn, save_answers
from unified_demo.zoo import Zoo

RNG = np.random.default_rng(1)
MEANING = {noun: torch.from_numpy(RNG.normal(size=32).astype(np.float32)) for noun in ("hammer", "umbrella", "camel", "mallet", "boat")}
HIDDEN = 16


def question(noun: str) -> torch.Tensor:
    """As if the language model had read a question about it."""
    return MEANING[noun] + 0.3 * torch.from_numpy(RNG.normal(size=2 * HIDDEN).astype(np.float32))


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> AnswerMaps:
    """Learnt here from made up states; nobody asks for a boat, and a mallet drives in nails like a hammer."""
    asked = [Asked(noun, f"{noun} {number}", frozenset()) for noun in ("hammer", "umbrella", "camel") for number in range(60)]
    asked += [Asked("mallet", f"mallet {number}", frozenset({"hammer"})) for number in range(60)]
    states = torch.stack([question(one.noun) for one in asked])
    learnt = learn(asked, states, MEANING, AnswerOptions(epochs=30, batch=32, lr=1e-2, dropout=0.1))
    path = tmp_path_factory.mktemp("answers") / "answers.safetensors"
    save_answers(path, learnt, list(MEANING), torch.stack(list(MEANING.values())))
    return AnswerMaps.load(path)


# ---- the table ----


PURPOSES = {question for fact in facts(PURPOSES_FILE) for question in fact.ask}


def test_no_question_asks_for_a_held_out_noun_or_is_one_of_the_benchmark():
    asked = asked_questions()
    assert len(asked) > 6000 and len({one.noun for one in asked}) > 1000
    assert all(part_of_noun(one.noun) == "train" for one in asked)
    own = [one for one in asked if one.question not in PURPOSES]
    assert all(part_of_noun(noun) == "train" for one in own for noun in one.also)
    assert not {question.lower() for fact in facts() for question in fact.ask} & {one.question.lower() for one in own}


def test_no_question_names_what_it_means():
    told = [one for one in asked_questions() if one.question not in PURPOSES and f" {one.noun.lower()} " in f" {one.question.lower()} "]
    assert told == []


def test_what_serves_the_same_end_is_told_and_is_another_noun():
    asked = asked_questions()
    assert all(one.noun not in one.also for one in asked) and sum(bool(one.also) for one in asked) > 3000


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "questions.toml").write_text("[umbrella\n")
    with pytest.raises(MediaError, match=r"questions\.toml, cannot be read"):
        asked_questions(tmp_path / "questions.toml")
    (tmp_path / "questions.toml").write_text("umbrella = 3\n")
    with pytest.raises(MediaError, match=r"questions\.toml, cannot be read"):
        asked_questions(tmp_path / "questions.toml")
    assert QUESTIONS_FILE.exists()


# ---- the maps ----


def test_a_question_means_its_noun_and_shares_add_up(maps: AnswerMaps):
    nouns = list(MEANING)
    for noun in ("umbrella", "camel", "mallet"):
        shares = maps.shares(question(noun), nouns)
        assert nouns[int(shares.argmax())] == noun and np.exp(shares).sum() == pytest.approx(1.0, abs=1e-4)
    few = maps.shares(question("camel"), ["boat", "camel"])
    assert few.shape == (2,) and few[1] > few[0] and np.exp(few).sum() == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(KeyError):
        maps.shares(question("camel"), ["unicorn"])


def test_what_would_do_as_well_is_not_unlearnt(maps: AnswerMaps):
    nouns = [noun for noun in MEANING if noun != "boat"]
    states = [question("mallet") for _ in range(40)]
    shares = np.mean([maps.shares(state, nouns) for state in states], axis=0)
    strict = [Asked(noun, f"{noun} {number}", frozenset()) for noun in nouns for number in range(60)]
    learnt = learn(
        strict, torch.stack([question(one.noun) for one in strict]), MEANING, AnswerOptions(epochs=30, batch=32, lr=1e-2, dropout=0.1)
    )
    with torch.no_grad():
        other = learnt(torch.stack(states), torch.stack([MEANING[noun] for noun in nouns])).log_softmax(-1).mean(0).numpy()
    assert shares[nouns.index("hammer")] > other[nouns.index("hammer")]


def test_the_same_seed_learns_the_same():
    asked = [Asked(noun, noun, frozenset()) for noun in MEANING]
    states = torch.stack(list(MEANING.values()))
    first, second = (learn(asked, states, MEANING, AnswerOptions(epochs=2, batch=5)) for _ in range(2))
    assert torch.equal(first.question.weight, second.question.weight)


def test_the_state_of_a_question_is_what_is_about_to_answer_and_its_mean():
    states = torch.arange(20.0).view(10, 2)
    state = question_state(states)
    assert state.tolist() == [18.0, 19.0, *states[FRAME_BEFORE : 10 - FRAME_BEHIND].mean(0).tolist()]


def test_the_reader_reads_with_the_tuning_off():
    network, vocabulary = make_network()
    hidden = network.language_model.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "mean": torch.zeros(2 * hidden), "deviation": torch.ones(2 * hidden), "scale": torch.tensor(5.0),
        "question.weight": torch.randn(8, 2 * hidden, generator=generator), "question.bias": torch.zeros(8),
        "vectors": torch.nn.functional.normalize(torch.randn(3, 8, generator=generator), dim=-1),
    }  # fmt: skip
    maps = AnswerMaps(["bus", "lemon", "owl"], tensors)
    reader = AnswerReader(maps, network.language_model, vocabulary)
    asked = "what would you squeeze into tea?"
    with torch.no_grad(), switched_off():
        states = network.language_model.model(input_ids=torch.tensor([vocabulary.encode(FRAME.format(asked))])).last_hidden_state[0]
    assert np.allclose(reader.shares(asked, ["owl", "lemon"]), maps.shares(question_state(states), ["owl", "lemon"]), atol=1e-5)
    assert np.allclose(reader.shares(f"{asked} Segment it.", ["owl", "lemon"]), reader.shares(asked, ["owl", "lemon"]))
    assert reader.gains(asked, ["owl", "ewe", "lemon"]).keys() == {"owl", "lemon"} and reader.gains(asked, ["ewe"]) == {}
    assert reader.knows("owl") and not reader.knows("ewe")


def test_a_file_that_does_not_fit_is_named(tmp_path: Path):
    (tmp_path / "answers.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelLoadError, match=r"answers\.safetensors does not fit"):
        AnswerMaps.load(tmp_path / "answers.safetensors")


@pytest.mark.weights
def test_the_committed_maps_answer_questions_that_training_did_not_ask():
    from unified_demo.grammar import TASKS
    from unified_demo.model.tiny import load_multimodal_lm

    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    model = load_multimodal_lm(settings, zoo, tuple(TASKS.values())).model
    maps = AnswerMaps.load(zoo.path("tiny_answers"))
    reader = AnswerReader(maps, model.network.language_model, model.vocabulary)
    there = ["umbrella", "camel", "washing machine", "violin", "pizza", "ladder", "candle"]
    for asked, noun in [
        ("What would keep me dry on the way to the bus stop?", "umbrella"),
        ("My shirts are dirty, what helps?", "washing machine"),
        ("Which one is an instrument with strings?", "violin"),
        ("The power is out: what could give us some light?", "candle"),
        ("What would I climb to pick apples?", "ladder"),
    ]:
        assert there[int(reader.shares(asked, there).argmax())] == noun, asked


# ---- how the answer is written ----


def written_so_far(vocabulary, text: str, **told) -> DecodingState:
    state = DecodingState(vocabulary, [], {}, (), believed={"kite"}, unnamed=True, **told)
    for piece in re.split(r"(</?\w+>)", text):
        for token in [vocabulary.tag_ids[piece]] if piece in vocabulary.tag_ids else vocabulary.encode(piece):
            state.add(token)
    return state


def allowed(rule, state: DecodingState) -> set[int]:
    logits = torch.zeros(state.vocabulary.point_base)
    rule.apply(logits, state)
    return set(torch.isfinite(logits).nonzero()[:, 0].tolist())


@pytest.mark.parametrize(("count", "word"), [(1, " kite"), (2, " kites")])
def test_what_was_found_is_named_in_its_number(count: int, word: str):
    _, vocabulary = make_network()
    state = written_so_far(vocabulary, "<p>The", found=True)
    colours = np.zeros((PARTS, len(COLOURS)), np.float32)
    state.seen = {"img-1": [Region("kite", 0.9, Box(0.1 * place, 0.1, 0.4, 0.4), colours) for place in range(count)]}
    assert allowed(NamesWhatIsAskedFor(vocabulary), state) == {vocabulary.encode(word)[0]}


def test_nothing_is_claimed_of_what_was_found_by_its_looks():
    _, vocabulary = make_network()
    rule, everything = SaysWhatWasFound(vocabulary), set(range(vocabulary.point_base))
    stop, box = vocabulary.encode(".")[0], vocabulary.tag_ids["<box>"]
    boxed = "<p>The kite</p><box>[1,2,3,4]</box>"
    assert allowed(rule, written_so_far(vocabulary, boxed, found=True)) == {stop, box}
    assert allowed(rule, written_so_far(vocabulary, "", found=True)) == {vocabulary.tag_ids["<p>"], vocabulary.encode("Here")[0]}
    ended = allowed(rule, written_so_far(vocabulary, f"{boxed}.", found=True))
    assert vocabulary.end_id in ended and vocabulary.tag_ids["<seg>"] in ended and stop not in ended and box not in ended
    for text, found in [("<p>The kite</p>", True), ("Here is", True), (f"{boxed}.<seg>the", True), (boxed, False)]:
        assert allowed(rule, written_so_far(vocabulary, text, found=found)) == everything, text
