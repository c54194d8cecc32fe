"""A normal night raises no alert: ten short runs, a long one, one that is cancelled, and one on Ray."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.test_scheduled import alerts, process
from tests.deployments.test_stops import PACKSHOT
from tests.flows.drawn import Drawn, start
from tests.flows.prefect_client import call, flow_runs, set_state, wait_for_state
from tests.flows.projects import Project
from tests.flows.ray_nodes import cluster
from tests.flows.test_render import packshot

# A dead run is known after five of these.
BEAT = {"PACKSHOT_BEAT_SECONDS": "2"}
SILENCE = 10.0


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets live here, and their paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="night-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def by_a_worker(environment: dict[str, str], project: Project, **options: Any) -> str:
    """Start a run of the deployment; its id."""
    deployment = call(environment, "/deployments/name/render-catalog/one-campaign-cpu")["id"]
    asked = {"parameters": {"campaign": project.path, "options": options}}
    return str(call(environment, f"/deployments/{deployment}/create_flow_run", asked)["id"])


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_a_normal_night_is_silent(tmp_path: Path, short_folder: Path, prefect_server: dict[str, str]) -> None:
    drawn = Drawn(short_folder / "drawn.log", 0.05)
    environment = {**prefect_server, **BEAT}
    slowed = {**environment, **drawn.environment}
    with alerts() as (address, received):
        done = packshot(environment, "deploy", str(tmp_path), "--alert-url", address)
        assert done.returncode == 0, done.stderr
        names = [f"short{number}" for number in range(10)]
        short = [Project.of(tmp_path / name, products=1, name=name) for name in names]
        long = Project.of(tmp_path / "long", products=160, name="long")
        cancelled = Project.of(tmp_path / "cancelled", products=400, name="cancelled")
        with process(slowed, tmp_path / "worker.log", *PACKSHOT, "--limit", "3"):
            works = by_a_worker(slowed, long, workers=1)
            runs = [by_a_worker(slowed, project) for project in short[:5]]
            for run in runs:
                assert wait_for_state(slowed, run, ["Completed"], 200) == "Completed"
            called_off = by_a_worker(slowed, cancelled, workers=1)
            wait_for_a_commit(slowed, called_off)
            set_state(slowed, called_off, "CANCELLING")
            assert wait_for_state(slowed, called_off, ["Cancelled"], 60) == "Cancelled"
            assert wait_for_state(slowed, works, ["Completed"], 200) == "Completed"
        for project in short[5:]:
            assert packshot(environment, "render", project.path).returncode == 0
        on_ray(slowed, short_folder, Project.of(tmp_path / "ray", products=20, name="ray"))
        stopped(slowed, Project.of(tmp_path / "stopped", products=400, name="stopped"), drawn)
        time.sleep(2 * SILENCE)  # time for a false alert
        assert received == []
    found = [flow_runs(environment, project.path)[0]["state"]["name"] for project in (*short, long)]
    assert found == ["Completed"] * 11


def wait_for_a_commit(environment: dict[str, str], run: str) -> None:
    until = time.monotonic() + 90
    while call(environment, f"/flow_runs/{run}")["state"]["name"] != "Running":
        assert time.monotonic() < until
        time.sleep(0.2)
    time.sleep(3)


def on_ray(environment: dict[str, str], folder: Path, project: Project) -> None:
    with cluster(folder, environment) as ray:
        command = start(environment, "render", project.path, "--runner", "ray", "--address", ray.address)
        _, err = command.communicate(timeout=200)
        assert command.returncode == 0, err


def stopped(environment: dict[str, str], project: Project, drawn: Drawn) -> None:
    drawn.clear()
    command: subprocess.Popen[str] = start(environment, "render", project.path, "--workers", "1")
    drawn.wait_for(10)
    command.send_signal(signal.SIGTERM)
    command.communicate(timeout=60)
    assert command.returncode == 130
