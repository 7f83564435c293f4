"""Things without a label: which proposals a noun may mean, and the labels that stand in for nouns before the network."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unified_demo.config import Settings
from unified_demo.data.sights import Named
from unified_demo.errors import ModelLoadError
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.closer import WIDTH, Candidates, crop_features, crop_of, look_closer
from unified_demo.model.detection import Detection
from unified_demo.model.finding import REMEMBERED_PICTURES, Finder, Remembered
from unified_demo.model.naming import MOST, STAND_INS, Meant, Names, StandIns, with_names
from unified_demo.model.perception import Perception
from unified_demo.regions import COLOURS, PARTS, WHOLE_PICTURE, Region, Sight
from unified_demo.training.naming import (
    NOTHING,
    Crops,
    NamingOptions,
    crops_of_photos,
    crops_of_scenes,
    doubtful,
    learn,
    save_names,
    spellings,
)

EVEN = np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)
RNG = np.random.default_rng(0)
THING = RNG.normal(size=WIDTH).astype(np.float32)
LOOKS = {noun: THING + RNG.normal(size=WIDTH).astype(np.float32) for noun in ("badger", "violin", "cello", "igloo", "cup", "watch", "cook")}
LOOKS["wall"] = RNG.normal(size=WIDTH).astype(np.float32) - THING
STATES = {noun: torch.from_numpy(RNG.normal(size=64).astype(np.float32)) for noun in (*LOOKS,) if noun != "wall"}


def look(name: str, noise: float = 0.1) -> np.ndarray:
    return LOOKS[name] + noise * RNG.normal(size=WIDTH).astype(np.float32)


def region(x: float, label: str = "bear", score: float = 0.3) -> Region:
    return Region(label, score, Box(x, 0.2, x + 0.2, 0.6), EVEN, np.zeros(384, np.float32))


def candidates(*found: tuple[str, Region]) -> Candidates:
    features = [look(name) for name, _ in found]
    return Candidates(tuple(one for _, one in found), np.stack(features) if features else np.zeros((0, WIDTH), np.float32))


def sight(*regions: Region) -> Sight:
    whole = Region(WHOLE_PICTURE, 1.0, Box(0, 0, 1, 1), EVEN, np.zeros(384, np.float32))
    return Sight(np.zeros((17, 384), np.float32), (whole, *regions))


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Names:
    """Trained here, in a second, on made up looks and made up states of words; there are no pictures of a cello."""
    shown = ("badger", "violin", "igloo", "cup", "watch", "cook", NOTHING)
    crops = Crops(np.stack([look(noun or "wall") for _ in range(160) for noun in shown]), shown * 160)
    maps = learn(crops, STATES, NamingOptions(epochs=12, batch=32, lr=1e-2))
    path = tmp_path_factory.mktemp("names") / "names.safetensors"
    nouns, people = list(STATES), ["cook"]
    words, seldom = spellings(nouns, people), doubtful(nouns, people)
    save_names(path, maps, nouns, torch.stack(list(STATES.values())), words, seldom, set(shown))
    return Names.load(path)


# ---- which noun a question asks for ----


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("segment the violin", ["violin"]),
        ("Two BADGERS and a violin?", ["badger", "violin"]),
        ("remove the dog beside the violin", []),
        ("turn the dog into a badger", []),
        ("swap the igloo for a violin", ["igloo"]),
        ("look for the violin", ["violin"]),
        ("the badger left of the red igloo", ["badger"]),
        ("a mask of the igloo on the left", ["igloo"]),
        ("the violinist", []),
        ("the cup and the orange violin", ["cup", "violin"]),
        ("a cup of tea beside a hot dog and a dog", ["cup"]),
        ("watch the dog with the violin", []),
        ("cut out the watch", ["watch"]),
        ("is there a small watch near the badger?", ["watch"]),
        ("the badger in the watch", ["badger"]),
        ("how many cooks are there and which violins", ["cook", "violin"]),
        ("圈出 watch", ["watch"]),
        ("cook 在哪里?", ["cook"]),
        ("", []),
    ],
)
def test_the_nouns_that_are_asked_for(names: Names, text: str, nouns: list[str]) -> None:
    assert names.asked(text) == nouns


@pytest.mark.parametrize(
    ("phrase", "noun"),
    [
        ("a small red badger", "badger"),
        ("a badger in a cup", "badger"),
        ("two violins", "violin"),
        ("an old gizmo on a table", "gizmo"),
        ("on", "on"),
        ("  Star ", "star"),
    ],
)
def test_the_noun_of_what_was_drawn(names: Names, phrase: str, noun: str) -> None:
    assert names.noun_of(phrase) == noun


def test_labels_of_the_detector_are_not_looked_for() -> None:
    found = spellings(["dog", "badger", "puppy", "can", "cook"], people=["cook"])
    assert found == {"badger": "badger", "badgers": "badger"}


def test_words_that_seldom_name_a_thing_say_what_the_detector_would_call_it() -> None:
    found = doubtful(["dog", "badger", "mug", "star", "can", "cook", "person"], people=["cook", "person"])
    assert found == {
        "mug": ("mug", "cup"), "mugs": ("mug", "cup"), "star": ("star", ""), "stars": ("star", ""),
        "cook": ("cook", "person"), "cooks": ("cook", "person"),
    }  # fmt: skip


# ---- which candidates it may mean ----


def test_the_thing_is_found_and_what_is_not_there_is_not(names: Names) -> None:
    there = candidates(("badger", region(0.1)), ("wall", region(0.4)), ("violin", region(0.7)))
    found = names.found(there, ["violin"])
    assert list(found) == [2] and [noun for noun, _ in found[2]] == ["violin"]
    assert 0.5 <= found[2][0][1] <= 1
    assert names.found(there, ["igloo"]) == {} == names.found(candidates(), ["violin"]) == names.found(there, [])


def test_what_training_saw_no_picture_of_is_the_thing_that_is_left(names: Names) -> None:
    assert names.pictured("violin") and not names.pictured("cello")
    badger, wall, cello, violin = names.fits("cello", np.stack([LOOKS[name] for name in ("badger", "wall", "cello", "violin")]))
    assert cello > max(badger, wall, violin)


def test_nouns_that_are_labels_there_need_no_closer_look(names: Names) -> None:
    assert names.unlabelled([region(0.1)], ["badger", "violin"]) == ["badger", "violin"]
    assert names.unlabelled([region(0.1, "badger")], ["badger", "violin"]) == ["violin"]
    assert names.unlabelled([], []) == []


def test_people_are_looked_for_where_the_detector_is_sure_of_nobody(names: Names) -> None:
    assert names.unlabelled([region(0.1, "person", 0.3)], ["cook"]) == ["cook"]
    assert names.unlabelled([region(0.1, "person", 0.8)], ["cook", "watch"]) == ["watch"]


def test_a_doubtful_word_is_found_only_if_it_clearly_is_there(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    there = candidates(("watch", region(0.1)), ("violin", region(0.6)))
    assert list(names.found(there, ["watch", "violin"])) == [0, 1]
    monkeypatch.setattr("unified_demo.model.naming.LEAST_DOUBTFUL", 99.0)
    assert list(names.found(there, ["watch", "violin"])) == [1]


def test_several_of_a_kind_are_found_but_each_place_once(names: Names) -> None:
    row = [replace(region(0.0), box=Box(place / 10, 0.2, (place + 0.9) / 10, 0.6)) for place in range(MOST + 1)]
    there = Candidates((*row, replace(row[0], label="dog")), np.stack([LOOKS["badger"]] * (MOST + 2)))
    found = names.found(there, ["badger"])
    assert len(found) == MOST and len({place % (MOST + 1) for place in found}) == MOST


def test_others_of_a_kind_count_if_they_are_near_the_best_or_certain(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "fits", lambda noun, features: np.array([9.0, 6.0, -1.0]))
    there = candidates(("badger", region(0.1)), ("badger", region(0.4)), ("badger", region(0.7)))
    assert list(names.found(there, ["badger"])) == [0, 1]
    monkeypatch.setattr(names, "fits", lambda noun, features: np.array([-1.0, -3.0, -4.0]))
    assert list(names.found(there, ["badger"])) == [0, 1]


def test_what_a_picture_was_made_from_is_there(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    part, whole = replace(region(0.15), box=Box(0.2, 0.3, 0.25, 0.35)), replace(region(0.1), box=Box(0.1, 0.1, 0.9, 0.9))
    there = candidates(("igloo", part), ("igloo", whole), ("badger", region(0.7)))
    monkeypatch.setattr("unified_demo.model.naming.LEAST", 50.0)
    assert names.found(there, ["igloo"]) == {} == names.found(there, ["igloo"], "a red badger")
    assert list(names.found(there, ["igloo"], "an igloo")) == [1]


def test_things_of_one_drawing_are_told_apart_whatever_the_detector_is_sure_of(names: Names) -> None:
    sure = replace(region(0.1, "cow", 0.9), box=Box(0.05, 0.1, 0.45, 0.9))
    there = candidates(("badger", sure), ("violin", replace(region(0.7), box=Box(0.55, 0.1, 0.95, 0.9))))
    assert list(names.found(there, ["badger"], "a badger and a violin")) == [0]
    assert list(names.found(there, ["violin"], "a badger and a violin")) == [1]


def test_what_the_detector_is_sure_of_is_nothing_else_unless_it_clearly_is(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(names.found(candidates(("badger", region(0.1, "cow", 0.9))), ["badger"])) == 1
    monkeypatch.setattr("unified_demo.model.naming.BEYOND_LABELS", 99.0)
    for label, score, count in (("cow", 0.9, 0), ("cow", 0.3, 1), ("bird", 0.9, 1)):
        assert len(names.found(candidates(("badger", region(0.1, label, score))), ["badger"])) == count


def test_a_thing_is_offered_under_the_label_that_stands_in_from_left_to_right(names: Names) -> None:
    seen = sight(region(0.1), region(0.7, "tie"))
    there = candidates(("badger", region(0.1)), ("violin", region(0.4, "cup")))
    stand_ins = names.stand_ins(["violin"], "bear tie the violin")
    named = with_names(seen, there, names.found(there, ["violin"]), stand_ins.labels)
    assert [one.label for one in named.regions] == [WHOLE_PICTURE, "bear", stand_ins.labels["violin"], "tie"]
    assert named.regions[2].box == there.regions[1].box


# ---- a closer look ----


class Detected:
    """A detector that finds what it is told, if it is asked for things of such a low score."""

    def __init__(self, *found: Detection) -> None:
        self.found = found

    def detect(self, picture: Image.Image, threshold: float, limit: int, tiled: bool) -> list[Detection]:
        return [item for item in self.found if item.score >= threshold][:limit]


class Encoded:
    """An encoder whose features are the mean colour of the picture."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def encode(self, pictures: list[Image.Image]) -> torch.Tensor:
        self.sizes += [picture.size for picture in pictures]
        return torch.stack([torch.full((257, 384), float(np.asarray(picture).mean())) for picture in pictures])


