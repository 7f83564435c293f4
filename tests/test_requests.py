"""Requests: every phrasing of every task is drawn, parses back and means what it says; what is held out stays out of training."""

import random
import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from unified_demo.data import exchanges
from unified_demo.data.arrangements import PLANNED_RELATIONS, Group, place_for, plan_counts, plan_pair
from unified_demo.data.context import Context, with_colour, with_label, with_size, with_thing, without_thing
from unified_demo.data.exchanges import Exchange, carry_out
from unified_demo.data.knowledge import knowledge
from unified_demo.data.multitask import Follower
from unified_demo.data.planned import PlannedScene
from unified_demo.data.plans import Placed, ScenePlan
from unified_demo.data.reasons import facts
from unified_demo.data.requests import REQUESTS, WRITERS, chats, draw_request
from unified_demo.data.scenes import Scene, draw_scene
from unified_demo.data.split import held_out_objects, held_out_templates
from unified_demo.data.verify import check_conversation
from unified_demo.data.wordings import Phrasing, SubSet, choose, draw_prompt, entries, offered, phrasings, tasks, template_text, words
from unified_demo.errors import UnifiedError
from unified_demo.grammar import TASKS, Box, MediaKind, Task
from unified_demo.messages import Conversation, MediaPart, Message, RegionPart, TextPart
from unified_demo.regions import COLOURS, PARTS, Region, with_whole_picture

LABELS = tuple(knowledge())
MANY = 400


@cache
def scene_of(seed: int) -> Scene:
    return draw_scene(random.Random(seed), LABELS, [])


def context_of(seed: int, kinds: tuple[MediaKind, ...], part: SubSet = "train") -> Context:
    rng = random.Random(seed)
    context = Context(LABELS, part)
    for number, kind in enumerate(kinds):
        scene = planned(seed) if seed % 3 == 2 else scene_of(seed % 40 + 40 * number)
        context.attach(kind, scene if kind != MediaKind.AUDIO else None, rng)
    return context


def planned(seed: int) -> PlannedScene:
    """A scene in which one thing alone answers a question of reasons.toml; the others answer none."""
    fact = facts()[seed % len(facts())]
    nouns = [sorted(fact.nouns)[0], "gadget", "gizmo"]
    boxes = [Box(0.1 + 0.3 * place, 0.3, 0.3 + 0.3 * place, 0.7) for place in range(3)]
    even = np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)
    regions = [Region(noun, 0.9, box, even) for noun, box in zip(nouns, boxes, strict=True)]
    objects = tuple(Placed("key", noun, "thing", box, "", False, 0.0) for noun, box in zip(nouns, boxes, strict=True))
    plan = ScenePlan(seed, 640, 480, "drawn:room", objects, ())
    return PlannedScene(tuple(with_whole_picture(regions, even, None)), (1, 2, 3), plan=plan)


EVERYTHING = (MediaKind.IMAGE, MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO)


def finished(context: Context, exchange: Exchange) -> Conversation:
    media = tuple(MediaPart(seen.artefact) for seen in context.seen.values())
    return Conversation((Message("user", (*media, *exchange.user)), Message("assistant", carry_out(context, exchange))))


def said(exchange: Exchange) -> str:
    return "".join(part.text for part in exchange.user if isinstance(part, TextPart))


# ---- the files ----


def every_phrasing() -> Iterator[Phrasing]:
    for task in tasks():
        yield from phrasings(task)


def test_every_task_has_its_phrasings_and_a_part_of_them_is_held_out():
    assert set(tasks()) == {*WRITERS, "followup"}
    hidden = held_out_templates()
    for task in WRITERS:
        found = phrasings(task)
        assert len(found) >= 40
        assert len({one.id for one in found}) == len({one.text for one in found}) == len(found)
        assert {one.manner for one in found} >= {"direct", "polite", "indirect"}
        assert 0.1 < sum(one.id in hidden for one in found) / len(found) < 0.2
    assert len(chats()) >= 100
    assert len({question for _, questions, _ in chats() for question in questions}) == sum(len(questions) for _, questions, _ in chats())


def test_every_held_out_template_exists():
    assert held_out_templates() <= {one.id for one in every_phrasing()} | {name for name, _, _ in chats()}


def test_slot_words_are_many_and_each_change_has_every_form():
    pictures = words()["pictures"]
    subjects = sum(len(pictures[name]) for name in ("creatures", "people", "things", "views"))
    assert subjects >= 150
    assert len(entries("sounds", "names", "all")) >= 80
    assert {row["group"] for row in words()["change"]} == {"time", "season", "weather", "style", "colour", "material", "place"}
    assert len({row["call"] for row in words()["change"]}) == len(words()["change"]) >= 50
    assert len({draw_prompt(random.Random(seed)) for seed in range(500)}) > 480


