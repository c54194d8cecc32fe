"""A run that begins ends those that wait and would only do the same: a night without a server leaves many."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.prefect_client import call
from tests.flows.projects import Project
from tests.flows.test_render import packshot


@pytest.mark.timeout(240)
def test_one_run_stands_for_those_that_are_due(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    folder = tmp_path / "campaigns"
    project = Project.of(folder / "spring", products=1, name="spring")
    assert packshot(prefect_server, "deploy", str(folder)).returncode == 0
    deployment = call(prefect_server, "/deployments/name/marketing-run/campaigns-cpu")

    def due(hours: float, **options: Any) -> str:
        moment = datetime.now(UTC) - timedelta(hours=hours)
        told = {**deployment["parameters"]["options"], **options}
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": moment.isoformat()}}
        asked = {"parameters": {"folder": str(folder), "options": told}, "state": state}
        return str(call(prefect_server, f"/deployments/{deployment['id']}/create_flow_run", asked)["id"])

    runs = [due(24), due(48), due(1, only=["spring"]), due(1, engines=["bfl"]), due(-1)]
    # As a worker starts it.
    environment = {**os.environ, **prefect_server, "PREFECT__FLOW_RUN_ID": runs[0]}
    done = subprocess.run([sys.executable, "-m", "flows.guarded"], env=environment, capture_output=True, timeout=180)
    assert done.returncode == 0, done.stderr.decode()
    states = [call(prefect_server, f"/flow_runs/{run}")["state"] for run in runs]
    assert [state["type"] for state in states] == ["COMPLETED", "CANCELLED", "CANCELLED", "SCHEDULED", "SCHEDULED"]
    assert states[1]["message"] == "Another run does the same now."
    assert len(project.view()) == 4
