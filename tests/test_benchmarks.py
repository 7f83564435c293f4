"""Benchmarks end to end on made-up data with scripted systems: limits, rows, what is missing, what is broken."""

import json
import threading
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_cutouts import write_tiny_assets

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Settings
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.edit_pairs import build as build_edits
from unified_demo.data.published.nsr1k import LayoutPrompt
from unified_demo.evaluation import __main__ as command
from unified_demo.evaluation.benchmark import Context, NotReady, Result, Row, keep, run_benchmark, stratified, table
from unified_demo.evaluation.captioning import Captioning, spoken, template_caption
from unified_demo.evaluation.catalogue import benchmarks
from unified_demo.evaluation.classification import Classification, first_named
from unified_demo.evaluation.editing import EditCase, Editing, score
from unified_demo.evaluation.layout import Layout, plan_of, rule
from unified_demo.evaluation.references import References, draw_dialogue, latest_answer, questions
from unified_demo.evaluation.referring import Target, Thing
from unified_demo.evaluation.referring_benchmark import QUESTIONS, Reasoning, Referring
from unified_demo.evaluation.retention import Compared, RetentionBenchmark, read_chats
from unified_demo.evaluation.run import run_system
from unified_demo.evaluation.sound import TAGS, Sound
from unified_demo.evaluation.systems import WholePicture, instruction
from unified_demo.evaluation.video import Video, read_clips
from unified_demo.experts.base import Output
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import MediaStore, load_video
from unified_demo.model.detection import Detection
from unified_demo.recordings import Sound as Recording

DOG = Detection("dog", 0.9, Box(0.5, 0.5, 0.9, 0.9))
ANSWER = ["<p>A dog</p><box>[500,500,899,899]</box> sits. ", "<seg><ref>img-1</ref>the dog<box>[500,500,899,899]</box></seg>"]


class FixedDetector:
    labels = ("dog", "cat")

    def detect(self, picture: Image.Image, threshold: float = 0.1, limit: int = 32, tiled: bool = True) -> list[Detection]:
        return [DOG, replace(DOG, box=Box(0.1, 0.1, 0.3, 0.3))]


class Unchanged:
    """A tuned model equal to the frozen one, but for the system "moved"."""

    def compare(self, system: str, conversation: Any) -> Compared:
        base = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
        ours = np.log(np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]])) if system == "untrained" else base
        return Compared(base, ours, np.array([0, 1]), left=system == "model")


def coarse(pixels: np.ndarray) -> np.ndarray:
    """Features of 2 x 2 patches: their mean colours, and one channel that is always there."""
    rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
    patches = [[pixels[y : y + rows, x : x + columns].mean((0, 1)) for x in (0, columns)] for y in (0, rows)]
    return np.concatenate([np.array(patches), np.full((2, 2, 1), 50.0)], axis=-1)


class FakeSubjects:
    """Scripted stand-ins for every model; ``experts`` are offered by the engine."""

    def __init__(self, script: Any = ANSWER, experts: tuple = (fake_spec(FakeExpert()),)) -> None:
        self.model = ScriptedModel(script)
        self._engine = load_engine(model=self.model, experts=experts)

    def trained(self) -> ScriptedModel:
        return self.model

    symbolic = untrained = trained

    def frozen(self) -> Any:
        raise AssertionError("no test asks the frozen model")

    def engine(self) -> Any:
        return self._engine

    router_only = untrained_engine = engine

    def detector(self) -> FixedDetector:
        return FixedDetector()

    def look(self) -> Any:
        return coarse

    def comparer(self) -> Unchanged:
        return Unchanged()


def context(tmp_path: Path, subjects: FakeSubjects | None = None, **fields: Any) -> Context:
    return Context(tmp_path / "out", subjects or FakeSubjects(), Settings(), **{"data": tmp_path, **fields})


def figures_of(result: Result, system: str, group: str) -> Row:
    return next(row for row in result.rows if (row.system, row.group) == (system, group))


# ---- limits, files ----


