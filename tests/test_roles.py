"""Questions from relations: they name no answer, are asked only where one thing fits, and the answer points at it and says why."""

import random
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from unified_demo.data import roles as roles_module
from unified_demo.data.context import Context
from unified_demo.data.expressions import LINKED
from unified_demo.data.knowledge import knowledge
from unified_demo.data.requests import draw_request
from unified_demo.data.roles import Link, ask_about_links, near, roles
from unified_demo.data.scenes import Scene, draw_scene
from unified_demo.errors import MediaError
from unified_demo.grammar import Box, MediaKind
from unified_demo.messages import RegionPart, TextPart
from unified_demo.nouns import plural
from unified_demo.regions import COLOURS, PARTS, Region, with_whole_picture

LABELS = tuple(knowledge())
RIDER, HORSE, WALKER = Box(0.15, 0.2, 0.25, 0.5), Box(0.05, 0.4, 0.3, 0.7), Box(0.7, 0.2, 0.8, 0.7)


def scene_of(*things: tuple[str, Box], links: tuple[Link, ...] = (), unseen: tuple[tuple[str, Box], ...] = ()) -> Scene:
    """Regions in the order given, the whole picture in front of them: the first thing is region 1."""
    even = np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)
    regions = [Region(label, 0.9, box, even) for label, box in things]
    ordered = with_whole_picture(regions, even, None)
    assert [region.box for region in ordered[1:]] == [box for _, box in things], "give the things from left to right"
    return Scene(tuple(ordered), tuple(range(1, len(ordered))), links, unseen=unseen)


def riding(*more: tuple[str, Box], unseen: tuple[tuple[str, Box], ...] = ()) -> Scene:
    return scene_of(("horse", HORSE), ("person", RIDER), *more, links=((2, "riding", 1),), unseen=unseen)


def questions_of(scene: Scene, tries: int = 60) -> dict[str, tuple[int, ...]]:
    found = [ask_about_links(random.Random(seed), scene) for seed in range(tries)]
    return {asked.question: asked.targets for asked in found if asked}


def test_every_role_is_whole_and_names_no_answer() -> None:
    for role in roles():
        assert role.words and role.words <= set(LINKED), role
        assert role.first | role.second | role.also <= set(knowledge()), role
        assert not role.second & role.also, role
        assert role.ask or role.back, role
        for questions, answers in ((role.ask, role.first), (role.back, role.second)):
            for question in questions:
                assert question.endswith("?")
                assert set(re.findall(r"\{.*?\}", question)) <= {"{first}" if questions is role.back else "{second}"}, question
                said = re.findall("[a-z]+", question.lower())
                for noun in answers - {"person"}:
                    assert not {noun.split()[-1], plural(noun).split()[-1]} & set(said), question
    assert sum(len(role.ask) + len(role.back) for role in roles()) >= 250


def test_the_rider_and_what_is_ridden_are_asked_for() -> None:
    asked = questions_of(riding(("person", WALKER)))
    assert asked["Who is in the saddle?"] == (2,)
    assert asked["What is the rider on?"] == (1,)
    for seed in range(20):
        found = ask_about_links(random.Random(seed), riding(("person", WALKER)))
        assert found
        expected = {
            (1,): ("the horse ridden by the person", "is ridden by the person"),
            (2,): ("the person riding the horse", "is riding the horse"),
        }
        assert (found.said, found.why) == expected[found.targets]


def test_nobody_is_asked_for_where_another_could_be_meant() -> None:
    beside = Box(0.25, 0.2, 0.35, 0.7)
    assert near(beside, HORSE)
    assert not [targets for targets in questions_of(riding(("person", beside))).values() if targets == (2,)], "two could ride the horse"
    assert not [targets for targets in questions_of(riding(unseen=(("person", beside),))).values() if targets == (2,)], "one is unseen"
    two = scene_of(
        ("horse", HORSE), ("person", RIDER), ("bicycle", Box(0.6, 0.4, 0.9, 0.7)), ("person", WALKER),
        links=((2, "riding", 1), (4, "riding", 3)),
    )  # fmt: skip
    asked = questions_of(two, 200)
    assert asked["Who is in the saddle?"] == (2,)
    assert asked["Who is pedalling?"] == (4,)
    assert "Who is not on foot?" not in asked
    assert "What is the rider on?" not in asked
    assert not questions_of(scene_of(("horse", HORSE), ("person", RIDER))), "nothing is known to be done"


def test_a_thing_is_called_by_its_name_only_where_it_is_alone_of_its_kind() -> None:
    person, dog, far = Box(0.2, 0.2, 0.3, 0.8), Box(0.32, 0.6, 0.42, 0.8), Box(0.8, 0.6, 0.9, 0.8)
    link: tuple[Link, ...] = ((1, "next to", 2),)
    assert questions_of(scene_of(("person", person), ("dog", dog), links=link))["Who owns the dog?"] == (1,)
    assert not [one for one in questions_of(scene_of(("person", person), ("dog", dog), ("dog", far), links=link)) if "the dog" in one]
    unseen = scene_of(("person", person), ("dog", dog), links=link, unseen=(("dog", far),))
    assert not [one for one in questions_of(unseen) if "the dog" in one]


def test_requests_ask_for_them_and_answer_with_region_and_reason() -> None:
    """A third of the reasoning requests about scenes with relations, for outlines and for plain questions."""
    for task, calls in (("seg", 1), ("question", 0)):
        linked = others = 0
        for seed in range(500):
            scene = draw_scene(random.Random(seed), LABELS, [])
            if not scene.links:
                continue
            context = Context(LABELS, "train")
            context.attach(MediaKind.IMAGE, scene, random.Random(seed))
            exchange = draw_request(random.Random(seed), task, context)
            if not exchange or not exchange.topic or exchange.topic.kind not in ("relation", "hint"):
                continue
            asked = "".join(part.text for part in exchange.user if isinstance(part, TextPart))
            region, why = [*exchange.answer, TextPart(""), TextPart("")][:2]
            if not asked_by_role(asked):
                others += exchange.topic.kind == "hint" and isinstance(region, RegionPart) and isinstance(why, TextPart)
                continue
            linked += 1
            assert exchange.topic.kind == "relation"
            assert isinstance(region, RegionPart) and isinstance(why, TextPart)
            (target,) = exchange.topic.targets
            assert region.boxes == (scene.regions[target].box,)
            assert region.phrase == f"The {scene.regions[target].label}"
            assert any(f" {verb}" in why.text for verb in ("is", "are"))
            assert any(target in (first, second) for first, _, second in scene.links)
            assert [(made.prompt, made.regions[0].boxes) for made in exchange.calls()] == [(exchange.topic.said, region.boxes)] * calls
        assert linked > 5, task
        assert 0.2 < linked / (linked + others) < 0.5, task


@cache
def every_question() -> re.Pattern[str]:
    """The table's questions, whatever names they are asked with."""
    found = {re.escape(question) for role in roles() for question in (*role.ask, *role.back)}
    return re.compile("|".join(re.sub(r"\\\{\w+\\\}", "[a-z ]+", question) for question in sorted(found)))


def asked_by_role(text: str) -> bool:
    return every_question().search(text) is not None


def test_a_broken_table_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "roles.toml").write_text("[[role]]\nwords = 3\n", "utf-8")
    monkeypatch.setattr(roles_module, "ROLES_FILE", tmp_path / "roles.toml")
    roles.cache_clear()
    with pytest.raises(MediaError, match=re.escape("roles.toml")):
        roles()
    roles.cache_clear()
