"""Our MMUD-style benchmark on a handful of drawn cut-outs: labels agree with the plan, files survive reading, what is broken is named."""

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unified_demo.data.catalogue import Catalogue, CutoutInfo, read_catalogue, write_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.knowledge import knowledge
from unified_demo.data.labelling import captions, generation_prompt, refer
from unified_demo.data.masks import encode_runs
from unified_demo.data.mmud import LINES_FILE, build, main, read_mmud
from unified_demo.data.plans import Placed, ScenePlan
from unified_demo.data.published.reading import Complaints
from unified_demo.data.reasons import PURPOSES_FILE, facts, known_nouns, reason_about
from unified_demo.data.split import held_out_objects, part_of_noun
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.nouns import countable, definite, is_plural, listed, plural, said
from unified_demo.regions import COLOURS

NOUNS = {
    "dog": "animal", "hammer": "tool", "mug": "tableware", "pizza": "food", "guitar": "instrument", "table": "furniture",
    "umbrella": "clothing", "scissors": "tool", "teapot": "tableware", "zebra": "animal",
}  # fmt: skip


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    infos = []
    for number, (noun, category) in enumerate(NOUNS.items()):
        picture = Image.new("RGBA", (60, 60))
        ImageDraw.Draw(picture).ellipse((2, 2, 57, 57), fill=(200, 20 + number, 20, 255))
        picture.save(folder / f"{number}.png")
        shares = tuple(float(colour == "red") for colour in COLOURS)
        infos.append(CutoutInfo(f"t:{noun}", noun, category, (), "test", "CC0", 1.0, shares, f"{number}.png", 0.5, "photo", noun == "mug"))
    write_catalogue(Catalogue(tuple(infos)), folder)
    return folder


