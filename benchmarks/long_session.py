"""Memory of server and browser over a long conversation: ``python -m benchmarks.long_session`` drives the page in Chromium.

Answers are scripted (a phrase, a box and a mask each), so what is measured is the page, not the models. The server runs in a process
of its own. Needs playwright and Chromium; prints a table and writes JSON with ``--out``: with how many blocks Python has, how much
``malloc`` has lent and how much of it lies free, and the kinds of objects that grew most from the first measure to the last.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.browsing import served
from unified_demo import provenance
from unified_demo.assembly import load_engine
from unified_demo.config import Settings
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.history import History
from unified_demo.messages import Conversation

PICTURE_EVERY = 20
"""Messages from one picture to the next."""
PATIENCE_MS = 120_000
MB = 2**20


def answer(_: Conversation) -> Iterator[str]:
    return iter(["I see <p>the ", "dog</p>", "<box>[100,200,500,900]</box>", " here. ", "<seg>the dog<box>[100,200,500,900]</box></seg>"])


def serve(wire: Connection, folder: Path) -> None:
    """Serve until the wire says stop; each word on it is answered with what this process holds."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    from unified_demo.ui.chat import build_chat
    from unified_demo.ui.serve import launch_options

    model, expert = ScriptedModel(answer), FakeExpert(steps=1)
    engine = load_engine(Settings(media_dir=folder / "media"), model, (fake_spec(expert),))
    blocks = build_chat(engine, History(folder / "kept.sqlite", engine.store.root))
    _, url, _ = blocks.launch(**launch_options(engine), prevent_thread_lock=True, quiet=True)
    wire.send(url)
    while wire.recv() != "stop":
        model.turns.clear()  # what the fakes note of each question is not the page's
        expert.requests.clear()
        wire.send(held())
    blocks.close()


class MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc, bytes."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = [(name, ctypes.c_size_t) for name in _names]


def held() -> dict[str, Any]:
    """Resident memory, what malloc has lent (``lent_mb``) and keeps free, Python's blocks, and its objects by kind."""
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = MallInfo
    told = mallinfo()
    return {
        "server_mb": int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB,
        "lent_mb": (told.uordblks + told.hblkhd) / MB,
        "free_mb": told.fordblks / MB,
        "python_blocks": sys.getallocatedblocks(),
        "kinds": Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects()),
    }


def grown(rows: list[dict[str, Any]], most: int = 25) -> dict[str, float]:
    """Objects a message that came to stay, by kind, from the first measure to the last."""
    first, last = rows[0]["kinds"], rows[-1]["kinds"]
    messages = max(1, rows[-1]["messages"] - rows[0]["messages"])
    return {kind: count / messages for kind, count in (last - first).most_common(most)}


def heap(session: Any) -> int:
    """Bytes of the page's living JavaScript objects."""
    session.send("HeapProfiler.collectGarbage")
    return int(session.send("Runtime.getHeapUsage")["usedSize"])


def nodes(session: Any) -> int:
    """DOM nodes that live, shown or not."""
    return int(next(row["value"] for row in session.send("Performance.getMetrics")["metrics"] if row["name"] == "Nodes"))


def drive(page: Any, session: Any, wire: Connection, messages: int, picture: Path, every: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(1, messages // 2 + 1):
        if number % PICTURE_EVERY == 1:
            field = page.locator("#um-composer input[type=file]").first
            field.evaluate("field => { field.value = ''; }")  # as a click on the paper clip does, so that the same file may come again
            field.set_input_files(str(picture))
            page.locator(".um-draft").wait_for()
        page.locator("#um-composer textarea").fill(f"segment the dog, please ({number})")
        page.locator("#um-composer .submit-button").click()
        page.wait_for_function(
            "count => Number(document.querySelector('.um-earlier')?.dataset.answers ?? 0)"
            " + document.querySelectorAll('.um-answer[data-state=done]').length === count",
            arg=number,
        )
        page.locator("#um-composer .submit-button").wait_for()
        if 2 * number % every == 0:
            wire.send("memory")
            facts = {"browser_heap_mb": heap(session) / MB, "dom_nodes": nodes(session)}
            rows.append({"messages": 2 * number, **wire.recv(), **facts})
            print(
                "{messages:5d} messages: server {server_mb:.0f} MB ({lent_mb:.1f} lent by malloc, {free_mb:.1f} free in it, "
                "{python_blocks} blocks of Python), page {browser_heap_mb:.1f} MB, {dom_nodes} nodes".format(**rows[-1]),
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200, help="questions and answers together")
    parser.add_argument("--every", type=int, default=20, help="measure after so many")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    from unified_demo.ui.examples import ASSETS

    with served(serve) as (browser, url, wire, _):
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.locator('.um-status[data-state="ready"]').wait_for()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        rows = drive(page, session, wire, options.messages, ASSETS / "dog.jpg", options.every)
        print(f"{len(errors)} console errors; objects a message that came to stay:")
        for kind, count in grown(rows).items():
            print(f"{count:9.2f} {kind}")
    if options.out:
        figures = [{name: value for name, value in row.items() if name != "kinds"} for row in rows]
        written = {"rows": figures, "grown": grown(rows), "console_errors": errors, **provenance.machine()}
        options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
