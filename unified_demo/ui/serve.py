"""How the page is served: on this machine only, unless the operator says who may come in. No page is built here."""

import atexit
import ipaddress
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.ui.theme import build_theme, page_head
from unified_demo.ui.tool import check_tool_package, serve_tool, tool_options

if TYPE_CHECKING:
    import gradio as gr

FAVICON = Path(__file__).resolve().parent / "static" / "favicon.png"


@dataclass(frozen=True)
class ServeOptions:
    """Where the page listens, and whether it is a tool server (``mcp``), too. Anything but this machine needs ``auth`` (user, password)
    or an explicit ``no_auth``; else UnifiedError."""

    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    auth: tuple[str, str] | None = None
    no_auth: bool = False
    mcp: bool = False

    def __post_init__(self) -> None:
        if (self.share or not is_loopback(self.host)) and not self.auth and not self.no_auth:
            asked = "--share" if self.share else f"--host {self.host}"
            raise UnifiedError(f"{asked} opens the page to others: add --auth USER:PASSWORD, or --no-auth if everybody may use it.")
        if self.mcp:
            check_tool_package()


def own_upload_folder() -> str:
    """A folder for GRADIO_TEMP_DIR that goes with this process: a server that ends empties its folder, and others may run beside it.
    Gradio reads the variable when it is imported."""
    folder = tempfile.mkdtemp(prefix="unified_demo-uploads-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def read_auth(text: str | None) -> tuple[str, str] | None:
    """``user:password``; raises UnifiedError when one of the two is missing."""
    if text is None:
        return None
    user, _, password = text.partition(":")
    if not user or not password:
        raise UnifiedError("--auth needs USER:PASSWORD, both not empty.")
    return user, password


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def launch_options(engine: Engine, options: ServeOptions | None = None) -> dict[str, Any]:
    """Keyword arguments for ``Blocks.launch``.

    Of the server's files only the media store can be read, and its names are content hashes that cannot be guessed or
    listed. Nothing is recorded in the visitor's browser (``run_history``), no error text of Python reaches the page.
    """
    options = options or ServeOptions()
    limits = engine.settings.limits
    return {
        "server_name": options.host,
        "server_port": options.port,
        "share": options.share,
        "auth": options.auth,
        "theme": build_theme(),
        "head": page_head(),
        "favicon_path": FAVICON,
        "allowed_paths": [str(engine.store.root.resolve())],
        "max_file_size": max(limits.image_bytes, limits.video_bytes, limits.sound_bytes),
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "footer_links": [],
        "show_error": False,
        **(tool_options(options.auth) if options.mcp else {"mcp_server": False}),
    }


def serve(blocks: "gr.Blocks", engine: Engine, options: ServeOptions, **launch: Any) -> str:
    """Launch the page; returns its address once it can be asked. ``launch``: further keyword arguments for ``Blocks.launch``."""
    _, url, _ = blocks.launch(**launch_options(engine, options), prevent_thread_lock=True, **launch)
    if options.mcp:
        serve_tool(blocks, options.auth)
    return url
