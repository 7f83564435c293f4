"""Readers of published layouts on tiny files in the exact layout, sound and broken; what is broken is named, left out and counted."""

import csv
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unified_demo.data.masks import encode_runs
from unified_demo.data.published.command import READERS, report
from unified_demo.data.published.instructpix2pix import read_instructpix2pix
from unified_demo.data.published.llava import read_llava
from unified_demo.data.published.neural_tuning import read_neural_mmud
from unified_demo.data.published.nsr1k import read_nsr1k
from unified_demo.data.published.reading import Complaints, json_entries, read_pickle
from unified_demo.data.published.reasonedit import read_reasonedit
from unified_demo.data.published.reasonseg import read_reasonseg
from unified_demo.data.published.refcoco import read_refcoco
from unified_demo.data.published.sounds import read_audiocaps, read_clotho
from unified_demo.data.published.taskbench import read_taskbench
from unified_demo.errors import MediaError
from unified_demo.grammar import Box
from unified_demo.messages import MediaPart

SQUARE = [10.0, 10.0, 30.0, 10.0, 30.0, 25.0, 10.0, 25.0]


def picture(path: Path, size: tuple[int, int] = (50, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(reader: Callable[..., Iterator[Any]], folder: Path) -> tuple[list[Any], dict[str, int], list[str]]:
    """Records, complaints by kind, complaints in words without the folder."""
    complaints = Complaints()
    records = list(reader(folder, complaints))
    return records, dict(complaints.kinds), [str(complaint).replace(f"{folder}/", "") for complaint in complaints.found]


# ---- what all share ----


def test_entries_before_a_break_are_kept_and_the_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "list.json", '[\n {"a": 1},\n\n {"a":\n 2},\n {"a": ')
    complaints = Complaints()
    assert list(json_entries(path, complaints)) == [(2, {"a": 1}), (4, {"a": 2})]
    assert [(complaint.line, complaint.kind) for complaint in complaints.found] == [(6, "broken json")]


@pytest.mark.parametrize(("text", "kind"), [("{}", "wrong layout"), ("", "wrong layout"), ("[1 2]", "broken json"), ("[1,", "broken json")])
def test_other_breaks_of_a_list(tmp_path: Path, text: str, kind: str) -> None:
    complaints = Complaints()
    list(json_entries(write(tmp_path / "list.json", text), complaints))
    assert dict(complaints.kinds) == {kind: 1}


def test_a_pickle_cannot_load_code(tmp_path: Path) -> None:
    complaints = Complaints()
    evil = tmp_path / "evil.p"
    evil.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "pwned").encode() + b"'\ntR.")
    assert read_pickle(evil, complaints) is None
    assert not (tmp_path / "pwned").exists()
    assert "os.system" in str(complaints.found[0])
    (tmp_path / "path.p").write_bytes(pickle.dumps(Path("x")))
    assert read_pickle(tmp_path / "path.p", complaints) is None