def test_unlikely_boxes_are_looked_at_too_each_once() -> None:
    picture = Image.new("RGB", (100, 80))
    picture.paste((255, 255, 255), (60, 10, 80, 30))
    known, likelier = region(0.05), replace(region(0.05), label="cow", score=0.4)
    same, unlikely = Detection("dog", 0.5, Box(0.05, 0.21, 0.25, 0.6)), Detection("kite", 0.02, Box(0.62, 0.15, 0.78, 0.35))
    never = Detection("kite", 0.001, Box(0.3, 0.8, 0.4, 0.9))
    encoder = Encoded()
    found = look_closer(picture, sight(known, likelier), encoder, Detected(same, unlikely, never))  # type: ignore[arg-type]
    assert [(one.label, one.box) for one in found.regions] == [("cow", known.box), ("kite", unlikely.box)]
    assert found.features.shape == (2, WIDTH) and found.features[0, 0] == 0 and found.features[1, 0] > 150
    assert all(one.feature is not None and one.feature.shape == (384,) for one in found.regions)


def test_a_crop_has_some_room_and_is_never_empty() -> None:
    picture = Image.new("RGB", (200, 100))
    assert crop_of(picture, Box(0.25, 0.25, 0.75, 0.75)).size == (120, 72)  # 100 x 50 -> 60 high at least, and a fifth more
    assert crop_of(picture, Box(0.0, 0.0, 1.0, 1.0)).size == (200, 100)
    for box in (Box(0.999, 0.999, 1.0, 1.0), Box(0.0, 0.0, 0.001, 0.001), Box(0.5, 0.0, 0.5001, 1.0)):
        assert min(crop_of(picture, box).size) >= 2
    assert crop_features(picture, [], Encoded()).shape == (0, WIDTH)  # type: ignore[arg-type]


