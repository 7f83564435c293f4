"""The referring benchmark on a made-up picture: targets, systems with fakes, broken input, files and the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import first_answer
from unified_demo.assembly import load_engine
from unified_demo.errors import MediaError, UnifiedError
from unified_demo.evaluation import __main__ as command
from unified_demo.evaluation.referring import FREE_EXPRESSIONS, Photo, free_targets, label_targets, rasterise, read_photos
from unified_demo.evaluation.run import Summary, collect_targets, report, run_referring, run_system, summarise
from unified_demo.evaluation.systems import Model, Prediction, Template, WholePicture, choose, instruction, mentioned_label
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import Box
from unified_demo.media import MediaStore
from unified_demo.messages import Artefact
from unified_demo.model.detection import Detection

LABELS = ("person", "dog", "wine glass", "mouse", "bus")


def thing(label: str, x0: float, y0: float, x1: float, y1: float, crowd: bool = False) -> dict[str, Any]:
    corners = None if crowd else [[x0, y0, x1, y0, x1, y1, x0, y1]]
    return {"label": label, "crowd": crowd, "box": [x0, y0, x1, y1], "polygons": corners}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two dogs (the right one larger), one cat, a tiny mouse, a crowd of people next to a person."""
    things = [
        thing("dog", 0.0, 0.5, 0.2, 0.7),
        thing("dog", 0.5, 0.5, 0.9, 0.9),
        thing("cat", 0.1, 0.1, 0.4, 0.4),
        thing("mouse", 0.9, 0.0, 0.95, 0.05),
        thing("person", 0.6, 0.0, 0.8, 0.3),
        thing("person", 0.0, 0.0, 1.0, 0.3, crowd=True),
    ]
    (tmp_path / "annotations.json").write_text(json.dumps([{"image": "one.png", "objects": things}]))
    Image.new("RGB", (100, 80), (90, 120, 60)).save(tmp_path / "one.png")
    return tmp_path


def only_photo(folder: Path) -> Photo:
    photos, complaints = read_photos(folder)
    assert complaints == []
    return photos[0]


def test_label_targets_are_unique_large_enough_and_well_defined(folder: Path) -> None:
    targets = {target.expression: (target.group, target.thing.box.x0) for target in label_targets(only_photo(folder))}
    assert targets == {
        "the left dog": ("position", 0.0),
        "the right dog": ("position", 0.5),
        "the largest dog": ("position", 0.5),
        "the cat": ("label", 0.1),
    }


def test_positions_too_close_or_too_alike_are_no_targets(folder: Path) -> None:
    alike = [thing("dog", 0.1, 0.1, 0.4, 0.5), thing("dog", 0.12, 0.4, 0.42, 0.8)]
    (folder / "annotations.json").write_text(json.dumps([{"image": "one.png", "objects": alike}]))
    assert list(label_targets(only_photo(folder))) == []


def test_polygons_fill_the_pixels_of_their_box() -> None:
    square = (0.1, 0.25, 0.5, 0.25, 0.5, 0.75, 0.1, 0.75)
    mask = rasterise([square, (0.0, 0.0)], width=100, height=80)
    assert mask.shape == (80, 100)
    assert mask.sum() == pytest.approx(40 * 40, rel=0.06)
    assert mask[40, 30] and not mask[40, 60]


def test_broken_annotations_are_named_and_left_out(folder: Path) -> None:
    entries = json.loads((folder / "annotations.json").read_text())
    entries[0]["objects"][0]["box"] = [0.5, 0.5, 0.1, 0.1]
    entries += [{"objects": []}, "nonsense"]
    (folder / "annotations.json").write_text(json.dumps(entries))
    photos, complaints = read_photos(folder)
    assert photos[0].things[0] is None and photos[0].things[2] is not None
    assert len(complaints) == 3
    assert "object 0 of one.png" in complaints[0] and "entry 1" in complaints[1]


@pytest.mark.parametrize("content", [None, "[{", "{}"])
def test_a_folder_without_readable_annotations_is_an_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(MediaError, match=r"annotations\.json"):
        read_photos(tmp_path)


