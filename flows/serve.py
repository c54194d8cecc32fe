"""The one-box way: server, schedule, sensor and runs on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from uuid import UUID

from catalogs.campaigns.calendar import read_calendar, refuse_doubles
from catalogs.errors import WorkError

START_SECONDS = 120.0
STOP_SECONDS = 20.0
NAME = "here"

_SERVER_SETTINGS = {
    "PREFECT_UI_API_URL": "/api",  # else the page asks port 4200, whatever port the server has
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
_RUN_SETTINGS = {"DO_NOT_TRACK": "1", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


class ServerError(WorkError):
    """The Prefect server of `packshot serve` did not start."""


@dataclass(frozen=True)
class Service:
    """What `packshot serve` does.

    Attributes:
        cron: when to render what is due; never by the clock when None.
        every: seconds between two looks for changes; none when 0.
        port: of the server that is started when PREFECT_API_URL names none.
    """

    folder: str
    cron: str | None
    time_zone: str
    every: float
    port: int
    alert_url: str | None = None


def serve(service: Service, say: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Raises:
        UserError: the folder, a campaign in it, the schedule or PREFECT_API_URL cannot be used.
        ServerError: no Prefect server could be started.
    """
    entries = read_calendar(service.folder)
    refuse_doubles(entries)
    for name, value in _RUN_SETTINGS.items():
        os.environ.setdefault(name, value)
    is_ours = not os.environ.get("PREFECT_API_URL")
    if is_ours:
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{service.port}/api"
    # Prefect reads its environment when it is imported.
    from flows.automations import check_alert_url
    from flows.deploy import check_schedule, server_url

    check_schedule(service.cron or "0 5 * * *", service.time_zone)
    check_alert_url(service.alert_url)
    with _server(service.port, say) if is_ours else nullcontext():
        say(f"server       {server_url()}")
        say(f"campaigns    {len(entries)} in {service.folder}")
        asyncio.run(_run(service, say))


@contextmanager
def _server(port: int, say: Callable[[str], None]) -> Iterator[None]:
    """A server of our own; it stops with us, its history stays."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**_SERVER_SETTINGS, **os.environ}
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        _wait_for(server, port)
        say(f"page         http://127.0.0.1:{port}")
        yield
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise ServerError(f"no Prefect server started on port {port}; is the port taken? try --port")


async def _run(service: Service, say: Callable[[str], None]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.runner import Runner
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.automations import apply_automations
    from flows.marketing import marketing_run
    from flows.watch import watch

    runner = Runner(name="packshot", limit=1, query_seconds=2)
    deployment = await marketing_run.ato_deployment(
        NAME,
        schedule=Cron(service.cron, timezone=service.time_zone) if service.cron else None,
        parameters={"folder": os.path.abspath(service.folder)},
        tags=["marketing"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    identity: UUID = await runner.aadd_deployment(deployment)
    async with get_client() as client:
        names = await apply_automations(client, lambda name: identity, service.alert_url)
    say(f"automations  {len(names)}")
    say(f"schedule     {f'{service.cron} {service.time_zone}' if service.cron else 'none'}")
    stop = threading.Event()
    if service.every:
        say(f"changes      looked for every {service.every:g} s")
        arguments = (service.folder, service.every, stop.wait, say)
        threading.Thread(target=watch, args=arguments, daemon=True, name="watch").start()
    try:
        await runner.start()
    finally:
        stop.set()
