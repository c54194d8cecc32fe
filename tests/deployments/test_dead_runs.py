"""A killed run is found by its silence and told once; one that lives, and one that has ended, are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deployments.test_scheduled import alerts, state_of
from tests.flows.drawn import Drawn, start
from tests.flows.prefect_client import call, flow_runs, wait_for_state
from tests.flows.projects import Project
from tests.flows.test_render import packshot, python

BEAT = {"PACKSHOT_BEAT_SECONDS": "2", "PREFECT_LOGGING_LEVEL": "ERROR"}
SILENCE = 10.0

# Pure Python that never rests: what the thread of the signs of life has to get through.
BUSY = """
import sys, time
from prefect import flow
from flows.alive import alive
def work(seconds):
    until = time.monotonic() + seconds
    count = 0
    with alive():
        while time.monotonic() < until:
            count += 1
    return count
part = flow(work, name="part", flow_run_name=sys.argv[1] + " within")
@flow(name="busy", flow_run_name=sys.argv[1])
def busy(seconds):
    with alive():
        return part(seconds)
busy(float(sys.argv[2]))
"""


def states(environment: dict[str, str]) -> dict[str, str]:
    return {run["name"]: run["state"] for run in state_of(environment)["runs"]}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_dead_run_is_told_once_and_a_living_or_ended_one_never(
    tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    environment = {**prefect_server, **BEAT}
    everything = {**os.environ, **environment}
    Project.of(tmp_path / "campaigns", products=1)
    with alerts() as (address, received):
        done = packshot(environment, "deploy", str(tmp_path / "campaigns"), "--alert-url", address)
        assert done.returncode == 0, done.stderr
        command = (sys.executable, "-c", BUSY)
        dead = subprocess.Popen([*command, "killed", "1000"], env=everything)
        living = subprocess.Popen([*command, "living", "45"], env=everything)
        try:
            assert python(environment, "-c", BUSY, "short", "1").returncode == 0
            until = time.monotonic() + 60
            while "killed" not in states(environment) and time.monotonic() < until:
                time.sleep(0.5)
            time.sleep(3)
            dead.kill()
            while states(environment)["killed"] != "Crashed" and time.monotonic() < until + 60:
                time.sleep(1)
            assert living.wait(120) == 0
            time.sleep(2 * SILENCE)  # time for a false alert
        finally:
            dead.kill()
            living.kill()
        found = states(environment)
        dead_ones = {name for name, state in found.items() if state == "Crashed"}
        assert {"killed", "killed within"} <= dead_ones
        assert {found[name] for name in ("short", "short within", "living", "living within")} == {"Completed"}
        [message] = received
        [text] = message["text"].splitlines()
        assert text.startswith("killed: no sign of life, so it is marked as crashed; what it delivered is safe")


def tags_of(environment: Mapping[str, str], project: Project) -> set[str]:
    return set(flow_runs(environment, project.path)[0]["tags"])


@pytest.mark.timeout(240)
def test_a_run_whose_process_is_gone_is_settled_by_the_next_who_starts_on_its_host(
    tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    drawn = Drawn(tmp_path / "drawn.log", 0.05)
    environment = {**prefect_server, **drawn.environment}
    project = Project.of(tmp_path / "project", products=200, name="settled")
    killed = start(environment, "render", project.path)
    drawn.wait_for(4)
    run = flow_runs(environment, project.path)[0]["id"]
    elsewhere = call(environment, f"/flow_runs/{run}")
    found = tags_of(environment, project)
    assert {"campaign:settled", "engine:proof"} < found
    other = {
        "name": "elsewhere",
        "flow_id": elsewhere["flow_id"],
        "state": {"type": "RUNNING"},
        "tags": ["host:another", *(tag for tag in found if tag.startswith("process:"))],
    }
    far = call(environment, "/flow_runs/", other)["id"]
    killed.kill()
    killed.communicate()
    assert wait_for_state(environment, run, ["Running"]) == "Running"
    done = packshot(environment, "deploy", str(project.folder))
    assert done.returncode == 0, done.stderr
    assert "settled      settled" in done.stdout
    assert wait_for_state(environment, run, ["Crashed"]) == "Crashed"
    assert wait_for_state(environment, far, ["Running"]) == "Running"