def test_free_expressions_name_file_and_line_of_what_is_broken(folder: Path) -> None:
    rows = [
        '{"image": "one.png", "object": 2, "expression": "the kitty", "kind": "synonym"}',
        '{"image": "elsewhere.png", "object": 0, "expression": "it", "kind": "synonym"}',
        "not json",
        '{"image": "one.png", "object": 77, "expression": "it", "kind": "synonym"}',
        '{"image": "one.png", "object": 5, "expression": "the crowd", "kind": "synonym"}',
        '{"image": "one.png", "expression": "it"}',
    ]
    path = folder / "expressions.jsonl"
    path.write_text("\n".join(rows))
    targets, complaints = free_targets([only_photo(folder)], path)
    assert [target.expression for target in targets] == ["the kitty"]
    assert [complaint.split(" is broken")[0] for complaint in complaints] == [f"{path}:{line}" for line in (3, 4, 5, 6)]
    assert free_targets([], folder / "absent.jsonl")[1]


def test_the_committed_expressions_are_many_balanced_and_distinct() -> None:
    rows = [json.loads(line) for line in FREE_EXPRESSIONS.read_text().splitlines()]
    assert len(rows) >= 70
    assert len({(row["image"], row["expression"]) for row in rows}) == len(rows)
    kinds = [row["kind"] for row in rows]
    assert set(kinds) == {"action", "colour", "description", "position", "relation", "synonym"}
    assert all(kinds.count(kind) >= 10 for kind in kinds)


def detection(label: str, score: float, x0: float, x1: float, *others: tuple[str, float]) -> Detection:
    return Detection(label, score, Box(x0, 0.1, x1, 0.9), others)


FOUND = [
    detection("dog", 0.9, 0.4, 0.6),
    detection("dog", 0.6, 0.1, 0.2),
    detection("dog", 0.5, 0.7, 0.95),
    detection("dog", 0.1, 0.0, 0.05),
]


@pytest.mark.parametrize(
    ("expression", "left_edge"),
    [
        ("the dog", 0.4),
        ("the left dog", 0.1),
        ("the dog on the right", 0.7),
        ("the largest dog", 0.7),
        ("the two dogs", 0.4),
        ("the wine glass", 0.7),
        ("the puppy", 0.7),
        ("the puppy on the left", 0.1),
        ("the bus", 0.3),
    ],
)
def test_the_template_reads_class_and_position_words(expression: str, left_edge: float) -> None:
    found = [*FOUND, detection("person", 0.3, 0.3, 0.5, ("bus", 0.2))]
    chosen = choose(found, expression, LABELS)
    assert chosen and chosen.box.x0 == left_edge


def test_the_template_without_detections_has_no_answer() -> None:
    assert choose([], "the dog", LABELS) is None


def test_class_words_are_found_singular_and_plural_but_not_inside_other_words() -> None:
    found = {text: mentioned_label(text.split(), LABELS) for text in ("two wine glasses", "people here", "mice", "a busy dogma", "buses")}
    assert found == {"two wine glasses": "wine glass", "people here": "person", "mice": "mouse", "a busy dogma": None, "buses": "bus"}


class Fixed:
    """A detector that finds the same things in every picture."""

    labels = LABELS

    def __init__(self, found: list[Detection]) -> None:
        self.found, self.calls = found, 0

    def detect(self, picture: Image.Image, threshold: float = 0.1, limit: int = 32, tiled: bool = True) -> list[Detection]:
        self.calls += 1
        return self.found


def test_template_and_model_answer_with_box_and_mask(folder: Path) -> None:
    script = ["Sure. <p>the dog</p><box>[500,500,899,899]</box> <seg><ref>img-1</ref>the dog<box>[500,500,899,899]</box></seg>"]
    engine = load_engine(model=ScriptedModel(script), experts=(fake_spec(FakeExpert()),))
    targets, _ = collect_targets(folder)
    right = [target for target in targets if target.expression == "the right dog"]
    detector = Fixed([Detection("dog", 0.9, Box(0.5, 0.5, 0.9, 0.9))])
    for system in (Template(detector, engine.router), Model(engine)):
        rows, tiles, complaints = run_system(system, right, MediaStore())
        assert complaints == [] and len(tiles) == 1
        assert rows[0].box_iou > 0.98 and rows[0].shared / rows[0].union > 0.9
        assert rows[0].masked and not rows[0].error


def test_the_detector_looks_once_at_a_picture(folder: Path) -> None:
    detector = Fixed(FOUND)
    targets, _ = collect_targets(folder)
    rows, _, _ = run_system(Template(detector), targets, MediaStore())
    assert len(rows) == len(targets) > 1 and detector.calls == 1
    assert not rows[0].masked


