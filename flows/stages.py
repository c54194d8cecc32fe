"""The shards of a run on a runner: stage by stage, a few ahead of what can run, to an orderly end when told to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.states import Cancelling

from catalogs.errors import PackshotError
from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import Shard
from catalogs.storage.store import Store
from flows.artifacts import live_run
from flows.runners import Runner, RunnerName, open_runner, result_of
from tasks import progress
from tasks.cancel_watch import watching
from tasks.metrics import WAITING, Meter
from tasks.prefect_tasks import collect, render_shard
from tasks.prepare import Prepared
from tasks.progress import asset_progress
from tasks.settings import stop_seconds
from tasks.shard_job import ShardJob
from tasks.stopping import ending, stopping

Report = dict[str, Any]
Future = PrefectFuture[Any]

# Shards submitted for each that can run: enough that none waits for the next, few enough to drop at a stop.
AHEAD = 2
# Between two looks whether this process was told to end, which other machines do not hear.
LOOK_SECONDS = 0.5


def render_stages(
    prepared: Prepared,
    stages: Sequence[Sequence[Shard]],
    make_job: Callable[[Shard], ShardJob],
    runner: tuple[RunnerName, str | None, int],
    meter: Meter,
) -> tuple[list[Report], list[str]]:
    """Every shard of a stage, then the next: a shot is made before the shots that build on it.

    Args:
        runner: its name, a Ray cluster's address, threads of the local one.
        meter: counts; it names the engine that the shards render with.

    Where a picture may be taken again, a stage with one that is rejected is the last: what builds on it is planned
    after it, on the take that stands then.

    Returns:
        The reports of the shards that came to an end, and what those said that failed as a whole; after a cancel
        `stopping` is set and some are in neither.
    """
    engine = meter.engine
    total, shards = sum(s.assets for stage in stages for s in stage), sum(map(len, stages))
    if not shards and engine != "bfl":
        return [], []
    reports: list[Report] = []
    with (
        asset_progress(total, sys.stderr, partial(meter.put, WAITING)) as counted,
        live_run(prepared.store, prepared.run_id, prepared.summary, shards, total, counted) as live,
        watching(_flow_run()),
        open_runner(*runner, engine) as opened,
    ):
        work = _Work(make_job, opened, meter, PlanFile(prepared.store, prepared.plan_key).header.attempts > 1)
        try:
            if engine == "bfl":
                work.collect(prepared.store, prepared.plan_key)
            for report in work.run(stages):
                reports.append(report)
                live.shard_done(report)
        except BaseException as error:
            work.stop(error)
            raise
    return [report for report in reports if report], work.problems


class _Work:
    """What is submitted and not ended."""

    def __init__(self, make_job: Callable[[Shard], ShardJob], runner: Runner, meter: Meter, judges: bool) -> None:
        self._make_job, self._runner, self._meter, self._judges = make_job, runner, meter, judges
        self._rejected = 0
        self._done: SimpleQueue[Future] = SimpleQueue()
        self._running = 0
        self._is_told = False
        self.problems: list[str] = []

    def run(self, stages: Iterable[Iterable[Shard]]) -> Iterator[Report]:
        """Reports as shards end; {} for one that failed as a whole, whose assets count as missing."""
        for stage in stages:
            waiting = iter(stage)
            self._submit(waiting)
            while self._running:
                yield self._ended(self._next())
                self._submit(waiting)
            if self._judges and self._rejected:
                return

    def _next(self) -> Future:
        while True:
            with suppress(Empty):
                return self._done.get(timeout=LOOK_SECONDS)
            if self._runner.is_remote and ending.is_set() and not self._is_told:
                self._is_told = True
                _say_cancelling()

    def collect(self, store: Store, plan_key: str) -> None:
        """First of all, and on the machines that have the key: what is paid for already, and expires."""
        try:
            result_of(self._runner.submit(collect, {"store": store, "plan": plan_key}))
        except PackshotError as error:
            get_run_logger().error("what is paid for could not be collected: %s", error)
            self.problems.append(str(error))

    def stop(self, cause: BaseException) -> None:
        """Whatever broke: let what runs commit what it has, for as long as a worker lets us.

        Threads are waited for when their runner closes; a closing Ray would kill its shards.
        """
        stopping.set()
        if not self._runner.is_remote:
            return
        if isinstance(cause, KeyboardInterrupt):
            _say_cancelling()
        until = monotonic() + stop_seconds()
        with suppress(Empty):
            while self._running:
                self._done.get(timeout=max(0.0, until - monotonic()))
                self._running -= 1

    def _submit(self, waiting: Iterator[Shard]) -> None:
        room = AHEAD * self._runner.slots()
        while self._running < room and not stopping.is_set() and (shard := next(waiting, None)) is not None:
            label = f"shard {shard.number:04d}, stage {shard.stage}, {shard.assets} assets"
            future = self._runner.submit(render_shard, {"job": self._make_job(shard), "label": label})
            future.add_done_callback(self._done.put)
            self._running += 1

    def _ended(self, future: Future) -> Report:
        self._running -= 1
        try:
            report = dict(result_of(future))
        except PackshotError as error:
            get_run_logger().error("a shard failed: %s", error)
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return {}
        self._rejected += report["rejected"]
        if (problem := report.get("problem")) and problem not in self.problems:
            self.problems.append(problem)
        if self._runner.is_remote:
            progress.report(report["skipped"] + report["delivered"], report["failed"])
            self._meter.report(report)
        return report


def _flow_run() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context and context.flow_run else None


def _say_cancelling() -> None:
    """What a cancel in the UI writes, and every process that renders polls."""
    flow_run = _flow_run()
    if flow_run is not None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run, Cancelling(message="interrupted"), force=True)
