"""The backend that asks an OpenAI-compatible server, against a small one on this machine that speaks the protocol."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import SERVER_GRAMMARS, GenerationOptions, Settings
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.fakes import fake_spec
from unified_demo.grammar import TASKS
from unified_demo.media import MediaStore
from unified_demo.messages import CallDone, Conversation, MediaPart, Message, TextPart, TurnDone
from unified_demo.model.openai_server import KEY_VARIABLE, ServedModel, Server, surface_grammar
from unified_demo.model.vlm_prompt import example, offers_from

OFFERS = offers_from(dict.fromkeys(TASKS.values(), "by a test"))
ANSWER = ["Here it is: ", "<seg><ref>img-1</ref>the ", "dog<box>[0,", "0,500,1000]</box></se", "g>"]


class Desk:
    """What the server says and what it was asked. ``gate``: it waits there before the second piece."""

    def __init__(self) -> None:
        self.pieces: list[str] = ANSWER
        self.models = ["some-vlm"]
        self.status = 200
        self.gate: threading.Event | None = None
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def address(desk: Desk) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            self._answer(json.dumps({"data": [{"id": name} for name in desk.models]}).encode())

        def do_POST(self) -> None:
            desk.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            desk.keys.append(self.headers["Authorization"])
            if desk.status != 200:
                self._answer(b'{"error": "context too long"}')
                return
            self.send_response(200)
            self.end_headers()
            for index, piece in enumerate(desk.pieces):
                if index == 1 and desk.gate:
                    desk.gate.wait(20)
                self.wfile.write(b"data: " + json.dumps({"choices": [{"delta": {"content": piece}}]}).encode() + b"\n\n")
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")

        def _answer(self, content: bytes) -> None:
            self.send_response(desk.status)
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    if desk.gate:
        desk.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def conversation(tmp_path: Path) -> Conversation:
    picture = MediaStore(tmp_path / "m").add_image(Image.new("RGB", (40, 20), "red"), "img-1")
    return Conversation((Message("user", (MediaPart(picture), TextPart("segment the dog"))),))


def test_a_turn_from_the_server_to_the_mask(address: str, desk: Desk, conversation: Conversation, tmp_path: Path) -> None:
    engine = load_engine(Settings(media_dir=tmp_path / "m"), ServedModel(Server(address), OFFERS), [fake_spec()])
    events = list(engine.respond(conversation))
    assert any(isinstance(event, CallDone) for event in events)
    done = events[-1]
    assert isinstance(done, TurnDone) and not done.warnings and done.raw.endswith("<box>[0,0,500,999]</box></seg>")
    assert done.timings["tokens"] == len(ANSWER) and desk.asked[0]["model"] == "some-vlm"


def test_pictures_go_as_data_urls_and_tasks_are_taught(
    address: str, desk: Desk, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    list(ServedModel(Server(address), OFFERS).generate(conversation, GenerationOptions(seed=5), threading.Event()))
    (body,) = desk.asked
    system, user = body["messages"]
    assert all(example(offer) in system["content"] for offer in OFFERS)
    kinds = [entry["type"] for entry in user["content"]]
    assert kinds == ["text", "image_url", "text"] and body["seed"] == 5 and body["stream"] is True and desk.keys == ["Bearer secret"]
    url = user["content"][1]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,")))) as sent:
        assert sent.size == (40, 20)


def test_stop_while_the_server_thinks(address: str, desk: Desk, conversation: Conversation) -> None:
    desk.gate = threading.Event()
    cancel = threading.Event()
    stream = ServedModel(Server(address), OFFERS).generate(conversation, GenerationOptions(), cancel)
    while not next(stream):
        pass
    assert next(stream) == ""
    cancel.set()
    assert not "".join(stream)


def test_what_the_server_refuses_is_told(address: str, desk: Desk, conversation: Conversation) -> None:
    model = ServedModel(Server(address, "named"), OFFERS)
    desk.status = 400
    with pytest.raises(ModelLoadError, match=r"refused the request \(400\).*context too long"):
        list(model.generate(conversation, GenerationOptions(), threading.Event()))
    desk.status, desk.models = 200, []
    with pytest.raises(ModelLoadError, match="serves no model"):
        ServedModel(Server(address), OFFERS).load()


def test_a_server_that_is_not_there_and_wrong_addresses(conversation: Conversation) -> None:
    with pytest.raises(ModelLoadError, match="does not answer"):
        ServedModel(Server("http://127.0.0.1:9/v1"), OFFERS).load()
    with pytest.raises(UnifiedError, match="http://"):
        Server("file:///etc/passwd")
    with pytest.raises(UnifiedError, match="allowed: none, vllm"):
        Server("http://127.0.0.1/v1", guided="magic")


@pytest.mark.parametrize(("guided", "field"), [("vllm", "structured_outputs"), ("sglang", "ebnf"), ("llamacpp", "grammar"), ("none", "")])
def test_the_grammar_goes_where_the_server_wants_it(guided: str, field: str, conversation: Conversation) -> None:
    assert guided in SERVER_GRAMMARS
    model = ServedModel(Server("http://127.0.0.1/v1", "some", guided), OFFERS)
    extra = set(model.request(conversation, GenerationOptions())) - set(model.request(conversation, GenerationOptions(constrained=False)))
    assert extra == ({field} if field else set())


def test_the_grammar_names_what_may_be_called() -> None:
    rules = surface_grammar(OFFERS, ("img-1", "img-2"), 1000)
    assert '"<seg>" "<ref>" ("img-1" | "img-2") "</ref>" wish boxes "</seg>"' in rules
    assert '"<layout>" wish? planned' in rules and "<vseg>" not in rules and '"<gen>" wish "</gen>"' in rules
    assert "phrase" not in surface_grammar(OFFERS, (), 1000)


def test_a_grammar_engine_agrees() -> None:
    """Runs where xgrammar is installed (it is what vLLM and SGLang use); not a requirement."""
    xgrammar = pytest.importorskip("xgrammar")
    compiled = xgrammar.Grammar.from_ebnf(surface_grammar(OFFERS, ("img-1", "vid-1"), 1000))
    accepts = xgrammar.testing._is_grammar_accept_string
    for offer in OFFERS:
        assert accepts(compiled, f"Here: {example(offer)} done, 3 < 4."), offer
    for right in ("<p>she sings</p><time>[0,1000]</time>", "<vseg><ref>vid-1</ref>the dog<box>[1,2,3,4]</box><time>[0,500]</time></vseg>"):
        assert accepts(compiled, right), right
    for wrong in ("<seg>dog</seg>", "<gen></gen>", "<p>dog</p> no box", "<gen>open", "<seg><ref>img-9</ref>dog<box>[1,2,3,4]</box></seg>"):
        assert not accepts(compiled, wrong), wrong