# ---- what answers an open question ----


class Answers:
    """Which nouns a question means, as told."""

    def __init__(self, **shares: float) -> None:
        self.told = shares

    def knows(self, noun: str) -> bool:
        return noun != "igloo"

    def shares(self, question: str, nouns: Sequence[str]) -> np.ndarray:
        return np.log([self.told.get(noun, 0.001) for noun in nouns])


class Looked:
    """A perception that sees the same in every picture and counts how often it was asked."""

    labels = ("person", "bear", "cow", "vase", "cup", "kite", "clock")

    def __init__(self, found: Candidates) -> None:
        self.found, self.times = found, 0

    def look_closer(self, picture: Image.Image, sight: Sight) -> Candidates:
        self.times += 1
        return self.found


def question(text: str) -> Conversation:
    return Conversation((Message("user", (MediaPart(Artefact("img-1", MediaKind.IMAGE, Path("assets/dog.jpg"))), TextPart(text))),))


def shares(names: Names, **told: float) -> np.ndarray:
    return np.log([told.get(noun, 0.001) for noun in names.nouns])


def meant(names: Names, there: Candidates, **told: float) -> Meant:
    found = names.meant(there, shares(names, **told))
    assert found is not None
    return found


def test_what_is_asked_for_and_what_is_seen_count_together(names: Names) -> None:
    there = candidates(("badger", region(0.1)), ("wall", region(0.4)), ("violin", region(0.7)))
    found = meant(names, there, violin=0.6, igloo=0.3)
    assert (found.noun, found.places, found.certain) == ("violin", [2], True) and found.asked == pytest.approx(np.log(0.6))
    assert found.fit > meant(names, there, cello=0.3, igloo=0.6).fit
    assert names.meant(candidates(), shares(names, violin=0.6)) is None
    # Nobody showed training a cello: it is the thing that is none of those that are known.
    unknown = meant(names, candidates(("badger", region(0.1)), ("wall", region(0.4)), ("cello", region(0.7))), cello=0.6)
    assert (unknown.noun, unknown.places, unknown.certain) == ("cello", [2], False)


