"""The routing benchmark: the committed instructions, the rule router on hand cases, judging by words, systems, broken lines."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_benchmarks import FakeSubjects, context, figures_of

from unified_demo.data.split import held_out_templates
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.evaluation import routing
from unified_demo.evaluation.held_out import held_out_instructions
from unified_demo.evaluation.instructions import INSTRUCTIONS, ExpectedCall, Instruction, read_instructions
from unified_demo.evaluation.keyword_router import KeywordRouter, pieces, task_of
from unified_demo.evaluation.routers import LABELS, FewShotRouter, raw_answer
from unified_demo.evaluation.routing import Routing, ask, judge_words
from unified_demo.evaluation.routing_metrics import is_well_formed, parse_answer
from unified_demo.fakes import ScriptedModel
from unified_demo.grammar import TASK_TAGS, MediaKind, Task
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart

OPTIONS = routing.ModelRouter("x", ScriptedModel(()))._options


def instruction(text: str, media: str = "", calls: tuple[ExpectedCall, ...] = (), kind: str = "gen") -> Instruction:
    artefacts = [Artefact(f"{name}-1", MediaKind(name), Path(name)) for name in media.split()]
    message = Message("user", (*(MediaPart(artefact) for artefact in artefacts), TextPart(text)))
    return Instruction("x-1", kind, "ood", "en", text, Conversation((message,)), calls)


# ---- the committed instructions ----


def test_the_committed_instructions_are_many_balanced_distinct_and_partly_chinese() -> None:
    rows = [json.loads(line) for line in INSTRUCTIONS.read_text(encoding="utf-8").splitlines()]
    found, complaints = read_instructions(MediaStore())
    assert len(found) == len(rows) >= 300 and complaints == []
    assert len({row["text"] for row in rows}) == len(rows)
    kinds = Counter(row["kind"] for row in rows)
    assert all(kinds[task] >= 22 for task in TASK_TAGS) and min(kinds.values()) >= 12
    assert sum(row["language"] == "zh" for row in rows) >= 45
    for row in rows:
        tasks = [call["task"] for call in row["calls"]]
        assert tasks == [row["kind"]] if row["kind"] in TASK_TAGS else (len(tasks) > 1) == (row["kind"] == "several")


def test_media_that_a_call_needs_are_attached() -> None:
    for item in read_instructions(MediaStore())[0]:
        kinds = {artefact.kind for artefact in item.conversation.artefacts().values()}
        for call in item.calls:
            assert kinds >= set(routing.TASKS[Task(call.task)].needs), item.id


def test_broken_lines_are_named_and_left_out(tmp_path: Path) -> None:
    good = {"id": "a", "kind": "gen", "text": "a fox", "attached": [], "calls": [{"task": "gen", "content": [["fox"]]}], "language": "en"}
    bad: list[Any] = [
        {**good, "id": "b", "kind": "dance"},
        {**good, "id": "c", "calls": [{"task": "dance", "content": []}]},
        good,
        {**good, "id": "d", "attached": ["img"]},
        {**good, "id": "e", "attached": ["img"], "picture": "nowhere.jpg"},
        {**good, "id": "f", "attached": ["smell"]},
        7,
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [good, *bad]) + "\n\n{")
    found, complaints = read_instructions(MediaStore(), path)
    assert [item.id for item in found] == ["a"]
    assert [line.split(" is broken")[0] for line in complaints] == [f"{path}:{line}" for line in (2, 3, 4, 5, 6, 7, 8, 10)]
    with pytest.raises(MediaError, match="nothing"):
        read_instructions(MediaStore(), tmp_path / "nothing")


def test_held_out_requests_are_the_same_each_time_and_of_every_task() -> None:
    first, second = held_out_instructions(2), held_out_instructions(2)
    assert [item.text for item in first] == [item.text for item in second]
    assert {item.kind for item in first} >= {*TASK_TAGS, "caption", "question", "ground", "chat", "several"}
    assert held_out_templates() and all(item.part == "held_out" for item in first)
    assert any(item.scenes for item in first)


# ---- the rule router ----


@pytest.mark.parametrize(
    ("text", "media", "task"),
    [
        ("segment the dog", "img", "seg"),
        ("Cut out the cup, please", "img", "seg"),
        ("remove the bottle", "img", "redit"),
        ("replace the car with a bus", "img", "redit"),
        ("make it look like a watercolour", "img", "edit"),
        ("animate this picture", "img", "ivgen"),
        ("track the ball", "vid", "vseg"),
        ("turn this video into a cartoon", "vid", "vedit"),
        ("draw a castle", "", "gen"),
        ("a picture with a cup on the left and a book on the right", "", "layout"),
        ("a video of a waterfall", "", "vgen"),
        ("the sound of rain", "", "agen"),
        ("画一只猫", "", "gen"),
        ("把狗抠出来", "img", "seg"),
        ("what is in the picture?", "img", None),
        ("how many dogs are there?", "img", None),
        ("tell me about the moon", "", None),
        ("remove the bottle from the picture", "", None),
        ("segment the dog", "", None),
    ],
)
def test_the_rules_read_plain_requests(text: str, media: str, task: str | None) -> None:
    found = task_of(text, [f"{name}-1" for name in media.split()])
    assert (found.value if found else None) == task


def test_the_rules_write_wellformed_calls_one_for_each_piece() -> None:
    raw = KeywordRouter().answer(instruction("segment the dog and then draw a castle", "img"))
    assert is_well_formed(raw, ("img-1",))
    assert [call.task for call in parse_answer(raw).calls] == ["seg", "gen"] and pieces("a and then b") == ["a", "b"]
    both = KeywordRouter().answer(instruction("draw a castle. Then play me the sound of bells"))
    assert [(call.task, "castle" in call.prompt) for call in parse_answer(both).calls] == [("gen", True), ("agen", False)]
    assert "<" not in KeywordRouter().answer(instruction("<gen>hello</gen> there", "img")).replace("‹", "")


# ---- judging ----


SEG = "<seg><ref>img-1</ref>the small dog<box>[1,1,9,9]</box></seg>"


@pytest.mark.parametrize(
    ("raw", "expected", "verdict"),
    [
        (SEG, (ExpectedCall("seg", (("dog", "puppy"),)),), (True, True, True)),
        (SEG, (ExpectedCall("seg", (("cat",),)),), (True, True, False)),
        (SEG, (ExpectedCall("edit"),), (False, False, False)),
        (SEG, (), (False, False, False)),
        ("No.", (), (True, True, True)),
        ("<gen>a dog</gen>" + SEG, (ExpectedCall("seg", (("dog",),)), ExpectedCall("gen", (("dog",),))), (False, True, True)),
        ("<gen>a cat</gen><gen>a dog</gen>", (ExpectedCall("gen", (("dog",),)), ExpectedCall("gen", (("cat",),))), (True, True, True)),
        ("<seg><ref>img-2</ref>the dog<box>[1,1,9,9]</box></seg>", (ExpectedCall("seg", (("dog",),)),), (True, True, False)),
    ],
)
def test_an_answer_is_judged_by_tasks_references_and_words(raw: str, expected: tuple, verdict: tuple[bool, bool, bool]) -> None:
    found = judge_words(expected, parse_answer(raw).calls, ("img-1",))
    right = bool(expected) and all(call.right for call in found.calls)
    assert (found.task, found.all_calls, right if expected else found.all_calls) == verdict


def test_an_error_is_a_wrong_answer() -> None:
    class Broken:
        name = "broken"

        def answer(self, asked: Instruction) -> str:
            raise UnifiedError("too long")

    found = ask(Broken(), instruction("draw a fox", calls=(ExpectedCall("gen"),)))
    assert found.error == "too long" and not found.verdict.all_calls and not found.well_formed


# ---- systems ----


def test_an_answer_is_cut_when_only_talk_follows_the_calls() -> None:
    talk = ["<gen>a fox</gen>", *["and so on "] * 30, "<gen>never reached</gen>"]
    raw = raw_answer(ScriptedModel(talk), Conversation(), OPTIONS)
    assert raw.startswith("<gen>a fox</gen>") and len(raw) < 100
    assert raw_answer(ScriptedModel(["a ", "b"]), Conversation(), OPTIONS) == "a b"


class Chooser:
    """Names what it was made with; keeps what it was asked."""

    def __init__(self, *named: str) -> None:
        self.named, self.asked = list(named), []

    def choose(self, prefix: str, question: str, neutral: str, labels: list[str], most: int) -> list[str]:
        self.asked.append((prefix, question, neutral, labels, most))
        return self.named


def test_the_few_shot_router_names_only_tasks_whose_media_are_there() -> None:
    model = Chooser("image generation", "audio generation")
    raw = FewShotRouter(model).answer(instruction("a fox and its bark"))
    assert [call.task for call in parse_answer(raw).calls] == ["gen", "agen"]
    prefix, question, neutral, labels, _ = model.asked[0]
    assert "segmentation" not in labels and "none" in labels and question.startswith("Request: a fox") and "N/A" in neutral
    assert all(title in prefix for title in LABELS.values())
    assert parse_answer(FewShotRouter(Chooser("none")).answer(instruction("hello"))).calls == ()
    assert is_well_formed(FewShotRouter(Chooser("segmentation")).answer(instruction("the fox", "img")), ("img-1",))


def test_routing_runs_over_both_parts_with_a_limit(tmp_path: Path) -> None:
    def script(conversation: Conversation) -> list[str]:
        return ["<gen>a picture</gen>"] if not conversation.artefacts() else ["I see a <p>thing</p><box>[1,1,9,9]</box>."]

    result = Routing().run(context(tmp_path, FakeSubjects(script), systems=("model", "keywords"), limit=93))
    assert figures_of(result, "model", "all").count == 93 and len(result.samples) == 186
    assert figures_of(result, "model", "ood").count + figures_of(result, "model", "held_out").count == 93
    assert figures_of(result, "model", "ood: gen").figures["all calls"] == 1.0
    assert figures_of(result, "model", "ood: captioning").figures["all calls"] == 1.0
    assert figures_of(result, "model", "ood: agen").figures["all calls"] == 0.0
    assert figures_of(result, "model", "ood: grounding").figures["region"] == 1.0
    assert figures_of(result, "model", "all").figures["well-formed"] == 1.0
    assert figures_of(result, "keywords", "ood/zh").count == figures_of(result, "model", "ood/zh").count > 0


@pytest.mark.weights
def test_the_real_model_routes_well_formed_answers(tmp_path: Path) -> None:
    from unified_demo.config import Settings
    from unified_demo.evaluation.subjects import LoadedSubjects

    result = Routing().run(context(tmp_path, LoadedSubjects(Settings()), systems=("model",), limit=2))
    assert figures_of(result, "model", "all").count == 2
    assert figures_of(result, "model", "all").figures["well-formed"] == 1.0
