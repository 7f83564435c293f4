"""Chinese requests: every task is asked for, the call is English, and what is pointed at is what the words say."""

import random
import re

import pytest
from test_requests import LABELS, context_of

from unified_demo.data.chinese import ChineseWriter, words
from unified_demo.data.context import Context
from unified_demo.data.exchanges import Exchange
from unified_demo.data.requests import draw_request
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
        assert len(labels) == 1 and names[next(iter(labels))][0] in asked(exchange)
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


def test_two_wishes_in_chinese_are_two_calls() -> None:
    made = [draw_request(random.Random(seed), "several", context_of(seed, BOTH)) for seed in range(200)]
    both = [exchange for exchange in made if exchange and exchange.chinese]
    assert len(both) > 5 and all([call.index for call in exchange.calls()] == [0, 1] for exchange in both)
