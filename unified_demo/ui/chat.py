"""The page: which listener answers to what. Each calls the visit, the engine and the renderers, and decides nothing itself.

The conversation lies in ``gr.State`` as a Visit; what the chat component shows is drawn from it and never read back. Answers are
written on threads of their own (``work.py``), listeners look on.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.grammar import Box
from unified_demo.history import History
from unified_demo.infer import read_settings
from unified_demo.intake import user_message
from unified_demo.messages import Artefact, Message
from unified_demo.ui.drawer import text_of
from unified_demo.ui.endpoint import add_endpoint
from unified_demo.ui.examples import ASSETS, example_cards
from unified_demo.ui.layout import Layout, composed, number_of, part_maker, tell
from unified_demo.ui.marks import add_mark, marks_html, remove_mark
from unified_demo.ui.panel import header_html, inspector_html, notice_html, welcome_html
from unified_demo.ui.presence import add_presence
from unified_demo.ui.reading import Reader
from unified_demo.ui.render import conversation_html, waiting_html
from unified_demo.ui.steady import listen
from unified_demo.ui.visit import WINDOW, Visit
from unified_demo.ui.words import say, speaking
from unified_demo.ui.work import STOP_S, Work, Works
from unified_demo.ui.writing import Writer

ACCELERATOR = "accelerator"
"""The queue of the endpoint."""
CONCURRENT_TURNS = 4
"""Answers written at the same time, by the page and by the endpoint each; the engine lets them take turns on the model, step by step."""
QUEUE_LENGTH = 64
"""Requests that may wait; further ones are told to come back."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
STOPPED_READING = "Stopped; the message waits in the composer."
LOST_UPLOAD = "The file did not arrive; please send it again."

Update = dict[Any, Any]


def build_chat(engine: Engine, history: History | None = None) -> gr.Blocks:
    """The whole page over ``engine``, conversations kept in ``history``. Loading starts when the page is served, not here."""
    return _Page(engine, history).build()


