"""The main flow: a plan, its shards stage by stage, the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID

from prefect import State, flow, get_run_logger
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Failed
from pydantic import BaseModel, ConfigDict, Field

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import PackshotError, UserError, WorkError
from catalogs.journal.lease import LEASE_SECONDS, hold, let_go
from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import SHARD_ASSETS, SHARD_SECONDS, cut_shards
from catalogs.storage.store import Store
from flows.alerts import Kind, alert, mended, send_ended
from flows.alive import alive, tag
from flows.logs import quiet
from flows.runners import RunnerName, check_runner
from flows.stages import render_stages
from flows.stops import ends_when_told
from flows.summary_page import publish_summary
from inference.engine import EngineOptions
from inference.local.checkpoints import check_attention
from tasks.before_render import prepare_render, withdrawing_all_the_same
from tasks.credentials import check_signing
from tasks.engines import engine_of
from tasks.hosted import check_access
from tasks.lineage import record_lineage
from tasks.log_lines import check_log_setting, know
from tasks.metrics import ASSETS, Meter, count_unchanged
from tasks.outcome import outcome_of
from tasks.prefect_tasks import publish_gallery, restate_known, retire_unwanted, withdraw_ended
from tasks.prepare import Prepared
from tasks.quality import check_quality
from tasks.run_summary import of_rounds, write_summary
from tasks.shard_job import ShardJob
from tasks.stopping import begin, cancelled, closing, stopping
from tasks.takeover import check_take_over, note_retiring, refuse_another
from tasks.versions import check_deployment
from tasks.watermark import check_watermark

quiet()

# Longer than a shard's own retries wait: time for a store or a network to come back.
TRY_AGAIN_SECONDS = 60.0
BRAND_TAGS = 8


def without_nulls(schema: dict[str, Any]) -> None:
    """Let a form ask for a value, and not for a choice between a value and none: none is what is left empty."""
    for name, asked in schema["properties"].items():
        kinds = [kind for kind in asked.get("anyOf", ()) if kind.get("type") != "null"]
        if len(kinds) == 1:
            kept = {key: value for key, value in asked.items() if key != "anyOf" and (key, value) != ("default", None)}
            schema["properties"][name] = {**kinds[0], **kept}


class RenderOptions(BaseModel):
    """What of a campaign to render, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Options", json_schema_extra=without_nulls)

    only: list[str] = Field(
        default_factory=list,
        title="Only these products",
        description="Product ids as in the product catalog; all products when empty. Retires nothing.",
        examples=[["MUG-001", "MUG-002"]],
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        title="At most so many products",
        description="Only the first looks, to try a campaign on a few products first. All when empty.",
        examples=[3],
    )
    retry_failed: bool = Field(
        default=False,
        title="Try failed assets again",
        description="Otherwise an asset that failed for good waits until its inputs change.",
    )
    resubmit: bool = Field(
        default=False,
        title="Pay again for what was lost",
        description="Send anew what a hosted model may have billed, or was paid for and is gone. Costs money.",
    )
    resume_shot: list[str] = Field(
        default_factory=list,
        title="Go on with these shots",
        description="Shots that were stopped because checks rejected most of their pictures.",
        examples=[["hero"]],
    )
    rejudge: bool = Field(
        default=False,
        title="Judge anew what is there",
        description="By today's limits and checks, before anything is planned. Otherwise a verdict stays.",
    )
    retire: bool = Field(
        default=False,
        title="Retire what is no longer wanted",
        description="Mark assets of products, shots or channels that left the campaign as retired. Deletes no file.",
    )
    take_over: bool = Field(
        default=False,
        title="Retire what another campaign made",
        description="Where another campaign of this name wrote here before, nothing is retired without this.",
    )
    accept_price: bool = Field(
        default=False,
        title="Buy at other prices too",
        description="Otherwise a run stops where a hosted model bills other prices than are published.",
    )
    strict: bool = Field(
        default=False,
        title="Stop at a bad catalog row",
        description="Otherwise a bad row is left out and written to rejects.parquet.",
    )
    runner: RunnerName = Field(
        default="local",
        title="Where shards run",
        description="In this process, or on the machines of a Ray cluster.",
    )
    address: str | None = Field(
        default=None,
        title="Ray cluster",
        description="HOST:PORT of its head node. Empty: Ray on this machine alone.",
        examples=["ray-head:6379"],
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        title="Shards at once",
        description="In this process. One for a local GPU; more help proofs and the hosted API.",
    )
    force: bool = Field(
        default=False,
        title="Go on beside another run",
        description="Otherwise a second run of a campaign waits for the first. Work may then be done twice.",
    )
    engine: EngineOptions = Field(
        default=EngineOptions(),
        title="Local engine",
        description="How a model on this machine's GPU uses it; changes no picture.",
    )
    shard_seconds: float = Field(
        default=SHARD_SECONDS,
        gt=0,
        title="Work a shard, in seconds",
        description="Estimated. A killed run loses at most the shards it worked on.",
    )
    shard_assets: int = Field(default=SHARD_ASSETS, ge=1, title="Assets a shard at most")