def test_all_that_answer_a_question_are_meant_each_place_once(names: Names) -> None:
    row = (region(0.1), replace(region(0.1), label="dog"), region(0.7), region(0.4))
    there = Candidates(row, np.stack([LOOKS["badger"]] * 3 + [LOOKS["violin"]]))
    places = meant(names, there, badger=0.9).places
    assert len(places) == 2 and 2 in places and 3 not in places


def test_the_detector_is_heard_for_its_own_words_as_far_as_it_is_sure(names: Names) -> None:
    there = candidates(("wall", region(0.1, "cup", 0.9)), ("wall", region(0.4, "cup", 0.1)), ("violin", region(0.7, "dog", 0.9)))
    found = meant(names, there, cup=0.6)
    assert (found.noun, found.places, found.certain) == ("cup", [0], False)
    assert found.fit > meant(names, candidates(("wall", region(0.1, "cup", 0.1))), cup=0.6).fit


def test_what_answers_an_open_question_is_looked_for(names: Names) -> None:
    perception = Looked(candidates(("badger", region(0.1)), ("violin", region(0.7))))
    seen = {"img-1": sight(region(0.1))}
    asked = question("what is played with a bow?")
    finder = Finder(names, perception, Answers(violin=0.8))  # type: ignore[arg-type]
    named, stand_ins = finder.answering(seen, asked)
    assert stand_ins is not None and set(stand_ins.labels) == {"violin"}
    assert [one.box.x0 for one in named["img-1"].regions if one.label == stand_ins.labels["violin"]] == [0.7]
    finder.answering(seen, asked)
    assert perception.times == 1
    nothing = Finder(names, Looked(candidates(("wall", region(0.1)))), Answers(cup=0.8))  # type: ignore[arg-type]
    assert nothing.answering(seen, asked) == ({}, None)
    assert Finder(names, perception).answering(seen, asked) == ({}, None)  # type: ignore[arg-type]