def test_a_limit_is_spread_over_the_groups_and_within_them() -> None:
    items = ["a"] * 20 + ["b"] * 3 + ["c"] * 10
    numbered = list(enumerate(items))
    chosen = stratified(numbered, lambda item: item[1], 12)
    assert Counter(name for _, name in chosen) == {"a": 5, "b": 3, "c": 4}
    assert chosen == sorted(chosen)
    assert [place for place, name in chosen if name == "a"] == [0, 4, 8, 12, 16]
    assert stratified(numbered, lambda item: item[1], None) == numbered
    assert stratified(numbered, lambda item: item[1], 0) == []


def test_a_run_is_written_and_kept_without_its_answers(tmp_path: Path) -> None:
    made, where = Layout(), context(tmp_path, systems=("rule", "published"))
    (tmp_path / "nsr1k").mkdir()
    write_nsr1k(tmp_path / "nsr1k")
    result, written = run_benchmark(made, where, {"commit": "abc", "weights": {}})
    on_disk = json.loads((tmp_path / "out" / "layout.json").read_text())
    assert on_disk["commit"] == "abc" and on_disk["machine"]["python"] and len(on_disk["rows"]) == 3
    paths = keep(written, tmp_path / "kept")
    assert [path.name for path in paths] == ["layout.rule.json", "layout.published.json"]
    small = json.loads(paths[0].read_text())
    assert "rows" not in small and {row["system"] for row in small["table"]} == {"rule"}
    assert "accuracy" in table(result)


def test_benchmarks_have_names_of_their_own() -> None:
    known = benchmarks()
    assert len(known) >= 12 and all(name == benchmark.name and benchmark.systems for name, benchmark in known.items())


def test_an_unknown_system_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="oracle"):
        Captioning().run(context(tmp_path, systems=("oracle",)))


