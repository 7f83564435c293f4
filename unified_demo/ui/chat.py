"""The page: components and their listeners. Each listener calls the visit, the engine and the renderers, and decides nothing itself.

The conversation lies in ``gr.State`` as a Visit; what the chat component shows is drawn from it and never read back.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.chatbot import ComponentMessage
from markupsafe import Markup

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.grammar import Box
from unified_demo.history import History
from unified_demo.intake import user_message
from unified_demo.messages import Artefact, Message
from unified_demo.ui.drawer import Drawer, text_of
from unified_demo.ui.endpoint import add_endpoint
from unified_demo.ui.examples import ASSETS, example_cards
from unified_demo.ui.marks import add_mark, marks_html, remove_mark
from unified_demo.ui.panel import TITLE, header_html, inspector_html, notice_html, welcome_html
from unified_demo.ui.render import answer_html, question_html
from unified_demo.ui.visit import Turn, Visit, question_of
from unified_demo.ui.warmup import Warmup
from unified_demo.ui.words import say, speaking

log = logging.getLogger(__name__)

ACCELERATOR = "accelerator"
"""All work on the models shares this queue."""
CONCURRENT_TURNS = 4
"""Answers written at the same time; the engine lets them take turns on the model, step by step."""
QUEUE_LENGTH = 64
"""Requests that may wait; further ones are told to come back."""
FILES = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", "video", "audio"]
BUS_SCRIPT = """
for (const name of ["mark", "unmark", "edit", "keep", "skip", "again", "open", "rename", "delete", "speak"]) {
  document.addEventListener(`um:${name}`, (event) => trigger(name, event.detail));
}
"""
"""The page script speaks to the listeners through events of this name."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
CLEANING_S = (3600, 86400)
"""Uploads older than a day leave Gradio's temporary folder, looked at every hour."""
BROKEN_TURN = "Something went wrong while answering; the conversation is kept, please try again."

Update = dict[Any, Any]


def build_chat(engine: Engine, history: History | None = None) -> gr.Blocks:
    """The whole page over ``engine``, conversations kept in ``history``. Loading starts when the page is served, not here."""
    return _Page(engine, history).build()


