"""A web server of photos for tests, that behaves as it is told; and the way to it, which only tests have."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.references.addresses import Network, Place, why_not_public

HERE = "127.0.0.1"
Respond = Callable[["Handler"], None]


def photo(colour: str = "#AA3344", size: tuple[int, int] = (96, 72), kind: str = "PNG") -> bytes:
    """A photo that no plan has doubts about."""
    image = Image.new("RGB", size, colour)
    image.paste("#552233", (size[0] // 3, size[1] // 3, 2 * size[0] // 3, 2 * size[1] // 3))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Asks the server's table what to do."""

    protocol_version = "HTTP/1.1"
    server: _Counting

    def do_GET(self) -> None:
        shop = self.server.shop
        with shop.lock:
            shop.requests.append((self.path, dict(self.headers)))
            answers = shop.routes.get(self.path)
            respond = answers.pop(0) if isinstance(answers, list) and len(answers) > 1 else answers
        if isinstance(respond, list):
            respond = respond[0]
        (respond or status(404))(self)

    def log_message(self, format: str, *args: object) -> None:
        return

    def send(self, code: int, data: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def body(data: bytes, **headers: str) -> Respond:
    """A photo, whatever its headers say of it."""
    return lambda handler: handler.send(200, data, {name.replace("_", "-"): value for name, value in headers.items()})


def tagged(data: bytes, etag: str) -> Respond:
    """A photo with an ETag, and 304 where that is known."""

    def respond(handler: Handler) -> None:
        if handler.headers.get("If-None-Match") == etag:
            handler.send(304, headers={"ETag": etag})
        else:
            handler.send(200, data, {"ETag": etag})

    return respond


def status(code: int, **headers: str) -> Respond:
    return lambda handler: handler.send(code, b"no", {name.replace("_", "-"): value for name, value in headers.items()})


def redirect(location: str, code: int = 302) -> Respond:
    return lambda handler: handler.send(code, headers={"Location": location})


def drip(data: bytes, seconds: float) -> Respond:
    """A byte, and another one after a while."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for place in range(len(data)):
            try:
                handler.wfile.write(data[place : place + 1])
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(seconds)

    return respond


def drip_headers(seconds: float) -> Respond:
    """Headers that never end, a few bytes at a time."""

    def respond(handler: Handler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(1000):
                handler.wfile.write(b"X-%d: y\r\n" % number)
                handler.wfile.flush()
                time.sleep(seconds)
        except OSError:
            pass
        handler.close_connection = True

    return respond


def endless(chunk: bytes) -> Respond:
    """A body without a length that goes on until somebody hangs up; counts what was sent."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        try:
            for _ in range(10_000):
                handler.wfile.write(chunk)
                handler.server.shop.sent += len(chunk)
        except OSError:
            return

    return respond


def bomb(size: int) -> Respond:
    """Zeros, packed to a thousandth."""
    packed = gzip.compress(bytes(size), 9)
    return lambda handler: handler.send(200, packed, {"Content-Encoding": "gzip"})


def cut(data: bytes) -> Respond:
    """Half of what was announced."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True

    return respond


class _Counting(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    shop: PhotoServer

    def get_request(self) -> tuple[socket.socket, Any]:
        found = super().get_request()
        with self.shop.lock:
            self.shop.connections += 1
        return found

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


@dataclass
class PhotoServer:
    """A running server.

    Attributes:
        routes: path -> what it answers; of a list each but the last once.
        requests: paths and headers of what it was asked, in order.
    """

    routes: dict[str, Respond | list[Respond]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    sent: int = 0
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def asked(self) -> Counter[str]:
        with self.lock:
            return Counter(path for path, _ in self.requests)

    def network(self, *names: str, tls: ssl.SSLContext | None = None) -> Network:
        """The way by which these names, on any port, lead here, and others nowhere."""
        return Resolver({name: [(HERE, self.port)] for name in names}).network(tls)


@dataclass
class Resolver:
    """A DNS of the test's own: addresses by name, the next of a list of lists at each question."""

    answers: Mapping[str, Sequence[Place] | Sequence[Sequence[Place]]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> Sequence[Place]:
        self.asked.append(host)
        found: Any = self.answers.get(host)
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if found and isinstance(found[0], list):
            found = found[min(self.asked.count(host), len(found)) - 1]
        return [(address, its or port) for address, its in found]

    def network(self, tls: ssl.SSLContext | None = None) -> Network:
        """Of all private addresses the test's server alone may be reached."""
        return Network(self, only_here, lambda: tls or ssl.create_default_context())


def only_here(address: str) -> str | None:
    return None if address == HERE else why_not_public(address)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[PhotoServer]:
    """A server on a free port of this machine, stopped at the end."""
    shop = PhotoServer()
    server = _Counting((HERE, 0), Handler)
    server.shop, shop.port = shop, server.server_address[1]
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificates(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of these names shows, and what a client trusts that trusts nobody else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    title = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


def _general(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
