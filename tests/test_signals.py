"""Files of data: what is taken for what, what is kept of it, and one sentence for each thing that cannot be used."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.config import Limits
from unified_demo.errors import MediaError
from unified_demo.grammar import DATA_KINDS, MediaKind
from unified_demo.intake import user_message
from unified_demo.media import MediaStore, load_signal, poster_path
from unified_demo.messages import Conversation, MediaPart
from unified_demo.previews import GROUND, HOLE, MOST_SIDE, draw_preview
from unified_demo.signals import Signal, checked, read_signal

LIMITS = Limits()
SMALL = Limits(data_values=5000, points=500, data_bytes=100_000)
RANDOM = np.random.default_rng(0)
NORMALS = RANDOM.standard_normal((12, 16, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=-1, keepdims=True)
BINARY = (
    "ply\nformat {order} 1.0\ncomment made by hand\nelement vertex {count}\n"
    "property float x\nproperty float y\nproperty float z\n{more}end_header\n"
)
RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"


def saved(folder: Path, name: str, values: np.ndarray) -> Path:
    np.save(folder / name, values)
    return folder / name


def read(path: Path, limits: Limits = LIMITS) -> Signal:
    signal = read_signal(path, limits)
    assert signal is not None
    return signal


# ---- what is taken for what ----


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("a.npy", (40, 3), MediaKind.POINTS),
        ("a.npy", (40, 4), MediaKind.POINTS),
        ("a.npy", (40, 6), MediaKind.POINTS),
        ("walk_imu.npy", (40, 6), MediaKind.IMU),
        ("gyro-3.npy", (40, 6), MediaKind.IMU),
        ("optimum.npy", (40, 6), MediaKind.POINTS),
        ("a.npy", (20, 30), MediaKind.DEPTH),
        ("a.npy", (20, 30, 1), MediaKind.DEPTH),
        ("a.npy", (1, 20, 30), MediaKind.DEPTH),
        ("fmri.npy", (20, 30, 1), MediaKind.FMRI),
        ("a.npy", (500,), MediaKind.FMRI),
        ("a.npy", (1, 500), MediaKind.FMRI),
        ("a.npy", (10, 12, 14), MediaKind.FMRI),
        ("bold.npy", (10, 12, 3), MediaKind.FMRI),
    ],
)
def test_shape_and_name_decide(tmp_path: Path, name: str, shape: tuple[int, ...], kind: MediaKind) -> None:
    assert read(saved(tmp_path, name, RANDOM.random(shape) + 0.1)).kind == kind


def test_vectors_of_length_one_are_normals(tmp_path: Path) -> None:
    signal = read(saved(tmp_path, "a.npy", NORMALS))
    assert signal.kind == MediaKind.NORMALS and np.allclose(signal.values, NORMALS, atol=1e-6)
    assert read(saved(tmp_path, "my_normals.npy", np.moveaxis(NORMALS, -1, 0))).values.shape == (12, 16, 3)
    with pytest.raises(MediaError, match="length 1"):
        read(saved(tmp_path, "a.npy", 5 * NORMALS))


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("0001.png", "I;16", MediaKind.DEPTH),
        ("my_photo.png", "I;16", None),
        ("depth_3.png", "L", MediaKind.DEPTH),
        ("3.png", "L", None),
        ("in-depth.jpg", "L", None),
        ("normals.png", "RGB", MediaKind.NORMALS),
        ("3.png", "RGB", None),
        ("normal.png", "P", None),
    ],
)
def test_pictures_that_are_data(tmp_path: Path, name: str, mode: str, kind: MediaKind | None) -> None:
    pixels = ((NORMALS + 1) * 127.5).round().astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200 if mode == "I;16" else pixels)
    (picture if mode == "I;16" else picture.convert(mode)).save(tmp_path / name)
    signal = read_signal(tmp_path / name, LIMITS)
    assert (signal and signal.kind) == kind


def test_a_photo_that_calls_itself_normal_stays_a_photo(tmp_path: Path) -> None:
    Image.fromarray(RANDOM.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / "a_normal_day.png")
    assert read_signal(tmp_path / "a_normal_day.png", LIMITS) is None
    artefact = MediaStore(tmp_path / "m").add_upload(tmp_path / "a_normal_day.png", "img-1")
    assert artefact.kind == MediaKind.IMAGE


# ---- what is kept ----


def test_holes_of_depth(tmp_path: Path) -> None:
    depth = np.arange(400, dtype=np.uint16).reshape(20, 20)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    signal = read(tmp_path / "depth.png")
    assert np.isnan(signal.values[0, 0]) and (signal.values.ravel()[1:] == depth.ravel()[1:]).all()
    assert signal.facts == {"shape": [20, 20], "low": 1.0, "high": 399.0, "holes": 0.0025}


def test_points_without_a_place_are_left_out_and_far_places_stay_sharp() -> None:
    places = np.array([[1, 2, 3], [np.nan, 0, 0], [4, 5, np.inf], [1e300, 0, 0]])
    signal = checked(MediaKind.POINTS, places, LIMITS)
    assert (signal.values == [[1, 2, 3], [1e300, 0, 0]]).all() or (signal.values == [[1, 2, 3]]).all()
    assert signal.facts["left_out"] == 4 - len(signal.values)
    far = np.array([[500_000.0, 5_400_000.25, 1.0], [500_000.5, 5_400_000.0, 2.0]])
    assert (checked(MediaKind.POINTS, far, LIMITS).values == far).all()


def test_colours_of_points_are_shares(tmp_path: Path) -> None:
    places, colours = RANDOM.random((9, 3)), RANDOM.integers(0, 255, (9, 3))
    np.savez(tmp_path / "a.npz", xyz=places, rgb=colours, faces=np.zeros((4, 3)))
    signal = read(tmp_path / "a.npz")
    assert np.allclose(signal.values, np.c_[places, colours / 255], atol=1e-6) and signal.facts["coloured"]
    facing = checked(MediaKind.POINTS, np.c_[places, -places], LIMITS)
    assert not facing.facts["coloured"] and np.allclose(facing.values[:, 3:], -places, atol=1e-6)


def test_of_several_arrays_the_named_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", intrinsics=np.eye(3), depth=RANDOM.random((10, 10)) + 1)
    assert read(tmp_path / "a.npz").kind == MediaKind.DEPTH
    np.savez(tmp_path / "b.npz", a=np.eye(3), b=np.eye(9))
    with pytest.raises(MediaError, match="the arrays a, b; name the one"):
        read(tmp_path / "b.npz")


def test_columns_of_motion_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    table = np.arange(35.0).reshape(5, 7)
    named = tmp_path / "ego.csv"
    np.savetxt(named, table, delimiter=",", header="canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z", comments="")
    signal = read(named)
    assert (signal.values == table[:, [4, 5, 6, 1, 2, 3]]).all() and signal.duration_s == 0.028
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join(";".join(map(str, row)) for row in table[:, 1:]))
    assert (read(plain).values == table[:, 1:]).all() and read(plain).duration_s == 0
    spoken = tmp_path / "spoken.csv"
    np.savetxt(
        spoken, table[:, 1:], delimiter="\t", header="\t".join(f"{q} {a}" for q in ("angular velocity", "acceleration") for a in "xyz")
    )
    assert (read(spoken).values == table[:, [4, 5, 6, 1, 2, 3]]).all()


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("coloured", [False, True])
def test_ply_of_every_order(tmp_path: Path, order: str, coloured: bool) -> None:
    places, colours = RANDOM.random((7, 3)).astype(np.float32), RANDOM.integers(0, 255, (7, 3))
    head = BINARY.format(order=order, count=7, more=(RGB if coloured else "") + "element face 1\nproperty list uchar int vertex_indices\n")
    rows = [(*place.tolist(), *(colour.tolist() if coloured else ())) for place, colour in zip(places, colours, strict=True)]
    if order == "ascii":
        body = ("\n".join(" ".join(map(repr, row)) for row in rows) + "\n3 0 1 2\n").encode()
    else:
        mark = "<" if "little" in order else ">"
        body = b"".join(struct.pack(mark + "fff" + "BBB" * coloured, *row) for row in rows) + struct.pack(mark + "Biii", 3, 0, 1, 2)
    (tmp_path / "a.ply").write_bytes(head.encode() + body)
    signal = read(tmp_path / "a.ply")
    assert signal.kind == MediaKind.POINTS and np.allclose(signal.values[:, :3], places)
    assert signal.facts["coloured"] == coloured and (not coloured or np.allclose(signal.values[:, 3:], colours / 255, atol=1e-6))


# ---- what is refused ----


def npy_head(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    words = text.encode() + b"\n"
    size = struct.pack("<H", len(words)) if version == (1, 0) else struct.pack("<I", len(words))
    return b"\x93NUMPY" + bytes(version) + size + words


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was opened",))


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    head = npy_head("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")
    (tmp_path / "a.npy").write_bytes(head + pickle.dumps([Trap()]))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "points.npy")
    for name in ("a.npy", "b.npz"):
        with pytest.raises(MediaError, match="pickle"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (npy_head("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}"), "at most 5,000"),
        (npy_head("{'descr': '<f4', 'fortran_order': False, 'shape': (40, 3)}") + b"\0" * 8, "says it has 480 bytes and the file holds 8"),
        (npy_head("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -3)}") + b"\0" * 48, "damaged"),
        (npy_head("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}"), "no values"),
        (npy_head("{'descr': '<c8', 'fortran_order': False, 'shape': (4, 3)}") + b"\0" * 96, "real numbers"),
        (npy_head("{'descr': '<f4', 'shape': (4, 3)}"), "damaged"),
        (npy_head("[" * 5000), "damaged"),
        (npy_head("__import__('os').abort()"), "damaged"),
        (b"\x93NUMPY\x09\x00", "damaged"),
        (b"\x93NUMPY", "damaged"),
        (b"no array", "no .npy file"),
    ],
)
def test_hostile_arrays(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(MediaError, match=sentence):
        read(tmp_path / "a.npy", SMALL)


def test_an_archive_that_grows_is_refused_by_its_header(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3000, 1000), np.float64))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.npy", buffer.getvalue())
    assert (tmp_path / "a.npz").stat().st_size < SMALL.data_bytes
    with pytest.raises(MediaError, match="3,000,000 values; at most 5,000"):
        read(tmp_path / "a.npz", SMALL)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_of_other_methods_are_refused(tmp_path: Path, method: int) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((30, 30)))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("depth.npy", buffer.getvalue())
    with pytest.raises(MediaError, match="damaged or locked"):
        read(tmp_path / "a.npz")


def test_broken_archives(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", depth=RANDOM.random((30, 30)))
    whole = (tmp_path / "a.npz").read_bytes()
    for spoilt in (whole[:200], whole[:100] + b"\0" * 100 + whole[200:], b"PK\x03\x04"):
        (tmp_path / "b.npz").write_bytes(spoilt)
        with pytest.raises(MediaError):
            read(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        for index in range(20):
            archive.writestr(f"{index}.npy", b"")
    with pytest.raises(MediaError, match="20 arrays; 1 to 16"):
        read(tmp_path / "c.npz")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("letter.txt", "hello")
    assert read_signal(tmp_path / "d.zip", LIMITS) is None


@pytest.mark.parametrize(
    ("head", "body", "sentence"),
    [
        (BINARY.format(order="binary_little_endian", count=100, more=""), b"\0" * 24, "says it has 100 points and holds 2"),
        (BINARY.format(order="ascii", count=3, more=""), b"0 0 0\n1 1 1\n", "says it has 3 points and holds 2"),
        (BINARY.format(order="ascii", count=2, more=""), b"0 0 0\n1 1 one\n", "damaged"),
        (BINARY.format(order="ascii", count=2, more=""), b"0 0 0\n1 1\n", "damaged"),
        (BINARY.format(order="binary_little_endian", count=10**18, more=""), b"", "at most 500"),
        (BINARY.format(order="ascii", count=0, more=""), b"", "no values"),
        (BINARY.format(order="sideways", count=1, more=""), b"", "damaged"),
        (BINARY.format(order="ascii", count=1, more="property complex128 w\n"), b"", "damaged"),
        (BINARY.format(order="ascii", count=1, more="property float x\n"), b"", "damaged"),
        (BINARY.format(order="ascii", count=1, more="property list uchar int w\n"), b"", "lists"),
        ("ply\nformat ascii 1.0\nelement face 1\nproperty float x\nend_header\n", b"1", "no vertices"),
        ("ply\nformat ascii 1.0\nproperty float x\nend_header\n", b"1", "damaged"),
        ("ply\nformat ascii 1.0\n", b"", "damaged"),
        (BINARY.format(order="ascii", count=1, more=""), b"nan nan nan\n", "no value that is a finite number"),
    ],
)
def test_lying_and_broken_ply(tmp_path: Path, head: str, body: bytes, sentence: str) -> None:
    (tmp_path / "a.ply").write_bytes(head.encode() + body)
    with pytest.raises(MediaError, match=sentence):
        read(tmp_path / "a.ply", SMALL)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("acc_x,acc_y,acc_z,gyr_x,gyr_y,gyr_z\n1,2,3,4,5,6\n1,2,walking,4,5,6\n", "Line 3 of the table has 'walking'"),
        ("1,2,3,4,5,6\n1,2,3,,5,6\n", "Line 2 of the table has ''"),
        ("1,2,3,4,5,6\n1,2,3,4,5\n", "Line 2 of the table has 5 columns and the first one 6"),
        ("1,2,3\n1,2,3\n", "this file has 2 x 3"),
        ("a,b,c,d,e,f\n", "no values"),
        ("\n\n", "no values"),
        ("1,2,3,4,5,6\n1,2,nan,4,inf,6\n", "2 values that are no numbers"),
        ("time_s,a,b,c,d,e,f\n3,1,2,3,4,5,6\n2,1,2,3,4,5,6\n", "does not grow"),
        ("1,2,3,4,5,6\n" * 2000, "12,000 values; at most 5,000"),
        ("1,2,3,4,5,6\n", "at least 2 samples"),
    ],
)
def test_tables_that_are_no_motion(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(MediaError, match=sentence):
        read(tmp_path / "a.csv", SMALL)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe1\xff")
    with pytest.raises(MediaError, match="not text"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("shape", [(3, 3), (7, 30), (2, 2, 2, 2), ()])
def test_shapes_that_are_nothing(tmp_path: Path, shape: tuple[int, ...]) -> None:
    if shape == (3, 3):
        assert read(saved(tmp_path, "a.npy", np.ones(shape))).kind == MediaKind.POINTS
        return
    with pytest.raises(MediaError, match="is none of point clouds"):
        read(saved(tmp_path, "a.npy", np.ones(shape)))


def test_nothing_but_holes(tmp_path: Path) -> None:
    for name in ("depth.npy", "normals.npy", "fmri.npy"):
        with pytest.raises(MediaError, match="no value that is a finite number"):
            read(saved(tmp_path, name, np.full((20, 20, 3) if name == "normals.npy" else (20, 20, 20)[: 2 + (name == "fmri.npy")], np.nan)))


def test_too_many_bytes_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY" + b"\0" * 200_000)
    with pytest.raises(MediaError, match="at most 0 MB"):
        read(tmp_path / "a.npy", SMALL)


# ---- previews ----


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (MediaKind.POINTS, RANDOM.random((1, 3))),
        (MediaKind.POINTS, np.zeros((5, 6))),
        (MediaKind.POINTS, RANDOM.random((2000, 5))),
        (MediaKind.DEPTH, np.full((8, 3000), 2.5)),
        (MediaKind.DEPTH, np.eye(9)),
        (MediaKind.NORMALS, NORMALS),
        (MediaKind.IMU, np.zeros((2, 6))),
        (MediaKind.IMU, RANDOM.standard_normal((9000, 6)) * 1e-9),
        (MediaKind.IMU, RANDOM.standard_normal((50, 6)) * 1e9),
        (MediaKind.FMRI, RANDOM.random(2)),
        (MediaKind.FMRI, RANDOM.standard_normal(15_724)),
        (MediaKind.FMRI, np.zeros((4, 5, 6))),
        (MediaKind.FMRI, RANDOM.random((20, 30, 90))),
    ],
)
def test_everything_can_be_drawn_and_is_drawn_alike(kind: MediaKind, values: np.ndarray) -> None:
    signal = checked(kind, values, LIMITS)
    picture = draw_preview(signal)
    assert picture.mode == "RGB" and max(picture.size) <= MOST_SIDE and min(picture.size) >= 1
    assert picture.tobytes() == draw_preview(signal).tobytes()


def test_depth_is_brighter_where_it_is_near_and_holes_are_grey() -> None:
    depth = np.tile(np.linspace(1, 5, 300), (300, 1))
    depth[:50] = 0
    picture = np.asarray(draw_preview(checked(MediaKind.DEPTH, depth, LIMITS)), int)
    assert picture[200, 10].sum() > picture[200, 150].sum() > picture[200, 290].sum()
    assert (picture[10] == HOLE).all()


def test_the_nearest_point_hides_the_others_and_views_are_where_they_say() -> None:
    wall = np.stack(np.meshgrid(np.linspace(-1, 1, 200), [0.0], np.linspace(-1, 1, 200)), -1).reshape(-1, 3)
    red, blue = (np.tile(colour, (len(wall), 1)) for colour in ((1.0, 0, 0), (0, 0, 1.0)))
    before, behind = np.c_[wall - np.array((0, 0.2, 0)), red], np.c_[wall, blue]
    picture = np.asarray(draw_preview(checked(MediaKind.POINTS, np.concatenate([before, behind]), LIMITS)), int)
    front = picture[: picture.shape[0] // 2, picture.shape[0] :]
    middle = front[front.shape[0] // 2, front.shape[1] // 2]
    assert middle[0] > 200 and middle[2] < 40
    above = picture[picture.shape[0] // 2 :, picture.shape[0] :]
    assert (above[-12:, 2:] == GROUND).all(), "from above two walls are two lines"


# ---- kept by the store ----


def test_a_message_with_one_of_each(tmp_path: Path) -> None:
    files = [
        saved(tmp_path, "cloud.npy", RANDOM.random((30, 3))),
        saved(tmp_path, "depth.npy", RANDOM.random((20, 30)) + 1),
        saved(tmp_path, "normals.npy", NORMALS),
        saved(tmp_path, "imu.npy", RANDOM.random((30, 6))),
        saved(tmp_path, "fmri.npy", RANDOM.random(300)),
        saved(tmp_path, "other_cloud.npy", RANDOM.random((30, 6))),
    ]
    store = MediaStore(tmp_path / "media")
    message, complaints = user_message("look", files, Conversation(), store, LIMITS)
    assert message and not complaints
    artefacts = [part.artefact for part in message.parts if isinstance(part, MediaPart)]
    assert [artefact.id for artefact in artefacts] == ["pts-1", "depth-1", "norm-1", "imu-1", "fmri-1", "pts-2"]
    assert {artefact.kind for artefact in artefacts} == {*DATA_KINDS}
    for artefact, file in zip(artefacts, files, strict=True):
        assert np.allclose(load_signal(artefact), np.load(file), atol=1e-6)
        with Image.open(poster_path(artefact.path)) as preview:
            assert preview.size == (artefact.width, artefact.height)
    again = store.add_upload(files[0], "pts-9")
    assert again.path == artefacts[0].path
