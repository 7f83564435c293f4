"""The full profile as data: the committed rows, choosing, overriding, licences, plans, and what the command prints."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unified_demo.config import EXPERT_SETS, Settings
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.experts.full import BUILDERS, Placement, build_specs
from unified_demo.grammar import TASK_TAGS
from unified_demo.profiles import (
    GB,
    FullProfile,
    Overrides,
    choose,
    fits,
    lock_of,
    plan_lines,
    read_full,
    read_overrides,
    read_profile,
    within,
)
from unified_demo.weight_sources import SourceError
from unified_demo.zoo import Zoo, main, read_gigabytes

ROWS = Settings().weights_dir / "full.toml"
PROFILE_COMMIT = "f332072aa78be7aecdf3ee76d5c247082da564a6"
"""Of Tongyi-MAI/Z-Image-Turbo in the committed table."""


@pytest.fixture(scope="module")
def profile() -> FullProfile:
    return read_profile(ROWS)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# ---- the committed rows ----


@pytest.mark.parametrize("wanted", EXPERT_SETS)
def test_every_task_has_one_row_in_every_set(profile: FullProfile, wanted: str) -> None:
    rows = [row for row in profile.experts.values() if wanted in row.sets]
    assert sorted(row.task for row in rows) == sorted(TASK_TAGS)
    choice = choose(profile, wanted, Overrides(), allow_noncommercial=True)
    assert {row.task for row in choice.experts} == set(TASK_TAGS) and not choice.refused


def test_every_row_can_be_built_and_every_model_is_used(profile: FullProfile) -> None:
    import diffusers

    assert {row.kind for row in profile.experts.values()} == set(BUILDERS)
    for row in profile.experts.values():
        assert row.description and set(row.sets) <= set(EXPERT_SETS)
        name = row.pipeline.split(" + ")[0]
        assert name.startswith("GroundingDino") or hasattr(diffusers, name), name
    used = {key for row in profile.experts.values() for key in row.models} | set(profile.language_models.values())
    assert used == set(profile.models)
    assert all(model.licence and 0 <= model.largest <= model.parameters for model in profile.models.values())


# ---- licences ----


def test_weights_that_forbid_commercial_use_are_off_unless_allowed(profile: FullProfile) -> None:
    off = choose(profile, "paper", Overrides(), allow_noncommercial=False)
    assert set(off.refused) == {"vgen", "agen"} and "--allow-noncommercial" in off.refused["vgen"]
    assert all(model.commercial_use for row in off.experts for model in profile.of(row))
    assert "agen: off, Auffusion: CC-BY-NC-SA-4.0 forbids commercial use" in "\n".join(plan_lines(profile, off, 16 * GB))
    on = choose(profile, "paper", Overrides(), allow_noncommercial=True)
    assert "CC-BY-NC-4.0 (non-commercial)" in "\n".join(plan_lines(profile, on, 16 * GB))
    specs = build_specs(profile, on, lambda model: Path(model.id), Placement("cpu", "float32"), Zoo(".", ROWS.parent))
    assert {spec.task for spec in specs if not spec.commercial_use} == {"vgen", "agen"}


# ---- overriding ----


def test_a_task_can_be_overridden_or_switched_off(profile: FullProfile, tmp_path: Path) -> None:
    text = '[experts]\nagen = "audioldm2"\ngen = "stable-diffusion-v1-5"\nvgen = "none"\nlanguage_model = "qwen3-vl-8b"\n'
    overrides = read_overrides(written(tmp_path / "own.toml", text), profile)
    choice = choose(profile, "modern", overrides, allow_noncommercial=True)
    chosen = {row.task: row.name for row in choice.experts}
    assert (chosen["agen"], chosen["gen"], chosen["edit"]) == ("audioldm2", "stable-diffusion-v1-5", "flux2-klein-4b")
    assert choice.refused == {"vgen": "switched off"} and choice.language_model == "qwen3-vl-8b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[experts]\nfly = "x"\n', "unknown tasks: fly; allowed: language_model, seg"),
        ('[experts]\ngen = "dalle"\n', "'dalle' for gen; allowed: stable-diffusion-v1-5, z-image-turbo, none"),
        ('[experts]\ngen = "gligen"\n', "'gligen' for gen"),
        ('[experts]\nlanguage_model = "none"\n', "allowed: qwen3-vl-4b, qwen3-vl-8b"),
        ('[folders]\n"a/b" = "x"\n', "unknown hub models: a/b; allowed: Qwen/Qwen3-VL-4B-Instruct"),
        ('[expert]\ngen = "x"\n', "unknown sections: expert; allowed: experts, folders"),
        ("[experts\n", "cannot be read"),
    ],
)
def test_mistakes_in_the_file_are_named_with_what_is_allowed(profile: FullProfile, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ModelLoadError) as caught:
        read_overrides(written(tmp_path / "own.toml", text), profile)
    assert words in str(caught.value)


def test_settings_name_what_is_allowed() -> None:
    with pytest.raises(UnifiedError, match="experts is 'best'; allowed: paper, modern"):
        Settings(experts="best")
    with pytest.raises(UnifiedError, match="more than 0"):
        Settings(max_memory_gb=0)


@pytest.mark.parametrize(
    ("old", "new"), [('kind = "layout"', 'knid = "layout"'), ('task = "agen"', 'task = "sing"'), ("masterful/gligen-1-4-gen", "x/y")]
)
def test_a_broken_profile_is_named(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(ModelLoadError, match="full profile"):
        read_profile(written(tmp_path / "full.toml", ROWS.read_text().replace(old, new, 1)))


# ---- where models lie ----


def test_an_own_folder_is_taken_and_a_missing_one_named(tmp_path: Path) -> None:
    path = written(tmp_path / "own.toml", f"[folders]\n'cvssp/audioldm2' = '{tmp_path.as_posix()}'\n'ali-vilab/i2vgen-xl' = 'gone'\n")
    full = read_full(Settings("full", experts_file=path))
    assert full.folder(full.profile.models["cvssp/audioldm2"]) == tmp_path
    with pytest.raises(ModelLoadError, match=r"gone that was named for ali-vilab/i2vgen-xl"):
        full.folder(full.profile.models["ali-vilab/i2vgen-xl"])


def test_without_the_hub_one_sentence_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    full = read_full(Settings("full"))
    with pytest.raises(ModelLoadError, match=r"stable-audio-open-1.0 is not on this machine.*HF_HUB_OFFLINE.*Gated.*\[folders\]"):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        full.folder(full.profile.models["stabilityai/stable-audio-open-1.0"])


def test_only_the_chosen_models_are_fetched_and_only_what_is_needed_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, tuple[str, ...]]] = []

    def fetch(repository: str, revision: str, files: tuple[str, ...]) -> Path:
        asked.append((repository, revision, files))
        return Path("there")

    monkeypatch.setattr("unified_demo.profiles.fetch_snapshot", fetch)
    read_full(Settings("full", experts="paper")).fetch()
    ids = [one[0] for one in asked]
    assert len(ids) == len(set(ids)) == 8 and ids[0] == "Qwen/Qwen3-VL-4B-Instruct" and "auffusion/auffusion-full-no-adapter" not in ids
    assert all(revision and files for _, revision, files in asked)


def test_a_fetch_for_a_memory_gets_what_is_offered_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    monkeypatch.setattr("unified_demo.profiles.fetch_snapshot", lambda repository, revision, files: asked.append(repository) or Path("x"))
    monkeypatch.setattr(Zoo, "fetch", lambda *_: None)
    flags = ["--profile", "full", "--max-memory", "24GB"]
    main(["fetch", *flags])
    assert "timbrooks/instruct-pix2pix" in asked and "black-forest-labs/FLUX.2-klein-4B" not in asked, "klein needs --offload here"
    asked.clear()
    main(["fetch", *flags, "--offload"])
    assert "black-forest-labs/FLUX.2-klein-4B" in asked and "timbrooks/instruct-pix2pix" not in asked
    capsys.readouterr()
    assert main(["plan", *flags]) == 0
    said = capsys.readouterr().out
    assert "101.7 GB to fetch in all, " in said and "for what is offered with this memory" in said


@pytest.mark.parametrize(("offline", "answers"), [(True, True), (False, False), (False, True)])
def test_a_snapshot_is_completed_where_the_hub_answers(monkeypatch: pytest.MonkeyPatch, offline: bool, answers: bool) -> None:
    """A cached folder may be the rest of a download that broke off, so it is trusted only where nobody can be asked."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    from unified_demo import weight_sources

    calls: list[dict] = []

    def snapshot(repository: str, **named: object) -> str:
        calls.append(named)
        if repository == "a/absent":
            raise LocalEntryNotFoundError("nothing here")
        return "folder"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(weight_sources, "_answers", lambda address: answers)
    asks = answers and not offline
    assert weight_sources.fetch_snapshot("a/b", "main", ("*.json",)) == Path("folder")
    assert calls[0].get("local_files_only", False) is not asks and calls[0]["allow_patterns"] == ["*.json"]
    assert "*fp16*" in calls[0]["ignore_patterns"] and len(calls) == 1
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE" if offline else "nothing here" if asks else "no connection"):
        weight_sources.fetch_snapshot("a/absent", "main", ("*.json",))