def test_where_the_detector_is_at_home_only_what_is_certain_and_clearly_asked_for_answers(names: Names) -> None:
    asked, photo = question("what is played with a bow?"), {"img-1": sight(region(0.4, "person", 0.9))}
    certain = Looked(candidates(("violin", region(0.7))))
    finder = Finder(names, certain, Answers(violin=0.5))  # type: ignore[arg-type]
    assert finder.answering(photo, asked)[1] is not None
    assert Finder(names, certain, Answers(badger=0.5)).answering(photo, asked) == ({}, None)  # type: ignore[arg-type]
    unknown = Looked(candidates(("cello", region(0.7))))
    for noun in ("cello", "cup"):  # nothing that could be certain is asked for, so nothing is looked at closer
        assert Finder(names, unknown, Answers(**{noun: 0.9})).answering(photo, asked) == ({}, None)  # type: ignore[arg-type]
    assert unknown.times == 0
    elsewhere = {"img-1": sight(region(0.4, "person", 0.6))}
    assert Finder(names, unknown, Answers(cello=0.9)).answering(elsewhere, asked)[1] is not None  # type: ignore[arg-type]
    assert unknown.times == 1


def test_a_proposal_that_answers_a_question_is_named_and_not_proposed_twice(names: Names) -> None:
    cup = region(0.1, "cup", 0.3)
    finder = Finder(names, Looked(candidates(("cup", cup))), Answers(cup=0.9))  # type: ignore[arg-type]
    named, stand_ins = finder.answering({"img-1": sight(cup)}, question("what would you drink tea from?"))
    assert named == {} and stand_ins is not None and stand_ins.labels == {"cup": "cup"} and stand_ins.back("the cup.") == "the cup."


def test_what_a_message_names_is_looked_for_where_no_label_says_it(names: Names) -> None:
    perception = Looked(candidates(("badger", region(0.1)), ("violin", region(0.7))))
    finder = Finder(names, perception)  # type: ignore[arg-type]
    assert finder.asked({"img-1": sight()}, question("cut out the dog")) == ({}, None) and perception.times == 0
    named, stand_ins = finder.asked({"img-1": sight()}, question("cut out the violin"))
    assert stand_ins is not None and [one.box.x0 for one in named["img-1"].regions[1:]] == [0.7]


def test_what_the_detector_knows_and_does_not_see_is_looked_for_under_its_own_label(names: Names) -> None:
    perception = Looked(candidates(("badger", region(0.1)), ("cup", region(0.7, "vase"))))
    finder = Finder(names, perception)  # type: ignore[arg-type]
    proposed = {"img-1": sight(region(0.4, "cup", 0.5))}
    assert finder.asked(proposed, question("cut out the cup")) == ({}, None) and perception.times == 0
    named, stand_ins = finder.asked({"img-1": sight(region(0.1))}, question("cut out the cup"))
    assert stand_ins is None and [(one.label, one.box.x0) for one in named["img-1"].regions[1:]] == [("bear", 0.1), ("cup", 0.7)]
    named, stand_ins = finder.asked({"img-1": sight()}, question("cut out the badger and the cup"))
    assert stand_ins is not None and set(stand_ins.labels) == {"badger"}
    assert [one.label for one in named["img-1"].regions[1:]] == [stand_ins.labels["badger"], "cup"]


