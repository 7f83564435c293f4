"""What a small generator can draw: nouns found in prompts, what is left out, what is refused."""

import json
import tomllib
from pathlib import Path

import pytest
from tiny_pipelines import SIDE, write_pipeline

from unified_demo.errors import ExpertError, ModelLoadError
from unified_demo.experts import generation
from unified_demo.experts.base import ExpertRequest, Output
from unified_demo.experts.diffusion import PipelineSource
from unified_demo.experts.vocabulary import FILE, TABLE, Vocabulary, read_vocabulary

GENERATOR = Path(__file__).resolve().parents[1] / "weights" / "tiny" / "generator"
WORDS = Vocabulary(
    frozenset({"fox", "teddy bear", "bear", "strawberry", "knife", "glass", "snowman", "hedge", "book"}),
    frozenset({"red", "snow", "beach", "watercolour"}),
)


@pytest.mark.parametrize(
    ("prompt", "left_out"),
    [
        ("a fox", ()),
        ("two red foxes and three Strawberries on the beach", ()),
        ("a teddy bear, watercolour", ()),
        ("a sleepy old fox in the snow", ("sleepy old",)),
        ("a fox reading a book", ("reading",)),
        ("knives and glasses", ()),
        ("a fox, charcoal drawing, in the snow", ("charcoal drawing",)),
    ],
)
def test_what_is_known_is_drawn_and_looks_are_left_out(prompt: str, left_out: tuple[str, ...]) -> None:
    assert WORDS.check(prompt) == left_out


@pytest.mark.parametrize(
    ("prompt", "refusal"),
    [
        ("a hedgehog in the snow", "'hedgehog' is not among the 9 nouns that can be drawn here; near ones are hedge"),
        ("a fox and a grizzly", "'grizzly' is not among"),
        ("a fox, a grizzly", "'grizzly' is not among"),
        ("a snow leopard", "'leopard' is not among"),
        ("a glass table", "'table' is not among"),
        ("Freiheit", "'freiheit' is not among"),
        ("a piñata", "'piñata' is not among"),
        ("a fox book", "'fox book' is not among the 9 nouns that can be drawn here; near ones are book, fox"),
        ("a teddy", "near ones are teddy bear"),
        ("something", "some are bear"),
        ("", "'' is not among"),
        ("red", "'red' is not among"),
    ],
)
def test_unknown_things_are_refused_by_name_with_near_ones(prompt: str, refusal: str) -> None:
    with pytest.raises(ExpertError) as refused:
        WORDS.check(prompt)
    assert refusal in str(refused.value)


@pytest.mark.parametrize(
    ("prompt", "thing"),
    [
        ("children playing glass", "children"),
        ("five children with a fox", "children"),
        ("a girl holding a book", "girl"),
        ("a monk reading a book", "monk"),
    ],
)
def test_who_does_something_with_a_thing_is_no_look_of_it(prompt: str, thing: str) -> None:
    with pytest.raises(ExpertError, match=f"'{thing}' is not among"):
        WORDS.check(prompt)


def test_odd_plurals_are_known() -> None:
    words = Vocabulary(frozenset({"mouse", "goose", "toy mouse"}), frozenset())
    assert [words.single(said) for said in ("mice", "geese", "toy mice", "mouse")] == ["mouse", "goose", "toy mouse", "mouse"]
    assert words.check("three mice and some geese") == ()


def test_near_ones_are_of_the_same_kind() -> None:
    words = read_vocabulary(str(GENERATOR))
    assert words is not None
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["kind"]
    asked = [word for row in rows for word in row["words"]]
    assert len(asked) == len(set(asked)) and not [word for word in asked if words.single(word)], "they cannot be drawn"
    assert {noun for row in rows for noun in row["near"]} <= words.nouns
    assert words.near("samurai") == ["ninja", "superhero", "wizard", "detective"] and words.near("lighthouses")[0] == "tower"
    assert words.near("elefant") == ["elephant"] and words.near("old piano")[0] == "guitar" and words.near("boathouse") == ["house"]


def test_a_list_is_read_or_absent_or_broken(tmp_path: Path) -> None:
    assert read_vocabulary(str(tmp_path)) is None and read_vocabulary("owner/repository") is None
    (tmp_path / FILE).write_text(json.dumps({"nouns": ["Fox"], "words": ["Red"]}))
    assert read_vocabulary(str(tmp_path)) == Vocabulary(frozenset({"fox"}), frozenset({"red"}))
    (tmp_path / FILE).write_text(json.dumps({"nouns": ["fox"], "words": [], "paints": ["red"], "grounds": {"sand": "beach"}}))
    assert read_vocabulary(str(tmp_path)) == Vocabulary(frozenset({"fox"}), frozenset(), frozenset({"red"}), {"sand": "beach"})
    (tmp_path / FILE).write_text('{"nouns": 3}')
    with pytest.raises(ModelLoadError, match="cannot be read"):
        read_vocabulary(str(tmp_path))


def test_a_pipeline_with_a_list_refuses_and_tells_what_it_left_out(tmp_path: Path) -> None:
    place = write_pipeline(tmp_path, generation.PIPELINE)
    (place / FILE).write_text(json.dumps({"nouns": sorted(WORDS.nouns), "words": sorted(WORDS.words)}))
    draws = generation.loader(PipelineSource(str(place), generation.PIPELINE, 1, 3.0, SIDE))()
    (output,) = [event for event in draws.run(ExpertRequest("a sleepy fox")) if isinstance(event, Output)]
    assert output.recipe["left_out"] == ["sleepy"]
    with pytest.raises(ExpertError, match="'dragon'"):
        list(draws.run(ExpertRequest("a dragon")))
