"""The typed endpoint ``/infer`` beside the page: text, files and settings in, JSON and files out. It shares no state with the page."""

import threading
from typing import Any

import gradio as gr

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.infer import infer
from unified_demo.ui.warmup import Warmup

DESCRIPTION = """Answer one question about pictures. Inputs: the text; a list of files; settings, a JSON object or string with any of
seed, temperature, max_new_tokens, constrained. Returns the answer as JSON (text, raw, regions with boxes in 0-1, calls, artefacts, timings)
and the artefact files in the order of "artefacts", whose "file" is the file's name."""


def add_endpoint(engine: Engine, warmup: Warmup, concurrency_id: str, concurrency_limit: int) -> None:
    """Call inside the page's ``gr.Blocks``; its components are never shown."""

    def answer(text: str, files: list[str] | None = None, settings: Any = None) -> tuple[dict[str, Any], list[str]]:
        for _ in warmup.wait(threading.Event()):
            continue
        try:
            if warmup.error:
                raise UnifiedError(warmup.error)
            result = infer(engine, text or "", files or [], settings)
        except UnifiedError as exc:
            raise gr.Error(str(exc), print_exception=False) from exc
        return result.as_json(), [str(path) for path in result.files]

    with gr.Row(visible=False):
        text = gr.Textbox(label="text")
        files = gr.File(label="files", file_count="multiple", type="filepath")
        settings = gr.JSON(label="settings")
        result = gr.JSON(label="result")
        artefacts = gr.File(label="artefacts", file_count="multiple")
        ask = gr.Button("infer")
    ask.click(
        answer,
        [text, files, settings],
        [result, artefacts],
        api_name="infer",
        api_description=" ".join(DESCRIPTION.split()),
        concurrency_id=concurrency_id,
        concurrency_limit=concurrency_limit,
    )
