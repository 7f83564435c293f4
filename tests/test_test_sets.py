"""Test sets that the data engine composes: pairs before and after an edit, clips with masklets; what is broken in them is named."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cutouts import write_tiny_assets

from unified_demo.data import edit_pairs, footage
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.edit_pairs import LINES_FILE, build, read_edits
from unified_demo.data.edits import EditPlan
from unified_demo.data.plans import Placed, ScenePlan
from unified_demo.data.published.reading import Complaints
from unified_demo.errors import MediaError
from unified_demo.evaluation.video import read_clips
from unified_demo.grammar import Box

KINDS = ("remove", "add", "replace", "recolour")
"""Not "restyle", for the tiny cut-outs come in one style."""


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_tiny_assets(folder)
    return folder


def write_edits(assets: Path, out: Path, count: int = 8) -> Path:
    catalogue = write_tiny_assets(assets)
    build(catalogue, CutoutLibrary(assets, catalogue), out, count, 3, KINDS)
    return out


def test_pairs_differ_where_they_may_and_only_there(assets: Path, tmp_path: Path) -> None:
    folder, complaints = write_edits(assets, tmp_path / "edits"), Complaints()
    pairs = list(read_edits(folder, complaints))
    assert (
        not complaints.found
        and [pair.kind for pair in pairs] == [*KINDS, *KINDS]
        and {pair.part for pair in pairs} == {"train", "held_out"}
    )
    for pair in pairs:
        before, after = (np.asarray(Image.open(path)).astype(int) for path in (pair.before, pair.after))
        mask = pair.mask()
        assert mask is not None and pair.box is not None
        differs = (before != after).any(-1)
        assert differs.any() and not (differs & ~mask).any()
        rows, columns = np.nonzero(mask)
        assert columns.min() <= pair.box.x0 * pair.width + 1 and rows.max() >= pair.box.y1 * pair.height - 2
    again = write_edits(assets, tmp_path / "again")
    assert (again / LINES_FILE).read_bytes() == (folder / LINES_FILE).read_bytes()


def item(noun: str) -> Placed:
    return Placed(f"tiny:{noun}", noun, "thing", Box(0.1, 0.1, 0.4, 0.4), "red", False, 0.0)


@pytest.mark.parametrize(
    ("kind", "new", "anchor", "words"),
    [("remove", "", None, "remove the apple"), ("add", "apple", ("on", "table"), "add an apple on the table"),
     ("add", "apple", None, "add an apple"), ("replace", "gloves", None, "replace the apple with gloves"),
     ("recolour", "blue", None, "make the apple blue")],
)  # fmt: skip
def test_instructions_say_what_is_done(kind: str, new: str, anchor: tuple[str, str] | None, words: str) -> None:
    scene = ScenePlan(1, 64, 48, "drawn:room", (item("apple"),), ())
    assert edit_pairs.instruction(EditPlan(kind, scene, scene, 0, new, anchor)) == words
    assert edit_pairs.instruction(EditPlan("restyle", scene, scene, -1, "flat")).startswith("turn it into a flat drawing")


def test_broken_pairs_are_named_and_left_out(assets: Path, tmp_path: Path) -> None:
    folder = write_edits(assets, tmp_path)
    lines = (folder / LINES_FILE).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    changes = ({"kind": "teleport"}, {"box": [-90, 0, 5000, 9]}, {"changed": "zz"}, {"box": None}, {"width": 3})
    for place, change in enumerate(changes, start=1):
        lines[place] = json.dumps(rows[place] | change)
    (folder / rows[6]["after"]).write_bytes(b"\x89PNG")
    (folder / LINES_FILE).write_text("\n".join(lines[:-1]) + "\n")
    complaints = Complaints()
    assert [pair.id for pair in read_edits(folder, complaints)] == ["0006"]
    expected = ["unknown task", "box outside", "broken mask", "missing field", "wrong size", "undecodable picture", "truncated"]
    assert [(complaint.line, complaint.kind) for complaint in complaints.found] == list(zip([2, 3, 4, 5, 6, 7, 8], expected, strict=True))
    with pytest.raises(MediaError, match="data edits"):
        next(read_edits(tmp_path / "nowhere", complaints))


def test_composed_clips_are_in_the_layout_that_is_measured(assets: Path, tmp_path: Path) -> None:
    footage.main(argparse.Namespace(assets=assets, out=tmp_path, count=2, seed=1))
    clips, complaints = read_clips(tmp_path)
    assert not complaints and len({clip.frames[0].parent for clip in clips}) == 2
    for clip in clips:
        assert len(clip.frames) == len(clip.truth) == 16 and clip.truth[0].any()
        assert (clip.truth != clip.truth[0]).any(), "what is followed moves"