def test_the_template_keeps_its_box_when_the_mask_fails(folder: Path) -> None:
    engine = load_engine(model=ScriptedModel(()), experts=(fake_spec(FakeExpert(error=RuntimeError("out of order"))),))
    targets, _ = collect_targets(folder)
    rows, _, _ = run_system(Template(Fixed(FOUND), engine.router), targets[:1], MediaStore())
    assert rows[0].box is not None and not rows[0].masked and "failed" in rows[0].error


class Failing:
    """Fails, or answers with a mask of the wrong size."""

    name = "failing"

    def answer(self, picture: Artefact, expression: str) -> Prediction:
        if "cat" in expression:
            raise UnifiedError("no idea")
        return Prediction(None, np.ones((3, 3), bool))


def test_failures_are_wrong_answers_and_broken_pictures_are_skipped(folder: Path) -> None:
    targets, _ = collect_targets(folder)
    rows, _, _ = run_system(Failing(), targets, MediaStore())
    assert all(row.box_iou == 0 and not row.masked and row.error for row in rows)
    (folder / "one.png").write_bytes(b"\x89PNG broken")
    rows, tiles, complaints = run_system(WholePicture(), targets, MediaStore())
    assert rows == [] and tiles == []
    assert len(complaints) == 1 and "one.png" in complaints[0]


def test_a_run_writes_rows_summaries_and_contact_sheets(folder: Path) -> None:
    targets, _ = collect_targets(folder)
    measured = run_referring((WholePicture(), Failing()), targets, folder / "out")
    summaries = measured.summaries
    assert len(measured.rows) == 2 * len(targets) and measured.skipped == ()
    assert summaries["whole"]["label+position"].count == len(targets) == 4
    assert summaries["whole"]["label+position"].g_iou == pytest.approx((0.04 + 0.16 + 0.16 + 0.09) / 4, rel=0.1)
    assert summaries["failing"]["label"].g_iou is None
    with Image.open(folder / "out" / "whole.webp") as sheet:
        assert sheet.width > 1000


def test_summaries_keep_labels_and_free_kinds_apart(folder: Path) -> None:
    (folder / "free.jsonl").write_text('{"image": "one.png", "object": 2, "expression": "the kitty", "kind": "synonym"}')
    targets, _ = collect_targets(folder, expressions=folder / "free.jsonl")
    rows, _, _ = run_system(WholePicture(), targets, MediaStore())
    assert {name: figures.count for name, figures in summarise(rows).items()} == {
        "label": 1,
        "position": 3,
        "label+position": 4,
        "free": 1,
        "free/synonym": 1,
    }
    table = report({"whole": {"free": Summary(1, 0.5, None, None, 0.1, 0)}})
    assert "0.500" in table and "-" in table


def test_instructions_vary_but_are_always_the_same_for_one_expression() -> None:
    said = {instruction(f"the dog {number}").replace(f"the dog {number}", "") for number in range(60)}
    assert len(said) > 3
    assert instruction("the left dog") == instruction("the left dog") and "the left dog" in instruction("the left dog")


def test_the_command_prints_a_table_and_says_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = command.main(["run", "referring", "--data", str(folder), "--system", "whole", "--out", str(folder / "out")])
    printed = capsys.readouterr().out
    assert status == 0 and "Acc@0.5" in printed and "whole" in printed
    assert json.loads((folder / "out" / "referring.json").read_text())["machine"]["python"]
    assert command.main(["run", "referring", "--data", str(folder / "nowhere")]) == 2
    assert "annotations.json" in capsys.readouterr().err


def test_first_answer_times_text_box_and_mask(folder: Path) -> None:
    asked = list(first_answer.questions(folder, 5, None))
    assert [question for _, question in asked] == ["segment the left dog"]
    assert list(first_answer.questions(folder, 5, "what is this?")) == [(folder / "one.png", "what is this?")]
    script = ["Sure. ", "<seg><ref>img-1</ref>the dog<box>[0,500,199,699]</box></seg>", " Done."]
    engine = load_engine(model=ScriptedModel(script), experts=(fake_spec(FakeExpert()),))
    turn = first_answer.measure(engine, MediaStore(), *asked[0])
    assert turn.first_text_s is not None and turn.first_box_s is not None and turn.first_mask_s is not None
    assert turn.first_text_s <= turn.first_box_s <= turn.first_mask_s <= turn.total_s
    summary = first_answer.summarise([turn])
    assert summary["first_mask_s"]["count"] == 1 and "first_mask_s" in first_answer.table(summary)
    assert first_answer.peak_memory_gb() > 0


def test_first_answer_without_photos_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert first_answer.main([str(tmp_path)]) == 2
    assert "holds no photos" in capsys.readouterr().err
