"""The Prefect tasks, and how often each is tried: thin, each calls one thing.

Tasks return small dicts and take small arguments: Prefect keeps both alive for the whole flow. Shard tasks
carry no tags (each would cost two seconds on SQLite) and no cache: the object store tells what is done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect import State, Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext
from prefect.states import Completed, Failed

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import DeviceError, UserError, WorkError
from catalogs.plans.decision import Work
from catalogs.plans.file import PlanFile
from catalogs.plans.restate import restate, retire, withdraw
from catalogs.storage.store import Store
from tasks import progress
from tasks.before_render import prepare_render, withdraw_ended_of, withdraw_if_possible
from tasks.cancel_watch import watch
from tasks.collect import collect_paid
from tasks.engines import engine_factory
from tasks.gallery import make_gallery
from tasks.log_lines import knowing, set_up
from tasks.metrics import count_unchanged
from tasks.outcome import Outcome, outcome_of
from tasks.run_summary import write_summary
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from tasks.verify import MuchIsGone, is_due, verify
from tasks.versions import check_version

RETRY_DELAYS = [5.0, 30.0]
# What is committed twice counts once, and so is tried again whatever went wrong.
_COMMITS_ROWS: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": RETRY_DELAYS,
}


def _is_worth_retrying(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Retry what a store or an engine may get over; a bug or a user's mistake would only come again."""
    try:
        state.result()
    except WorkError:
        return True
    except Exception:
        return False
    return False


@task(name="plan", task_run_name="plan {name}", cache_policy=NO_CACHE, persist_result=False)
def plan_campaign(path: str, name: str, options: Mapping[str, Any]) -> Any:
    """Plan a campaign into its store; "Unchanged" when there is nothing to do.

    Returns:
        `run_id` to render the plan with; `work`, the rows to make, finish, say again or retire; `assets` among them;
        `renders` to make for them; `short`, where there is no work, what is not delivered all the same, "" for nothing.
    """
    try:
        prepared = prepare_render(path, {**options, "may_rest": True}, get_run_logger().warning)
    except UserError as error:  # the files are wrong: a line for who wrote them, not a traceback
        return Failed(message=str(error), data={})
    summary = prepared.summary
    assets = sum(count for kind, count in summary["work"].items() if kind != Work.NONE)
    retired = summary["actions"].get("retired", 0) if options.get("retire") else 0
    plan = {
        "run_id": prepared.run_id,
        "work": assets + retired + summary["masters"],
        "assets": assets + retired,
        "renders": summary["renders"],
        "short": "",
    }
    if plan["work"]:
        return plan
    count_unchanged(prepared.store, prepared.plan_key, summary)
    outcome = outcome_of(prepared.store, PlanFile(prepared.store, prepared.plan_key))
    write_summary(prepared.store, prepared.run_id, summary, outcome)
    short = _short(outcome)
    message = f"nothing to do, and not complete: {short}" if short else "everything is delivered"
    return Completed(name="Unchanged", message=message, data={**plan, "short": short})


def _short(outcome: Outcome) -> str:
    """What of a plan that asks for nothing is not delivered."""
    failed = [f"{count} {reason}" for reason, count in sorted(outcome.reasons.items())]
    counts = [f"{outcome.failed} assets failed for good ({', '.join(failed)})"] if outcome.failed else []
    counts += [f"{outcome.rejected} are rejected"] if outcome.rejected else []
    return ", ".join(counts)


@task(name="verify", task_run_name="verify {name}", cache_policy=NO_CACHE, persist_result=False)
def verify_daily(path: str, name: str) -> Any:
    """Look at every delivered file, at most once a day; fails where so much is gone that somebody must look."""
    try:
        campaign = load_campaign(path)
        store = Store.at(campaign.output)
        if not is_due(campaign, store):
            return Completed(name="Skipped", message="looked at today", data={})
        verified = verify(campaign, store)
    except (UserError, MuchIsGone) as error:
        withdraw_if_possible(path)  # nothing keeps an ended right
        return Failed(message=str(error), data={})
    if verified.missing:
        get_run_logger().warning("%d of %d delivered files are gone", verified.missing, verified.checked)
    return verified.as_dict()


@task(name="withdraw-only", task_run_name="withdraw {name}", cache_policy=NO_CACHE, persist_result=False)
def withdraw_only(path: str, name: str) -> int:
    """Withdraw what no right covers of a campaign of which nothing else is done."""
    return withdraw_ended_of(load_campaign(path))


@task(
    name="render-shard",
    task_run_name="{label}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=_is_worth_retrying,
)
def render_shard(job: ShardJob, label: str) -> Any:
    """Render one shard; "Skipped" when all its assets are delivered already."""
    watch(_flow_run())
    set_up()  # where Ray started the process
    check_version(job.version, "the run that sent this shard")
    plan = PlanFile(job.store, job.plan)
    with knowing(campaign=plan.header.campaign, run=job.run_id, shard=job.shard.number):
        return _rendered(job, plan)


def _rendered(job: ShardJob, plan: PlanFile) -> Any:
    try:
        report = run_shard(job, engine_factory(plan.header, job.engine, plan), progress.report).as_dict()
    except DeviceError:
        _end_process_of_ray()
        raise
    if report["problem"]:
        return Completed(name="Stopped", message=report["problem"], data=report)
    if report["skipped"] == report["assets"] and not (report["rendered"] or report["adopted"]):
        return Completed(name="Skipped", message="all its assets are delivered", data=report)
    return report


def _end_process_of_ray() -> None:
    """Give the shard to a new process, whose device may be well; what is done is committed.

    Ray would keep this one for the shards to come, and each would fail in it.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
        os._exit(1)


def _flow_run() -> UUID | None:
    context = TaskRunContext.get()
    return context.task_run.flow_run_id if context else None


@task(
    name="collect",
    task_run_name="collect what is paid",
    retry_condition_fn=_is_worth_retrying,
    **_COMMITS_ROWS,
)
def collect(store: Store, plan: str) -> Any:
    """Store pictures that earlier starts have paid for, before anything else is bought."""
    watch(_flow_run())
    taken = collect_paid(store, plan)
    if taken.wanted:
        get_run_logger().info("%d of %d pictures that were paid for are stored now", taken.stored, taken.wanted)
    return taken.as_dict()


@task(name="withdraw", task_run_name="withdraw", **_COMMITS_ROWS)
def withdraw_ended(store: Store, plan: str, run_id: str) -> int:
    """Commit the withdrawal of what no right covers any more."""
    return withdraw(store, PlanFile(store, plan), run_id)


@task(name="restate", task_run_name="restate", **_COMMITS_ROWS)
def restate_known(store: Store, plan: str, run_id: str) -> int:
    """Commit the rows that need no pixels."""
    return restate(store, PlanFile(store, plan), run_id)


@task(name="retire", task_run_name="retire", **_COMMITS_ROWS)
def retire_unwanted(store: Store, plan: str, run_id: str) -> int:
    """Commit tombstones."""
    return retire(store, PlanFile(store, plan), run_id)


@task(name="report", task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
def publish_gallery(store: Store, campaign: str, run_id: str) -> str:
    """Write the gallery; returns its URI."""
    return make_gallery(store, campaign, run_id)
