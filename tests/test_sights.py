"""What is looked at: photos that do not decode are left out and counted; composed pictures say what they show."""

import logging
from pathlib import Path

import pytest
from PIL import Image
from tiny_cutouts import write_tiny_assets

from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.sights import compose_pictures, draw_pictures, open_pictures


def test_what_does_not_decode_is_named_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, broken = tmp_path / "good.jpg", tmp_path / "cut-off.jpg"
    Image.effect_noise((80, 60), 60).convert("RGB").save(good)
    broken.write_bytes(good.read_bytes()[:900])
    with caplog.at_level(logging.WARNING):
        assert [picture.size for picture in open_pictures([good, broken, good])] == [(80, 60), (80, 60)]
        drawn = list(draw_pictures([(good, "dog"), (broken, "cat")], [good], 40, 3))
    assert 0 < len(drawn) < 40 and all(item.name == "dog" for _, named in drawn for item in named)
    assert f"{broken} is not a picture that can be decoded" in caplog.text
    assert "1 of 3 photos were left out" in caplog.text and f"{40 - len(drawn)} of 40 pictures were left out" in caplog.text


def test_composed_pictures_name_what_is_seen_and_nothing_held_out(tmp_path: Path) -> None:
    catalogue = write_tiny_assets(tmp_path)
    made = [list(compose_pictures(catalogue, CutoutLibrary(tmp_path, catalogue), 24, 3)) for _ in range(2)]
    assert [picture.tobytes() for picture, _ in made[0]] == [picture.tobytes() for picture, _ in made[1]]
    names = [item for _, seen in made[0] for item in seen]
    assert len({item.name for item in names}) > 5 and not {item.name for item in names} & {"umbrella", "zebra"}
    assert all(0 < item.box.area < 1 for item in names)
