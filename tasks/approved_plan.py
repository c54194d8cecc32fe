"""A plan that somebody saw and approved, taken up on another day.

What it asks for stays as it is; what has to be done for it is decided anew against the record of this day: pictures
that exist by now are said again and so become what is delivered, and what no right covers any more is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from catalogs.assets.commits import Pair, identity_of, pair_of
from catalogs.assets.history import History
from catalogs.assets.starts import new_start
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import PLAN, Row
from catalogs.errors import CampaignError, UserError
from catalogs.identity import Identity
from catalogs.inputs.reader import Catalog
from catalogs.journal.sums import Spent
from catalogs.money import usd
from catalogs.plans.bought_again import BoughtAgain
from catalogs.plans.comparison import Comparison
from catalogs.plans.decision import UNWANTED, Action, Wishes, Work
from catalogs.plans.edits import refuse_edits
from catalogs.plans.file import PlanFile, PlanHeader, PlanWriter
from catalogs.plans.options import PlanOptions
from catalogs.plans.rights import RightsToday, ended_assets, of_record, read_rights, refused_rows
from catalogs.plans.rows import add_estimates, decided, estimates_of, unwanted_row, wanted_of_row
from catalogs.plans.summary import NOTED, PlanSummary
from catalogs.references.book import ReferenceBook
from catalogs.storage.store import Store
from inference.models.lookup import resolve_model
from inference.models.specs import ModelSpec
from tasks.engines import PricedModel
from tasks.hosted import spent_of
from tasks.photos import web_photos
from tasks.planning import wishes
from tasks.servers import estimating_spec


def take_up(plan: PlanFile, campaign: Campaign, store: Store, options: PlanOptions, path: Path) -> PlanSummary:
    """Write the plan of a new start that makes what an approved plan asks for.

    Raises:
        CampaignError: it is another campaign's or output's, or was changed by hand.
        UnreadCommit: what is made by now cannot be known.
    """
    _refuse_foreign(plan, campaign)
    refuse_edits(plan, plan.rows(PLAN.names))
    plan.refuse_accidents()
    history = History.read(store, campaign.name)
    scope = plan.header.hosted.get("budget_scope", "campaign")
    spent = spent_of(store, campaign.name, scope) if plan.header.engine == "bfl" else Spent()
    header = _header(plan.header, new_start(store, history.latest), options, usd(spent.total))
    paid = frozenset(spent.tasked if header.hosted.get("resubmit") else spent.claimed)
    rights = _rights(plan, campaign, store, options)
    ended = ended_assets(store, history, rights)
    uncollected = sum(not history.master(fingerprint) for fingerprint in spent.uncollected)
    known = {"spent": usd(spent.total), "uncollected": uncollected, "unread": []}
    summary = PlanSummary.of(header, **known_of(plan) | known)
    asked = wishes(options, plan.header.engine, frozenset(spent.tasked | spent.uncollected))
    estimates = estimates_of(PricedModel(_spec_of(header)))
    bought_again = BoughtAgain()
    with PlanWriter(path, header) as writer:
        for rows in _decided(plan, store, history, asked, refused_rows(plan, rights), ended):
            add_estimates(rows, estimates, paid, bool(header.hosted.get("resubmit")))
            bought_again.add(rows, estimates, paid - asked.collectable)
            summary.count(rows)
            writer.add(rows)
        withdrawn = [unwanted_row(*item, header.engine, Action.WITHDRAW) for item in ended.items()]
        summary.count(withdrawn)
        writer.add(withdrawn)
        summary.warnings += bought_again.lines()
        writer.note({name: getattr(summary, name) for name in NOTED})
    return summary


def _spec_of(header: PlanHeader) -> ModelSpec:
    return estimating_spec(header) if header.engine == "server" else resolve_model(header.model, header.source)


def known_of(plan: PlanFile) -> dict[str, object]:
    """What is noted in a plan; of one from before that was done, all that it says."""
    hosted = plan.header.hosted
    known = {"licence": "", "spent": hosted.get("spent", 0.0), "warnings": hosted.get("warnings", [])}
    return known | {name: plan.numbers[name] for name in NOTED if name in plan.numbers}


def _refuse_foreign(plan: PlanFile, campaign: Campaign) -> None:
    for name, mine in (("campaign", campaign.name), ("output", campaign.output)):
        theirs = getattr(plan.header, name)
        if theirs != mine:
            raise CampaignError(plan.uri, name, f"is a plan for {theirs!r}, not {mine!r}", "plan again")


def _header(header: PlanHeader, run_id: str, options: PlanOptions, spent: float) -> PlanHeader:
    header = replace(header, attempts=1)  # who approved these pictures asked for no other take of any
    if not header.hosted:
        return replace(header, run_id=run_id)
    asked = {
        "retry_failed": options.retry_failed,
        "resubmit": options.resubmit,
        "accept_price": options.accept_price,
    }
    wanted = {name: header.hosted.get(name) or value for name, value in asked.items()}
    return replace(header, run_id=run_id, hosted={**header.hosted, **wanted, "spent": spent})


def _rights(plan: PlanFile, campaign: Campaign, store: Store, options: PlanOptions) -> RightsToday:
    try:
        products = Catalog.open(campaign.catalogs.products, "products")
    except UserError:  # a plan is rendered without its catalogs too: then its own rows tell the rights
        products = None
    web = web_photos(campaign, store)
    book = ReferenceBook(max_pixels=plan.header.max_reference_pixels, places=plan.header.places, web=web)
    territories = {name: spec.get("territory") for name, spec in plan.header.channels.items()}
    return read_rights(products, book.try_probe, territories, options.today, [of_record(store), plan.tables])


def _decided(
    plan: PlanFile,
    store: Store,
    history: History,
    asked: Wishes,
    refused: set[Pair],
    ended: dict[Identity, str],
) -> Iterator[list[Row]]:
    """The rows of the plan look by look, each with what is to be done about it now."""
    engine = plan.header.engine
    comparison = Comparison(store, history, engine, asked)
    for _, rows in groupby(plan.rows(PLAN.names), key=lambda row: (row["brand_id"], row["look"])):
        look = [row for row in rows if identity_of(row) not in ended and pair_of(row) not in refused]
        wanted = [row for row in look if row["action"] not in UNWANTED and row["render_fingerprint"]]
        decisions = comparison.decisions([wanted_of_row(row) for row in wanted])
        anew: list[Row] = [
            {**row, **decided(decision, history.master(row["render_fingerprint"]))}
            for row, decision in zip(wanted, decisions, strict=True)
        ]
        yield [*anew, *_others(look, history)]


def _others(rows: Sequence[Row], history: History) -> Iterator[Row]:
    """Rows that stay as they are: kept looks, and retirements of what is still delivered."""
    for row in rows:
        current = history.current(identity_of(row).digest())
        if row["action"] == Action.RETIRED and current and current[1].stands:
            yield {**row, "fingerprint": current[0].hex()}
        elif row["action"] not in UNWANTED and not row["render_fingerprint"]:
            yield _kept_anew(row, history)


def _kept_anew(row: Row, history: History) -> Row:
    """A row that asks for an asset as it was recorded: said again where another counts by now."""
    known = history.known(*pair_of(row))
    if known is None or not known.has_bytes or history.has(pair_of(row)[0], row["fingerprint"]):
        return row
    return {**row, "action": Action.CHANGED.value, "work": Work.COMMIT.value}