def test_training_names_no_held_out_object_in_its_slot_words():
    def names_one(text: str) -> bool:
        return any(re.search(rf"\b{re.escape(noun)}s?\b", text) for noun in held_out_objects())

    lists = [("pictures", "creatures"), ("pictures", "things"), ("pictures", "people"), ("videos", "acts"), ("content", "nouns")]
    assert not [entry for heading, name in lists for entry in entries(heading, name) if names_one(entry)]
    assert [entry for heading, name in lists for entry in entries(heading, name, "all") if names_one(entry)]


def test_a_phrasing_without_a_value_for_its_slot_is_an_error():
    with pytest.raises(UnifiedError, match=r"gen\.1 needs a value for \{p\}"):
        phrasings("gen")[0].fill({"e": "the dog"})


def test_bare_slots_lose_their_article():
    found = next(one for one in phrasings("redit") if "{e:bare}" in one.text)
    assert "the dog" not in found.fill({"e": "the dog"}) and "dog" in found.fill({"e": "the dog"})


def test_an_unknown_task_is_named():
    with pytest.raises(UnifiedError, match="'sing'"):
        draw_request(random.Random(1), "sing", Context(LABELS))
    with pytest.raises(UnifiedError, match="'sing'"):
        phrasings("sing")


# ---- every phrasing ----


@pytest.mark.parametrize("task", sorted(WRITERS))
def test_every_phrasing_draws_renders_and_parses_back(task: str, monkeypatch: pytest.MonkeyPatch):
    for phrasing in phrasings(task):
        monkeypatch.setattr(exchanges, "choose", chooser_of(phrasing))
        for seed in range(MANY):
            context = context_of(seed, EVERYTHING)
            exchange = draw_request(random.Random(seed), task, context)
            if exchange and phrasing.id in exchange.templates:
                break
        else:
            raise AssertionError(f"{phrasing.id} was never drawn")
        assert exchange.task == task
        assert not {"{", "}"} & set(said(exchange))
        check_conversation(finished(context, exchange), phrasing.id)


def chooser_of(phrasing: Phrasing):
    """Every writer that may use the phrasing gets it."""

    def fixed(
        rng: random.Random, task: str, operation: str, part: SubSet, lacking: frozenset[str] = frozenset(), manner: str = ""
    ) -> Phrasing:
        fits = (task, operation) == (phrasing.task, phrasing.operation) and not phrasing.slots & lacking
        return phrasing if fits else choose(rng, task, operation, part, lacking, manner)

    return fixed


def test_every_followup_has_a_writer():
    operations = {one.operation for one in phrasings("followup")}
    drawn: set[str] = set()
    for seed in range(1500):
        rng = random.Random(seed)
        context = context_of(seed, (MediaKind.IMAGE, MediaKind.IMAGE))
        first = draw_request(rng, rng.choice(("seg", "gen", "vgen", "agen", "edit", "question", "ground")), context)
        if not first:
            continue
        carry_out(context, first)
        follower = Follower(rng, context, first)
        followed = follower.any()
        if followed and followed.templates[0].startswith("followup."):
            check_conversation(finished(context, followed), followed.templates[0])
            drawn.add(next(one.operation for one in phrasings("followup") if one.id == followed.templates[0]))
        if drawn == operations:
            return
    raise AssertionError(f"never drawn: {sorted(operations - drawn)}")


@pytest.mark.parametrize("task", REQUESTS)
def test_what_is_held_out_stays_out_of_training(task: str):
    hidden = held_out_templates()
    for part in ("train", "held_out"):
        for seed in range(60):
            exchange = draw_request(random.Random(seed), task, context_of(seed, EVERYTHING, part))  # type: ignore[arg-type]
            used = {name for name in exchange.templates if not name.endswith("unsaid")} if exchange else set()
            if part == "train":
                assert not used & hidden
            elif task != "several":
                assert used <= hidden


def test_training_offers_everything_else():
    for task in tasks():
        shown = {one.id for one in phrasings(task) if one in offered(task, one.operation, "train")}
        assert shown == {one.id for one in phrasings(task)} - held_out_templates()
    assert template_text("gen.1").split() == ["draw"]
    assert template_text("chat.1") == template_text("gen.9999") == ""


