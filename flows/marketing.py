"""The scheduled flow: every campaign of a folder that is due and has changed, the most urgent first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import UUID

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import BaseModel, ConfigDict, Field

from catalogs.campaigns.calendar import Entry, read_calendar
from catalogs.campaigns.schedule import Standing
from catalogs.errors import OptionError, UserError, nearest
from flows.alerts import Kind, alert, link, mended, send_ended, told_of
from flows.alive import alive
from flows.render import RenderOptions, render_catalog, without_nulls
from flows.settling import drop_covered_runs, settle_dead_runs
from flows.stops import MESSAGE, ends_when_told
from flows.summary_page import plain
from tasks.engines import engine_of
from tasks.log_lines import check_log_setting, know
from tasks.prefect_tasks import plan_campaign, verify_daily, withdraw_only
from tasks.stopping import ending
from tasks.takeover import check_take_over
from tasks.versions import check_deployment


class EngineChoice(StrEnum):
    """What makes the pictures of a campaign."""

    PROOF = "proof"
    LOCAL = "diffusers"
    HOSTED = "bfl"
    SERVER = "server"


class MarketingOptions(BaseModel):
    """Which campaigns to look at, and how to render those that are due."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Options", json_schema_extra=without_nulls)

    only: list[str] = Field(
        default_factory=list,
        title="Only these campaigns",
        description="Names as in the campaign files; every campaign of the folder when empty.",
        examples=[["spring-launch"]],
    )
    engines: list[EngineChoice] = Field(
        default_factory=list,
        title="Only campaigns of these engines",
        description="proof: labelled layout proofs, no model. diffusers: a GPU of ours. bfl: the hosted API, which "
        "costs money. server: image servers of ours. All when empty.",
    )
    at: datetime | None = Field(
        default=None,
        title="As if it were",
        description="Judge the campaigns' dates at this moment instead of now, to try out next week's schedule.",
        examples=["2026-12-01T06:00:00+01:00"],
    )
    dry_run: bool = Field(
        default=False, title="Only plan", description="Say what would be rendered, and render nothing."
    )
    tries: int = Field(
        default=2,
        ge=1,
        le=5,
        title="Tries a campaign",
        description="A campaign that failed is run again at the end. A mistake in its files is not tried again.",
    )
    render: RenderOptions = Field(
        default=RenderOptions(), title="Rendering", description="How each of the campaigns is rendered."
    )


class Result(StrEnum):
    """What became of a campaign."""

    DELIVERED = "delivered"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    NOT_YET = "not yet due"
    OVER = "over"
    LEFT_OUT = "left out"
    BROKEN = "broken"
    FAILED = "failed"
    STOPPED = "stopped"


FAILURES = (Result.BROKEN, Result.FAILED)


@dataclass(frozen=True)
class CampaignResult:
    """One line of the run's table.

    Attributes:
        run: id of its own flow run, "" where it had none.
    """

    campaign: str
    priority: int
    validity: str
    result: Result
    detail: str = ""
    run: str = ""
    again: bool = False


def _run_name() -> str:
    folder, options = flow_run.parameters["folder"], flow_run.parameters.get("options")
    only = options.get("only", ()) if isinstance(options, dict) else getattr(options, "only", ())
    return " · ".join(["marketing", ", ".join(only) or Path(folder).name])


@flow(
    name="marketing-run",
    flow_run_name=_run_name,
    persist_result=False,
    on_completion=[send_ended],
    on_failure=[send_ended],
    on_crashed=[send_ended],
)
def marketing_run(folder: str, options: MarketingOptions = MarketingOptions()) -> Any:  # noqa: B008 - frozen
    """Render what is due and changed of a folder of campaigns. One campaign's failure does not stop the others.

    Args:
        folder: The folder with the campaign files, as the worker sees it, for example /srv/campaigns.
        options: Which campaigns, and how to render them.

    Returns:
        What became of each campaign; the state Failed around it names those that failed.
    """
    try:
        check_deployment(deployment.version)
        check_log_setting()
        check_take_over(options.render.retire, options.render.take_over)
        entries = _chosen(read_calendar(folder), options)
    except UserError as error:  # a line in the UI, not a traceback
        return Failed(message=str(error), data=[])
    now = options.at or datetime.now(UTC)
    now = now if now.tzinfo else now.replace(tzinfo=UTC)
    settle_dead_runs(get_run_logger().warning)
    with alive(), ends_when_told(UUID(flow_run.id)):
        if dropped := drop_covered_runs():
            get_run_logger().info("%d runs that waited for this one would only do the same: cancelled", dropped)
        results = [_settled(entry, now, options) for entry in entries]
        for _ in range(options.tries - 1):
            results = [_again(e, r, now, options) for e, r in zip(entries, results, strict=True)]
        is_stopped = ending.is_set()
    _show(results)
    _tell(entries, results)
    data = [asdict(result) for result in results]
    if is_stopped:
        return Cancelled(message=f"{MESSAGE}. {_counts(results)}", data=data)
    failed = [_said(result) for result in results if result.result in FAILURES]
    if failed:
        return Failed(message=f"{len(failed)} of {len(results)} campaigns failed. " + " | ".join(failed), data=data)
    return Completed(message=_counts(results), data=data)


def _tell(entries: Sequence[Entry], results: Sequence[CampaignResult]) -> None:
    """Alert of each campaign that failed, and of each that is in order again."""
    run = UUID(flow_run.id)
    told_of.add(run)
    folder = flow_run.parameters["folder"]
    mended(folder, f"the folder {folder}", Kind.RUN, run)
    for entry, result in zip(entries, results, strict=True):
        if result.result is Result.BROKEN:
            alert(entry.path, entry.name, Kind.RUN, result.detail, "correct it; the next run takes it up", run)
        elif result.result is Result.FAILED:
            advice = f"`packshot status {quote(entry.path)}` tells more"
            alert(entry.path, entry.name, Kind.RUN, result.detail, advice, result.run or run)
        elif result.result in (Result.DELIVERED, Result.UNCHANGED):
            mended(entry.path, entry.name, Kind.RUN, result.run or run)


