"""Training data: expressions fit exactly their targets (checked independently), dialogues stay in their scene, shards survive."""

import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.config import Settings
from unified_demo.data.dialogues import NO_PICTURE, PICTURE_ID, DialogueWriter, without_picture
from unified_demo.data.expressions import Describer, Expression, knowledge
from unified_demo.data.reports import jitter
from unified_demo.data.scenes import Scene, draw_scene, read_pairs
from unified_demo.data.sights import Named, draw_pictures, load_shards, photos, save_shard
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.messages import MediaPart, RegionPart, TaskCall, TextPart
from unified_demo.nouns import NUMBERS, article, plural
from unified_demo.regions import COLOURS, PARTS, WHOLE_PICTURE, Region, Sight
from unified_demo.training.recipes import GROUNDING, scene_of_sight, stream

LABELS = tuple(knowledge())
SCENES = 300
GENERIC = ("thing", "object", "one", "item")


@cache
def scene_of(seed: int) -> Scene:
    return draw_scene(random.Random(seed), LABELS, [])


def expressions(kind: str) -> Iterator[tuple[int, Scene, Expression]]:
    """What ``Describer.by_<kind>`` says about every thing of SCENES scenes, several wordings each."""
    for seed in range(SCENES):
        scene = scene_of(seed)
        describer = Describer(scene, random.Random(seed))
        for index in scene.things:
            for _ in range(2):
                made = getattr(describer, f"by_{kind}")(index)
                if made:
                    yield seed, scene, made


# ---- independent readings of the words ----


@cache
def names_of(label: str) -> set[str]:
    entry = knowledge()[label]
    return {label, *entry.get("names", []), *entry.get("kinds", [])}


def candidates(scene: Scene, noun: str) -> list[int]:
    """Things that ``noun`` (singular) may stand for."""
    if noun in GENERIC:
        return list(scene.things)
    return [index for index in scene.things if noun in names_of(scene.regions[index].label)]


def noun_in(scene: Scene, expression: Expression, plurals: bool = False) -> str:
    """The generic word, else the longest name of the target's label, that stands in what was asked."""
    label = scene.regions[expression.targets[0]].label
    form: Callable[[str], str] = plural if plurals else str
    found = [name for name in (*GENERIC, *sorted(names_of(label))) if re.search(rf"\b{re.escape(form(name))}\b", expression.asked)]
    assert found, f"{expression} names nothing"
    generic = found[0] in GENERIC and not any(found[0] in name.split() for name in found[1:])
    return found[0] if generic else max(found, key=len)


def without_noun(text: str, noun: str) -> str:
    return re.sub(rf"\b{re.escape(noun)}\b", "", text, count=1)


def centre(scene: Scene, index: int) -> tuple[float, float]:
    box = scene.regions[index].box
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


DIRECTIONS: dict[str, Callable[[Scene, int], float]] = {
    r"left|leftmost|left-hand": lambda scene, index: -centre(scene, index)[0],
    r"right|rightmost|right-hand": lambda scene, index: centre(scene, index)[0],
    r"top|upper|highest|topmost": lambda scene, index: -centre(scene, index)[1],
    r"bottom|lower|lowest": lambda scene, index: centre(scene, index)[1],
    r"largest|biggest|big|bigger|large|closest|nearest|front|foreground": lambda scene, index: scene.regions[index].box.area,
    r"smallest|little|tiny|small|farthest|distant|background|back": lambda scene, index: -scene.regions[index].box.area,
}
IN_PICTURE = {
    "left": lambda x, y: x < 0.5, "right": lambda x, y: x >= 0.5, "upper": lambda x, y: y < 0.5, "lower": lambda x, y: y >= 0.5,
}  # fmt: skip
CENTRAL = (0.35, 0.65)


def fits_place(scene: Scene, words: str, index: int, group: list[int]) -> bool:
    """Is ``index`` the one of ``group`` that ``words`` mean? Alone, a place in the picture is meant."""
    for pattern, value in DIRECTIONS.items():
        if re.search(rf"\b({pattern})\b", words):
            if len(group) == 1:
                side = {"lef": "left", "rig": "right", "top": "upper", "bot": "lower"}.get(pattern[:3])
                return side is None or IN_PICTURE[side](*centre(scene, index))
            return all(value(scene, index) > value(scene, other) for other in group if other != index)
    assert re.search(r"\b(middle|central|centre|between)\b", words), f"no place in '{words}'"
    across = [centre(scene, other)[0] for other in group]
    if len(group) == 1:
        return all(CENTRAL[0] <= value <= CENTRAL[1] for value in centre(scene, index))
    return len(group) == 3 and sorted(across)[1] == centre(scene, index)[0]


