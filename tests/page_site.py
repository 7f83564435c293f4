"""A page on scripted answers in a real browser, for the tests of the page; every visitor notes console errors and who else is asked for."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from unified_demo import media
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.experts.base import ExpertSpec
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import GRID, MediaKind, spell_box
from unified_demo.history import History
from unified_demo.messages import Conversation, RegionPart, TextPart
from unified_demo.recordings import video_bytes
from unified_demo.ui.chat import build_chat
from unified_demo.ui.examples import ASSETS
from unified_demo.ui.serve import ServeOptions, launch_options

os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="unified_demo-tests-")
"""A server that ends empties this folder, so it is not shared with others on the machine."""
BOX = (100, 200, 500, 900)
SPELT = "[100,200,500,900]"
PHOTO = ASSETS / "dog.jpg"
SLACK_PX = 2.0
SERIOUS = ("serious", "critical")
WAIT_MS = 60_000
"""Patience, not an expectation: the machine may be busy with other things."""


@dataclass
class Script:
    """Answers by the last words; an endless one tells when it was closed."""

    closed: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, conversation: Conversation) -> Iterator[str]:
        parts = [part for part in conversation.messages[-1].parts if isinstance(part, TextPart | RegionPart)]
        text = "".join(part.text if isinstance(part, TextPart) else part.phrase for part in parts)
        marked = [part for part in parts if isinstance(part, RegionPart) and part.boxes]
        if "remove" in text and marked:
            return iter([f"Here. <redit><ref>{marked[0].artefact_id}</ref>remove this<box>{spell_box(marked[0].boxes[0])}</box></redit>"])
        if "repaint" in text and marked:
            place = f"<ref>{marked[0].artefact_id}</ref>make it blue<box>{spell_box(marked[0].boxes[0])}</box>"
            return iter([f"Done. <edit>{place}</edit>"])
        if "endless" in text:
            return self._endless()
        if "ponder" in text:
            return self._pondering()
        if "wait" in text:
            return self._waiting()
        if "segment" in text.lower():
            return iter(["I see <p>the ", "dog</p>", f"<box>{SPELT}</box>", " here. ", f"<seg>the dog<box>{SPELT}</box></seg>"])
        if "crowd" in text:
            things = (
                f"<p>thing number {n} in the crowd</p><box>[{300 + 40 * n},{300 + 40 * n},{500 + 40 * n},{600 + 40 * n}]</box> "
                for n in range(6)
            )
            return iter(["Here are ", *things])
        if "draw" in text:
            return iter(["<gen>a fox</gen> <vgen>a fox runs</vgen> <agen>a fox barks</agen>"])
        if "follow" in text:
            return iter([f"There. <vseg><ref>vid-1</ref>the fox<box>{SPELT}</box></vseg>"])
        if "film" in text:
            return iter(["I see <p>a fox</p><time>[250,500]</time> here."])
        if "when" in text:
            return iter(["I hear <p>a bark</p><ref>aud-1</ref><time>[250,500]</time> here."])
        if "slowly" in text:
            return iter(["Wait. <edit>make it night</edit> And <gen>a fox</gen> done."])
        if text.startswith("task "):
            return iter([f"On it. <{text.split()[1]}>a fox<box>{SPELT}</box></{text.split()[1]}>"])
        if "broken" in text:
            return iter(["I try. <seg>nothing</seg>"])
        return iter(f"You said: {text}".split(" "))

    def _endless(self) -> Iterator[str]:
        self.closed.clear()
        try:
            while True:
                yield "word "
        finally:
            self.closed.set()

    def _pondering(self) -> Iterator[str]:
        """A long look at the prompt, until the test opens the gate; deaf to everything."""
        self.gate.wait(120)
        yield "I have thought."

    def _waiting(self) -> Iterator[str]:
        """Stops in the middle of a sentence, when the box is known, until the test opens the gate."""
        yield f"Here is <p>the dog</p><box>{SPELT}</box> and"
        self.gate.wait(120)
        yield " the rest."


@dataclass
class Site:
    url: str
    script: Script
    model: ScriptedModel


@contextmanager
def serve(
    media: Path,
    experts: Sequence[ExpertSpec] = (),
    kept: Path | None = None,
    port: int | None = None,
    reads: Sequence[MediaKind] = tuple(MediaKind),
    auth: Sequence[tuple[str, str]] = (),
) -> Iterator[Site]:
    """The page over a scripted model that takes in ``reads``; ``experts`` join a fake segmentation, ``kept`` is the file of the history,
    ``auth`` the logins (user, password) without which nobody enters."""
    script = Script()
    model = ScriptedModel(script, 0.02, reads)
    engine = load_engine(Settings(media_dir=media), model, (fake_spec(FakeExpert(delay_s=0.05)), *experts))
    blocks = build_chat(engine, History(kept, engine.store.root) if kept else None)
    options = launch_options(engine, ServeOptions(port=port)) | ({"auth": list(auth)} if auth else {})
    _, url, _ = blocks.launch(**options, prevent_thread_lock=True, quiet=True)
    yield Site(url, script, model)
    blocks.close()


class Visitor:
    """One browser window on the page."""

    def __init__(self, browser: Any, url: str, patience_ms: int = WAIT_MS, loaded: bool = True, **context: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 860}} | context))
        self.page = self.context.new_page()
        self.page.set_default_timeout(patience_ms)
        self.errors: list[str] = []
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text + " " + message.location.get("url", "")) if message.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.strangers: list[str] = []
        self.context.on("request", lambda request: self.strangers.append(request.url) if leaves(request.url) else None)
        self.page.goto(url)
        self.composer = self.page.locator("#um-composer textarea")
        self.composer.wait_for()
        if loaded:
            self.wait_for_the_model()

    def wait_for_the_model(self) -> None:
        self.page.wait_for_function("['ready', 'failed'].includes(document.querySelector('.um-status')?.dataset.state)")
        assert self.page.locator(".um-status").get_attribute("data-state") == "ready", self.page.locator("#um-facts").inner_text()

    def attach(self, path: Path) -> None:
        field = self.page.locator("#um-composer input[type=file]").first
        field.evaluate("field => { field.value = ''; }")  # as a click on the paper clip does, so that the same file may come again
        field.set_input_files(str(path))
        self.page.locator("#um-composer .thumbnail-item, #um-composer .thumbnail-image").first.wait_for()

    def attach_all(self, paths: Sequence[Path]) -> None:
        """Several files at once; each has been read when its chip is there, data and pictures alike."""
        field = self.page.locator("#um-composer input[type=file]").first
        field.evaluate("field => { field.value = ''; }")
        field.set_input_files([str(path) for path in paths])
        self.page.locator(".um-draft").nth(len(paths) - 1).wait_for()

    def send(self, text: str) -> None:
        self.composer.fill(text)
        self.page.locator("#um-composer .submit-button").click()

    def press(self, name: str) -> None:
        """One of the chat's own buttons: Retry, Undo, Clear."""
        self.page.locator(f"#um-conversation button[aria-label={name}]").click()

    def finished(self, count: int = 1) -> Any:
        """The last of ``count`` answers, once it is complete."""
        answers = self.page.locator(".um-answer")
        self.page.wait_for_function(
            "count => document.querySelectorAll('.um-answer').length === count && "
            "[...document.querySelectorAll('.um-answer')].every(one => !['waiting', 'streaming'].includes(one.dataset.state))",
            arg=count,
        )
        self.page.locator("#um-composer .submit-button").wait_for()
        return answers.nth(count - 1)


