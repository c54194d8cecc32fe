"""The galleries of a folder's campaigns for a browser on this machine: read-only, of another origin than Prefect's.

Prefect's own server asks nobody for a password, so nothing that a gallery shows may reach it: a page here may ask for
nothing but pictures and data of its own output, and only what a gallery is made of is given out.
"""

from __future__ import annotations

import html
import json
import mimetypes
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from catalogs.campaigns.calendar import read_calendar
from catalogs.errors import OptionError, PackshotError
from catalogs.identity import run_key
from catalogs.storage.store import MissingKey, Store
from flows.summary_page import slug
from tasks.run_summary import SUMMARY_NAME

HOST = "127.0.0.1"
STOP_SECONDS = 5.0
BACKLOG = 128
RUNS_LOOKED_AT = 50
LOOK_SECONDS = 5.0
# What a gallery is made of; everything else of an output is nobody's business here.
_KEYS = re.compile(r"runs/[^/]+/report/[^/]+|assets/.+|thumbs/.+")
# A page has the hashes of its own script and style in its own policy, and must keep to both.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INDEX = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Galleries - packshot</title><style>
body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:56rem;padding:0 1rem;color:#1d1d1f}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.6rem .8rem;border-bottom:1px solid #ddd}
th{font-weight:600;color:#666}a{color:#0b57d0}td:last-child{color:#666;font-family:ui-monospace,monospace;font-size:.85em}
</style></head><body><h1>Galleries</h1><table>
<tr><th>campaign</th><th>delivered</th><th>newest run</th></tr>ROWS</table></body></html>"""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Shown:
    """The newest gallery of a campaign.

    Attributes:
        address: its path on this server.
    """

    campaign: str
    address: str
    run_id: str
    said: str


class Galleries:
    """The outputs of a folder's campaigns by their slugs; a new campaign is found when it is asked for."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._outputs: dict[str, str] = {}
        self._looked = float("-inf")

    def store(self, name: str) -> Store | None:
        """The output of a slug, None where no campaign of the folder has it."""
        output = self._outputs.get(name) or self._look().get(name)
        return Store.at(output) if output else None

    def newest(self) -> list[Shown]:
        """The newest gallery of each campaign, by name."""
        shown: dict[tuple[str, str], Shown] = {}
        for name, output in self._look().items():
            for found in _newest_of(Store.at(output), name):
                shown.setdefault((name, found.campaign), found)
        return sorted(shown.values(), key=lambda one: one.campaign)

    def _look(self) -> dict[str, str]:
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._looked = time.monotonic()
                campaigns = [entry.campaign for entry in read_calendar(self._folder) if entry.campaign]
                self._outputs = {slug(campaign.output): campaign.output for campaign in campaigns}
            return self._outputs


def _newest_of(store: Store, name: str) -> Iterator[Shown]:
    """What the last runs of an output left to look at, the newest first."""
    for run_id in sorted(store.folders("runs"), reverse=True)[:RUNS_LOOKED_AT]:
        key = run_key(run_id, "report/index.html")
        with suppress(PackshotError, ValueError, KeyError, TypeError):  # a run without its last word shows nothing
            summary = json.loads(store.read(run_key(run_id, SUMMARY_NAME)))
            if store.exists(key):
                outcome = summary["outcome"]
                said = f"{outcome['delivered']} of {outcome['planned']} assets"
                yield Shown(str(summary["plan"]["campaign"]), f"/{name}/{quote(key)}", run_id, said)


@contextmanager
def serve_galleries(folder: str, port: int) -> Iterator[str]:
    """Serve the galleries of a folder's campaigns while the block runs; gives the address.

    Raises:
        OptionError: the port is taken.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(BACKLOG)  # who asks before the thread has begun waits
    except OSError as error:
        listening.close()
        text = f"galleries cannot be served there: {error.strerror or error}"
        raise OptionError("--gallery-port", str(port), text, "give another one, or 0 for none") from None
    config = uvicorn.Config(application(Galleries(folder)), log_config=None, lifespan="off", server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="galleries", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        listening.close()


def application(galleries: Galleries) -> Starlette:
    """What answers: a list of galleries, and what they are made of."""

    def index(request: Request) -> Response:
        return _answer(HTMLResponse(_index_page(galleries.newest())), _PAGE_POLICY)

    def icon(request: Request) -> Response:
        return _answer(Response(status_code=204))  # browsers ask by themselves, and would report that there is none

    def file(request: Request) -> Response:
        return _file(galleries, request.path_params["name"], request.path_params["key"])

    def refused(request: Request, error: Exception) -> Response:
        return _answer(PlainTextResponse("the output cannot be read just now", 503))

    return Starlette(
        routes=[Route("/", index), Route("/favicon.ico", icon), Route("/{name}/{key:path}", file)],
        # Another site's page must not reach this one under a name of its own.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)],
        exception_handlers={PackshotError: refused},
    )


def _file(galleries: Galleries, name: str, key: str) -> Response:
    store = galleries.store(name)
    if store is None or not _is_shown(store, key):
        return _answer(PlainTextResponse("no such file", 404))
    try:
        data = store.read(key)
    except MissingKey:
        return _answer(PlainTextResponse("no such file", 404))
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    return _answer(Response(data, media_type=kind), _PAGE_POLICY if kind == "text/html" else "")


def _is_shown(store: Store, key: str) -> bool:
    """Whether a key is of a gallery, and its file within the output whatever links lie there."""
    if not _KEYS.fullmatch(key) or {"", ".", ".."} & set(key.split("/")) or "\\" in key or "\0" in key:
        return False
    if not store.is_local:
        return True
    root = os.path.realpath(store.path())
    return os.path.realpath(store.path(key)).startswith(root + os.sep)


def _answer(response: Response, policy: str = "") -> Response:
    response.headers.update({**_HEADERS, "Content-Security-Policy": policy or "default-src 'none'; sandbox"})
    return response


def _index_page(found: Sequence[Shown]) -> str:
    rows = "".join(
        f'<tr><td><a href="{html.escape(one.address)}">{html.escape(one.campaign)}</a></td>'
        f"<td>{html.escape(one.said)}</td><td>{html.escape(one.run_id)}</td></tr>"
        for one in found
    )
    return _INDEX.replace("ROWS", rows or '<tr><td colspan="3">No run has left a gallery yet.</td></tr>')