# ---- expressions ----


def test_what_was_not_reported_is_still_the_largest() -> None:
    """One cannot point at it, but nothing smaller may be called the largest."""
    small, colours = Box(0.1, 0.1, 0.2, 0.2), np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)
    whole = Region(WHOLE_PICTURE, 1.0, Box(0, 0, 1, 1), colours)
    scene = Scene((whole, Region("dog", 0.9, small, colours)), (1,), unseen=(("dog", Box(0.4, 0.4, 0.9, 0.9)),))
    said = {Describer(scene, random.Random(seed)).by_place(1) for seed in range(80)} - {None}
    words = " ".join(made.asked for made in said if made)
    assert "left" in words and "smallest" in words
    assert not re.search(r"\b(right|largest|biggest|bottom)\b", words)


def test_places_fit_exactly_one_thing() -> None:
    count = 0
    for seed, scene, made in expressions("place"):
        if any(label == scene.regions[made.targets[0]].label for label, _ in scene.unseen):
            continue
        noun = noun_in(scene, made)
        group, words = candidates(scene, noun), without_noun(made.asked, noun)
        fitting = [index for index in group if fits_place(scene, words, index, group)]
        assert tuple(fitting) == made.targets, (seed, made)
        count += 1
    assert count > SCENES


def test_orders_count_from_the_side_they_name() -> None:
    count = 0
    for seed, scene, made in expressions("order"):
        group = sorted(candidates(scene, noun_in(scene, made)), key=lambda i: centre(scene, i)[0])
        word, side = re.search(r"the (first|second|third|fourth) .* (left|right)$", made.asked).groups()
        place = ("first", "second", "third", "fourth").index(word)
        assert ((group if side == "left" else group[::-1])[place],) == made.targets, (seed, made)
        count += 1
    assert count > SCENES / 4


def test_groups_are_all_of_their_kind() -> None:
    count = 0
    for seed, scene, made in expressions("group"):
        every = made.asked.startswith("every ")
        group = candidates(scene, made.asked.removeprefix("every ") if every else noun_in(scene, made, plurals=True))
        assert tuple(group) == made.targets, (seed, made)
        number = re.search(r"\b(" + "|".join(NUMBERS) + r"|both)\b(?!-)", made.asked)
        if number:
            assert len(group) == (2 if number[1] == "both" else NUMBERS.index(number[1])), (seed, made)
        assert made.said == f"the {NUMBERS[len(group)]} {plural(scene.regions[group[0]].label)}"
        count += 1
    assert count > SCENES / 4


GARMENTS = {
    **dict.fromkeys(("shirt", "jacket", "top", "t-shirt", "sweater", "coat", "jersey"), (2,)),
    **dict.fromkeys(("pants", "trousers", "jeans", "shorts", "skirt"), (3,)),
    **dict.fromkeys(("clothes", "suit", "outfit", "dress"), (0,)),
}


def test_colours_fit_exactly_one_thing() -> None:
    """No other candidate shows the colour clearly (over 0.25) in the part that is meant, in any part when none is named."""
    count = 0
    for seed, scene, made in expressions("colour"):
        noun = noun_in(scene, made)
        paint = re.compile(r"\b(" + "|".join((*COLOURS, "grey")) + r")\b")
        found = paint.search(without_noun(made.asked, noun)) or paint.search(made.asked)
        colour = COLOURS.index(found[1].replace("grey", "gray"))
        person = scene.regions[made.targets[0]].label == "person"
        worn = [parts for garment, parts in GARMENTS.items() if re.search(rf"(?<![\w-]){garment}\b", made.asked)]
        parts = worn[0] if worn else (0, 1, 2, 3) if person else (0,)
        group = [i for i in scene.things if scene.regions[i].label == "person"] if person else candidates(scene, noun)
        strong = [i for i in group if max(scene.regions[i].colours[part][colour] for part in parts) > 0.25]
        assert tuple(strong) == made.targets, (seed, made, [scene.regions[i].colours[:, colour] for i in group])
        count += 1
    assert count > SCENES


def test_names_fit_exactly_one_thing() -> None:
    count = 0
    for kind in ("name", "kind"):
        for seed, scene, made in expressions(kind):
            assert tuple(candidates(scene, noun_in(scene, made))) == made.targets, (seed, made)
            count += 1
    assert count > SCENES


