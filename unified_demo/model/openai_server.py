"""An OpenAI-compatible server (vLLM, SGLang, llama.cpp, …) as language backend: pictures go as data URLs, text streams back.

The model there is told the representation in words as in ``vlm.py``. Where the server can decode by a grammar (``guided``) calls are
well-formed by force; elsewhere the parser drops what is not. Nothing is loaded here.
"""

import base64
import io
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unified_demo import grammar
from unified_demo.config import SERVER_GRAMMARS, GenerationOptions
from unified_demo.conversation import VISIBLE
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.grammar import MediaKind
from unified_demo.messages import Conversation
from unified_demo.model.vlm_prompt import NATIVE_GRID, CoordinateTranslator, Shown, Turn, render_turns
from unified_demo.model.vlm_rules import LONGEST_PHRASE, LONGEST_PROMPT, MOST_BOXES, Offer

KEY_VARIABLE = "UNIFIED_DEMO_SERVER_KEY"
"""Environment variable with the server's key, if it wants one."""
ANSWER_TIMEOUT_S = 120.0
_POLL_S = 0.05
_END = object()


@dataclass(frozen=True)
class Server:
    """``url`` up to ``/v1``; ``model`` empty: the first one it serves; ``guided``: one of SERVER_GRAMMARS; ``grid``: its coordinates."""

    url: str
    model: str = ""
    guided: str = "none"
    grid: int = NATIVE_GRID

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UnifiedError(f"The server is '{self.url}'; an address that begins with http:// or https:// is needed.")
        if self.guided not in SERVER_GRAMMARS:
            raise UnifiedError(f"The server's grammar is '{self.guided}'; allowed: {', '.join(SERVER_GRAMMARS)}.")


class ServedModel:
    """A ``LanguageBackend`` that asks a server. Waiting for it never holds up other visitors for more than a moment."""

    reads = VISIBLE

    def __init__(self, server: Server, offers: Sequence[Offer]) -> None:
        self.server, self.offers = server, tuple(offers)
        self._model = server.model

    def load(self) -> None:
        """Asks which models are served; ModelLoadError when nobody answers or there is none."""
        if self._model:
            return
        with self._open("/models", None) as response:
            served = [entry["id"] for entry in json.load(response).get("data", [])]
        if not served:
            raise ModelLoadError(f"The server {self.server.url} serves no model; start it with one.")
        self._model = served[0]

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        """Surface text as it arrives; empty text while waiting. Returns {"prefill_s", "decode_s", "tokens"} (pieces that arrived)."""
        self.load()
        body = self.request(conversation, options)
        translator = CoordinateTranslator(self.server.grid)
        started = time.perf_counter()
        first_s, count = 0.0, 0
        for piece in self._pieces(body, cancel):
            if piece:
                first_s = first_s or time.perf_counter() - started
                count += 1
            yield translator.feed(piece)
        if text := translator.close():
            yield text
        return {"prefill_s": first_s, "decode_s": time.perf_counter() - started - first_s, "tokens": float(count)}

    def request(self, conversation: Conversation, options: GenerationOptions) -> dict[str, Any]:
        """The body of the request."""
        turns = render_turns(conversation, self.offers, self.server.grid)
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": turn.role, "content": _content(turn)} for turn in turns],
            "max_tokens": options.max_new_tokens,
            "temperature": options.temperature,
            "seed": options.seed,
            "stream": True,
        }
        if options.constrained and self.server.guided != "none":
            rules = surface_grammar(self.offers, tuple(conversation.artefacts()), self.server.grid)
            fields: dict[str, Any] = {
                "vllm": {"structured_outputs": {"grammar": rules}},
                "sglang": {"ebnf": rules},
                "llamacpp": {"grammar": rules},
            }
            body |= fields[self.server.guided]
        return body

    def _pieces(self, body: dict[str, Any], cancel: threading.Event) -> Iterator[str]:
        """Pieces of text; empty ones while nothing arrives, so that the caller may do something else."""
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        over = threading.Event()
        threading.Thread(target=self._listen, args=(body, arrived, over), daemon=True, name="unified_demo-server").start()
        try:
            while not cancel.is_set():
                try:
                    item = arrived.get(timeout=_POLL_S)
                except queue.Empty:
                    yield ""
                    continue
                if item is _END:
                    return
                if isinstance(item, UnifiedError):
                    raise item
                yield item
        finally:
            over.set()

    def _listen(self, body: dict[str, Any], arrived: "queue.SimpleQueue[Any]", over: threading.Event) -> None:
        """Puts the pieces of the server's event stream into the queue, then the end or what went wrong."""
        try:
            with self._open("/chat/completions", body) as response:
                for line in response:
                    if over.is_set() or line.strip() == b"data: [DONE]":
                        break
                    if line.startswith(b"data:") and (text := _text_of(line[5:])):
                        arrived.put(text)
        except UnifiedError as exc:
            arrived.put(exc)
        except (OSError, ValueError) as exc:
            arrived.put(UnifiedError(f"The connection to the language model's server broke ({type(exc).__name__}); ask again."))
        arrived.put(_END)

    def _open(self, path: str, body: dict[str, Any] | None) -> Any:
        request = urllib.request.Request(self.server.url.rstrip("/") + path, data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if key := os.environ.get(KEY_VARIABLE):
            request.add_header("Authorization", f"Bearer {key}")
        try:
            return urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S)
        except urllib.error.HTTPError as exc:
            said = exc.read(300).decode(errors="replace")
            raise ModelLoadError(f"The server {self.server.url} refused the request ({exc.code}): {said}") from exc
        except OSError as exc:
            raise ModelLoadError(f"The server {self.server.url} does not answer ({exc}); start it, or correct the address.") from exc