def leaves(url: str) -> bool:
    """Whether what is asked for lies on another machine; ``data:`` and ``blob:`` lie in the page."""
    return urlsplit(url).hostname not in (None, "127.0.0.1", "localhost")


def serious(visitor: Visitor) -> list[str]:
    """What axe finds, as ``rule: element``; colours are looked at when nothing moves any more."""
    spec = find_spec("axe_playwright_python")
    assert spec is not None and spec.origin is not None
    visitor.page.wait_for_timeout(700)
    visitor.page.add_script_tag(path=str(Path(spec.origin).parent / "axe.min.js"))
    found = visitor.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [f"{one['id']}: {node['html'][:140]}" for one in found if one["impact"] in SERIOUS for node in one["nodes"]]


def wait_for_turns(visitor: Visitor, site: Site, count: int) -> None:
    """Until the model was asked ``count`` times in all: an answer that is written again looks like the one before it."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while len(site.model.turns) < count and time.monotonic() < deadline:
        visitor.page.wait_for_timeout(20)
    assert len(site.model.turns) == count


def expected_edges(stage: dict[str, float]) -> tuple[float, ...]:
    """Left, top, right, bottom in pixels of the screen of BOX within the picture that is shown at ``stage``."""
    x0, y0, x1, y1 = (value / GRID for value in BOX)
    left, top = stage["x"], stage["y"]
    return (left + x0 * stage["width"], top + y0 * stage["height"], left + x1 * stage["width"], top + y1 * stage["height"])


def places(*shown: Any) -> list[dict[str, float]]:
    """Where the elements are on the screen, all at one moment: the page may scroll between two questions."""
    handles = [one.element_handle() for one in shown]
    return handles[0].evaluate(
        "(_, all) => all.map(one => one.getBoundingClientRect()).map(({ x, y, width, height }) => ({ x, y, width, height }))",
        handles,
    )


def edges(box: dict[str, float]) -> tuple[float, ...]:
    return (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])


def regions(conversation: Conversation) -> list[RegionPart]:
    """What was marked in the last message."""
    return [part for part in conversation.messages[-1].parts if isinstance(part, RegionPart)]


def drag(visitor: Visitor, stage: Any, box: tuple[float, float, float, float]) -> None:
    """Drag with the mouse from corner to corner, in shares of the picture."""
    stage.scroll_into_view_if_needed()
    frame = stage.bounding_box()
    mouse = visitor.page.mouse
    mouse.move(frame["x"] + box[0] * frame["width"], frame["y"] + box[1] * frame["height"])
    mouse.down()
    mouse.move(frame["x"] + box[2] * frame["width"], frame["y"] + box[3] * frame["height"], steps=5)
    mouse.up()


def chips(visitor: Visitor, count: int) -> Any:
    """The chips of what is marked for the next message, once there are ``count``."""
    visitor.page.wait_for_function("count => document.querySelectorAll('#um-chips .um-marked').length === count", arg=count)
    return visitor.page.locator("#um-chips .um-marked")


def endless_video(folder: Path, monkeypatch: Any) -> tuple[Path, list[int]]:
    """A video whose reading does not end by itself, and a list that is not empty while it is read."""
    reading: list[int] = []

    def endless(*_: Any) -> tuple[Iterator[np.ndarray], float]:
        def frames() -> Iterator[np.ndarray]:
            reading.append(1)
            try:
                while True:
                    time.sleep(0.01)
                    yield np.zeros((16, 16, 3), np.uint8)
            finally:
                reading.pop()

        return frames(), 5.0

    monkeypatch.setattr(media, "checked_video", endless)
    film = folder / "long.mp4"
    film.write_bytes(video_bytes([np.zeros((16, 16, 3), np.uint8)], 5.0))
    return film, reading
