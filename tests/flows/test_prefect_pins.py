"""Guards for two releases that break Prefect 3.8 without a word at install time."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import requires, version

import pytest

SCHEDULED = """
import asyncio, time
from datetime import timedelta
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

@flow
def nothing():
    pass

async def main():
    async with get_client() as client:
        flow_id = await client.create_flow(nothing)
        schedule = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(seconds=10)), active=True)
        deployment = await client.create_deployment(flow_id, "pins", entrypoint="x:nothing", schedules=[schedule])
        wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
        until = time.monotonic() + 90
        while time.monotonic() < until:
            if await client.read_flow_runs(flow_run_filter=wanted):
                return
            await asyncio.sleep(1)
    raise SystemExit("no scheduled run was created")

asyncio.run(main())
"""


def test_the_server_can_be_imported() -> None:
    """fastapi 0.151 and later: TypeError at import of any flow."""
    done = subprocess.run([sys.executable, "-c", "import prefect.server.api.server"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.timeout(240)
def test_a_scheduled_run_is_created(prefect_server: dict[str, str]) -> None:
    """sqlalchemy 2.1 and later: deployments look fine and no run is ever scheduled."""
    done = subprocess.run(
        [sys.executable, "-c", SCHEDULED], env={**os.environ, **prefect_server}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_bounds_are_in_the_package_itself() -> None:
    needed = " ".join(requires("packshot") or [])
    assert "fastapi<0.151" in needed
    assert "sqlalchemy" in needed
    assert "<2.1" in needed
    assert version("prefect").startswith("3.8.")
