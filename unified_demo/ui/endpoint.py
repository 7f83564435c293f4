"""The typed endpoint ``/infer`` beside the page: text, files and settings in, JSON and files out. It shares no state with the page."""

import base64
import binascii
import mimetypes
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from unified_demo.engine import Engine
from unified_demo.errors import UnifiedError
from unified_demo.infer import infer as answer_to
from unified_demo.ui.presence import ends_with_its_caller
from unified_demo.ui.warmup import Warmup

DESCRIPTION = """Answer one question about pictures, videos, sounds or data: describe, point at things, segment, edit, draw.
Returns the answer as JSON (text, raw, regions with boxes in 0-1, calls, artefacts, timings) and the artefact files in the order of
"artefacts", whose "file" is the file's name."""
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;name=([^;,]*))?;base64,")
_NO_FILE_SENT = "A file is sent as an upload or as data:TYPE;name=NAME;base64,..., not as an address or a path."


def add_endpoint(blocks: gr.Blocks, engine: Engine, warmup: Warmup, concurrency_id: str, concurrency_limit: int) -> None:
    """Call inside the page's ``gr.Blocks``."""
    limits = engine.settings.limits
    largest = max(limits.image_bytes, limits.video_bytes, limits.sound_bytes)

    def infer(
        text: str, files: list[dict | str] | None = None, settings: dict | str | None = None, request: gr.Request | None = None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """
        Parameters:
            text: The question or the wish.
            files: Pictures, videos, sounds or data. Each one is an upload, or a text data:TYPE;name=NAME;base64,...
            settings: An object (or its JSON) with any of seed, temperature, max_new_tokens, constrained, steps, guidance, strength.
        """
        try:
            with ends_with_its_caller(blocks, request.session_hash if request else None) as cancel:
                for _ in warmup.wait(cancel):
                    continue
                if warmup.error:
                    raise UnifiedError(warmup.error)
                with tempfile.TemporaryDirectory(prefix="unified_demo-sent-") as folder:
                    result = answer_to(engine, text or "", received(files or [], Path(folder), largest), settings, cancel)
        except UnifiedError as exc:
            raise gr.Error(str(exc), print_exception=False) from exc
        return result.as_json(), [gr.FileData(path=str(path), orig_name=path.name).model_dump() for path in result.files]

    gr.api(
        infer,
        api_name="infer",
        api_description=" ".join(DESCRIPTION.split()),
        concurrency_id=concurrency_id,
        concurrency_limit=concurrency_limit,
    )


def received(files: Sequence[dict[str, Any] | str], folder: Path, largest: int) -> list[str]:
    """Paths of what was sent: uploads where Gradio keeps them, ``data:`` texts written to ``folder``, at most ``largest`` bytes each.

    Raises UnifiedError for anything else.
    """
    paths = []
    for number, file in enumerate(files, 1):
        if isinstance(file, dict) and isinstance(path := file.get("path"), str):
            paths.append(path)
            continue
        found = _DATA_URL.match(file) if isinstance(file, str) else None
        if not found or not isinstance(file, str):
            raise UnifiedError(_NO_FILE_SENT)
        if (len(file) - found.end()) * 3 // 4 > largest:
            raise UnifiedError(f"File {number} is larger than the {largest // 2**20} MB that are allowed.")
        own = folder / str(number)
        own.mkdir()
        suffix = mimetypes.guess_extension(found[1] or "") or ""
        kept = own / (re.sub(r"[^\w.-]", "_", found[2] or "")[-80:].lstrip(".") or f"file{suffix}")
        try:
            kept.write_bytes(base64.b64decode(file[found.end() :], validate=True))
        except binascii.Error as exc:
            raise UnifiedError(f"File {number} is not base64 ({exc}).") from exc
        paths.append(str(kept))
    return paths
