"""The benchmark of one picture with four labels, on a made-up picture with a scripted model."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_benchmarks import ANSWER, FakeSubjects, context, figures_of

from unified_demo.data.masks import encode_runs
from unified_demo.data.mmud import LINES_FILE, PICTURES, VERSION, read_mmud
from unified_demo.evaluation.benchmark import NotReady
from unified_demo.evaluation.composed import Composed
from unified_demo.evaluation.metrics import Mask
from unified_demo.evaluation.mmud import Mmud, things
from unified_demo.messages import TaskCall

DRAWN = "<gen>a picture of a dog and two cups</gen>"


def mask_of(box: tuple[int, int, int, int]) -> Mask:
    mask = np.zeros((80, 100), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def write_picture(folder: Path) -> None:
    """A dog where the scripted model points, and a cup elsewhere."""
    (folder / PICTURES).mkdir(parents=True)
    Image.new("RGB", (100, 80), (90, 120, 60)).save(folder / PICTURES / "00000.jpg")
    placed = [("dog", (50, 40, 90, 72)), ("cup", (5, 5, 20, 20))]
    kinds = {"category": "thing", "colour": "red", "visible": 1.0}
    row = {
        "id": "00000", "image": f"{PICTURES}/00000.jpg", "width": 100, "height": 80, "part": "train", "background": "drawn:meadow",
        "captions": ["A dog sits.", "A dog and a cup."],
        "reasoning": {"question": "What barks?", "answer": "The dog barks.", "things": [0]},
        "referring": {"expression": "the cup", "said": "the cup", "kind": "plain", "things": [1]},
        "generation": {"prompt": "a dog and two cups"},
        "things": [
            {"noun": noun, **kinds, "box": list(box), "held_out": noun == "cup", "mask": encode_runs(mask_of(box))} for noun, box in placed
        ],
    }  # fmt: skip
    head = {"version": VERSION, "seed": 1, "count": 1, "cutouts": 2}
    (folder / LINES_FILE).write_text(json.dumps(head) + "\n" + json.dumps(row) + "\n")


def test_all_four_labels_of_a_picture_are_asked_for(tmp_path: Path) -> None:
    write_picture(tmp_path / "mmud")
    result = Mmud().run(context(tmp_path))
    assert figures_of(result, "model", "reasoning, known").figures["Acc@0.5"] == 1.0, "the scripted model points at the dog"
    assert figures_of(result, "model", "grounding").figures["Acc@0.5"] == 0.0, "which is no cup"
    assert figures_of(result, "model", "caption").figures["CIDEr"] is not None
    assert figures_of(result, "template", "caption").count == 1
    none = figures_of(result, "model", "generation").figures
    assert (none["called"], none["things"]) == (0.0, 0.0), "it segments whatever is said"
    drawing = Mmud().run(context(tmp_path, FakeSubjects([DRAWN]), systems=("model",)))
    drawn = figures_of(drawing, "model", "generation").figures
    assert (drawn["called"], drawn["things"]) == (1.0, 1.0) and drawing.extra["pictures"] == 1
    assert {"caption", "prompt"} <= {key for sample in drawing.samples for key in sample}


def test_composed_takes_the_two_labels_with_masks(tmp_path: Path) -> None:
    write_picture(tmp_path / "mmud")
    result = Composed().run(context(tmp_path, FakeSubjects(ANSWER), systems=("model",)))
    assert {row.group for row in result.rows} >= {"reasoning, known", "grounding"} and result.extra["several_things"] == 0


@pytest.mark.parametrize(
    ("words", "share"), [("a dog and a cup", 1.0), ("Dogs", 0.5), ("a hot dog stand", 0.5), ("a cupboard", 0.0), ("", 0.0)]
)
def test_things_are_named_by_whole_words(tmp_path: Path, words: str, share: float) -> None:
    write_picture(tmp_path)
    (sample,) = read_mmud(tmp_path)
    assert things(sample, [TaskCall(0, "gen", words)] if words else []) == share


def test_without_the_pictures_it_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"mmud.jsonl of mmud was not found"):
        Mmud().run(context(tmp_path))
