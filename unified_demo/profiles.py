"""The full profile as data: which models of the hub do which task, in which sets, under which licence, at which size.

``weights/full.toml`` holds the rows; this file reads them, chooses among them, finds or fetches the folder of each and says what fits
into a memory. Nothing is loaded. Sizes are computed from published numbers of parameters, not measured.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unified_demo.config import Settings
from unified_demo.errors import ModelLoadError
from unified_demo.grammar import TASK_TAGS
from unified_demo.weight_sources import SourceError, fetch_snapshot, hub_commit

LANGUAGE_MODEL = "language_model"
"""The key for it among the tasks of an override file."""
WORD_BYTES = {"none": 2.0, "int8": 1.0, "nf4": 0.55}
"""Bytes of one parameter in memory: bfloat16, 8 bits, 4 bits with their scales."""
GB = 2**30
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class HubModel:
    """A repository of the hub. In billions: ``parameters``, ``largest`` (its largest part), ``denoiser`` (the part that works step by
    step; 0: the largest). ``stored_bytes`` of each parameter on the hub.

    ``revision``: a commit of the repository, or "main". ``files``: patterns of what is fetched. ``note``: what else its licence asks for.
    """

    id: str
    revision: str
    licence: str
    parameters: float
    largest: float = 0.0
    denoiser: float = 0.0
    stored_bytes: int = 4
    commercial_use: bool = True
    files: tuple[str, ...] = ("model_index.json", "*/*.json", "*/*.txt", "*/*.jinja", "*/*.model", "*/*.safetensors")
    note: str = ""

    @property
    def fetched_bytes(self) -> int:
        return int(self.parameters * 1e9 * self.stored_bytes)

    @property
    def pinned(self) -> bool:
        """The same files every time."""
        return _COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True)
class ExpertRow:
    """One expert for one task. ``kind`` names how it is built (``experts/full.py``), ``pipeline`` its class.

    ``working_gb``: what it needs beside its weights while it runs. ``offloads``: its parts can come one by one. ``clip``: frames, fps,
    multiple and group of a video.
    ``in_place_of``: the paper's expert that it stands in for, and why.
    """

    name: str
    task: str
    title: str
    kind: str
    pipeline: str
    description: str
    sets: tuple[str, ...]
    models: tuple[str, ...]
    steps: int = 0
    guidance: float = 0.0
    side: int = 0
    working_gb: float = 1.0
    offloads: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    clip: dict[str, Any] = field(default_factory=dict)
    in_place_of: str = ""


@dataclass(frozen=True)
class FullProfile:
    """Everything in ``weights/full.toml``: models by id, language models and experts by name, in the order of the file."""

    models: dict[str, HubModel]
    language_models: dict[str, str]
    experts: dict[str, ExpertRow]

    def of(self, row: ExpertRow) -> tuple[HubModel, ...]:
        return tuple(self.models[key] for key in row.models)

    def expert_bytes(self, row: ExpertRow, offload: bool = False) -> int:
        """What an expert holds on the device while it works; with ``offload`` only one part at a time."""
        models, each, working = self.of(row), WORD_BYTES["none"] * 1e9, row.working_gb * GB
        if not (offload and row.offloads):
            return int(sum(model.parameters for model in models) * each + working)
        largest = max(model.largest or model.parameters for model in models) * each
        denoising = sum(model.denoiser or model.largest or model.parameters for model in models) * each
        return int(max(largest + GB / 2, denoising + working))

    def language_bytes(self, name: str, quantisation: str) -> int:
        """Weights of the language model and 2 GB for a long conversation."""
        return int(self.models[self.language_models[name]].parameters * 1e9 * WORD_BYTES[quantisation] + 2 * GB)


@dataclass(frozen=True)
class Overrides:
    """What an operator's file says: names by task, and folders that hold a hub model already, by its id."""

    experts: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """A language model and at most one expert for each task; ``refused`` says why a task has none.

    ``spare``: further experts that may stand in where one does not fit; ``replaced`` says where and why one does.
    """

    language_model: str
    experts: tuple[ExpertRow, ...]
    refused: dict[str, str]
    spare: tuple[ExpertRow, ...] = ()
    replaced: dict[str, str] = field(default_factory=dict)


