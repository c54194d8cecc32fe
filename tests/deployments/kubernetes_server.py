"""A Kubernetes cluster's API for tests: it keeps jobs and pods, tells who watches, and allows what a role allows."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.servers import QuietServer

NOW = "2026-11-22T12:00:00Z"
GROUPS = {"/api/v1": "", "/apis/batch/v1": "batch", "/apis/apiextensions.k8s.io/v1": "apiextensions.k8s.io"}
RESOURCES = {
    "": (("pods", "Pod"), ("pods/log", "Pod"), ("namespaces", "Namespace"), ("events", "Event")),
    "batch": (("jobs", "Job"),),
    "apiextensions.k8s.io": (("customresourcedefinitions", "CustomResourceDefinition"),),
}
"""What every cluster has, as far as a client looks for it."""
KINDS = {"jobs": "Job", "pods": "Pod"}
Right = tuple[str, str, str]
"""Group, resource and verb."""


@dataclass
class Cluster:
    """One namespace, packshot.

    Attributes:
        allowed: what the caller's role allows; all else is answered 403, but what everybody may ask.
        used: what of it was asked for.
        refused: what was not allowed.
    """

    allowed: frozenset[Right]
    used: set[Right] = field(default_factory=set)
    refused: set[Right] = field(default_factory=set)
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {"jobs": {}, "pods": {}})
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"jobs": [], "pods": []})
    changed: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""
    ends: bool = False

    def put(self, resource: str, made: dict[str, Any]) -> dict[str, Any]:
        """Make or change an object, and tell who watches."""
        with self.changed:
            name = made["metadata"]["name"]
            kind = "MODIFIED" if name in self.objects[resource] else "ADDED"
            made["metadata"]["resourceVersion"] = str(len(self.events["jobs"]) + len(self.events["pods"]) + 1)
            self.objects[resource][name] = made
            self._tell(resource, kind, made)
        return made

    def remove(self, resource: str, name: str) -> dict[str, Any] | None:
        """Take an object away, and tell who watches."""
        with self.changed:
            gone = self.objects[resource].pop(name, None)
            if gone:
                self._tell(resource, "DELETED", gone)
        return gone

    def fail(self, job: dict[str, Any], said: str = "boom") -> None:
        """A job whose pod ended before its run began."""
        pod = job["metadata"]["name"] + "-pod"
        labels = {**job["spec"]["template"]["metadata"]["labels"], "job-name": job["metadata"]["name"]}
        container = {"name": "prefect-job", "image": "x"}
        terminated = {"exitCode": 1, "reason": "Error", "startedAt": NOW, "finishedAt": NOW}
        status = {**container, "ready": False, "restartCount": 0, "imageID": "x", "state": {"terminated": terminated}}
        self.put(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata(pod), "labels": labels, "annotations": {"said": said}},
                "spec": {"containers": [container]},
                "status": {"phase": "Failed", "startTime": NOW, "containerStatuses": [status]},
            },
        )
        failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        self.put("jobs", {**job, "status": {"failed": 1, "conditions": [failed]}})

    def _tell(self, resource: str, kind: str, made: dict[str, Any]) -> None:
        self.events[resource].append({"type": kind, "object": json.loads(json.dumps(made))})
        self.changed.notify_all()


def chosen(made: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Whether a list asks for an object: `key=value` and `key`, joined by commas."""
    labels = made["metadata"]["labels"]
    wanted = [part.partition("=") for part in query.get("labelSelector", "").split(",") if part]
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in wanted)


def metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "packshot", "uid": f"uid-{name}", "creationTimestamp": NOW}