# ---- what the answers say ----


@pytest.mark.parametrize("task", list(WRITERS))
def test_without_what_it_needs_the_answer_says_so_and_calls_nothing(task: str):
    needs = TASKS[Task(task)].needs if task in TASKS else (MediaKind.IMAGE,)
    for seed in range(20):
        exchange = draw_request(random.Random(seed), task, Context(LABELS))
        assert exchange
        if not needs:
            assert exchange.manner in ("call", "clarify")
            continue
        assert exchange.manner == "refuse"
        assert not exchange.calls()
        assert exchange.answer[0] == TextPart(exchanges.no_media(needs[0]))


@pytest.mark.parametrize("task", [task.value for task in Task])
def test_calls_carry_what_their_task_needs(task: str):
    for seed in range(120):
        context = context_of(seed, EVERYTHING)
        exchange = draw_request(random.Random(seed), task, context)
        if not exchange or exchange.manner != "call":
            continue
        (call,) = exchange.calls()
        spec = TASKS[Task(task)]
        assert call.task == task
        assert [context.seen[ref].kind for ref in call.refs] == list(spec.needs)
        assert bool(call.regions) == spec.needs_box
        assert all(region.boxes for region in call.regions)
        outputs = [part.artefact.kind for part in carry_out(context, exchange) if isinstance(part, MediaPart)]
        assert outputs and set(outputs) == {spec.gives}


def test_prompts_of_creations_stand_in_the_request():
    for task in ("gen", "vgen", "layout"):
        for seed in range(80):
            exchange = draw_request(random.Random(seed), task, Context(LABELS))
            whole = exchange is not None and (exchange.chinese or exchange.templates[0].endswith(".wish"))
            for call in exchange.calls() if exchange and not whole else ():
                placed = task == "layout" and call.regions and call.prompt not in said(exchange)
                for asked in [region.phrase for region in call.regions] if placed else [call.prompt]:
                    assert asked in said(exchange)


def test_seconds_of_a_sound_are_those_asked_for():
    seen = set()
    for seed in range(200):
        exchange = draw_request(random.Random(seed), "agen", Context(LABELS))
        assert exchange
        for call in exchange.calls():
            asked = re.search(r"(\d+) s", said(exchange))
            seconds = re.search(r", (\d+) seconds$", call.prompt)
            assert seconds and seconds.group(1) == (asked.group(1) if asked else "5")
            seen.add(bool(asked))
    assert seen == {True, False}


def test_an_absent_thing_is_refused_and_an_unclear_one_is_asked_back():
    manners = set()
    for seed in range(300):
        context = context_of(seed, (MediaKind.IMAGE,))
        exchange = draw_request(random.Random(seed), "seg", context)
        assert exchange
        manners.add(exchange.manner)
        scene = context.seen["img-1"].scene
        assert scene
        labels = [scene.regions[index].label for index in scene.things]
        if exchange.manner == "refuse":
            absent = re.fullmatch(r"I cannot see (?:an? |some )?(.*) in this picture\.", exchange.answer[0].text)  # type: ignore[union-attr]
            assert absent and absent.group(1) not in {region.label for region in scene.regions}
        elif exchange.manner == "clarify":
            region = exchange.answer[1]
            assert isinstance(region, RegionPart)
            boxes = [scene.regions[index].box for index in scene.things if labels.count(scene.regions[index].label) > 1]
            assert len(region.boxes) > 1 and set(region.boxes) <= set(boxes)
    assert manners == {"call", "refuse", "clarify"}


def test_a_reasoning_question_is_answered_by_the_one_thing_that_fits(monkeypatch: pytest.MonkeyPatch):
    for task, calls in (("question", 0), ("seg", 1)):
        monkeypatch.setattr(exchanges, "choose", chooser_of(next(one for one in phrasings(task) if one.operation == "reason")))
        answered = 0
        for seed in range(2, 300, 3):
            context = context_of(seed, (MediaKind.IMAGE,))
            exchange = draw_request(random.Random(seed), task, context)
            fact = facts()[seed % len(facts())]
            if exchange and any(question in said(exchange) for question in fact.ask):
                answered += 1
                region, why = exchange.answer[:2]
                assert isinstance(region, RegionPart) and region.boxes == (Box(0.1, 0.3, 0.3, 0.7),)
                assert isinstance(why, TextPart) and fact.why in why.text
                assert len(exchange.calls()) == calls
                assert sorted(fact.nouns)[0] not in said(exchange).lower().split()
        assert answered > 5


