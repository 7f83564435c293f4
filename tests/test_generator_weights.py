"""The committed generator: words and boxes -> a picture of its own making, the same for a seed; steps, cancelling, refusals, recipe."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.config import Settings
from unified_demo.errors import ExpertError
from unified_demo.evaluation.generation_metrics import filled, foreground, painted, parts
from unified_demo.experts.adding import Adder
from unified_demo.experts.arrangement import arrange
from unified_demo.experts.base import Expert, ExpertRequest, Output, Progress
from unified_demo.experts.small_generators import GENERATOR, PIPELINE, build_specs, load_layer_painter, source
from unified_demo.experts.vocabulary import read_vocabulary
from unified_demo.grammar import Box, Task
from unified_demo.messages import RegionPart
from unified_demo.nouns import said
from unified_demo.training.generators.words import vocabulary
from unified_demo.zoo import Zoo

SIDE, STEPS = 256, 8
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo(Settings().cache_dir, Settings().weights_dir)


@pytest.fixture(scope="module")
def expert(zoo: Zoo) -> Iterator[Expert]:
    specs = {spec.task: spec for spec in build_specs(zoo)}
    assert set(specs) == {Task.IMAGE_GENERATION, Task.LAYOUT_GENERATION}
    yield specs[Task.IMAGE_GENERATION].load()


def drawn(expert: Expert, prompt: str, seed: int = 0, steps: int | None = None) -> Output:
    (output,) = [event for event in expert.run(ExpertRequest(prompt, seed=seed, steps=steps)) if isinstance(event, Output)]
    return output


def pixels(output: Output) -> np.ndarray:
    picture: Image.Image = output.value
    return np.asarray(picture)


def test_the_weights_are_small_enough_to_be_committed(zoo: Zoo) -> None:
    sizes = [path.stat().st_size for path in (zoo.weights_dir / "tiny" / GENERATOR).rglob("*")]
    assert max(sizes) <= 45 * MEGABYTE and sum(sizes) <= 80 * MEGABYTE


def test_every_noun_can_be_asked_for_and_is_one_thing(zoo: Zoo) -> None:
    words = read_vocabulary(str(zoo.weights_dir / "tiny" / GENERATOR))
    assert words is not None and len(vocabulary().looks) >= 400
    for noun in vocabulary().looks:
        assert words.check(said(noun, 1)) == ()
        assert [(group.phrase, group.count) for group in arrange(said(noun, 1), words).groups] == [(noun.lower(), 1)]


def test_a_prompt_gives_a_picture_step_by_step_and_its_recipe(expert: Expert) -> None:
    events = list(expert.run(ExpertRequest("a red car on the beach", seed=3)))
    steps = [event for event in events if isinstance(event, Progress)]
    assert [event.step for event in steps] == list(range(STEPS + 1)) and {event.steps for event in steps} == {STEPS}
    assert [event.step for event in steps if event.preview is not None] == [2, 4, 6]
    assert all(event.preview.size == (SIDE, SIDE) for event in steps if event.preview is not None)
    output = events[-1]
    assert isinstance(output, Output) and output.value.size == (SIDE, SIDE) and output.value.mode == "RGB"
    assert output.recipe["steps"] == STEPS and output.recipe["guidance"] > 1 and "left_out" not in output.recipe


def test_a_seed_gives_one_picture(expert: Expert) -> None:
    first, again, other = (pixels(drawn(expert, "a dog", seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(first, pixels(drawn(expert, "a picture of the dog, please", 1))), "filler says nothing"


def test_words_decide_what_is_drawn(expert: Expert) -> None:
    tree, heart, apple = (pixels(drawn(expert, prompt, steps=4)) for prompt in ("a tree", "a heart", "an apple"))
    assert painted(tree) == "green" and painted(heart) == painted(apple) == "red" and not np.array_equal(heart, apple)
    assert all(len(parts(foreground(picture))) == 1 for picture in (tree, heart, apple)), "one thing on a plain ground"
    umbrellas = {paint: painted(pixels(drawn(expert, f"a {paint} umbrella", steps=4))) for paint in ("red", "green", "blue")}
    assert umbrellas == {paint: paint for paint in umbrellas}
    night, snow = (pixels(drawn(expert, f"a cat, {place}", steps=4))[:16].mean() for place in ("night", "snow"))
    assert night < 90 < 150 < snow


def test_several_things_are_there_as_often_as_asked_for(expert: Expert) -> None:
    apples = drawn(expert, "three apples", steps=4)
    assert apples.value.size == (2 * SIDE, 2 * SIDE) and len(parts(foreground(pixels(apples)))) == 3
    pair = pixels(drawn(expert, "a green apple to the left of a red heart", steps=4))
    assert [painted(half) for half in np.split(pair, 2, axis=1)] == ["green", "red"]


def test_each_phrase_lands_in_its_box(expert: Expert) -> None:
    boxes = {"a red umbrella": Box(0.05, 0.1, 0.45, 0.5), "a tree": Box(0.5, 0.4, 0.95, 0.9)}
    regions = tuple(RegionPart(phrase, (box,)) for phrase, box in boxes.items())
    request = ExpertRequest("a red umbrella and a tree", regions=regions, steps=4)
    (output,) = [event for event in expert.run(request) if isinstance(event, Output)]
    for found, box in zip(filled(pixels(output), list(boxes.values())), boxes.values(), strict=True):
        assert found is not None and found.iou(box) > 0.5


def test_three_things_in_three_boxes_are_three(expert: Expert) -> None:
    boxes = (Box(0.05, 0.1, 0.3, 0.35), Box(0.4, 0.1, 0.65, 0.35), Box(0.2, 0.6, 0.45, 0.85))
    request = ExpertRequest("three apples", regions=(RegionPart("three apples", boxes),), steps=2)
    (output,) = [event for event in expert.run(request) if isinstance(event, Output)]
    assert [row["phrase"] for row in output.recipe["layout"]] == ["apple"] * 3
    assert [tuple(row["box"]) for row in output.recipe["layout"]] == [box.as_tuple() for box in boxes]


def test_what_is_added_to_a_photo_leaves_all_else_bit_by_bit(zoo: Zoo) -> None:
    place = source(zoo, GENERATOR, PIPELINE)
    assert place is not None
    with Image.open(Path(__file__).parent.parent / "assets" / "dog.jpg") as opened:
        photo = np.asarray(opened.convert("RGB"))
    box = Box(0.6, 0.1, 0.9, 0.5)
    run = Adder(load_layer_painter(place)).paint(ExpertRequest("add a balloon", steps=4), photo, box, "a red balloon")
    while True:
        try:
            next(run)
        except StopIteration as end:
            after = end.value
            break
    changed = (after != photo).any(axis=-1)
    inside = np.zeros_like(changed)
    height, width = changed.shape
    inside[round(0.1 * height) : round(0.5 * height), round(0.6 * width) : round(0.9 * width)] = True
    assert not changed[~inside].any() and 0.2 < changed[inside].mean() < 0.95
    assert painted(np.where(changed[..., None], after, 245).astype(np.uint8)) == "red"


def test_cancelling_ends_it_within_a_step(expert: Expert) -> None:
    stop = threading.Event()
    seen = []
    for event in expert.run(ExpertRequest("a tree", cancel=stop)):
        seen.append(event)
        if isinstance(event, Progress) and event.step == 2:
            stop.set()
    assert not any(isinstance(event, Output) for event in seen) and len(seen) <= 5


def test_what_it_has_not_learnt_is_refused(expert: Expert) -> None:
    with pytest.raises(ExpertError, match="'zeppelin' is not among"):
        drawn(expert, "a zeppelin")


def test_unknown_looks_are_left_out_and_told(expert: Expert) -> None:
    assert drawn(expert, "a sleepy dog", steps=1).recipe["left_out"] == ["sleepy"]
