"""Slips of the keyboard."""

import random

from unified_demo.data.typos import misspelt


def test_a_slip_changes_a_word_or_two_a_little():
    rng = random.Random(0)
    text = "please describe the picture in one sentence"
    for _ in range(200):
        words = misspelt(rng, text).split()
        changed = [(old, new) for old, new in zip(text.split(), words, strict=True) if old != new]
        assert len(changed) <= 2
        for old, new in changed:
            assert len(old) >= 4 and abs(len(old) - len(new)) <= 2 and len(set(old) & set(new)) >= len(set(old)) - 2


def test_most_texts_are_changed_and_what_has_no_longer_word_stays():
    rng = random.Random(1)
    assert sum(misspelt(rng, "draw a horse") != "draw a horse" for _ in range(100)) > 80
    for text in ("hi", "你好，请画一只猫", "", "WHO IS IT"):
        assert misspelt(rng, text) == text
