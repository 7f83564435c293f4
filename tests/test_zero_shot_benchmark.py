"""The benchmark ``plugins``: the committed wishes, what counts as called, and the two baselines."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_benchmarks import context

from unified_demo.errors import MediaError
from unified_demo.evaluation.benchmark import Result
from unified_demo.evaluation.zero_shot import KNOWN, NEAR, NearestDescription, PluginBenchmark, ask, overlap, read_splits
from unified_demo.fakes import ScriptedModel
from unified_demo.grammar import TASKS
from unified_demo.media import MediaStore
from unified_demo.messages import TextPart

SPLITS = list(read_splits(MediaStore()))


def figures(result: Result, group: str) -> Any:
    return next(row.figures for row in result.rows if row.group == group)


def test_both_splits_have_tasks_and_wishes_of_their_own() -> None:
    tags = [task.tag for split in SPLITS for task in split.plugins]
    texts = [wish.text for split in SPLITS for wish in split.wishes]
    assert len(set(tags)) == len(tags) and not set(tags) & set(TASKS) and len(set(texts)) == len(texts)
    for split in SPLITS:
        kinds = [wish.kind for wish in split.wishes]
        assert len(split.plugins) >= 4 and all(kinds.count(task.tag) == 10 for task in split.plugins)
        assert kinds.count(NEAR) == 5 * len(split.plugins) and kinds.count(KNOWN) > 150


def test_a_model_is_judged_by_the_plugin_it_calls(tmp_path: Path) -> None:
    """A model that calls the QR code whenever it reads "qr", without looking at what else is asked."""

    def script(conversation: Any) -> list[str]:
        text = next(part.text for part in conversation.messages[-1].parts if isinstance(part, TextPart))
        return ["Here. ", "<qr-code>it</qr-code>"] if "qr" in text.lower() else ["No."]

    subjects = SimpleNamespace(with_plugins=lambda plugins: ScriptedModel(script))
    result = PluginBenchmark().run(context(tmp_path, subjects, systems=("model unconstrained",)))  # type: ignore[arg-type]
    assert figures(result, "qr-code") == {"called": 0.4, "any": 0.4, "complete": 1.0, "false calls": None}
    assert figures(result, "text-reading")["called"] == 0.0 and figures(result, "all")["false calls"] == 0.0


def test_a_call_without_its_picture_or_its_end_is_not_complete() -> None:
    (split, _) = SPLITS
    wish = next(wish for wish in split.wishes if wish.kind == "text-reading")
    for raw, complete in (
        ("<text-reading><ref>img-1</ref>sign</text-reading>", True),
        ("<text-reading>sign</text-reading>", False),
        ("<text-reading><ref>img-1</ref>sign", False),
    ):
        asked = ask(SimpleNamespace(answer=lambda _, raw=raw: raw), wish, split.plugins)
        assert asked.complete is complete


def test_baselines_call_the_nearest_description_of_all_tasks() -> None:
    (split, _) = SPLITS
    system = NearestDescription(split.plugins, overlap)
    by_text = {wish.text: wish for wish in split.wishes}
    assert overlap("Blur the faces please", "face blurring: blur the faces of people") >= 2
    assert system.answer(by_text["blur the faces please"]).startswith("<face-blurring><ref>img-1</ref>")
    assert system.answer(by_text["draw a chessboard"]) == "" and system.answer(by_text["denoise"]) == ""


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plugins.toml"
    path.write_text("[Bad Name]\n")
    with pytest.raises(MediaError, match=r"plugins.toml is broken"):
        list(read_splits(MediaStore(), path))
