"""The components of the page and where they stand, and their labels in both languages. What they do is in ``chat.py``."""

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any

import gradio as gr
from gradio.components.chatbot import ComponentMessage

from unified_demo.config import Drawing
from unified_demo.engine import Engine
from unified_demo.history import History
from unified_demo.messages import Message
from unified_demo.signals import SUFFIXES
from unified_demo.ui.drawer import Drawer
from unified_demo.ui.examples import example_cards
from unified_demo.ui.panel import TITLE, camera_html, header_html, inspector_html, welcome_html
from unified_demo.ui.visit import WINDOW, Visit, question_of
from unified_demo.ui.warmup import Warmup
from unified_demo.ui.words import say

FILES = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", "video", "audio", *SUFFIXES]
EVENTS = (
    "mark", "unmark", "attach", "lost", "edit", "retry", "keep", "skip", "again", "open", "rename", "delete", "speak", "earlier", "judge",
)  # fmt: skip
BUS_SCRIPT = f"""
for (const name of {list(EVENTS)}) {{
  document.addEventListener(`um:${{name}}`, (event) => trigger(name, event.detail));
}}
"""
"""The page script speaks to the listeners through events of this name."""
CLEANING_S = (3600, 86400)
"""Uploads older than a day leave Gradio's temporary folder, looked at every hour."""


class Layout:
    """Components as attributes, built by ``place``."""

    def __init__(self, engine: Engine, history: History | None = None) -> None:
        self.engine = engine
        self.drawer = Drawer(history)
        self.warmup = Warmup(engine)

    def place(self) -> gr.Blocks:
        with gr.Blocks(title=TITLE, fill_height=True, fill_width=True, analytics_enabled=False, delete_cache=CLEANING_S) as blocks:
            self.visit = gr.State(Visit())
            self.bus = gr.HTML("", elem_id="um-bus", js_on_load=BUS_SCRIPT, visible="hidden")
            self.header = gr.HTML(header_html(self.engine, self.warmup), elem_id="um-top", js_on_load=None)
            with gr.Row(elem_id="um-main"):
                with gr.Column(elem_id="um-history", scale=0, min_width=280):
                    self._place_drawer()
                with gr.Column(elem_id="um-chat", scale=1):
                    self._place_chat_column()
                with gr.Column(elem_id="um-inspector", scale=0, min_width=300):
                    self._place_inspector()
            self.timer = gr.Timer(0.7)
        return blocks

    def _place_drawer(self) -> None:
        secret = self.drawer.history.secret if self.drawer.history else None
        self.key = gr.BrowserState(None, storage_key="unified_demo", secret=secret)
        self.new = gr.Button("New conversation", elem_id="um-new", size="sm")
        self.search = gr.Textbox(placeholder="Search", label="Search", show_label=False, container=False, elem_id="um-search")
        self.kept = gr.HTML("", elem_id="um-kept", js_on_load=None)
        with gr.Row(elem_id="um-zip"):
            self.export = gr.Button("Export all", size="sm")
            self.upload = gr.UploadButton("Import", file_types=[".zip"], size="sm")

    def _place_chat_column(self) -> None:
        self.chatbot = gr.Chatbot(
            elem_id="um-conversation",
            show_label=False,
            container=False,
            height="100%",
            buttons=[],
            autoscroll=False,
            feedback_options=None,
            placeholder=welcome_html(self.engine),
            examples=example_cards(self.engine),
            group_consecutive_messages=False,
            latex_delimiters=[],
        )
        self.notice = gr.HTML("", elem_id="um-notices", js_on_load=None)
        self.chips = gr.HTML("", elem_id="um-chips", js_on_load=None)
        self.composer = gr.MultimodalTextbox(
            elem_id="um-composer",
            placeholder="Ask about a picture",
            file_count="multiple",
            file_types=FILES,
            sources=["upload", "microphone"],
            show_label=False,
            label="Message",
            lines=1,
            max_lines=8,
            max_plain_text_length=2 * self.engine.settings.limits.text_characters,
            autofocus=True,
        )
        for event, name in ((self.composer.change, "composed"), (self.composer.submit, "sending")):
            event(None, js=tell(name), api_visibility="private")
        self.camera = gr.HTML(camera_html(), elem_id="um-camera-place", js_on_load=None)

    def _place_inspector(self) -> None:
        self.raw = gr.Checkbox(label="Raw representation", info="the tokens behind each answer", elem_id="um-raw-switch")
        with gr.Row(elem_id="um-options"):
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
            self.temperature = gr.Number(0, label="Temperature", minimum=0, maximum=1.5, step=0.1)
        offered = {name for task in self.engine.tasks() for name in self.engine.router.registry.spec(task).options}
        with gr.Row(elem_id="um-drawing", visible=bool(offered)):
            self.drawing = {
                field.name: gr.Textbox(label=field.name.capitalize(), placeholder="auto", visible=field.name in offered)
                for field in fields(Drawing)
            }
        self.inspector = gr.HTML(inspector_html(self.engine, self.warmup, {}), elem_id="um-facts", js_on_load=None)

    def labelled(self) -> list[Any]:
        """Everything but the composer that has a label of its own."""
        settings = [self.raw, self.seed, self.temperature, *self.drawing.values()]
        return [*settings, self.new, self.search, self.export, self.upload, self.camera]

    def labels(self) -> dict[Any, Any]:
        """Those, and the composer, in the language that is spoken; for listeners alone, because it makes components."""
        return {
            self.composer: gr.MultimodalTextbox(placeholder=say("Ask about a picture")),
            self.raw: gr.Checkbox(label=say("Raw representation"), info=say("the tokens behind each answer")),
            self.seed: gr.Number(label=say("Seed")),
            self.temperature: gr.Number(label=say("Temperature")),
            **{field: gr.Textbox(label=say(name).capitalize(), placeholder=say("auto")) for name, field in self.drawing.items()},
            self.new: gr.Button(say("New conversation")),
            self.search: gr.Textbox(placeholder=say("Search")),
            self.export: gr.Button(say("Export all")),
            self.upload: gr.UploadButton(say("Import")),
            self.camera: camera_html(),
        }


def tell(name: str) -> str:
    """What Gradio runs in the browser for an event that only the page's own script listens to: it hears of it as ``um:<name>``."""
    return f"() => document.dispatchEvent(new CustomEvent('um:{name}'))"


def composed(question: Message | None, **buttons: Any) -> gr.MultimodalTextbox:
    """The composer with a question in it."""
    text, files = question_of(question) if question else ("", [])
    return gr.MultimodalTextbox({"text": text, "files": files}, **buttons)


def number_of(text: str) -> float | str:
    """As it was written when it is none."""
    try:
        return float(text)
    except ValueError:
        return text


def part_maker() -> Callable[[str], ComponentMessage]:
    """Makes one HTML part of a message, once for each answer that is complete, for every redraw shows all of them.

    Call it outside of listeners: within them Gradio builds components only in part.
    """
    blank = gr.HTML("", render=False, js_on_load=None, apply_default_css=False).get_config()

    @lru_cache(maxsize=2 * WINDOW)
    def part(html: str) -> ComponentMessage:
        return ComponentMessage(component="html", value=html, constructor_args={}, props={**blank, "value": html})

    return part
