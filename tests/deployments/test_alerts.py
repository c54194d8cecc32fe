"""Every alert: told in one sentence when it should be, once a cause and day, told again when mended, silent else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flows.deploy import SCHEDULED
from tests.deployments.test_scheduled import alerts, process
from tests.deployments.test_stops import start_run
from tests.flows.drawn import Drawn
from tests.flows.projects import Project
from tests.flows.test_render import packshot, python

NIGHT = "import sys; from flows.marketing import marketing_run; marketing_run(sys.argv[1], return_state=True)"


def night(environment: dict[str, str], folder: Path) -> None:
    done = python(environment, "-c", NIGHT, str(folder))
    assert done.returncode == 0, done.stderr


def texts(received: list[dict[str, Any]], count: int, seconds: float = 30.0) -> list[str]:
    """What was posted, once so many alerts have come, and a moment later."""
    until = time.monotonic() + seconds
    while len(received) < count and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(2)
    found = [str(message["text"]) for message in received]
    received.clear()
    return found


@pytest.mark.timeout(280)
def test_a_broken_file_is_told_once_a_day_and_when_it_is_mended(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    folder = tmp_path / "campaigns"
    Project.of(folder / "fine", products=1, name="fine")
    broken = Project.of(folder / "spring", products=1, name="spring")
    with alerts() as (address, received):
        assert packshot(prefect_server, "deploy", str(folder), "--alert-url", address).returncode == 0
        night(prefect_server, folder)
        assert texts(received, 1, 3) == [], "a normal night"
        right = (broken.folder / "campaign.yaml").read_text()
        (broken.folder / "campaign.yaml").write_text(right.replace("model:", "modle:"))
        night(prefect_server, folder)
        [told] = texts(received, 1)
        assert "modle: unknown key 'modle'; did you mean 'model'?" in told
        assert (
            f"; correct it; the next run takes it up; {prefect_server['PREFECT_API_URL'][:-4]}/runs/flow-run/" in told
        )
        assert "\n" not in told
        assert "None" not in told
        night(prefect_server, folder)
        assert texts(received, 1, 3) == [], "the same cause on the same day"
        (broken.folder / "campaign.yaml").write_text(right.replace("shots:", "shoots:"))
        night(prefect_server, folder)
        [told] = texts(received, 1)
        assert "shoots" in told, "a new cause"
        (broken.folder / "campaign.yaml").write_text(right)
        night(prefect_server, folder)
        [told] = texts(received, 1)
        assert told.startswith("spring: in order again; http")
        night(prefect_server, folder)
        assert texts(received, 1, 3) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_failed_run_by_hand_says_what_is_missing_and_what_to_do(
    tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    project = Project.of(tmp_path / "a folder", products=4, name="by-hand")
    plan = str(tmp_path / "plan.parquet")
    with alerts() as (address, received):
        assert packshot(prefect_server, "deploy", str(project.folder), "--alert-url", address).returncode == 0
        assert packshot(prefect_server, "plan", project.path, "--output", plan).returncode == 0
        (project.folder / "photo.png").unlink()
        for _ in range(2):
            assert packshot(prefect_server, "render", project.path, "--plan", plan).returncode == 1
        [told] = texts(received, 1)
        assert told.startswith("by-hand: 0 of 16 planned assets are delivered, 16 failed (")
        assert f"`packshot status '{project.path}'` tells more; http" in told
        project = Project.of(tmp_path / "a folder", products=4, name="by-hand")
        assert packshot(prefect_server, "render", project.path, "--retry-failed").returncode == 0
        [told] = texts(received, 1)
        assert told.startswith("by-hand: in order again; http")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_process_that_the_kernel_killed_is_told_at_once(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    drawn = Drawn(tmp_path / "drawn.log", 0.05)
    environment = {**prefect_server, **drawn.environment}
    project = Project.of(tmp_path / "project", products=400, name="killed")
    log = tmp_path / "worker.log"
    with alerts() as (address, received):
        assert packshot(environment, "deploy", str(project.folder), "--alert-url", address).returncode == 0
        with process(environment, log, "-c", "from flows.cli import main; main()", "worker", "--pool", "cpu"):
            start_run(environment, project)
            drawn.wait_for(10)
            os.kill(drawn.lines()[0][0], signal.SIGKILL)
            [told] = texts(received, 1)
    assert told.startswith("killed: has crashed: ")
    assert "; http" in told


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_schedule_that_does_not_fire_is_told(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    Project.of(tmp_path / "project", products=1, name="silent")
    with alerts() as (address, received):
        options = (str(tmp_path / "project"), "--cron", "* * * * *", "--alert-url", address)
        assert packshot(prefect_server, "deploy", *options).returncode == 0
        told = texts(received, 2, 200)
        assert packshot(prefect_server, "deploy", str(tmp_path / "project")).returncode == 0  # no alerts any more
    what = "has not begun a run for 2 min, twice its period; is the schedule paused"
    assert {text.partition(" has not")[0] for text in told} == set(SCHEDULED)
    assert all(what in text for text in told)
