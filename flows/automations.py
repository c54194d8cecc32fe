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

ALERTS = "packshot-alerts"
DeploymentId = Callable[[str], UUID]


def definitions() -> list[dict[str, Any]]:
    """The file as it is."""
    found: list[dict[str, Any]] = yaml.safe_load((files("deployments") / "automations.yaml").read_text("utf-8"))
    return found


async def apply_automations(client: PrefectClient, deployment_id: DeploymentId, alert_url: str | None) -> list[str]:
    """Create or update every automation.

    Args:
        deployment_id: the id of the deployment an action names.
        alert_url: where alerts are posted as {"text": ...}, which Slack, Mattermost and Teams take.

    Returns:
        Their names.

    Raises:
        OptionError: the address is none.
    """
    block = await _alert_block(alert_url) if alert_url else None
    names = []
    for raw in definitions():
        actions = [_action(action, deployment_id, block) for action in raw["actions"]]
        core = AutomationCore.model_validate({**raw, "actions": actions})
        same = await client.read_automations_by_name(core.name)
        if same:
            await client.update_automation(same[0].id, core)
        else:
            await client.create_automation(core)
        names.append(core.name)
    return names


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
        json_data={"text": "{{subject}}\n{{body}}"},
        headers=None,
        cookies=None,
        timeout=10,
    )
    saved: UUID = await block.save(ALERTS, overwrite=True)
    return saved
