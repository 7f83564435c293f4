"""Scene plans: what they contain, what they never contain, and that they are the same for the same seed."""

import json
import logging
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from tiny_cutouts import tiny_catalogue, write_tiny_assets

from unified_demo.data import split
from unified_demo.data.expressions import Describer, knowledge
from unified_demo.data.layouts import MAX_OVERLAP
from unified_demo.data.plans import RELATIONS, Catalogue, draw_plan, plan_to_scene, read_catalogue, without_object
from unified_demo.data.relations import holds
from unified_demo.data.split import held_out_objects, held_out_relations, held_out_templates, never_seen_objects, part_of_noun
from unified_demo.errors import MediaError
from unified_demo.regions import COLOURS, WHOLE_PICTURE

CATALOGUE = tiny_catalogue()


def plans(count: int, part: split.Part = "train", seed: int = 5) -> list:
    rng = random.Random(seed)
    return [draw_plan(rng, CATALOGUE, part) for _ in range(count)]


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert plans(20) == plans(20)
    assert plans(20) != plans(20, seed=6)


def test_training_plans_have_no_held_out_noun_and_no_held_out_relation() -> None:
    drawn = plans(400)
    nouns = {item.noun for plan in drawn for item in plan.objects}
    assert nouns == {"table", "cat", "fox", "apple", "person", "ball", "car", "basket", "bird", "cup", "airplane"}
    words = {word for plan in drawn for _, word, _ in plan.links}
    assert words == set(RELATIONS) - held_out_relations()


def test_held_out_plans_each_have_a_held_out_thing() -> None:
    drawn = plans(200, "held_out")
    assert all({item.noun for item in plan.objects} & {"umbrella", "zebra"} for plan in drawn)
    assert held_out_relations() <= {word for plan in drawn for _, word, _ in plan.links}


@pytest.mark.parametrize("word", RELATIONS)
def test_a_relation_that_is_asked_for_is_there_and_true(word: str) -> None:
    rng = random.Random(3)
    found = 0
    for _ in range(30):
        plan = draw_plan(rng, CATALOGUE, "held_out", relation=word)
        for first, said, second in plan.links:
            found += said == word
            assert holds(said, plan.objects[first].box, plan.objects[second].box), (said, plan.objects[first], plan.objects[second])
    assert found >= 10


def test_unrelated_things_hardly_overlap() -> None:
    for plan in plans(200):
        linked = {frozenset((first, second)) for first, _, second in plan.links}
        beside = {index for pair in linked for index in pair}
        for first, second in combinations(range(len(plan.objects)), 2):
            if frozenset((first, second)) in linked or (first in beside and second in beside):
                continue
            a, b = plan.objects[first].box, plan.objects[second].box
            shared = max(0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0, min(a.y1, b.y1) - max(a.y0, b.y0))
            assert shared <= (MAX_OVERLAP + 0.05) * min(a.area, b.area)


def test_groups_sizes_and_colours_vary() -> None:
    drawn = plans(400)
    counts = Counter(count for plan in drawn for count in Counter(item.noun for item in plan.objects).values())
    assert set(range(1, 7)) <= set(counts)
    areas = [item.box.area for plan in drawn for item in plan.objects if item.noun == "apple"]
    assert max(areas) > 6 * min(areas)
    assert len({item.colour for plan in drawn for item in plan.objects if item.noun == "ball"}) >= 6
    assert {item.colour for plan in drawn for item in plan.objects if item.noun == "cat"} == {"gray"}


def test_boxes_lie_on_the_pixel_grid() -> None:
    for plan in plans(50):
        for item in plan.objects:
            for value, side in zip(item.box.as_tuple(), (plan.width, plan.height) * 2, strict=True):
                assert abs(value * side - round(value * side)) < 1e-9


