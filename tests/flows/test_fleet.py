"""Everything at once: server, work pool, worker, deployment, a Ray cluster of two nodes, and kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.flows.drawn import Drawn, check_output, start
from tests.flows.prefect_client import call, flow_runs, set_state, task_runs, wait_for_state
from tests.flows.projects import Project
from tests.flows.ray_nodes import cluster

# A kill loses at most the batch in the engine, the one whose pictures are taken, and what waits for a finisher.
LOST_A_KILL = 8 + 8 + 8


@contextmanager
def worker(environment: dict[str, str], pool: str, log: Path) -> Iterator[None]:
    """A process worker of a work pool, which is created."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "PREFECT_WORKER_QUERY_SECONDS": "1"},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):  # the first alone does not stop it
            with_group(process.pid, number)
            try:
                process.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue


def with_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def deploy(environment: dict[str, str], pool: str) -> str:
    """A deployment of the render flow, by its module: nothing to pull."""
    flow = call(environment, "/flows/", {"name": "render-catalog"})["id"]
    body = {"name": "fleet", "flow_id": flow, "entrypoint": "flows.render:render_catalog", "pull_steps": []}
    until = time.monotonic() + 60
    while pool not in {found["name"] for found in call(environment, "/work_pools/filter", {})}:
        assert time.monotonic() < until, "the worker made no pool"
        time.sleep(0.2)
    return str(call(environment, "/deployments/", {**body, "work_pool_name": pool})["id"])


def launch(environment: dict[str, str], deployment: str, project: Project, address: str, assets: int = 10) -> str:
    options = {"runner": "ray", "address": address, "shard_assets": assets}
    body = {"parameters": {"campaign": project.path, "options": options}, "state": {"type": "SCHEDULED"}}
    return str(call(environment, f"/deployments/{deployment}/create_flow_run", body)["id"])


def kill_flow(environment: dict[str, str], flow_run: str) -> None:
    """SIGKILL to the process of a flow run."""
    pid = str(call(environment, f"/flow_runs/{flow_run}")["infrastructure_pid"])
    os.kill(int(pid.rpartition(":")[2]), signal.SIGKILL)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Ray's sockets live here, and their paths must be short."""
    made = Path(tempfile.mkdtemp(prefix="fleet-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("database", ["sqlite_server", "prefect_server"])
def test_a_deployed_run_outlives_a_node_and_its_own_process(
    request: pytest.FixtureRequest, folder: Path, database: str
) -> None:
    server: dict[str, str] = request.getfixturevalue(database)
    drawn = Drawn(folder / "drawn.log", 0.05)
    environment = {**server, **drawn.environment}
    project = Project.of(folder / "project", products=60, name="fleet")  # 300 assets in some 30 shards
    with cluster(folder, environment) as ray, worker(environment, "fleet", folder / "worker.log"):
        deployment = deploy(environment, "fleet")
        run = launch(environment, deployment, project, ray.address)
        drawn.wait_for(2, ray.nodes[1])
        ray.nodes[1].kill()
        drawn.wait_for(len(drawn.lines()) + 20)
        kill_flow(environment, run)
        assert wait_for_state(environment, run, ["Crashed"]) == "Crashed"
        assert len(drawn.lines()) < 120
        ray.start()
        set_state(environment, run, "SCHEDULED", "AwaitingRetry")
        assert wait_for_state(environment, run, ["Completed", "Failed", "Crashed"], 150) == "Completed"
    check_output(project)
    lines = drawn.lines()
    assert len({name for _, name in lines}) == 120
    assert len(lines) - 120 <= 2 * LOST_A_KILL
    assert call(environment, f"/flow_runs/{run}")["run_count"] == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_cancel_in_the_ui_drains_a_deployed_run_on_ray(prefect_server: dict[str, str], folder: Path) -> None:
    drawn = Drawn(folder / "drawn.log", 0.05)
    environment = {**prefect_server, **drawn.environment}
    project = Project.of(folder / "project", products=300, name="called-off")
    with cluster(folder, environment) as ray, worker(environment, "called-off", folder / "worker.log"):
        run = launch(environment, deploy(environment, "called-off"), project, ray.address, 400)
        drawn.wait_for(20)
        set_state(environment, run, "CANCELLING")
        assert wait_for_state(environment, run, ["Cancelled", "Crashed", "Completed"]) == "Cancelled"
        stopped = len(drawn.lines())
        time.sleep(2)
        assert len(drawn.lines()) == stopped
    assert stopped < 300
    assert {name for _, name in drawn.lines()} == {row["render_fingerprint"] for row in project.view().values()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_shards_stall_nothing_on_postgresql(prefect_server: dict[str, str], tmp_path: Path) -> None:
    shots = {"hero": {"size": "64x64", "prompt": {"scene": "{{ product.title }}"}}}
    channels = [{"name": "square", "width": 48, "height": 48, "format": "jpeg"}]
    project = Project.of(tmp_path, 1000, name="thousand", shots=shots, channels=channels)
    render(prefect_server, project)
    run = flow_runs(prefect_server, project.path)[0]
    shards = [task for task in task_runs(prefect_server, run["id"]) if task["name"].startswith("shard")]
    assert len(shards) == 1000
    assert {task["state"]["name"] for task in shards} == {"Completed"}
    starts = sorted(datetime.fromisoformat(task["start_time"]) for task in shards)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    following = render(prefect_server, Project.of(tmp_path / "following", 1))
    print(f"1000 shards in {run['total_run_time']:.0f} s, longest gap {max(gaps):.1f} s, next run {following:.1f} s")
    assert max(gaps) < 5
    assert following < 15


def render(environment: dict[str, str], project: Project) -> float:
    """Seconds of a local run, a shard an asset."""
    started = time.monotonic()
    process = start(environment, "render", project.path, "--workers", "2", "--shard-assets", "1")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_model_is_loaded_once_a_gpu(prefect_server: dict[str, str], folder: Path) -> None:
    """Two nodes that say they have a GPU: by itself Ray would end the process, and the model with it, after a shard."""
    drawn = Drawn(folder / "drawn.log", 0.0)
    environment = {**prefect_server, **drawn.environment}
    shots = {"hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}}
    project = Project.of(folder / "project", 24, name="warm", model="tiny", shots=shots)
    with cluster(folder, environment, nodes=0) as ray:
        ray.start(cpus=2, gpus=1)
        ray.start(cpus=2, gpus=1)
        arguments = ("--runner", "ray", "--address", ray.address, "--shard-assets", "4", "--json")
        process = start(environment, "render", project.path, *arguments)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert json.loads(out)["shards"] == 12
    loads = [pid for pid, name in drawn.lines() if name == "loaded"]
    assert 1 <= len(loads) == len(set(loads)) <= 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ray_without_an_address_uses_this_host(prefect_server: dict[str, str], folder: Path) -> None:
    drawn = Drawn(folder / "drawn.log", 0.05)
    project = Project.of(folder / "project", 12, name="one-host")
    process = start(
        {**prefect_server, **drawn.environment, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder)},
        *("render", project.path, "--runner", "ray", "--shard-assets", "10", "--json"),
    )
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out)["complete"]
    check_output(project)
    assert process.pid not in {pid for pid, _ in drawn.lines()}