def read_profile(path: Path) -> FullProfile:
    """With the revisions of the lock file beside it, if there is one.

    Raises ModelLoadError when the file is missing, has unknown keys or names what it does not hold.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        models = {entry["id"]: HubModel(**_tuples(entry)) for entry in content["model"]}
        language_models = {entry["name"]: entry["id"] for entry in content["language_model"]}
        experts = {entry["name"]: ExpertRow(**_tuples(entry)) for entry in content["expert"]}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as exc:
        raise ModelLoadError(f"The full profile {path} cannot be read ({exc}); restore it, for example with 'git checkout'.") from exc
    named = {key for row in experts.values() for key in row.models} | set(language_models.values())
    if unknown := named - set(models) or {row.task for row in experts.values()} - set(TASK_TAGS):
        raise ModelLoadError(f"The full profile {path} names {', '.join(sorted(unknown))}, which it does not describe.")
    locked = read_lock(lock_of(path))
    models = {key: replace(model, revision=locked.get(key, model.revision)) for key, model in models.items()}
    return FullProfile(models, language_models, experts)


def lock_of(path: Path) -> Path:
    """Where the revisions that the hub named are kept."""
    return path.with_suffix(".lock.toml")


def read_lock(path: Path) -> dict[str, str]:
    """Hub id -> commit; empty without a file. ModelLoadError when it is damaged."""
    if not path.is_file():
        return {}
    try:
        revisions: dict[str, str] = tomllib.loads(path.read_text("utf-8"))["revisions"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as exc:
        raise ModelLoadError(f"The pinned revisions in {path} cannot be read ({exc}); remove the file, or run 'zoo pin' again.") from exc
    if wrong := [key for key, commit in revisions.items() if not _COMMIT.fullmatch(str(commit))]:
        raise ModelLoadError(f"{path} has no commit for {', '.join(wrong)}; remove the file, or run 'zoo pin' again.")
    return revisions


def pin(profile: FullProfile, path: Path) -> list[str]:
    """Ask the hub for the newest commit of every model and keep them in ``path``; returns sentences about those it did not tell."""
    revisions, complaints = read_lock(path), []
    for key in profile.models:
        try:
            revisions[key] = hub_commit(key)
        except SourceError as exc:
            complaints.append(f"{key}: {exc}; it stays at {revisions.get(key, profile.models[key].revision)}.")
    if revisions:
        lines = [f'"{key}" = "{commit}"' for key, commit in revisions.items()]
        path.write_text("# Written by 'python -m unified_demo.zoo pin'.\n[revisions]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return complaints


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def read_overrides(path: Path | None, profile: FullProfile) -> Overrides:
    """``[experts] task = "name"`` and ``[folders] "hub/id" = "path"``. ModelLoadError names what is unknown and what is allowed."""
    if path is None:
        return Overrides()
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise ModelLoadError(f"The file of experts {path} cannot be read ({exc}).") from exc
    _only(content, ("experts", "folders"), path, "sections")
    chosen, folders = content.get("experts", {}), content.get("folders", {})
    _only(chosen, (LANGUAGE_MODEL, *TASK_TAGS), path, "tasks")
    _only(folders, tuple(profile.models), path, "hub models")
    for task, name in chosen.items():
        allowed = [row.name for row in profile.experts.values() if row.task == task]
        allowed = list(profile.language_models) if task == LANGUAGE_MODEL else [*allowed, "none"]
        if name not in allowed:
            raise ModelLoadError(f"{path} wants '{name}' for {task}; allowed: {', '.join(allowed)}.")
    return Overrides(chosen, {key: Path(folder) for key, folder in folders.items()})


def _only(given: dict[str, Any], allowed: Sequence[str], path: Path, what: str) -> None:
    if unknown := [key for key in given if key not in allowed]:
        raise ModelLoadError(f"{path} has unknown {what}: {', '.join(unknown)}; allowed: {', '.join(allowed)}.")


def choose(profile: FullProfile, wanted: str, overrides: Overrides, allow_noncommercial: bool) -> Choice:
    """One expert per task from the set ``wanted``, overridden where the operator said so; weights that forbid commercial use are off."""
    chosen: list[ExpertRow] = []
    refused: dict[str, str] = {}
    for task in TASK_TAGS:
        name = overrides.experts.get(task)
        row = profile.experts.get(name or "") or next(
            (row for row in profile.experts.values() if row.task == task and wanted in row.sets), None
        )
        forbidden = [model for model in profile.of(row) if not model.commercial_use] if row else []
        if name == "none" or row is None:
            refused[task] = "switched off" if name == "none" else f"no expert in the set '{wanted}'"
        elif forbidden and not allow_noncommercial:
            refused[task] = f"{row.title}: {forbidden[0].licence} forbids commercial use; --allow-noncommercial switches it on"
        else:
            chosen.append(row)
    language_model = overrides.experts.get(LANGUAGE_MODEL, next(iter(profile.language_models)))
    spare = tuple(
        row
        for row in profile.experts.values()
        if row not in chosen
        and row.task not in overrides.experts
        and (allow_noncommercial or all(model.commercial_use for model in profile.of(row)))
    )
    return Choice(language_model, tuple(chosen), refused, spare)


def within(profile: FullProfile, choice: Choice, room: int, offload: bool) -> Choice:
    """The choice where each expert needs at most ``room`` bytes: a spare one stands in, or the task is not offered."""
    kept: list[ExpertRow] = []
    refused, replaced = dict(choice.refused), {}
    for row in choice.experts:
        if profile.expert_bytes(row, offload) <= room:
            kept.append(row)
            continue
        needs = f"{row.title} needs {_gb(profile.expert_bytes(row, offload))}, there are {_gb(room)}"
        smaller = [other for other in choice.spare if other.task == row.task and profile.expert_bytes(other, offload) <= room]
        if smaller:
            kept.append(smaller[0])
            replaced[row.task] = f"{smaller[0].title} stands in: {needs}"
        else:
            refused[row.task] = f"{needs}; --offload, --quantisation nf4, a larger --max-memory or a smaller expert helps"
    return Choice(choice.language_model, tuple(kept), refused, choice.spare, replaced)


# ---- on this machine ----


@dataclass(frozen=True)
class FullZoo:
    """The full profile's models of one machine: what was chosen, and where each lies."""

    profile: FullProfile
    choice: Choice
    overrides: Overrides

    def folder(self, model: HubModel) -> Path:
        """The folder of a hub model, fetched if need be. ModelLoadError says how to go on when it cannot be had."""
        if own := self.overrides.folders.get(model.id):
            if not own.is_dir():
                raise ModelLoadError(f"The folder {own} that was named for {model.id} is not there.")
            return own
        try:
            return fetch_snapshot(model.id, model.revision, model.files)
        except SourceError as exc:
            note = f" {model.note}" if model.note else ""
            raise ModelLoadError(
                f"{model.id} is not on this machine and could not be fetched ({exc}).{note} Download it elsewhere and name its folder "
                "under [folders] in a file for --experts-file."
            ) from exc

    def limited_to(self, memory_bytes: int, quantisation: str, offload: bool) -> "FullZoo":
        """The same with the experts alone that a device of this memory offers."""
        room = memory_bytes - self.profile.language_bytes(self.choice.language_model, quantisation)
        return replace(self, choice=within(self.profile, self.choice, room, offload))

    def fetch(self) -> None:
        """Make every model of the choice present. Raises ModelLoadError at the first that cannot be had."""
        ids = [self.profile.language_models[self.choice.language_model], *(key for row in self.choice.experts for key in row.models)]
        for key in dict.fromkeys(ids):
            self.folder(self.profile.models[key])