def test_what_the_detector_knows_is_found_only_if_it_clearly_is_there(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    there = candidates(("cup", region(0.1)))
    assert list(names.found(there, ["cup"])) == [0]
    monkeypatch.setattr("unified_demo.model.naming.LEAST_LABEL", float(names.fits("cup", there.features)[0]) + 0.1)
    assert names.found(there, ["cup"]) == {} and list(names.found(there, ["cup"], "a cup")) == [0]


def test_only_so_many_pictures_are_remembered() -> None:
    memory, made = Remembered[int](), list[str]()
    pictures = [Artefact(f"img-{number}", MediaKind.IMAGE, Path(f"{number}.png")) for number in range(REMEMBERED_PICTURES + 1)]
    for artefact in [*pictures, *pictures[1:], pictures[0]]:
        memory.of(artefact, lambda made=made, artefact=artefact: made.append(artefact.id) or len(made))
    assert made == [artefact.id for artefact in [*pictures, pictures[0]]]
    assert memory.get(pictures[1]) is None and memory.get(pictures[0]) == len(made)


# ---- training ----


def test_crops_of_a_scene_show_its_things_and_nothing() -> None:
    picture = Image.new("RGB", (100, 100))
    thing = Named("badger", Box(0.1, 0.1, 0.5, 0.5))
    near, far, between = Box(0.12, 0.1, 0.5, 0.52), Box(0.7, 0.7, 0.9, 0.9), Box(0.1, 0.1, 0.5, 0.3)
    detected = Detected(*(Detection("dog", 0.3, box) for box in (near, far, between)))
    perception = Perception(Encoded(), detected)  # type: ignore[arg-type]
    (crops,) = crops_of_scenes(iter([(picture, [thing])]), perception, seed=0)
    assert crops.nouns == ("badger", "badger", NOTHING)  # what shows half of it teaches nothing
    assert crops.features.shape == (3, WIDTH)


def test_no_photo_of_a_held_out_class_is_learnt_from(tmp_path: Path) -> None:
    for name in ("badger", "hedgehog", "BACKGROUND_Google"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (40, 30)).save(tmp_path / name / f"{number}.png")
    perception = Perception(Encoded(), Detected())  # type: ignore[arg-type]
    crops = list(crops_of_photos([tmp_path], perception, count=2, seed=0))
    assert [one.nouns for one in crops] == [("badger",)] * 2


# ---- what stands in ----


def test_a_stand_in_is_neither_there_nor_taken_and_has_the_same_article(names: Names) -> None:
    taken = "kite, vases and a clock"
    labels = names.stand_ins(["violin", "badger", "igloo"], taken).labels
    assert len(set(labels.values())) == 3 and not {"kite", "vase", "clock"} & set(labels.values())
    assert labels["igloo"][0] in "aeiou" and labels["violin"][0] not in "aeiou"
    everything = " ".join(word for pair in STAND_INS for word in pair)
    assert names.stand_ins(["violin"], everything).labels == {}


def test_the_conversation_is_put_and_the_answer_put_back_whatever_the_pieces() -> None:
    stand_ins = StandIns({"violin": "kite", "violins": "kites"}, {"violin": "kite"}, {"kite": "violin", "kites": "violins"})
    call = TaskCall(0, Task.IMAGE_SEGMENTATION, "the violin", ("img-1",), (RegionPart("the violin"),))
    put = stand_ins.put(
        Conversation((Message("user", (TextPart("Violins? The violin!"),)), Message("assistant", (call, RegionPart("a violin")))))
    )
    assert put.messages[0].parts == (TextPart("Kites? The kite!"),)
    told, shown = put.messages[1].parts
    assert isinstance(told, TaskCall) and (told.prompt, told.regions[0].phrase) == ("the kite", "the kite")
    assert isinstance(shown, RegionPart) and shown.phrase == "a kite"
    written = "Here is <p>the kite</p>, no kitesurfer, two kites. Kite"
    for size in (1, 2, 3, 7, 100):
        pieces = [stand_ins.back(written[start : start + size]) for start in range(0, len(written), size)]
        assert "".join(pieces) + stand_ins.rest() == "Here is <p>the violin</p>, no kitesurfer, two violins. Violin"
    assert stand_ins.rest() == ""


# ---- files ----


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / "names.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelLoadError, match=r"names\.safetensors does not fit"):
        Names.load(tmp_path / "names.safetensors")


@pytest.mark.weights
def test_the_committed_maps_know_many_nouns_and_refuse_what_is_not_there(tmp_path: Path) -> None:
    from unified_demo.grammar import TASKS
    from unified_demo.model.tiny import load_multimodal_lm
    from unified_demo.zoo import Zoo

    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    committed = Names.load(zoo.path("tiny_names"))
    assert len(committed.nouns) > 800 and {"violin", "rocket", "hedgehog"} <= set(committed.nouns)
    assert committed.pictured("rocket") and not committed.pictured("hedgehog")
    model = load_multimodal_lm(settings, zoo, tuple(TASKS.values())).model
    dog = Artefact("img-1", MediaKind.IMAGE, Path("assets/dog.jpg"))
    seen = {"img-1": model.look(dog)}
    assert model.look_for(seen, question("segment the rocket")) == (seen, None)
    astronaut = Artefact("img-1", MediaKind.IMAGE, Path("assets/astronaut.jpg"))
    asked = Conversation((Message("user", (MediaPart(astronaut), TextPart("segment the rocket"))),))
    named, stand_ins = model.look_for({"img-1": model.look(astronaut)}, asked)
    assert stand_ins is not None and set(stand_ins.labels) == {"rocket"}
    (added,) = [place for place, one in enumerate(named["img-1"].sight.regions) if one.label == stand_ins.labels["rocket"]]
    assert named["img-1"].boxes[added].x0 > 0.5
