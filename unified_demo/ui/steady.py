"""Listeners after which the session of a page is as small as before.

Gradio 6.31 makes a component anew, with a new number, for each update of a session, and keeps it once more under that number when it
is an input later or a bare value follows (``SessionState``): a composer, or a chat with all that it showed, for each message.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import wraps
from typing import Any

import gradio as gr
from anyio import from_thread
from gradio.context import LocalContext
from gradio.state_holder import SessionState


def listen(
    event: Callable[..., Any], listener: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any] | None, **manner: Any
) -> Any:
    """``event(listener, inputs, outputs, **manner)`` of Gradio."""
    return event(steadily(listener), inputs, outputs, **manner)


def steadily(listener: Callable[..., Any]) -> Callable[..., Any]:
    """``listener``, which may be a generator; before it is called, what is superfluous leaves the session."""

    @wraps(listener)
    def once(*inputs: Any) -> Any:
        _prune_session()
        return listener(*inputs)

    @wraps(listener)
    def stream(*inputs: Any) -> Iterator[Any]:
        _prune_session()
        with closing(listener(*inputs)) as results:
            yield from results

    return stream if inspect.isgeneratorfunction(listener) else once


def prune(session: SessionState, blocks: gr.Blocks) -> None:
    """Forget the components of ``session`` that stand under a number which no component of ``blocks`` has."""
    for number in session.blocks_config.blocks.keys() - blocks.default_config.blocks.keys():
        del session.blocks_config.blocks[number]
        session.config_values.pop(number, None)


def _prune_session() -> None:
    """On the server's own thread, where nothing else changes the session meanwhile; nothing where there is no session."""
    blocks, request = LocalContext.blocks.get(None), LocalContext.request.get(None)
    if blocks is not None and request is not None and request.session_hash in blocks.state_holder:
        from_thread.run_sync(prune, blocks.state_holder[request.session_hash], blocks)
