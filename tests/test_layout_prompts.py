"""Prompts of layouts: what is said is what is planned, in number and in place."""

import json
import random
import re
from pathlib import Path

import pytest

from unified_demo.data.exchanges import countable_of
from unified_demo.data.knowledge import knowledge
from unified_demo.data.layout_prompts import draw_planned, read_planned
from unified_demo.errors import MediaError
from unified_demo.evaluation.layout_metrics import Planned, spatial_correct
from unified_demo.nouns import NUMBERS

LABELS = tuple(knowledge())
DRAWN = [draw_planned(random.Random(seed), LABELS, countable_of(LABELS)) for seed in range(600)]


def test_phrases_stand_in_the_prompt_in_order_and_have_boxes() -> None:
    for prompt, groups in DRAWN:
        places = [prompt.find(group.phrase) for group in groups]
        assert min(places) >= 0 and places == sorted(places), prompt
        assert all(group.boxes for group in groups)


def test_numbers_that_are_said_are_planned() -> None:
    told = 0
    for prompt, groups in DRAWN:
        for group in groups:
            first = group.phrase.split()[0].lower()
            if first in NUMBERS:
                told += 1
                assert len(group.boxes) == NUMBERS.index(first), prompt
            elif first in ("a", "an") and not group.phrase.startswith("a few"):
                assert len(group.boxes) == 1, prompt
    assert told > 300


def test_comparisons_hold() -> None:
    seen = set()
    for prompt, (first, *rest) in DRAWN:
        found = re.findall("more|less|fewer|equal|same", prompt)
        if found:
            sign = {"more": 1, "equal": 0, "same": 0}.get(found[0], -1)
            seen.add(sign)
            difference = len(first.boxes) - len(rest[0].boxes)
            assert (difference > 0) - (difference < 0) == sign, prompt
    assert seen == {-1, 0, 1}


def test_the_training_part_of_nsr1k_is_planned_anew(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "obj1": ["cat", [0.1, 0.1, 0.2, 0.2]], "obj2": ["bottle", [0.6, 0.1, 0.2, 0.2]], "relation": relation, "prompt": prompt,
         "image_id": 1, "type": "template"}
        for relation, prompt in [("left", "a cat to the left of a bottle"), ("top", "A cat on top of a large green bottle.")]
    ]  # fmt: skip
    (tmp_path / "spatial.train.json").write_text(json.dumps(rows))
    planned = read_planned(tmp_path)
    assert [prompt for prompt, _ in planned] == ["a cat to the left of a bottle", "A cat on top of a large green bottle"]
    for (_, groups), row in zip(planned, rows, strict=True):
        things = [Planned(group.label, group.boxes[0]) for group in groups]
        assert spatial_correct("cat", str(row["relation"]), "bottle", things)
    assert [group.phrase for group in planned[1][1]] == ["A cat", "bottle"]


def test_a_folder_without_prompts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        read_planned(tmp_path)