def test_run_all_passes_over_what_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    some = {benchmark.name: benchmark for benchmark in (Captioning(), Editing())}
    monkeypatch.setattr(command, "benchmarks", lambda: some)
    monkeypatch.setattr(command, "LoadedSubjects", lambda settings: FakeSubjects())
    status = command.main(["run", "all", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--keep", str(tmp_path / "kept")])
    printed = capsys.readouterr().out
    assert status == 0
    assert "captioning: left out. captions.json of eval_flickr8k was not found" in printed and "no expert yet" in printed
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["editing.expert.json"]


# ---- photos ----


def write_photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    corners = [0.5, 0.5, 0.9, 0.5, 0.9, 0.9, 0.5, 0.9]
    things = [{"label": "dog", "crowd": False, "box": [0.5, 0.5, 0.9, 0.9], "polygons": [corners]}]
    entries = [{"image": "one.png", "objects": things, "captions": ["a dog sits", "A dog is sitting ."]}]
    entries.append({"image": "gone.png", "objects": things, "captions": ["a dog"]})
    (folder / "annotations.json").write_text(json.dumps(entries))
    Image.new("RGB", (100, 80), (90, 120, 60)).save(folder / "one.png")


def test_referring_and_reasoning_run_on_the_folder_or_on_the_one_above(tmp_path: Path) -> None:
    write_photos(tmp_path / "eval_coco")
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"image": "one.png", "object": 0, "expression": "What barks?", "kind": "knowledge"}\nbroken')
    result = Reasoning().run(context(tmp_path, expressions=asked))
    assert figures_of(result, "model", "reasoning").figures["Acc@0.5"] == 1.0
    assert figures_of(result, "whole", "reasoning").figures["gIoU"] == pytest.approx(0.16, abs=0.03)
    assert any("asked.jsonl:2 is broken" in line for line in result.skipped)
    again = Referring().run(context(tmp_path, data=tmp_path / "eval_coco", systems=("whole",), limit=1))
    assert figures_of(again, "whole", "label+position").count == 1
    assert (tmp_path / "out" / "whole.webp").is_file()


def test_a_question_is_asked_as_it_is() -> None:
    assert instruction("What barks?") == "What barks? Segment it."


def test_the_committed_reasoning_questions_are_many_and_distinct() -> None:
    rows = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    assert len(rows) >= 60 and len({row["expression"] for row in rows}) == len(rows)
    assert set(Counter(row["kind"] for row in rows)) == {"use", "knowledge", "inference"}


def test_a_mask_given_as_runs_is_taken_as_it_is(tmp_path: Path) -> None:
    from unified_demo.data.masks import encode_runs

    write_photos(tmp_path / "eval_coco")
    mask = np.zeros((80, 100), bool)
    mask[:40] = True
    target = Target(
        tmp_path / "eval_coco" / "one.png", "the top", Thing("dog", Box(0, 0, 1, 0.5), (), runs=encode_runs(mask)), "grounding", "x"
    )
    rows, _, _ = run_system(WholePicture(), [target], MediaStore())
    assert (rows[0].shared, rows[0].union) == (4000, 8000)


def test_captions_are_scored_without_boxes_and_missing_photos_are_named(tmp_path: Path) -> None:
    write_photos(tmp_path / "eval_coco")
    result = Captioning().run(context(tmp_path))
    assert figures_of(result, "model", "eval_coco").figures["ROUGE-L"] > 0.6
    assert figures_of(result, "template", "eval_coco").count == 1
    assert len(result.skipped) == 1 and "gone.png" in result.skipped[0]
    assert {row["caption"] for row in result.samples} >= {"A dog sits.", "A picture of two dogs."}


def test_a_caption_file_in_a_wrong_layout_is_told(tmp_path: Path) -> None:
    (tmp_path / "eval_flickr8k").mkdir()
    (tmp_path / "eval_flickr8k" / "captions.json").write_text('{"a.png": "no list", "b.png": []}')
    with pytest.raises(NotReady):
        Captioning().run(context(tmp_path))


def test_words_of_an_answer_and_of_the_template() -> None:
    assert spoken("".join(ANSWER)) == "A dog sits."
    assert template_caption([]) == "A picture."
    assert template_caption([DOG, replace(DOG, label="cat", score=0.2)]) == "A picture of a dog."


# ---- layout ----


def write_nsr1k(folder: Path) -> None:
    box = [0.1, 0.1, 0.2, 0.2]
    objects = {"obj1": ["dog", box], "obj2": ["cat", box]}
    spatial = {"id": 1, "prompt": "a dog to the left of a cat", **objects, "relation": "left", "type": "template"}
    listed = {"object_list": [["dog", box]]}
    counting = [
        {"id": 2, "prompt": "two dogs and one cat", "num_object": [["dog", 2], ["cat", 1]], "sub-type": "two-categories", **listed},
        {"id": 3, "prompt": "three dogs", "num_object": [["dog", 3]], "sub-type": "single-category", **listed},
    ]
    (folder / "spatial.val.json").write_text(json.dumps([spatial, {"id": 9}]))
    (folder / "counting.val.json").write_text(json.dumps(counting))


def test_planned_boxes_are_counted_and_placed(tmp_path: Path) -> None:
    (tmp_path / "nsr1k").mkdir()
    write_nsr1k(tmp_path / "nsr1k")
    script = ["<layout>a dog<box>[10,10,300,500]</box>a dog<box>[310,10,500,500]</box>a cat<box>[600,10,900,500]</box></layout>"]
    result = Layout().run(context(tmp_path, FakeSubjects(script), systems=("model",)))
    assert figures_of(result, "model", "spatial").figures["accuracy"] == 1.0
    counting = figures_of(result, "model", "counting").figures
    assert counting["accuracy"] == 0.5 and counting["planned"] == 1.0
    assert counting["recall"] == pytest.approx((1 + 2 / 3) / 2)
    assert len(result.skipped) == 1 and "spatial.val.json" in result.skipped[0]


def test_an_answer_without_a_layout_call_plans_nothing(tmp_path: Path) -> None:
    plan = plan_of("Sorry, I cannot.")
    assert not plan.called and plan.things == ()


def test_the_layout_rule_reads_places_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "nsr1k").mkdir()
    write_nsr1k(tmp_path / "nsr1k")
    result = Layout().run(context(tmp_path, systems=("rule", "published")))
    assert figures_of(result, "rule", "spatial").figures["accuracy"] == 1.0
    assert figures_of(result, "rule", "counting").figures["accuracy"] == 1.0
    published = [row for row in result.rows if row.system == "published"]
    assert published and all(row.count == 0 and row.note for row in published)
    assert rule.__doc__


