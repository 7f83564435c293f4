"""Listeners whose bare values become updates, so that a session of the page does not grow.

Gradio 6.31 makes a component anew for each update of a session, with a new number, and keeps it once more, with all that it showed,
when a bare value follows (``SessionState``; ``gr.skip()``, which stands for what a listener left out, is an update as well). Where only
updates come, each takes the place of the one before.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import wraps
from typing import Any

import gradio as gr


def listen(
    event: Callable[..., Any], listener: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any] | None, **manner: Any
) -> Any:
    """``event(listener, inputs, outputs, **manner)`` of Gradio."""
    return event(steadily(listener, outputs), inputs, outputs, **manner)


def steadily(listener: Callable[..., Any], outputs: Sequence[Any] | None) -> Callable[..., Any]:
    """``listener``, which may be a generator, with updates in place of what it shows in ``gr.HTML`` and ``gr.Chatbot``."""
    if not outputs:
        return listener

    def updates(result: Any) -> Any:
        if isinstance(result, dict):
            return {component: _update(component, value) for component, value in result.items()}
        if isinstance(result, tuple):
            return tuple(map(_update, outputs, result))
        return _update(outputs[0], result)

    @wraps(listener)
    def once(*inputs: Any) -> Any:
        return updates(listener(*inputs))

    @wraps(listener)
    def stream(*inputs: Any) -> Iterator[Any]:
        with closing(listener(*inputs)) as results:
            yield from map(updates, results)

    return stream if inspect.isgeneratorfunction(listener) else once


def _update(component: Any, value: Any) -> Any:
    shown = isinstance(component, gr.HTML | gr.Chatbot) and isinstance(value, str | list)
    return gr.update(value=value) if shown else value
