"""An optional paraphraser: rewords what the user says through any server with OpenAI's chat API. Never on by default.

A paraphrase is kept only when every name, number, box and thing that the answer depends on is still in it; else the words stay as
they were. It never touches an answer.
"""

import json
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from unified_demo.data.multitask import Dialogue
from unified_demo.data.wordings import template_text
from unified_demo.errors import UnifiedError
from unified_demo.grammar import escape
from unified_demo.messages import Conversation, Message, TextPart

logger = logging.getLogger(__name__)

ORDER = (
    "Say the request in other words, as a person would type it. Keep every name, number, colour, place and quoted word exactly. "
    "Answer with the new request only."
)
LONGEST = 3
"""A paraphrase may be so many times as long as the request."""
_SMALL_WORDS = frozenset(("a", "an", "the", "i", "is", "it", "are", "be", "and", "that", "this", "there", "of"))
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass
class Paraphraser:
    """``url`` is the base of the API, with or without ``/v1``. ``kept`` and ``dropped`` count what became of the paraphrases.

    UnifiedError for an address that is no http address; a server that fails only means that the words stay.
    """

    url: str
    model: str = "default"
    timeout_s: float = 30.0
    kept: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise UnifiedError(f"'{self.url}' is not the address of a server; give one that begins with http:// or https://.")
        base = self.url.rstrip("/")
        self._endpoint = f"{base}/chat/completions" if base.endswith("/v1") else f"{base}/v1/chat/completions"

    def reword(self, dialogue: Dialogue) -> Dialogue:
        """The dialogue with the user's words said otherwise where that keeps what the answers need; plain chat and Chinese stay."""
        messages = list(dialogue.conversation.messages)
        for turn, exchange in enumerate(dialogue.exchanges):
            if exchange.task != "chat" and not exchange.chinese:
                messages[2 * turn] = self._reworded(messages[2 * turn], slot_words(messages[2 * turn], exchange.templates))
        return replace(dialogue, conversation=Conversation(tuple(messages)))

    def _reworded(self, message: Message, needed: frozenset[str]) -> Message:
        said = words_of(message)
        new = self._ask(said)
        if new is None or not keeps(said, new, needed):
            self.dropped += 1
            return message
        self.kept += 1
        others = tuple(part for part in message.parts if not isinstance(part, TextPart))
        return replace(message, parts=(*others, TextPart(new)))

    def _ask(self, said: str) -> str | None:
        """One paraphrase; None when the server does not give one."""
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": ORDER}, {"role": "user", "content": said}],
            "temperature": 0.7,
            "max_tokens": 120,
        }
        request = urllib.request.Request(self._endpoint, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                content = json.load(response)["choices"][0]["message"]["content"]
        except (OSError, urllib.error.URLError, ValueError, KeyError, IndexError, TypeError) as exc:
            logger.warning("no paraphrase from %s (%s); the words stay", self._endpoint, exc)
            return None
        return content.strip() if isinstance(content, str) else None


def words_of(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


def slot_words(message: Message, templates: Iterable[str]) -> frozenset[str]:
    """What was put into the slots of the phrasings, and names of artefacts: all words that no phrasing has of its own."""
    own: set[str] = set()
    for name in templates:
        own |= _words(template_text(name))
    return frozenset(_words(words_of(message)) - own - _SMALL_WORDS)


def keeps(said: str, new: str, needed: frozenset[str]) -> bool:
    """Whether ``new`` is one line of reasonable length without tags that still has every word of ``needed``."""
    if not new or len(new) > LONGEST * len(said) + 40 or "\n" in new or escape(new) != new:
        return False
    return needed <= _words(new)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