def _text_of(data: bytes) -> str:
    """The piece of text of one event."""
    choices = json.loads(data).get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    if not any(isinstance(item, Shown) for item in turn.content):
        return "".join(item for item in turn.content if isinstance(item, str))
    return [
        {"type": "image_url", "image_url": {"url": data_url(item.image)}} if isinstance(item, Shown) else {"type": "text", "text": item}
        for item in turn.content
    ]


def data_url(image: Any) -> str:
    """A PIL picture as ``data:image/jpeg;base64,…``."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def surface_grammar(offers: Sequence[Offer], references: Sequence[str], grid: int) -> str:
    """The rules of ``vlm_rules`` as a grammar in GBNF, which llama.cpp, vLLM and SGLang read.

    Looser than those in two points: numbers of a box may be out of order, and the answer's own ``<`` must not precede a letter.
    """
    kinds = {reference.split("-")[0] for reference in references}
    usable = [offer for offer in offers if all(kind.value in kinds for kind in offer.needs)]
    numbers = " | ".join(["[0-9]", "[1-9] [0-9] [0-9]? [0-9]?" if grid > 999 else "[1-9] [0-9] [0-9]?"])
    visible, timed = bool(kinds & {"img", "vid"}), bool(kinds & {"vid", "aud"})
    regions = " | ".join([*(["boxes span?" if timed else "boxes"] if visible else ()), *(["span"] if timed else ())])
    lines = [
        f"root ::= (text{' | phrase' if regions else ''}{''.join(f' | call-{index}' for index in range(len(usable)))})*",
        'text ::= [^<] | "<" [^a-z/<]',
        f"number ::= {numbers}",
        'box ::= "<box>[" number "," number "," number "," number "]</box>"',
        f"boxes ::= box{{1,{MOST_BOXES}}}",
        'span ::= "<time>[" number "," number "]</time>"',
        f"words ::= [a-zA-Z0-9] [^<\\n]{{0,{LONGEST_PHRASE - 1}}}",
        f"wish ::= [a-zA-Z0-9] [^<\\n]{{0,{LONGEST_PROMPT - 1}}}",
        f"between ::= [^<\\n]{{0,{LONGEST_PHRASE}}}",
    ]
    if regions:
        place = f'("<ref>" ({_either(references)}) "</ref>")? ' if len(references) > 1 else ""
        lines.append(f'phrase ::= "<p>" words "</p>" {place}({regions})')
    if any(offer.plans for offer in usable):
        lines.append('planned ::= "<p>" words "</p>" boxes between')
    for index, offer in enumerate(usable):
        fitting = [reference for reference in references if reference.split("-")[0] in {kind.value for kind in offer.needs}]
        ref = f'"<ref>" ({_either(fitting)}) "</ref>" ' if offer.needs else ""
        boxes = (" boxes span?" if MediaKind.VIDEO in offer.needs else " boxes") if offer.needs_box else ""
        inner = f"wish? planned{{1,{MOST_BOXES}}}" if offer.plans else f"wish{boxes}"
        lines.append(f'call-{index} ::= "{grammar.open_tag(offer.tag)}" {ref}{inner} "{grammar.close_tag(offer.tag)}"')
    return "\n".join(lines) + "\n"


def _either(words: Sequence[str]) -> str:
    return " | ".join(f'"{word}"' for word in words)