class _Page:
    """Components as attributes, listeners as methods; what belongs to one visitor lies in the Visit."""

    def __init__(self, engine: Engine, history: History | None = None) -> None:
        self.engine = engine
        self.drawer = Drawer(history)
        self.warmup = Warmup(engine)
        self.part = part_maker()

    # ---- components ----

    def build(self) -> gr.Blocks:
        with gr.Blocks(title=TITLE, fill_height=True, fill_width=True, analytics_enabled=False, delete_cache=CLEANING_S) as blocks:
            self.visit = gr.State(Visit())
            self.bus = gr.HTML("", elem_id="um-bus", js_on_load=BUS_SCRIPT, visible="hidden")
            self.header = gr.HTML(header_html(self.engine, self.warmup), elem_id="um-top", js_on_load=None)
            with gr.Row(elem_id="um-main"):
                with gr.Column(elem_id="um-history", scale=0, min_width=280):
                    self._build_drawer()
                with gr.Column(elem_id="um-chat", scale=1):
                    self._build_chat_column()
                with gr.Column(elem_id="um-inspector", scale=0, min_width=300):
                    self._build_inspector()
            self.timer = gr.Timer(0.7)
            self._connect(blocks)
            add_endpoint(self.engine, self.warmup, ACCELERATOR, CONCURRENT_TURNS)
        return blocks.queue(max_size=QUEUE_LENGTH, api_open=False)

    def _build_drawer(self) -> None:
        secret = self.drawer.history.secret if self.drawer.history else None
        self.key = gr.BrowserState(None, storage_key="unified_demo", secret=secret)
        self.new = gr.Button("New conversation", elem_id="um-new", size="sm")
        self.search = gr.Textbox(placeholder="Search", label="Search", show_label=False, container=False, elem_id="um-search")
        self.kept = gr.HTML("", elem_id="um-kept", js_on_load=None)
        with gr.Row(elem_id="um-zip"):
            self.export = gr.Button("Export all", size="sm")
            self.upload = gr.UploadButton("Import", file_types=[".zip"], size="sm")

    def _build_chat_column(self) -> None:
        self.chatbot = gr.Chatbot(
            elem_id="um-conversation",
            show_label=False,
            container=False,
            height="100%",
            buttons=[],
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
            sources=["upload"],
            show_label=False,
            label="Message",
            lines=1,
            max_lines=8,
            max_plain_text_length=2 * self.engine.settings.limits.text_characters,
            autofocus=True,
        )

    def _build_inspector(self) -> None:
        self.raw = gr.Checkbox(label="Raw representation", info="the tokens behind each answer", elem_id="um-raw-switch")
        with gr.Row(elem_id="um-options"):
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
            self.temperature = gr.Slider(0, 1.5, 0, step=0.1, label="Temperature")
        self.inspector = gr.HTML(inspector_html(self.engine, self.warmup, {}), elem_id="um-facts", js_on_load=None)

    def _connect(self, blocks: gr.Blocks) -> None:
        work = {**PRIVATE, "concurrency_id": ACCELERATOR, "concurrency_limit": CONCURRENT_TURNS, "show_progress": "hidden"}
        quick = {**PRIVATE, "queue": False, "show_progress": "hidden"}
        shown = [self.chatbot, self.composer, self.notice, self.chips, self.inspector, self.header, self.kept]
        turns = [
            self.composer.submit(self.send, [self.composer, self.visit], shown, **work),
            self.chatbot.example_select(self.send_example, [self.visit], shown, **work),
            self.chatbot.retry(self.retry, [self.visit], shown, **work),
            self.bus.again(self.again, [self.visit], shown, **work),
        ]
        for turn in turns:
            turn.then(self.draw, [self.visit], [self.chatbot], **quick)
        self.composer.stop(self.stop, [self.visit], None, **quick)
        self.chatbot.undo(self.undo, [self.visit], shown, cancels=turns, **quick)
        self.chatbot.clear(self.clear, [self.visit], shown, cancels=turns, **quick)
        self.new.click(self.clear, [self.visit], shown, cancels=turns, **quick)
        self.bus.open(self.open, [self.visit], shown, cancels=turns, **quick)
        self.bus.delete(self.delete, [self.visit, self.search], shown, **quick)
        labels = [self.raw, self.seed, self.temperature, self.new, self.search, self.export, self.upload]
        self.bus.speak(self.speak, [self.visit], [*shown, *labels], **quick)
        self.bus.rename(self.rename, [self.visit, self.search], [self.kept], **quick)
        self.search.change(self.find, [self.visit, self.search], [self.kept], **quick)
        exported = self.export.click(self.export_all, [self.visit], [self.kept], **quick)
        exported.then(None, js="() => { document.querySelector('#um-export')?.click(); }", **PRIVATE)
        self.upload.upload(self.import_all, [self.upload, self.visit], [self.kept, self.notice], **quick)
        for event, listener in ((self.bus.mark, self.mark), (self.bus.unmark, self.unmark), (self.bus.keep, self.keep)):
            event(listener, [self.visit], [self.chips, self.notice], **quick)
        self.bus.edit(self.edit, [self.visit], [self.chips, self.notice, self.composer], **quick)
        self.bus.skip(self.skip, [self.visit], None, **quick)
        self.raw.change(self.show_raw, [self.raw, self.visit], [self.chatbot], **quick)
        for setting in (self.seed, self.temperature):
            setting.change(self.set_options, [self.seed, self.temperature, self.visit], None, **quick)
        self.timer.tick(self.watch, [self.visit], [self.header, self.inspector, self.timer], **quick)
        blocks.load(self.watch, [self.visit], [self.header, self.inspector, self.timer], **quick)
        entered = blocks.load(self.enter, [self.key, self.visit], [self.key, self.kept], **quick)
        entered.then(None, js="() => document.dispatchEvent(new CustomEvent('um:arrived'))", **PRIVATE)

    # ---- listeners: turns ----

    def send(self, message: dict[str, Any], visit: Visit) -> Iterator[Update]:
        """Answer what the composer holds; when nothing of it can be used, say why and leave it there."""
        yield from self._ask(message.get("text") or "", message.get("files") or [], visit, keep_composer=False)

    def send_example(self, visit: Visit, event: gr.SelectData) -> Iterator[Update]:
        value = event.value
        paths = [file["path"] if isinstance(file, dict) else file for file in value.get("files") or []]
        known = [str(ASSETS / Path(path).name) for path in paths]
        yield from self._ask(value.get("text") or "", [path for path in known if Path(path).is_file()], visit, keep_composer=True)

    def retry(self, visit: Visit) -> Iterator[Update]:
        """Answer the last question once more; its pictures stay."""
        if visit.forget_answer():
            yield from self._answer(visit.begin(), visit)

    def again(self, visit: Visit, event: gr.EventData) -> Iterator[Update]:
        """Carry out one call of a complete answer once more; the answer itself is not repeated."""
        answer, index = event._data["answer"], event._data["index"]
        call = visit.call(answer, index)
        if call is None:
            return
        cancel = visit.begin_again(answer, index)
        yield {self.composer: gr.MultimodalTextbox(submit_btn=False, stop_btn=True), self.chatbot: self.draw(visit)}
        try:
            with closing(self.engine.repeat(visit.conversation, call, visit.options.seed, cancel)) as events:
                for happened in events:
                    visit.answers[answer].apply_again(happened)
                    yield {self.chatbot: self.draw(visit)}
        finally:
            cancel.set()
            visit.settle_again(answer)
            self.drawer.keep(visit)
        yield self._idle(visit)

    def stop(self, visit: Visit) -> None:
        visit.stop()

    def skip(self, visit: Visit, event: gr.EventData) -> None:
        """End one call of the running answer; the others go on."""
        visit.skip(event._data["index"])

    def undo(self, visit: Visit) -> Update:
        """Take the last question back into the composer."""
        question = visit.undo()
        self.drawer.keep(visit)
        return {**self._idle(visit), self.composer: _composed(question, submit_btn=True, stop_btn=False)}

    def clear(self, visit: Visit) -> Update:
        visit.clear()
        return self._idle(visit)

    # ---- listeners: kept conversations ----

    def enter(self, key: str | None, visit: Visit, request: gr.Request) -> tuple[str, Markup]:
        kept = self.drawer.enter(visit, key, request.username)
        return kept, self.drawer.html(visit)

    def find(self, visit: Visit, search: str) -> Markup:
        return self.drawer.html(visit, search)

    def open(self, visit: Visit, event: gr.EventData) -> Update:
        """Show a kept conversation in place of the present one, which is kept as well."""
        visit.stop()
        visit.settle()
        self.drawer.keep(visit)
        complaints: list[str] = []
        try:
            self.drawer.open(visit, text_of(event._data, "key"))
        except UnifiedError as exc:
            complaints.append(str(exc))
        return {**self._idle(visit), **self._composing(visit, complaints)}

    def delete(self, visit: Visit, search: str, event: gr.EventData) -> Update:
        if self.drawer.delete(visit, text_of(event._data, "key")):
            return self._idle(visit)
        return {self.kept: self.drawer.html(visit, search)}

    def rename(self, visit: Visit, search: str, event: gr.EventData) -> Markup:
        self.drawer.rename(visit, text_of(event._data, "key"), text_of(event._data, "title"))
        return self.drawer.html(visit, search)

    def export_all(self, visit: Visit) -> Markup:
        return self.drawer.html(visit, export=self.drawer.export(visit))

    def import_all(self, file: str, visit: Visit) -> Update:
        complaints: list[str] = []
        try:
            self.drawer.read_export(visit, Path(file))
        except UnifiedError as exc:
            complaints.append(str(exc))
        return {self.kept: self.drawer.html(visit), self.notice: notice_html(complaints)}

    # ---- listeners: what goes into the next message ----

    def mark(self, visit: Visit, event: gr.EventData) -> Update:
        """A region of a picture, or a whole artefact, joins the next message."""
        complaints: list[str] = []
        try:
            add_mark(visit, event._data, self._proposals)
        except UnifiedError as exc:
            complaints.append(str(exc))
        return self._composing(visit, complaints)

    def unmark(self, visit: Visit, event: gr.EventData) -> Update:
        remove_mark(visit, event._data["index"])
        return self._composing(visit)

    def edit(self, visit: Visit, event: gr.EventData) -> Update:
        """Put an earlier question, with its media and marks, back into the composer; it is replaced when that is sent."""
        question = visit.edit(event._data["message"])
        return {**self._composing(visit), **({self.composer: _composed(question)} if question else {})}

    def keep(self, visit: Visit) -> Update:
        """Do not edit after all; what the composer holds becomes a new message."""
        visit.editing = None
        return self._composing(visit)

    def set_options(self, seed: float | None, temperature: float, visit: Visit) -> None:
        visit.options = replace(visit.options, seed=int(seed or 0), temperature=temperature)

    # ---- listeners: drawing ----

    def show_raw(self, raw: bool, visit: Visit) -> list[dict[str, Any]]:
        visit.raw = raw
        return self.draw(visit)

    def speak(self, visit: Visit, event: gr.EventData) -> Update:
        """Everything on the page in another language."""
        visit.language = "zh" if event._data["language"] == "zh" else "en"
        with speaking(visit.language):
            return {
                **self._idle(visit),
                **self._composing(visit),
                self.composer: gr.MultimodalTextbox(placeholder=say("Ask about a picture")),
                self.chatbot: gr.Chatbot(self.draw(visit), placeholder=welcome_html(self.engine)),
                self.raw: gr.Checkbox(label=say("Raw representation"), info=say("the tokens behind each answer")),
                self.seed: gr.Number(label=say("Seed")),
                self.temperature: gr.Slider(label=say("Temperature")),
                self.new: gr.Button(say("New conversation")),
                self.search: gr.Textbox(placeholder=say("Search")),
                self.export: gr.Button(say("Export all")),
                self.upload: gr.UploadButton(say("Import")),
            }

    def draw(self, visit: Visit) -> list[dict[str, Any]]:
        """The conversation as the chat component wants it: one HTML part per message."""
        with speaking(visit.language):
            return self._drawn(visit)

    def _drawn(self, visit: Visit) -> list[dict[str, Any]]:
        answers = iter([*visit.answers, *([visit.turn.view] if visit.turn else [])])
        artefacts = visit.conversation.artefacts()
        shown = [
            ("user", question_html(message, number, artefacts))
            if message.role == "user"
            else ("assistant", answer_html(next(answers), visit.raw))
            for number, message in enumerate(visit.conversation.messages)
        ]
        shown += [("assistant", answer_html(view, visit.raw)) for view in answers]
        return [{"role": role, "content": [self.part(str(html))]} for role, html in shown]

    def watch(self, visit: Visit) -> tuple[Markup, Markup | dict[str, Any], gr.Timer]:
        """Loading state for the header; the timer stops once the weights are there."""
        self.warmup.start()
        busy = self.warmup.state == "loading"
        with speaking(visit.language):
            facts = gr.skip() if busy else inspector_html(self.engine, self.warmup, {})
            return header_html(self.engine, self.warmup), facts, gr.Timer(active=busy)

    # ---- one turn ----

    def _ask(self, text: str, files: list[str], visit: Visit, keep_composer: bool) -> Iterator[Update]:
        stopped = visit.turn is not None
        visit.stop()
        visit.settle()
        kept = {artefact.path.name: artefact for artefact in visit.restored.values()}
        message, complaints = user_message(text, files, visit.base(), self.engine.store, self.engine.settings.limits, visit.marks, kept)
        if message is None:
            yield {**(self._idle(visit) if stopped else {}), self.notice: notice_html(complaints)}
            return
        visit.rewind()
        turn = visit.begin(message)
        self.drawer.keep(visit)
        value = {} if keep_composer else {"value": None}
        start = {self.composer: gr.MultimodalTextbox(**value, submit_btn=False, stop_btn=True), **self._composing(visit, complaints)}
        yield {**start, self.chatbot: self.draw(visit)}
        yield from self._answer(turn, visit)

    def _answer(self, turn: Turn, visit: Visit) -> Iterator[Update]:
        """Draw the answer while it grows. Closing this generator stops the engine; the answer so far stays in the visit."""
        yield {self.composer: gr.MultimodalTextbox(submit_btn=False, stop_btn=True), self.chatbot: self.draw(visit)}
        try:
            for _ in self._run(turn, visit):
                if visit.turn is not turn:
                    return
                yield {self.chatbot: self.draw(visit)}
        except UnifiedError as exc:
            turn.view.fail(str(exc))
        except Exception:
            log.exception("the turn failed")
            turn.view.fail(BROKEN_TURN)
        finally:
            turn.cancel.set()
            current = visit.turn is turn
            visit.settle(turn)
            if current:
                self.drawer.keep(visit)
        if current:
            yield self._idle(visit)

    def _run(self, turn: Turn, visit: Visit) -> Iterator[None]:
        """Wait for the weights, then fold the engine's events into the view, one yield per change."""
        for note in self.warmup.wait(turn.cancel):
            turn.view.note = note
            yield
        if turn.cancel.is_set():
            return
        if self.warmup.error:
            raise UnifiedError(self.warmup.error)
        with closing(self.engine.respond(visit.conversation, visit.options, turn.cancel)) as events:
            for event in events:
                turn.view.apply(event)
                yield

    def _proposals(self, artefact: Artefact) -> Iterable[Box]:
        return self.engine.propose(artefact) if self.warmup.state == "ready" else ()

    def _composing(self, visit: Visit, complaints: Sequence[str] = ()) -> Update:
        """What stands above the composer: the chips, and what was wrong with the last thing that was sent or marked."""
        with speaking(visit.language):
            chips = marks_html(visit.marks, visit.markable(), visit.editing is not None)
        return {self.chips: chips, self.notice: notice_html(complaints)}

    def _idle(self, visit: Visit) -> Update:
        """Nothing is being written: the send button is back, the inspector shows the last timings."""
        timings = visit.answers[-1].timings if visit.answers else {}
        with speaking(visit.language):
            return {
                self.chatbot: self._drawn(visit),
                self.composer: gr.MultimodalTextbox(submit_btn=True, stop_btn=False),
                self.chips: marks_html(visit.marks, visit.markable(), visit.editing is not None),
                self.inspector: inspector_html(self.engine, self.warmup, timings),
                self.header: header_html(self.engine, self.warmup),
                self.kept: self.drawer.html(visit),
            }


def _composed(question: Message | None, **buttons: Any) -> gr.MultimodalTextbox:
    """The composer with a question in it."""
    text, files = question_of(question) if question else ("", [])
    return gr.MultimodalTextbox({"text": text, "files": files}, **buttons)


def part_maker() -> Callable[[str], ComponentMessage]:
    """Makes one HTML part of a message, once for each answer that is complete, for every redraw shows all of them.

    Call it outside of listeners: within them Gradio builds components only in part.
    """
    blank = gr.HTML("", render=False, js_on_load=None, apply_default_css=False).get_config()

    @lru_cache(maxsize=1024)
    def part(html: str) -> ComponentMessage:
        return ComponentMessage(component="html", value=html, constructor_args={}, props={**blank, "value": html})

    return part