def read_full(settings: Settings) -> FullZoo:
    """What the settings choose from ``weights/full.toml``. Raises ModelLoadError."""
    profile = read_profile(settings.weights_dir / "full.toml")
    overrides = read_overrides(settings.experts_file, profile)
    return FullZoo(profile, choose(profile, settings.experts, overrides, settings.allow_noncommercial), overrides)


# ---- what fits ----


def plan_lines(profile: FullProfile, choice: Choice, memory_bytes: int, quantisation: str = "none", offload: bool = False) -> list[str]:
    """The choice as a table: what is fetched, what it needs, and whether that fits beside the language model; below it, what stands in
    and which tasks are off with (``offload``) or without ``--offload``."""
    language = profile.models[profile.language_models[choice.language_model]]
    resident = profile.language_bytes(choice.language_model, quantisation)
    room = memory_bytes - resident
    state = "stays loaded" if room > 0 else "does not fit; --quantisation nf4, or a server, helps"
    rows = [("task", "expert", "hub models", "licence", "to fetch", "memory", f"with {memory_bytes / GB:.0f} GB")]
    rows.append(("words", choice.language_model, language.id, language.licence, _gb(language.fetched_bytes), _gb(resident), state))
    ids: dict[str, HubModel] = {language.id: language}
    for row in choice.experts:
        models = profile.of(row)
        new = sum(model.fetched_bytes for model in models if model.id not in ids)
        ids |= {model.id: model for model in models}
        licences = ", ".join(dict.fromkeys(_licence(model) for model in models))
        names = " + ".join(model.id for model in models)
        rows.append((row.task, row.title, names, licences, _gb(new), _gb(profile.expert_bytes(row)), fits(profile, row, room)))
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in rows]
    offered = within(profile, choice, room, offload)
    lines += [f"{task}: off, {reason}" for task, reason in offered.refused.items()]
    lines += [f"{task}: {reason}" for task, reason in offered.replaced.items()]
    lines += [f"{model.id}: {model.note}" for model in ids.values() if model.note]
    if loose := [model.id for model in ids.values() if not model.pinned]:
        lines.append(f"Not pinned to a commit: {', '.join(loose)}; 'python -m unified_demo.zoo pin' asks the hub for one.")
    together = [row for row in choice.experts if fits(profile, row, room) == "fits"]
    at_once = sum(profile.expert_bytes(row) for row in together) <= room
    if together and not at_once:
        lines.append("Not all of those that fit are loaded at once: the least recently used one waits in main memory, then on disk.")
    total = sum(model.fetched_bytes for model in ids.values())
    needed = {language.id: language} | {model.id: model for row in offered.experts for model in profile.of(row)}
    said = (
        f"{_gb(total)} to fetch in all, {_gb(sum(model.fetched_bytes for model in needed.values()))} for what is offered with this memory."
    )
    lines.append(f"{said} Computed from published numbers of parameters, not measured.")
    return lines


