"""Plug-ins: a package with one entry point brings a task, from the wish on the page to the artefact; a bad one is told and left out."""

import logging
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_model import Looker, ask, generate
from tiny_model import make_network

from unified_demo.assembly import load_engine
from unified_demo.config import GenerationOptions, Limits, Settings
from unified_demo.conversation import Tag, Text, render_conversation
from unified_demo.engine import Engine
from unified_demo.errors import GrammarError
from unified_demo.experts.plugins import find_plugins
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import TAGS, TASKS, MediaKind, TaskSpec, added_tokens
from unified_demo.intake import user_message
from unified_demo.media import load_image
from unified_demo.messages import Artefact, CallDone, Conversation, GrammarWarning, MediaPart, Message, TaskCall, TextPart, TurnDone
from unified_demo.model.loading import add_plugins
from unified_demo.model.vlm_prompt import example, offers_from, surface, system_text
from unified_demo.model.vlm_rules import Place, SurfaceRules
from unified_demo.model.zero_shot import PluginChooser
from unified_demo.parser import StreamParser
from unified_demo.ui.chat import _Page
from unified_demo.ui.visit import Visit

REPOSITORY = Path(__file__).resolve().parent.parent
PALETTE = Path(__file__).with_name("palette_plugin")
TAG = "colour-palette"
PALETTE_TASK = TaskSpec(
    TAG, "colour palette", "show the main colours of a picture as a row of swatches", (MediaKind.IMAGE,), MediaKind.IMAGE
)
Install = Callable[[Path], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a project's modules and the metadata that an installer would write from its pyproject.toml visible."""

    def visible(project: Path) -> None:
        told = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        folder = tmp_path / "site" / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
        groups = [
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in rows.items()) for group, rows in told["entry-points"].items()
        ]
        (folder / "entry_points.txt").write_text("".join(groups))
        monkeypatch.syspath_prepend(str(project))
        monkeypatch.syspath_prepend(str(folder.parent))

    return visible


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "flag.png"
    picture = Image.new("RGB", (90, 60), (250, 210, 20))
    picture.paste((20, 40, 200), (0, 0, 30, 60))
    picture.save(path)
    return path


def wish(engine: Engine, text: str, photo: Path) -> Conversation:
    message, _ = user_message(text, [photo], Conversation(), engine.store, Limits())
    assert message
    return Conversation((message,))


# ---- from the entry point to the page ----


def test_one_entry_point_brings_a_task_to_the_page(install: Install, photo: Path, tmp_path: Path) -> None:
    install(PALETTE)
    answer = f"Here. <{TAG}><ref>img-1</ref>main colours</{TAG}>"
    engine = load_engine(Settings(media_dir=tmp_path / "media"), ScriptedModel(list(answer)))
    page, visit = _Page(engine), Visit()
    page.build()
    list(page.send({"text": "which colours are these?", "files": [str(photo)]}, visit))
    *_, shown = page.follow(visit)
    (step,) = visit.answers[0].steps.values()
    assert step.status == "done", step.error
    (artefact,) = step.artefacts
    assert (artefact.id, artefact.of) == ("img-2", "img-1") and set(step.recipe["colours"]) == {"#fad214", "#1428c8"}
    assert load_image(artefact).getpixel((60, 60)) == (250, 210, 20)
    assert artefact.path.name in str(shown) and "Colour palette" in str(shown)


@pytest.mark.weights
def test_the_tiny_model_calls_a_task_it_was_never_trained_on(install: Install, photo: Path, tmp_path: Path) -> None:
    """The committed weights under the rules: the wish opens the call, a wish for a task that it knows does not."""
    install(PALETTE)
    engine = load_engine(Settings(media_dir=tmp_path / "media"))
    *_, done = events = list(engine.respond(wish(engine, "give me the five dominant colours as swatches", photo)))
    assert isinstance(done, TurnDone) and done.warnings == ()
    (call,) = [event for event in events if isinstance(event, TaskCall)]
    assert (call.task, call.refs) == (TAG, ("img-1",)) and call.prompt
    (made,) = [event for event in events if isinstance(event, CallDone)]
    assert set(made.artefacts[0].recipe["colours"]) == {"#fad214", "#1428c8"}
    *_, done = engine.respond(wish(engine, "make it look like a painting", photo), GenerationOptions(max_new_tokens=40))
    assert isinstance(done, TurnDone) and TAG not in done.raw