def test_a_name_that_fits_two_kinds_of_things_is_not_used() -> None:
    regions = tuple(
        Region(label, 0.9, Box(0.1 + 0.3 * place, 0.1, 0.3 + 0.3 * place, 0.4), np.zeros((PARTS, len(COLOURS)), np.float32))
        for place, label in enumerate(("bicycle", "motorcycle", "car"))
    )
    describer = Describer(Scene(regions, (0, 1, 2)), random.Random(0))
    nouns = {label: {describer.noun(label) for _ in range(200)} for label in ("bicycle", "motorcycle", "car", "truck")}
    assert "cycle" in nouns["bicycle"]
    assert not {"bike", "two-wheeler"} & (nouns["bicycle"] | nouns["motorcycle"])
    assert not {"vehicle"} & (nouns["car"] | nouns["truck"]), "a truck that is not there may not be asked for by a name that a car has"


def test_fine_names_are_used_when_they_are_known() -> None:
    scene = scene_of(1)
    named = Scene(scene.regions, scene.things, scene.links, {scene.things[0]: "golden retriever"})
    said = {getattr(Describer(named, random.Random(seed)).by_name(scene.things[0]), "said", "") for seed in range(40)}
    assert "the golden retriever" in said


# ---- words ----


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("dog", "dogs"), ("bus", "buses"), ("bench", "benches"), ("box", "boxes"), ("person", "people"), ("man", "men"),
        ("child", "children"), ("fireman", "firemen"), ("sheep", "sheep"), ("skis", "skis"),
        ("scissors", "scissors"), ("knife", "knives"), ("mouse", "mice"),
        ("teddy bear", "teddy bears"), ("wine glass", "wine glasses"), ("computer mouse", "computer mice"), ("lady", "ladies"),
        ("toy", "toys"), ("key", "keys"), ("toothbrush", "toothbrushes"),
    ],
)  # fmt: skip
def test_plurals(noun: str, expected: str) -> None:
    assert plural(noun) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("dog", "a dog"),
        ("apple", "an apple"),
        ("umbrella", "an umbrella"),
        ("unicycle", "a unicycle"),
        ("orange", "an orange"),
        ("one", "a one"),
    ],
)
def test_articles(noun: str, expected: str) -> None:
    assert article(noun) == expected


def test_the_table_covers_exactly_what_the_detector_knows() -> None:
    with zipfile.ZipFile(Settings().weights_dir / "detector" / "efficientdet-lite2.tflite") as model:
        known = {line.strip() for line in model.read(model.namelist()[0]).decode().splitlines()} - {"???", ""}
    assert len(known) == 80
    assert set(knowledge()) == known
    assert WHOLE_PICTURE not in known


def test_every_entry_of_the_table_has_its_columns() -> None:
    for label, entry in knowledge().items():
        assert set(entry) <= {"names", "kinds", "hints"}, label
        assert entry.get("names"), label
        assert label not in entry["names"], label
        for column in entry.values():
            assert len(set(column)) == len(column), label
            assert all(text == text.strip() and text for text in column), label


# ---- scenes ----


@pytest.mark.parametrize("seed", range(0, SCENES, 10))
def test_scenes_are_wellformed(seed: int) -> None:
    scene = scene_of(seed)
    assert scene.regions[0].label == WHOLE_PICTURE
    centres = [region.box.x0 + region.box.x1 for region in scene.regions[1:]]
    assert centres == sorted(centres)
    assert 0 not in scene.things
    assert list(scene.things) == sorted(set(scene.things))
    assert all({first, second} <= set(scene.things) for first, _, second in scene.links)
    assert all(
        region.colours.shape == (PARTS, len(COLOURS)) and np.allclose(region.colours.sum(1), 1, atol=1e-4) for region in scene.regions
    )


def same(one: Scene, other: Scene) -> bool:
    pairs = zip(one.regions, other.regions, strict=True)
    return (one.things, one.links) == (other.things, other.links) and all(
        (a.label, a.score, a.box) == (b.label, b.score, b.box) and np.array_equal(a.colours, b.colours) for a, b in pairs
    )


def test_the_same_seed_gives_the_same_scene_and_the_same_words() -> None:
    assert same(scene_of(7), draw_scene(random.Random(7), LABELS, []))
    assert not same(scene_of(7), scene_of(8))
    first, second = (DialogueWriter(scene_of(7), LABELS, random.Random(3)).write(6) for _ in range(2))
    assert first == second
    draw = stream(GROUNDING, None, None)
    assert [draw(random.Random(seed)).conversation for seed in range(20)] == [draw(random.Random(seed)).conversation for seed in range(20)]


def test_jitter_stays_in_the_picture() -> None:
    rng = random.Random(0)
    for _ in range(200):
        moved = jitter(rng, Box(0.9, 0.9, 1.0, 1.0), 0.35)
        assert moved.iou(Box(0.9, 0.9, 1.0, 1.0)) > 0


