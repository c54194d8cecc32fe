"""The automations of deployments/automations.yaml, created or updated by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any
from uuid import UUID

import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import PrefectClient
from prefect.events import AutomationCore
from pydantic import HttpUrl, TypeAdapter, ValidationError

from catalogs.errors import OptionError
from flows.alive import MISSED, beat_seconds

ALERTS = "packshot-alerts"
PREFIX = "packshot: "
DeploymentId = Callable[[str], UUID]


def definitions() -> list[dict[str, Any]]:
    """The file as it is."""
    found: list[dict[str, Any]] = yaml.safe_load((files("deployments") / "automations.yaml").read_text("utf-8"))
    return found


async def apply_automations(
    client: PrefectClient, deployment_id: DeploymentId, alert_url: str | None, due: Mapping[str, float]
) -> list[str]:
    """Create or update every automation.

    Args:
        due: longest time in seconds between two runs by the clock of a deployment, by its name.
        deployment_id: the id of the deployment an action names.
        alert_url: where alerts are posted as {"text": ...}, which Slack, Mattermost and Teams take.

    Returns:
        Their names.

    Raises:
        OptionError: the address is none.
    """
    block = await _alert_block(alert_url) if alert_url else None
    names = []
    for raw in [
        *definitions(),
        *(_watch_of_schedule(name, deployment_id(name), period) for name, period in due.items()),
    ]:
        actions = [_action(action, deployment_id, block) for action in raw["actions"]]
        core = AutomationCore.model_validate({**raw, "trigger": _with_silence(raw["trigger"]), "actions": actions})
        same = await client.read_automations_by_name(core.name)
        if same:
            await client.update_automation(same[0].id, core)
        else:
            await client.create_automation(core)
        names.append(core.name)
    for known in await client.read_automations():
        if known.name.startswith(PREFIX) and known.name not in names:  # of a schedule, or a version, that is no more
            await client.delete_automation(known.id)
    return names


def _with_silence(trigger: Mapping[str, Any]) -> dict[str, Any]:
    return {**trigger, "within": MISSED * beat_seconds()} if trigger["within"] == "silence" else dict(trigger)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h" if seconds >= 7200 else f"{seconds / 60:.0f} min"


def _watch_of_schedule(name: str, deployment: UUID, seconds: float) -> dict[str, Any]:
    """A dead man's switch: what alerts when a schedule does not fire, whatever keeps it from that."""
    problem = f"{name} has not begun a run for {_duration(2 * seconds)}, twice its period"
    return {
        "name": f"packshot: alert on a silent schedule ({name})",
        "description": "Not one run of it gave a sign of life in twice its period: paused, or no worker.",
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.id": f"prefect.deployment.{deployment}"},
            "expect": ["packshot.run.alive"],
            "threshold": 1,
            "within": 2 * seconds,
        },
        "actions": [
            {
                "type": "alert",
                "subject": "packshot",
                "body": f"{problem}; is the schedule paused, and is there a worker of its pool?",
            }
        ],
    }


def _action(action: Mapping[str, Any], deployment_id: DeploymentId, block: UUID | None) -> dict[str, Any]:
    raw = dict(action)
    if raw["type"] == "alert":
        if block is None:
            return {"type": "do-nothing"}
        return {**raw, "type": "send-notification", "block_document_id": block}
    if raw["type"] == "run-deployment":
        return {**raw, "source": "selected", "deployment_id": deployment_id(raw.pop("deployment"))}
    return raw


def check_alert_url(url: str | None) -> None:
    """Raise OptionError for what no alert can be sent to; none at all is fine."""
    try:
        TypeAdapter(HttpUrl | None).validate_python(url)
    except ValidationError:
        raise OptionError("--alert-url", url or "", "is no web address", "give one that begins with https://") from None


async def _alert_block(url: str) -> UUID:
    address: Any = {"address": url}  # the block makes it a SecretDict
    block = CustomWebhookNotificationBlock(
        name="packshot",
        url="{{address}}",  # such an address is a secret, and only `secrets` is not given back by the API
        secrets=address,
        json_data={"text": "{{body}}"},
        headers=None,
        cookies=None,
        timeout=10,
    )
    saved: UUID = await block.save(ALERTS, overwrite=True)
    return saved
