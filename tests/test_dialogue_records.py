"""Dialogues of several tasks: references mean the right artefact; records come back the same; shards survive what happens to files."""

import gzip
import http.server
import json
import random
import re
import threading
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cutouts import write_tiny_assets

from unified_demo.data import building
from unified_demo.data.building import BuildOptions, build
from unified_demo.data.compact import compact_scene, pack_colours, plan_of, plan_record, scene_of, scene_record, unpack_colours
from unified_demo.data.knowledge import knowledge
from unified_demo.data.likeness import Likeness
from unified_demo.data.multitask import Dialogue, write_dialogue
from unified_demo.data.paraphrase import Paraphraser, keeps, slot_words, words_of
from unified_demo.data.plans import Placed, ScenePlan, plan_to_scene
from unified_demo.data.published.reading import Complaints
from unified_demo.data.records import conversation_of, plan_in, record_of, seen_of, turns_of
from unified_demo.data.scenes import Scene, draw_scene
from unified_demo.data.shards import Stored, read_shards, shard_path, write_shard
from unified_demo.data.split import held_out_templates, part_of_noun
from unified_demo.data.statistics import count, page
from unified_demo.data.verify import RecordError, check_conversation, surface_text
from unified_demo.data.wordings import phrasings
from unified_demo.errors import UnifiedError
from unified_demo.grammar import TASKS, Box, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.regions import COLOURS, PARTS

LABELS = tuple(knowledge())


@cache
def scenes() -> list[Scene]:
    return [draw_scene(random.Random(seed), LABELS, []) for seed in range(30)]


def dialogue_of(seed: int, turns: int | None = None) -> Dialogue:
    rng = random.Random(seed)
    return write_dialogue(rng, lambda chance: chance.choice(scenes()), LABELS, turns or rng.randint(2, 8), settle=compact_scene)


# ---- conversations ----


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 8))
def test_every_dialogue_parses_back_and_is_built_as_the_engine_would(seed: int, turns: int):
    dialogue = dialogue_of(seed, turns)
    check_conversation(dialogue.conversation, str(seed))
    assert [message.role for message in dialogue.conversation.messages] == ["user", "assistant"] * turns
    assert len(dialogue.exchanges) == turns
    given: list[str] = []
    for message in dialogue.conversation.messages:
        for part, following in zip(message.parts, [*message.parts[1:], None], strict=True):
            if isinstance(part, MediaPart):
                kind = part.artefact.kind
                assert part.artefact.id == f"{kind.value}-{sum(name.startswith(kind.value) for name in given) + 1}"
                given.append(part.artefact.id)
            if isinstance(part, TaskCall):
                spec = TASKS[Task(part.task)]
                assert [ref.split("-")[0] for ref in part.refs] == [kind.value for kind in spec.needs]
                assert set(part.refs) <= set(given)
                assert isinstance(following, MediaPart) and following.artefact.kind == spec.gives
    assert [name for name in given if not name.startswith("mask")] == list(dialogue.seen)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_boxes_lie_on_things_of_the_picture_they_are_said_of(seed: int):
    dialogue = dialogue_of(seed)
    for message in dialogue.conversation.messages[1::2]:
        for part in message.parts:
            regions = part.regions if isinstance(part, TaskCall) and part.task == "seg" else (part,) if isinstance(part, RegionPart) else ()
            for region in regions:
                scene = dialogue.seen[region.artefact_id or ""].scene
                assert not region.boxes or (scene and set(region.boxes) <= {scene.regions[index].box for index in scene.things})


WORDS = {"img": "picture|photo|image", "vid": "video|clip", "aud": "sound|recording"}
ORDER = ("first", "second", "third", "fourth", "fifth", "sixth")