class Handler(BaseHTTPRequestHandler):
    """Answers what clients of Kubernetes ask of jobs and pods."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def do_GET(self) -> None:
        self._serve("get")

    def do_POST(self) -> None:
        self._serve("create")

    def do_PUT(self) -> None:
        self._serve("update")

    def do_PATCH(self) -> None:
        self._serve("patch")

    def do_DELETE(self) -> None:
        self._serve("delete")

    def log_message(self, format: str, *args: object) -> None:
        return

    def _serve(self, verb: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        base = next((base for base in GROUPS if split.path.startswith(f"{base}/")), "")
        if not base:
            self._discover(split.path)
            return
        place = split.path.removeprefix(f"{base}/").removeprefix("namespaces/packshot/").split("/")
        resource = "/".join([place[0], *place[2:]])
        if verb == "get" and len(place) == 1:
            verb = "watch" if query.get("watch") in ("true", "True", "1") else "list"
        right = (GROUPS[base], resource, verb)
        if right not in self.cluster.allowed:
            self.cluster.refused.add(right)
            self._answer({"kind": "Status", "message": f"may not {right}", "code": 403}, 403)
            return
        self.cluster.used.add(right)
        self._do(verb, resource, place[1:], query, body)

    def _do(self, verb: str, resource: str, names: Sequence[str], query: Mapping[str, str], body: bytes) -> None:
        if verb == "watch":
            self._watch(resource, int(query.get("resourceVersion") or 0), float(query.get("timeoutSeconds", 600)))
        elif verb == "list":
            found = [one for one in self.cluster.objects[resource].values() if chosen(one, query)]
            version = {"resourceVersion": str(sum(map(len, self.cluster.events.values())))}
            kind = f"{KINDS[resource]}List"
            self._answer({"kind": kind, "apiVersion": "v1", "metadata": version, "items": found})
        elif verb == "create":
            made = json.loads(body)
            made["metadata"] |= metadata(f"{made['metadata']['generateName']}{len(self.cluster.events[resource])}")
            self._answer(self.cluster.put(resource, made), 201)
        elif resource == "pods/log":
            said = self.cluster.objects["pods"][names[0]]["metadata"]["annotations"]["said"]
            self._answer(None, text=said if "previous" not in query else "")
        elif verb == "delete":
            self._answer(self.cluster.remove(resource, names[0]))
        else:
            self._answer(self.cluster.objects[resource].get(names[0]))

    def _discover(self, path: str) -> None:
        if path == "/api":
            self._answer({"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            versions = {name: {"groupVersion": f"{name}/v1", "version": "v1"} for name in GROUPS.values() if name}
            found = [{"name": n, "versions": [one], "preferredVersion": one} for n, one in versions.items()]
            self._answer({"groups": found})
        elif path in GROUPS:
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            named = [
                {"name": name, "kind": kind, "namespaced": True, "singularName": "", "verbs": verbs}
                for name, kind in RESOURCES[GROUPS[path]]
            ]
            self._answer({"kind": "APIResourceList", "groupVersion": path.rpartition("/")[2], "resources": named})
        else:
            self._answer(None)

    def _watch(self, resource: str, since: int, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        sent, deadline = 0, time.monotonic() + seconds
        with suppress(OSError):
            while time.monotonic() < deadline and not self.cluster.ends:
                with self.cluster.changed:
                    self.cluster.changed.wait(0.2)
                    events = self.cluster.events[resource][sent:]
                sent += len(events)
                for event in events:
                    if int(event["object"]["metadata"]["resourceVersion"]) > since:
                        self.wfile.write(json.dumps(event).encode() + b"\n")
                        self.wfile.flush()

    def _answer(self, found: object, status: int = 200, text: str | None = None) -> None:
        if found is None and text is None:
            found, status = {"kind": "Status", "code": 404, "reason": "NotFound"}, 404
        data = text.encode() if text is not None else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if text is not None else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def rights(role: Mapping[str, Any]) -> frozenset[Right]:
    """All that a role allows."""
    return frozenset(
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


@contextmanager
def cluster(role: Mapping[str, Any], folder: Path) -> Iterator[Cluster]:
    """A cluster while the block runs; `folder` gets the file that leads a client to it."""
    found = Cluster(rights(role))
    server = QuietServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cluster": found}))
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    named = {"cluster": "test", "user": "worker", "namespace": "packshot"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": found.url}}],
        "users": [{"name": "worker", "user": {"token": "of-a-test"}}],
        "contexts": [{"name": "test", "context": named}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    try:
        yield found
    finally:
        found.ends = True
        server.shutdown()
        thread.join()
        server.server_close()
