"""A run takes its code from the installed package: nothing of the folder it is deployed from is copied, or read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.deployments.test_scheduled import process
from tests.flows.prefect_client import call, wait_for_state
from tests.flows.projects import Project
from tests.flows.test_render import packshot

COMMAND = "from flows.cli import main; main()"


@pytest.mark.timeout(240)
def test_what_lies_in_the_working_folder_is_left_alone(
    tmp_path: Path, prefect_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket cannot be copied; a copy of the folder broke on one that an editor had left there."""
    project = Project.of(tmp_path / "campaigns" / "spring", products=2, name="beside-a-socket")
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    with socket.socket(socket.AF_UNIX) as lying_there:
        lying_there.bind("editor.sock")
        environment = {**prefect_server, "TMPDIR": str(tmp_path / "temporary")}
        (tmp_path / "temporary").mkdir()
        deployed = packshot(environment, "deploy", str(tmp_path / "campaigns"))
        assert deployed.returncode == 0, deployed.stderr
        deployment = call(prefect_server, "/deployments/name/render-catalog/one-campaign-cpu")
        assert not deployment["pull_steps"], "nothing is pulled"
        assert ":" not in deployment["entrypoint"], "a module, not a file of a folder"
        log = tmp_path / "worker.log"
        with process(environment, log, "-c", COMMAND, "worker", "--pool", "cpu"):
            asked = {"parameters": {"campaign": project.path}}
            run = call(prefect_server, f"/deployments/{deployment['id']}/create_flow_run", asked)["id"]
            assert wait_for_state(prefect_server, run, ["Completed", "Failed", "Crashed"], 90) == "Completed", (
                log.read_text()
            )
        assert sorted(os.listdir(working)) == ["editor.sock"]
        assert not list((tmp_path / "temporary").rglob("editor.sock"))
    assert len(project.view()) == 8