def meant(text: str, known: list[tuple[str, bool]]) -> str | None:
    """The artefact that the words name, read without the generator; ``known``: (id, made by an expert) in order. None: no name."""
    if found := re.search(r"\b(?:img|vid|aud)-\d+\b", text):
        return found.group()
    for kind, words in WORDS.items():
        same = [name for name, _ in known if name.startswith(kind)]
        made = [name for name, output in known if output and name in same]
        sent = [name for name in same if name not in made]
        order = "|".join(ORDER)
        readings: list[tuple[str, Callable[[re.Match[str]], str]]] = [
            (rf"\b(?:{words}) (\d+)\b", lambda found, same=same: same[int(found[1]) - 1]),
            (rf"the ({order}) (?:{words}) you made", lambda found, made=made: made[ORDER.index(found[1])]),
            (rf"the last (?:{words}) you made", lambda _, made=made: made[-1]),
            (rf"the (?:{words}) you made|your (?:{words})", lambda _, made=made: made[-1] if len(made) == 1 else "unclear"),
            (rf"the last (?:{words}) I sent", lambda _, sent=sent: sent[-1]),
            (rf"the (?:{words}) I sent|my (?:{words})", lambda _, sent=sent: sent[-1] if len(sent) == 1 else "unclear"),
            (rf"the (?:{words}) before the last one", lambda _, same=same: same[-2]),
            (rf"the ({order}) (?:{words})", lambda found, same=same: same[ORDER.index(found[1])]),
            (rf"the (?:last|newest) (?:{words})", lambda _, same=same: same[-1]),
        ]
        for pattern, reading in readings:
            if found := re.search(pattern, text):
                return reading(found)
    if "the original" in text:
        sent = [name for name, output in known if not output]
        return next((name for name in sent if name.startswith("img")), None)
    return None


def test_names_of_artefacts_mean_what_the_answer_refers_to():
    checked, far = 0, 0
    for seed in range(180):
        dialogue = dialogue_of(seed)
        known: list[tuple[str, bool]] = []
        age: dict[str, int] = {}
        for turn, exchange in enumerate(dialogue.exchanges):
            user, answer = dialogue.conversation.messages[2 * turn : 2 * turn + 2]
            fresh = [part.artefact.id for part in user.parts if isinstance(part, MediaPart)]
            known += [(name, False) for name in fresh]
            age |= dict.fromkeys(fresh, turn)
            name = meant(words_of(user), known) if exchange.about and exchange.task not in ("several", "chat") else None
            if name and "original" not in words_of(user):
                checked += 1
                far += turn - age[exchange.about] >= 5
                assert name == exchange.about, f"{seed}: {words_of(user)}"
                for call in exchange.calls():
                    assert call.refs == (name,)
            made = [part.artefact.id for part in answer.parts if isinstance(part, MediaPart)]
            known += [(name, True) for name in made if not name.startswith("mask")]
            age |= dict.fromkeys(made, turn)
    assert checked > 140
    assert far > 3


def test_it_means_the_thing_last_spoken_of():
    operations = {one.id: one.operation for one in phrasings("followup")}
    resized = {one.id for task in ("followup", "redit") for one in phrasings(task) if one.operation in ("bigger", "smaller")}
    checked = 0
    for seed in range(180):
        dialogue = dialogue_of(seed)
        for turn, exchange in enumerate(dialogue.exchanges[1:], 1):
            operation, before = operations.get(exchange.templates[0], ""), dialogue.exchanges[turn - 1]
            grown = resized & set(before.templates)
            if operation not in ("segment", "find", "remove", "recolour", "bigger", "smaller") or grown or before.task == "chat":
                continue
            boxes = {box for part in before.answer for region in regions_in(part) for box in region.boxes}
            checked += 1
            (box,) = {box for part in exchange.answer for region in regions_in(part) for box in region.boxes}
            assert boxes == {box}
    assert checked > 15


def regions_in(part: object) -> tuple[RegionPart, ...]:
    return part.regions if isinstance(part, TaskCall) else (part,) if isinstance(part, RegionPart) else ()


def test_training_dialogues_use_no_held_out_phrasing():
    used = {name for seed in range(100) for exchange in dialogue_of(seed).exchanges for name in exchange.templates}
    assert not used & held_out_templates()
    assert len(used) > 250