def _run_name() -> str:
    """Campaign and start, as they are called everywhere else."""
    parameters = flow_run.parameters
    name = Path(parameters["campaign"]).stem
    with suppress(PackshotError):  # the flow itself says what is wrong with it
        name = load_campaign(parameters["campaign"]).name
    return " · ".join(filter(None, (name, parameters.get("run_id"))))


@flow(
    name="render-catalog",
    flow_run_name=_run_name,
    persist_result=False,
    on_completion=[send_ended],
    on_failure=[send_ended],
    on_crashed=[send_ended],
)
def render_catalog(
    campaign: str,
    options: RenderOptions = RenderOptions(),  # noqa: B008 - frozen
    plan: str = "",
    run_id: str = "",
    tries: Annotated[int, Field(ge=1, le=5)] = 1,
) -> Any:
    """Render what a campaign wants and does not have.

    Args:
        campaign: Path of the campaign file, as the worker sees it, for example /srv/campaigns/spring/campaign.yaml.
        options: What of the campaign to render, and how.
        plan: A plan file to make exactly, instead of planning anew; leave it empty for a new plan.
        run_id: A start whose plan is in the store already; leave it empty, other flows set it.
        tries: 2 to take up a minute later what a lost store or machine has left over, and so on up to 5. Assets
            that failed for a reason of their own are not tried again.

    Returns:
        The run's summary; the state Failed around it when not every planned asset was delivered.
    """
    check_deployment(deployment.version)
    check_log_setting()
    check_take_over(options.retire, options.take_over)
    check_runner(options.runner, options.address)
    check_attention(options.engine.attention)
    with alive(run_tags(campaign)), ends_when_told(UUID(flow_run.id)):
        return _rendered(campaign, options, plan, run_id, tries)


def run_tags(path: str) -> list[str]:
    """What the list of runs is filtered by: campaign and engine; its brands when they are known."""
    with suppress(PackshotError):
        campaign = load_campaign(path)
        return [f"campaign:{campaign.name}", f"engine:{engine_of(campaign)}"]
    return []


def tell_of_limits(path: str, name: str, near: Sequence[str]) -> None:
    """Alert of limits of the month that are nearly reached, while there is time to raise them."""
    if near:
        advice = "raise it before it ends the nights, or make less"
        alert(path, name, Kind.LIMIT, " | ".join(near), advice, flow_run.id)
    else:
        mended(path, name, Kind.LIMIT, flow_run.id)


def brand_tags(plan: PlanFile) -> list[str]:
    """The brands of a plan, where a list of runs has room for them."""
    brands = {name for table in plan.tables(["brand_id"]) for name in table["brand_id"].unique().to_pylist()}
    return [f"brand:{name}" for name in sorted(brands)] if len(brands) <= BRAND_TAGS else []


def _rendered(campaign: str, options: RenderOptions, plan: str, run_id: str, tries: int) -> Any:
    """The flow between its checks and its end."""
    begin()
    say = get_run_logger().warning
    with withdrawing_all_the_same(campaign, say):
        prepared = prepare_render(campaign, options.model_dump(), say, plan_file=plan or None, run_id=run_id or None)
        header = PlanFile(prepared.store, prepared.plan_key).header
        know(campaign=header.campaign, run=prepared.run_id)
        tell_of_limits(campaign, header.campaign, prepared.summary["near_limits"])
        tag(UUID(flow_run.id), brand_tags(PlanFile(prepared.store, prepared.plan_key)))
        if options.runner == "local":  # the key of a cluster is in the environment of its nodes
            check_access(header)
            if prepared.has_work:
                check_signing(header)
                check_watermark(header)
                check_quality(header.quality, header.source)
        # Nobody may be there to start again once the lease of a lost machine is over.
        patience, kind = 1.5 * LEASE_SECONDS, prepared.summary["kind"]
        meter = Meter(header.campaign, header.engine)
        claim = hold(
            prepared.store, header.campaign, kind, prepared.run_id, options.force, patience, renewed=meter.beat
        )
        with meter.run(), claim as lease, closing(partial(let_go, prepared.store, header.campaign, kind, lease)):
            count_unchanged(prepared.store, prepared.plan_key, prepared.summary)
            if options.retire and prepared.summary["actions"].get("retired"):
                if not options.take_over:  # asked once the lease is held: till then another campaign may have gone on
                    refuse_another(prepared.store, header, prepared.run_id)
                note_retiring(prepared.store, header, prepared.run_id)
            summary = _rounds(campaign, prepared, options, tries)
            _count_ended(meter, prepared.summary["actions"], options.retire and not cancelled.is_set())
    publish_summary(summary)
    record_lineage(load_campaign(campaign), prepared.store, summary["run_id"], summary["outcome"])
    return summary if summary["complete"] else _ended(summary)


def _count_ended(meter: Meter, actions: Mapping[str, int], is_retiring: bool) -> None:
    meter.count(ASSETS, actions.get("withdraw", 0), state="withdrawn")
    if is_retiring:
        meter.count(ASSETS, actions.get("retired", 0), state="retired")