# ---- pinned revisions ----


class FakeHub(BaseHTTPRequestHandler):
    """Answers as the hub's API does about a model's newest commit; knows one model less than the profile."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        key = self.path.removeprefix("/api/models/").split("?")[0]
        known = key != "Tongyi-MAI/Z-Image-Turbo"
        body = json.dumps(
            {"id": key, "sha": hashlib.sha1(key.encode()).hexdigest()} if known else {"error": "Repository not found"}
        ).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def own_weights(tmp_path: Path) -> Path:
    for name in ("full.toml", "manifest.toml"):
        shutil.copy(ROWS.parent / name, tmp_path / name)
    return tmp_path


def test_every_model_names_a_revision_and_most_a_commit(profile: FullProfile) -> None:
    assert all(model.pinned or model.revision == "main" for model in profile.models.values())
    loose = {key for key, model in profile.models.items() if not model.pinned}
    assert loose == {
        "masterful/gligen-1-4-generation-text-box", "masterful/gligen-1-4-inpainting-text-box", "ali-vilab/text-to-video-ms-1.7b",
        "auffusion/auffusion-full-no-adapter",
    }  # fmt: skip
    said = "\n".join(plan_lines(profile, choose(profile, "paper", Overrides(), allow_noncommercial=True), 16 * GB))
    assert "Not pinned to a commit: masterful/gligen-1-4-generation-text-box, " in said


def test_pinning_asks_the_hub_and_is_used_from_then_on(
    own_weights: Path, fake_hub: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["pin", "--profile", "full", "--weights-dir", str(own_weights)]) == 1
    said = capsys.readouterr().out
    count = len(read_profile(ROWS).models)
    assert "Tongyi-MAI/Z-Image-Turbo: " in said and "it stays at f332072a" in said and f"{count - 1} of {count} models pinned" in said
    full = read_full(Settings("full", weights_dir=own_weights))
    gligen = full.profile.models["masterful/gligen-1-4-generation-text-box"]
    assert gligen.revision == hashlib.sha1(gligen.id.encode()).hexdigest() and gligen.pinned
    assert full.profile.models["Tongyi-MAI/Z-Image-Turbo"].revision == PROFILE_COMMIT
    asked: list[str] = []
    monkeypatch.setattr("unified_demo.profiles.fetch_snapshot", lambda repository, revision, files: asked.append(revision) or Path("there"))
    full.folder(gligen)
    assert asked == [gligen.revision]


def test_pinning_without_the_hub_changes_nothing(own_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pin", "--profile", "full", "--weights-dir", str(own_weights)]) == 1
    assert "HF_HUB_OFFLINE is set; it stays at" in capsys.readouterr().out and not lock_of(own_weights / "full.toml").exists()
    assert main(["pin"]) == 1 and "SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[revisions\n", "[pins]\n", '[revisions]\n"a/b" = "main"\n'])
def test_a_damaged_lock_is_named(own_weights: Path, text: str) -> None:
    written(lock_of(own_weights / "full.toml"), text)
    with pytest.raises(ModelLoadError, match=r"full\.lock\.toml.*'zoo pin' again"):
        read_profile(own_weights / "full.toml")


# ---- plans ----


@pytest.mark.parametrize("gigabytes", [8, 16, 24, 48, 80])
def test_the_plan_names_bytes_and_licence_of_every_expert(gigabytes: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--profile", "full", "--max-memory", f"{gigabytes}GB", "--experts", "paper", "--allow-noncommercial"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"with {gigabytes} GB" in lines[0] and lines[1].startswith("words")
    for task, line in zip(TASK_TAGS, lines[2:12], strict=True):
        assert line.startswith(task + " ") and line.count(" GB") >= 2
    assert "not measured" in lines[-1]


def test_more_memory_never_fits_less(profile: FullProfile) -> None:
    order = {"lacks": 0, "fits with": 1, "fits": 2}
    for row in profile.experts.values():
        states = [fits(profile, row, size * GB) for size in (1, 4, 8, 14, 24, 48, 80)]
        ranks = [
            next(rank for start, rank in order.items() if state.startswith(start) and (start != "fits" or state == "fits"))
            for state in states
        ]
        assert ranks == sorted(ranks) and ranks[-1] == 2, row.name


def test_what_moves_in_parts_needs_no_more_than_the_whole(profile: FullProfile) -> None:
    for row in profile.experts.values():
        parts, whole = profile.expert_bytes(row, offload=True), profile.expert_bytes(row)
        assert parts < whole if row.offloads else parts == whole, row.name


def test_where_an_expert_does_not_fit_a_smaller_one_stands_in_or_the_task_is_off(
    profile: FullProfile, caplog: pytest.LogCaptureFixture
) -> None:
    from unified_demo.assembly import load_engine

    with caplog.at_level("INFO", "unified_demo.assembly"):
        engine = load_engine(Settings("full", "cpu", max_memory_gb=16))
    offered = engine.tasks()
    assert {"seg", "gen", "layout", "edit", "vedit", "agen"} <= set(offered) and "vgen" not in offered and "ivgen" not in offered
    assert "gen: Stable Diffusion 1.5 stands in: Z-Image-Turbo needs 22.2 GB, there are 5.7 GB" in caplog.text
    assert "vedit: InstructPix2Pix along the flow stands in: Wan 2.1" in caplog.text
    assert "vgen is off: Wan 2.1 text-to-video 1.3B needs 19.4 GB, there are 5.7 GB; --offload" in caplog.text
    roomy = load_engine(Settings("full", "cpu", max_memory_gb=16, offload=True, quantisation="nf4")).tasks()
    assert "vgen" in roomy
    assert len(load_engine(Settings("full", "cpu", max_memory_gb=80)).tasks()) == len(TASK_TAGS)


def test_what_stands_in_is_allowed_and_not_what_the_operator_chose_away(profile: FullProfile, tmp_path: Path) -> None:
    room = 12 * GB
    choice = choose(profile, "modern", Overrides(), allow_noncommercial=False)
    small = within(profile, choice, room, offload=False)
    assert "vgen" in small.refused and all(model.commercial_use for row in small.experts for model in profile.of(row))
    assert "ModelScope" in within(profile, choose(profile, "modern", Overrides(), True), room, offload=False).replaced["vgen"]
    own = read_overrides(written(tmp_path / "own.toml", '[experts]\ngen = "z-image-turbo"\n'), profile)
    assert "gen" in within(profile, choose(profile, "modern", own, True), room, offload=False).refused
    said = "\n".join(plan_lines(profile, choice, 16 * GB))
    assert "gen: Stable Diffusion 1.5 stands in: Z-Image-Turbo needs" in said


def test_quantisation_makes_room(profile: FullProfile) -> None:
    whole, four = (profile.language_bytes("qwen3-vl-4b", kind) for kind in ("none", "nf4"))
    assert four < whole / 2 + GB
    assert "does not fit" in "\n".join(plan_lines(profile, choose(profile, "paper", Overrides(), False), 8 * GB).copy())


def test_the_list_names_small_files_and_hub_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--profile", "full"]) == 0
    said = capsys.readouterr().out
    assert "mobile_sam.pt" in said and "Wan-AI/Wan2.1-T2V-1.3B-Diffusers" in said


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plan", "--profile", "tiny"]) == 1 and "--profile full" in capsys.readouterr().err
    assert main(["plan", "--profile", "full", "--experts-file", str(tmp_path / "none.toml")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert [read_gigabytes(text) for text in ("16GB", "16 gb", "7.5", "24G")] == [16, 16, 7.5, 24]
    with pytest.raises(SystemExit):
        main(["plan", "--max-memory", "much"])


def test_the_plans_of_the_documentation_are_what_the_command_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plans", "--profile", "full"]) == 0
    written_now = capsys.readouterr().out
    assert (ROWS.parent.parent / "docs" / "plans.md").read_text("utf-8") == written_now, "run 'zoo plans --profile full > docs/plans.md'"
    for size in (8, 16, 24, 48, 80):
        assert f"zoo plan --profile full --max-memory {size}GB" in written_now
    assert main(["plan", "--profile", "full", "--max-memory", "24GB", "--offload"]) == 0
    assert capsys.readouterr().out in written_now


def test_the_plan_says_which_tasks_are_off_and_that_moving_parts_helps(profile: FullProfile) -> None:
    choice = choose(profile, "modern", Overrides(), False)
    whole, parts = ("\n".join(plan_lines(profile, choice, 24 * GB, offload=offload)) for offload in (False, True))
    assert "vgen: off, Wan 2.1 text-to-video 1.3B needs 19.4 GB, there are 13.7 GB; --offload" in whole and ": off" not in parts
    assert "edit: InstructPix2Pix stands in: FLUX.2 klein 4B needs 17.4 GB" in whole and "edit: " not in parts


# ---- flags ----


def test_the_programs_flags_become_settings() -> None:
    from app import read_flags, read_settings

    said = "--no-history --profile full --experts paper --experts-file own.toml --allow-noncommercial --max-memory 24GB --offload"
    said += " --compile --adapters own.safetensors"
    served = "--quantisation nf4 --server http://127.0.0.1:8000/v1 --server-model some --server-grammar vllm --picture-filter a:b"
    settings = read_settings(read_flags([*said.split(), *served.split()]), public=True)
    assert settings == Settings(
        "full", quantisation="nf4", public=True, picture_filter="a:b", max_memory_gb=24.0, experts="paper", experts_file=Path("own.toml"),
        allow_noncommercial=True, offload=True, compile=True, adapters=Path("own.safetensors"),
        server="http://127.0.0.1:8000/v1", server_model="some", server_grammar="vllm",
    )  # fmt: skip
    assert read_settings(read_flags(["--no-history"]), public=False) == Settings()


# ---- the page of the documentation ----


def table_line(profile: FullProfile, name: str) -> str:
    """A row as it stands in docs/full.md."""
    row = profile.experts[name]
    models = profile.of(row)
    ids = "<br>".join(f"`{model.id}`" for model in models)
    licences = ", ".join(dict.fromkeys(model.licence + ("" if model.commercial_use else " (off by default)") for model in models))
    memory = f"{profile.expert_bytes(row) / GB:.1f} · {profile.expert_bytes(row, offload=True) / GB:.1f} GB"
    sets = ", ".join(row.sets) or "by file"
    return f"| `{row.task}` | {sets} | {row.title} | `{row.pipeline}` | {ids} | {licences} | {memory} | `[{name}]` |"


MEMORIES = ((8, "nf4"), (16, "none"), (16, "nf4"), (24, "none"), (24, "nf4"), (48, "none"), (80, "none"))


def fits_line(profile: FullProfile, size: int, quantisation: str) -> str:
    """What fits into so many GB beside the language model, as it stands in docs/full.md."""
    resident = profile.language_bytes("qwen3-vl-4b", quantisation)
    groups: dict[str, list[str]] = {"fits": [], "fits with": [], "lacks": []}
    for row in profile.experts.values():
        said = fits(profile, row, size * GB - resident)
        groups["fits" if said == "fits" else "fits with" if said.startswith("fits") else "lacks"].append(row.name)
    columns = ["all" if len(names) == len(profile.experts) else ", ".join(names) or "–" for names in groups.values()]
    model = f"4B, {'bfloat16' if quantisation == 'none' else 'NF4'} ({resident / GB:.1f} GB)"
    return f"| {size} GB | {model} | {' | '.join(columns)} |"


def test_the_documentation_holds_every_row(profile: FullProfile) -> None:
    text = (ROWS.parent.parent / "docs" / "full.md").read_text(encoding="utf-8")
    for size, quantisation in MEMORIES:
        assert fits_line(profile, size, quantisation) in text, fits_line(profile, size, quantisation)
    for name in profile.experts:
        assert table_line(profile, name) in text, f"docs/full.md lacks or differs: {table_line(profile, name)}"
    assert sum(text.count(f"\n| `{task}` |") for task in TASK_TAGS) == len(profile.experts)
    for row in profile.experts.values():
        assert not row.in_place_of or row.in_place_of.split(":")[0] in text