# ---- checking ----


def conversation(*answer: object, refs: tuple[str, ...] = ()) -> Conversation:
    media = tuple(MediaPart(Artefact(name, MediaKind(name.split("-")[0]), Path("x"))) for name in refs)
    return Conversation((Message("user", (*media, TextPart("do it"))), Message("assistant", answer)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (conversation(TextPart("a <box>[1,2,3,4]</box>")), "words"),
        (conversation(TaskCall(0, "edit", "make it night", ("img-1",))), "there are none"),
        (conversation(TaskCall(0, "edit", "make it night", ("img-2",)), refs=("img-1",)), "there are img-1"),
        (conversation(RegionPart("the dog")), "words|regions"),
        (conversation(TaskCall(1, "gen", "a dog")), "calls"),
        (conversation(TaskCall(0, "gen", "a dog <gen>")), "calls"),
    ],
)
def test_what_does_not_parse_back_is_named(broken: Conversation, why: str):
    with pytest.raises(RecordError, match=rf"r-7, message 1.*({why})"):
        check_conversation(broken, "r-7")


def test_a_box_in_an_older_picture_says_which():
    box = Box(0.1, 0.1, 0.5, 0.5)
    message = Message("assistant", (TextPart("Here is "), RegionPart("the dog", (box, box), (), "img-1"), TextPart(".")))
    assert surface_text(message, "img-2").count("<ref>img-1</ref>") == 1
    assert "<ref>" not in surface_text(message, "img-1")


# ---- records ----


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9))
def test_a_record_gives_the_dialogue_back(seed: int):
    dialogue = dialogue_of(seed)
    record = json.loads(json.dumps(record_of(dialogue, "r")))
    back = conversation_of(record)
    seen = seen_of(record)
    again = replace(dialogue, conversation=back, seen=seen)
    assert record_of(again, "r") == record
    assert [message.role for message in back.messages] == [message.role for message in dialogue.conversation.messages]
    assert [turn.task for turn in turns_of(record)] == [exchange.task for exchange in dialogue.exchanges]
    for name, was in dialogue.seen.items():
        assert seen[name].spans == was.spans and seen[name].events == was.events and seen[name].made == was.made
        if was.scene:
            scene = seen[name].scene
            assert scene and scene.things == was.scene.things and scene.links == was.scene.links
            for region, before in zip(scene.regions, was.scene.regions, strict=True):
                assert (region.label, region.box) == (before.label, before.box)
                assert np.array_equal(region.colours, before.colours)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_colours_are_rounded_once(seed: int):
    shares = np.random.default_rng(seed).dirichlet(np.full(len(COLOURS), 0.3), (3, PARTS)).astype(np.float32)
    packed = pack_colours(shares)
    once = unpack_colours(packed)
    assert pack_colours(once) == packed
    assert np.abs(once - shares).max() <= 1 / 15 + 1e-6
    assert np.allclose(once.sum(2), 1)


def test_a_plan_comes_back():
    placed = Placed("fluent:cat", "cat", "animal", Box(0.12345, 0.2, 0.5, 0.75), "gray", True, -3.5)
    plan = ScenePlan(7, 640, 480, "drawn:meadow", (placed, replace(placed, noun="dog")), ((0, "on", 1),))
    assert plan_of(json.loads(json.dumps(plan_record(plan)))) == plan


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda record: record.update(version=99), "version 99"),
        (
            lambda record: record["messages"][1]["parts"].append({"call": "sing", "prompt": "", "refs": [], "regions": [], "index": 0}),
            "sing",
        ),
        (lambda record: record["messages"][0].update(role="system"), "neither the user"),
        (lambda record: record["messages"][0].update(parts=[{"text": 3}]), "broken message"),
        (lambda record: record["messages"][1].update(parts=[{"phrase": "x", "in": None, "boxes": [[9, 9, 3, 3]]}]), "broken message"),
        (lambda record: record["messages"][1].update(parts=[{"phrase": "x", "in": None, "boxes": [[0, 0, 3, 1200]]}]), "broken message"),
        (lambda record: record["messages"][1].update(parts=[{"phrase": "x", "in": {}, "boxes": [[0, 0, 3, 3]]}]), "broken message"),
        (lambda record: record.pop("messages"), "broken message"),
    ],
)
def test_a_broken_record_is_named(change: Callable[[dict], object], why: str):
    record = record_of(dialogue_of(1), "r-1")
    change(record)
    with pytest.raises(RecordError, match=why):
        conversation_of(record)