def test_pickles_of_python_two_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.p").write_bytes(b"(dp0\nS'sent'\np1\nS'the caf\\xe9'\np2\ns.")
    assert read_pickle(tmp_path / "old.p", Complaints()) == {"sent": "the café"}


@pytest.mark.parametrize("layout", READERS)
def test_a_folder_of_another_layout_is_refused_in_one_sentence(tmp_path: Path, layout: str) -> None:
    with pytest.raises(MediaError, match=str(tmp_path)):
        report(layout, tmp_path)
    with pytest.raises(MediaError, match="no folder"):
        report(layout, tmp_path / "nowhere")


# ---- RefCOCO ----


def refcoco(folder: Path, broken: bool = False) -> Path:
    photos = folder / "images/mscoco/images/train2014"
    for number in (1, 2, 3):
        picture(photos / f"COCO_train2014_{number:012d}.jpg")
    runs = encode_runs(np.eye(40, 50, dtype=bool))
    annotations = [
        {"id": 11, "image_id": 1, "category_id": 18, "bbox": [10, 10, 20, 15], "segmentation": [SQUARE], "area": 300.0, "iscrowd": 0},
        {"id": 12, "image_id": 2, "category_id": 18, "bbox": [0, 0, 50, 40], "segmentation": {"size": [40, 50], "counts": runs}},
        {"id": 13, "image_id": 3, "category_id": 18, "bbox": [40, 10, 40, 15], "segmentation": [SQUARE]},
        {"id": 14, "image_id": 3, "category_id": 18, "bbox": [0, 0, 5, 5], "segmentation": {"size": [40, 50], "counts": runs[:-2]}},
        {"id": 15, "image_id": 4, "category_id": 18, "bbox": [10, 10, 20, 15], "segmentation": [SQUARE]},
    ]
    images = [{"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": 50, "height": 40} for n in (1, 2, 3, 4)]
    home = folder / "refcoco"
    write(home / "instances.json", {"images": images, "annotations": annotations, "categories": [{"id": 18, "name": "dog"}], "info": {}})
    refs = [
        {
            "ref_id": number, "ann_id": ann, "image_id": image, "category_id": 18, "split": split, "sent_ids": [1, 2],
            "file_name": f"COCO_train2014_{image:012d}_{ann}.jpg",
            "sentences": [
                {"sent": "the brown dog", "raw": "The brown dog", "tokens": ["the", "brown", "dog"], "sent_id": 1},
                {"sent": "left dog", "raw": "left dog", "tokens": ["left", "dog"], "sent_id": 2},
            ],
        }
        for number, (ann, image, split) in enumerate(
            [(11, 1, "train"), (12, 2, "testA"), (13, 3, "val"), (14, 3, "val"), (15, 4, "val"), (99, 1, "val")]
        )
        if broken or ann in (11, 12)
    ]  # fmt: skip
    (home / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    return home


def test_refcoco(tmp_path: Path) -> None:
    records, kinds, _ = read(read_refcoco, refcoco(tmp_path))
    assert not kinds
    first, second = records
    assert first.expressions == ("the brown dog", "left dog")
    assert (first.category, first.split, first.box) == ("dog", "train", Box(0.2, 0.25, 0.6, 0.625))
    assert first.mask().sum() == 300
    assert (second.mask() == np.eye(40, 50, dtype=bool)).all()


def test_broken_refcoco(tmp_path: Path) -> None:
    records, kinds, words = read(read_refcoco, refcoco(tmp_path, broken=True))
    assert len(records) == 2
    assert kinds == {"box outside": 1, "broken mask": 1, "missing picture": 1, "missing row": 1}
    assert any("(ref 4)" in line and "COCO_train2014_000000000004.jpg" in line for line in words)


def test_refcoco_with_a_truncated_pickle_or_instances(tmp_path: Path) -> None:
    home = refcoco(tmp_path)
    cut(home / "instances.json")
    assert read(read_refcoco, home)[1] == {"broken json": 1, "missing row": 2}
    cut(home / "refs(unc).p")
    records, kinds, words = read(read_refcoco, home)
    assert not records
    assert kinds == {"broken json": 1, "broken pickle": 1}
    assert "refs(unc).p" in words[-1]


# ---- ReasonSeg ----


def reasonseg(folder: Path, name: str = "1", **changes: Any) -> None:
    picture(folder / f"train/{name}.jpg")
    corners = [[10.0, 10.0], [30.0, 10.0], [30.0, 25.0], [10.0, 25.0]]
    shapes = [
        {"label": "target", "labels": ["target"], "shape_type": "polygon", "image_name": f"{name}.jpg", "points": corners},
        {"label": "ignore", "points": [[10, 10], [20, 10], [20, 25], [10, 25]]},
        {"label": "Flag", "points": [[0, 0]]},
    ]
    write(folder / f"train/{name}.json", {"text": ["What barks?"], "is_sentence": True, "shapes": shapes, **changes})


def test_reasonseg(tmp_path: Path) -> None:
    reasonseg(tmp_path)
    write(tmp_path / "explanatory/train.json", [{"image": "1.jpg", "query": "What barks?", "outputs": "Dogs bark."}])
    (record,), kinds, _ = read(read_reasonseg, tmp_path)
    assert not kinds
    assert (record.questions, record.sentence, record.split, record.explanation) == (("What barks?",), True, "train", "Dogs bark.")
    assert record.mask().sum() == 150
    assert record.ignored_mask().sum() == 150


def test_reasonseg_in_the_old_encoding(tmp_path: Path) -> None:
    reasonseg(tmp_path)
    path = tmp_path / "train/1.json"
    path.write_bytes(path.read_text().replace("What barks?", "the dog’s bowl").encode("cp1252"))
    assert read(read_reasonseg, tmp_path)[0][0].questions == ("the dog’s bowl",)


def test_broken_reasonseg(tmp_path: Path) -> None:
    reasonseg(tmp_path, "good")
    reasonseg(tmp_path, "empty", shapes=[])
    reasonseg(tmp_path, "outside", shapes=[{"label": "target", "points": [[0, 0], [90, 0], [9, 9]]}])
    reasonseg(tmp_path, "mute", text=[])
    reasonseg(tmp_path, "torn")
    cut(tmp_path / "train/torn.json")
    reasonseg(tmp_path, "half")
    cut(tmp_path / "train/half.jpg")
    reasonseg(tmp_path, "gone")
    (tmp_path / "train/gone.jpg").unlink()
    records, kinds, words = read(read_reasonseg, tmp_path)
    assert [record.picture.stem for record in records] == ["good"]
    assert kinds == {
        "broken json": 1, "empty mask": 1, "missing picture": 1, "no question": 1, "polygon outside": 1, "undecodable picture": 1,
    }  # fmt: skip
    assert any(line.startswith("train/torn.json:1 ") for line in words)


# ---- Reason-Edit ----


def scene(folder: Path, name: str, text: str, lines: list[str]) -> Path:
    for number in range(len(lines)):
        picture(folder / name / f"{number + 1:03d}.png")
        picture(folder / name / f"{number + 1:03d}_mask.jpg")
    write(folder / name / text, "\n".join(lines) + "\n")
    return folder / name


def test_reasonedit(tmp_path: Path) -> None:
    place = scene(tmp_path, "Reason/6-Reasoning", "Reason_test.txt", ["Remove the fruit with the most vitamin C. CLIP: a table"])
    Image.fromarray(np.pad(np.full((10, 10), 255, np.uint8), ((0, 10), (0, 15)))).save(place / "001_mask.jpg")
    picture(tmp_path / "a/0.png")
    picture(tmp_path / "a/1.png")
    write(tmp_path / "pairs.json", {"0000": {"origin_img_path": "a/0.png", "target_img_path": "a/1.png", "instruction": ["one", "two"]}})
    (test, train), kinds, _ = read(read_reasonedit, tmp_path)
    assert not kinds
    assert (test.instructions, test.caption, test.scene) == (("Remove the fruit with the most vitamin C.",), "a table", "6-Reasoning")
    assert test.mask().shape == (40, 50)
    assert test.mask().sum() == pytest.approx(400, abs=30)
    assert (train.instructions, train.mask(), train.after) == (("one", "two"), None, tmp_path / "a/1.png")


def test_broken_reasonedit(tmp_path: Path) -> None:
    place = scene(tmp_path, "1-Left-Right", "Left_Right_text.txt", ["good CLIP: a dog", "no caption", "also good CLIP: a cat"])
    cut(place / "003.png")
    lonely = scene(tmp_path, "4-Color", "Color_text.txt", ["one CLIP: a", "two CLIP: b"])
    (lonely / "002_mask.jpg").unlink()
    (scene(tmp_path, "3-Mirror", "Mirror_text.txt", ["x CLIP: y"]) / "Mirror_text.txt").unlink()
    write(
        tmp_path / "pairs.json", {"0000": {"origin_img_path": "gone.png", "target_img_path": "gone.png", "instruction": ["x"]}, "0001": 3}
    )
    records, kinds, words = read(read_reasonedit, tmp_path)
    assert [record.instructions for record in records] == [("good",)]
    assert kinds == {"wrong layout": 2, "undecodable picture": 1, "missing file": 1, "missing picture": 1, "missing field": 1}
    assert any(line.startswith("1-Left-Right/Left_Right_text.txt:2 ") for line in words)


# ---- InstructPix2Pix ----


def pair(folder: Path, name: str, seeds: tuple[str, ...] = ("7",), **changes: Any) -> Path:
    for seed in seeds:
        picture(folder / name / f"{seed}_0.jpg")
        picture(folder / name / f"{seed}_1.jpg")
    write(folder / name / "prompt.json", {"input": "a dog", "edit": "make it a cat", "output": "a cat", "url": "", **changes})
    return folder / name


def test_instructpix2pix(tmp_path: Path) -> None:
    home = pair(tmp_path, "0000001", ("7", "9"))
    write(home / "metadata.jsonl", '{"seed": 7, "clip_sim_dir": 0.3}\n{"seed": 9, "clip_sim_dir": \n')
    records, kinds, words = read(read_instructpix2pix, tmp_path)
    assert [(record.seed, record.direction) for record in records] == [("7", 0.3), ("9", None)]
    assert (records[0].instruction, records[0].caption_before, records[0].caption_after) == ("make it a cat", "a dog", "a cat")
    assert kinds == {"broken json": 1}
    assert words[0].startswith("0000001/metadata.jsonl:2 ")


def test_instructpix2pix_by_its_list_of_seeds(tmp_path: Path) -> None:
    pair(tmp_path, "0000001", ("7", "9"))
    pair(tmp_path, "0000002")
    write(tmp_path / "seeds.json", '[["0000001", ["9"]],\n ["0000005", ["1"]],\n ["0000001", ["8"]],\n "0000002"]')
    records, kinds, words = read(read_instructpix2pix, tmp_path)
    assert [record.seed for record in records] == ["9"]
    assert kinds == {"missing file": 1, "missing picture": 1, "wrong layout": 1}
    assert words[0].startswith("seeds.json:2 ")


def test_broken_instructpix2pix(tmp_path: Path) -> None:
    cut(pair(tmp_path, "1") / "7_1.jpg")
    cut(pair(tmp_path, "2") / "prompt.json")
    pair(tmp_path, "3", edit=" ")
    picture(pair(tmp_path, "4") / "7_1.jpg", (20, 20))
    pair(tmp_path, "5", output=None)
    pair(tmp_path, "6", ())
    records, kinds, _ = read(read_instructpix2pix, tmp_path)
    assert not records
    assert kinds == {
        "undecodable picture": 1, "broken json": 1, "no instruction": 1, "wrong size": 1, "wrong type": 1, "missing picture": 1,
    }  # fmt: skip


# ---- NSR-1K ----


def test_nsr1k(tmp_path: Path) -> None:
    counting = {
        "id": 1, "image_id": 2, "num_object": [["clock", 1]], "object_list": [["clock", [0.0, 0.2, 1.0, 0.64]]],
        "prompt": "one clock", "sub-type": "single-category", "type": "template",
    }  # fmt: skip
    spatial = {
        "id": 739, "image_id": 3, "obj1": ["toilet", [0.0, 0.25, 0.25, 0.25]], "obj2": ["dog", [0.5, 0.5, 0.25, 0.25]],
        "prompt": "a toilet to the left of a dog", "relation": "left", "type": "template",
    }  # fmt: skip
    write(tmp_path / "counting/counting.val.json", [counting, counting | {"sub-type": "dancing"}, counting | {"num_object": [["clock"]]}])
    outside = spatial | {"obj2": ["dog", [0.9, 0.5, 0.5, 0.25]]}
    unknown = spatial | {"relation": "behind"}
    placeless = spatial | {"obj1": ["toilet", [0, 0, 0, 0]]}
    rows = ",\n".join(json.dumps(row) for row in (spatial, outside, unknown, placeless))
    write(tmp_path / "spatial.train.json", f"[\n{rows},\n{{")
    records, kinds, words = read(read_nsr1k, tmp_path)
    first, second, third = records
    assert (first.counts, first.kind, first.split, first.comparison) == ((("clock", 1),), "single-category", "val", False)
    assert second.objects == (("toilet", Box(0.0, 0.25, 0.25, 0.5)), ("dog", Box(0.5, 0.5, 0.75, 0.75)))
    assert (second.relation, second.split) == ("left", "train")
    assert third.objects[0] == ("toilet", None)
    assert kinds == {"unknown task": 2, "wrong type": 1, "box outside": 1, "broken json": 1}
    assert {line.split(" ")[0] for line in words} >= {"spatial.train.json:3", "spatial.train.json:4", "spatial.train.json:6"}


# ---- LLaVA ----


def talk(*values: str, speakers: tuple[str, ...] = ("human", "gpt"), **fields: Any) -> dict[str, Any]:
    turns = [{"from": speakers[number % len(speakers)], "value": value} for number, value in enumerate(values)]
    return {"id": "000000033471", "conversations": turns, **fields}


def test_llava(tmp_path: Path) -> None:
    picture(tmp_path / "images/part/1.jpg")
    picture(tmp_path / "images/torn.jpg")
    cut(tmp_path / "images/torn.jpg")
    rows = [
        talk("<image>\nWhat is it?", "A dog.", "Which?", "A poodle.", image="part/1.jpg"),
        talk("Hello", "Hi"),
        talk("What?\n<image>", "That.", image="part/2.jpg"),
        talk("What?\n<image>", "That.", image="../../secret.jpg"),
        talk("What?\n<image>", "That.", image="torn.jpg"),
        talk("What?\n<image>", "That."),
        talk("Hello"),
        talk("Hello", "Hi", speakers=("human", "robot")),
        talk("Hello", "Hi", speakers=("gpt", "human")),
        talk("Hello", ""),
    ]
    write(tmp_path / "llava_instruct_150k.json", "[" + ",\n".join(json.dumps(row) for row in rows) + "]")
    (seen, blind), kinds, words = read(read_llava, tmp_path)
    assert seen.turns == (("What is it?", "A dog."), ("Which?", "A poodle."))
    messages = seen.conversation().messages
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant"]
    assert isinstance(messages[0].parts[0], MediaPart)
    assert messages[0].parts[0].artefact.width == 50
    assert blind.picture is None
    assert len(blind.conversation().artefacts()) == 0
    assert kinds == {
        "missing picture": 1, "path outside": 1, "undecodable picture": 1, "stray picture": 1, "wrong layout": 2, "unknown speaker": 1,
        "empty turn": 1,
    }  # fmt: skip
    assert words[0].startswith("llava_instruct_150k.json:3 ")


# ---- MMUD ----


def mmud_row(**changes: Any) -> tuple[Any, ...]:
    row = {
        "path": "D:\\MMUD\\images\\1603.jpg", "caption": "A kitchen.",
        "text": "##Question: Which table is free?\n##Answer: <SEP>The right table<LCL-2> is, the left table <LCL-1> is not.",
        "texts": [["left table", "table on the left"], ["right table"]],
        "masks": [SQUARE, [{"size": [40, 50], "counts": encode_runs(np.eye(40, 50, dtype=bool)).encode()}]],
        "boxes": [[10, 10, 20, 15], [0, 0, 50, 40]], "height": 40, "width": 50, "category": [1, 1], "names": ["table", "table"],
        "len": 12, "text_len": 30,
    } | changes  # fmt: skip
    return tuple(row.values())


def test_published_mmud(tmp_path: Path) -> None:
    picture(tmp_path / "images/1603.jpg")
    (tmp_path / "test.pkl").write_bytes(pickle.dumps([mmud_row()]))
    (record,), kinds, _ = read(read_neural_mmud, tmp_path)
    assert not kinds
    assert (record.question, record.caption, record.split) == ("Which table is free?", "A kitchen.", "test")
    assert record.answer == "The right table is, the left table  is not."
    assert record.mentioned == (1, 0)
    assert [thing.mask(40, 50).sum() for thing in record.objects] == [300, 40]
    assert record.objects[0].names == ("left table", "table on the left")


def test_broken_mmud(tmp_path: Path) -> None:
    picture(tmp_path / "images/1603.jpg")
    rows = [
        mmud_row(path="gone.jpg"), mmud_row(height=41), mmud_row(boxes=[[10, 10, 90, 15], [0, 0, 50, 40]]), mmud_row(boxes=[]),
        mmud_row(text="##Question: Which? <SEP>The <LCL-7>"), mmud_row(text="no answer"), ("short",),
        mmud_row(masks=[SQUARE, [{"counts": "04"}]]), mmud_row(),
    ]  # fmt: skip
    (tmp_path / "valid.pkl").write_bytes(pickle.dumps(rows))
    (tmp_path / "train.pkl").write_bytes(pickle.dumps(rows)[:200])
    records, kinds, _ = read(read_neural_mmud, tmp_path)
    assert [record.split for record in records] == ["valid"]
    assert kinds == {
        "broken pickle": 1, "missing picture": 1, "wrong size": 1, "box outside": 1, "wrong layout": 3, "missing mask": 1, "broken mask": 1,
    }  # fmt: skip


# ---- sounds ----


def table(path: Path, rows: list[list[Any]], encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)


def test_audiocaps(tmp_path: Path) -> None:
    write(tmp_path / "audio/vfY_TJq7n_U_130.wav", "")
    table(
        tmp_path / "val.csv",
        [
            ["audiocap_id", "youtube_id", "start_time", "caption"],
            [97151, "vfY_TJq7n_U", 130, "Rustling occurs, ducks quack"],
            [97152, "vfY_TJq7n_U", 130, "Ducks"],
            [1, "tdWhHV3X25Q", 60, "Applause"],
            [2, "tdWhHV3X25Q", "soon", "Applause"],
            [3, "tdWhHV3X25Q", -4, "Applause"],
            [4, "tdWhHV3X25Q", 60, ""],
            [5, "tdWhHV3X25Q", 60, "a", "b"],
        ],
    )
    (ducks, applause), kinds, words = read(read_audiocaps, tmp_path)
    assert ducks.captions == ("Rustling occurs, ducks quack", "Ducks")
    assert (ducks.sound, ducks.start_s, ducks.split) == (tmp_path / "audio/vfY_TJq7n_U_130.wav", 130.0, "val")
    assert applause.sound is None
    assert kinds == {"wrong type": 2, "missing field": 1, "wrong layout": 1}
    assert words[0].startswith("val.csv:5 ")


def test_clotho(tmp_path: Path) -> None:
    header = ["file_name", *(f"caption_{number}" for number in range(1, 6))]
    write(tmp_path / "development/a cat.wav", "")
    rows = [header, ["a cat.wav", *"12345"], ["gone.wav", *"12345"], ["a cat.wav", "one café", "two", "", "", ""]]
    table(tmp_path / "clotho_captions_development.csv", rows, "latin-1")
    table(tmp_path / "clotho_captions_evaluation.csv", [header, ["b.wav", *"12345"]])
    table(tmp_path / "clotho_captions_validation.csv", [["file_name", "caption"], ["b.wav", "x"]])
    (tmp_path / "validation").mkdir()
    (cat, bare), kinds, words = read(read_clotho, tmp_path)
    assert (cat.captions, cat.sound, cat.split) == (tuple("12345"), tmp_path / "development/a cat.wav", "development")
    assert (bare.id, bare.sound) == ("b.wav", None)
    assert kinds == {"missing sound": 2, "missing field": 1, "wrong layout": 1}
    assert words[0].startswith("clotho_captions_development.csv:3 ")


# ---- TaskBench ----


def request_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "27", "seed": 1, "type": "chain", "n_tools": 2, "sampled_nodes": [], "sampled_links": [],
        "user_request": "Describe photo.jpg and read it out.", "task_steps": ["Step 1", "Step 2"],
        "task_nodes": [
            {"task": "Image-to-Text", "arguments": ["photo.jpg"]},
            {"task": "Text-to-Audio", "arguments": ["<node-0>", {"name": "voice", "value": "calm"}]},
        ],
        "task_links": [{"source": "Image-to-Text", "target": "Text-to-Audio"}], "check_by_teacher": "yes",
    } | changes  # fmt: skip


def test_taskbench(tmp_path: Path) -> None:
    write(tmp_path / "data_multimedia/tool_desc.json", {"nodes": [{"id": "Image-to-Text"}, {"id": "Text-to-Audio"}]})
    rows = [
        request_row(),
        request_row(type="circle"),
        request_row(task_nodes=[{"task": "Teleport", "arguments": []}]),
        request_row(task_nodes=[{"task": "Image-to-Text", "arguments": ["<node-3>"]}]),
        request_row(task_links=[{"source": "Image-to-Text", "target": "Teleport"}]),
        request_row(user_request=""),
    ]
    write(tmp_path / "data_multimedia/data.json", "\n".join([*(json.dumps(row) for row in rows), '{"id": "5", "type"']))
    write(tmp_path / "data_dailylifeapis/data.json", json.dumps(request_row()))
    (record,), kinds, words = read(read_taskbench, tmp_path)
    assert (record.domain, record.kind, record.links) == ("multimedia", "chain", (("Image-to-Text", "Text-to-Audio"),))
    assert [(use.tool, use.arguments, use.inputs) for use in record.uses] == [
        ("Image-to-Text", ("photo.jpg",), ()),
        ("Text-to-Audio", ("calm",), (0,)),
    ]
    assert kinds == {"unknown task": 2, "broken link": 2, "no request": 1, "broken json": 1, "missing file": 1}
    assert any(line.startswith("data_multimedia/data.json:7 ") for line in words)


# ---- the command ----


def test_the_report_counts_and_shows(tmp_path: Path) -> None:
    text = report("refcoco", refcoco(tmp_path, broken=True), shown=2)
    lines = text.splitlines()
    assert lines[0].startswith("2 records read, 4 complaints")
    assert "split: testA 1, train 1" in lines
    assert "complaints: missing picture 1" in lines
    assert "  ... and 2 more" in lines
    assert lines[-1].startswith("ReferringExample(")


def test_pictures_elsewhere(tmp_path: Path) -> None:
    home = refcoco(tmp_path)
    (tmp_path / "images/mscoco/images/train2014").rename(tmp_path / "photos")
    assert report("refcoco", home).startswith("0 records")
    assert report("refcoco", home, pictures=tmp_path / "photos").startswith("2 records")
    with pytest.raises(MediaError, match="--pictures"):
        report("nsr1k", home, pictures=tmp_path / "photos")
