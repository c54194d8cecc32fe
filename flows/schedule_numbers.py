"""What the Prefect server knows of the deployments of packshot, as numbers: runs that wait, schedules that fire.

The server is asked by a thread of its own, so that a page answers at once whatever the server does.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from flows.deploy import DEPLOYMENTS, longest_pause
from tasks.metrics import Metric

ASK_SECONDS = 15.0
_DEPLOYMENT = ("deployment",)
UP = Metric("packshot_prefect_up", "gauge", (), "1 where the Prefect server answered when it was last asked, else 0.")
RUNS = Metric(
    "packshot_prefect_runs",
    "gauge",
    (*_DEPLOYMENT, "state"),
    "Runs of a deployment as the Prefect server has them: running, or waiting though they are due.",
)
LAST = Metric(
    "packshot_schedule_last_run_timestamp_seconds",
    "gauge",
    _DEPLOYMENT,
    "When the last run that a schedule made has begun; absent where none ever has.",
)
NEXT = Metric(
    "packshot_schedule_next_run_timestamp_seconds",
    "gauge",
    _DEPLOYMENT,
    "When the next run of an active schedule is due; in the past where it is late.",
)
PAUSE = Metric(
    "packshot_schedule_longest_pause_seconds",
    "gauge",
    _DEPLOYMENT,
    "Longest time between two runs by the cron line of an active schedule.",
)
OF_THE_SERVER = (UP, RUNS, LAST, NEXT, PAUSE)
_AT_WORK = (StateType.RUNNING, StateType.CANCELLING)
_OPEN = [*_AT_WORK, StateType.SCHEDULED, StateType.PENDING]
_MOST = 200
BY_A_SCHEDULE = "auto-scheduled"
"""The tag that Prefect gives to runs its scheduler makes."""

Values = dict[tuple[Metric, tuple[str, ...]], float]


class ScheduleNumbers(Collector):
    """What the server said last."""

    def __init__(self) -> None:
        self._values: Values = {(UP, ()): 0.0}

    def collect(self) -> Iterable[Family]:
        values = self._values
        for metric in OF_THE_SERVER:
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for (found, labels), value in values.items():
                if found is metric:
                    family.add_metric(labels, value)
            yield family

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask the server again and again while the block runs."""
        ended = threading.Event()

        def ask() -> None:
            while True:
                try:
                    self._values = {**numbers(), (UP, ()): 1.0}
                except Exception:  # whatever it is, the server did not say; it is asked again
                    self._values = {(UP, ()): 0.0}
                if ended.wait(ASK_SECONDS):
                    return

        thread = threading.Thread(target=ask, name="schedules", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()


def numbers() -> Values:
    """Ask the server; raises whatever its client does."""
    found: Values = {}
    with get_client(sync_client=True, httpx_settings={"timeout": 10.0}) as client:
        deployments = dict(_deployments(client))
        names = {deployment.id: name for name, deployment in deployments.items()}
        _count_runs(client, names, found)
        for name, deployment in deployments.items():
            if crons := [s.schedule for s in deployment.schedules if s.active and isinstance(s.schedule, CronSchedule)]:
                pauses = [asyncio.run(longest_pause(cron.cron, cron.timezone or "UTC")) for cron in crons]
                found[PAUSE, (name,)] = min(pauses)
            if last := _last(client, deployment.id):
                found[LAST, (name,)] = last.timestamp()
    return found


def _deployments(client: SyncPrefectClient) -> Iterator[tuple[str, Any]]:
    for name in DEPLOYMENTS:
        try:
            yield name, client.read_deployment_by_name(name)
        except ObjectNotFound:  # not registered yet
            continue


def _count_runs(client: SyncPrefectClient, names: dict[UUID, str], found: Values) -> None:
    """Runs that work or wait, and when the next of each schedule is due."""
    counts = Counter({(name, state): 0 for name in names.values() for state in ("running", "waiting")})
    for run in _open_runs(client, list(names)) if names else ():
        name, due = names[run.deployment_id], run.next_scheduled_start_time or run.expected_start_time  # type: ignore[index]
        is_at_work = run.state_type in _AT_WORK
        if is_at_work or (due is not None and due <= datetime.now(UTC)):
            counts[name, "running" if is_at_work else "waiting"] += 1
        if run.auto_scheduled and not is_at_work and due is not None:
            key = NEXT, (name,)
            found[key] = min(due.timestamp(), found.get(key, due.timestamp()))
    found |= {(RUNS, key): float(count) for key, count in counts.items()}


def _open_runs(client: SyncPrefectClient, deployments: list[UUID]) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN))),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments)),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=_MOST,
    )


def _last(client: SyncPrefectClient, deployment: UUID) -> datetime | None:
    """When the last run that a schedule made has begun."""
    begun = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[BY_A_SCHEDULE]), start_time=FlowRunFilterStartTime(is_null_=False)
    )
    runs = client.read_flow_runs(
        flow_run_filter=begun,
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    return runs[0].start_time if runs else None