def test_an_unknown_task_and_a_broken_scene_are_named():
    record = record_of(dialogue_of(1), "r-1")
    record["turns"][0]["task"] = "sing"
    with pytest.raises(RecordError, match="unknown task 'sing'"):
        turns_of(record)
    record["turns"][0].update(task="chat", templates=[["chat-1"]])
    with pytest.raises(RecordError, match="broken list of turns"):
        turns_of(record)
    scene = scene_record(compact_scene(scenes()[0]))
    for broken in ({"things": [99]}, {"colours": "AA=="}, {"boxes": scene["boxes"][1:]}):
        with pytest.raises((ValueError, KeyError)):
            scene_of(scene | broken)


# ---- shards ----


def small(count: int = 6, **changes: object) -> BuildOptions:
    return BuildOptions(count, per_shard=2, **changes)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path: Path):
    for name, workers in (("one", 1), ("two", 2)):
        build(small(4), tmp_path / name, workers)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    build(small(4, seed=2), tmp_path / "other")
    assert files(tmp_path / "one").keys() == files(tmp_path / "other").keys()
    assert files(tmp_path / "one")["shard-00000.jsonl.gz"] != files(tmp_path / "other")["shard-00000.jsonl.gz"]


def test_an_interrupted_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build(small(), tmp_path / "whole")
    checked = building.check_conversation

    def stumble(conversation: Conversation, name: str) -> None:
        if name.endswith("03"):
            raise RecordError("stopped here")
        checked(conversation, name)

    monkeypatch.setattr(building, "check_conversation", stumble)
    with pytest.raises(RecordError, match="stopped here"):
        build(small(), tmp_path / "halted")
    assert sorted(path.name for path in (tmp_path / "halted").iterdir()) == ["build.json", "shard-00000.jsonl.gz"]
    monkeypatch.setattr(building, "check_conversation", checked)
    first = shard_path(tmp_path / "halted", 0).stat().st_mtime_ns
    summary = build(small(), tmp_path / "halted")
    assert summary["records"] == 4
    assert shard_path(tmp_path / "halted", 0).stat().st_mtime_ns == first
    assert files(tmp_path / "halted") == files(tmp_path / "whole")


def test_a_folder_of_another_build_is_refused(tmp_path: Path):
    build(small(2), tmp_path)
    with pytest.raises(RecordError, match="seed 1, not 5"):
        build(small(2, seed=5), tmp_path)
    with pytest.raises(RecordError, match="at least one dialogue"):
        BuildOptions(0)


def test_read_shards_skips_and_names_what_is_broken(tmp_path: Path):
    build(small(8), tmp_path)
    whole = [stored.record for stored in read_shards(tmp_path)]
    assert [record["id"] for record in whole] == [f"train-1-{number:06d}" for number in range(8)]
    cut = shard_path(tmp_path, 0)
    cut.write_bytes(cut.read_bytes()[:-200])
    with gzip.open(shard_path(tmp_path, 1), "ab") as lines:
        lines.write(b'{"version": 1, "id": \n[1]\n')
    shard_path(tmp_path, 2).unlink()
    shard_path(tmp_path, 3).write_bytes(b"no archive")
    complaints = Complaints()
    ids = [stored.record["id"] for stored in read_shards(tmp_path, complaints)]
    assert set(ids) <= {record["id"] for record in whole}
    assert {"train-1-000002", "train-1-000003"} <= set(ids)
    places = {(complaint.path.name, complaint.kind, complaint.line) for complaint in complaints.found}
    assert ("shard-00002.jsonl.gz", "missing shard", 0) in places
    assert ("shard-00003.jsonl.gz", "truncated shard", 1) in places
    assert ("shard-00001.jsonl.gz", "broken json", 3) in places
    assert ("shard-00001.jsonl.gz", "no record", 4) in places
    assert ("shard-00000.jsonl.gz", "truncated shard") in {place[:2] for place in places}