def test_pairs_with_bad_rows_are_read(tmp_path: Path) -> None:
    good = {"obj1": ["dog", [0.1, 0.1, 0.2, 0.2]], "obj2": ["cat", [0.5, 0.5, 0.6, 0.2]]}
    bad = [
        {"obj1": ["dog", [0.1, 0.1, 0.2, 0.2]]},
        {**good, "obj2": ["cat", [-0.1, 0.5, 0.2, 0.2]]},
        {**good, "obj2": ["cat", [0.5, 0.5, 0.0, 0.2]]},
        {**good, "obj2": ["cat", [0.5, 0.5]]},
        {**good, "obj2": ["cat"]},
        {**good, "obj2": None},
    ]
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([*bad[:3], good, *bad[3:]]), encoding="utf-8")
    assert read_pairs(path) == [(("dog", Box(0.1, 0.1, 0.1 + 0.2, 0.1 + 0.2)), ("cat", Box(0.5, 0.5, 1.0, 0.7)))]


# ---- dialogues ----


@pytest.mark.parametrize("seed", range(0, SCENES, 5))
def test_answers_speak_of_regions_of_their_scene(seed: int) -> None:
    scene = scene_of(seed)
    conversation = DialogueWriter(scene, LABELS, random.Random(seed)).write(6)
    boxes = {region.box for region in scene.regions}
    assert [message.role for message in conversation.messages] == ["user", "assistant"] * 6
    assert [message for message in conversation.messages if any(isinstance(part, MediaPart) for part in message.parts)] == [
        conversation.messages[0]
    ]
    for message in conversation.messages:
        assert message.parts
        for part in message.parts:
            regions = part.regions if isinstance(part, TaskCall) else (part,) if isinstance(part, RegionPart) else ()
            for region in regions:
                assert region.boxes
                if message.role == "assistant":
                    assert set(region.boxes) <= boxes
                else:
                    assert max(region.boxes[0].iou(box) for box in boxes) > 0.6
                assert region.artefact_id == PICTURE_ID
                assert region.phrase == region.phrase.strip() != ""
            if isinstance(part, TaskCall):
                assert (part.refs, part.index) == ((PICTURE_ID,), 0)
            if isinstance(part, TextPart):
                assert not re.search(r"[{}<>]", part.text), part
                assert not re.search(r"\ba [aeio]|\ban [^aeiouh]", part.text), part


def test_numbers_in_answers_are_the_number_of_boxes() -> None:
    for seed in range(SCENES):
        for message in DialogueWriter(scene_of(seed), LABELS, random.Random(seed)).write(4).messages[1::2]:
            for part in message.parts:
                if isinstance(part, RegionPart) and (number := re.match(r"(?:the )?(\w+) ", part.phrase)) and number[1] in NUMBERS:
                    assert len(part.boxes) == NUMBERS.index(number[1]), part


def test_a_picture_without_things_can_be_talked_about() -> None:
    whole = Region(WHOLE_PICTURE, 1.0, Box(0, 0, 1, 1), np.zeros((PARTS, len(COLOURS)), np.float32))
    conversation = DialogueWriter(Scene((whole,), ()), LABELS, random.Random(0)).write(12)
    assert not [part for message in conversation.messages for part in message.parts if isinstance(part, RegionPart | TaskCall)]


def test_without_a_picture_the_answer_asks_for_one() -> None:
    conversation = without_picture(random.Random(0), LABELS)
    assert not conversation.artefacts()
    assert conversation.messages[-1].parts == (TextPart(NO_PICTURE),)


# ---- real photos ----


def make_sight(seed: int) -> Sight:
    scene, numbers = scene_of(seed), np.random.default_rng(seed)
    others = (("cat", 0.25), ("dog", 0.125))
    regions = [
        Region(region.label, region.score, region.box, region.colours, numbers.random(384, np.float32), others if place % 2 else ())
        for place, region in enumerate(scene.regions)
    ]
    return Sight(numbers.random((17, 384), np.float32), tuple(regions))


def test_shards_come_back_as_they_were_saved(tmp_path: Path) -> None:
    records = [(make_sight(seed), [Named("tiger cat", Box(0.1, 0.2, 0.3, 0.4))] * seed) for seed in range(3)]
    save_shard(tmp_path / "sights-001.npz", records[1:])
    save_shard(tmp_path / "sights-000.npz", records[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sights-000.npz", "sights-001.npz"]
    for (sight, named), (loaded, loaded_named) in zip(records, load_shards(tmp_path), strict=True):
        assert loaded_named == named
        assert loaded.image.dtype == np.float32
        assert np.allclose(loaded.image, sight.image, atol=1e-3)
        for region, other in zip(sight.regions, loaded.regions, strict=True):
            assert (other.label, other.score, other.box, other.others) == (region.label, region.score, region.box, region.others)
            assert np.allclose(other.colours, region.colours, atol=1e-3)
            assert np.allclose(other.feature, region.feature, atol=1e-3)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.999])
