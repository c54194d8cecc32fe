"""A time-stamp authority on localhost: openssl answers, or nobody does."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.inference.credentials.chains import STAMPING, made
from tests.servers import require

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/leaf.pem
certs = {folder}/chain.pem
signer_key = {folder}/key.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """How it answers, and how often it was asked.

    Attributes:
        failing: how many requests from now on are refused.
    """

    url: str = ""
    failing: int = 0
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """A server that gives time stamps."""
    openssl = require("openssl")
    one = made((STAMPING,), organisation="Stamps", critical=True)
    for name, text in (("leaf", one.leaf), ("chain", one.middle + one.root), ("key", one.key)):
        (folder / f"{name}.pem").write_text(text)
    (folder / "serial").write_text("01\n")
    (folder / "tsa.conf").write_text(CONFIG.format(folder=folder))
    state = Authority()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            with state.lock:
                state.asked += 1
                refused, state.failing = state.failing > 0, max(state.failing - 1, 0)
                answer = b"" if refused else _stamp(openssl, folder, query)
            self.send_response(503 if refused else 200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()


def _stamp(openssl: str, folder: Path, query: bytes) -> bytes:
    (folder / "query.tsq").write_bytes(query)
    reply = [openssl, "ts", "-reply", "-config", str(folder / "tsa.conf"), "-queryfile", str(folder / "query.tsq")]
    subprocess.run([*reply, "-out", str(folder / "reply.tsr")], check=True, capture_output=True)
    return (folder / "reply.tsr").read_bytes()
