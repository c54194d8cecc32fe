"""Asking and telling a test's Prefect server, as its UI does."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

BUSY_TRIES = 20


def call(environment: Mapping[str, str], path: str, body: Any = None) -> Any:
    """POST a body, or GET without one."""
    request = urllib.request.Request(
        environment["PREFECT_API_URL"] + path,
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    for _ in range(BUSY_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
            return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            if error.code != 503:  # SQLite was locked; Prefect's own client asks again too
                raise
            error.close()
            time.sleep(0.5)
    raise TimeoutError(f"{path}: the server is busy")


def flow_runs(environment: Mapping[str, str], campaign: str) -> list[dict[str, Any]]:
    """Flow runs of a campaign, the newest first."""
    found: list[dict[str, Any]] = call(environment, "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"})
    return [run for run in found if str(run["parameters"].get("campaign", "")) == campaign]


def set_state(environment: Mapping[str, str], flow_run: str, kind: str, name: str = "") -> None:
    """What the buttons of the UI send: CANCELLING, or SCHEDULED as AwaitingRetry."""
    state = {"type": kind, "name": name or kind.title()}
    call(environment, f"/flow_runs/{flow_run}/set_state", {"state": state, "force": kind == "SCHEDULED"})


def wait_for_state(environment: Mapping[str, str], flow_run: str, names: Sequence[str], seconds: float = 60) -> str:
    until = time.monotonic() + seconds
    state = ""
    while time.monotonic() < until:
        state = call(environment, f"/flow_runs/{flow_run}")["state"]["name"]
        if state in names:
            return state
        time.sleep(0.2)
    raise AssertionError(f"flow run is {state}, not {' or '.join(names)}, after {seconds} s")


def task_runs(environment: Mapping[str, str], flow_run: str) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"id": {"any_": [flow_run]}}, "limit": 200}
    found: list[dict[str, Any]] = []
    while page := call(environment, "/task_runs/filter", {**wanted, "offset": len(found)}):
        found += page
    return found
