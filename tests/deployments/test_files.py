"""Every file of deployments/ goes through the tool, or the schema, of what reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from flows.automations import definitions
from tests.flows.test_render import python
from tests.servers import program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments"
KUBERNETES = "1.32"
SAMPLE = {
    "name": "spring-launch",
    "command": ["prefect", "flow-run", "execute"],
    "env": [{"name": "PREFECT_API_URL", "value": "http://prefect-server:4200/api"}],
    "labels": {"prefect.io/flow-run-id": "1"},
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.Dockerfile")))
def test_dockerfiles(name: str, tmp_path: Path) -> None:
    done = run(program("hadolint"), str(FOLDER / name))
    assert done.returncode == 0, done.stdout
    assert not done.stdout, done.stdout
    broken = tmp_path / name
    broken.write_text((FOLDER / name).read_text().replace("FROM ", "FORM "))
    assert run(program("hadolint"), str(broken)).returncode != 0


def test_what_the_image_copies_exists() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for file in FOLDER.glob("*.Dockerfile"):
        copied = [line.split()[1:-1] for line in file.read_text().splitlines() if line.startswith("COPY ")]
        for name in {name for names in copied for name in names}:
            assert (ROOT / name).exists(), name
            assert name in allowed, f"{name} is kept from the build by .dockerignore"


def test_no_password_gets_into_an_image() -> None:
    """The last line that matches counts: the build sees deployments/, without what make-env.sh wrote there."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines.index("deployments/.env") > lines.index("!deployments")
    assert "deployments/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_compose() -> None:
    done = run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(FOLDER / "compose.yaml"))
    assert done.returncode == 0, done.stdout
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        dockerfile = service.get("build", {}).get("dockerfile")
        assert dockerfile is None or (ROOT / dockerfile).exists()
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            beside = source.startswith("./") and (FOLDER / source).exists()
            assert beside or source.startswith("$") or source in compose["volumes"], volume


def test_every_word_of_compose_is_in_the_example_environment() -> None:

    text = (FOLDER / "compose.yaml").read_text()
    words = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    given = {line.split("=")[0] for line in (FOLDER / ".env.example").read_text().splitlines() if "=" in line[:30]}
    assert words <= given
    assert "secret" not in text.lower().replace("aws_secret_access_key", "")


def job_template() -> dict[str, Any]:
    template: dict[str, Any] = json.loads((FOLDER / "kubernetes-gpu.json").read_text())
    return template


def manifest(**changed: Any) -> dict[str, Any]:
    """The job as Prefect fills it in from the defaults."""
    from prefect.utilities.templating import apply_values

    template = job_template()
    properties = template["variables"]["properties"]
    defaults = {name: value["default"] for name, value in properties.items() if "default" in value}
    filled: dict[str, Any] = apply_values(
        template["job_configuration"]["job_manifest"], {**defaults, **SAMPLE, **changed}
    )
    return filled


def as_kept(job: dict[str, Any]) -> dict[str, Any]:
    """A job as a cluster keeps it: prefect-kubernetes refuses a template without two keys that pods do not know."""
    kept: dict[str, Any] = json.loads(json.dumps(job))
    pod = kept["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    return kept


def test_kubernetes_job() -> None:
    kubernetes_validate.validate(as_kept(manifest()), KUBERNETES, strict=True)
    container = manifest(gpus=2)["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    wrong = as_kept(manifest())
    wrong["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_no_placeholder_of_the_kubernetes_job_is_left() -> None:
    assert "{{" not in json.dumps(manifest())


@pytest.mark.timeout(240)
def test_prefect_takes_the_kubernetes_pool(prefect_server: dict[str, str]) -> None:
    template = str(FOLDER / "kubernetes-gpu.json")
    command = ("work-pool", "create", "gpu-nodes", "--type", "kubernetes", "--base-job-template", template)
    done = python(prefect_server, "-m", "prefect", "--no-prompt", *command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_automations_are_what_prefect_reads() -> None:
    from uuid import uuid4

    from prefect.events import AutomationCore

    from flows.automations import _action, _watch_of_schedule, _with_silence

    identity = uuid4()
    for raw in [*definitions(), _watch_of_schedule("marketing-run/campaigns-cpu", identity, 3600.0)]:
        actions = [_action(action, lambda name: identity, identity) for action in raw["actions"]]
        core = AutomationCore.model_validate({**raw, "trigger": _with_silence(raw["trigger"]), "actions": actions})
        assert core.name.startswith("packshot: ")
        assert core.description


@pytest.mark.parametrize(("beat", "within"), [("", 150), ("2", 10)])
def test_a_sign_of_life_may_be_late(monkeypatch: pytest.MonkeyPatch, beat: str, within: float) -> None:
    """Four that are lost in a row are not the death of a run."""
    from flows.automations import _with_silence

    monkeypatch.setenv("PACKSHOT_BEAT_SECONDS", beat)
    dead = next(raw for raw in definitions() if "dead run" in raw["name"])
    assert _with_silence(dead["trigger"])["within"] == within


@pytest.mark.slow
def test_the_files_are_in_the_wheel(tmp_path: Path) -> None:
    command = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT))
    done = run(sys.executable, *command)
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {"deployments/prefect.yaml", "deployments/automations.yaml", "deployments/kubernetes-gpu.json"} <= set(names)


def test_deploy_needs_a_server(tmp_path: Path) -> None:
    command = "from flows.cli import main; main()"
    for url, words in (("", "PREFECT_API_URL: is not set"), ("http://127.0.0.1:9/api", "no Prefect server answers")):
        environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": url}
        done = subprocess.run(
            [sys.executable, "-c", command, "deploy", str(tmp_path)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for option, value in (("--cron", "at noon"), ("--time-zone", "Berlin")):
        done = subprocess.run(
            [sys.executable, "-c", command, "deploy", str(tmp_path), option, value],
            env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert f"{option}: {value}" in done.stderr


def test_prefect_deletes_old_runs_as_the_page_and_serve_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

    from flows.serve import _SERVER_SETTINGS

    page = re.findall(r"export (PREFECT_SERVER_SERVICES_DB_VACUUM_\w+)=(\S+)", (FOLDER / "README.md").read_text())
    assert set(page) == {(name, value) for name, value in _SERVER_SETTINGS.items() if "VACUUM" in name}
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["server"]["environment"]
    assert set(page) < set(compose.items())
    pods = re.findall(
        r"name: (PREFECT_SERVER_SERVICES_DB_VACUUM_\w+), value: \"(.*?)\"", (FOLDER / "kubernetes.yaml").read_text()
    )
    assert set(page) == set(pods)
    assert ServerServicesDBVacuumSettings().enabled_vacuum_types == {"events"}
    for name, value in page:
        monkeypatch.setenv(name, value)
    told = ServerServicesDBVacuumSettings()
    assert told.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert told.retention_period == timedelta(days=90)
