"""The contact sheet: it is written, shows boxes, and says what is missing."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cutouts import write_tiny_assets

from unified_demo.data import preview
from unified_demo.errors import MediaError
from unified_demo.grammar import Box


def run(*words: str) -> None:
    parser = argparse.ArgumentParser()
    preview.add_arguments(parser)
    preview.main(parser.parse_args(list(words)))


@pytest.mark.parametrize("kind", ["scenes", "clips"])
def test_a_sheet_is_written(tmp_path: Path, kind: str) -> None:
    write_tiny_assets(tmp_path / "assets")
    run("--assets", str(tmp_path / "assets"), "--out", str(tmp_path / "new" / "sheet.png"), "--kind", kind, "--count", "4")
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.size == (4 * preview.CELL, preview.CELL)
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 50


def test_a_box_is_drawn_on_its_own_pixels() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    plain = Image.new("RGB", (60, 40), "white")
    drawn = np.asarray(preview.annotated(plain, [Box(0.5, 0.25, 50 / 60, 0.5)], [""], [mask]))
    inked = (drawn != 255).any(-1)
    rows, columns = np.nonzero(inked)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (30, 10, 50, 20)
    assert not inked[11:19, 31:49].any(), "only the outline is drawn"
    assert np.asarray(plain).min() == 255


def test_missing_assets_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="data fetch"):
        run("--assets", str(tmp_path), "--out", str(tmp_path / "sheet.png"))
    write_tiny_assets(tmp_path)
    with pytest.raises(MediaError, match="sweethome3d-furniture"):
        run("--assets", str(tmp_path), "--out", str(tmp_path / "sheet.png"), "--kind", "renders")