def test_a_folder_without_shards_is_an_error(tmp_path: Path):
    with pytest.raises(RecordError, match="no shards"):
        next(read_shards(tmp_path))


def test_a_shard_is_written_whole_or_not_at_all(tmp_path: Path):
    def rows() -> Iterator[dict]:
        yield {"a": 1}
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "shard-00000.jsonl.gz", rows())
    assert not list(tmp_path.iterdir())


# ---- paraphrases ----


class _Rewording(http.server.BaseHTTPRequestHandler):
    """Answers like a chat API; what it says is decided by the test."""

    say: Callable[[str], str | None] = staticmethod(lambda said: said)

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        content = type(self).say(said)
        body = b"no json" if content is None else json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Rewording) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_paraphrase_that_keeps_the_slots_is_taken(server: str):
    _Rewording.say = staticmethod(lambda said: f"Do me a favour, would you: {said}")
    paraphraser = Paraphraser(server)
    dialogue = dialogue_of(3)
    reworded = paraphraser.reword(dialogue)
    asked = sum(exchange.task != "chat" and not exchange.chinese for exchange in dialogue.exchanges)
    assert (paraphraser.kept, paraphraser.dropped) == (asked, 0)
    for turn, exchange in enumerate(dialogue.exchanges):
        old, new = dialogue.conversation.messages[2 * turn], reworded.conversation.messages[2 * turn]
        assert words_of(new) == (
            words_of(old) if exchange.task == "chat" or exchange.chinese else f"Do me a favour, would you: {words_of(old)}"
        )
        assert dialogue.conversation.messages[2 * turn + 1] == reworded.conversation.messages[2 * turn + 1]
        assert [part for part in old.parts if isinstance(part, MediaPart)] == [part for part in new.parts if isinstance(part, MediaPart)]
    check_conversation(reworded.conversation, "reworded")


@pytest.mark.parametrize(
    "answer", [lambda said: "please do it", lambda said: None, lambda said: f"{said} <box>[1,2,3,4]</box>", lambda _: ""]
)
def test_a_paraphrase_that_loses_something_is_dropped(server: str, answer: Callable[[str], str | None]):
    _Rewording.say = staticmethod(answer)
    paraphraser = Paraphraser(server)
    dialogue = next(
        made
        for made in map(dialogue_of, range(999))
        if all(one.task in ("gen", "seg", "layout") and not one.chinese for one in made.exchanges)
        and all(slot_words(asked, one.templates) for asked, one in zip(made.conversation.messages[::2], made.exchanges, strict=True))
    )
    assert paraphraser.reword(dialogue) == dialogue
    assert paraphraser.kept == 0


def test_a_server_that_is_not_there_changes_nothing_and_a_wrong_address_is_refused():
    dialogue = dialogue_of(4)
    assert Paraphraser("http://127.0.0.1:9", timeout_s=1).reword(dialogue) == dialogue
    with pytest.raises(UnifiedError, match="not the address"):
        Paraphraser("ftp://somewhere")
    assert BuildOptions(1).paraphrase is None


def test_slot_words_are_those_that_no_phrasing_has():
    message = Message("user", (TextPart("draw a red fox in the snow, img-2"),))
    assert slot_words(message, ("gen.1",)) == {"red", "fox", "in", "snow", "img-2"}
    assert keeps("draw a red fox", "a red fox, drawn", frozenset({"red", "fox"}))
    assert not keeps("draw a red fox", "a fox, drawn", frozenset({"red", "fox"}))


# ---- statistics ----


