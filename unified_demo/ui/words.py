"""Words in the visitor's language: English sentences are the keys. ``static/chinese.json`` has each one that the page itself says,
``static/errors_chinese.json`` those of errors that a visitor can meet, with ``{}`` for what is filled in.

What models say, and what only the operator can mend, is passed on as it is. Nothing is drawn here.
"""

import json
import re
from collections.abc import Iterable, Iterator
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


def listed(words: Iterable[str]) -> str:
    """One after the other, with the comma of the visitor's language."""
    return ("、" if spoken() == "zh" else ", ").join(words)


def tell(sentence: str) -> str:
    """What an error or a warning says, in the visitor's language; as it is where nothing is known of it."""
    if spoken() != "zh":
        return sentence
    for pattern, told in _errors():
        if found := pattern.fullmatch(sentence):
            return told.format(*map(tell, found.groups()))
    if sentence in chinese():
        return chinese()[sentence]
    name, colon, rest = sentence.partition(": ")
    return f"{name}：{tell(rest)}" if colon and tell(rest) != rest else sentence


@cache
def _errors() -> list[tuple[re.Pattern[str], str]]:
    """Those with more words of their own come first, for an open one such as "{} is {}" fits many sentences."""
    known = sorted(errors_chinese().items(), key=lambda pair: -len(pair[0].replace("{}", "")))
    return [(re.compile(re.escape(english).replace(r"\{\}", "(.*?)"), re.DOTALL), told) for english, told in known]


@cache
def errors_chinese() -> dict[str, str]:
    return json.loads(asset("errors_chinese.json"))


@cache
def chinese() -> dict[str, str]:
    return json.loads(asset("chinese.json"))
