"""Registering packshot with a Prefect server: work pools, deployments, automations. Every step may be repeated."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.server.schemas.schedules import CronSchedule
from prefect.settings import get_current_settings
from pydantic import ValidationError

from catalogs.campaigns.calendar import read_calendar, refuse_doubles
from catalogs.campaigns.outputs import refuse_read_only
from catalogs.errors import CampaignError, OptionError, WorkError
from flows.automations import apply_automations, check_alert_url
from flows.settling import settle_dead_runs
from tasks.versions import installed

POOLS = {"cpu": "Proofs and the hosted API", "gpu": "Models of our own, one run a GPU"}
FORMER = ("marketing-run/cpu", "marketing-run/gpu", "render-catalog/cpu", "render-catalog/gpu")
"""Names of before 2026-11-23, whose schedules would go on beside the new ones."""
NEVER = "0 5 * * *"
"""Stands in a schedule that is switched off."""
SCHEDULED = ("marketing-run/campaigns-cpu", "marketing-run/campaigns-gpu")
DEPLOYMENTS = (*SCHEDULED, "render-catalog/one-campaign-cpu", "render-catalog/one-campaign-gpu")
CONNECT_SECONDS = 10.0
BUSY_SECONDS = 75.0
"""A server on SQLite may answer nobody for a minute, while one of its transactions waits for another (3.8.8)."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class DeployError(WorkError):
    """The Prefect server refused a deployment."""


@dataclass(frozen=True)
class Plan:
    """What to register.

    Attributes:
        campaigns: the campaign folder as the workers see it.
        cron: when to render what is due; never by the clock when None.
        alert_url: where alerts go; nowhere when None.
    """

    campaigns: str
    cron: str | None
    time_zone: str
    alert_url: str | None = None


def check_plan(plan: Plan) -> None:
    """Raises OptionError or CampaignError for what cannot be registered; asks no server."""
    check_schedule(plan.cron or NEVER, plan.time_zone)
    check_alert_url(plan.alert_url)
    _check_campaigns(plan.campaigns)


def check_schedule(cron: str, time_zone: str) -> None:
    """Raises OptionError when a cron line or time zone cannot be used."""
    try:
        ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        raise OptionError("--time-zone", time_zone, "is no time zone", "give an IANA name: Europe/Berlin") from None
    try:
        CronSchedule(cron=cron, timezone=time_zone)
    except ValidationError:
        fix = 'give minute, hour, day, month and weekday, for example "0 5 * * 1-5"'
        raise OptionError("--cron", cron, "is no cron line", fix) from None


def server_url() -> str:
    """The address of the Prefect server.

    Raises:
        OptionError: none is set, or none answers there.
    """
    url = get_current_settings().api.url
    if not url:
        fix = "start `prefect server start` and set it, for example to http://127.0.0.1:4200/api"
        raise OptionError("PREFECT_API_URL", "", "is not set, so there is no Prefect server to register with", fix)
    try:
        httpx.get(f"{url}/health", timeout=httpx.Timeout(CONNECT_SECONDS, read=BUSY_SECONDS)).raise_for_status()
    except httpx.HTTPError as error:
        problem = f"no Prefect server answers there ({type(error).__name__})"
        raise OptionError("PREFECT_API_URL", url, problem, "start `prefect server start`, or correct it") from None
    return url


def deploy(plan: Plan, say: Callable[[str], None]) -> None:
    """Register pools, deployments and automations; the same again when repeated.

    Raises:
        OptionError: a setting is wrong, or no server answers.
        CampaignError: two campaigns of the folder have one name and output, or one writes into a read-only folder.
        DeployError: the server refused.
    """
    check_plan(plan)
    say(f"server       {server_url()}")
    settle_dead_runs(say)
    asyncio.run(_make_pools(say))
    _register(plan)
    for name in DEPLOYMENTS:
        say(f"deployment   {name}")
    for name in asyncio.run(_delete_former()):
        say(f"deleted      deployment {name}, which has another name now")
    for name in asyncio.run(_automate(plan)):
        say(f"automation   {name}")
    if not plan.alert_url:
        say("alerts       show in the event feed only; --alert-url sends them")


def _check_campaigns(folder: str) -> None:
    """What the workers would refuse every night; the folder may be theirs alone, or not filled yet."""
    if not os.path.isdir(folder):
        return
    try:
        entries = read_calendar(folder)
    except CampaignError:  # no campaign in it
        return
    refuse_doubles(entries)
    for entry in entries:
        if entry.campaign:
            refuse_read_only(entry.campaign, folder)


async def _make_pools(say: Callable[[str], None]) -> None:
    async with get_client() as client:
        for name, description in POOLS.items():
            try:
                kind = (await client.read_work_pool(name)).type
            except ObjectNotFound:
                kind = "process"
                pool = WorkPoolCreate(name=name, type=kind, description=description)
                with suppress(ObjectAlreadyExists):  # somebody deploys at the same time
                    await client.create_work_pool(pool)
            say(f"work pool    {name} ({kind})")


def _register(plan: Plan) -> None:
    """`prefect deploy --all`, so that prefect.yaml means here what it means to Prefect."""
    words = {"CAMPAIGNS": plan.campaigns, "CRON": plan.cron or NEVER, "TIME_ZONE": plan.time_zone}
    words["VERSION"] = installed()
    words["BY_CLOCK"] = "true" if plan.cron else "false"
    environment = {**os.environ, **{f"PACKSHOT_{name}": value for name, value in words.items()}}
    with as_file(files("deployments") / "prefect.yaml") as file:
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"prefect deploy failed: {_last_words(done.stdout + done.stderr)}")


def _last_words(text: str) -> str:
    lines = [" ".join(_COLOURS.sub("", line).split()) for line in text.splitlines()]
    return " ".join(line for line in lines if line)[-300:]


async def _delete_former() -> list[str]:
    """Delete deployments of names that are used no more; their names."""
    deleted = []
    async with get_client() as client:
        for name in FORMER:
            with suppress(ObjectNotFound):
                await client.delete_deployment((await client.read_deployment_by_name(name)).id)
                deleted.append(name)
    return deleted


async def _automate(plan: Plan) -> list[str]:
    due = dict.fromkeys(SCHEDULED, await longest_pause(plan.cron, plan.time_zone)) if plan.cron else {}
    async with get_client() as client:
        ids = await deployment_ids(client)
        return await apply_automations(client, ids.__getitem__, plan.alert_url, due)


async def longest_pause(cron: str, time_zone: str) -> float:
    """Seconds between the two runs of a cron line that are furthest apart, of the next hundred."""
    dates = await CronSchedule(cron=cron, timezone=time_zone).get_dates(100)
    return max((later - earlier).total_seconds() for earlier, later in pairwise(dates))


async def deployment_ids(client: PrefectClient) -> Mapping[str, UUID]:
    """The ids of the registered deployments by name."""
    return {name: (await client.read_deployment_by_name(name)).id for name in DEPLOYMENTS}
