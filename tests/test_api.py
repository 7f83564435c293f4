"""The typed endpoint ``/infer`` over HTTP: form, files, settings, bad input, several clients at once."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.messages import Conversation, MediaPart, TextPart
from unified_demo.ui.chat import build_chat
from unified_demo.ui.serve import ServeOptions, launch_options
from unified_demo.ui.work import BEAT_S


def script(conversation: Conversation) -> Iterator[str]:
    """Says back what it was asked and the size of the picture, word by word, then asks for a mask."""
    parts = conversation.messages[-1].parts
    text = " ".join(part.text for part in parts if isinstance(part, TextPart))
    if text in GONE:
        yield from GONE[text].words()
    width = next((part.artefact.width for part in parts if isinstance(part, MediaPart)), 0)
    yield from (f"{word} " for word in f"{text} {width}".split())
    if width:
        yield "<p>it</p><box>[100,200,500,900]</box><seg>it<box>[100,200,500,900]</box></seg>"


class Gone:
    """An answer without end; ``closed`` once it was ended."""

    def __init__(self) -> None:
        self.begun, self.closed = threading.Event(), threading.Event()

    def words(self) -> Iterator[str]:
        self.begun.set()
        try:
            while True:
                yield "word "
        finally:
            self.closed.set()


GONE: dict[str, Gone] = {}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(media_dir=tmp_path_factory.mktemp("media"))
    engine = load_engine(settings, ScriptedModel(script, delay_s=0.01), (fake_spec(FakeExpert()),))
    blocks = build_chat(engine)
    _, local, _ = blocks.launch(**launch_options(engine, ServeOptions()), prevent_thread_lock=True, quiet=True)
    yield local
    blocks.close()


@pytest.fixture
def client(url: str, tmp_path: Path) -> Client:
    return Client(url, verbose=False, download_files=tmp_path / "downloads")


def photo(folder: Path, width: int) -> Path:
    path = folder / f"{width}.png"
    Image.new("RGB", (width, 60), "teal").save(path)
    return path


def ask(client: Client, text: str, files: list[Path] | None = None, settings: Any = None) -> tuple[dict[str, Any], list[str]]:
    sent = [handle_file(str(path)) for path in files] if files else None
    return client.predict(text, sent, settings, api_name="/infer")


def test_only_infer_is_public(client: Client) -> None:
    described = client.view_api(return_format="dict", print_info=False)
    assert list(described["named_endpoints"]) == ["/infer"]
    assert not described["unnamed_endpoints"]
    inputs = described["named_endpoints"]["/infer"]["parameters"]
    assert [parameter["parameter_name"] for parameter in inputs] == ["text", "files", "settings"]


def test_json_and_files(client: Client, tmp_path: Path) -> None:
    result, files = ask(client, "find it", [photo(tmp_path, 90)], {"seed": 3})
    assert result["text"] == "find it 90 it"
    assert result["regions"][0]["boxes"][0] == pytest.approx([100 / 999, 200 / 999, 500 / 999, 900 / 999])
    assert result["calls"][0]["status"] == "done"
    assert [item["id"] for item in result["artefacts"]] == ["img-1", "mask-1"]
    assert [Path(path).name for path in files] == [item["file"] for item in result["artefacts"]]
    with Image.open(files[1]) as mask:
        assert mask.size == (90, 60)
    assert str(tmp_path) not in json.dumps(result)


def test_the_answer_ends_when_its_caller_goes(url: str) -> None:
    GONE["plain"] = Gone()
    with httpx.Client(base_url=f"{url}gradio_api/call/", timeout=60) as http:
        asked = http.post("infer", json={"data": ["plain", None, None]}).json()["event_id"]
        with http.stream("GET", f"infer/{asked}"):
            assert GONE["plain"].begun.wait(60)
            assert not GONE["plain"].closed.wait(3 * BEAT_S)
        assert GONE["plain"].closed.wait(60)


def test_a_caller_that_comes_back_later_finds_its_answer(url: str) -> None:
    with httpx.Client(base_url=f"{url}gradio_api/call/", timeout=60) as http:
        asked = http.post("infer", json={"data": ["a b c d e f g h i j k l m n o p q r s t u v w x y z", None, None]}).json()["event_id"]
        time.sleep(2 * BEAT_S)
        told = http.get(f"infer/{asked}").text
    assert "event: complete" in told and "x y z 0" in told


def test_settings_as_text_and_left_out(client: Client) -> None:
    assert ask(client, "hello", settings='{"temperature": 0.5}')[0]["text"] == "hello 0"
    assert client.predict(text="hello", api_name="/infer")[0]["text"] == "hello 0"


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ("", None, "The message is empty"),
        ("x" * 10_001, None, "10,001 characters"),
        (
            "hello",
            {"stepps": 3},
            "There is no setting 'stepps'; allowed: max_new_tokens, temperature, seed, constrained, steps, guidance, strength.",
        ),
        ("hello", "{", "The settings are not JSON"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(client: Client, text: str, settings: Any, sentence: str) -> None:
    with pytest.raises(AppError, match=sentence.replace("(", "\\(")):
        ask(client, text, settings=settings)
    assert ask(client, "still there")[0]["text"] == "still there 0"


def test_a_broken_file_is_refused_with_a_sentence(client: Client, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(AppError, match=r"broken\.png: .+\."):
        ask(client, "what is it?", [broken])


def test_a_file_of_the_server_cannot_be_named(client: Client) -> None:
    sent = [{"path": str(Path(__file__).resolve()), "meta": {"_type": "gradio.FileData"}}]
    with pytest.raises(Exception, match=r"."):
        client.submit("read it", sent, None, api_name="/infer").result(timeout=20)


def test_clients_at_once_do_not_mix(url: str, tmp_path: Path) -> None:
    def run(number: int) -> tuple[int, dict[str, Any]]:
        own = Client(url, verbose=False, download_files=tmp_path / str(number))
        words = " ".join(f"n{number}w{index}" for index in range(15))
        return number, ask(own, words, [photo(tmp_path, 50 + number)])[0]

    with ThreadPoolExecutor(4) as pool:
        for number, result in pool.map(run, range(6)):
            expected = " ".join(f"n{number}w{index}" for index in range(15))
            assert result["text"] == f"{expected} {50 + number} it"
            assert [item["id"] for item in result["artefacts"]] == ["img-1", "mask-1"]
