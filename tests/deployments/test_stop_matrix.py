"""Every engine, in threads here and on a Ray cluster, under `render` and under a worker: told to end in mid-run.

What was stored is committed, the run ends as Cancelled within its bound, its lease is gone; the next run makes what is
left, and nothing is made, or paid, twice. Each case prints its line of the table in deployments/README.md.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bfl_server import KEY
from tests.deployments.test_scheduled import process
from tests.deployments.test_stops import BOUND, PACKSHOT, committed
from tests.flows.drawn import ROOT, Drawn, start
from tests.flows.prefect_client import call, flow_runs, wait_for_state
from tests.flows.projects import HOSTED_SHOT, SQUARE, Project, hosted
from tests.flows.ray_nodes import AUTHENTICATION, cluster
from tests.flows.test_render import packshot
from tests.ledger.running import LedgerApi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
PRODUCTS = {"proof": 600, "tiny": 160, "hosted": 600}
STORED_BEFORE = 12


@dataclass(frozen=True)
class Case:
    """Who is told to end, how, and what it renders with where."""

    engine: str
    where: str
    who: str
    number: signal.Signals

    def __str__(self) -> str:
        return f"{self.engine}-{self.where}-{self.who}-{self.number.name}"


CASES = [
    *(Case(engine, "local", "render", number) for engine in PRODUCTS for number in (signal.SIGTERM, signal.SIGINT)),
    *(Case(engine, "local", "worker", signal.SIGTERM) for engine in PRODUCTS),
    *(Case(engine, "ray", "render", number) for engine in PRODUCTS for number in (signal.SIGTERM, signal.SIGINT)),
    *(Case(engine, "ray", "worker", signal.SIGTERM) for engine in PRODUCTS),
]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets live here, and their paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def project_of(case: Case, folder: Path, api: LedgerApi) -> Project:
    name = f"stopped-{case.engine}-{case.where}-{case.who}-{case.number.name.lower()}"
    if case.engine == "hosted":
        return hosted(api, folder, PRODUCTS["hosted"], name=name)
    return Project.of(folder, PRODUCTS[case.engine], name=name, model=case.engine, shots=HOSTED_SHOT, channels=SQUARE)


def stored(project: Project) -> set[str]:
    """Render fingerprints of the masters that the store has."""
    masters = [key for key in project.store.list("renders") if key.endswith(".png")]
    return {key.rpartition("/")[2].partition(".")[0] for key in masters}


def told(case: Case, environment: Mapping[str, str], project: Project, log: Path, options: dict[str, Any]) -> float:
    """Start it, tell it to end in mid-run, and wait for that; the seconds that it took."""

    def in_mid_run() -> float:
        until = time.monotonic() + 180
        while len(stored(project)) < STORED_BEFORE:
            assert time.monotonic() < until, log.read_text()[-3000:] if log.exists() else "nothing was stored"
            time.sleep(0.1)
        return time.monotonic()

    if case.who == "render":
        arguments = [f for name, value in options.items() for f in (f"--{name.replace('_', '-')}", str(value))]
        stopped = start(environment, "render", project.path, *arguments)
        try:
            began = in_mid_run()
        except AssertionError:
            stopped.kill()
            pytest.fail(stopped.communicate()[1][-3000:])
        stopped.send_signal(case.number)
        out, err = stopped.communicate(timeout=120)
        assert (stopped.returncode, out) == (130, ""), err
        assert "Traceback" not in err, err
        return time.monotonic() - began
    assert packshot(dict(environment), "deploy", str(project.folder)).returncode == 0
    deployment = call(environment, "/deployments/name/render-catalog/one-campaign-cpu")["id"]
    with process(dict(environment), log, *PACKSHOT) as worker:
        asked = {"parameters": {"campaign": project.path, "options": options}}
        call(environment, f"/deployments/{deployment}/create_flow_run", asked)
        began = in_mid_run()
        worker.send_signal(case.number)
        worker.wait(120)
        return time.monotonic() - began


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stop(
    case: Case, tmp_path: Path, short_folder: Path, prefect_server: dict[str, str], ledger_server: LedgerApi
) -> None:
    ledger_server.forget()
    ledger_server.rules(seconds=0.5)
    project = project_of(case, tmp_path / "project", ledger_server)
    drawn = Drawn(short_folder / "drawn.log", 0.05)
    slowed = drawn.environment if case.engine == "proof" else {**AUTHENTICATION, "PYTHONPATH": str(ROOT)}
    environment = {**prefect_server, **slowed, "BFL_API_KEY": KEY, "PACKSHOT_CACHE": str(tmp_path / "cache")}
    options: dict[str, Any] = {"shard_assets": 1000}
    if case.where == "local":
        options |= {"workers": 1}
        seconds = told(case, environment, project, tmp_path / "worker.log", options)
    else:
        with cluster(short_folder, environment) as ray:
            options |= {"runner": "ray", "address": ray.address}
            seconds = told(case, environment, project, tmp_path / "worker.log", options)
    first = check_stopped(project, environment, seconds)
    if case.engine == "hosted":
        ledger_server.rules(seconds=0.01)
    quick = {**prefect_server, "BFL_API_KEY": KEY, "PACKSHOT_CACHE": str(tmp_path / "cache")}
    done = packshot(quick, "render", project.path, "--json")
    assert done.returncode == 0, done.stderr
    check_whole(project, json.loads(done.stdout), first, case, ledger_server)
    print(f"\n| {case.engine} | {case.where} | `{case.who}` | {case.number.name} | {len(first)} | {seconds:.0f} s |")


def check_stopped(project: Project, environment: Mapping[str, str], seconds: float) -> set[str]:
    """The end of the run that was told; what it committed."""
    run = flow_runs(environment, project.path)[0]["id"]
    assert wait_for_state(environment, run, ["Cancelled"], 30) == "Cancelled"
    assert not project.store.list("leases")
    made = committed(project)
    assert STORED_BEFORE <= len(made) < len(project.products)
    assert stored(project) == made, "what was stored is committed"
    assert seconds < BOUND + 20
    return made


def check_whole(project: Project, summary: Any, first: set[str], case: Case, api: LedgerApi) -> None:
    """The next run made what was left, and nothing anew."""
    assert summary["complete"]
    rows = list(project.view().values())
    assert len(rows) == len(project.products)
    for row in rows:
        assert hashlib.sha256(project.store.read(row["asset_key"])).hexdigest() == row["sha256"]
    assert first < committed(project)
    if case.engine == "hosted":
        assert len(api.submits()) == len(project.products), "nothing was bought twice"
    else:
        assert summary["work"]["rendered"] == len(project.products) - len(first), "nothing was rendered twice"