@pytest.mark.parametrize(
    ("prompt", "nouns"),
    [
        ("A small dog standing next to two-toned cats in a dirt field.", ["dog", "cat"]),
        ("a keyboard and a mouse sitting next to each other on a table.", ["keyboard", "mouse"]),
        ("a zork to the left of a dog", ["zork", "dog"]),
        ("A view of a house with three large brown dogs on it.", ["dog"] * 3),
        ("an image of two benchs along with one cat", ["bench", "bench", "cat"]),
        ("two zorks", ["zorks"] * 2),
    ],
)
def test_the_layout_rule_finds_things_in_whole_sentences(prompt: str, nouns: list[str]) -> None:
    plan = rule(LayoutPrompt(1, prompt, "val", "real", ()))
    assert [thing.noun for thing in plan.things] == nouns
    boxes = [thing.box for thing in plan.things]
    assert all(one.iou(other) == 0 for one, other in combinations(boxes, 2)), "nothing lies on anything else"
    if "next to" in prompt:
        assert boxes[0].x1 < boxes[1].x0 and boxes[0].y0 == boxes[1].y0, "side by side"


# ---- references, retention ----


def test_questions_about_artefacts_are_drawn_the_same_each_time() -> None:
    first, second = ([question.refs for question in questions(3, draw_dialogue(3))] for _ in range(2))
    assert first == second
    asked = [question for number in range(12) for question in questions(number, draw_dialogue(number))]
    assert {question.turn for question in asked} >= {1, 4, 6}
    assert any(question.choices > 1 and not question.latest for question in asked)
    for question in asked:
        assert question.refs <= set(question.history.artefacts())


@pytest.fixture
def few_dialogues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unified_demo.evaluation.references.DIALOGUES", 14)


def test_the_latest_artefact_is_right_exactly_where_it_is_meant(tmp_path: Path, few_dialogues: None) -> None:
    result = References().run(context(tmp_path, systems=("latest",), limit=30))
    assert figures_of(result, "latest", "all").count == 30
    assert figures_of(result, "latest", "choice: the latest").figures["references"] == 1.0
    assert figures_of(result, "latest", "choice: an earlier one").figures["references"] == 0.0
    assert figures_of(result, "latest", "all").figures["task"] == 1.0


def test_a_model_that_refers_rightly_is_right(tmp_path: Path, few_dialogues: None) -> None:
    right = {repr(question.history): question for number in range(14) for question in questions(number, draw_dialogue(number))}

    def script(conversation: Any) -> list[str]:
        question = right[repr(conversation)]
        refs = "".join(f"<ref>{ref}</ref>" for ref in sorted(question.refs))
        return [f"<{question.calls[0].task}>{refs}it<box>[0,0,9,9]</box></{question.calls[0].task}>"]

    result = References().run(context(tmp_path, FakeSubjects(script), systems=("model",), limit=12))
    assert figures_of(result, "model", "all").figures["references"] == 1.0
    assert latest_answer(next(iter(right.values()))).startswith("<")


def test_an_unchanged_model_has_no_kl_and_a_moved_one_has_the_hand_computed(tmp_path: Path) -> None:
    result = RetentionBenchmark().run(context(tmp_path, limit=5))
    same, moved = (figures_of(result, system, "all").figures for system in ("model", "untrained"))
    assert same["KL"] == 0 and same["perplexity"] == pytest.approx(same["frozen perplexity"])
    assert moved["KL"] == pytest.approx((0.5 * np.log(2) + 0.25 * np.log(0.5)) / 2)
    assert moved["perplexity"] == pytest.approx((1 / (0.25 * 0.8)) ** 0.5) and moved["tokens"] == 10
    assert (same["left alone"], same["KL of the others"]) == (1.0, None)
    assert (moved["left alone"], moved["KL of the others"]) == (0.0, moved["KL"])


def test_the_committed_chats_are_many_and_answered(tmp_path: Path) -> None:
    chats, complaints = read_chats()
    assert len(chats) >= 100 and not complaints and len({chat.question for chat in chats}) == len(chats)
    broken = tmp_path / "chats.jsonl"
    broken.write_text('{"question": "a", "answer": "b"}\n{"question": "a"}\n[]\n{"question": "a", "answer": " "}')
    chats, complaints = read_chats(broken)
    assert len(chats) == 1 and [line.split(" is broken")[0] for line in complaints] == [f"{broken}:{n}" for n in (2, 3, 4)]


