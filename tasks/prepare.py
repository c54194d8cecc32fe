"""A plan in the store, ready to be rendered: made anew, approved by somebody, or of an earlier start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

from catalogs.assets.commits import unread_commits
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.campaigns.outputs import refuse_read_only
from catalogs.errors import OptionError
from catalogs.identity import FOLDERS, run_key
from catalogs.inputs.ids import normal_form
from catalogs.inputs.reject_file import REJECTS_NAME, Reject, read_rejects
from catalogs.journal.lease import CLOCKS_DIFFER, live_leases
from catalogs.plans.budget import check_budget, over_cost
from catalogs.plans.decision import Work
from catalogs.plans.file import PLAN_NAME, PlanFile
from catalogs.plans.options import PlanOptions
from catalogs.plans.summary import COUNTED, PlanSummary
from catalogs.storage.local_files import work_folder
from catalogs.storage.store import Store, split_uri, write_uri
from tasks.approved_plan import known_of, take_up
from tasks.engines import ChosenModel, choose_model
from tasks.limits import judge
from tasks.log_lines import know
from tasks.planning import NothingLeft, Thorough, write_plan
from tasks.quiet import keys_of, plan_before

_OPTION_FIELDS = frozenset(f.name for f in fields(PlanOptions))


@dataclass(frozen=True)
class Prepared:
    """A plan in the store, ready to be rendered.

    Attributes:
        summary: `PlanSummary.as_dict()`.
    """

    store: Store
    run_id: str
    plan_key: str
    summary: dict[str, Any]

    @property
    def has_work(self) -> bool:
        return bool(self.summary["masters"]) or any(
            count for work, count in self.summary["work"].items() if work != Work.NONE
        )

    @property
    def is_quiet(self) -> bool:
        """Whether a run of it would do nothing at all."""
        return not self.has_work and not self.summary["actions"].get("retired")


def prepare(
    campaign_path: str,
    options: Mapping[str, Any],
    plan_file: str | None = None,
    run_id: str | None = None,
    may_hold: bool = False,
) -> Prepared:
    """Plan a campaign, or take a plan that exists, into the store.

    Args:
        options: fields of `PlanOptions`; others are ignored.
        plan_file: local path or URI of a plan to make exactly.
        run_id: a start whose plan is in the store already.
        may_hold: a plan whose price is over the budget is taken for what of it costs nothing more.

    Raises:
        UserError: one line about what is wrong in campaign, catalogs, references or plan.
    """
    campaign = load_campaign(campaign_path)
    know(campaign=campaign.name)
    store = Store.at(campaign.output)
    store.refuse_files(FOLDERS)  # before anything is made that could not be kept, or committed
    if run_id is not None:
        return _stored(campaign, store, run_id)
    asked = PlanOptions(**{k: _frozen(v) for k, v in options.items() if k in _OPTION_FIELDS and v is not None})
    asked = replace(asked, only=tuple(map(_named, asked.only)))
    if options.get("force"):
        asked = replace(asked, beside=bool(live_leases(store, campaign.name)))
    if plan_file is not None:
        return _take_plan(campaign, store, plan_file, asked, may_hold)
    return make_plan(campaign, choose_model(campaign), store, asked, may_hold, bool(options.get("may_rest")))


def make_plan(
    campaign: Campaign,
    model: ChosenModel,
    store: Store,
    options: PlanOptions,
    may_hold: bool = False,
    may_rest: bool = False,
) -> Prepared:
    """Plan a campaign against its output and store the plan and the rejected rows.

    Args:
        may_rest: a plan that asks for nothing and says what the one before it said is not stored a second time.

    Raises:
        UserError: as `prepare`; the plan may also be over its budget.
    """
    with work_folder() as folder:
        summary = write_plan(campaign, model, store, options, folder, Thorough())
        keep_budget(summary, campaign, PlanFile(Store.at(str(folder)), PLAN_NAME), may_hold)
        # The plan last: it makes the start one that others read, and must not be silent of what it leaves out.
        prepared = Prepared(store, summary.run_id, summary.plan_key, summary.as_dict())
        if may_rest and prepared.is_quiet and (known := plan_before(store, folder)):
            return Prepared(store, summary.run_id, known, {**prepared.summary, **keys_of(known)})
        if pq.read_metadata(folder / REJECTS_NAME).num_rows:
            store.write_file(summary.rejects_key, str(folder / REJECTS_NAME))
        store.write_file(summary.plan_key, str(folder / PLAN_NAME))
        warn_of_clock(summary, store)
    return Prepared(store, summary.run_id, summary.plan_key, summary.as_dict())


def keep_budget(summary: PlanSummary, campaign: Campaign, plan: PlanFile, may_hold: bool) -> None:
    """Refuse a plan over its budget or the limits of its folder, or hold what of it costs more.

    Raises:
        CampaignError: naming the limit, the estimate and what to do.
    """
    judged = judge(campaign, plan)
    summary.warnings += judged.warnings
    summary.near_limits = judged.near
    if judged.time:
        raise judged.time
    error = over_cost(summary, campaign) or judged.money
    if may_hold and error and summary.has_free_work:
        summary.held = str(error)
        return
    check_budget(summary, campaign)
    if error:
        raise error


def warn_of_clock(summary: PlanSummary, store: Store) -> None:
    """Warn where this machine's clock and the store's differ, by the plan that was just written."""
    ahead = datetime.now(UTC) - store.stat(summary.plan_key).modified
    if abs(ahead) > CLOCKS_DIFFER:
        minutes, where = round(abs(ahead) / timedelta(minutes=1)), "ahead of" if ahead > timedelta() else "behind"
        text = f"the clock of this machine is {minutes} minutes {where} that of {store.root}: set it right"
        summary.warnings.append(text)


def _stored(campaign: Campaign, store: Store, run_id: str) -> Prepared:
    key = run_key(run_id, PLAN_NAME)
    plan = PlanFile(store, key)
    summary = summarise(plan)
    judged = judge(campaign, plan)
    if judged.time:
        raise judged.time
    summary.warnings += judged.warnings
    summary.near_limits = judged.near
    summary.held = str(over_cost(summary, campaign) or judged.money or "")
    return Prepared(store, run_id, key, summary.as_dict())


def _take_plan(campaign: Campaign, store: Store, plan_file: str, options: PlanOptions, may_hold: bool) -> Prepared:
    """Make an approved plan that of a start of its own.

    Raises:
        CampaignError: it is no plan, another campaign's or output's, was changed by hand, or is over the budget.
    """
    folder, file = split_uri(plan_file)
    with work_folder() as temporary:
        path = temporary / PLAN_NAME
        summary = take_up(PlanFile(Store.at(folder), file), campaign, store, options, path)
        keep_budget(summary, campaign, PlanFile(Store.at(str(temporary)), PLAN_NAME), may_hold)
        store.write_file(summary.plan_key, str(path))
        warn_of_clock(summary, store)
    return Prepared(store, summary.run_id, summary.plan_key, summary.as_dict())


def summarise(plan: PlanFile) -> PlanSummary:
    """The summary of a plan that exists, from its rows and what is noted in it."""
    summary = PlanSummary.of(plan.header, **known_of(plan))
    summary.count(plan.rows(COUNTED))
    return summary


def copy_plan(prepared: Prepared, path: str) -> None:
    """Write the plan to a file, local or in a store, for somebody to look at and approve."""
    write_uri(path, prepared.store.read(prepared.plan_key))


@dataclass(frozen=True)
class Checked:
    """What planning would find wrong.

    Attributes:
        is_nothing_left: nothing could be planned.
        warnings: what a plan would warn of.
        unread: commits of the output that cannot be read, each with its `problem` and `fix`.
    """

    rejects: list[Reject]
    is_nothing_left: bool
    warnings: list[str]
    unread: list[dict[str, str]]


def check_catalogs(campaign_path: str, all_references: bool) -> Checked:
    """Every problem of a campaign's catalogs and references that planning would find; writes nothing.

    Args:
        all_references: read also the pictures that no shot uses.

    Raises:
        UserError: the campaign, its catalogs or its output cannot be used at all.
    """
    campaign = load_campaign(campaign_path)
    refuse_read_only(campaign)
    thorough = Thorough(columns=True, references=all_references, fetch=False)
    with work_folder() as folder:
        warnings: list[str] = []
        model, store = choose_model(campaign), Store.at(campaign.output)
        store.refuse_files(FOLDERS)
        try:
            summary = write_plan(campaign, model, store, PlanOptions(), folder, thorough)
            is_nothing_left, warnings, unread = False, summary.warnings, summary.unread
        except NothingLeft:
            is_nothing_left = True
            unread = [error.naming(campaign.source).as_dict() for error in unread_commits(store)]
        return Checked(read_rejects(folder / REJECTS_NAME), is_nothing_left, warnings, unread)


def _named(product: str) -> str:
    if not product.strip():
        raise OptionError("--only", "", "is empty", "name a product id")
    return normal_form(product)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
