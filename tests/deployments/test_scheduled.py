"""What happens without anybody at a keyboard: a schedule fires, a changed catalog starts a run, alerts are sent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.flows.projects import Project
from tests.flows.test_marketing import three_campaigns
from tests.flows.test_render import packshot, python
from tests.servers import QuietServer, free_ports

STATE = """
import asyncio, json
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
async def main():
    async with get_client() as client:
        found = {"runs": [], "automations": [], "pools": [], "deployments": {}}
        for run in await client.read_flow_runs(sort="EXPECTED_START_TIME_ASC"):
            state = run.state
            wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
            logs = await client.read_logs(wanted) if state.is_final() else []
            found["runs"].append({
                "id": str(run.id), "name": run.name, "state": state.name, "message": state.message,
                "auto": run.auto_scheduled, "parameters": run.parameters, "creator": str(run.created_by),
                "deployment": str(run.deployment_id or ""), "log": [log.message for log in logs],
            })
        for automation in await client.read_automations():
            found["automations"].append(automation.name)
        for pool in await client.read_work_pools():
            found["pools"].append(pool.name)
        for deployment in await client.read_deployments():
            flow = await client.read_flow(deployment.flow_id)
            schedules = [[s.schedule.model_dump(mode="json"), s.active] for s in deployment.schedules]
            found["deployments"][f"{flow.name}/{deployment.name}"] = {"id": str(deployment.id), "schedules": schedules}
        print(json.dumps(found))
asyncio.run(main())
"""


def state_of(environment: dict[str, str]) -> dict[str, Any]:
    done = python(environment, "-W", "ignore", "-c", STATE)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def prefect(environment: dict[str, str], *arguments: str) -> str:
    done = python(environment, "-m", "prefect", "--no-prompt", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def process(environment: dict[str, str], log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    activated = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    with log.open("wb") as file:
        started = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PATH": activated, "PREFECT_WORKER_QUERY_SECONDS": "1", **environment},
            stdout=file,
            stderr=file,
        )
    try:
        yield started
    finally:
        for _ in range(2):  # a worker waits for its runs at the first
            started.terminate()
            try:
                started.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue
        else:
            started.kill()
            started.wait()


def until(
    environment: dict[str, str], log: Path, seconds: float, wanted: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := wanted(state_of(environment)):
            return found
        time.sleep(1)
    pytest.fail(f"it did not happen in {seconds} s\n{log.read_text()[-3000:]}\n{state_of(environment)['runs']}")


def ended(run: dict[str, Any]) -> bool:
    return run["state"] in ("Completed", "Failed", "Crashed", "Cancelled")


def logged(run: dict[str, Any]) -> bool:
    return any(line.startswith("Finished in state") for line in run["log"])


@contextmanager
def alerts() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web hook, as Slack has them."""
    received: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = QuietServer(("127.0.0.1", free_ports(1)[0]), Hook)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.timeout(240)
