"""Whoever is told to end, by whatever signal: what was drawn is committed, the run says so, its lease is gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.deployments.test_scheduled import process
from tests.flows.drawn import Drawn, start
from tests.flows.prefect_client import call, flow_runs, wait_for_state
from tests.flows.projects import Project
from tests.flows.test_render import packshot
from tests.prefect_servers import serve as prefect_at
from tests.servers import free_ports

BOUND = 25.0
DEPLOYMENT = "render-catalog/one-campaign-cpu"


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return Drawn(tmp_path / "drawn.log", 0.05)


def committed(project: Project) -> set[str]:
    return {row["render_fingerprint"] for row in project.view().values()}


def check_end(environment: Mapping[str, str], project: Project, drawn: Drawn, state: str = "Cancelled") -> None:
    """What every stop leaves behind."""
    run = flow_runs(environment, project.path)[0]["id"]
    assert wait_for_state(environment, run, [state], BOUND + 10) == state
    deadline = time.monotonic() + 10
    while project.store.list("leases") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not project.store.list("leases")
    made = {name for _, name in drawn.lines()}
    assert made == committed(project), "what was drawn is committed"
    assert 0 < len(made) < len(project.products)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_render(tmp_path: Path, prefect_server: dict[str, str], drawn: Drawn, number: signal.Signals) -> None:
    project = Project.of(tmp_path / "project", products=400, name=f"render-{number.name.lower()}")
    environment = {**prefect_server, **drawn.environment}
    stopped = start(environment, "render", project.path, "--workers", "1", "--shard-assets", "600")
    drawn.wait_for(10)
    stopped.send_signal(number)
    out, err = stopped.communicate(timeout=60)
    assert (stopped.returncode, out) == (130, ""), err
    assert "error: cancelled; what was finished is committed, run again to go on" in err
    assert "Traceback" not in err
    assert "Crash" not in err
    check_end(environment, project, drawn)


@pytest.mark.timeout(240)
def test_a_run_that_cannot_end_in_time_commits_what_is_stored(
    tmp_path: Path, prefect_server: dict[str, str], drawn: Drawn
) -> None:
    """A batch that takes longer than the bound is dropped, and what was finished before it is not."""
    project = Project.of(tmp_path / "project", products=400, name="in-time")
    slow = Drawn(drawn.log, 0.4)  # a batch of 8 takes three seconds
    environment = {**prefect_server, **slow.environment, "PACKSHOT_STOP_SECONDS": "0.5"}
    stopped = start(environment, "render", project.path, "--workers", "1", "--shard-assets", "600")
    slow.wait_for(20)
    began = time.monotonic()
    stopped.terminate()
    out, err = stopped.communicate(timeout=60)
    assert time.monotonic() - began < 6
    assert (stopped.returncode, out) == (130, ""), err
    assert "Traceback" not in err, err
    run = flow_runs(environment, project.path)[0]["id"]
    assert wait_for_state(environment, run, ["Cancelled"]) == "Cancelled"
    assert not project.store.list("leases")
    assert committed(project)
    assert committed(project) <= {name for _, name in slow.lines()}


PREFECT = ("-m", "prefect", "worker", "start", "--pool", "cpu")
PACKSHOT = ("-c", "from flows.cli import main; main()", "worker", "--pool", "cpu")
WORKERS = [
    pytest.param(PREFECT, signal.SIGTERM, id="prefect-SIGTERM"),
    pytest.param(PACKSHOT, signal.SIGTERM, id="packshot-SIGTERM"),
    pytest.param(PACKSHOT, signal.SIGINT, id="packshot-SIGINT", marks=pytest.mark.slow),
    pytest.param(PREFECT, signal.SIGINT, id="prefect-SIGINT", marks=pytest.mark.slow),
    pytest.param(PREFECT, signal.SIGKILL, id="prefect-SIGKILL", marks=pytest.mark.slow),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("command", "number"), WORKERS)
def test_a_worker(
    tmp_path: Path,
    prefect_server: dict[str, str],
    drawn: Drawn,
    command: tuple[str, ...],
    number: signal.Signals,
) -> None:
    project = Project.of(tmp_path / "project", products=400, name=f"worker-{number.name.lower()}")
    environment = {**prefect_server, **drawn.environment}
    assert packshot(environment, "deploy", str(project.folder)).returncode == 0
    log = tmp_path / "worker.log"
    with process(environment, log, *command) as worker:
        start_run(environment, project)
        drawn.wait_for(10)
        worker.send_signal(number)
        if command is PACKSHOT:
            worker.wait(BOUND + 15)
            assert run_state(environment, project) == "Cancelled", "it waits for its runs"
        # Prefect's engine sees that its worker was killed, and says so itself.
        check_end(environment, project, drawn, "Crashed" if number == signal.SIGKILL else "Cancelled")
        worker.wait(30)


def start_run(environment: dict[str, str], project: Project) -> None:
    asked = {"campaign": project.path, "options": {"workers": 1, "shard_assets": 600}}
    deployment = call(environment, f"/deployments/name/{DEPLOYMENT}")["id"]
    call(environment, f"/deployments/{deployment}/create_flow_run", {"parameters": asked})


def run_state(environment: dict[str, str], project: Project) -> str:
    return str(flow_runs(environment, project.path)[0]["state"]["name"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_serve(tmp_path: Path, drawn: Drawn, number: signal.Signals) -> None:
    project = Project.of(tmp_path / "campaigns" / "spring", products=400, name="served")
    port, taken = free_ports(2)
    environment = {**drawn.environment, "PREFECT_HOME": str(tmp_path / "home"), "PACKSHOT_CACHE": str(tmp_path)}
    asked = ("serve", str(tmp_path / "campaigns"), "--every", "0", "--port", str(port), "--gallery-port", str(taken))
    log = tmp_path / "serve.log"
    with process(environment, log, "-c", "from flows.cli import main; main()", *asked) as served:
        api = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
        wait_until(lambda: "are taken up" in log.read_text(), 120, log)
        again = packshot(environment, *asked[:2], "--port", str(free_ports(1)[0]))
        assert again.returncode == 2
        assert f"is served already, by process {served.pid} since" in again.stderr
        again = packshot(environment, "serve", str(project.folder), "--port", str(port))
        assert f"is served already, by process {served.pid} since" in again.stderr
        start_run(api, project)
        drawn.wait_for(10)
        served.send_signal(number)
        assert served.wait(BOUND + 30) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert {name for _, name in drawn.lines()} == committed(project)
    assert 0 < len(committed(project)) < len(project.products)
    assert not project.store.list("leases")
    with prefect_at(tmp_path / "home") as history:
        assert run_state(history, project) == "Cancelled"
        wanted = {"flow_run_id": {"any_": [flow_runs(history, project.path)[0]["id"]]}}
        lines = [line["message"] for line in call(history, "/logs/filter", {"logs": wanted})]
        assert any("assets in 4 shards" in line for line in lines), "its page shows what it did"


def wait_until(is_so: Callable[[], bool], seconds: float, log: Path) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.2)
