"""A session of the page does not grow with what it shows."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from gradio_client import Client

from unified_demo.ui.steady import steadily


def visit_page(page: gr.Blocks, messages: int) -> SessionState:
    """The session of somebody who sent that many messages."""
    page.queue()
    page.launch(prevent_thread_lock=True, quiet=True)
    try:
        client = Client(page.local_url, verbose=False)
        for number in range(messages):
            shown, _ = client.predict(f"message {number}", api_name="/send")
            assert shown["value"] == f"message {number}"
        return page.state_holder[client.session_hash]
    finally:
        page.close()


@pytest.mark.parametrize("steady", [True, False])
def test_a_session_does_not_grow_with_its_messages(steady: bool) -> None:
    """Without the wrapper it does, which is why it is there."""

    def send(text: str) -> tuple[Any, Any]:
        return gr.HTML(text), gr.Textbox("")

    with gr.Blocks() as page:
        shown, box = gr.HTML("before"), gr.Textbox()
        gr.Button().click(steadily(send) if steady else send, [box], [shown, box], api_name="send")
    few, many = visit_page(page, 2), visit_page(page, 12)
    grown = len(many.blocks_config.blocks) - len(few.blocks_config.blocks)
    assert grown == (0 if steady else 10)
    assert len(many.config_values) - len(few.config_values) == grown


def test_a_generator_is_closed_with_its_wrapper() -> None:
    closed = []

    def listener(last: int) -> Iterator[int]:
        try:
            yield from range(last)
        finally:
            closed.append(True)

    results = steadily(listener)(3)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert closed == [True]