def test_deploy_may_be_repeated(prefect_server: dict[str, str]) -> None:
    """prefect.yaml and automations.yaml are read by Prefect itself."""
    options = ("/srv/campaigns", "--cron", "0 5 * * 1-5", "--time-zone", "Europe/Berlin")
    packshot(prefect_server, "deploy", *options)  # settles the dead runs that other tests have left on this server
    first = packshot(prefect_server, "deploy", *options)
    assert first.returncode == 0, first.stderr
    before = state_of(prefect_server)
    assert packshot(prefect_server, "deploy", *options).stdout == first.stdout
    after = state_of(prefect_server)
    for part in ("automations", "pools", "deployments"):
        assert sorted(before[part]) == sorted(after[part]), "the second deploy has added something"
    assert {"cpu", "gpu"} <= set(after["pools"])
    assert len(after["automations"]) == 8
    for name in ("marketing-run/campaigns-cpu", "marketing-run/campaigns-gpu"):
        [[schedule, active]] = after["deployments"][name]["schedules"]
        assert (schedule["cron"], schedule["timezone"], active) == ("0 5 * * 1-5", "Europe/Berlin", True)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_schedule_fires_and_a_change_starts_a_run(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    campaigns = tmp_path / "campaigns"
    made = three_campaigns(campaigns)
    with alerts() as (address, received):
        options = (str(campaigns), "--cron", "0 5 * * 1-5", "--time-zone", "Europe/Berlin", "--alert-url", address)
        first = packshot(prefect_server, "deploy", *options)
        assert first.returncode == 0, first.stderr
        deployment = state_of(prefect_server)["deployments"]["marketing-run/campaigns-cpu"]
        log = tmp_path / "worker.log"
        with process(prefect_server, log, "-m", "prefect", "worker", "start", "--pool", "cpu", "--type", "process"):
            check_the_schedule(prefect_server, deployment["id"], made, log)
            check_a_change(prefect_server, deployment["id"], campaigns, made, log)
        texts = [message["text"] for message in received]
        assert texts, "no alert was sent"
        assert len(texts) == 1, "one cause, however often it was met"
        assert "broken.yaml: modle: unknown key 'modle'" in texts[0]


SLOW_AND_LOST = """
from flows import artifacts
from flows.cli import main
artifacts.OVERDUE_LEAST_SECONDS = artifacts.OVERDUE_FACTOR = 0.0
main()
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_run_that_is_late_and_fails_sends_each_alert_once(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path, products=20)
    lost = project.folder / "lost.png"
    lost.write_bytes((project.folder / "photo.png").read_bytes())
    for product in project.products[:2]:
        product["reference_images"] = [{"uri": lost.name, "role": "hero"}]
    project.write()
    plan = str(tmp_path / "plan.parquet")
    assert packshot(prefect_server, "plan", project.path, "--output", plan).returncode == 0
    lost.unlink()
    with alerts() as (address, received):
        deployed = packshot(prefect_server, "deploy", str(tmp_path), "--alert-url", address)
        assert deployed.returncode == 0, deployed.stderr
        done = python(prefect_server, "-c", SLOW_AND_LOST, "render", project.path, "--plan", plan)
        assert done.returncode == 1, done.stderr
        end = time.monotonic() + 30
        while len(received) < 3 and time.monotonic() < end:
            time.sleep(0.5)
        time.sleep(2)
    late, failing, ended = sorted(message["text"] for message in received)[::-1]
    assert late.startswith("spring: runs for ")
    assert "; it goes on; http" in late
    assert re.match(r"spring: \d+ of \d+ assets failed \(\d+\.\d%\); it goes on; `packshot status ", failing), failing
    assert ended.startswith("spring: 72 of 80 planned assets are delivered, 8 failed ("), ended


def check_the_schedule(environment: dict[str, str], deployment: str, made: dict[str, Project], log: Path) -> None:
    """A scheduled run, created by the server and by nobody else, delivers what is due."""
    prefect(environment, "deployment", "schedule", "create", "marketing-run/campaigns-cpu", "--interval", "15")
    runs = until(
        environment,
        log,
        90,
        lambda state: [r for r in state["runs"] if r["deployment"] == deployment and r["auto"] and ended(r)],
    )
    prefect(environment, "deployment", "schedule", "clear", "marketing-run/campaigns-cpu", "--accept-yes")
    run = runs[0]
    assert run["state"] == "Failed"
    assert run["message"].startswith("1 of 3 campaigns failed. ")
    assert "did you mean 'model'" in run["message"]
    assert len(made["spring"].view()) == 8
    assert not (made["summer"].folder / "output").exists()
    # A log comes some moments after its state.
    [again] = until(
        environment, log, 30, lambda state: [r for r in state["runs"] if r["id"] == run["id"] and logged(r)]
    )
    assert any("is broken" in line for line in again["log"])
    assert not any("Traceback" in line for line in again["log"]), again["log"]


def check_a_change(
    environment: dict[str, str], deployment: str, campaigns: Path, made: dict[str, Project], log: Path
) -> None:
    """`packshot watch` tells of a changed catalog; the run that follows renders the changed product alone."""
    spring, summer = made["spring"], made["summer"]
    watched = log.with_name("watch.log")
    command = ("-c", "from flows.cli import main; main()", "watch", str(campaigns), "--every", "0.5")

    def of_spring(state: dict[str, Any]) -> list[dict[str, Any]]:
        runs = [r for r in state["runs"] if r["deployment"] == deployment and not r["auto"] and ended(r)]
        return [r for r in runs if r["parameters"]["options"].get("only") == ["spring"]]

    with process(environment, watched, *command):
        first = until(environment, watched, 60, of_spring)
        assert first[0]["message"] == "1 unchanged"
        delivered = spring.view()
        spring.products[1]["title"] = "another mug"
        spring.write()
        runs = until(environment, watched, 60, lambda state: of_spring(state)[1:])
    assert runs[0]["message"] == "1 delivered"
    now = spring.view()
    assert {key[1] for key in delivered if delivered[key]["asset_key"] != now[key]["asset_key"]} == {"p001"}
    assert not (summer.folder / "output").exists()
