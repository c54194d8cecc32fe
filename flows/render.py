"""The main flow: a plan, its shards stage by stage, the gallery."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from prefect.states import Cancelled, Failed
from pydantic import BaseModel, ConfigDict, Field

from catalogs.campaign import load_campaign
from catalogs.errors import PackshotError
from catalogs.lease import LEASE_SECONDS, hold
from catalogs.plan import PlanFile, lay_out
from flows.runners import RunnerName, check_runner
from flows.stages import render_stages
from tasks.planning import Prepared, prepare
from tasks.render import restate_known, retire_unwanted, write_report
from tasks.reporting import outcome_of, write_summary
from tasks.shard import ShardJob, stopping

SHARD_SECONDS = 120.0
SHARD_ASSETS = 2_000


class RenderOptions(BaseModel):
    """How to render a campaign."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    only: list[str] = Field(default_factory=list, description="Product ids to make alone; all when empty")
    limit: int | None = Field(default=None, ge=1, description="Make only the first looks, so many")
    retry_failed: bool = Field(default=False, description="Try final failures again")
    retire: bool = Field(default=False, description="Write tombstones for what left the selection")
    strict: bool = Field(default=False, description="Stop at a bad catalog row")
    runner: RunnerName = Field(default="local", description="Where shards run: threads here, or a Ray cluster")
    address: str | None = Field(default=None, description="HOST:PORT of the Ray head node; none: Ray on this host")
    workers: int = Field(default=1, ge=1, le=64, description="Shards at once of the local runner; one for a GPU")
    force: bool = Field(default=False, description="Go on beside another run of this campaign")
    shard_seconds: float = Field(default=SHARD_SECONDS, gt=0, description="Estimated work a shard")
    shard_assets: int = Field(default=SHARD_ASSETS, ge=1, description="Assets a shard at most")


def _run_name() -> str:
    """Campaign and start, as they are called everywhere else."""
    parameters = flow_run.parameters
    name = Path(parameters["campaign"]).stem
    with suppress(PackshotError):  # the flow itself says what is wrong with it
        name = load_campaign(parameters["campaign"]).name
    return " · ".join(filter(None, (name, parameters.get("run_id"))))


@flow(name="render-catalog", flow_run_name=_run_name, persist_result=False)
def render_catalog(
    campaign: str,
    options: RenderOptions = RenderOptions(),  # noqa: B008 - frozen
    plan: str | None = None,
    run_id: str | None = None,
) -> Any:
    """Render what a campaign wants and does not have.

    Args:
        campaign: path of the campaign file.
        options: how to render it.
        plan: a plan file to make exactly, instead of planning anew.
        run_id: a start whose plan is in the store already.

    Returns:
        The run's summary; the state Failed around it when not every planned asset was delivered.
    """
    check_runner(options.runner, options.address)
    prepared = prepare(campaign, options.model_dump(), plan_file=plan, run_id=run_id)
    header = PlanFile(prepared.store, prepared.plan_key).header
    kind = prepared.summary["kind"]
    patience = 1.5 * LEASE_SECONDS  # nobody may be there to start again once the lease of a lost machine is over
    with hold(prepared.store, header.campaign, kind, prepared.run_id, options.force, patience):
        summary = _run(prepared, options)
    return summary if summary["complete"] else _ended(summary)


def _run(prepared: Prepared, options: RenderOptions) -> dict[str, Any]:
    started = perf_counter()
    store, run_id, plan = prepared.store, prepared.run_id, PlanFile(prepared.store, prepared.plan_key)
    logger = get_run_logger()
    restated = restate_known(store, prepared.plan_key, run_id)
    stages = lay_out(plan, options.shard_seconds, options.shard_assets)
    total = sum(shard.assets for stage in stages for shard in stage)
    logger.info("%d assets in %d shards, %d rows restated", total, sum(map(len, stages)), restated)
    runner = (options.runner, options.address, options.workers)
    reports = render_stages(stages, partial(ShardJob, prepared.plan_key, store, run_id), runner, plan.header.engine)
    if options.retire:
        logger.info("%d assets retired", retire_unwanted(store, prepared.plan_key, run_id))
    outcome = outcome_of(store, plan)
    gallery = write_report(store, plan.header.campaign, run_id)
    summary = write_summary(store, run_id, prepared.summary, outcome, reports, perf_counter() - started)
    summary["gallery"] = gallery
    _publish(summary, reports)
    return summary


def _ended(summary: dict[str, Any]) -> State[Any]:
    # Not in the flow's own function: Ray gets that by value, and an event cannot travel.
    ended = Cancelled if stopping.is_set() else Failed
    return ended(message=_incomplete(summary), data=summary)


def _incomplete(summary: dict[str, Any]) -> str:
    outcome = summary["outcome"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(outcome["reasons"].items()))
    return (
        f"{outcome['delivered']} of {outcome['planned']} planned assets are delivered, "
        f"{outcome['failed']} failed ({reasons or 'none'}), {outcome['missing']} missing"
    )


def _publish(summary: dict[str, Any], reports: Iterable[dict[str, Any]]) -> None:
    columns = ("number", "stage", "assets", "delivered", "failed", "skipped", "rendered", "adopted")
    table = [
        {**{name: report[name] for name in columns}, "seconds": round(report["seconds"], 1)}
        for report in sorted(reports, key=lambda report: report["number"])
    ]
    if table:
        create_table_artifact(table=table, key="shards", description="What became of every shard")
    create_markdown_artifact(markdown=summary_markdown(summary), key="summary", description="Run summary")


def summary_markdown(summary: dict[str, Any]) -> str:
    """The summary for the Prefect UI."""
    outcome, plan, work = summary["outcome"], summary["plan"], summary["work"]
    lines = [
        f"## {plan['campaign']} · {plan['model']}",
        "",
        "| planned | delivered | failed | missing | rendered | adopted | seconds |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {outcome['planned']} | {outcome['delivered']} | {outcome['failed']} | {outcome['missing']} "
        f"| {work['rendered']} | {work['adopted']} | {summary['seconds']:.1f} |",
        "",
        f"Run `{summary['run_id']}` · output `{plan['output']}`",
        "",
        f"Gallery: `{summary['gallery']}`",
    ]
    return "\n".join(lines)
