"""Flow runs whose process is gone, and those that wait in vain: brought to their end when somebody starts again.

A server cannot know that a process was killed before it has been silent for a while, and where no automation watches
it never does. Who starts on the same host can: the process ids of its runs are in their tags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Crashed

from flows.alive import is_gone

GONE = "Its process is gone. What it delivered is safe; the next run does the rest."
COVERED = "Another run does the same now."
_AT_WORK = [StateType.RUNNING, StateType.CANCELLING]
_WAITING = [StateType.SCHEDULED, StateType.PENDING]
PAGE = 200


def settle_dead_runs(say: Callable[[str], None] = lambda line: None) -> int:
    """Mark the runs of this host as crashed whose process is gone; how many. A run of another host is never touched."""
    state: Any = Crashed(message=GONE)
    count = 0
    with get_client(sync_client=True) as client:
        for run in _runs(client, _AT_WORK):
            if is_gone(run.tags):
                client.set_flow_run_state(run.id, state, force=True)
                say(f"settled      {run.name}: its process is gone")
                count += 1
    return count


def drop_covered_runs() -> int:
    """Cancel the runs that wait for the flow run of here to end, and would only do the same again; how many.

    After a night without a server its schedule has many runs that are due.
    """
    if not deployment.id:
        return 0
    mine, me = _work_of(flow_run.parameters), str(flow_run.id)
    state: Any = Cancelled(message=COVERED)
    with get_client(sync_client=True) as client:
        found = _runs(client, _WAITING, deployment.id)
        covered = [
            run for run in found if str(run.id) != me and _is_due(run) and _covers(mine, _work_of(run.parameters))
        ]
        for run in covered:
            client.set_flow_run_state(run.id, state, force=True)
    return len(covered)


def _is_due(run: FlowRun) -> bool:
    due = run.next_scheduled_start_time or run.expected_start_time
    return due is not None and due <= datetime.now(UTC)


def _covers(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the one does all that the other would: of the same folder and engines, every campaign or those ones."""
    if any(mine[name] != other[name] for name in ("folder", "engines")):
        return False
    return not mine["only"] or (bool(other["only"]) and set(other["only"]) <= set(mine["only"]))


def _work_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is asked for, as plain values."""
    options = parameters.get("options") or {}
    options = options if isinstance(options, dict) else options.model_dump(mode="json")
    return {"folder": parameters.get("folder"), "engines": options.get("engines"), "only": options.get("only") or []}


def _runs(client: SyncPrefectClient, states: list[StateType], deployment_id: UUID | None = None) -> list[FlowRun]:
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)))
    made_by = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])) if deployment_id else None
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=wanted, deployment_filter=made_by, limit=PAGE, offset=len(found)
    ):
        found += page
    return found
