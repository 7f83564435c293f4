"""A page in a process of its own and Chromium in front of it, for the benchmarks that drive the page."""

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


@contextmanager
def served(serve: Callable[[Connection, Path], None]) -> Iterator[tuple[Any, str, Connection, Path]]:
    """The browser, the address of the page, the wire to its server and a folder that is gone afterwards.

    ``serve(wire, folder)`` runs in the other process; it sends the address first and ends at the word "stop".
    """
    from playwright.sync_api import sync_playwright

    here, there = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(there, Path(folder)), daemon=True)
        server.start()
        url = here.recv()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser, url, here, Path(folder)
        finally:
            browser.close()
            here.send("stop")
            server.join()
