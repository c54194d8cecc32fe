"""The same flow on a Ray cluster of two nodes: a killed node costs its uncommitted batches and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.drawn import ROOT, Drawn, check_output, start
from tests.flows.projects import Project
from tests.flows.ray_nodes import Cluster, cluster
from tests.flows.test_render import seen_by_prefect
from tests.servers import free_ports

NO_RAY = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "prefect_ray" else find(name, *rest)
"""
PROOF_BATCH = 8
QUEUE_DEPTH = 8


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """Ray's sockets live here, and their paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def all_drawn(short_folder: Path) -> Drawn:
    return Drawn(short_folder / "drawn.log", 0.05)


@pytest.fixture
def drawn(all_drawn: Drawn) -> Drawn:
    all_drawn.clear()
    return all_drawn


@pytest.fixture(scope="module")
def ray(short_folder: Path, all_drawn: Drawn, prefect_server: dict[str, str]) -> Iterator[Cluster]:
    with cluster(short_folder, {**prefect_server, **all_drawn.environment}) as made:
        yield made


def render(ray: Cluster, environment: dict[str, str], project: Project, *more: str) -> Any:
    arguments = ("--runner", "ray", "--address", ray.address, "--shard-assets", "10", "--json")
    return start(environment, "render", project.path, *arguments, *more)


@pytest.mark.timeout(240)
def test_ctrl_c_drains_the_shards_of_other_machines(
    tmp_path: Path, prefect_server: dict[str, str], ray: Cluster, drawn: Drawn
) -> None:
    project = Project.of(tmp_path / "project", products=200, name="interrupted")
    process = render(ray, {**prefect_server, **drawn.environment}, project, "--shard-assets", "300")
    drawn.wait_for(10)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    made = {name for _, name in drawn.lines()}
    assert made == {row["render_fingerprint"] for row in project.view().values()}, "what was drawn is committed"
    assert len(made) < 200


@pytest.mark.timeout(240)
def test_a_killed_node_costs_its_open_batches_alone(
    tmp_path: Path, prefect_server: dict[str, str], ray: Cluster, drawn: Drawn
) -> None:
    project = Project.of(tmp_path / "project", products=24, name="fleet")  # 120 assets in 13 shards
    environment = {**prefect_server, **drawn.environment}
    process = render(ray, environment, project)
    head, second = ray.nodes
    drawn.wait_for(6)
    drawn.wait_for(2, second)
    lost = second.pids
    second.kill()
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert summary["complete"]
    lines = drawn.lines()
    assert len({pid for pid, _ in lines} & lost) == 1, "one process a slot, whatever the number of shards"
    assert len({pid for pid, _ in lines} & head.pids) <= 2, "a process is kept from shard to shard"
    assert len(lines) - len({name for _, name in lines}) <= PROOF_BATCH + QUEUE_DEPTH
    check_output(project)
    states = {state for _, state, _ in seen_by_prefect(environment, f"fleet · {summary['run_id']}")["tasks"]}
    assert states <= {"Completed", "Skipped"}


@pytest.mark.timeout(240)
def test_a_process_that_lost_its_device_is_replaced(
    tmp_path: Path, prefect_server: dict[str, str], ray: Cluster, drawn: Drawn
) -> None:
    project = Project.of(tmp_path / "project", products=6, name="replaced")
    process = render(ray, {**prefect_server, **drawn.environment}, project)
    drawn.wait_for(3)
    drawn.lose_device()
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert json.loads(out)["complete"]
    lines = drawn.lines()
    [(place, lost)] = [(place, pid) for place, (pid, name) in enumerate(lines) if name == "lost"]
    assert lost not in {pid for pid, _ in lines[place + 1 :]}, "its process goes on"
    check_output(project)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--address", "auto"], ["--address", "HOST:PORT"]),
        (["--address", "ray://127.0.0.1:10001"], ["--address", "HOST:PORT"]),
        (["--address", "127.0.0.1:{closed}"], ["no Ray head node answers", "ray start"]),
        (["--workers", "2"], ["--workers", "Ray"]),
        (["--runner", "local", "--address", "127.0.0.1:6379"], ["--address", "--runner ray"]),
    ],
)
def test_a_wrong_address_is_one_line(
    tmp_path: Path, prefect_server: dict[str, str], arguments: list[str], words: list[str]
) -> None:
    project = Project.of(tmp_path, products=1)
    closed = str(free_ports(1)[0])
    given = [argument.format(closed=closed) for argument in arguments]
    _refused(prefect_server, project, words, *given)


def test_without_a_server_or_without_ray_it_says_so(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path / "project", products=1)
    alone = {"PREFECT_API_URL": "", "PREFECT_HOME": str(tmp_path / "home")}
    _refused(alone, project, ["Prefect server", "PREFECT_API_URL"])
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(NO_RAY)
    path = os.pathsep.join((str(blocked), os.getcwd()))
    _refused({**prefect_server, "PYTHONPATH": path}, project, ["not installed", "packshot[ray]"])


def _refused(environment: dict[str, str], project: Project, words: list[str], *arguments: str) -> None:
    process = start(environment, "render", project.path, "--runner", "ray", *arguments)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert not (project.folder / "output").exists()


STRANGER = """
import os, subprocess, sys
from flows.runners import demand_token
demand_token()
import ray
mine = ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])
join = f"import ray; ray.init(address={mine.address_info['gcs_address']!r}, log_to_driver=False)"
token = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
for environment in (os.environ, {**token, "RAY_AUTH_TOKEN": "0" * 64}):
    print(subprocess.run([sys.executable, "-c", join], env=environment, capture_output=True).returncode)
"""


@pytest.mark.timeout(240)
def test_a_cluster_of_our_own_refuses_strangers() -> None:
    """Ray listens on every address of the machine: a token keeps other users and machines out."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # of its own: in another's it would join that cluster
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, folder],
        env={**environment, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "HOME": folder},
        capture_output=True,
        text=True,
    )
    shutil.rmtree(folder, ignore_errors=True)
    assert done.stdout.split() == ["0", "1"], done.stderr[-3000:]
