"""Cancelled from the UI, killed, started twice: what was finished counts, and the rest is made once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.drawn import Drawn, check_output, start
from tests.flows.prefect_client import flow_runs, set_state, wait_for_state
from tests.flows.projects import Project

BATCH = 8


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return Drawn(tmp_path / "drawn.log", 0.05)


@pytest.mark.timeout(240)
def test_a_cancel_in_the_ui_drains_a_local_run(tmp_path: Path, prefect_server: dict[str, str], drawn: Drawn) -> None:
    project = Project.of(tmp_path / "project", products=400, name="cancelled")
    environment = {**prefect_server, **drawn.environment}
    process = start(environment, "render", project.path, "--workers", "1", "--shard-assets", "600")
    drawn.wait_for(10)
    run = flow_runs(environment, project.path)[0]["id"]
    set_state(environment, run, "CANCELLING")
    before = len(drawn.lines())
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert out == ""
    assert "error: cancelled; what was finished is committed, run again to go on" in err
    assert "Traceback" not in err
    assert wait_for_state(environment, run, ["Cancelled"]) == "Cancelled"
    lines = drawn.lines()
    assert len(lines) < before + 200
    assert {name for _, name in lines} == {row["render_fingerprint"] for row in project.view().values()}


@pytest.mark.timeout(240)
def test_a_second_start_is_told_who_works_and_may_go_on_by_force(
    tmp_path: Path, prefect_server: dict[str, str], drawn: Drawn
) -> None:
    project = Project.of(tmp_path / "project", products=30, name="twice")
    environment = {**prefect_server, **drawn.environment}
    slower = {**environment, **Drawn(drawn.log, 0.25).environment}  # it is to be at work until the third has begun
    first = start(slower, "render", project.path, "--workers", "1", "--shard-assets", "30")
    drawn.wait_for(4)
    second = start(environment, "render", project.path)
    out, err = second.communicate(timeout=180)
    assert second.returncode == 2, err
    assert out == ""
    assert err.count("\n") == 1
    assert f"(process {first.pid}) renders twice here, until" in err
    assert "--force" in err
    third = start(environment, "render", project.path, "--force", "--workers", "1", "--shard-assets", "40")
    for process, told in ((first, 0), (third, 1)):
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        assert len(re.findall(rf"goes on beside run \S+ on \S+\s+\(process\s+{first.pid}\),", err)) == told, err
    check_output(project)
    assert not project.store.list("leases")


@pytest.mark.timeout(240)
def test_the_lease_of_a_killed_run_does_not_keep_the_next_one_waiting(
    tmp_path: Path, prefect_server: dict[str, str], drawn: Drawn
) -> None:
    project = Project.of(tmp_path / "project", products=20, name="killed")
    environment = {**prefect_server, **drawn.environment}
    first = start(environment, "render", project.path, "--workers", "1", "--shard-assets", "30")
    drawn.wait_for(4)
    first.kill()
    first.communicate()
    assert project.store.list("leases")
    again = start(environment, "render", project.path, "--workers", "1")
    _, err = again.communicate(timeout=180)
    assert again.returncode == 0, err
    check_output(project)


WRONG_CLOCK = {
    "run_id": "20361121T000000.000000Z-abcdef",
    "host": "elsewhere",
    "boot": "",
    "pid": 7,
    "token": "t",
    "until": "2999-01-01T00:00:00+00:00",
}


@pytest.mark.timeout(240)
def test_the_lease_of_a_lost_machine_with_a_wrong_clock_is_looked_at_and_passed(
    tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    project = Project.of(tmp_path / "project", products=1, name="ahead")
    project.store.write("leases/ahead.proof.json", json.dumps(WRONG_CLOCK).encode())
    script = "from catalogs.journal import lease; lease.LOOK_SECONDS = 1.0; from flows.cli import main; main()"
    command = [sys.executable, "-c", script, "render", project.path]
    done = subprocess.run(command, env={**os.environ, **prefect_server}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = "run 20361121T000000.000000Z-abcdef on elsewhere (process 7), until 2999-01-01 00:00:00 UTC or longer"
    assert f"{said}, too far ahead; is it renewed in 1 s?" in done.stderr
    assert not project.store.list("leases")
    check_output(project)
