"""A message whose files nobody can read is answered by one sentence, without the model; all others go to the model as before."""

from pathlib import Path

import numpy as np
import pytest

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.conversation import SYSTEM_TEXT, VISIBLE, Picture, Tag, Text, render_conversation
from unified_demo.engine import Engine
from unified_demo.fakes import ScriptedModel, fake_spec
from unified_demo.grammar import DATA_KINDS, KIND_WORDS, MediaKind, read_ref
from unified_demo.infer import infer
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TextPart, TurnDone
from unified_demo.model.tiny import LazyModel
from unified_demo.unread import meant_by_last, unread_sentence

CLOUD = Artefact("pts-1", MediaKind.POINTS, Path("a.npy"), 10, 10)
DEPTH = Artefact("depth-1", MediaKind.DEPTH, Path("b.npy"), 10, 10)
SOUND = Artefact("aud-1", MediaKind.AUDIO, Path("a.flac"), duration_s=1.0)
PHOTO = Artefact("img-1", MediaKind.IMAGE, Path("a.png"), 10, 10)


def asked(text: str, *artefacts: Artefact, before: tuple[Artefact, ...] = ()) -> Conversation:
    first = (Message("user", tuple(map(MediaPart, before))), Message("assistant", (TextPart("I see."),))) if before else ()
    return Conversation((*first, Message("user", (*map(MediaPart, artefacts), TextPart(text)))))


@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        (asked("what is it?", CLOUD), "I cannot read point clouds (pts-1) yet: it is kept"),
        (asked("what is it?", CLOUD, DEPTH), "I cannot read point clouds (pts-1) or depth maps (depth-1) yet: they are kept"),
        (asked("", SOUND), "I cannot hear sounds (aud-1) yet: it is kept"),
        (asked("", SOUND, CLOUD), "I cannot hear sounds (aud-1) or read point clouds (pts-1) yet"),
        (asked("how many points has PTS-1?", before=(CLOUD, PHOTO)), "I cannot read point clouds (pts-1) yet"),
        (asked("what is it?", CLOUD, PHOTO), ""),
        (asked("what is it?", before=(CLOUD,)), ""),
        (asked("put img-1 beside pts-1", before=(CLOUD, PHOTO)), ""),
        (asked("what is pts-7?"), ""),
        (Conversation(), ""),
    ],
)
def test_only_what_the_last_message_means_counts(conversation: Conversation, said: str) -> None:
    sentence = unread_sentence(conversation, VISIBLE)
    assert sentence.startswith(said) and bool(sentence) == bool(said)
    assert not sentence or (sentence.endswith("please ask me about pictures and videos.") and sentence.count(". ") == 0)


def test_a_mark_counts_as_its_picture() -> None:
    marked = Message("user", (RegionPart("this", artefact_id="img-1"), MediaPart(CLOUD)))
    conversation = Conversation((*asked("", PHOTO).messages, marked))
    assert meant_by_last(conversation) == (PHOTO, CLOUD) and not unread_sentence(conversation, VISIBLE)


def engine_of(folder: Path, reads: tuple[MediaKind, ...], *needs: MediaKind) -> tuple[Engine, ScriptedModel]:
    from dataclasses import replace

    model = ScriptedModel(["Guessed."], reads=reads)
    spec = fake_spec(task="seg")
    return load_engine(Settings(media_dir=folder), model, (replace(spec, needs=(*spec.needs, *needs)),)), model


def test_the_model_is_not_asked_about_what_it_cannot_read(tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", np.random.default_rng(0).random((20, 3)))
    engine, model = engine_of(tmp_path / "m", VISIBLE)
    result = infer(engine, "what is it?", [tmp_path / "cloud.npy"])
    assert result.text.startswith("I cannot read point clouds (pts-1) yet") and model.turns == [] and model.loads == 0
    (told,) = result.as_json()["artefacts"]
    assert told["kind"] == "points" and told["facts"]["points"] == 20
    done = list(engine.respond(asked("hello", before=(CLOUD,))))[-1]
    assert isinstance(done, TurnDone) and done.raw == "Guessed." and len(model.turns) == 1


def test_a_model_or_an_expert_that_takes_them_in_is_asked(tmp_path: Path) -> None:
    for reads, needs in (((MediaKind.AUDIO,), ()), (VISIBLE, (MediaKind.AUDIO,))):
        engine, model = engine_of(tmp_path, reads, *needs)
        done = list(engine.respond(asked("what do you hear?", SOUND)))[-1]
        assert isinstance(done, TurnDone) and done.raw == "Guessed." and len(model.turns) == 1


def test_the_tiny_model_says_what_it_reads() -> None:
    assert LazyModel.reads == VISIBLE == (MediaKind.IMAGE, MediaKind.VIDEO)


def test_data_leaves_no_trace_in_the_prompt() -> None:
    """The prompt is that of the same words without the file, so that the model sees nothing it was never trained on."""
    assert render_conversation(asked("hello", CLOUD, DEPTH)) == render_conversation(asked("hello"))
    assert any(isinstance(piece, Text) and SYSTEM_TEXT in piece.text for piece in render_conversation(asked("hello", CLOUD)))
    pieces = render_conversation(asked("hello", CLOUD, PHOTO, SOUND))
    assert [piece.text for piece in pieces if isinstance(piece, Text) and piece.text.endswith("-1")] == ["img-1", "aud-1"]
    assert sum(isinstance(piece, Picture) for piece in pieces) == 1 and sum(isinstance(piece, Tag) for piece in pieces) == 4


def test_every_kind_has_a_name_and_an_id_that_can_be_read() -> None:
    assert set(KIND_WORDS) == set(MediaKind) > set(DATA_KINDS)
    assert all(read_ref(f"{kind.value}-3") == f"{kind.value}-3" for kind in MediaKind)


@pytest.mark.parametrize(
    ("text", "wanted", "answered"),
    [("draw a lighthouse", True, True), ("draw a lighthouse", False, False), ("draw what you hear", True, False), ("", True, False)],
)
def test_a_wish_that_has_nothing_to_do_with_the_file_goes_to_the_model(text: str, wanted: bool, answered: bool, tmp_path: Path) -> None:
    engine, model = engine_of(tmp_path, VISIBLE)
    model.wants_something_new = lambda conversation: wanted
    done = list(engine.respond(asked(text, SOUND)))[-1]
    assert isinstance(done, TurnDone) and len(model.turns) == int(answered)
    assert done.raw == "Guessed." if answered else done.raw.startswith("I cannot hear sounds")
