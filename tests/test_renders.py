"""Views of models: geometry against what is known of a box. Needs trimesh and embreex, as the module says; skipped without them."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.data import renders
from unified_demo.data.renders import FIELD_DEG, Camera, Renderer, camera_axes, load_model, optional, turntable
from unified_demo.errors import MediaError

CUBE = """mtllib cube.mtl
v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl front\nf 5/1 6/2 7/3 8/4
usemtl rest\nf 2 1 4 3\nf 1 5 8 4\nf 6 2 3 7\nf 8 7 3 4\nf 1 2 6 5
"""
MATERIALS = "newmtl front\nKd 1 1 1\nmap_Kd front.png\nnewmtl rest\nKd 0.1 0.2 0.9\n"


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """The front (+z) shows a picture: red above, green below; the other sides are blue."""
    pytest.importorskip("trimesh")
    pytest.importorskip("embreex")
    (tmp_path / "cube.obj").write_text(CUBE)
    (tmp_path / "cube.mtl").write_text(MATERIALS)
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :, 0], picture[4:, :, 1] = 255, 255
    Image.fromarray(picture).save(tmp_path / "front.png")
    return tmp_path / "cube.obj"


def test_a_model_is_centred_and_stretched_to_its_size(cube: Path) -> None:
    model = load_model(cube, (2.0, 1.0, 0.5))
    np.testing.assert_allclose(model.vertices.max(0), [1.0, 0.5, 0.25], atol=1e-5)
    np.testing.assert_allclose(model.vertices.min(0), [-1.0, -0.5, -0.25], atol=1e-5)
    turned = load_model(cube, (2.0, 1.0, 0.5), [0, 0, 1, 0, 1, 0, -1, 0, 0])
    np.testing.assert_allclose(turned.vertices.max(0), [1.0, 0.5, 0.25], atol=1e-5)
    assert not model.normals.any(), "the file has no normals"
    cube.write_text(CUBE.replace("vt 0 0", "vn 0 0 2\nvt 0 0").replace("f 5/1 6/2 7/3 8/4", "f 5/1/1 6/2/1 7/3/1 8/4/1"))
    smooth = load_model(cube, (1.0, 1.0, 0.5))
    length = np.linalg.norm(smooth.normals, axis=1)
    assert ((np.abs(length - 1) < 1e-4) | (length == 0)).all() and length.max() > 0.9


def test_the_front_view_has_known_depth_normal_colour_and_points(cube: Path) -> None:
    model = load_model(cube, (1.0, 1.0, 1.0))
    view = Renderer(model).view(Camera(0.0, 0.0, 64))
    distance = model.radius_m / math.sin(math.radians(FIELD_DEG / 2))
    seen = view.depth > 0
    assert ((view.alpha >= 0.5) == seen).all()
    np.testing.assert_allclose(view.depth[seen], distance - 0.5, atol=1e-3)
    np.testing.assert_allclose(view.normals[seen], np.broadcast_to([0, 0, 1], (seen.sum(), 3)), atol=0.02)
    wide = 0.5 / (distance - 0.5) / math.tan(math.radians(FIELD_DEG / 2)) * 32
    rows, columns = np.nonzero(seen)
    assert columns.min() == pytest.approx(32 - wide, abs=1.01) and rows.max() + 1 == pytest.approx(32 + wide, abs=1.01)
    top, bottom = view.rgb[20, 32], view.rgb[44, 32]
    assert top[0] > 150 > top[1] and bottom[1] > 150 > bottom[0]
    assert len(view.points) == len(view.point_rgb) == seen.sum()
    np.testing.assert_allclose(view.points[:, 2], 0.5, atol=1e-3)
    assert view.points[0, 1] > 0.4 and view.points[-1, 1] < -0.4
    assert not view.normals[~seen].any()


def test_depth_and_points_agree_from_any_side(cube: Path) -> None:
    model = load_model(cube, (0.6, 0.9, 0.4))
    camera = Camera(35.0, 25.0, 48)
    view = Renderer(model).view(camera)
    back = camera_axes(camera)[2]
    distance = model.radius_m / math.sin(math.radians(FIELD_DEG / 2))
    np.testing.assert_allclose(distance - view.points @ back, view.depth[view.depth > 0], atol=1e-3)
    on_a_side = np.abs(np.abs(view.points) / (np.array([0.6, 0.9, 0.4]) / 2) - 1).min(1)
    assert on_a_side.max() < 1e-2
    normals = view.normals[view.depth > 0]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    assert normals[:, 2].min() > 0.05, "what is seen faces the viewer"
    assert len(np.unique(normals.round(3), axis=0)) == 3, "three flat sides are seen"


def test_a_turntable_shows_every_side(cube: Path) -> None:
    views = list(turntable(load_model(cube), 4, elevation_deg=0.0, size=24))
    assert [view.camera.azimuth_deg for view in views] == [0.0, 90.0, 180.0, 270.0]
    blue = [view.rgb[12, 12, 2] > 120 for view in views]
    assert blue == [False, True, True, True]


def test_camera_axes_are_right_handed_units() -> None:
    for azimuth, elevation in ((0, 0), (30, 18), (210, -40)):
        right, up, back = camera_axes(Camera(azimuth, elevation))
        np.testing.assert_allclose(np.cross(right, up), back, atol=1e-6)
        np.testing.assert_allclose([np.linalg.norm(axis) for axis in (right, up, back)], 1, atol=1e-6)


def test_glass_is_drawn_through(cube: Path) -> None:
    (cube.parent / "cube.mtl").write_text(MATERIALS.replace("map_Kd front.png", "d 0.1"))
    view = Renderer(load_model(cube)).view(Camera(0.0, 0.0, 32))
    middle = view.rgb[16, 16]
    assert view.alpha[16, 16] == pytest.approx(1.0) and middle[2] > middle[0] > 20


def test_bad_models_are_named(cube: Path) -> None:
    (cube.parent / "empty.obj").write_text("# nothing\n")
    (cube.parent / "bad.obj").write_text("v 0 0 0\nf 1 2 9\n")
    for name in ("empty.obj", "bad.obj", "none.obj"):
        with pytest.raises(MediaError, match=name.replace(".", r"\.")):
            load_model(cube.parent / name)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(renders.importlib, "import_module", missing)
    with pytest.raises(MediaError, match=r"'trimesh'.*pip install"):
        optional("trimesh")