# ---- experts by themselves ----


def write_edits(folder: Path) -> None:
    pair = folder / "instructpix2pix" / "p1"
    pair.mkdir(parents=True)
    (pair / "prompt.json").write_text(json.dumps({"input": "a field", "edit": "make it night", "output": "a field at night"}))
    Image.new("RGB", (40, 30), (200, 200, 200)).save(pair / "7_0.jpg")
    Image.new("RGB", (40, 30), (20, 20, 40)).save(pair / "7_1.jpg")


def test_edits_are_measured_by_whatever_expert_is_there(tmp_path: Path) -> None:
    write_edits(tmp_path)
    without = Editing().run(context(tmp_path))
    assert figures_of(without, "expert", "whole picture").note == "no expert yet"
    unchanged = figures_of(without, "unchanged", "whole picture").figures
    assert unchanged["PSNR to wished"] < 10 and unchanged["similarity inside"] < 0.9 and unchanged["errors"] == 0
    expert = FakeExpert(MediaKind.IMAGE)
    result = Editing().run(context(tmp_path, FakeSubjects((), (fake_spec(expert, Task.IMAGE_EDITING.value),)), systems=("expert",)))
    assert figures_of(result, "expert", "whole picture").count == 1
    assert expert.requests[0].prompt == "make it night" and (tmp_path / "out" / "expert.webp").is_file()


def test_an_edit_is_judged_outside_and_inside_its_mask(tmp_path: Path) -> None:
    before = np.full((40, 40, 3), 100, np.uint8)
    Image.fromarray(before).save(tmp_path / "before.png")
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    case = EditCase("one region", Task.REASONING_EDITING, tmp_path / "before.png", "remove it", mask=mask)
    edited = before.copy()
    edited[:20] = 151
    figures = score(case, edited, coarse)
    assert figures["PSNR outside"] == 100 and figures["changed inside"] == pytest.approx(51 / 255)
    assert figures["distance outside"] == 0 and score(case, 255 - before, coarse)["distance outside"] > 0.001
    assert figures["PSNR to wished"] is None and figures["similarity inside"] is None
    wished = replace(case, after=tmp_path / "before.png")
    alike, other = (score(wished, picture, coarse)["similarity inside"] for picture in (before, edited))
    assert alike == pytest.approx(1) and other < 0.999
    refused = score(case, None, coarse)
    assert refused["PSNR outside"] == 100 and refused["changed inside"] == 0, "the picture stays as it was"


def test_composed_edits_are_asked_of_the_task_that_fits(tmp_path: Path) -> None:
    catalogue = write_tiny_assets(tmp_path / "assets")
    kinds = ("remove", "recolour")
    build_edits(catalogue, CutoutLibrary(tmp_path / "assets", catalogue), tmp_path / "edits", 2, 1, kinds)
    expert = FakeExpert(MediaKind.IMAGE)
    result = Editing().run(context(tmp_path, FakeSubjects((), (fake_spec(expert, Task.REASONING_EDITING.value),))))
    assert [request.prompt.split()[0] for request in expert.requests] == ["remove", "make"]
    assert all(request.regions[0].boxes for request in expert.requests)
    for kind in kinds:
        floor = figures_of(result, "unchanged", f"composed: {kind}").figures
        assert floor["PSNR outside"] == 100 and floor["distance outside"] == 0 and floor["PSNR to wished"] < 100


def write_clip(folder: Path, frames: int = 4) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (folder / "davis" / kind / "walk").mkdir(parents=True)
    for frame in range(frames):
        mask = np.zeros((23, 31), np.uint8)
        mask[4:12, 2 + 4 * frame : 10 + 4 * frame] = 1
        Image.fromarray(mask).save(folder / "davis" / "Annotations" / "walk" / f"{frame:05d}.png")
        Image.new("RGB", (31, 23)).save(folder / "davis" / "JPEGImages" / "walk" / f"{frame:05d}.jpg")


class Follower(FakeExpert):
    """Gives the masklet it was made with."""

    def __init__(self, masklet: np.ndarray) -> None:
        super().__init__()
        self.masklet = masklet

    def _output(self, request: Any) -> Output:
        return Output(MediaKind.MASK, self.masklet, of="vid-1", label="walk")