def test_several_calls_are_numbered_and_a_second_step_uses_the_first_result():
    chained = 0
    for seed in range(150):
        context = context_of(seed, (MediaKind.IMAGE,))
        exchange = draw_request(random.Random(seed), "several", context)
        if not exchange:
            continue
        first, *others = exchange.calls()
        assert first.index == 0 and [call.index for call in others] in ([1], [1, 2])
        parts = carry_out(context, exchange)
        given = [part.artefact.id for part in parts if isinstance(part, MediaPart)]
        for place, call in enumerate(others, start=1):
            later = set(call.refs) - {"img-1"}
            chained += bool(later)
            assert later <= set(given[:place])
    assert chained > 20


# ---- planned boxes ----


@pytest.mark.parametrize("relation", PLANNED_RELATIONS)
@pytest.mark.parametrize(("subject", "thing"), [("cat", "dog"), ("cup", "bus"), ("elephant", "fork"), ("person", "horse")])
def test_planned_pairs_keep_their_relation(relation: str, subject: str, thing: str):
    first, second = plan_pair(subject, relation, thing)
    (x, y), (u, v) = ((box.x0 + box.x1, box.y0 + box.y1) for box in (first, second))
    true = {
        "left of": first.x1 < second.x0, "right of": first.x0 > second.x1, "above": first.y1 < second.y0, "below": first.y0 > second.y1,
        "next to": first.x1 < second.x0 and abs(y - v) < 0.2, "on": y < v and first.y1 > second.y0 and abs(x - u) < 0.2,
        "under": y > v and first.y0 < second.y1, "riding": y < v and first.y1 > second.y0, "holding": first.iou(second) > 0 or x < u,
        "in front of": first.y1 > second.y1, "behind": first.y1 < second.y1,
    }  # fmt: skip
    assert true[relation]


@pytest.mark.parametrize("counts", [(1,), (2,), (5,), (9,), (1, 1), (2, 3), (5, 5), (1, 2, 3), (3, 3, 3)])
def test_planned_counts_are_right_and_apart(counts: tuple[int, ...]):
    groups = [Group(label, count) for label, count in zip(("dog", "person", "cup"), counts, strict=False)]
    planned = plan_counts(groups)
    assert tuple(map(len, planned)) == counts
    boxes = [box for group in planned for box in group]
    assert all(first.iou(second) < 0.02 for place, first in enumerate(boxes) for second in boxes[:place])
    assert min(box.area for box in boxes) > 0.004


@pytest.mark.parametrize(("words", "true"), [
    ("left of", lambda new, old: new.x1 <= old.x0), ("right of", lambda new, old: new.x0 >= old.x1),
    ("above", lambda new, old: new.y1 <= old.y0), ("below", lambda new, old: new.y0 >= old.y1),
])  # fmt: skip
def test_something_new_gets_its_place_or_none(words, true):
    anchor = Box(0.4, 0.4, 0.6, 0.6)
    box = place_for(words, anchor)
    assert box and true(box, anchor)
    assert place_for(words, Box(0.0, 0.0, 1.0, 1.0)) is None


# ---- what edits make of a scene ----


def test_edited_scenes_keep_everything_else():
    rng = random.Random(3)
    for seed in range(40):
        scene = scene_of(seed)
        if not scene.things:
            continue
        target = scene.things[seed % len(scene.things)]
        others = [scene.regions[index] for index in scene.things if index != target]

        gone = without_thing(scene, target)
        assert [gone.regions[index] for index in gone.things] == others
        assert not [region for region in gone.regions if region is scene.regions[target]]
        for first, word, second in gone.links:
            old = {(scene.regions[a].label, w, scene.regions[b].label) for a, w, b in scene.links}
            assert (gone.regions[first].label, word, gone.regions[second].label) in old

        box = Box(0.3, 0.3, 0.4, 0.4)
        more = with_thing(scene, "dragon", box, rng)
        assert [region.label for region in more.regions].count("dragon") == 1
        assert len(more.things) == len(scene.things) + 1
        centres = [region.box.x0 + region.box.x1 for region in more.regions[1:]]
        assert centres == sorted(centres)

        other = with_label(scene, target, "dragon", rng)
        (dragon,) = [index for index in other.things if other.regions[index].label == "dragon"]
        assert other.regions[dragon].box == scene.regions[target].box

        red = with_colour(scene, target, "red")
        assert COLOURS[int(red.regions[target].colours[0].argmax())] == "red"
        assert with_size(scene, target, 0.5).regions[target].box.area < scene.regions[target].box.area