def test_a_truncated_shard_is_named(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "sights-000.npz"
    save_shard(path, [(make_sight(1), [])])
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(MediaError, match=r"sights-000\.npz"):
        load_shards(tmp_path)


def test_a_shard_that_holds_something_else_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "sights-000.npz", numbers=np.arange(3))
    with pytest.raises(MediaError, match=r"sights-000\.npz"):
        load_shards(tmp_path)


def test_no_shards_no_records(tmp_path: Path) -> None:
    assert load_shards(tmp_path) == []


def test_a_region_without_its_feature_is_refused(tmp_path: Path) -> None:
    sight = make_sight(1)
    bare = Sight(sight.image, scene_of(1).regions)
    with pytest.raises(ValueError, match="feature"):
        save_shard(tmp_path / "sights-000.npz", [(bare, [])])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two classes of photos in plain colours, one file that is no picture, two backgrounds."""
    for name, colour in (("red_panda", (200, 30, 30)), ("Blue-Jay", (30, 30, 200)), ("BACKGROUND_Google", (90, 90, 90))):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (80 + 40 * number, 60), colour).save(tmp_path / name / f"{number}.png")
    (tmp_path / "red_panda" / "broken.jpg").write_bytes(b"not a picture")
    (tmp_path / "red_panda" / "notes.txt").write_text("not a photo", encoding="utf-8")
    return tmp_path


def test_photos_are_named_by_their_folder(folders: Path) -> None:
    found = photos(folders)
    assert {name for _, name in found} == {"red panda", "blue jay", "background google"}
    assert len(found) == 10
    assert all(path.suffix != ".txt" for path, _ in found)


def test_collages_are_the_same_for_the_same_seed(folders: Path) -> None:
    items = [(path, name) for path, name in photos(folders) if name != "background google"]
    backgrounds = [path for path, name in photos(folders) if name == "background google"]
    first, second = (list(draw_pictures(items, backgrounds, 20, 5)) for _ in range(2))
    assert [(picture.tobytes(), named) for picture, named in first] == [(picture.tobytes(), named) for picture, named in second]
    assert first != list(draw_pictures(items, backgrounds, 20, 6))
    assert 5 < len(first) < 20, "pictures that do not decode are left out"


def test_things_in_a_collage_lie_where_they_are_said_to(folders: Path) -> None:
    items = [(path, name) for path, name in photos(folders) if name != "background google" and path.suffix == ".png"]
    backgrounds = [path for path, name in photos(folders) if name == "background google"]
    paints = {"red panda": (200, 30, 30), "blue jay": (30, 30, 200)}
    drawn = list(draw_pictures(items, backgrounds, 24, 5))
    assert len(drawn) == 24
    assert {len(named) for _, named in drawn} >= {1, 2, 3}
    for picture, named in drawn:
        for item in named:
            x, y = (item.box.x0 + item.box.x1) / 2, (item.box.y0 + item.box.y1) / 2
            assert picture.getpixel((int(x * picture.width), int(y * picture.height))) == paints[item.name]
        for one, other in ((a, b) for place, a in enumerate(named) for b in named[:place]):
            assert one.box.iou(other.box) < 0.01, "photos in a collage do not cover each other"


def test_known_names_go_to_the_regions_that_cover_them() -> None:
    nothing = np.zeros((PARTS, len(COLOURS)), np.float32)
    regions = (
        Region(WHOLE_PICTURE, 1.0, Box(0, 0, 1, 1), nothing),
        Region("dog", 0.2, Box(0.0, 0.0, 0.5, 1.0), nothing),
        Region("cat", 0.8, Box(0.5, 0.0, 1.0, 1.0), nothing),
    )
    sight = Sight(np.zeros((17, 384), np.float32), regions)
    scene = scene_of_sight(sight, [Named("wolf", Box(0.05, 0.0, 0.5, 1.0)), Named("lynx", Box(0.5, 0.1, 0.95, 1.0))])
    assert scene.names == {1: "wolf", 2: "lynx"}
    assert scene.things == (1, 2), "a doubtful box whose photo is known counts"
    assert scene_of_sight(Sight(sight.image, regions[:1]), [Named("wolf", Box(0, 0, 1, 1))]).names == {0: "wolf"}
