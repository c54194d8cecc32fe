"""The installation on one host: what compose.yaml and worker.Dockerfile say, as far as it is told without Docker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from catalogs.campaigns.calendar import read_calendar
from catalogs.campaigns.outputs import refuse_read_only
from flows.cli import cli
from flows.worker import TEARDOWN_SECONDS
from tasks.settings import STOP_SECONDS
from tests.deployments.test_files import FOLDER, ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
ONCE = {"passwords", "bucket", "deploy"}
"""What runs and ends: it has no state to ask for."""
PASSWORDS = ("PREFECT_AUTH", "DATABASE_PASSWORD", "STORE_PASSWORD")
WORKER = (FOLDER / "worker.Dockerfile").read_text()


def megabytes(size: str) -> float:
    """A size of compose, its variable taken at its default."""
    found = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)([mg])\}?", size)
    assert found, size
    return int(found[1]) * {"m": 1, "g": 1024}[found[2]]


def awaited(name: str) -> Iterator[str]:
    """All services that a service waits for."""
    for other in SERVICES[name].get("depends_on", {}):
        yield other
        yield from awaited(other)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded(name: str) -> None:
    service = SERVICES[name]
    memory = megabytes(service["deploy"]["resources"]["limits"]["memory"])
    assert 0 < megabytes(service["shm_size"]) < memory, "shared memory counts as memory"
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_whether_it_is_well(name: str) -> None:
    service = SERVICES[name]
    if name in ONCE:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_waits_for_what_is_never_said(name: str) -> None:
    conditions = {"service_healthy", "service_completed_successfully"}
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted["condition"] in conditions
        assert (wanted["condition"] == "service_completed_successfully") == (other in ONCE)


def test_each_image_is_built_once() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert sorted(built) == sorted(set(built))
    for name, service in SERVICES.items():
        if service["image"] in built and "build" not in service:
            assert service["pull_policy"] == "never", f"{name}: the name is not ours in any registry"
        elif "build" not in service:
            assert re.fullmatch(r"[a-z/]+:[\w.-]*\d[\w.-]*", service["image"]), "pinned by a version"
    assert {SERVICES[name]["image"] for name in ("worker-cpu", "watch", "deploy", "bucket")} == {"packshot-worker"}


def test_what_holds_a_password_waits_for_the_look_at_it() -> None:
    for name, service in SERVICES.items():
        text = str(service.get("environment", {}))
        if name != "passwords" and any(f"${{{word}" in text for word in PASSWORDS):
            assert "passwords" in set(awaited(name)), name
    asked = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    assert asked == {*PASSWORDS, "STORE_USER"} == set(SERVICES["passwords"]["environment"])


def test_only_this_host_reaches_it() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def stage(name: str) -> str:
    """The lines of one stage of worker.Dockerfile."""
    stages = re.split(r"^FROM ", WORKER, flags=re.MULTILINE)[1:]
    [found] = [text for text in stages if re.match(rf".* AS {name}\n", text)]
    return found


def test_the_image_without_a_gpu_has_no_cuda() -> None:
    """torch comes with CUDA: the first stage installs an extra that does not ask for it."""
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert SERVICES["worker-cpu"]["build"]["target"] == "cpu"
    cpu = stage("cpu")
    assert "ARG EXTRAS=s3\n" in cpu
    assert not any("torch" in line for line in cpu.splitlines() if not line.startswith("#"))
    assert not any("torch" in package for extra in ("s3", "kubernetes") for package in extras[extra])
    assert "[s3,diffusers]" in stage("gpu")
    assert any(package.startswith("torch") for package in extras["diffusers"])
    assert stage("gpu").startswith("cpu AS gpu\n"), "it adds to the other, whose layers they share"


def test_the_driver_is_named() -> None:
    """torch 2.11 and newer come with CUDA 13.0, which needs NVIDIA's driver 580."""
    assert tuple(map(int, re.findall(r"\d+", version("torch"))[:2])) >= (2, 11)
    assert 'NVIDIA_REQUIRE_CUDA="cuda>=13.0"' in stage("gpu")
    for file in ("worker.Dockerfile", "compose.yaml", "README.md"):
        assert "driver 580 or newer" in (FOLDER / file).read_text(), file
    for name in ("worker-gpu", "images-a", "images-b"):
        [device] = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_a_worker_has_the_time_that_its_runs_take() -> None:
    for name, service in SERVICES.items():
        if service["image"].startswith("packshot-worker"):
            assert service["stop_grace_period"] == "1m", name
    assert STOP_SECONDS + TEARDOWN_SECONDS < 60


def commands() -> Iterator[list[str]]:
    """Every line of packshot that a container runs, its variables at what is set for them."""
    for service in SERVICES.values():
        if service.get("command", [""])[0] == "packshot":
            yield [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", word) for word in service["command"]]
    [line] = re.findall(r'^CMD \["sh", "-c", "exec (.*)"\]$', WORKER, re.MULTILINE)
    yield line.replace('\\"$POOL\\"', "cpu").replace('\\"$LIMIT\\"', "2").split()


def test_the_commands_of_the_containers_exist() -> None:
    found = {words[1]: words for words in commands()}
    assert set(found) == {"watch", "deploy", "worker"}
    for name, words in found.items():
        cli.commands[name].make_context(name, words[2:]).close()
    assert "--with-healthcheck" in found["worker"], "compose asks its page"
    with pytest.raises(Exception, match=r"[Nn]o such option"):
        cli.commands["deploy"].make_context("deploy", ["/srv/campaigns", "--corn", "x"])


def test_campaigns_are_read_only_and_all_see_them_in_one_place() -> None:
    for name in ("worker-cpu", "worker-gpu", "watch", "deploy"):
        assert "${CAMPAIGNS:-../campaigns}:/srv/campaigns:ro" in SERVICES[name]["volumes"], name


def test_the_sample_of_the_page_is_for_a_folder_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the installation mounts it: what the page writes into `campaigns/` writes into the store."""
    [line] = re.findall(
        r"^    packshot (init campaigns/\S+ --output \S+)", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, line.split())
    assert done.exit_code == 0, done.output
    found = read_calendar("campaigns")
    assert [entry.problem for entry in found] == ["", ""]
    for entry in found:
        assert entry.campaign is not None
        assert entry.campaign.output.startswith("s3://packshot/"), "the bucket that is made"
        refuse_read_only(entry.campaign, "campaigns")