def test_asked_for_things_are_there() -> None:
    plan = draw_plan(random.Random(0), CATALOGUE, nouns=("car", "cat"), background="drawn")
    assert {"car", "cat"} <= {item.noun for item in plan.objects}
    assert plan.background.startswith("drawn:")
    with pytest.raises(MediaError, match="no 'zebra' in the part 'train'"):
        draw_plan(random.Random(0), CATALOGUE, nouns=("zebra",))
    with pytest.raises(MediaError, match="'in' is no relation of the part 'train'"):
        draw_plan(random.Random(0), CATALOGUE, relation="in")
    with pytest.raises(MediaError, match="no cut-outs"):
        draw_plan(random.Random(0), Catalogue(()))


def test_a_plan_becomes_a_scene_that_can_be_described() -> None:
    said = Counter()
    rng = random.Random(4)
    for plan in plans(150):
        scene = plan_to_scene(plan, CATALOGUE)
        assert scene.regions[0].label == WHOLE_PICTURE
        assert sorted(scene.regions[index].label for index in scene.things) == sorted(item.noun for item in plan.objects)
        for item in plan.objects:
            region = next(region for region in scene.regions if region.box == item.box and region.label == item.noun)
            assert region.colours.shape == (4, len(COLOURS))
            assert COLOURS[int(region.colours[0].argmax())] == item.colour
        expression = Describer(scene, rng).any()
        said[expression.kind if expression else None] += 1
    assert said["relation"] and said["colour"]


def test_taking_a_thing_away_keeps_the_other_links() -> None:
    rng = random.Random(2)
    plan = next(plan for plan in (draw_plan(rng, CATALOGUE, relation="on") for _ in range(50)) if plan.links and len(plan.objects) > 3)
    first, word, second = plan.links[0]
    other = next(index for index in range(len(plan.objects)) if index not in (first, second))
    rest = without_object(plan, other)
    names = {(rest.objects[a], said, rest.objects[b]) for a, said, b in rest.links}
    assert (plan.objects[first], word, plan.objects[second]) in names
    assert len(without_object(plan, first).links) < len(plan.links)


# ---- the split and the catalogue ----


def test_the_split_names_things_once_in_plain_words() -> None:
    text = split.SPLIT_FILE.read_text("utf-8")
    assert all(text.count(f'"{noun}"') == 1 + (noun not in never_seen_objects()) and noun == noun.lower() for noun in held_out_objects())
    labels = {*knowledge(), *(name for entry in knowledge().values() for name in entry.get("names", []))}
    assert not never_seen_objects() & labels
    assert 50 < len(never_seen_objects()) < len(held_out_objects())
    assert held_out_relations() < set(RELATIONS)
    assert isinstance(held_out_templates(), frozenset)


def test_the_head_of_a_noun_decides() -> None:
    assert part_of_noun("polar bear") == "held_out"
    assert part_of_noun("bear") == "train"
    assert part_of_noun("Toy helicopter") == "held_out"
    assert part_of_noun("umbrella stand") == "train"


def test_bad_entries_of_a_catalogue_are_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = write_tiny_assets(tmp_path)
    assert read_catalogue(tmp_path) == good
    path = tmp_path / "catalogue.json"
    content = json.loads(path.read_text())
    content["cutouts"][1]["file"] = "../elsewhere.png"
    content["cutouts"][2]["aspect"] = -1
    content["cutouts"][3]["colours"] = [1.0]
    content["cutouts"].append(content["cutouts"][0])
    content["cutouts"].append({"key": "x"})
    content["backgrounds"].append({"colour": "red"})
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        found = read_catalogue(tmp_path)
    assert found.skipped == 6
    assert len(found.cutouts) == len(good.cutouts) - 3
    assert "cut-out 1 skipped" in caplog.text and "there twice" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"version": 9, "cutouts": []}', '{"version": 1}'])
def test_a_catalogue_of_another_layout_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "catalogue.json").write_text(text)
    with pytest.raises(MediaError, match=r"catalogue\.json"):
        read_catalogue(tmp_path)


def test_a_missing_catalogue_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="data fetch"):
        read_catalogue(tmp_path)