@pytest.fixture(scope="module")
def benchmark_folder(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mmud")
    main(argparse.Namespace(assets=assets, out=out, count=6, seed=3))
    return out


def plan_of(*nouns: str, links: tuple[tuple[int, str, int], ...] = (), background: str = "drawn:meadow") -> ScenePlan:
    objects = tuple(
        Placed(f"t:{noun}", noun, NOUNS[noun], Box(0.05 + 0.2 * place, 0.4, 0.2 + 0.2 * place, 0.6), "red", False, 0.0)
        for place, noun in enumerate(nouns)
    )
    return ScenePlan(1, 640, 480, background, objects, links)


# ---- words ----


@pytest.mark.parametrize(
    ("noun", "count", "adjective", "words"),
    [
        ("dog", 1, "", "a dog"),
        ("umbrella", 1, "", "an umbrella"),
        ("unicorn", 1, "", "a unicorn"),
        ("hourglass", 1, "", "an hourglass"),
        ("UFO", 1, "", "a UFO"),
        ("umbrella", 1, "red", "a red umbrella"),
        ("teapot", 3, "orange", "three orange teapots"),
        ("potato", 2, "", "two potatoes"),
        ("bread", 1, "", "some bread"),
        ("scissors", 1, "blue", "blue scissors"),
        ("Santa Claus", 1, "red", "Santa Claus"),
    ],
)
def test_nouns_in_number(noun: str, count: int, adjective: str, words: str) -> None:
    assert said(noun, count, adjective) == words


def test_which_nouns_are_plural_already() -> None:
    assert [noun for noun in ("gloves", "glass", "bus", "cactus", "french fries", "iris", "socks", "UFO") if is_plural(noun)] == [
        "gloves",
        "french fries",
        "socks",
    ]
    assert not countable("bread")
    assert not countable("scissors")
    assert definite("zebra", 2) == "the two zebras"
    assert definite("gloves", 1) == "the gloves"
    assert definite("Santa Claus", 1) == "Santa Claus"
    assert plural("toy wolf") == "toy wolves"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"]) == "a"


# ---- reasons ----


def test_questions_do_not_name_their_answer_and_every_fact_is_whole() -> None:
    for fact in facts():
        assert fact.ask
        assert fact.nouns
        assert not fact.nouns & fact.also, fact.nouns & fact.also
        assert fact.why.split()[0] in ("can", "would", "might", "may"), f"'{fact.why}' must fit one thing and several"
        for question in fact.ask:
            assert question.endswith("?")
            words = question.lower().replace("?", "").split()
            assert not any(noun.split()[-1].lower() in words for noun in fact.nouns), question


def test_purposes_ask_for_every_kind_of_the_detector_without_its_name() -> None:
    asked = Counter[str]()
    questions = [question for fact in facts(PURPOSES_FILE) for question in fact.ask]
    assert len(questions) == len(set(questions)), [question for question, count in Counter(questions).items() if count > 1]
    for fact in facts(PURPOSES_FILE):
        assert fact.nouns | fact.also <= set(knowledge()), fact
        assert not fact.nouns & fact.also, fact
        for noun in fact.nouns:
            asked[noun] += len(fact.ask)
            for question in fact.ask:
                words = re.findall("[a-z]+", question.lower())
                assert question.endswith("?")
                assert not {noun.split()[-1], f"{noun.split()[-1]}s"} & set(words), question
                assert noun not in question.lower(), question
    assert set(asked) == set(knowledge())
    assert min(asked.values()) >= 10, asked.most_common()[-3:]


def test_most_held_out_things_can_be_asked_for() -> None:
    assert len(known_nouns() & held_out_objects()) > 0.8 * len(held_out_objects())


def test_a_question_has_one_answer() -> None:
    rng = random.Random(1)
    fact, noun = reason_about(rng, [("umbrella", "clothing"), ("dog", "animal")], "umbrella") or pytest.fail("nothing to ask")
    assert noun == "umbrella"
    assert reason_about(rng, [("umbrella", "clothing"), ("tent", "building")], "umbrella") is None, "a tent keeps dry as well"
    assert reason_about(rng, [("table", "furniture")]) is None
    assert fact.answer([("umbrella", "clothing"), ("umbrella", "clothing")]) == "umbrella"
    barking = next(fact for fact in facts() if "dog" in fact.nouns)
    assert barking.arguable(("toy dog", "toy"))
    assert not barking.arguable(("dog house", "building"))


# ---- labels ----


def test_captions_and_prompt_say_what_is_there(assets: Path) -> None:
    catalogue = read_catalogue(assets)
    plan = plan_of("dog", "dog", "mug", "table", links=((2, "left of", 3),))
    found = captions(plan, catalogue)
    assert found[0] == "Two dogs, a mug and a table in a meadow."
    assert found[1] == "There are two dogs, a red mug and a table.", "colours only of what comes in any colour"
    assert "A red mug to the left of a table in a meadow." in found
    assert len(set(found)) == len(found) >= 3
    prompt = generation_prompt(plan, catalogue, random.Random(2))
    assert prompt.endswith("two dogs, a red mug and a table in a meadow, the mug to the left of the table")
    assert captions(plan_of("dog", background="photo:x"), catalogue) == ("A dog.", "There is a dog.", "A picture of a dog.")


def test_expressions_mean_what_they_say(assets: Path) -> None:
    catalogue = read_catalogue(assets)
    plan = plan_of("dog", "dog", "mug")
    boxes = [item.box for item in plan.objects]
    for seed in range(40):
        expression, targets = refer(plan, boxes, catalogue, random.Random(seed)) or pytest.fail("no expression")
        if expression.asked in ("the left dog", "the leftmost dog"):
            assert targets == (0,)
        if "mug" in expression.said.split(" of ")[0] and expression.kind == "place":
            assert targets == (2,)
        assert expression.kind not in ("hint", "kind", "synonym")


# ---- build and read ----


def test_every_picture_has_all_four_labels(benchmark_folder: Path) -> None:
    complaints = Complaints()
    samples = list(read_mmud(benchmark_folder, complaints))
    assert not complaints.found
    assert [sample.part for sample in samples] == ["train", "held_out"] * 3
    for sample in samples:
        assert len(sample.captions) >= 3
        assert sample.prompt
        assert sample.reasoning.question.endswith("?")
        mask = sample.mask(sample.reasoning.things)
        assert mask.shape == (sample.height, sample.width)
        assert mask.any()
        assert sample.mask(sample.referring.things).any()
        assert sample.held_out(sample.reasoning.things) == (sample.part == "held_out")
        assert len({sample.things[index].noun for index in sample.reasoning.things}) == 1
        assert sample.things[sample.reasoning.things[0]].noun in sample.reasoning.answer
        for thing, box in zip(sample.things, sample.boxes(range(len(sample.things))), strict=True):
            assert thing.held_out == (part_of_noun(thing.noun) == "held_out")
            assert sample.part == "held_out" or not thing.held_out
            assert thing.box == box


def test_masks_are_the_visible_pixels(assets: Path, benchmark_folder: Path) -> None:
    for sample in read_mmud(benchmark_folder):
        masks = [sample.mask([index]) for index in range(len(sample.things))]
        assert sum(mask.astype(int) for mask in masks).max() == 1, "no pixel belongs to two things"
        for mask, thing in zip(masks, sample.things, strict=True):
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            assert thing.box.x0 * sample.width == pytest.approx(columns[0], abs=0.51)
            assert thing.box.y1 * sample.height == pytest.approx(rows[-1] + 1, abs=0.51)


def test_the_same_seed_makes_the_same_benchmark(assets: Path, benchmark_folder: Path, tmp_path: Path) -> None:
    catalogue = read_catalogue(assets)
    build(catalogue, CutoutLibrary(assets, catalogue), tmp_path, 2, 3)
    ours, theirs = ((folder / LINES_FILE).read_text().splitlines()[1:3] for folder in (tmp_path, benchmark_folder))
    assert ours == theirs
    build(catalogue, CutoutLibrary(assets, catalogue), tmp_path, 2, 4)
    assert (tmp_path / LINES_FILE).read_text().splitlines()[1:3] != ours


def test_what_is_broken_is_named_and_left_out(benchmark_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(benchmark_folder / "images")
    lines = (benchmark_folder / LINES_FILE).read_text().splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    rows[0]["image"] = "images/gone.jpg"
    rows[1]["things"][0]["mask"] = rows[1]["things"][0]["mask"][:-2]
    rows[2]["things"][0]["box"] = [0, 0, 5000, 10]
    rows[3]["part"] = "dancing"
    rows[4]["reasoning"]["things"] = [99]
    text = "\n".join([lines[0], *(json.dumps(row) for row in rows[:5]), lines[6][: len(lines[6]) // 2]])
    (tmp_path / LINES_FILE).write_text(text)
    complaints = Complaints()
    assert not list(read_mmud(tmp_path, complaints))
    assert [(complaint.line, complaint.kind) for complaint in complaints.found[:5]] == [
        (2, "missing picture"),
        (3, "broken mask"),
        (4, "box outside"),
        (5, "unknown part"),
        (6, "missing thing"),
    ]
    assert complaints.kinds["broken json"] == 1
    assert complaints.kinds["truncated"] == 1


def test_an_empty_mask_and_another_size(benchmark_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(benchmark_folder / "images")
    header, first, second = (benchmark_folder / LINES_FILE).read_text().splitlines()[:3]
    one, two = json.loads(first), json.loads(second)
    one["things"][0]["mask"] = encode_runs(np.zeros((one["height"], one["width"]), bool))
    two["image"] = "images/00000.jpg"
    two["width"], two["height"] = two["height"] + 1, two["width"]
    (tmp_path / LINES_FILE).write_text("\n".join([header, json.dumps(one), json.dumps(two)]))
    complaints = Complaints()
    assert not list(read_mmud(tmp_path, complaints))
    assert complaints.kinds["empty mask"] == 1
    assert len(complaints.found) == 3, "two broken lines, and four that are missing"


def test_a_folder_without_the_benchmark(tmp_path: Path, assets: Path) -> None:
    with pytest.raises(MediaError, match="data mmud"):
        list(read_mmud(tmp_path))
    (tmp_path / LINES_FILE).write_text('{"version": 99}\n')
    with pytest.raises(MediaError, match="version"):
        list(read_mmud(tmp_path))
    catalogue = Catalogue(tuple(info for info in read_catalogue(assets).cutouts if info.noun == "table"))
    with pytest.raises(MediaError, match="fetch more"):
        build(catalogue, CutoutLibrary(assets, catalogue), tmp_path, 1, 1)
    with pytest.raises(MediaError, match="at least one"):
        build(catalogue, CutoutLibrary(assets, catalogue), tmp_path, 0, 1)


def test_a_broken_cut_out_is_passed_over(assets: Path, tmp_path: Path) -> None:
    catalogue = read_catalogue(assets)
    copy = tmp_path / "assets"
    copy.mkdir()
    for path in assets.glob("*.png"):
        (copy / path.name).write_bytes(b"" if path.name == "0.png" else path.read_bytes())
    library = CutoutLibrary(copy, catalogue)
    build(catalogue, library, tmp_path, 4, 1)
    assert set(library.broken) <= {"t:dog"}
    assert not any(thing.noun == "dog" for sample in read_mmud(tmp_path) for thing in sample.things)
