"""Chinese that is known is put into English before the network reads it; everything else stays as it is."""

import threading
import tomllib
from functools import cache
from pathlib import Path

import pytest

from unified_demo.config import GenerationOptions, Settings
from unified_demo.grammar import TASKS, MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart
from unified_demo.model.backend import TinyModel
from unified_demo.model.chinese import MEASURES, WORDS_FILE, conversation_in_english, in_english
from unified_demo.model.naming import Names
from unified_demo.model.tiny import load_multimodal_lm
from unified_demo.zoo import Zoo


@pytest.mark.parametrize(
    ("chinese", "english"),
    [
        ("画一只红色的章鱼和一顶黄色的皇冠", "画 a red octopus and a yellow crown"),
        ("畫兩隻貓頭鷹", "画 two owls"),
        ("画一只戴着蓝色围巾的刺猬", "画 a hedgehog wearing blue scarf"),
        ("画一只企鹅在灭火器的右边", "画 a penguin to the right of fire extinguisher"),
        ("左边的狗", "left dog"),
        ("给我来六只小螃蟹", "给我来 six small crabs"),
        ("给我画一碗汤", "给我画 soup"),
        ("把桌子上的杯子去掉", "把 cup on table 去掉"),
        ("圈出沙发旁边的猫", "圈出 cat next to couch"),
        ("把小猫放在桌子上", "把 cat on table"),
        ("一個紅蘋果", "a red apple"),
        ("来张图,木头做的跷跷板", "来张图, wooden seesaw"),
        ("画一张图", "画一张图"),
        ("你好,你是谁?", "你好,你是谁?"),
        ("把它变成水彩画", "把它变成水彩画"),
        ("a red octopus", "a red octopus"),
        ("", ""),
    ],
)
def test_known_words_are_put_into_english(chinese: str, english: str) -> None:
    assert in_english(chinese) == english


@pytest.mark.parametrize("text", ["机器人们在说话", "这本书包括什么", "火车站在哪里", "请你画画", "中国山水画"])
def test_a_single_character_within_another_word_is_no_noun(text: str) -> None:
    said = in_english(text)
    assert not {"person", "bag", "fire", "mountain", "sheep"} & set(said.split()), said


def test_what_was_put_stays_put() -> None:
    for row in ("画一只红色的章鱼和一顶黄色的皇冠", "三只猫在沙发的左边", "把围巾改成绿色"):
        assert in_english(in_english(row)) == in_english(row)


def test_only_words_change_in_a_conversation() -> None:
    picture = MediaPart(Artefact("img-1", MediaKind.IMAGE, Path("1.png")))
    told = Conversation((Message("user", (picture, TextPart("圈出长颈鹿"))), Message("assistant", (TextPart("Here is the giraffe."),))))
    first, second = conversation_in_english(told).messages
    assert first.parts == (picture, TextPart("圈出 giraffe")) and second == told.messages[1]


def test_no_word_means_two_things_and_each_is_simplified() -> None:
    table = tomllib.loads(WORDS_FILE.read_text("utf-8"))
    words = [word for part in ("nouns", "words") for row in table[part].values() for word in row]
    assert len(words) == len(set(words)) and len(table["nouns"]) > 800
    traditional, simplified = table["script"]["traditional"], table["script"]["simplified"]
    assert len(traditional) == len(simplified) == len(set(traditional)) and not set(traditional) & set(simplified)
    assert not set(traditional) & set("".join(words)) and not set(MEASURES) & set(traditional)


@pytest.mark.weights
def test_what_can_be_found_has_a_chinese_name() -> None:
    settings = Settings()
    nouns = set(Names.load(Zoo(settings.cache_dir, settings.weights_dir).path("tiny_names")).nouns)
    assert len(nouns & set(tomllib.loads(WORDS_FILE.read_text("utf-8"))["nouns"])) > 0.8 * len(nouns)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("画一只红色的章鱼和一顶黄色的皇冠", ("red octopus", "yellow crown")),
        ("畫兩隻貓頭鷹", ("two owls",)),
        ("能不能画个金色的萨克斯", ("golden saxophone",)),
    ],
)
def test_the_committed_model_tells_the_tool_what_was_wished_in_chinese(wish: str, words: tuple[str, ...]) -> None:
    model = committed_model()
    said = "".join(model.generate(Conversation((Message("user", (TextPart(wish),)),)), GenerationOptions(), threading.Event()))
    assert said.count("<gen>") and all(word in said for word in words), said


@cache
def committed_model() -> TinyModel:
    settings = Settings()
    return load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model
