"""The image servers of deployments/: compose, Kubernetes and try.sh; against a test server where something is asked."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from catalogs.campaigns.campaign import load_campaign
from flows.automations import definitions
from flows.marketing import EngineChoice
from inference.servers.addresses import addresses_of
from tests.deployments.test_files import FOLDER, KUBERNETES, ROOT, manifest
from tests.image_server import ImageServer, image_servers

TRY = FOLDER / "try.sh"
MANIFESTS = FOLDER / "kubernetes-servers.yaml"
INSTALLATION = FOLDER / "kubernetes.yaml"
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ImageServer]]:
    """Two that serve the sample's model, one that is warming up, one that serves another model."""
    with image_servers({}, {}, {"warm_up": 600.0}, {"model": "Qwen/Qwen-Image-Edit"}) as found:
        yield found


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return found


def image_services() -> dict[str, Any]:
    return {name: service for name, service in services().items() if service.get("profiles") == ["servers"]}


def manifests() -> dict[str, Manifest]:
    """The image servers, and the worker of the installation that asks them."""
    found = {one["kind"]: one for one in yaml.safe_load_all(MANIFESTS.read_text())}
    assert "Deployment" not in found
    [found["Deployment"]] = [
        one
        for one in yaml.safe_load_all(INSTALLATION.read_text())
        if (one["kind"], one["metadata"]["name"]) == ("Deployment", "packshot-worker")
    ]
    return found


def container(kind: str) -> dict[str, Any]:
    [found] = manifests()[kind]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def named_in(file: Path) -> tuple[str, ...]:
    """The servers of the campaign that a file's comment shows."""
    [found] = re.findall(r'^#.*server: "([^"]+)"', file.read_text(), re.MULTILINE)
    return addresses_of(found)