def test_the_page_of_the_docs_shows_the_plugin_as_it_is() -> None:
    told = (REPOSITORY / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert (PALETTE / "unified_demo_palette.py").read_text() in told
    for line in (PALETTE / "pyproject.toml").read_text().split("[project.entry")[1].split("[build")[0].strip().splitlines():
        assert line in told


# ---- bad plug-ins ----

BAD = {
    "SPEC = 1": "is a int; an ExpertSpec is needed",
    "raise RuntimeError('no licence key')": r"bad:SPEC cannot be loaded \(RuntimeError: no licence key\)",
    "OTHER = 1": r"cannot be loaded \(AttributeError",
    "SPEC = spec(task='seg')": "the tag 'seg' is taken",
    "SPEC = spec(task='box')": "the tag 'box' is taken",
    "SPEC = spec(task='colour-palette')": "the tag 'colour-palette' is taken",
    "SPEC = spec(task='Two Words')": "'Two Words' cannot be a tag",
    "SPEC = spec(task='</p>')": "cannot be a tag",
    "SPEC = spec(task='x' * 25)": "cannot be a tag",
    "SPEC = spec(description='  ')": "has 0 characters; one line of 1 to",
    "SPEC = spec(description='so ' * 80)": "one line of 1 to 160 is needed",
    "SPEC = spec(description='one\\ntwo')": "one line of 1 to 160 is needed",
    "SPEC = spec(needs_box=True)": "needs a region and no picture",
}


@pytest.mark.parametrize(("source", "told"), BAD.items())
def test_a_bad_plugin_is_told_and_the_others_stay(
    source: str, told: str, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = tmp_path / "bad"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "bad"\nversion = "1"\n[project.entry-points."unified_demo.experts"]\nzz = "bad:SPEC"\n'
    )
    (project / "bad.py").write_text(
        textwrap.dedent(
            """
            from dataclasses import replace
            from unified_demo.fakes import fake_spec

            def spec(**fields):
                return replace(fake_spec(None, "speak"), **fields)

            """
        )
        + source
    )
    install(PALETTE)
    install(project)
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    with caplog.at_level(logging.WARNING):
        engine = load_engine(Settings(media_dir=tmp_path / "media"), ScriptedModel(()))
    assert [task for task in engine.tasks() if task not in TASKS] == [TAG]
    (record,) = [record for record in caplog.records if "plug-in" in record.getMessage()]
    assert record.getMessage().startswith("The plug-in 'zz' of bad is left out: ")
    assert re.search(told, record.getMessage())


def test_a_loader_that_fails_is_an_error_of_that_call(install: Install, photo: Path, tmp_path: Path) -> None:
    def load() -> FakeExpert:
        raise ImportError("no module named colours")

    spec = replace(fake_spec(None, "speak"), load=load)
    engine = load_engine(Settings(media_dir=tmp_path / "media"), ScriptedModel(["<speak>hello</speak> Bye."]), [spec])
    *_, done = engine.respond(wish(engine, "say hello", photo))
    assert isinstance(done, TurnDone) and done.raw.endswith("Bye.")


def test_without_plugins_there_are_ten_tasks_and_the_trained_rows() -> None:
    assert find_plugins().specs == () and len(TASKS) == 10
    assert added_tokens(["speak"])[: 2 * len(TAGS)] == added_tokens()


# ---- words and history ----


def test_a_typed_tag_of_a_plugin_stays_text_and_a_call_of_a_lost_one_is_left_out() -> None:
    asked = Message("user", (TextPart(f"<{TAG}>x</{TAG}>"),))
    called = Message("assistant", (TextPart("Here."), TaskCall(0, TAG, "colours")))
    known = render_conversation(Conversation((asked, called)), tags=(*TAGS, TAG))
    assert Text(f"‹{TAG}›x‹/{TAG}›") in known and Tag(f"<{TAG}>", True) in known
    assert not any(isinstance(piece, Tag) for piece in render_conversation(Conversation((asked, called))))
    assert surface(asked, 1000, (*TAGS, TAG)) == f"‹{TAG}›x‹/{TAG}›"


def test_declarations_are_checked_where_they_are_made() -> None:
    with pytest.raises(GrammarError, match="small letters"):
        replace(PALETTE_TASK, tag="a--b")


# ---- the tiny model ----


def extended(seed: int = 0, task: TaskSpec = PALETTE_TASK):
    network, vocabulary = make_network(seed)
    trained = network.tag_embeddings.detach().clone()
    vocabulary = add_plugins(network, vocabulary, [task])
    assert torch.equal(network.tag_embeddings[: len(trained)], trained)
    return network, vocabulary


def test_a_new_tag_is_its_name_moved_as_training_moved_the_others() -> None:
    network, vocabulary = make_network()
    with torch.no_grad():
        network.tag_embeddings += 1.0
        network.tag_shifts.copy_(torch.arange(len(network.tag_shifts))[:, None] % 2)
    vocabulary = add_plugins(network, vocabulary, [PALETTE_TASK])
    words = network.language_model.get_input_embeddings().weight
    expected = words[vocabulary.encode(" colour palette")].mean(0)
    assert torch.allclose(network.tag_words[-2], expected) and torch.allclose(network.tag_embeddings[-2], expected + 1.0, atol=1e-5)
    assert network.tag_shifts[-2].eq(0).all() and network.tag_shifts[-1].eq(1).all()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_weights_a_wanted_plugin_opens_the_answer_and_an_unwanted_one_never_comes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, vocabulary = extended(seed, replace(PALETTE_TASK, needs_box=seed % 2 == 1))
    network.tag_embeddings.data.normal_(std=0.7)
    for wanted in (TAG, ""):
        monkeypatch.setattr(PluginChooser, "choose", lambda self, text, kinds, wanted=wanted: wanted)
        model = Looker(network, vocabulary, ("seg", TAG))
        (message,) = ask("colours?", 1).messages
        asked = Conversation((replace(message, parts=(MediaPart(Artefact("aud-1", MediaKind.AUDIO, Path("aud-1"))), *message.parts)),))
        text = "".join(generate(model, asked, temperature=1.0, seed=seed, max_new_tokens=160))
        events = (parser := StreamParser((*TASKS, TAG))).feed(text) + parser.close()
        found = [event for event in events if isinstance(event, TaskCall)]
        calls = [call.task for call in found]
        assert not wanted or found[0].prompt == "colours?"
        assert all(call.refs == ("img-1",) and (call.regions or seed % 2 == 0) for call in found if call.task == TAG)
        assert not [event for event in events if isinstance(event, GrammarWarning)], text
        assert calls == [TAG] if wanted else TAG not in calls


@pytest.mark.parametrize("seed", range(3))
def test_where_no_plugin_is_wanted_the_answer_is_the_one_without(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PluginChooser, "choose", lambda self, text, kinds: "")
    alone, beside = (
        generate(Looker(*made, ("seg",)), ask("segment the dog", 1), max_new_tokens=60) for made in (make_network(seed), extended(seed))
    )
    assert alone == beside and alone


def test_the_likelihood_is_that_of_the_frozen_model_read_at_once() -> None:
    network, vocabulary = extended()
    chooser = PluginChooser(network.language_model, vocabulary)
    found = chooser.likelihood("the red cat")
    (plain, _), words = make_network(), vocabulary.encode(" the red cat")
    for layer in plain.lora_layers:
        layer.enable_adapters(False)
    for row in (0, -1):
        before = vocabulary.encode("{}: {}\nRequest:".format(*chooser.described[row]))
        with torch.no_grad():
            logs = plain.language_model(input_ids=torch.tensor([[*before, *words]])).logits[0].log_softmax(-1)
        expected = [logs[len(before) - 1 + place, word] for place, word in enumerate(words)]
        assert torch.allclose(found[row], torch.stack(expected), atol=1e-4)
    assert torch.equal(found, chooser.likelihood("the red cat")), "what was read of a wish is forgotten"
    assert not any(layer.disable_adapters for layer in network.lora_layers)


# ---- the full profile ----


def test_the_full_profile_is_told_of_it_and_held_to_it() -> None:
    offers = offers_from({**dict.fromkeys(TASKS.values(), "by a test"), PALETTE_TASK: PALETTE_TASK.description})
    told = system_text(offers)
    assert f"- colour palette: {PALETTE_TASK.description}. {example(offers[-1])}" in told
    place = SurfaceRules(offers, ("img-1",), 1000).advance(Place(), f"Here. <{TAG}><ref>img-1</ref>main colours</{TAG}>")
    assert place is not None and place.may_end
    assert SurfaceRules(offers, (), 1000).advance(Place(), f"<{TAG}>") is None, "there is no picture"
