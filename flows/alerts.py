"""A failed run says so itself, in an event that an automation turns into an alert.

Prefect's own state events will not do: those of a run that a schedule made refer to an event that was never sent, and
the server holds them back for 15 minutes (3.8.8) before an automation sees them.
"""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.flows import Flow

FAILED = "packshot.run.failed"


def send_failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of flows that failed or crashed; a run within another leaves the word to that one."""
    if flow_run.parent_task_run_id is not None:
        return
    resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.name": flow_run.name}
    text = state.message or f"{state.name} without a message"
    emit_event(FAILED, resource=resource, payload={"state": state.name, "text": text})