def test_a_clip_is_followed_by_whatever_expert_is_there(tmp_path: Path) -> None:
    assert figures_of(Video().run(context(tmp_path)), "expert", "all").note == "no expert yet"
    write_clip(tmp_path)
    (tmp_path / "davis" / "Annotations" / "empty").mkdir()
    clips, complaints = read_clips(tmp_path / "davis")
    assert [clip.name for clip in clips] == ["walk 1"] and len(complaints) == 1
    beyond = np.pad(clips[0].truth, ((0, 0), (0, 1), (0, 1)))
    follower = Follower(beyond)
    specs = (fake_spec(follower, Task.VIDEO_SEGMENTATION.value),)
    result = Video().run(context(tmp_path, FakeSubjects((), specs)))
    assert figures_of(result, "expert", "all").figures["J&F"] == 1.0
    assert load_video(follower.requests[0].inputs[0]).frames.shape == (4, 24, 32, 3)
    assert (tmp_path / "out" / "expert.webp").is_file()
    assert 0 < figures_of(result, "held still", "all").figures["J"] < 0.7


def test_a_masklet_of_a_wrong_size_is_an_error_and_counts_nothing(tmp_path: Path) -> None:
    write_clip(tmp_path)
    specs = (fake_spec(Follower(np.ones((2, 3, 3), bool)), Task.VIDEO_SEGMENTATION.value),)
    row = figures_of(Video().run(context(tmp_path, FakeSubjects((), specs), systems=("expert",))), "expert", "all")
    assert row.figures["J"] == 0.0 and row.figures["errors"] == 1.0


def test_sounds_are_judged_by_their_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert figures_of(Sound().run(context(tmp_path)), "expert", "all").note == "no expert yet"

    class Loud(FakeExpert):
        def _output(self, request: Any) -> Output:
            return Output(MediaKind.AUDIO, Recording(np.full((22050, 2), "rain" in request.prompt, np.float32), 22050))

    specs = (fake_spec(Loud(MediaKind.AUDIO), Task.AUDIO_GENERATION.value),)
    lengths = []

    def judge(wave: np.ndarray) -> list[str]:
        lengths.append(len(wave))
        return ["Music", "Rain"] if wave.max() > 0.5 else ["Silence"]

    monkeypatch.setattr("unified_demo.evaluation.sound.load_judge", lambda _: judge)
    figures = figures_of(Sound().run(context(tmp_path, FakeSubjects((), specs), systems=("expert",))), "expert", "all").figures
    assert figures == {"top 1": 0.0, "top 5": pytest.approx(1 / len(TAGS)), "of ten": pytest.approx(1 / len(TAGS)), "errors": 0.0}
    assert all(abs(length - 16000) < 200 for length in lengths) and (tmp_path / "out" / "expert.webp").is_file()
    with pytest.raises(NotReady, match=r"yamnet\.tflite|ESC|esc10"):
        Sound().run(context(tmp_path, systems=("recordings",)))


def test_things_are_named_by_the_first_class_in_the_answer(tmp_path: Path) -> None:
    place = tmp_path / "grocery" / "test" / "Fruit" / "Red-Apple"
    place.mkdir(parents=True)
    Image.new("RGB", (30, 30), "red").save(place / "a.png")
    result = Classification().run(context(tmp_path, FakeSubjects(["These are red apples, not a pear."])))
    assert figures_of(result, "model", "picture").figures["top 1"] == 1.0
    assert figures_of(result, "detector", "picture").figures["top 1"] == 0.0
    assert figures_of(result, "model", "sound").note
    assert result.extra["mistakes"] == {"model": [], "detector": [("red apple", "", 1)]} and (tmp_path / "out" / "model.webp").is_file()
    assert first_named("a pineapple", ("apple",)) is None
    assert first_named("passion fruits and apples", ("apple", "passion", "passion fruit")) == "passion fruit"


def test_scripted_subjects_stop_like_a_model() -> None:
    cancel = threading.Event()
    assert "".join(FakeSubjects().trained().generate(None, GenerationOptions(), cancel)) == "".join(ANSWER)