def test_statistics_count_what_the_records_hold(tmp_path: Path):
    build(small(20), tmp_path)
    complaints = Complaints()
    stored = list(read_shards(tmp_path))
    records = [item.record for item in stored]
    broken = [
        Stored(tmp_path / "some.gz", line, records[0] | change)
        for line, change in ((4, {"version": 99}), (7, {"turns": [{"task": "sing"}]}))
    ]
    figures = count([*stored, *broken, stored[1]], complaints)
    assert figures.records == 21
    assert [(complaint.kind, complaint.path.name, complaint.line) for complaint in complaints.found] == [
        ("broken record", "some.gz", 4),
        ("broken record", "some.gz", 7),
    ]
    turns = [turn for record in [*records, records[1]] for turn in record["turns"]]
    assert figures.tasks == Counter(turn["task"] for turn in turns)
    assert sum(figures.turns[key] * key for key in figures.turns) == len(turns) == figures.asked
    assert figures.templates.total() == sum(len(turn["templates"]) for turn in turns)
    assert figures.likeness.exact() == 1
    assert figures.boxes["pointed at"] + figures.boxes["spelt"] == sum(figures.boxes[task] for task in figures.box_tokens)
    written = page(figures, complaints, "some <shards>")
    assert "some &lt;shards&gt;" in written and "<box>" not in written
    assert written.count("<section") == written.count("</section>") == 12
    for plot in re.findall(r"<svg.*?</svg>", written, re.DOTALL):
        ElementTree.fromstring(plot)


def test_likeness_tells_the_same_the_near_and_the_different_apart():
    likeness = Likeness()
    words = [f"word{number}" for number in range(80)]
    likeness.add(" ".join(words))
    assert (likeness.exact(), likeness.near()) == (0, 0)
    likeness.add(" ".join(words).upper())
    likeness.add(" ".join([*words[:-1], "other"]))
    likeness.add(" ".join(words[::-1]))
    likeness.add("")
    assert (likeness.exact(), likeness.near()) == (1, 2)
    for seed in range(200):
        likeness.add(" ".join(str(random.Random(seed).randrange(10**6)) for _ in range(40)) + " please attach one and ask again")
    assert (likeness.exact(), likeness.near()) == (1, 2)


# ---- planned scenes ----


@pytest.mark.parametrize("part", ["train", "held_out"])
def test_planned_pictures_keep_their_plan_and_its_things(tmp_path: Path, part: Literal["train", "held_out"]):
    catalogue = write_tiny_assets(tmp_path / "assets")
    build(BuildOptions(30, part=part, assets=tmp_path / "assets"), tmp_path / "out")
    plans = 0
    for record in (stored.record for stored in read_shards(tmp_path / "out")):
        used = {name for turn in turns_of(record) for name in turn.templates}
        assert part == "held_out" or not used & held_out_templates()
        for name, seen in seen_of(record).items():
            plan = plan_in(record, name)
            assert plan is None or not seen.made
            if plan and seen.scene:
                plans += 1
                again = compact_scene(plan_to_scene(plan_of(plan_record(plan)), catalogue))
                assert len(again.regions) == len(seen.scene.regions)
                for kept in seen.scene.regions:
                    assert any(region.label == kept.label and region.box.iou(kept.box) > 0.9 for region in again.regions)
                nouns = {item.noun for item in plan.objects}
                assert any(part_of_noun(noun) == part for noun in nouns)
                assert part == "held_out" or all(part_of_noun(noun) == "train" for noun in nouns)
    assert plans > 8


def test_a_build_from_another_catalogue_is_refused(tmp_path: Path):
    write_tiny_assets(tmp_path / "assets")
    build(small(2, assets=tmp_path / "assets"), tmp_path / "out")
    with pytest.raises(RecordError, match="assets"):
        build(small(2), tmp_path / "out")
    with pytest.raises(RecordError, match="cannot be read"):
        build(small(2, assets=tmp_path / "nowhere"), tmp_path / "other")
