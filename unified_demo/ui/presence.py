"""How the server learns that somebody comes or goes: a window by its page script's word and its connection, a program that asks the
endpoint by its connection alone. ``work.py`` says what follows for a window; what a program asked for ends.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from unified_demo.ui.work import BEAT_S, Works


def add_presence(blocks: gr.Blocks, works: Works) -> None:
    """Call inside the page's ``gr.Blocks``."""

    def unload(request: gr.Request) -> None:
        works.disconnected(request.session_hash)

    gr.api(works.presence, api_name="presence", api_visibility="undocumented", queue=False)
    blocks.unload(unload)


@contextmanager
def ends_with_its_caller(blocks: gr.Blocks, session: str | None) -> Iterator[threading.Event]:
    """A flag that is set a moment after the connection of the program that asked in this session of Gradio broke.

    Gradio 6.31 has no event for it; its queue marks the questions of a stream that broke as no longer alive, which is looked at here.
    Of ``Job.cancel`` in ``gradio_client`` it is not told as long as that program goes on, nor of callers that do not come through its
    queue.
    """
    cancel, over = threading.Event(), threading.Event()

    def waits() -> bool:
        jobs = [job for running in blocks._queue.active_jobs for job in running or ()]
        return any(job.session_hash == session and job.alive for job in jobs)

    def watch() -> None:
        while not over.wait(BEAT_S):
            if not waits():
                cancel.set()
                return

    if session and waits():
        threading.Thread(target=watch, name="unified_demo-caller", daemon=True).start()
    try:
        yield cancel
    finally:
        over.set()
