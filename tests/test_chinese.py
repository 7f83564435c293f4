"""Chinese requests: every task is asked for, the call is English, and what is pointed at is what the words say."""

import random
import re

import pytest
from test_requests import LABELS, context_of

from unified_demo.data.chinese import TRADITIONAL, ChineseWriter, in_script, to_traditional, words
from unified_demo.data.context import Context
from unified_demo.data.exchanges import Exchange
from unified_demo.data.requests import draw_request
from unified_demo.data.split import held_out_objects
from unified_demo.grammar import TASK_TAGS, MediaKind
from unified_demo.messages import RegionPart, TextPart

BOTH = (MediaKind.IMAGE, MediaKind.VIDEO)
CHINESE = re.compile("[\u4e00-\u9fff]")


def asked(exchange: Exchange) -> str:
    return "".join(part.text for part in exchange.user if isinstance(part, TextPart))


@pytest.mark.parametrize("task", [*TASK_TAGS, "ground", "caption", "question", "chat"])
def test_every_task_is_asked_for_in_chinese_and_answered_in_english(task: str) -> None:
    made = [ChineseWriter(random.Random(seed), context_of(seed, BOTH)).write(task) for seed in range(60)]
    exchanges = [exchange for exchange in made if exchange]
    assert len({asked(exchange) for exchange in exchanges}) > 5 and all(CHINESE.search(asked(exchange)) for exchange in exchanges)
    for exchange in exchanges:
        assert exchange.task == task and exchange.chinese
        answer = "".join(
            getattr(part, "text", "") or getattr(part, "phrase", "") or getattr(part, "prompt", "") for part in exchange.answer
        )
        assert answer and not CHINESE.search(answer)
    if task in TASK_TAGS:
        assert any(call.task == task for exchange in exchanges for call in exchange.calls())


def test_what_is_pointed_at_has_the_name_and_the_side_that_were_said() -> None:
    names, sides = words()["things"], 0
    for seed in range(200):
        context = context_of(seed, (MediaKind.IMAGE,))
        exchange = ChineseWriter(random.Random(seed), context).write("seg")
        if not exchange or exchange.manner != "call":
            continue
        scene = context.seen[exchange.about].scene
        assert scene
        (region,) = [part for part in exchange.answer if isinstance(part, RegionPart)]
        by_box = {scene.regions[index].box: scene.regions[index].label for index in scene.things}
        labels = {by_box[box] for box in region.boxes}
        name = names[next(iter(labels))][0]
        assert len(labels) == 1 and (name in asked(exchange) or name.translate(to_traditional()) in asked(exchange))
        if "左" in asked(exchange):
            sides += 1
            alike = [scene.regions[index].box for index in scene.things if scene.regions[index].label in labels]
            assert region.boxes[0].x0 + region.boxes[0].x1 == min(box.x0 + box.x1 for box in alike)
    assert sides > 2


def test_without_the_picture_it_needs_a_request_is_refused() -> None:
    for task in ("seg", "edit", "redit", "ivgen", "vseg", "vedit"):
        exchange = ChineseWriter(random.Random(1), Context(LABELS)).write(task)
        assert exchange and exchange.manner == "refuse" and not exchange.calls()


def test_training_draws_some_requests_in_chinese_and_the_held_out_part_none() -> None:
    drawn = {
        part: [draw_request(random.Random(seed), "gen", Context(LABELS, part)) for seed in range(150)] for part in ("train", "held_out")
    }
    share = sum(exchange.chinese for exchange in drawn["train"] if exchange) / 150
    assert 0.1 < share < 0.35
    assert not any(exchange.chinese for exchange in drawn["held_out"] if exchange)


def writable(text: str, encoding: str) -> bool:
    """GB 2312 has the Simplified characters, Big5 the Traditional ones."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("task", [*TASK_TAGS, "ground", "caption", "question", "several"])
def test_a_request_is_in_one_script_throughout_and_one_in_eight_is_traditional(task: str) -> None:
    drawn = [draw_request(random.Random(seed), task, context_of(seed, BOTH)) for seed in range(300)]
    requests = [asked(exchange) for exchange in drawn if exchange and exchange.chinese]
    traditional = [request for request in requests if not writable(request, "gb2312")]
    assert traditional and len(traditional) < 3 * TRADITIONAL * len(requests)
    assert [request for request in traditional if not writable(request, "big5")] == []


def test_every_request_has_many_words_in_both_scripts_and_none_twice() -> None:
    for key, requests in words()["ask"].items():
        assert len(set(requests)) == len(requests) >= 15, key
        assert len(in_script(key, True)) >= 3 and len(in_script(key, False)) >= 12, key


def test_what_chinese_requests_ask_for_anew_names_no_held_out_object() -> None:
    tables = ("more_things", "places", "doing", "styles", "changes", "motions", "films", "sounds")
    held = re.compile(r"\b(" + "|".join(map(re.escape, held_out_objects())) + r")s?\b")
    assert not [english for table in tables for english in words()[table] if held.search(english)]
    writers = [ChineseWriter(random.Random(seed), Context(LABELS)) for seed in range(400)]
    made = [writer.write(task) for writer in writers for task in ("gen", "vgen", "layout", "agen")]
    assert not [call.prompt for exchange in made if exchange for call in exchange.calls() if held.search(call.prompt)]


def test_two_wishes_in_chinese_are_two_calls() -> None:
    made = [draw_request(random.Random(seed), "several", context_of(seed, BOTH)) for seed in range(200)]
    both = [exchange for exchange in made if exchange and exchange.chinese]
    assert len(both) > 5 and all([call.index for call in exchange.calls()] in ([0, 1], [0, 1, 2]) for exchange in both)
