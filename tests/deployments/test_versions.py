"""Who renders has the version of who asked for it; otherwise one line names both, and nothing is made."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalogs.errors import OptionError
from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import cut_shards
from tasks.prefect_tasks import render_shard
from tasks.shard_job import ShardJob
from tasks.versions import check_deployment, installed
from tests.flows.prefect_client import call
from tests.flows.projects import Project
from tests.flows.test_render import packshot

OTHER = "0.0.9"


def run_of(environment: dict[str, str], name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A run of a deployment, as a worker starts it: the state it ends in."""
    deployment = call(environment, f"/deployments/name/{name}")["id"]
    run = call(environment, f"/deployments/{deployment}/create_flow_run", {"parameters": parameters})["id"]
    told = {**os.environ, **environment, "PREFECT__FLOW_RUN_ID": run}
    subprocess.run([sys.executable, "-m", "flows.guarded"], env=told, capture_output=True, timeout=180, check=False)
    state: dict[str, Any] = call(environment, f"/flow_runs/{run}")["state"]
    return state


@pytest.mark.timeout(240)
def test_a_run_of_a_deployment_of_another_version(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path / "campaigns" / "spring", products=1, name="versions")
    folder = str(tmp_path / "campaigns")
    runs = {
        "marketing-run/campaigns-cpu": {"folder": folder},
        "render-catalog/one-campaign-cpu": {"campaign": project.path},
    }
    assert packshot(prefect_server, "deploy", folder).returncode == 0
    for name in runs:
        found = call(prefect_server, f"/deployments/name/{name}")
        assert found["version"] == f"packshot {installed()}"
        url = f"{prefect_server['PREFECT_API_URL']}/deployments/{found['id']}"
        httpx.patch(url, json={"version": f"packshot {OTHER}"}).raise_for_status()
    for name, parameters in runs.items():
        state = run_of(prefect_server, name, parameters)
        assert state["type"] == "FAILED"
        assert (
            f"packshot {installed()} on {socket.gethostname()}: the deployment that started this run is of {OTHER}; "
            "install one version on every machine, then repeat `packshot deploy`"
        ) in state["message"]
    assert not project.store.list()
    flow = call(prefect_server, "/flows/", {"name": "marketing-run"})["id"]
    former = call(prefect_server, "/deployments/", {"name": "cpu", "flow_id": flow, "paused": True})["id"]
    again = packshot(prefect_server, "deploy", folder)
    assert again.returncode == 0, "as the line advises"
    assert "deleted      deployment marketing-run/cpu, which has another name now" in again.stdout
    asked = {"deployments": {"id": {"any_": [former]}}}
    assert call(prefect_server, "/deployments/filter", asked) == []
    assert run_of(prefect_server, "marketing-run/campaigns-cpu", {"folder": folder})["type"] == "COMPLETED"
    assert len(project.view()) == 4


def test_a_shard_that_another_version_sent(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=1)
    prepared = project.plan()
    shard = cut_shards(PlanFile(prepared.store, prepared.plan_key))[0]
    job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
    with pytest.raises(OptionError, match=f"the run that sent this shard is of {OTHER}; install one version"):
        render_shard.fn(replace(job, version=OTHER), "shard 0")
    assert not project.store.list("assets")


def test_deployments_that_packshot_did_not_make_say_nothing() -> None:
    for said in (None, "", "4f2a9c", f"packshot {installed()}"):
        check_deployment(said)
