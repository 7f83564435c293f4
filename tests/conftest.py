"""Shared fixtures. Tests reach no network but this machine; what is missing is skipped, or fails where CI demands it.

``UNIFIED_DEMO_REQUIRE_BROWSER=1`` and ``UNIFIED_DEMO_REQUIRE_WEIGHTS=1`` turn a missing Chromium or missing weights
into failures.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import pytest
from hypothesis import settings

from unified_demo.config import Settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parent.parent
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
CHROMIUM_FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
"""A camera with a moving pattern and a microphone that beeps, which no visitor has to allow."""


def skip_or_fail(reason: str, variable: str) -> None:
    """Skip the test, or fail it where ``variable`` says that this machine must have what is missing."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{reason} ({variable}=1)", pytrace=False)
    pytest.skip(reason)


@lru_cache
def missing_weights() -> tuple[str, ...]:
    """Roles of the default profile whose files are not on this machine."""
    from unified_demo.zoo import Zoo

    chosen = Settings()
    return tuple(file.role for file in Zoo(chosen.cache_dir, chosen.weights_dir).missing(chosen.profile))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("weights") and missing_weights():
        absent = ", ".join(missing_weights())
        skip_or_fail(f"weights are missing: {absent}; run python -m unified_demo.zoo fetch", "UNIFIED_DEMO_REQUIRE_WEIGHTS")
    if item.get_closest_marker("browser") and not find_chromium():
        skip_or_fail("Chromium is missing (Debian: apt-get install chromium)", "UNIFIED_DEMO_REQUIRE_BROWSER")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections from the test process leave this machine nowhere."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests reach no network; a connection to {address[0]} was refused")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def find_chromium() -> str | None:
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium (playwright.sync_api.Browser) of the system; mark the test ``browser``."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def visitor(browser: Any, site: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A window (page_site.Visitor) on the ``site`` of the test's file, with what ``indirect`` parameters say; no errors, no strangers."""
    from page_site import Visitor

    made = Visitor(browser, site.url, **getattr(request, "param", {}))
    yield made
    made.context.close()
    assert made.errors == []
    assert made.strangers == []
