"""The page's own words in the visitor's language: English sentences are the keys, ``static/chinese.json`` has each of them.

What models, experts and errors say is passed on as it is. Nothing is drawn here.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Literal

from unified_demo.ui.theme import asset

Language = Literal["en", "zh"]
_language: ContextVar[Language] = ContextVar("unified_demo_language", default="en")


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """``say`` speaks this language within the block."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def spoken() -> Language:
    """The language of this block."""
    return _language.get()


def say(text: str, **values: Any) -> str:
    """``text``, an English sentence of this page, in the visitor's language; ``values`` fill its braces."""
    told = chinese().get(text, text) if spoken() == "zh" else text
    return told.format(**values) if values else told


@cache
def chinese() -> dict[str, str]:
    return json.loads(asset("chinese.json"))
