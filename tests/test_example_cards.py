"""The cards of the start page: one for each task of the default profile, each of which works there, and what their benchmark writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import first_minute
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.engine import Engine
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import TASK_TAGS, MediaKind, Task
from unified_demo.infer import InferResult, infer
from unified_demo.messages import CallDone, TaskCall
from unified_demo.ui.examples import EXAMPLES, MOST_EXAMPLES, Example, example_cards, offered
from unified_demo.ui.words import speaking

SHOWN = EXAMPLES[:MOST_EXAMPLES]
"""Those of the default profile; the first test makes sure."""
MEANT = {
    "Segment the giraffe on the left": ("giraffe",),
    "Make it look like a watercolour": ("watercolour",),
    "Draw a red fox in the snow": ("red fox", "snow"),
    "Remove the spoon": ("remove", "spoon"),
    "Draw a fox to the left of a car": ("fox", "car"),
}
"""Words of a card that its call must pass on."""


def test_the_default_profile_has_a_card_for_each_of_its_tasks_and_one_for_words(tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]))
    shown = offered(engine)
    assert shown == list(SHOWN)
    assert sorted(card.task for card in shown) == sorted([*engine.tasks(), ""])


@pytest.mark.parametrize("missing", [example.task for example in SHOWN if example.task])
def test_a_task_without_an_expert_has_no_card(missing: str, tmp_path: Path) -> None:
    experts = tuple(fake_spec(task=tag) for tag in TASK_TAGS if tag != missing)
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]), experts)
    assert missing not in {card.task for card in offered(engine)}
    assert len(example_cards(engine)) == MOST_EXAMPLES


def test_without_experts_there_are_only_questions_for_words(tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]), ())
    assert {card.task for card in offered(engine)} == {""}


def test_every_card_has_its_picture_and_its_words_in_both_languages(tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]))
    english = example_cards(engine)
    assert all(Path(file).is_file() for example in EXAMPLES for file in example.files)
    with speaking("zh"):
        chinese = example_cards(engine)
    for card, plain in zip(chinese, english, strict=True):
        assert card["text"] == plain["text"] == plain["display_text"]
        assert card["display_text"].endswith(f"（{plain['text']}）") and card["display_text"][0] > "\u4e00"


# ---- the committed weights ----


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield load_engine(Settings(media_dir=tmp_path_factory.mktemp("media")))


def call_of(answer: InferResult) -> TaskCall:
    ((call, end),) = answer.calls
    assert isinstance(end, CallDone), end
    assert end.artefacts
    return call


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


@pytest.mark.weights
@pytest.mark.parametrize("example", SHOWN, ids=lambda example: example.text)
def test_a_card_does_what_it_says(example: Example, engine: Engine) -> None:
    """Its task is called, with what it names, and gives a result of the right kind; one without a task points at something."""
    answer = infer(engine, example.text, example.files)
    assert answer.text and not answer.warnings
    if not example.task:
        assert not answer.calls and any(region.boxes for region in answer.regions)
        return
    call = call_of(answer)
    made = answer.artefacts[-1]
    assert call.task == example.task and made.kind == engine.router.registry.spec(example.task).gives
    said = f"{call.prompt} {' '.join(region.phrase for region in call.regions)}".lower()
    assert not [words for words in MEANT[example.text] if words not in said], said
    if example.task == Task.LAYOUT_GENERATION:
        places = {word: region.boxes[0] for region in call.regions for word in ("fox", "car") if word in region.phrase}
        assert places["fox"].x1 <= places["car"].x0
    if made.kind == MediaKind.MASK:
        assert made.box and 0.02 < (picture(made.path) > 0).mean() < 0.5
    else:
        drawn = picture(made.path)
        assert drawn.std() > 10
        if example.picture:
            before = picture(answer.artefacts[0].path)
            assert drawn.shape == before.shape and (np.abs(drawn - before).max(axis=-1) > 8).mean() > 0.002


# ---- the benchmark ----


def test_a_card_is_timed_cold_and_warm(tmp_path: Path) -> None:
    model = ScriptedModel(["Here. ", "<gen>a fox</gen>"])
    row = first_minute.measure(EXAMPLES[2], 2, load_engine(Settings(media_dir=tmp_path), model, (fake_spec(FakeExpert(), "gen"),)))
    assert len(model.turns) == 3
    assert row.cold_s > 0 and len(row.warm_s) == 2 and row.done
    wrong = first_minute.measure(EXAMPLES[0], 1, load_engine(Settings(media_dir=tmp_path), ScriptedModel(["No."]), (fake_spec(),)))
    assert not wrong.done
    shown = first_minute.table([row, wrong]).splitlines()
    assert len(shown) == 3 and shown[1].endswith("yes") and shown[2].endswith("no")


def test_the_benchmark_writes_where_its_figures_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Example] = []

    def measured(example: Example, times: int) -> first_minute.Row:
        asked.append(example)
        return first_minute.Row(example.text, example.task, 1.5, 3.0, [1.0] * times, "Here.", True)

    monkeypatch.setattr(first_minute, "in_a_process", measured)
    monkeypatch.setattr(first_minute.provenance, "weight_hashes", lambda settings: {"language_model": "abc"})
    out = tmp_path / "runs" / "first_minute.json"
    assert first_minute.main(["--cards", "2", "--times", "1", "--out", str(out)]) == 0
    written = json.loads(out.read_text("utf-8"))
    assert asked == list(SHOWN[:2]) and [row["card"] for row in written["cards"]] == [example.text for example in asked]
    assert written["weights"] and written["commit"] and written["machine"]["torch"][0].isdigit()
    assert "3.00" in capsys.readouterr().out
