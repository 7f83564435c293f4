"""Plain chat that the frozen model makes up, and training that stays close to it."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_model import make_network

from unified_demo.errors import MediaError
from unified_demo.messages import TextPart
from unified_demo.training import chats
from unified_demo.training.loop import Example, LoopOptions, Trainer
from unified_demo.training.recipes import RECIPES, stream

ASKED = ["What is rain made of?", "Draw me a horse, please", "hm", "Why is the sky blue at noon?", "a line\nand another one"]


def scripted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """``_continue`` answers a system prompt with ASKED and a question with itself in capitals; returns what it was asked."""
    prompts: list[list[str]] = []

    def answer(_model: object, _tokenizer: object, batch: list[str], _most: int, _sampled: bool = True) -> list[str]:
        prompts.append(batch)
        if batch[0].endswith("user\n"):
            return ASKED
        return [prompt.split("user\n")[-1].split("<|im_end|>")[0].upper() for prompt in batch]

    monkeypatch.setattr(chats, "_continue", answer)
    return prompts


def test_only_plain_questions_are_kept_and_each_has_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = scripted(monkeypatch)
    made = list(chats.sample_chats(None, None, 3, 0))
    assert made == [(text, text.upper()) for text in ("What is rain made of?", "Why is the sky blue at noon?", "What is rain made of?")]
    assert all(prompt.startswith("<|im_start|>system\n") for batch in prompts for prompt in batch)
    assert prompts[1][0].endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_own_questions_are_plain_english_and_each_has_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)
    own = chats.own_questions()
    assert len(own) > 140 and len(set(own)) == len(own)
    assert not [text for text in own if re.search(r"\b(picture|video|song|you\b)", text, re.IGNORECASE)]
    assert list(chats.answer_own(None, None)) == [(text, text.upper()) for text in own]


@pytest.mark.parametrize(("cut", "whole"), [("Yes. It is", "Yes."), ("Oh! Well, 1.5 m is? But", "Oh! Well, 1.5 m is?"), ("and so on", "")])
def test_an_answer_that_was_cut_off_ends_with_a_sentence(cut: str, whole: str) -> None:
    assert chats.whole_sentences(cut) == whole


def test_training_gives_plain_questions_the_frozen_models_answers(tmp_path: Path) -> None:
    """Also with talk around them; nothing else is answered otherwise."""
    own = chats.own_questions()
    chats.write_chats(((text, f"Frozen {number}. And") for number, text in enumerate(own)), tmp_path / "c")
    recipe = replace(RECIPES["multitask"], layouts=0.0, plain=0.0, multitask=1.0)
    chats.write_chats(iter([("Nobody asks this of us?", "No.")]), tmp_path / "others")
    plain, changed = (stream(recipe, None, None, tmp_path / file) for file in ("others", "c"))
    found = 0
    for seed in range(400):
        before, after = (draw(random.Random(seed)).conversation.messages for draw in (plain, changed))
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            if old == new:
                continue
            asked = "".join(part.text for part in before[place - 1].parts if isinstance(part, TextPart))
            (said,) = new.parts
            (number,) = re.fullmatch(r"Frozen (\d+)\.", said.text).groups()
            assert own[int(number)] in asked
            found += 1
    assert found >= 2


def test_chats_survive_their_file_and_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "chats.jsonl"
    assert chats.write_chats(iter([("a?", "b."), ("你好", "hello")]), path) == 2
    assert [[part.text for message in chat.messages for part in message.parts] for chat in chats.read_chats(path)] == [
        ["a?", "b."], ["你好", "hello"],
    ]  # fmt: skip
    path.write_text(path.read_text(encoding="utf-8") + "{broken\n", encoding="utf-8")
    with pytest.raises(MediaError, match=r"chats\.jsonl:3"):
        chats.read_chats(path)


def test_a_model_of_two_layers_makes_up_chat() -> None:
    network, vocabulary = make_network()
    said = chats._continue(network.language_model, vocabulary.tokenizer, ["<|im_start|>user\n", "<|im_start|>user\nsegment"], 6)
    assert len(said) == 2 and all("<|im" not in text for text in said)


def test_training_on_kept_chat_brings_the_model_back(tmp_path: Path) -> None:
    """Adapters that are far off move towards the frozen model; the words they are given do not matter for that."""
    network, vocabulary = make_network()
    chats.write_chats(
        iter([("Why is it red?", "segment the dog on the left"), ("Who?", "Here is the cat, I cannot see it.")]), tmp_path / "c"
    )
    kept = chats.read_chats(tmp_path / "c")
    options = LoopOptions(minutes=5, steps=24, batch=2, lr=1e-2, lora_lr=1e-2, warmup_steps=2)
    trainer = Trainer(network, vocabulary, lambda rng: Example({}, rng.choice(kept), keep=True), options, tmp_path / "run")
    figures: list[dict] = []
    trainer.run(figures.append)
    drifts = [row["drift"] for row in figures]
    assert all(drift > 0 for drift in drifts)
    assert sum(drifts[-4:]) < 0.5 * sum(drifts[:4]), drifts
