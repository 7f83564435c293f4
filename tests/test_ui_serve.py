"""Serving is private unless the operator says otherwise; flags of app.py."""

from pathlib import Path

import pytest

import app
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.fakes import ScriptedModel
from unified_demo.ui.serve import ServeOptions, launch_options, read_auth
from unified_demo.ui.warmup import Warmup


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_needs_no_password(host: str) -> None:
    assert ServeOptions(host).auth is None


@pytest.mark.parametrize("opened", [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "my.machine"}, {"share": True}])
def test_others_need_a_password_or_an_explicit_no(opened: dict) -> None:
    with pytest.raises(UnifiedError, match="--auth USER:PASSWORD"):
        ServeOptions(**opened)
    assert ServeOptions(**opened, no_auth=True)
    assert ServeOptions(**opened, auth=("ann", "secret"))


def test_auth_needs_both_halves() -> None:
    assert read_auth(None) is None
    assert read_auth("ann:a:b") == ("ann", "a:b")
    for text in ("ann", "ann:", ":secret", ""):
        with pytest.raises(UnifiedError, match="USER:PASSWORD"):
            read_auth(text)


def test_the_flags_stop_before_anything_is_served() -> None:
    with pytest.raises(SystemExit, match="--share opens the page"):
        app.main(["--share"])


def test_the_server_gives_out_nothing_but_the_media_store(tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel([]), ())
    options = launch_options(engine)
    assert options["allowed_paths"] == [str(tmp_path.resolve())]
    assert options["server_name"] == "127.0.0.1"
    assert options["run_history"] is False
    assert options["max_file_size"] == engine.settings.limits.video_bytes
    assert "http" not in options["head"].replace("http://www.w3.org", "")


def test_a_failed_warm_up_says_why_and_is_tried_again(tmp_path: Path) -> None:
    class Unlucky(ScriptedModel):
        def load(self) -> None:
            super().load()
            if self.loads == 1:
                raise ModelLoadError("The weights are missing; fetch them.")

    import threading

    warmup = Warmup(load_engine(Settings(media_dir=tmp_path), Unlucky([]), ()))
    list(warmup.wait(threading.Event()))
    assert (warmup.state, warmup.error) == ("failed", "The weights are missing; fetch them.")
    list(warmup.wait(threading.Event()))
    assert (warmup.state, warmup.error) == ("ready", "")
