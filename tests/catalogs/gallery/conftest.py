"""A store on disk, a gallery of 2,000 assets in one, and a browser that looks at it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from catalogs.gallery.gallery import PAGE_SIZE, write_gallery
from catalogs.storage.store import Store
from tests.catalogs.gallery.rows import put_picture, row_of

BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "a store #1"))


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test for any error, refused script or request that leaves the disk."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: problems.append(request.url) if _leaves(request.url) else None)
    opened.on("request", lambda request: requests.append(request.url))
    opened.problems, opened.requests = problems, requests
    yield opened
    context.close()
    assert problems == []


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:", "http://127.0.0.1:"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """2,000 assets with pictures on disk, and their report."""
    store = Store.at(str(tmp_path_factory.mktemp("gallery") / "out put #1"))
    rows = [row_of(n) for n in range(PAGE_SIZE)]
    for n, row in enumerate(rows):
        put_picture(store, row, n)
    write_gallery(store, "r1", "Autumn 26/27", rows, details={"Model": "klein-4b"})
    return store


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def bucket(shop: Store) -> Iterator[str]:
    """The store as a public bucket serves it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=shop.root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
