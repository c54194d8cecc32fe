"""A killed run is found by its silence; one that lives, and one that has ended, are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deployments.test_scheduled import alerts, state_of
from tests.flows.test_marketing import three_campaigns
from tests.flows.test_render import packshot, python

BEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", "PREFECT_LOGGING_LEVEL": "ERROR"}

# Pure Python that never rests: what a heartbeat thread has to get through.
BUSY = """
import sys, time
from prefect import flow
@flow(name="render-catalog", flow_run_name=sys.argv[1])
def busy(seconds):
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        count += 1
    return count
busy(float(sys.argv[2]))
"""

LATE = """
import sys
from prefect.events import emit_event
resource = {"prefect.resource.id": f"prefect.flow-run.{sys.argv[1]}", "prefect.resource.name": "ended"}
flow = {"prefect.resource.id": "prefect.flow.x", "prefect.resource.role": "flow"}
flow["prefect.resource.name"] = "render-catalog"
emit_event("prefect.flow-run.heartbeat", resource=resource, related=[flow])
"""


def states(environment: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {run["name"]: (run["state"], run["id"]) for run in state_of(environment)["runs"]}


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_dead_run_is_found_and_a_living_one_left_alone(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    three_campaigns(tmp_path / "campaigns")
    environment = {**prefect_server, **BEAT}
    with alerts() as (address, received):
        done = packshot(environment, "deploy", str(tmp_path / "campaigns"), "--alert-url", address)
        assert done.returncode == 0, done.stderr
        command = (sys.executable, "-c", BUSY)
        everything = {**os.environ, **environment}
        dead = subprocess.Popen([*command, "killed", "1000"], env=everything)
        living = subprocess.Popen([*command, "living", "230"], env=everything)
        try:
            assert python(environment, "-c", BUSY, "ended", "1").returncode == 0
            assert python(environment, "-c", LATE, states(environment)["ended"][1]).returncode == 0
            until = time.monotonic() + 60
            while time.monotonic() < until and states(environment).get("killed", ("",))[0] != "Running":
                time.sleep(0.5)
            time.sleep(2)
            dead.kill()
            killed = time.monotonic()
            while time.monotonic() < killed + 215 and states(environment)["killed"][0] != "Crashed":
                time.sleep(2)
            found = {name: state for name, (state, _) in states(environment).items()}
            assert found["killed"] == "Crashed", found
            assert time.monotonic() - killed > 100
            assert living.wait(120) == 0
        finally:
            dead.kill()
            living.kill()
        assert states(environment)["living"][0] == "Completed"
        assert states(environment)["ended"][0] == "Completed"
        assert [m["text"].split(":")[0] for m in received if "No sign of life" in m["text"]] == ["killed"]
