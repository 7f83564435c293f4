"""How quick the page is: ``python -m benchmarks.page`` measures, in Chromium, the first paint, stop in each phase of an answer, and
how soon the work ends when its tab is closed.

Model, expert and files are stand-ins that are slow in the phase that is measured and deaf in it, so what is measured is the page.
The server runs in a process of its own. Needs playwright and Chromium; prints a table and writes JSON with ``--out``.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.browsing import served
from unified_demo import provenance
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.experts.base import ExpertEvent, ExpertRequest, Progress
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import MediaKind
from unified_demo.messages import Conversation, TextPart
from unified_demo.recordings import video_bytes

PATIENCE_MS = 120_000
DEAF_S = 20.0
"""How long a step lasts that hears nothing."""
PHASES = {
    "decoding": ".um-text:has-text('word')",
    "step of an expert": ".um-step-count",
    "encoding a video": ".um-step-count:has-text('3/3')",
    "reading a video": "#um-notices .um-waiting",
    "reading the prompt": ".um-waiting",
}
"""What is asked, and what shows that the phase has begun; the last one leaves the model busy."""
CLOSED = {"words": ".um-text:has-text('word')", "an expert's step": ".um-step-count"}
"""What is being done when the tab is closed, and what shows that it has begun."""
CLOSING = "close during "
KEY_KNOWN = "() => sessionStorage.getItem('um-conversation')"
STOPPED = "() => document.querySelector('#um-composer .submit-button') && !document.querySelector('#um-composer .stop-button')"


ANSWERS = {
    "decoding": ["word "] * 10_000,
    "encoding a video": ["I draw. <vgen>a fox runs</vgen>"],
    CLOSING + "an expert's step": ["I listen. <agen>a fox barks</agen>"],
}


class DeafExpert(FakeExpert):
    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        for event in super().run(request):
            yield event
            time.sleep(DEAF_S)


class TellingExpert(FakeExpert):
    """Works until it is cancelled, and tells on ``wire`` when that was (seconds of ``time.monotonic``, which processes share)."""

    def __init__(self, wire: Connection) -> None:
        super().__init__(MediaKind.AUDIO)
        self._wire = wire

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        yield Progress(1, 2, "step 1")
        if request.cancel.wait(PATIENCE_MS / 1000):
            self._wire.send(time.monotonic())


def script(wire: Connection, conversation: Conversation) -> Iterator[str]:
    asked = "".join(part.text for part in conversation.messages[-1].parts if isinstance(part, TextPart))
    if asked == "reading the prompt":
        time.sleep(DEAF_S)
    if asked != CLOSING + "words":
        yield from ANSWERS.get(asked, ["I draw. <gen>a fox</gen>"])
        return
    try:
        while True:
            yield "word "
    finally:
        wire.send(time.monotonic())


def slow_frames(*_: Any) -> tuple[Iterator[np.ndarray], float]:
    """A video of which each frame takes a while."""

    def frames() -> Iterator[np.ndarray]:
        for _ in range(round(DEAF_S / 0.1)):
            time.sleep(0.1)
            yield np.zeros((64, 64, 3), np.uint8)

    return frames(), 10.0


def serve(wire: Connection, folder: Path) -> None:
    """Serve until the wire says anything."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    from unified_demo import media
    from unified_demo.ui.chat import build_chat
    from unified_demo.ui.serve import launch_options

    media.checked_video = slow_frames
    keep = media.MediaStore.add_video

    def encode(store: Any, frames: Any, fps: float, artefact_id: str, **fields: Any) -> Any:
        """What an expert made, which comes with a recipe, takes long and hears nothing."""
        time.sleep(DEAF_S if fields else 0)
        return keep(store, frames, fps, artefact_id, **fields)

    media.MediaStore.add_video = encode  # type: ignore[method-assign]
    experts = {"gen": DeafExpert(MediaKind.IMAGE), "vgen": FakeExpert(MediaKind.VIDEO), "agen": TellingExpert(wire)}
    specs = tuple(fake_spec(expert, task) for task, expert in experts.items())
    engine = load_engine(Settings(media_dir=folder / "media"), ScriptedModel(partial(script, wire), delay_s=0.03), specs)
    blocks = build_chat(engine)
    _, url, _ = blocks.launch(**launch_options(engine), prevent_thread_lock=True, quiet=True)
    wire.send(url)
    wire.recv()
    os._exit(0)


def visit(browser: Any, url: str) -> Any:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.locator("#um-composer textarea").wait_for()
    return page


def first_paint(browser: Any, url: str) -> tuple[float, float]:
    """Seconds from the request to the first paint with something in it, and until the composer is there; nothing is cached."""
    page = visit(browser, url)
    usable_ms = page.evaluate("performance.now()")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    painted_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.context.close()
    return painted_ms / 1000, usable_ms / 1000


def stop(browser: Any, url: str, phase: str, film: Path) -> float:
    """Seconds from the press of stop until what was said stands and the next message can be sent."""
    page = visit(browser, url)
    if phase == "reading a video":
        page.locator("#um-composer input[type=file]").first.set_input_files(str(film))
        page.locator("#um-composer .thumbnail-item, #um-composer .thumbnail-image").first.wait_for()
    page.locator("#um-composer textarea").fill(phase)
    page.locator("#um-composer .submit-button").click()
    page.locator(PHASES[phase]).first.wait_for()
    page.wait_for_timeout(300)
    started = time.perf_counter()
    page.locator("#um-composer .stop-button").click()
    page.wait_for_function(STOPPED)
    seconds = time.perf_counter() - started
    page.context.close()
    return seconds


def close(browser: Any, url: str, wire: Connection, doing: str) -> float:
    """Seconds from the closing of the tab until the model or the expert is told to end."""
    page = visit(browser, url)
    page.locator("#um-composer textarea").fill(CLOSING + doing)
    page.locator("#um-composer .submit-button").click()
    page.locator(CLOSED[doing]).first.wait_for()
    page.wait_for_function(KEY_KNOWN)
    context, started = page.context, time.monotonic()
    page.close(run_before_unload=True)
    if not wire.poll(PATIENCE_MS / 1000):
        raise TimeoutError(f"Closing the tab did not end {doing} within {PATIENCE_MS / 1000:.0f} s.")
    seconds = float(wire.recv()) - started
    context.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with served(serve) as (browser, url, wire, folder):
        film = folder / "film.mp4"
        film.write_bytes(video_bytes([np.zeros((64, 64, 3), np.uint8)], 10.0))
        paints = [first_paint(browser, url) for _ in range(options.times)]
        rows = {"first paint": [paint for paint, _ in paints], "composer there": [usable for _, usable in paints]}
        for phase in PHASES:
            rows[f"stop: {phase}"] = [stop(browser, url, phase, film) for _ in range(options.times)]
        for doing in CLOSED:
            rows[f"tab closed: {doing}"] = [close(browser, url, wire, doing) for _ in range(options.times)]
    for name, seconds in rows.items():
        print(f"{name:<28} median {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s")
    if options.out:
        options.out.write_text(json.dumps({"seconds": rows, **provenance.machine()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
