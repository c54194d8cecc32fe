"""The one-box way: server, workers, schedule and sensor on this machine, until Ctrl-C.

What `packshot deploy` registers with any server, and the workers that it asks for, beside a server of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from catalogs.campaigns.calendar import read_calendar, refuse_doubles
from catalogs.errors import OptionError, WorkError
from flows.only_one import only_one
from flows.signals import TO_END, handled
from tasks.settings import check_settings, stop_seconds

LOOK_SECONDS = 1.0
START_SECONDS = 120.0
STOP_SECONDS = 20.0
POOLS = {"cpu": 2, "gpu": 1}
"""Runs at once of each pool: proofs go on beside a campaign that has the GPU."""

_SERVER_SETTINGS = {
    "PREFECT_UI_API_URL": "/api",  # else the page asks port 4200, whatever port the server has
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # Runs with their logs and artifacts, which Prefect keeps for ever by itself; events go after a week.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 24 * 3600),
}
_RUN_SETTINGS = {"DO_NOT_TRACK": "1", "PREFECT_WORKER_QUERY_SECONDS": "2"}


class ServerError(WorkError):
    """The Prefect server of `packshot serve` did not start."""


@dataclass(frozen=True)
class Service:
    """What `packshot serve` does.

    Attributes:
        cron: when to render what is due; never by the clock when None.
        every: seconds between two looks for changes; none when 0.
        port: of its server.
        gallery_port: of the galleries; none are served when 0, and that after `port` when None.
        metrics: host and port of the numbers for Prometheus; no port, none.
    """

    folder: str
    cron: str | None
    time_zone: str
    every: float
    port: int
    alert_url: str | None = None
    gallery_port: int | None = None
    metrics: tuple[str, int | None] = ("127.0.0.1", None)


def serve(service: Service, say: Callable[[str], None]) -> None:
    """Serve until told to end; then runs get their time to commit what is finished.

    Raises:
        UserError: the folder, a campaign in it, the schedule or a setting cannot be used; another one serves already.
        ServerError: no Prefect server could be started.
    """
    entries = read_calendar(service.folder)
    refuse_doubles(entries)
    _refuse_another_server()
    folder, url = os.path.abspath(service.folder), f"http://127.0.0.1:{service.port}"
    for name, value in {**_RUN_SETTINGS, "PREFECT_UI_URL": url}.items():
        os.environ.setdefault(name, value)
    os.environ["PREFECT_API_URL"] = f"{url}/api"
    # Prefect reads its environment when it is imported.
    from flows.deploy import Plan, check_plan, deploy
    from flows.metrics_page import metrics_page

    plan = Plan(folder, service.cron, service.time_zone, service.alert_url)
    check_plan(plan)
    check_settings()
    alone = only_one(f"port {service.port}", "--port"), only_one(folder, "FOLDER")
    page, galleries = metrics_page(*service.metrics, say), _galleries(service, say)
    with alone[0], alone[1], _told() as told, page, galleries, _server(service.port, say) as server:
        say(f"campaigns    {len(entries)} in {service.folder}")
        deploy(plan, lambda line: None)
        say(f"schedule     {f'{service.cron} {service.time_zone}' if service.cron else 'none'}")
        with _workers(server) as workers, _watch(service, told, say):
            say("runs         are taken up; Ctrl-C ends everything in order")
            while not told.wait(LOOK_SECONDS):
                if server.poll() is not None:
                    raise ServerError("the Prefect server has ended by itself; start `packshot serve` again")
                workers.look_after(say)
            say("ends         what runs commits what it has finished")


def _refuse_another_server() -> None:
    if url := os.environ.get("PREFECT_API_URL"):
        problem = "names a server, and `packshot serve` starts its own"
        fix = "unset it, or use that one by `packshot deploy` and `packshot worker`"
        raise OptionError("PREFECT_API_URL", url, problem, fix)


@contextmanager
def _told() -> Iterator[threading.Event]:
    """Set by SIGTERM and SIGINT while the block runs."""
    told = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        told.set()

    with handled(end, *TO_END):
        yield told


@contextmanager
def _galleries(service: Service, say: Callable[[str], None]) -> Iterator[None]:
    """The galleries on a port of their own, and runs that know of it, while the block runs.

    Raises:
        OptionError: the port that was asked for is taken; where none was, there are no galleries then.
    """
    from flows.gallery_server import serve_galleries
    from flows.summary_page import GALLERIES

    port = service.port + 1 if service.gallery_port is None else service.gallery_port
    with ExitStack() as stack:
        try:
            if port:
                os.environ[GALLERIES] = stack.enter_context(serve_galleries(service.folder, port))
                say(f"galleries    {os.environ[GALLERIES]}")
        except OptionError as error:
            if service.gallery_port is not None:
                raise
            say(f"galleries    none: {error}")
        yield


@contextmanager
def _server(port: int, say: Callable[[str], None]) -> Iterator[subprocess.Popen[bytes]]:
    """A server of our own; it stops with us, its history stays."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = _start(command, {**_SERVER_SETTINGS, **os.environ})
    try:
        _wait_for(server, port)
        say(f"page         http://127.0.0.1:{port}")
        yield server
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process that Ctrl-C in the terminal does not reach: it is told when its turn has come."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise ServerError(f"no Prefect server started on port {port}; is the port taken? try --port")


class _Workers:
    """A worker of each pool; one that ended by itself is started again."""

    def __init__(self) -> None:
        self._running = {pool: self._started(pool) for pool in POOLS}

    def _started(self, pool: str) -> subprocess.Popen[bytes]:
        from flows.worker import command, environment

        return _start(command(pool, POOLS[pool]), environment())

    def look_after(self, say: Callable[[str], None]) -> None:
        for pool, worker in self._running.items():
            if (code := worker.poll()) is not None:
                say(f"worker       of {pool} ended with {code}; another one is started")
                self._running[pool] = self._started(pool)

    def end(self) -> None:
        for worker in self._running.values():
            with suppress(ProcessLookupError):
                worker.terminate()


@contextmanager
def _workers(server: subprocess.Popen[bytes]) -> Iterator[_Workers]:
    """Workers while the block runs; at its end their runs are waited for."""
    from flows.worker import TEARDOWN_SECONDS, adopt_orphans, wait_for_children

    adopt_orphans()
    workers = _Workers()
    try:
        yield workers
    finally:
        workers.end()
        wait_for_children(stop_seconds() + TEARDOWN_SECONDS, but=server.pid)


@contextmanager
def _watch(service: Service, told: threading.Event, say: Callable[[str], None]) -> Iterator[None]:
    """Look for changes while the block runs."""
    from flows.watch import watch

    if service.every:
        say(f"changes      looked for every {service.every:g} s")
        arguments = (service.folder, service.every, told.wait, say)
        threading.Thread(target=watch, args=arguments, daemon=True, name="watch").start()
    yield
