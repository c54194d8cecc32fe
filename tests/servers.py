"""Local S3 servers for tests: moto, a flaky one with scripted faults, and what they share with Swift."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import botocore.config
import botocore.session
import pytest

START_TIMEOUT = 90.0
MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a program; fail it where nothing may be missing (PACKSHOT_NO_SKIP=1)."""
    if os.environ.get("PACKSHOT_NO_SKIP") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require(name: str, *others: str) -> str:
    """Path of a program by any of its names; PACKSHOT_<NAME> gives it by hand."""
    given = os.environ.get(f"PACKSHOT_{name.upper()}")
    found = given or next(filter(None, map(shutil.which, (name, *others))), None)
    return found or missing(f"{name} is not installed: apt-get install {name}")


def program(name: str) -> str:
    """Path of a script that a Python package of this environment installed."""
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else missing(f"{name} is not installed: pip install -e .[dev]")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listened on a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Processes:
    """Server processes with a log file each, stopped by process id."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        with open(self.logs / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._running.append((name, process))

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Raise RuntimeError with the logs when a process ends or the time is up before `ready`."""
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            ended = [name for name, process in self._running if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{ended or 'server'} did not start\n{self.tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for _, process in self._running:
                if process.poll() is None:
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and any(p.poll() is None for _, p in self._running):
                time.sleep(0.05)
        for _, process in self._running:
            process.wait()
        self._running.clear()

    def tail(self, count: int = 3000) -> str:
        logs = sorted(self.logs.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-count:]}" for log in logs)


@dataclass(frozen=True)
class S3Server:
    """A running server and the account to use it with."""

    endpoint: str
    key: str
    secret: str
    tail: Callable[[], str] = str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self._client().create_bucket(Bucket=name)
        return name

    def head(self, bucket: str, key: str) -> dict[str, Any]:
        """The headers that the server keeps for a key."""
        return dict(self._client().head_object(Bucket=bucket, Key=key))

    def ready(self) -> bool:
        """Whether the server makes and finds a bucket."""
        try:
            self._client().head_bucket(Bucket=self.bucket())
        except Exception:
            return False
        return True

    def _client(self) -> Any:
        config = botocore.config.Config(
            s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30, retries={"max_attempts": 2}
        )
        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=config,
        )


@contextmanager
def started(folder: Path, launch: Callable[[Processes], S3Server], attempts: int = 3) -> Iterator[S3Server]:
    """A server from `launch`, ready; begun anew when it does not start (a port may have been taken)."""
    for attempt in range(1, attempts + 1):
        processes = Processes(folder / f"log-{attempt}")
        try:
            server = launch(processes)
            processes.wait_until(server.ready)
        except RuntimeError:
            processes.stop()
            if attempt == attempts:
                raise
            continue
        except BaseException:
            processes.stop()
            raise
        try:
            yield server
        finally:
            processes.stop()
        return


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    """moto's S3 in a process of its own, so that its warnings are not our test's errors."""
    script = program("moto_server")

    def launch(processes: Processes) -> S3Server:
        (port,) = free_ports(1)
        processes.start("moto", [script, "-H", "127.0.0.1", "-p", str(port)])
        return S3Server(f"http://127.0.0.1:{port}", "moto-key", "moto-secret", processes.tail)

    with started(folder, launch) as server:
        yield server


@dataclass
class FlakyS3:
    """A small S3 that keeps objects in memory and fails as told.

    `faults[method]` is consumed by the requests of that method: "slow-down" (503),
    "reset" (connection reset, nothing done), "lost-answer" (done, then connection reset), "conflict" (409),
    "broken" (500), "denied" (403). `locked` gives the code with which DeleteObjects keeps a key.
    """

    endpoint: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[str]] = field(default_factory=dict)
    locked: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, method: str, *faults: str) -> None:
        self.faults[method] = deque(faults)

    @property
    def environment(self) -> dict[str, str]:
        return S3Server(self.endpoint, "flaky-key", "flaky-secret").environment


