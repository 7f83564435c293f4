"""The pictures of ``docs/tour.md``: ``python -m docs.take_pictures`` drives the page with the real model in Chromium.

Needs the weights, playwright and Chromium; writes JPEG files to ``docs/tour/`` and says what each shows.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.history import History
from unified_demo.ui.chat import build_chat
from unified_demo.ui.examples import ASSETS
from unified_demo.ui.serve import launch_options

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "tour"
PATIENCE_MS = 240_000
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}


THREAD = (
    (0.01, 0.742), (0.07, 0.722), (0.13, 0.69), (0.165, 0.75), (0.29, 0.775), (0.315, 0.815), (0.415, 0.835), (0.51, 0.9), (0.575, 0.885),
    (0.568, 0.76), (0.556, 0.65),
)  # fmt: skip
"""In cat.jpg, in shares of the picture."""


class Guide:
    """One browser window that walks through the page and takes pictures."""

    def __init__(self, browser: Any, url: str, folder: Path, manner: dict[str, Any]) -> None:
        self.context = browser.new_context(**manner)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.folder = folder
        self.page.goto(url)
        self.page.locator('.um-status[data-state="ready"]').wait_for()

    def ask(self, text: str, picture: str = "") -> None:
        answers = self.page.locator(".um-answer").count() + 1
        if picture:
            self.page.locator("#um-composer input[type=file]").first.set_input_files(str(ASSETS / picture))
            self.page.locator("#um-composer .thumbnail-item, #um-composer .thumbnail-image").first.wait_for()
        self.page.locator("#um-composer textarea").fill(text)
        self.page.locator("#um-composer .submit-button").click()
        self.page.wait_for_function(
            "count => document.querySelectorAll('.um-answer').length === count && document.querySelector('#um-composer .submit-button')",
            arg=answers,
        )
        self.page.locator("#um-composer .submit-button").wait_for()
        self.page.locator(".um-answer").last.evaluate("answer => answer.scrollIntoView({ block: 'end' })")

    def drag(self, selector: str, box: tuple[float, float, float, float]) -> None:
        """With the mouse, corners in shares of the picture."""
        stage = self.page.locator(selector).last
        stage.scroll_into_view_if_needed()
        frame = stage.bounding_box()
        places = [(frame["x"] + box[i] * frame["width"], frame["y"] + box[i + 1] * frame["height"]) for i in (0, 2)]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        self.page.mouse.move(*places[1], steps=5)
        self.page.mouse.up()
        self.page.locator("#um-chips .um-marked").wait_for()

    def paint(self, picture: str, stroke: tuple[tuple[float, float], ...]) -> None:
        """With the brush in the viewer, over a picture that waits in the composer; the button stays pressed."""
        self.page.locator("#um-composer input[type=file]").first.set_input_files(str(ASSETS / picture))
        self.page.locator(".um-draft > button").click()
        self.page.get_by_label("Brush").check()
        frame = self.page.locator("#um-viewer .um-stage").bounding_box()
        for number, (x, y) in enumerate(stroke):
            self.page.mouse.move(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"], steps=6)
            if not number:
                self.page.mouse.down()

    def keep(self, name: str) -> None:
        self.page.wait_for_timeout(800)
        self.page.screenshot(path=str(self.folder / f"{name}.jpg"), type="jpeg", quality=82)


def walk(browser: Any, url: str, folder: Path) -> None:
    guide = Guide(browser, url, folder, DESKTOP)
    guide.keep("1-start")
    guide.ask("Segment the dog", "dog.jpg")
    guide.keep("2-answer")
    guide.drag(".um-picture .um-stage", (0.62, 0.02, 0.9, 0.46))
    guide.keep("3-region")
    guide.ask("What is this?")
    guide.paint("cat.jpg", THREAD)
    guide.keep("8-brush")
    guide.page.mouse.up()
    guide.page.locator("#um-chips .um-marked").wait_for()
    guide.page.keyboard.press("Escape")
    guide.ask("Remove this")
    guide.keep("9-removed")
    guide.ask("Make it look like a watercolour", "astronaut.jpg")
    guide.keep("4-edit")
    guide.page.get_by_role("button", name="Inspect").last.dispatch_event("click")
    guide.page.get_by_label("Box", exact=True).check()
    guide.keep("5-viewer")
    guide.page.keyboard.press("Escape")
    guide.page.get_by_role("button", name="Conversations").click()
    guide.keep("6-conversations")
    guide.context.close()
    phone = Guide(browser, url, folder, PHONE)
    phone.ask("Segment the giraffe on the left", "giraffes.jpg")
    phone.keep("7-phone")
    phone.context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures for docs/tour.md from the real page.")
    parser.add_argument("--out", type=Path, default=FOLDER)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(scratch) / "uploads")
        engine = load_engine(Settings(media_dir=Path(scratch) / "media"))
        blocks = build_chat(engine, History(Path(scratch) / "kept.sqlite", engine.store.root))
        _, url, _ = blocks.launch(**launch_options(engine), prevent_thread_lock=True, quiet=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
            walk(browser, url, folder)
            browser.close()
        blocks.close()


if __name__ == "__main__":
    main()