PLANNED = (
    (8, "nf4", True),
    (16, "none", False),
    (16, "nf4", True),
    (24, "none", True),
    (24, "nf4", False),
    (48, "none", False),
    (80, "none", False),
)
"""GB, quantisation of the language model and ``--offload`` of the plans that the documentation shows."""


def plans_page(profile: FullProfile, choice: Choice) -> list[str]:
    """docs/plans.md: what ``zoo plan`` says for usual memories."""
    lines = ["# What fits into which memory", "", "Written by `python -m unified_demo.zoo plans --profile full`, of the set `modern`."]
    lines += ["Nothing here was measured: sizes are computed from published numbers of parameters, and working memory is a guess."]
    for size, quantisation, offload in PLANNED:
        flags = f"--max-memory {size}GB" + (f" --quantisation {quantisation}" if quantisation != "none" else "") + " --offload" * offload
        plan = plan_lines(profile, choice, size * GB, quantisation, offload)
        lines += ["", f"## {flags}", "", "```", f"$ python -m unified_demo.zoo plan --profile full {flags}", *plan, "```"]
    return lines


def fits(profile: FullProfile, row: ExpertRow, room: int) -> str:
    """Whether an expert fits into ``room`` bytes: whole, part by part, or how much is missing."""
    if profile.expert_bytes(row) <= room:
        return "fits"
    missing = profile.expert_bytes(row, offload=True) - room
    return "fits with --offload" if missing <= 0 else f"lacks {_gb(missing)} even with --offload"


def _licence(model: HubModel) -> str:
    return model.licence if model.commercial_use else f"{model.licence} (non-commercial)"


def _gb(size: int) -> str:
    return f"{size / GB:.1f} GB"
