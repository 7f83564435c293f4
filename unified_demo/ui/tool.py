"""The endpoint as a tool of the Model Context Protocol (``--mcp``), by Gradio's ``mcp_server=True``, and what Gradio 6.31 leaves to do.

Its tool server asks nobody for a login, cannot log in itself where one is needed, and tells JSON as Python and files of a list as text.
"""

import base64
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from unified_demo.errors import UnifiedError

if TYPE_CHECKING:
    import gradio as gr

PATH = "/gradio_api/mcp"
NOT_INSTALLED = "--mcp needs the package of the Model Context Protocol: pip install 'gradio[mcp]'"

Login = tuple[str, str]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def check_tool_package() -> None:
    """Raises UnifiedError where the package is missing."""
    if find_spec("mcp") is None:
        raise UnifiedError(NOT_INSTALLED)


def tool_options(login: Login | None) -> dict[str, Any]:
    """Keyword arguments for ``Blocks.launch``."""
    gate = {"app_kwargs": {"middleware": [Middleware(Gate, login)]}} if login else {}
    return {"mcp_server": True, **gate}


def serve_tool(blocks: "gr.Blocks", login: Login | None) -> None:
    """Call once ``blocks`` is launched with these options."""
    from gradio_client import Client

    server = blocks.mcp_server_obj
    if server is None or blocks.local_url is None:
        raise UnifiedError(f"The tool server did not start: {blocks.mcp_error}")
    content = server.postprocess_output_data

    def flat(data: Any, root_url: str) -> Any:
        answer, files = data if len(data) == 2 else data[0]  # one result, a pair, where nobody asked to be told of the progress
        return content([json.dumps(answer, ensure_ascii=False), *(files or [])], root_url)

    server.postprocess_output_data = flat
    if login:
        server._client_instance = Client(blocks.local_url, auth=login, download_files=False, verbose=False, analytics_enabled=False)


class Gate:
    """ASGI application around ``app``: who comes to the tool server needs the page's login, as HTTP Basic authentication."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], login: Login) -> None:
        self._app = app
        self._expected = b"Basic " + base64.b64encode(":".join(login).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and PATH in scope["path"]:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(given, self._expected):
                headers = [(b"www-authenticate", b'Basic realm="UnifiedMLLM Demo"'), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)