def _rounds(campaign: str, prepared: Prepared, options: RenderOptions, tries: int) -> dict[str, Any]:
    """Run a plan, and plan and run again while pictures are rejected that may be taken again.

    Each round is a start with a plan of its own; the last asks for nothing more, and says which takes stand.
    """
    logger, again = get_run_logger(), options.model_dump(exclude={"resume_shot", "rejudge"})
    rounds = [_tried(prepared, options, tries)]
    while _is_followed(prepared, rounds[-1]):
        try:
            prepared = prepare_render(campaign, again, logger.warning)
        except UserError as error:  # what is done is committed; a budget may end here
            rounds[-1]["problems"].append(f"what was rejected is not taken again: {error}")
            made = (prepared.store, str(prepared.summary["campaign"]), prepared.run_id)
            rounds[-1]["gallery"] = _gallery(*made, rounds[-1]["problems"])
            break
        rejected, renders = rounds[-1]["work"]["rejected"], prepared.summary["renders"]
        logger.info("%d pictures rejected by checks; %d renders in round %d", rejected, renders, len(rounds) + 1)
        rounds.append(_tried(prepared, options, tries))
    return of_rounds(rounds)


def _is_followed(prepared: Prepared, summary: Mapping[str, Any]) -> bool:
    """Whether a plan after this one may ask for other takes, or for another to stand."""
    attempts = PlanFile(prepared.store, prepared.plan_key).header.attempts
    return attempts > 1 and bool(summary["work"]["rejected"]) and not stopping.is_set()


def _tried(prepared: Prepared, options: RenderOptions, tries: int) -> dict[str, Any]:
    """Run the plan, and again while shards are left over; what is delivered is skipped."""
    try:
        summary = _run(prepared, options)
    except WorkError as error:
        if tries == 1 or stopping.is_set():
            raise
        problem = str(error)
    else:
        missing = summary["outcome"]["missing"]
        if tries == 1 or stopping.is_set() or not missing:
            return summary
        problem = f"{missing} assets are missing"
    get_run_logger().warning("tried again in %.0f s: %s", TRY_AGAIN_SECONDS, problem)
    stopping.wait(TRY_AGAIN_SECONDS)
    return _tried(prepared, options, tries - 1)


def _run(prepared: Prepared, options: RenderOptions) -> dict[str, Any]:
    started = perf_counter()
    store, run_id, plan = prepared.store, prepared.run_id, PlanFile(prepared.store, prepared.plan_key)
    logger = get_run_logger()
    if withdrawn := withdraw_ended(store, prepared.plan_key, run_id):
        logger.info("%d rows withdrawn: a right to a photo has ended", withdrawn)
    restated = restate_known(store, prepared.plan_key, run_id)
    held = str(prepared.summary["held"])
    stages = cut_shards(plan, options.shard_seconds, options.shard_assets, free=bool(held))
    total = sum(shard.assets for stage in stages for shard in stage)
    logger.info("%d assets in %d shards, %d rows restated", total, sum(map(len, stages)), restated)
    runner = (options.runner, options.address, options.workers)
    make_job = partial(ShardJob, prepared.plan_key, store, run_id, engine=options.engine)
    meter = Meter(plan.header.campaign, plan.header.engine)
    reports, problems = render_stages(prepared, stages, make_job, runner, meter)
    problems = [f"{held}; what costs nothing more was done", *problems] if held else problems
    # Somebody waits for the end of a run that was cancelled, and may not wait long.
    is_cancelled = cancelled.is_set()
    if options.retire and not is_cancelled:
        logger.info("%d assets retired", retire_unwanted(store, prepared.plan_key, run_id))
    outcome = outcome_of(store, plan)
    summary = write_summary(store, run_id, prepared.summary, outcome, reports, perf_counter() - started, problems)
    if not is_cancelled and not _is_followed(prepared, summary):
        summary["gallery"] = _gallery(store, plan.header.campaign, run_id, summary["problems"])
    return summary


def _gallery(store: Store, campaign: str, run_id: str, problems: list[str]) -> str:
    """Write the gallery; a store that does not take it costs the run nothing else."""
    try:
        return str(publish_gallery(store, campaign, run_id))
    except PackshotError as error:
        problems.append(str(error))
        return ""


def _ended(summary: dict[str, Any]) -> State[Any]:
    # Not in the flow's own function: Ray gets that by value, and an event cannot travel.
    ended = Cancelled if cancelled.is_set() else Failed
    return ended(message=_incomplete(summary), data=summary)


def _incomplete(summary: dict[str, Any]) -> str:
    outcome = summary["outcome"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(outcome["reasons"].items()))
    counts = (
        f"{outcome['delivered']} of {outcome['planned']} planned assets are delivered, "
        f"{outcome['failed']} failed ({reasons or 'none'}), {outcome['missing']} missing"
    )
    return "; ".join([counts, *summary["problems"]])
