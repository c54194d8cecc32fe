"""What somebody is told who does not look: one sentence, once a cause and day, and again when it is in order.

An event that one automation of deployments/automations.yaml posts. What was told is remembered on the Prefect server,
as a variable a campaign file and kind: a worker that starts again, or another one, does not tell it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.flows import Flow
from prefect.settings import get_current_settings
from prefect.utilities.urls import url_for

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import PackshotError

ALERT = "packshot.alert"
told_of: set[UUID] = set()
"""Flow runs of this process that said themselves what became of their campaigns, one by one."""
_CHANGES = re.compile(r"[0-9a-f]{8,}|\d+")


class Kind(StrEnum):
    """What an alert is about; each is told and mended for itself."""

    RUN = "run"
    OVERDUE = "overdue"
    FAILING = "failing"
    LIMIT = "limit"


def alert(path: str, name: str, kind: Kind, problem: str, advice: str, flow_run: Any) -> bool:
    """Tell what is wrong with a campaign, unless the same was told today; whether it was.

    Args:
        path: of the campaign file, which stands for the campaign.
        problem: what happened, without a full stop.
        advice: what to do.
        flow_run: id of the run whose page shows more.
    """
    memory, cause = _Memory(path, kind), _cause_of(problem)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    if memory.read() == {"cause": cause, "day": today}:
        return False
    _send(name, f"{name}: {problem}; {advice}{_seen_at(flow_run)}", flow_run)
    memory.write({"cause": cause, "day": today})
    return True


def mended(path: str, name: str, kind: Kind, flow_run: Any) -> bool:
    """Tell that what was told of a campaign is in order; whether there was anything."""
    memory = _Memory(path, kind)
    if memory.read() is None:
        return False
    _send(name, f"{name}: in order again{_seen_at(flow_run)}", flow_run)
    memory.forget()
    return True


def _cause_of(problem: str) -> str:
    """A problem without its numbers and ids: 3 missing assets and 4 are one cause."""
    return hashlib.sha256(_CHANGES.sub("#", problem).encode()).hexdigest()[:16]


class _Memory:
    """What was told last of a campaign; a server that is away is told all the same, when it hears again.

    By a client of its own: the runner of a worker calls hooks inside its event loop.
    """

    def __init__(self, path: str, kind: Kind) -> None:
        # As the machine sees it: two campaigns are called campaign.yaml in their folders.
        named = hashlib.sha256(os.path.abspath(path).encode()).hexdigest()[:16]
        self._name = f"packshot-told-{kind}-{named}"

    def read(self) -> Any:
        with suppress(Exception), get_client(sync_client=True) as client:
            known = client.read_variable_by_name(self._name)
            return json.loads(str(known.value)) if known else None
        return None

    def write(self, told: dict[str, str]) -> None:
        with suppress(Exception), get_client(sync_client=True) as client:
            if client.read_variable_by_name(self._name):
                client.update_variable(VariableUpdate(name=self._name, value=json.dumps(told)))
            else:
                client.create_variable(VariableCreate(name=self._name, value=json.dumps(told)))

    def forget(self) -> None:
        with suppress(Exception), get_client(sync_client=True) as client:
            client.delete_variable_by_name(self._name)


def _send(name: str, text: str, flow_run: Any) -> None:
    resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run}", "prefect.resource.name": name}
    emit_event(ALERT, resource=resource, payload={"campaign": name, "text": text})


def link(flow_run: Any) -> str:
    """The page of a run, "" where no server keeps it."""
    if not get_current_settings().api.url:
        return ""
    return url_for("flow-run", obj_id=flow_run) or ""


def _seen_at(flow_run: Any) -> str:
    return f"; {address}" if (address := link(flow_run)) else ""


def _name_of(path: str) -> str:
    """Of a campaign: whoever runs the hook may know the run by a name from before it began."""
    with suppress(PackshotError):
        return load_campaign(path).name
    return Path(path).stem


def send_ended(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of flows: a run that failed or crashed says so, and one that is in order again.

    A run within another leaves the word to that one. The runner of a worker calls it for a process that was killed.
    """
    if flow_run.parent_task_run_id is not None or flow_run.id in told_of:
        return
    parameters = flow_run.parameters
    path = str(parameters.get("campaign") or parameters.get("folder") or "")
    name = _name_of(path) if "campaign" in parameters else f"the folder {path}"
    if state.is_completed():
        mended(path, name, Kind.RUN, flow_run.id)
        return
    said = (state.message or state.name or "failed").rstrip(". ")
    verb = "has crashed: " if state.is_crashed() else ""
    advice = f"`packshot status {quote(path)}` tells more" if "campaign" in parameters else "see its page"
    alert(path, name, Kind.RUN, f"{verb}{said}", advice, flow_run.id)