def test_the_profile_has_two_servers_with_a_card_each() -> None:
    found = image_services()
    assert len(found) == 2
    cards = [service["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for service in found.values()]
    assert sorted(cards) == [["0"], ["1"]]
    for service in found.values():
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert {"healthcheck", "shm_size", "volumes"} <= set(service)
        assert "ports" not in service, "servers ask nobody for a key"


def test_the_worker_of_the_servers_has_no_card() -> None:
    worker = services()["worker-cpu"]
    assert "devices" not in str(worker)
    assert worker["deploy"]["resources"]["limits"]["memory"]
    assert worker["build"]["target"] == "cpu"
    assert "ARG EXTRAS=s3\n" in (FOLDER / "worker.Dockerfile").read_text()
    assert "PACKSHOT_SERVER_KEY" in worker["environment"]


def test_a_campaign_names_the_servers_as_they_are_called() -> None:
    assert named_in(FOLDER / "compose.yaml") == tuple(f"http://{name}:30000" for name in image_services())
    service, servers = manifests()["Service"], manifests()["StatefulSet"]
    assert service["spec"]["clusterIP"] == "None"
    name = servers["metadata"]["name"]
    pods = [f"{name}-{n}.{service['metadata']['name']}" for n in range(servers["spec"]["replicas"])]
    assert named_in(MANIFESTS) == tuple(f"http://{pod}:30000" for pod in pods)


def answers_health(server: ImageServer) -> bool:
    [test] = {tuple(service["healthcheck"]["test"]) for service in image_services().values()}
    kind, program, *arguments = test
    assert (kind, program) == ("CMD", "python3")
    command = [argument.replace("127.0.0.1:30000", f"127.0.0.1:{server.port}") for argument in arguments]
    return subprocess.run([sys.executable, *command], stderr=subprocess.DEVNULL).returncode == 0


def test_compose_tells_a_server_from_one_that_warms_up(servers: list[ImageServer]) -> None:
    assert [answers_health(server) for server in servers] == [True, True, False, True]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_kubernetes_tells_a_server_from_one_that_warms_up(probe: str, servers: list[ImageServer]) -> None:
    asked = container("StatefulSet")[probe]["httpGet"]
    assert asked["port"] in [port["name"] for port in container("StatefulSet")["ports"]]
    with urllib.request.urlopen(servers[0].url + asked["path"], timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(servers[2].url + asked["path"], timeout=10)


def test_kubernetes_manifests() -> None:
    found = manifests()
    assert set(found) == {"Service", "NetworkPolicy", "StatefulSet", "Deployment"}
    for one in found.values():
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Service", ("spec", "port"), 30000),
        ("NetworkPolicy", ("spec", "ingres"), []),
        ("StatefulSet", ("spec", "replicas"), "two"),
        ("StatefulSet", ("spec", "template", "spec", "containers", 0, "livenesProbe"), {}),
        ("StatefulSet", ("spec", "template", "spec", "containers", 0, "resources", "limit"), {}),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "env"), {"POOL": "cpu"}),
        ("Deployment", ("spec", "selector"), "packshot"),
    ],
)
def test_a_wrong_manifest_is_found(kind: str, path: tuple[Any, ...], value: Any) -> None:
    wrong = copy.deepcopy(manifests()[kind])
    place: Any = wrong
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_what_belongs_together_in_kubernetes_is_labelled_so() -> None:
    found = manifests()
    servers, worker = found["StatefulSet"], found["Deployment"]
    for one in (servers, worker):
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert servers["spec"]["serviceName"] == found["Service"]["metadata"]["name"]
    chosen = servers["spec"]["template"]["metadata"]["labels"].items()
    assert found["Service"]["spec"]["selector"].items() <= chosen
    policy = found["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= chosen
    [allowed] = policy["ingress"][0]["from"]
    assert allowed["podSelector"]["matchLabels"].items() <= worker["spec"]["template"]["metadata"]["labels"].items()
    assert allowed["podSelector"]["matchLabels"].items() <= manifest()["spec"]["template"]["metadata"]["labels"].items()


def test_only_the_servers_ask_for_cards() -> None:
    assert container("StatefulSet")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "gpu" not in str(manifests()["Deployment"])
    for kind in ("StatefulSet", "Deployment"):
        assert container(kind)["resources"]["limits"]["memory"]
        assert {"startupProbe", "livenessProbe", "resources"} <= set(container(kind))


def test_both_start_servers_in_the_same_way() -> None:
    [command] = {tuple(service["command"]) for service in image_services().values()}
    filled = [re.sub(r"^\$\{[A-Z_]+:-(.*)\}$", r"\1", word) for word in command]
    assert filled == container("StatefulSet")["args"]


def test_the_cpu_pool_takes_all_that_needs_no_card() -> None:
    without = set(EngineChoice) - {EngineChoice.LOCAL}
    prefect = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
    [scheduled] = [one for one in prefect["deployments"] if one["name"] == "campaigns-cpu"]
    assert set(scheduled["parameters"]["options"]["engines"]) == without
    [changed] = [raw for raw in definitions() if raw["name"] == "packshot: a changed campaign is rendered (cpu)"]
    assert set(changed["trigger"]["match"]["packshot.engine"]) == without


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`packshot` on the path, and a cache that knows no server."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "packshot"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from flows.cli import main; main()' \"$@\"\n")
    script.chmod(0o755)
    own = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "LOOKS": "1"}
    # A server of an installation, which the try has to leave alone.
    return {**os.environ, **own, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PREFECT_API_URL": "http://127.0.0.1:9/api"}


def tried(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """try.sh as the worker gets it: from its input."""
    with TRY.open() as script:
        command = ["bash", "-s", *arguments]
        return subprocess.run(command, stdin=script, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(240)
def test_try_renders_the_sample_through_the_servers(
    tmp_path: Path, environment: dict[str, str], servers: list[ImageServer]
) -> None:
    folder = tmp_path / "sample"
    done = tried(environment, "render", f"{servers[0].url}, {servers[1].url}", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 planned assets delivered" in done.stdout
    assert "9 files looked at" in done.stdout
    assert load_campaign(str(folder / "campaign.yaml")).model.name == "klein-4b"
    assert all(server.seen["made"] for server in servers[:2])


@pytest.mark.timeout(240)
def test_try_fails_where_the_server_serves_another_model(
    tmp_path: Path, environment: dict[str, str], servers: list[ImageServer]
) -> None:
    done = tried(environment, "render", servers[3].url, str(tmp_path / "sample"))
    assert done.returncode != 0
    assert "serves Qwen/Qwen-Image-Edit" in done.stderr
    assert not servers[3].seen["made"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "one of: compose, servers, kubernetes, render"),
        (("render",), "one of:"),
        (("render", "http://127.0.0.1:9"), "one of:"),
        (("compose", "now"), "one of:"),
        (("delete",), "one of:"),
        (("servers", "now"), "one of:"),
        (("servers",), "SGLANG_IMAGE is not set"),
    ],
)
def test_try_says_what_it_wants_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SGLANG_IMAGE"}
    done = subprocess.run([TRY, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (ROOT / "try").exists()


def test_try_names_what_compose_and_kubernetes_have() -> None:
    text = TRY.read_text()
    for name in (*image_services(), "worker-cpu", "watch", "deploy"):
        assert name in services()
        assert name in text
    assert f"deployment/{manifests()['Deployment']['metadata']['name']}" in text
    assert f"host={manifests()['StatefulSet']['metadata']['name']}\n" in text
    assert "statefulset/$host" in text
