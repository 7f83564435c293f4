"""Things without a label: which proposals a noun may mean, and the labels that stand in for nouns before the network."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unified_demo.config import Settings
from unified_demo.data.sights import Named
from unified_demo.errors import ModelLoadError
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.naming import MOST, STAND_INS, Names, StandIns, with_names
from unified_demo.regions import COLOURS, PARTS, WHOLE_PICTURE, Region, Sight
from unified_demo.training.naming import NamingOptions, learn, lesson_of, save_names, spellings

EVEN = np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)
RNG = np.random.default_rng(0)
LOOKS = {noun: RNG.normal(size=384).astype(np.float32) for noun in ("badger", "violin", "wall", "igloo")}


def region(look: str, x: float, label: str = "bear", score: float = 0.3, noise: float = 0.1) -> Region:
    feature = LOOKS[look] + noise * RNG.normal(size=384).astype(np.float32)
    return Region(label, score, Box(x, 0.2, x + 0.2, 0.6), EVEN, feature)


def sight(*regions: Region) -> Sight:
    whole = Region(WHOLE_PICTURE, 1.0, Box(0, 0, 1, 1), EVEN, LOOKS["wall"])
    return Sight(np.zeros((17, 384), np.float32), (whole, *regions))


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Names:
    """Trained here, in a second, on made up looks and made up states of words."""
    states = {noun: torch.from_numpy(RNG.normal(size=64).astype(np.float32)) for noun in ("badger", "violin", "igloo")}
    rng = random.Random(0)
    lessons = []
    for _ in range(160):
        shown = rng.sample(sorted(states), 2)
        seen = sight(region(shown[0], 0.1), region("wall", 0.4), region(shown[1], 0.7))
        lessons.append(lesson_of(seen, [Named(noun, seen.regions[place].box) for noun, place in zip(shown, (1, 3), strict=True)]))
    maps = learn(lessons, states, NamingOptions(epochs=12, batch=8, lr=1e-2))
    path = tmp_path_factory.mktemp("names") / "names.safetensors"
    save_names(path, maps, list(states), torch.stack(list(states.values())), spellings(list(states)))
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
        ("", []),
    ],
)
def test_the_nouns_that_are_asked_for(names: Names, text: str, nouns: list[str]) -> None:
    assert names.asked(text) == nouns


def test_labels_of_the_detector_are_not_looked_for() -> None:
    found = spellings(["dog", "badger", "puppy", "can", "cook"], people=["cook"])
    assert found == {"badger": "badger", "badgers": "badger"}


# ---- which proposals it may mean ----


def test_the_thing_is_found_and_what_is_not_there_is_not(names: Names) -> None:
    seen = sight(region("badger", 0.1), region("wall", 0.4), region("violin", 0.7))
    found = names.found(seen.regions, "cut out the violin")
    assert list(found) == [3] and [noun for noun, _ in found[3]] == ["violin"]
    assert 0.5 <= found[3][0][1] <= 1
    assert names.found(seen.regions, "cut out the igloo") == {}
    assert names.found(seen.regions, "cut out the dog") == {} and names.found((), "cut out the violin") == {}


def test_several_of_a_kind_are_found_but_each_place_once(names: Names) -> None:
    row = [region("badger", 0.01 + 0.24 * place, noise=0.0) for place in range(4)]
    seen = sight(*row, replace(row[0], label="dog"))
    found = names.found(seen.regions, "the left badger")
    assert len(found) == MOST and len({place % 4 for place in found}) == MOST


def test_what_a_picture_was_made_from_is_there(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    part = replace(region("igloo", 0.15), box=Box(0.2, 0.3, 0.25, 0.35))
    whole = replace(region("igloo", 0.1), box=Box(0.1, 0.1, 0.9, 0.9))
    seen = sight(part, whole, region("badger", 0.7))
    monkeypatch.setattr("unified_demo.model.naming.LEAST", 50.0)
    assert names.found(seen.regions, "cut out the igloo") == {} == names.found(seen.regions, "cut out the igloo", "a red badger")
    assert list(names.found(seen.regions, "cut out the igloo", "an igloo")) == [2]


def test_what_the_detector_is_sure_of_is_nothing_else(names: Names) -> None:
    for label, score, count in (("cow", 0.9, 0), ("cow", 0.3, 1), ("bird", 0.9, 1)):
        assert len(names.found(sight(region("badger", 0.1, label, score)).regions, "the badger")) == count
    bears_it = sight(region("badger", 0.1, "badger"))
    assert names.found(bears_it.regions, "the badger") == {}


def test_a_thing_is_offered_once_more_under_the_label_that_stands_in(names: Names) -> None:
    seen = sight(region("badger", 0.1), region("violin", 0.7, "tie"))
    found = names.found(seen.regions, "the violin")
    stand_ins = names.stand_ins(["violin"], "bear tie the violin")
    named = with_names(seen, found, stand_ins)
    assert [one.label for one in named.regions] == [WHOLE_PICTURE, "bear", "tie", stand_ins.labels["violin"]]
    assert named.regions[3].box == named.regions[2].box


# ---- what stands in ----


def test_a_stand_in_is_neither_there_nor_taken_and_has_the_same_article(names: Names) -> None:
    taken = "kite, vases and a clock"
    labels = names.stand_ins(["violin", "badger", "igloo"], taken).labels
    assert len(set(labels.values())) == 3 and not {"kite", "vase", "clock"} & set(labels.values())
    assert labels["igloo"][0] in "aeiou" and labels["violin"][0] not in "aeiou"
    everything = " ".join(word for pair in STAND_INS for word in pair)
    assert names.stand_ins(["violin"], everything).labels == {}


def test_the_conversation_is_put_and_the_answer_put_back_whatever_the_pieces() -> None:
    stand_ins = StandIns({"violin": "kite", "violins": "kites"}, {"violin": "kite"})
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
    from unified_demo.model.backend import Zoo, load_multimodal_lm

    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    committed = Names.load(zoo.path("tiny_names"))
    assert len(committed.nouns) > 700 and {"violin", "rocket", "hedgehog"} <= set(committed.nouns)
    model = load_multimodal_lm(settings, zoo, tuple(TASKS.values())).model
    dog = Artefact("img-1", MediaKind.IMAGE, Path("assets/dog.jpg"))
    seen = {"img-1": model.look(dog)}
    asked = Conversation((Message("user", (MediaPart(dog), TextPart("segment the rocket"))),))
    assert model.look_for(seen, asked) == (seen, None)
    astronaut = Artefact("img-1", MediaKind.IMAGE, Path("assets/astronaut.jpg"))
    named, stand_ins = model.look_for({"img-1": model.look(astronaut)}, asked)
    assert stand_ins is not None and set(stand_ins.labels) == {"rocket"}
    (added,) = [place for place, one in enumerate(named["img-1"].sight.regions) if one.label == stand_ins.labels["rocket"]]
    assert named["img-1"].boxes[added].x0 > 0.5
