"""What a public server does not make: words before, pictures after; and what every output carries in its metadata."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import Limits, Settings
from unified_demo.engine import MADE_WITH, Engine
from unified_demo.errors import UnifiedError
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import MediaKind
from unified_demo.intake import user_message
from unified_demo.messages import CallDone, CallFailed, Conversation
from unified_demo.safety import Safety, refuse_sexual_words


def no_red(picture: Image.Image) -> str | None:
    """A picture filter as an operator may write one."""
    return "it is too red" if picture.getpixel((0, 0))[0] > 100 else None


def engine(tmp_path: Path, expert: FakeExpert, prompt: str = "waves", **settings: Any) -> Engine:
    task = {MediaKind.IMAGE: "gen", MediaKind.VIDEO: "vgen", MediaKind.AUDIO: "agen"}[expert.gives]
    return load_engine(Settings(media_dir=tmp_path, **settings), ScriptedModel([f"<{task}>{prompt}</{task}>"]), [fake_spec(expert, task)])


def outcome(made: Engine) -> CallDone | CallFailed:
    message, _ = user_message("go", [], Conversation(), made.store, Limits())
    assert message
    (event,) = [event for event in made.respond(Conversation((message,))) if isinstance(event, CallDone | CallFailed)]
    return event


@pytest.mark.parametrize("prompt", ["a nude woman", "PORN", "p0rn", "n4ked people", "an erotic scene", "hentai girl"])
def test_words_that_a_public_server_refuses(prompt: str) -> None:
    assert refuse_sexual_words(prompt)


@pytest.mark.parametrize(
    "prompt", ["a fox in the snow", "a naked mole rat", "Essex in winter", "a sextant", "Middlesex", "10 cats at 5 pm"]
)
def test_words_that_pass(prompt: str) -> None:
    assert refuse_sexual_words(prompt) is None


def test_a_public_server_refuses_before_the_expert_runs(tmp_path: Path) -> None:
    expert = FakeExpert(MediaKind.IMAGE)
    event = outcome(engine(tmp_path, expert, "a nude man", public=True))
    assert isinstance(event, CallFailed) and "does not make sexual content" in event.error and not expert.requests
    assert isinstance(outcome(engine(tmp_path, expert, "a fox", public=True)), CallDone)


def test_at_home_nothing_is_checked(tmp_path: Path) -> None:
    assert isinstance(outcome(engine(tmp_path, FakeExpert(MediaKind.IMAGE), "a nude by Rodin")), CallDone)


@pytest.mark.parametrize("kind", [MediaKind.IMAGE, MediaKind.VIDEO])
def test_a_picture_filter_keeps_results_back(tmp_path: Path, kind: MediaKind) -> None:
    event = outcome(engine(tmp_path, FakeExpert(kind), picture_filter="test_safety:no_red"))
    assert isinstance(event, CallFailed) and "kept back: it is too red" in event.error
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob("*.mp4"))


def test_sounds_are_not_looked_at() -> None:
    Safety(picture=lambda picture: "always").check_output(MediaKind.AUDIO, object())


def test_a_filter_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("nowhere:at_all", "test_safety:nothing", "test_safety"):
        with pytest.raises(UnifiedError, match=r"package\.module:function"):
            engine(tmp_path, FakeExpert(MediaKind.IMAGE), picture_filter=name)


def test_every_output_says_what_made_it(tmp_path: Path) -> None:
    import av
    import soundfile

    def written(kind: MediaKind) -> str:
        event = outcome(engine(tmp_path, FakeExpert(kind)))
        assert isinstance(event, CallDone)
        path = event.artefacts[0].path
        if kind == MediaKind.IMAGE:
            with Image.open(path) as image:
                return str(image.text["unified_demo"])  # type: ignore[attr-defined]
        if kind == MediaKind.AUDIO:
            with soundfile.SoundFile(path) as file:
                return str(file.comment)
        with av.open(str(path)) as container:
            return container.metadata["comment"]

    for kind in (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO):
        assert MADE_WITH in written(kind) and "trainedAlgorithmicMedia" in MADE_WITH
