"""The endpoint as a tool (``--mcp``), asked by a client of the ``mcp`` package: one tool, pictures in and out, the page's login."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from PIL import Image
from test_api import photo, script

import app
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.errors import UnifiedError
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.ui import endpoint, tool
from unified_demo.ui.chat import build_chat
from unified_demo.ui.serve import ServeOptions, serve

needs_mcp = pytest.mark.skipif(find_spec("mcp") is None, reason="the MCP package is missing (pip install 'gradio[mcp]')")
LOGIN = ("ann", "secret")


@contextmanager
def served(folder: Path, login: tuple[str, str] | None = None) -> Iterator[str]:
    engine = load_engine(Settings(media_dir=folder), ScriptedModel(script, delay_s=0.01), (fake_spec(FakeExpert()),))
    blocks = build_chat(engine)
    yield serve(blocks, engine, ServeOptions(auth=login, mcp=True), quiet=True)
    blocks.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("media")) as made:
        yield made


def ask(url: str, arguments: dict[str, Any], login: tuple[str, str] | None = None, progress: bool = False) -> tuple[list[Any], Any]:
    """The tools of the server, and what the tool ``infer`` returns; some clients want to be told of the ``progress``."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def told(*_: Any) -> None:
        """Of the progress."""

    async def session() -> tuple[list[Any], Any]:
        auth = httpx.BasicAuth(*login) if login else None
        async with streamablehttp_client(f"{url}gradio_api/mcp/", auth=auth) as (read, write, _), ClientSession(read, write) as talk:
            await talk.initialize()
            tools = (await talk.list_tools()).tools
            return tools, await talk.call_tool("infer", arguments, progress_callback=told if progress else None)

    return anyio.run(session)


def as_data(path: Path) -> str:
    return f"data:image/png;name={path.name};base64,{base64.b64encode(path.read_bytes()).decode()}"


@needs_mcp
def test_the_endpoint_is_the_only_tool(url: str) -> None:
    tools, answer = ask(url, {"text": "hello there"})
    assert [one.name for one in tools] == ["infer"]
    assert set(tools[0].inputSchema["properties"]) == {"text", "files", "settings"}
    assert tools[0].inputSchema["required"] == ["text"]
    assert not answer.isError
    assert json.loads(answer.content[0].text)["text"] == "hello there 0"


@needs_mcp
@pytest.mark.parametrize("progress", [False, True])
def test_pictures_in_and_out(url: str, tmp_path: Path, progress: bool) -> None:
    _, answer = ask(url, {"text": "find it", "files": [as_data(photo(tmp_path, 90))], "settings": {"seed": 3}}, progress=progress)
    result = json.loads(answer.content[0].text)
    assert result["text"] == "find it 90 it"
    assert [item["id"] for item in result["artefacts"]] == ["img-1", "mask-1"]
    pictures = [content for content in answer.content if content.type == "image"]
    (tmp_path / "mask.png").write_bytes(base64.b64decode(pictures[1].data))
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.size == (90, 60)


@needs_mcp
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"text": ""}, "The message is empty"),
        ({"text": "what?", "files": ["http://127.0.0.1/photo.png"]}, "not as an address"),
        ({"text": "what?", "files": [str(Path(__file__).resolve())]}, "or a path"),
        ({"text": "what?", "files": ["data:image/png;base64,###"]}, "File 1 is not base64"),
        ({"text": "what?", "files": ["data:image/png;name=../x.png;base64,aGk="]}, "_x.png: "),
    ],
)
def test_bad_input_is_refused_with_a_sentence(url: str, arguments: dict[str, Any], sentence: str) -> None:
    _, answer = ask(url, arguments)
    assert answer.isError
    assert sentence in answer.content[0].text


@needs_mcp
def test_where_the_page_needs_a_login_the_tool_does(tmp_path: Path) -> None:
    with served(tmp_path, LOGIN) as url:
        _, answer = ask(url, {"text": "hello"}, LOGIN)
        assert json.loads(answer.content[0].text)["text"] == "hello 0"
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        kinds = {"Accept": "application/json, text/event-stream"}
        for path in ("", "/", "/http", "/sse", "/schema", "/messages/"):
            for method in ("GET", "POST"):
                for auth in (None, ("ann", "wrong")):
                    reply = httpx.request(method, f"{url}gradio_api/mcp{path}", json=message, headers=kinds, auth=auth)
                    assert reply.status_code == 401, f"{method} {path} as {auth}"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(UnifiedError, match="File 1 is larger than the 1 MB that are allowed"):
        endpoint.received(["data:;base64," + "A" * 2**21], tmp_path, 2**20)
    assert not list(tmp_path.iterdir())


def test_the_rules_of_the_page_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "find_spec", lambda _: True)
    for opened in (["--share"], ["--host", "0.0.0.0"]):
        with pytest.raises(SystemExit, match="--auth USER:PASSWORD"):
            app.main(["--mcp", *opened])


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"pip install 'gradio\[mcp\]'"):
        app.main(["--mcp"])