ANSWERS = {
    "slow-down": (503, "SlowDown", "Please reduce your request rate."),
    "conflict": (409, "ConditionalRequestConflict", "A conflicting operation is in progress."),
    "broken": (500, "InternalError", "We encountered an internal error."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "exists": (412, "PreconditionFailed", "A precondition did not hold."),
    "missing": (404, "NoSuchKey", "The key does not exist."),
}


class FlakyHandler(BaseHTTPRequestHandler):
    """Answers GET, HEAD, PUT and DELETE of one object, ListObjectsV2 and DeleteObjects."""

    protocol_version = "HTTP/1.1"
    state: FlakyS3

    def do_PUT(self) -> None:
        self._serve(self._put)

    def do_GET(self) -> None:
        self._serve(self._list if "list-type" in parse_qs(urlsplit(self.path).query) else self._get)

    def do_HEAD(self) -> None:
        self._serve(self._get)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def do_POST(self) -> None:
        self._serve(self._delete_many)

    def log_message(self, format: str, *args: object) -> None:
        return

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _serve(self, act: Callable[[bytes], None]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.state.lock:
            pending = self.state.faults.get(self.command)
            fault = pending.popleft() if pending else ""
            self.state.seen.append(f"{self.command} {fault or 'ok'}")
            if fault in ANSWERS:
                self._refuse(fault)
            elif fault == "reset":
                self._reset()
            elif fault == "lost-answer":
                self._put_quietly(body)
                self._reset()
            else:
                act(body)

    def _put(self, body: bytes) -> None:
        if not self._put_quietly(body):
            self._refuse("exists")
        else:
            self._answer(200, b"", {"ETag": f'"{md5(body).hexdigest()}"'})

    def _put_quietly(self, body: bytes) -> bool:
        if self.headers.get("If-None-Match") == "*" and self.key in self.state.objects:
            return False
        self.state.objects[self.key] = body
        return True

    def _get(self, body: bytes) -> None:
        data = self.state.objects.get(self.key)
        if data is None:
            self._refuse("missing")
        else:
            headers = {"ETag": f'"{md5(data).hexdigest()}"', "Last-Modified": MODIFIED}
            self._answer(200, data, headers)

    def _delete(self, body: bytes) -> None:
        self.state.objects.pop(self.key, None)
        self._answer(204, b"", {})

    def _delete_many(self, body: bytes) -> None:
        bucket, kept = self.key.rstrip("/"), ""
        for key in (each.text for each in ElementTree.fromstring(body).iter() if each.tag.endswith("Key")):
            if code := self.state.locked.get(f"{bucket}/{key}"):
                kept += f"<Error><Key>{key}</Key><Code>{code}</Code></Error>"
            else:
                self.state.objects.pop(f"{bucket}/{key}", None)
        text = f"<DeleteResult>{kept}</DeleteResult>"
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _list(self, body: bytes) -> None:
        prefix = f"{self.key.rstrip('/')}/" + parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
        keys = sorted(key for key in self.state.objects if key.startswith(prefix))
        items = "".join(
            f"<Contents><Key>{key.partition('/')[2]}</Key><Size>{len(self.state.objects[key])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        )
        text = f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount>{items}</ListBucketResult>"
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _refuse(self, fault: str) -> None:
        status, code, message = ANSWERS[fault]
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self._answer(status, text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        # a linger of zero seconds makes close() send RST instead of FIN
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


class QuietServer(ThreadingHTTPServer):
    """Closes a connection at once, without the polite shutdown that would hide a reset."""

    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


@contextmanager
def flaky() -> Iterator[FlakyS3]:
    """A `FlakyS3` on a free port."""
    state = FlakyS3()
    handler = type("Handler", (FlakyHandler,), {"state": state})
    server: socketserver.BaseServer = QuietServer(("127.0.0.1", 0), handler)
    state.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
