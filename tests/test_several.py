"""Messages with several wishes: each one is drawn, its calls mean what is attached or made before, and its things are named."""

import random
from collections import Counter

import pytest
from test_requests import context_of, said

from unified_demo.data.exchanges import carry_out
from unified_demo.data.several import SLOTS, Bundle, SeveralWriter, Step, bundles
from unified_demo.data.split import held_out_objects
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.messages import MediaPart

LANGUAGES = ("english", "chinese")
ATTACHED = (MediaKind.IMAGE, MediaKind.VIDEO)


def writer(seed: int, kinds: tuple[MediaKind, ...] = ATTACHED) -> SeveralWriter:
    return SeveralWriter(random.Random(seed), context_of(seed, kinds))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_well_made(language: str) -> None:
    found = bundles(language)
    assert len(found) >= 190 and len({bundle.asked for bundle in found}) == len(found)
    for bundle in found:
        assert len(bundle.steps) in (2, 3), bundle.asked
        for place, step in enumerate(bundle.steps, start=1):
            used = [slot for slot in SLOTS if f"{{{slot}}}" in step.told]
            pointing = step.task in (Task.IMAGE_SEGMENTATION, Task.VIDEO_SEGMENTATION, Task.REASONING_EDITING)
            assert pointing <= len(used) <= 1 and 0 <= step.of < place, bundle.asked
            if step.of:
                gives = TASKS[bundle.steps[step.of - 1].task].gives
                assert gives in TASKS[step.task].needs, bundle.asked
        assert all(f"{{{slot}}}" in bundle.asked for slot in bundle.slots), bundle.asked
        assert not any(f" {noun} " in f" {step.told} " for noun in held_out_objects() for step in bundle.steps), bundle.asked
    kinds = Counter(step.task for bundle in found for step in bundle.steps)
    assert all(kinds[task] >= 10 for task in TASKS if task != Task.LAYOUT_GENERATION)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_drawn_refers_to_what_is_there(language: str) -> None:
    drawn = 0
    for seed in range(200):
        made = writer(seed).bundle(language)
        if not made:
            continue
        drawn += 1
        context = context_of(seed, ATTACHED)
        known = {seen.id for seen in context.seen.values()}
        assert "{" not in said(made) and all("{" not in call.prompt for call in made.calls())
        parts = carry_out(context, made)
        for part in parts:
            if isinstance(part, MediaPart):
                known.add(part.artefact.id)
            for ref in getattr(part, "refs", ()):
                assert ref in known
        assert len(made.outcomes) == len(made.calls())
    assert drawn > 150


def test_a_thing_of_an_earlier_result_is_marked_in_that_result() -> None:
    bundle = Bundle(
        "winter, and without {e}", (Step(Task.IMAGE_EDITING, "make it winter"), Step(Task.REASONING_EDITING, "remove {e}", 1)), "english"
    )
    made = writer(3, (MediaKind.IMAGE,)).filled(bundle)
    assert made is not None
    winter, removal = made.calls()
    assert winter.refs == ("img-1",) and removal.refs == ("img-2",)
    assert [region.artefact_id for region in removal.regions] == ["img-2"] and removal.prompt.startswith("remove the ")


def test_without_a_picture_only_what_needs_none_is_asked() -> None:
    for seed in range(60):
        made = writer(seed, ()).bundle("english")
        assert made is None or {call.task for call in made.calls() if not call.refs} <= {
            Task.IMAGE_GENERATION,
            Task.VIDEO_GENERATION,
            Task.AUDIO_GENERATION,
        }