def _said(result: CampaignResult) -> str:
    # What is wrong with a file names it already.
    return result.detail if result.result is Result.BROKEN else f"{result.campaign}: {result.detail}"


def _chosen(entries: Sequence[Entry], options: MarketingOptions) -> list[Entry]:
    names = {entry.name for entry in entries}
    for name in options.only:
        if name not in names:
            raise OptionError("only", name, "no campaign of the folder has this name", nearest(name, sorted(names)))
    return [entry for entry in entries if not options.only or entry.name in options.only]


def _settled(entry: Entry, now: datetime, options: MarketingOptions) -> CampaignResult:
    """What became of one campaign, whatever it met: the others are still to come."""
    know(campaign=entry.name, run=None)
    if ending.is_set():
        return _line(entry, Result.STOPPED, "the run was told to end before it")
    try:
        return _settle(entry, now, options)
    except Exception as error:
        get_run_logger().exception("%s failed", entry.name)
        return _line(entry, Result.FAILED, " ".join(f"{type(error).__name__}: {error}".split()), again=True)


def _settle(entry: Entry, now: datetime, options: MarketingOptions) -> CampaignResult:
    """Everything there is to do for one campaign."""
    if entry.campaign is None:
        get_run_logger().error("%s is broken: %s", entry.name, entry.problem)
        return _line(entry, Result.BROKEN, entry.problem)
    standing = entry.schedule.standing(now)
    if standing is not Standing.DUE:
        return _not_due(entry, standing, options)
    if options.engines and engine_of(entry.campaign) not in options.engines:
        return _line(entry, Result.LEFT_OUT, f"its engine is {engine_of(entry.campaign)}")
    return _make(entry, options)


def _not_due(entry: Entry, standing: Standing, options: MarketingOptions) -> CampaignResult:
    """Nothing is made of a campaign outside its dates; what no right covers is withdrawn all the same."""
    result = Result.NOT_YET if standing is Standing.EARLY else Result.OVER
    if options.dry_run:
        return _line(entry, result)
    state = withdraw_only(entry.path, entry.name, return_state=True)
    count = state.result(raise_on_failure=False)
    if isinstance(count, BaseException):
        return _line(entry, Result.FAILED, str(count), again=not isinstance(count, UserError))
    return _line(entry, result, f"{count} assets withdrawn: a right to a photo has ended" if count else "")


def _make(entry: Entry, options: MarketingOptions) -> CampaignResult:
    if not options.dry_run:
        looked = verify_daily(entry.path, entry.name, return_state=True)
        if not looked.is_completed():
            return _line(entry, Result.FAILED, looked.message or "", again=True)
    asked = options.render.model_dump(mode="json")
    planned = plan_campaign(entry.path, entry.name, asked, return_state=True)
    plan = planned.result(raise_on_failure=False)
    if isinstance(plan, BaseException):
        return _line(entry, Result.FAILED, str(plan), again=not isinstance(plan, UserError))
    if not planned.is_completed():
        return _line(entry, Result.BROKEN, planned.message or "")
    if not plan["work"]:
        return _line(entry, Result.FAILED if plan["short"] else Result.UNCHANGED, plan["short"])
    said = f"{plan['renders']} renders for {plan['assets']} assets"
    if options.dry_run:
        return _line(entry, Result.PLANNED, said)
    get_run_logger().info("%s: %s", entry.name, said)
    flow: Any = render_catalog  # typed as if it might be awaited
    state: State[Any] = flow(entry.path, options.render, run_id=plan["run_id"], return_state=True)
    if state.is_completed():
        return _line(entry, Result.DELIVERED, said, run=_run_of(state))
    if state.is_cancelled():
        return _line(entry, Result.STOPPED, str(state.message or ""), run=_run_of(state))
    problem = state.result(raise_on_failure=False)
    if isinstance(problem, UserError):  # as it stands it would only come again
        return _line(entry, Result.FAILED, str(problem), run=_run_of(state))
    return _line(entry, Result.FAILED, str(state.message or state.name), run=_run_of(state), again=True)


def _again(entry: Entry, result: CampaignResult, now: datetime, options: MarketingOptions) -> CampaignResult:
    if not result.again or ending.is_set():
        return result
    get_run_logger().warning("%s is tried again: %s", entry.name, result.detail)
    return _settled(entry, now, options)


def _line(entry: Entry, result: Result, detail: str = "", run: str = "", again: bool = False) -> CampaignResult:
    schedule = entry.schedule
    return CampaignResult(entry.name, schedule.priority, schedule.describe(), result, detail, run, again)


def _run_of(state: Any) -> str:
    return str(state.state_details.flow_run_id or "")


def _counts(results: Sequence[CampaignResult]) -> str:
    counts = {kind: sum(result.result is kind for result in results) for kind in Result}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _show(results: Sequence[CampaignResult]) -> None:
    # Markdown and not a table artifact: those show no links.
    lines = ["| campaign | result | priority | valid | what was done, or is wrong |", "|---|---|---:|---|---|"]
    for line in results:
        name = f"[{plain(line.campaign)}]({page})" if (page := line.run and link(line.run)) else plain(line.campaign)
        lines.append(f"| {name} | **{line.result}** | {line.priority} | {line.validity} | {plain(line.detail)} |")
    description = f"What became of every campaign: {_counts(results)}"
    create_markdown_artifact("\n".join(lines), key="campaigns", description=description)
