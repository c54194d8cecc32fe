"""kubernetes.yaml and kubernetes-gpu.json: against the schema of Kubernetes, and what belongs together in them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from flows.cli import cli
from flows.worker import TEARDOWN_SECONDS
from tasks.settings import STOP_SECONDS
from tests.deployments.test_compose import SERVICES
from tests.deployments.test_files import FOLDER, KUBERNETES, as_kept, manifest

Manifest = dict[str, Any]
MANIFESTS: list[Manifest] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
NAMED = {(one["kind"], one["metadata"]["name"]): one for one in MANIFESTS}
PODS = {name: one["spec"]["template"] for (kind, name), one in NAMED.items() if kind == "Deployment"}


def container(name: str) -> dict[str, Any]:
    [found] = PODS[name]["spec"]["containers"]
    return dict(found)


def variables(name: str) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(name).get("env", ())}


@pytest.mark.parametrize("key", NAMED, ids=" ".join)
def test_manifests(key: tuple[str, str]) -> None:
    kubernetes_validate.validate(NAMED[key], KUBERNETES, strict=True)


def test_each_object_stands_there_once_and_all_are_there() -> None:
    assert len(NAMED) == len(MANIFESTS)
    assert set(PODS) == {"packshot-server", "packshot-jobs", "packshot-worker", "packshot-watch"}
    kinds = {kind for kind, _ in NAMED}
    assert {"ServiceAccount", "Role", "RoleBinding", "PersistentVolumeClaim", "Service"} <= kinds


@pytest.mark.parametrize(
    ("key", "path", "value"),
    [
        (("Role", "packshot-jobs"), ("rules", 0, "verb"), ["create"]),
        (("RoleBinding", "packshot-jobs"), ("roleRef", "names"), "x"),
        (("PersistentVolumeClaim", "packshot-models"), ("spec", "accessMode"), ["ReadWriteMany"]),
        (("Deployment", "packshot-server"), ("spec", "strategy", "kind"), "Recreate"),
        (("Deployment", "packshot-jobs"), ("spec", "template", "spec", "serviceAccount_name"), "x"),
    ],
)
def test_a_wrong_manifest_is_found(key: tuple[str, str], path: tuple[Any, ...], value: Any) -> None:
    wrong = copy.deepcopy(NAMED[key])
    place: Any = wrong
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_bounded_and_watched(name: str) -> None:
    found, labels = container(name), PODS[name]["metadata"]["labels"]
    assert NAMED["Deployment", name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert found["resources"]["limits"]["memory"]
    assert {"startupProbe", "livenessProbe"} <= set(found)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = found.get(probe, {}).get("httpGet")
        assert asked is None or asked["port"] in [port["name"] for port in found["ports"]]
    assert found["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert PODS[name]["spec"]["securityContext"]["runAsNonRoot"]


def test_the_server_is_found_by_its_name() -> None:
    service = NAMED["Service", "prefect-server"]["spec"]
    assert service["selector"].items() <= PODS["packshot-server"]["metadata"]["labels"].items()
    [port] = service["ports"]
    assert port["targetPort"] in [named["name"] for named in container("packshot-server")["ports"]]
    for name in set(PODS) - {"packshot-server"}:
        assert service["selector"].items() != {**PODS[name]["metadata"]["labels"]}.items()
        assert variables(name)["PREFECT_API_URL"] == f"http://prefect-server:{port['port']}/api"


def secrets(name: str) -> set[str]:
    found = container(name)
    keys = [one.get("valueFrom", {}).get("secretKeyRef", {}).get("name") for one in found.get("env", ())]
    return {one["secretRef"]["name"] for one in found.get("envFrom", ())} | {key for key in keys if key}


def test_each_pod_sees_the_secrets_it_needs_and_the_page_makes_them() -> None:
    found = {name: secrets(name) for name in PODS}
    assert found.pop("packshot-server") == {"packshot-server"}
    assert set(map(frozenset, found.values())) == {frozenset({"packshot"})}
    page = re.sub(r"\\\n\s*", "", (FOLDER / "README.md").read_text())
    made = dict(re.findall(r"create secret generic (\S+)(.*)", page))
    assert set(made) == {"packshot-server", "packshot"}
    assert "PREFECT_SERVER_API_AUTH_STRING=" in made["packshot-server"]
    assert "PREFECT_API_DATABASE_CONNECTION_URL=" in made["packshot-server"]
    assert "PREFECT_API_AUTH_STRING=" in made["packshot"]
    given = SERVICES["server"]["environment"]
    assert {"PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_DATABASE_CONNECTION_URL"} <= set(given), "as on one host"


def test_no_password_stands_in_a_file() -> None:
    for name in ("kubernetes.yaml", "kubernetes-servers.yaml", "kubernetes-gpu.json"):
        assert not re.search(r"change-me|AUTH_STRING, value: (?!PREFECT)", (FOLDER / name).read_text()), name


def accounts() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((name, pod["spec"]) for name, pod in PODS.items())
    yield "a run", manifest()["spec"]["template"]["spec"]


def test_only_what_makes_jobs_has_a_right_in_the_cluster() -> None:
    binding = NAMED["RoleBinding", "packshot-jobs"]
    assert ("Role", binding["roleRef"]["name"]) in NAMED
    [subject] = binding["subjects"]
    for name, spec in accounts():
        account = spec.get("serviceAccountName")
        assert account is None or ("ServiceAccount", account) in NAMED, name
        bound = account == subject["name"]
        assert bound == (name == "packshot-jobs")
        assert spec["automountServiceAccountToken"] is bound, "a token is where it is needed"


def test_claims_are_those_that_pods_ask_for() -> None:
    made = {name for kind, name in NAMED if kind == "PersistentVolumeClaim"}
    asked: dict[str, set[bool]] = {}
    for _, spec in accounts():
        for volume in spec.get("volumes", ()):
            if claim := volume.get("persistentVolumeClaim"):
                asked.setdefault(claim["claimName"], set()).add(claim.get("readOnly", False))
    assert asked == {"packshot-campaigns": {True}, "packshot-models": {False}}
    assert set(asked) == made


def test_a_run_ends_within_what_its_pod_has() -> None:
    needed = STOP_SECONDS + TEARDOWN_SECONDS
    ends = {
        name: spec.get("terminationGracePeriodSeconds", 30)
        for name, spec in accounts()
        if "a run" in name or name in ("packshot-worker",)
    }
    assert len(ends) == 2
    assert all(needed < seconds <= 120 for seconds in ends.values()), "more than it needs, no more than a cloud gives"


def test_a_run_is_told_of_the_end_of_its_pod() -> None:
    """Prefect's own command starts another process and tells it nothing; ours is process 1, and passes it on."""
    import json

    properties = json.loads((FOLDER / "kubernetes-gpu.json").read_text())["variables"]["properties"]
    assert properties["command"]["default"] == "python -m flows.guarded"
    assert properties["grace_seconds"]["minimum"] >= STOP_SECONDS + TEARDOWN_SECONDS
    spot = properties["tolerations"]["examples"][0]
    changed = manifest(tolerations=spot, grace_seconds=90)
    kubernetes_validate.validate(as_kept(changed), KUBERNETES, strict=True)
    assert changed["spec"]["template"]["spec"]["tolerations"] == spot
    assert changed["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 90


def test_the_pools_are_those_of_the_deployments() -> None:
    prefect = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
    pools = {one["work_pool"]["name"] for one in prefect["deployments"]}
    assert {variables("packshot-jobs")["POOL"], variables("packshot-worker")["POOL"]} == pools


def test_the_sensor_is_watched_as_on_one_host() -> None:
    watch = container("packshot-watch")
    cli.commands["watch"].make_context("watch", watch["args"][2:]).close()
    assert watch["args"] == SERVICES["watch"]["command"]
    [kind, line] = SERVICES["watch"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    for probe in ("startupProbe", "livenessProbe"):
        assert watch[probe]["exec"]["command"] == ["sh", "-c", line.replace("$$", "$")]
