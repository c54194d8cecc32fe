"""From a campaign file to a plan in the store: reading, expanding, comparing, writing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from catalogs.assets.history import History
from catalogs.assets.records import Status
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.errors import CampaignError, CatalogError, OptionError, ReferenceImageError
from catalogs.inputs.checks import ProductChecker, load_brands
from catalogs.inputs.reader import Catalog
from catalogs.inputs.reject_file import Reject, RejectWriter, read_rejects
from catalogs.journal.spend import Spent, read_spent
from catalogs.plans.expansion import Expander, Member, Planned, RowProblem, unknown_look_column
from catalogs.plans.looks import members
from catalogs.plans.plan import (
    SUMMARY_COLUMNS,
    Action,
    Decision,
    PlanFile,
    PlanHeader,
    PlanOptions,
    PlanSummary,
    PlanWriter,
    Work,
    channel_specs,
    check_budget,
    decide,
    estimate,
    new_run_id,
    plan_row,
    retired_row,
)
from catalogs.references.book import ReferenceBook
from catalogs.requests import Reason
from catalogs.storage.store import Store, split_uri, write_uri
from tasks.engines import ChosenModel, choose_model
from tasks.hosted import hosted_header, model_warnings
from tasks.reporting import Outcome, latest_run, outcome_of

PROBERS = 8
LOOKS_A_WINDOW = 256

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
        return any(count for work, count in self.summary["work"].items() if work != Work.NONE)


def prepare(
    campaign_path: str,
    options: Mapping[str, Any],
    plan_file: str | None = None,
    run_id: str | None = None,
) -> Prepared:
    """Plan a campaign, or take a plan that exists, into the store.

    Args:
        options: fields of `PlanOptions`; others are ignored.
        plan_file: local path or URI of a plan to make exactly.
        run_id: a start whose plan is in the store already.

    Raises:
        UserError: one line about what is wrong in campaign, catalogs, references or plan.
    """
    campaign = load_campaign(campaign_path)
    store = Store.at(campaign.output)
    if run_id is not None:
        key = f"runs/{run_id}/plan.parquet"
        return Prepared(store, run_id, key, summarise(PlanFile(store, key)))
    if plan_file is not None:
        return _take_plan(campaign, store, plan_file)
    chosen = PlanOptions(**{k: _frozen(v) for k, v in options.items() if k in _OPTION_FIELDS and v is not None})
    return make_plan(campaign, choose_model(campaign), store, chosen)


def make_plan(campaign: Campaign, model: ChosenModel, store: Store, options: PlanOptions) -> Prepared:
    """Plan a campaign against its output and store the plan and the rejected rows."""
    with tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        planning = _Planning(campaign, model, store, options, Path(folder))
        summary = planning.run()
        check_budget(summary, campaign)
        store.write_file(summary.plan_key, str(planning.plan_path))
        if summary.rejected:
            store.write_file(summary.rejects_key, str(planning.rejects_path))
    return Prepared(store, summary.run_id, summary.plan_key, summary.as_dict())


def check_catalogs(campaign_path: str, all_references: bool) -> list[Reject]:
    """Every problem of a campaign's catalogs and references that planning would find; writes nothing.

    Args:
        all_references: read also the pictures that no shot uses.
    """
    campaign = load_campaign(campaign_path)
    with tempfile.TemporaryDirectory(prefix="packshot-") as folder:
        planning = _Planning(campaign, choose_model(campaign), Store.at(campaign.output), PlanOptions(), Path(folder))
        planning.check_every_column, planning.check_every_reference = True, all_references
        try:
            planning.run()
        except CatalogError:
            if not planning.first_reject:
                raise
        return read_rejects(planning.rejects_path)


class _Planning:
    """One pass over the catalogs; what grows with them goes to files, not into memory."""

    def __init__(
        self, campaign: Campaign, model: ChosenModel, store: Store, options: PlanOptions, folder: Path
    ) -> None:
        self._campaign, self._model, self._store, self._options = campaign, model, store, options
        self._folder = folder
        self.plan_path, self.rejects_path = folder / "plan.parquet", folder / "rejects.parquet"
        self._history = History.read(store, campaign.name)
        self._book = ReferenceBook(max_pixels=campaign.max_reference_pixels)
        self._spent = read_spent(store, campaign.name) if model.engine == "bfl" else Spent()
        self._wanted: set[bytes] = set()
        self._hopeless: set[str] = set()
        self._bad_rows = 0
        self.first_reject: Reject | None = None
        self.check_every_column = self.check_every_reference = False
        run_id = new_run_id()
        self._summary = PlanSummary(
            run_id=run_id,
            campaign=campaign.name,
            output=campaign.output,
            kind=model.kind,
            model=model.name,
            model_revision=model.revision,
            licence=model.spec.licence,
            stages=len(campaign.stages),
            plan_key=f"runs/{run_id}/plan.parquet",
            rejects_key=f"runs/{run_id}/rejects.parquet",
            spent=self._spent.total,
            warnings=model_warnings(model.spec, campaign),
        )

    def run(self) -> PlanSummary:
        brand_catalog = Catalog.open(self._campaign.catalogs.brands, "brands")
        product_catalog = Catalog.open(self._campaign.catalogs.products, "products")
        if problem := unknown_look_column(self._campaign, product_catalog.columns):
            raise problem
        expander = Expander(
            self._campaign,
            self._model,
            self._book.probe,
            product_catalog.columns,
            brand_catalog.columns,
            self._options.today,
        )
        with RejectWriter(self.rejects_path) as self._rejects:
            brands, rejects = load_brands(brand_catalog)
            self._reject(rejects)
            rows = self._product_rows(product_catalog, brands, expander)
            looks = members(rows, brands, self._campaign, expander.columns, self._folder)
            self._write(self._chosen(looks), expander)
        if not self._summary.assets and self.first_reject:
            raise self._nothing_left(self.first_reject)
        if not self._summary.products:
            # An empty catalog is a mistake more often than a wish, and --retire would take it at its word.
            where, what = (
                ("select", "matches no product") if self._campaign.select else ("catalogs.products", "is empty")
            )
            raise self._campaign.problem(where, what, "correct it, or name the products you mean")
        return self._summary

    def _nothing_left(self, first: Reject) -> CatalogError:
        count = self._summary.rejected
        return CatalogError(
            first.file,
            f"row {first.row}",
            f"{first.reason} (column {first.column}; {count} rows rejected, none left)",
        )

    def _product_rows(
        self, catalog: Catalog, brands: Mapping[str, Any], expander: Expander
    ) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
        checker = ProductChecker(brands, catalog.uri)
        columns = self._columns(catalog, expander)
        for batch in catalog.scan(columns, self._campaign.select, source=self._campaign.source):
            clean, rejects = checker.check(batch)
            self._reject(rejects)
            for row in clean:
                self._summary.products += 1
                if self.check_every_reference:
                    self._check_references(row)
                yield row

    def _check_references(self, clean: tuple[str, int, Mapping[str, Any]]) -> None:
        file, number, row = clean
        for image in row.get("reference_images") or ():
            try:
                self._book.probe(self._campaign.catalogs.products, image["uri"])
            except ReferenceImageError as error:
                self._reject([Reject(file, number, "reference_images", image["uri"], str(error))])

    def _columns(self, catalog: Catalog, expander: Expander) -> set[str] | None:
        """Columns to read: what shots and looks use and what every row must have; all for a whole-row template."""
        if "*" in expander.columns:
            return None
        if self.check_every_column:
            return set(catalog.columns)
        needed = {"product_id", "brand_id", "title", *expander.columns, *self._campaign.look_by}
        return needed & set(catalog.columns)

    def _chosen(self, looks: Iterable[Member]) -> Iterator[Member]:
        if self._options.only:
            looks = self._only(looks, set(self._options.only))
        return islice(iter(looks), self._options.limit)

    def _only(self, looks: Iterable[Member], wanted: set[str]) -> Iterator[Member]:
        missing = set(wanted)
        for member in looks:
            if found := wanted.intersection(member.covers):
                missing -= found
                yield member
        if missing:
            raise OptionError("--only", min(missing), "is no product of this campaign's selection", "correct the id")

    def _write(self, looks: Iterable[Member], expander: Expander) -> None:
        writer = PlanWriter(self.plan_path, self._header())
        try:
            for window in _windows(looks, LOOKS_A_WINDOW):
                self._probe_ahead(window)
                for member in window:
                    self._add(member, expander, writer)
            if not self._options.partial and not self._bad_rows:
                writer.add(self._unwanted())
        finally:
            writer.close()

    def _probe_ahead(self, window: Sequence[Member]) -> None:
        """Measure the references of a window side by side; problems are told when they are used."""
        base = self._campaign.catalogs.products
        uris = {
            image["uri"] for member in window for image in member.row.get("reference_images") or () if image.get("uri")
        }
        if len(uris) > 1:
            with ThreadPoolExecutor(PROBERS) as pool:
                list(pool.map(lambda uri: self._book.try_probe(base, uri), sorted(uris)))

    def _add(self, member: Member, expander: Expander, writer: PlanWriter) -> None:
        try:
            planned = expander.expand(member)
        except RowProblem as problem:
            self._leave_out(member, problem.column, problem.value, problem.reason)
            return
        except ReferenceImageError as error:
            self._leave_out(member, "reference_images", error.source, str(error))
            return
        self._summary.looks += 1
        self._hopeless.clear()
        rows = [row for asset in planned if (row := self._row(member, asset))]
        estimate(rows, self._estimates(planned))
        self._summary.paid += len({row["render_fingerprint"] for row in rows if self._is_paid(row)})
        self._summary.count(rows)
        writer.add(rows)

    def _is_paid(self, row: Mapping[str, Any]) -> bool:
        return row["work"] == Work.RENDER and row["render_fingerprint"] in self._claimed

    @property
    def _claimed(self) -> set[str]:
        """Renders that the journal holds a task or an unanswered submit of: they cost nothing more."""
        return self._spent.tasked if self._options.resubmit else self._spent.claimed

    def _leave_out(self, member: Member, column: str, value: str, reason: str) -> None:
        self._reject([Reject(member.file, member.number, column, value, reason)])

    def _row(self, member: Member, planned: Planned) -> dict[str, Any] | None:
        digest = planned.identity.digest()
        if planned.refused:
            return self._refused_row(member, planned, digest)
        self._wanted.add(digest)
        decision = decide(self._history, digest, planned, self._options.retry_failed, self._options.resubmit)
        if self._waits_for_nothing(planned, decision):
            decision = Decision(Action.UNCHANGED, Work.NONE, decision.known)
        if decision.work == Work.NONE and decision.known and decision.known.status == Status.FAILED:
            self._hopeless.add(planned.render_fingerprint)
        return plan_row(planned, decision, self._history, self._model.engine)

    def _waits_for_nothing(self, planned: Planned, decision: Decision) -> bool:
        """It failed for want of a shot that is not made again in this run. Shots come in the order of their stages."""
        if decision.known is None or decision.known.reason != Reason.UPSTREAM_FAILED:
            return False
        upstream = {r.sha256 for r in planned.request.references if r.is_render} & self._hopeless
        return any(not self._history.master(fingerprint) for fingerprint in upstream)

    def _refused_row(self, member: Member, planned: Planned, digest: bytes) -> dict[str, Any] | None:
        """An asset no right covers: not made, and taken back where it is delivered."""
        self._wanted.add(digest)
        current = self._history.current(digest)
        where = f"shot {planned.identity.shot}, channel {planned.identity.channel}"
        refused = Reject(member.file, member.number, "reference_images", "", f"{where}: {planned.refused}")
        self._reject([refused], bad_row=False)
        if current is None or current[1].status != "delivered":
            return None
        return retired_row(planned.identity, current[0].hex(), self._model.engine, Action.WITHDRAW)

    def _estimates(self, planned: Sequence[Planned]) -> dict[str, tuple[float, float, float]]:
        estimates = {}
        for asset in planned:
            if asset.render_fingerprint in self._claimed:
                estimates[asset.render_fingerprint] = (0.0, 0.0, 0.0)
            elif asset.render_fingerprint not in estimates:
                request = asset.request
                pixels = [r.width * r.height for r in request.references]
                seconds = self._model.seconds(request.width, request.height, len(pixels))
                estimates[asset.render_fingerprint] = (
                    seconds,
                    *self._model.cost(request.width, request.height, pixels),
                )
        return estimates

    def _unwanted(self) -> list[dict[str, Any]]:
        """Delivered assets that nothing in the catalogs asks for any more.

        Not asked when rows were rejected: a typing error in a catalog must retire nothing.
        """
        rows = []
        for identity, fingerprint in self._history.delivered():
            if identity.kind == self._model.kind and identity.digest() not in self._wanted:
                rows.append(retired_row(identity, fingerprint, self._model.engine, Action.RETIRED))
        self._summary.count(rows)
        return rows

    def _reject(self, rejects: Sequence[Reject], bad_row: bool = True) -> None:
        if not rejects:
            return
        self._bad_rows += len(rejects) * bad_row
        first = rejects[0]
        if self._options.strict:
            raise CatalogError(first.file, f"row {first.row}, column {first.column}", first.reason, "correct the row")
        self.first_reject = self.first_reject or first
        self._summary.rejected += len(rejects)
        self._rejects.write(rejects)

    def _header(self) -> PlanHeader:
        campaign, model, latest = self._campaign, self._model, self._history.latest
        return PlanHeader(
            campaign=campaign.name,
            source=campaign.source,
            output=campaign.output,
            run_id=self._summary.run_id,
            kind=model.kind,
            engine=model.engine,
            model=model.name,
            model_revision=model.revision,
            weight_precision=model.weight_precision,
            lora=model.lora_files,
            masters=campaign.finishing.masters,
            reference_background=campaign.reference_background,
            max_reference_pixels=campaign.max_reference_pixels,
            channels=channel_specs(campaign),
            clock_floor=latest.isoformat() if latest else None,
            partial=self._options.partial,
            hosted=hosted_header(model.spec, campaign, self._options, self._spent.total),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _windows(items: Iterable[Member], size: int) -> Iterator[list[Member]]:
    iterator = iter(items)
    while window := list(islice(iterator, size)):
        yield window


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def summarise(plan: PlanFile) -> dict[str, Any]:
    """The summary of a plan that exists, from its rows."""
    header = plan.header
    summary = PlanSummary(
        run_id=header.run_id,
        campaign=header.campaign,
        output=header.output,
        kind=header.kind,
        model=header.model,
        model_revision=header.model_revision,
        licence="",
        plan_key=f"runs/{header.run_id}/plan.parquet",
        rejects_key=f"runs/{header.run_id}/rejects.parquet",
        spent=header.hosted.get("spent", 0.0),
        warnings=header.hosted.get("warnings", []),
    )
    for table in plan.tables(SUMMARY_COLUMNS):
        summary.count(table.to_pylist())
    return summary.as_dict()


def _take_plan(campaign: Campaign, store: Store, plan_file: str) -> Prepared:
    """Copy an approved plan into a start of its own.

    Raises:
        CampaignError: it is no plan, or another campaign's or output's.
    """
    folder, file = split_uri(plan_file)
    source = Store.at(folder)
    plan = PlanFile(source, file)
    for name, mine in (("campaign", campaign.name), ("output", campaign.output)):
        theirs = getattr(plan.header, name)
        if theirs != mine:
            raise CampaignError(plan_file, name, f"is a plan for {theirs!r}, not {mine!r}", "plan again")
    run_id = new_run_id()
    key = f"runs/{run_id}/plan.parquet"
    store.write(key, source.read(file))
    return Prepared(store, run_id, key, summarise(PlanFile(store, key)))


def copy_plan(prepared: Prepared, path: str) -> None:
    """Write the plan to a file, local or in a store, for somebody to look at and approve."""
    write_uri(path, prepared.store.read(prepared.plan_key))


def open_campaign(path: str) -> tuple[Campaign, Store]:
    """A campaign and its output."""
    campaign = load_campaign(path)
    return campaign, Store.at(campaign.output)


def newest_outcome(path: str) -> dict[str, Any]:
    """The newest plan of a campaign against what is delivered now.

    Raises:
        CampaignError: nothing was planned yet.
    """
    campaign, store = open_campaign(path)
    run_id = latest_run(store, campaign)
    outcome: Outcome = outcome_of(store, PlanFile(store, f"runs/{run_id}/plan.parquet"))
    return {"campaign": campaign.name, "run_id": run_id, **outcome.as_dict(), "complete": outcome.complete}