class _Page(Layout):
    """Listeners as methods; what belongs to one visitor lies in the Visit."""

    def __init__(self, engine: Engine, history: History | None = None) -> None:
        super().__init__(engine, history)
        self.works = Works(CONCURRENT_TURNS)
        self.reader = Reader(engine)
        self.writer = Writer(engine, self.warmup, self.drawer)
        self.part = part_maker()

    def build(self) -> gr.Blocks:
        blocks = self.place()
        with blocks:
            self._connect(blocks)
            add_endpoint(blocks, self.engine, self.warmup, ACCELERATOR, CONCURRENT_TURNS)
            add_presence(blocks, self.works)
        return blocks.queue(max_size=QUEUE_LENGTH, api_open=False)

    def _connect(self, blocks: gr.Blocks) -> None:
        quick = {**PRIVATE, "queue": False, "show_progress": "hidden"}
        shown = [self.chatbot, self.composer, self.notice, self.chips, self.inspector, self.header, self.kept]
        self._connect_turns(shown)
        listen(self.composer.stop, self.stop, [self.visit], None, **quick)
        listen(self.chatbot.undo, self.undo, [self.visit], shown, **quick)
        listen(self.chatbot.clear, self.clear, [self.visit], shown, **quick)
        listen(self.new.click, self.clear, [self.visit], shown, **quick)
        opened = listen(self.bus.open, self.open, [self.visit], shown, **quick)
        self._look_on([opened], shown)
        listen(self.bus.delete, self.delete, [self.visit, self.search], shown, **quick)
        listen(self.bus.speak, self.speak, [self.visit], [*shown, *self.labelled()], **quick)
        listen(self.bus.rename, self.rename, [self.visit, self.search], [self.kept], **quick)
        listen(self.search.change, self.find, [self.visit, self.search], [self.kept], **quick)
        exported = listen(self.export.click, self.export_all, [self.visit], [self.kept], **quick)
        exported.then(None, js="() => { document.querySelector('#um-export')?.click(); }", **PRIVATE)
        listen(self.upload.upload, self.import_all, [self.upload, self.visit], [self.kept, self.notice], **quick)
        listen(self.bus.mark, self.mark, [self.visit], [self.chips, self.notice], **quick, trigger_mode="multiple")
        for event, listener in ((self.bus.unmark, self.unmark), (self.bus.keep, self.keep)):
            listen(event, listener, [self.visit], [self.chips, self.notice], **quick)
        listen(self.bus.attach, self.attach, [self.composer, self.visit], [self.chips, self.notice], **quick, trigger_mode="multiple")
        listen(self.bus.lost, self.lost, [self.visit], [self.notice], **quick)
        listen(self.bus.edit, self.edit, [self.visit], [self.chips, self.notice, self.composer], **quick)
        listen(self.bus.skip, self.skip, [self.visit], None, **quick)
        listen(self.bus.earlier, self.earlier, [self.visit], [self.chatbot], **quick)
        listen(self.bus.judge, self.judge, [self.visit], [self.chatbot], **quick)
        listen(self.raw.change, self.show_raw, [self.raw, self.visit], [self.chatbot], **quick)
        settings = [self.seed, self.temperature, *self.drawing.values()]
        changed = [self.seed.change, self.temperature.change]
        for event in [*changed, *(on for field in self.drawing.values() for on in (field.blur, field.submit))]:
            listen(event, self.set_options, [self.visit, *settings], [self.notice], **quick)
        watched = [self.header, self.inspector, self.notice, self.timer]
        listen(self.timer.tick, self.watch, [self.visit], watched, **quick)
        listen(blocks.load, self.watch, [self.visit], watched, **quick)
        listen(blocks.load, self.enter, [self.key, self.visit], [self.key, self.kept], **quick).then(None, js=tell("arrived"), **PRIVATE)

    def _connect_turns(self, shown: list[Any]) -> None:
        begin = {**PRIVATE, "show_progress": "hidden", "concurrency_limit": None}
        self._look_on(
            [
                listen(self.composer.submit, self.send, [self.composer, self.visit], shown, **begin),
                listen(self.chatbot.example_select, self.send_example, [self.visit], shown, **begin),
                listen(self.chatbot.retry, self.retry, [self.visit], shown, **begin),
                listen(self.bus.retry, self.retry_from, [self.visit], shown, **begin),
                listen(self.bus.again, self.again, [self.visit], shown, **begin),
            ],
            shown,
        )

    def _look_on(self, begun: list[Any], shown: list[Any]) -> None:
        """What shows the answers that these events begin. They end before it starts: their last word is sure to arrive, see ``follow``."""
        manner = {**PRIVATE, "show_progress": "hidden", "concurrency_limit": None, "trigger_mode": "multiple"}
        for event in begun:
            for over in (event.then, event.failure):
                over(None, js=tell("sent"), **PRIVATE)
            looking = listen(event.then, self.follow, [self.visit], [self.chatbot], **manner)
            listen(looking.then, self.rest, [self.visit], shown, **PRIVATE, queue=False, show_progress="hidden")

    # ---- listeners: turns ----

    def send(self, message: dict[str, Any], visit: Visit) -> Iterator[Update]:
        """Answer what the composer holds; when nothing of it can be used, say why and leave it there."""
        yield from self._ask(message.get("text") or "", message.get("files") or [], visit, keep_composer=False)

    def send_example(self, visit: Visit, event: gr.SelectData) -> Iterator[Update]:
        value = event.value
        paths = [file["path"] if isinstance(file, dict) else file for file in value.get("files") or []]
        known = [str(ASSETS / Path(path).name) for path in paths]
        yield from self._ask(value.get("text") or "", [path for path in known if Path(path).is_file()], visit, keep_composer=True)

    def retry(self, visit: Visit, number: int | None = None) -> Update:
        """Answer a question, the last one or any, once more, with its media and marks; what followed it goes."""
        self.stop(visit)
        begun = self._begin(visit) if visit.forget_answer(number) else self._idle(visit)
        return {**begun, **self._composing(visit)}

    def retry_from(self, visit: Visit, event: gr.EventData) -> Update:
        return self.retry(visit, event._data["message"])

    def again(self, visit: Visit, event: gr.EventData) -> Update:
        """Carry out one call of a complete answer once more; the answer itself is not repeated."""
        answer, index = event._data["answer"], event._data["index"]
        call = visit.call(answer, index)
        if call is None:
            return {self.notice: gr.skip()}
        with visit.lock:
            cancel = visit.begin_again(answer, index)
            self.works.start(visit, cancel, partial(self.writer.repeat, call, answer, cancel, visit))
        return self._busy(visit)

    def follow(self, visit: Visit) -> Iterator[list[dict[str, Any]]]:
        """Draw while an answer is being written, in whichever window it was asked for.

        Each step shows all that the one before showed: Gradio 6.31 sends differences, and its script folds them into steps that a slow
        browser has not shown yet, so what a step leaves out may never be seen. Closing this, as a page does that goes, ends nothing at
        once: see ``work.py``.
        """
        with visit.lock:
            work = self.works.of(visit)
        if work:
            yield from self._watch(work, visit)
        self._over(visit, work)
        yield self.draw(visit)

    def rest(self, visit: Visit) -> Update:
        """Nobody writes: the next message can be sent. Its chips are left alone, for one may be on its way to the page."""
        return {self.notice: gr.skip()} if self.works.of(visit) else {**self._idle(visit), self.chips: gr.skip()}

    def stop(self, visit: Visit) -> None:
        """End the running answer in all windows; it settles at once where the model is in a step that takes long."""
        work, turn = self.works.of(visit), visit.turn
        visit.stop()
        if work is None:
            return
        over = work.ends_within(STOP_S)
        if turn and not over:
            self.writer.settle(turn, work.visit)
            self.works.let_go(work)
        if turn or over:
            self._over(visit, work)

    def skip(self, visit: Visit, event: gr.EventData) -> None:
        """End one call of the running answer; the others go on."""
        visit.skip(event._data["index"])

    def undo(self, visit: Visit) -> Update:
        """Take the last question back into the composer."""
        self.stop(visit)
        question = visit.undo()
        self.drawer.keep(visit)
        return {**self._idle(visit), self.composer: composed(question, submit_btn=True, stop_btn=False)}

    def clear(self, visit: Visit) -> Update:
        self._leave(visit)
        visit.clear()
        return self._idle(visit)

    # ---- listeners: kept conversations ----

    def enter(self, key: str | None, visit: Visit, request: gr.Request) -> tuple[str, Markup]:
        kept = self.drawer.enter(visit, key, request.username)
        self.works.enter(visit, request.session_hash)
        return kept, self.drawer.html(visit)

    def find(self, visit: Visit, search: str) -> Markup:
        return self.drawer.html(visit, search)

    def open(self, visit: Visit, event: gr.EventData) -> Update:
        """Show a kept conversation in place of the present one, which is kept as well."""
        key = text_of(event._data, "key")
        complaints: list[str] = []
        if key != visit.key:
            self._leave(visit)
            work = self.works.at(visit.owner, key)
            try:
                self._join(visit, work) if work else self.drawer.open(visit, key)
            except UnifiedError as exc:
                complaints.append(str(exc))
        shown = self._busy(visit) if self.works.of(visit) else self._idle(visit)
        return {**shown, **self._composing(visit, complaints)}

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
        return {self.kept: self.drawer.html(visit), self.notice: self._told(visit, complaints)}

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
        return {**self._composing(visit), **({self.composer: composed(question)} if question else {})}

    def keep(self, visit: Visit) -> Update:
        """Do not edit after all; what the composer holds becomes a new message."""
        visit.editing = None
        return self._composing(visit)

    def attach(self, message: dict[str, Any], visit: Visit) -> Update:
        """The composer holds other files than before: they can be marked already, and what cannot be used is told at once."""
        files = message.get("files") or []
        complaints = self.reader.read(files, visit)
        return {**self._composing(visit, complaints), **({} if files else {self.notice: gr.skip()})}

    def lost(self, visit: Visit) -> Markup:
        """An upload did not arrive, as the page script saw; what else the composer holds stays there."""
        return self._told(visit, [LOST_UPLOAD])

    def set_options(self, visit: Visit, seed: float | None, temperature: float | None, *drawing: str) -> Update:
        """Settings of the next answers; one that is not allowed changes nothing and is told."""
        given = {name: number_of(text) for name, text in zip(self.drawing, drawing, strict=True) if text.strip()}
        try:
            visit.options = read_settings({"seed": seed or 0, "temperature": temperature or 0, **given})
        except UnifiedError as exc:
            return {self.notice: self._told(visit, [str(exc)])}
        return {self.notice: self._told(visit, [])}

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
                **self.labels(),
                self.chatbot: gr.Chatbot(self.draw(visit), placeholder=welcome_html(self.engine), examples=example_cards(self.engine)),
            }

    def draw(self, visit: Visit) -> list[dict[str, Any]]:
        """The conversation as the chat component wants it: one HTML part per message."""
        with speaking(visit.language), visit.lock:
            shown = conversation_html(visit.conversation, visit.views(), visit.raw, visit.most)
        return [{"role": role, "content": [self.part(str(html))]} for role, html in shown]

    def judge(self, visit: Visit, event: gr.EventData) -> list[dict[str, Any]]:
        """The visitor likes an answer, or does not, or takes that back; it is kept and exported with the conversation."""
        if visit.judge(event._data["answer"], event._data["liked"]):
            self.drawer.keep(visit)
        return self.draw(visit)

    def earlier(self, visit: Visit) -> list[dict[str, Any]]:
        """Show more of a long conversation."""
        visit.most += WINDOW
        return self.draw(visit)

    def watch(self, visit: Visit) -> Update:
        """Loading state for the header; the timer stops once the weights are there, or cannot be loaded, which is told in full."""
        self.warmup.start()
        busy = self.warmup.state == "loading"
        with speaking(visit.language):
            return {
                self.header: header_html(self.engine, self.warmup),
                self.inspector: gr.skip() if busy else inspector_html(self.engine, self.warmup, {}),
                self.notice: notice_html([self.warmup.error]) if self.warmup.error else gr.skip(),
                self.timer: gr.Timer(active=busy),
            }

    # ---- one turn ----

    def _ask(self, text: str, files: list[str], visit: Visit, keep_composer: bool) -> Iterator[Update]:
        self.stop(visit)
        visit.settle()
        cancel = visit.begin_reading()
        for _ in self.reader.watch(files, visit, cancel):
            yield {self.composer: gr.MultimodalTextbox(submit_btn=False, stop_btn=True), self.notice: self._reading(visit)}
        if cancel.is_set():
            yield {**self._idle(visit), self.notice: self._told(visit, [STOPPED_READING])}
            return
        limits = self.engine.settings.limits
        message, complaints = user_message(text, files, visit.base(), self.engine.store, limits, visit.marks, visit.stored())
        if message is None:
            yield {**self._idle(visit), self.notice: self._told(visit, complaints)}
            return
        visit.rewind()
        empty = {} if keep_composer else {"value": None}
        yield {**self._begin(visit, message, **empty), **self._composing(visit, complaints)}

    def _begin(self, visit: Visit, message: Message | None = None, **composer: Any) -> Update:
        """Have ``message``, or the last one, answered; ``follow`` looks on."""
        with visit.lock:
            turn = visit.begin(message)
            self.drawer.keep(visit)
            self.works.start(visit, turn.cancel, partial(self.writer.write, turn, visit))
        return self._busy(visit, **composer)

    def _watch(self, work: Work, visit: Visit) -> Iterator[list[dict[str, Any]]]:
        """Until it is over, or the window turns to something else."""
        shown = self.draw(visit)
        with closing(work.watch(visit.window)) as steps:
            for fresh in steps:
                if visit.running() is not work.cancel:
                    return
                shown = self.draw(visit) if fresh else shown
                yield shown

    def _over(self, visit: Visit, work: Work | None) -> None:
        """What was written stands in this window too, which may not be the one that asked; ``work`` is None when it was over before."""
        with visit.lock:
            cancel = work.cancel if work else visit.running()
            if cancel is None or (work is None and self.works.of(visit)):
                return
            visit.ended(cancel)
        if work is None or (visit is not work.visit and visit.key == work.key):
            self.drawer.seen(visit)

    def _join(self, visit: Visit, work: Work) -> None:
        """Show the conversation of another window, or of this one before a reload, in which an answer is being written."""
        visit.join(work.visit)
        if visit.running() is None:
            work.ends_within(STOP_S)
            self.drawer.seen(visit)

    def _leave(self, visit: Visit) -> None:
        """The window turns to another conversation: its answer stops, unless it is that of another window that goes on looking."""
        work = self.works.of(visit)
        if work and work.visit is not visit:
            if not work.shared():
                work.cancel.set()
            visit.walk_away()
            return
        visit.stop()
        visit.settle()
        self.drawer.keep(visit)

    def _proposals(self, artefact: Artefact) -> Iterable[Box]:
        return self.engine.propose(artefact) if self.warmup.state == "ready" else ()

    def _composing(self, visit: Visit, complaints: Sequence[str] = ()) -> Update:
        """What stands above the composer: the chips, and what was wrong with the last thing that was sent or marked."""
        with speaking(visit.language):
            chips = marks_html(visit.marks, visit.markable(), visit.editing is not None, tuple(visit.drafts.values()))
        return {self.chips: chips, self.notice: self._told(visit, complaints)}

    def _told(self, visit: Visit, complaints: Sequence[str]) -> Markup:
        with speaking(visit.language):
            return notice_html(complaints)

    def _reading(self, visit: Visit) -> Markup:
        with speaking(visit.language):
            return waiting_html(say("reading the files …"))

    def _busy(self, visit: Visit, **composer: Any) -> Update:
        """An answer is being written."""
        return {
            self.chatbot: self.draw(visit),
            self.composer: gr.MultimodalTextbox(submit_btn=False, stop_btn=True, **composer),
            self.kept: self.drawer.html(visit),
        }

    def _idle(self, visit: Visit) -> Update:
        """Nothing is being written: the send button is back, the inspector shows the last timings."""
        last = visit.answers[-1:]
        timings, tasks = (last[0].timings, last[0].tasks()) if last else ({}, {})
        with speaking(visit.language):
            return {
                self.chatbot: self.draw(visit),
                self.composer: gr.MultimodalTextbox(submit_btn=True, stop_btn=False),
                self.chips: marks_html(visit.marks, visit.markable(), visit.editing is not None, tuple(visit.drafts.values())),
                self.inspector: inspector_html(self.engine, self.warmup, timings, tasks),
                self.header: header_html(self.engine, self.warmup),
                self.kept: self.drawer.html(visit),
            }
