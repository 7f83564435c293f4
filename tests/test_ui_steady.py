"""A session of the page does not grow with what it shows."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from unified_demo.ui.steady import steadily


def components_kept(blocks: gr.Blocks, function: Any, results: list[Any]) -> int:
    session = SessionState(blocks)

    async def show() -> None:
        for result in results:
            await blocks.postprocess_data(function, result, session)

    with ThreadPoolExecutor(1) as apart:  # Playwright's loop may run in this thread
        apart.submit(asyncio.run, show()).result()
    return len(session.blocks_config.blocks)


@pytest.mark.parametrize("steady", [True, False])
def test_values_between_updates_leave_no_components_behind(steady: bool) -> None:
    """Without the wrapper they do, which is why it is there."""
    with gr.Blocks() as blocks:
        shown, other = gr.HTML("before"), gr.HTML("beside")
        listener = steadily(lambda value=None: {shown: value}, [shown, other]) if steady else lambda value=None: {shown: value}
        gr.Button().click(listener, None, [shown, other])
    (function,) = blocks.fns.values()
    values = [value for number in range(6) for value in (f"text {number}", gr.skip())]
    before = components_kept(blocks, function, [])
    kept = components_kept(blocks, function, [listener(value) for value in values])
    assert (kept == before) if steady else (kept > before)


def test_a_generator_is_closed_with_its_wrapper_and_its_updates_stay() -> None:
    closed = []
    with gr.Blocks():
        shown, box = gr.HTML(), gr.Textbox()

    def listener() -> Iterator[Any]:
        try:
            yield {shown: "text", box: "as it is"}
            yield {shown: gr.skip()}
        finally:
            closed.append(True)

    results = steadily(listener, [shown, box])()
    assert next(results) == {shown: gr.update(value="text"), box: "as it is"}
    assert next(results) == {shown: gr.skip()}
    results.close()
    assert closed == [True]
