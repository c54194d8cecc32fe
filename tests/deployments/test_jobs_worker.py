"""The worker that makes jobs, prefect-kubernetes itself, against a cluster that allows it what its role says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.deployments.kubernetes_server import Cluster, cluster, rights
from tests.deployments.test_files import FOLDER, KUBERNETES, as_kept
from tests.deployments.test_kubernetes import NAMED, variables
from tests.deployments.test_scheduled import process
from tests.deployments.test_stops import BOUND, check_end
from tests.flows.drawn import Drawn
from tests.flows.prefect_client import call, wait_for_state
from tests.flows.projects import Project
from tests.flows.test_render import packshot, python
from tests.prefect_servers import serve

ROLE = NAMED["Role", "packshot-jobs"]
PASSWORD = "admin:of-the-server"
KILL = """
import asyncio, sys
from types import SimpleNamespace
from prefect_kubernetes.worker import KubernetesWorker
kill = KubernetesWorker("gpu").kill_infrastructure
asyncio.run(kill("packshot:" + sys.argv[1], SimpleNamespace(cluster_config=None)))
"""
"""What the worker does when it hears of a cancel, from an event that Prefect may hold back for minutes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server whose pool `gpu` makes jobs."""
    with serve(tmp_path_factory.mktemp("prefect")) as environment:
        template = str(FOLDER / "kubernetes-gpu.json")
        made = ("work-pool", "create", "gpu", "--type", "kubernetes", "--base-job-template", template)
        done = python(environment, "-m", "prefect", "--no-prompt", *made)
        assert done.returncode == 0, done.stdout + done.stderr
        deployed = packshot(environment, "deploy", "/srv/campaigns")
        assert deployed.returncode == 0, deployed.stderr
        assert "work pool    gpu (kubernetes)" in deployed.stdout, "a pool that exists keeps its type"
        yield environment


def worker_environment(server: dict[str, str], kubeconfig: Path) -> dict[str, str]:
    """What kubernetes.yaml gives the worker; who runs here has a file in place of a service account."""
    given = {name: value for name, value in variables("packshot-jobs").items() if isinstance(value, str)}
    namespace = "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"
    assert variables("packshot-jobs")[namespace] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    own = {namespace: "packshot", "KUBECONFIG": str(kubeconfig), "PREFECT_API_AUTH_STRING": PASSWORD}
    return {**given, **server, **own}


def begin(server: dict[str, str], project: Project) -> str:
    deployment = call(server, "/deployments/name/render-catalog/one-campaign-gpu")["id"]
    asked = {"campaign": project.path, "options": {"workers": 1, "shard_assets": 600}}
    return str(call(server, f"/deployments/{deployment}/create_flow_run", {"parameters": asked})["id"])


def wait_until(is_so: Callable[[], Any], log: Path, seconds: float = 90) -> Any:
    until = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < until, log.read_text()[-4000:]
        time.sleep(0.2)
    return found


def job_of(cluster: Cluster, run: str, log: Path) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        jobs = cluster.objects["jobs"].values()
        return next((job for job in list(jobs) if job["metadata"]["labels"]["prefect.io/flow-run-id"] == run), None)

    return dict(wait_until(found, log))


def check_job(job: dict[str, Any]) -> None:
    kubernetes_validate.validate(as_kept(job), KUBERNETES, strict=True)
    assert "{{" not in json.dumps(job)
    assert PASSWORD not in json.dumps(job), "what the server asks everybody for stands in a secret"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["python", "-m", "flows.guarded"]
    [auth] = [one for one in container["env"] if one["name"] == "PREFECT_API_AUTH_STRING"]
    assert auth["valueFrom"] == {"secretKeyRef": {"name": "packshot", "key": "PREFECT_API_AUTH_STRING"}}


def pod_of(job: dict[str, Any], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """The container of a job, as its node starts it."""
    [container] = job["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    program, *arguments = container["args"]
    assert program == "python"
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *arguments], env={**os.environ, **environment, **given}, stdout=file, stderr=file
        )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_role_is_what_it_asks_for_and_a_run_outlives_its_node(server: dict[str, str], tmp_path: Path) -> None:
    project = Project.of(tmp_path / "project", products=400, name="on-a-node")
    drawn, log = Drawn(tmp_path / "drawn.log", 0.05), tmp_path / "worker.log"
    with cluster(ROLE, tmp_path) as found:
        environment = worker_environment(server, tmp_path / "kubeconfig")
        command = ("-c", "from flows.cli import main; main()", "worker", "--pool", "gpu", "--limit", "8")
        with process(environment, log, *command):
            run = begin(server, project)
            job = job_of(found, run, log)
            check_job(job)
            check_spot(server, project, drawn, job, tmp_path / "pod.log")

            died, cancelled, lost = (begin(server, project) for _ in range(3))
            found.fail(job_of(found, died, log), "ModuleNotFoundError: No module named 'flows'")
            name = job_of(found, cancelled, log)["metadata"]["name"]
            killed = python(environment, "-c", KILL, name)
            assert killed.returncode == 0, killed.stderr
            assert name not in found.objects["jobs"]
            found.remove("jobs", job_of(found, lost, log)["metadata"]["name"])  # by hand, with kubectl
            for run in (died, lost):
                assert wait_for_state(server, run, ["Crashed"], 90) == "Crashed"
            wanted = {"logs": {"flow_run_id": {"any_": [died]}}}
            wait_until(lambda: "ModuleNotFoundError" in str(call(server, "/logs/filter", wanted)), log, 30)
        assert not found.refused, "it asks for what its role does not allow"
        assert found.used == rights(ROLE), "its role allows what it does not ask for"


def check_spot(server: dict[str, str], project: Project, drawn: Drawn, job: dict[str, Any], log: Path) -> None:
    """A node that goes: its pods get SIGTERM, and after their grace nothing is left of them."""
    grace = job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    pod = pod_of(job, {**server, **drawn.environment}, log)
    try:
        drawn.wait_for(10)
        began = time.monotonic()
        pod.send_signal(signal.SIGTERM)
        pod.wait(grace)
        assert time.monotonic() - began < BOUND + 10 < grace
    finally:
        if pod.poll() is None:
            pod.kill()
            pod.wait()
    check_end(server, project, drawn)
