"""From a campaign to the plan of what it needs: the path is `write_plan`, each step of it a function below.

One pass over the catalogs: every step takes what the one before it yields, so that memory holds ids and not rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from catalogs.assets.history import History
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.errors import CatalogError, OptionError, ReferenceImageError
from catalogs.inputs.checks import CleanRow, ProductChecker, load_brands
from catalogs.inputs.reader import Catalog
from catalogs.inputs.reject_file import REJECTS_NAME, LeftOut, Reject
from catalogs.journal.spend import Spent, read_spent
from catalogs.plans.comparison import Comparison
from catalogs.plans.decision import Work
from catalogs.plans.expansion import Expander, unknown_look_column
from catalogs.plans.file import PLAN_NAME, PlanHeader, PlanWriter, new_run_id
from catalogs.plans.looks import members
from catalogs.plans.options import PlanOptions
from catalogs.plans.rows import add_estimates
from catalogs.plans.summary import PlanSummary
from catalogs.plans.wanted import Member, Planned, RowProblem
from catalogs.references.book import ReferenceBook
from catalogs.storage.store import Store
from tasks.engines import ChosenModel
from tasks.hosted import hosted_header, model_warnings

PROBERS = 8
LOOKS_A_WINDOW = 256

Item = TypeVar("Item")
Brands = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Inputs:
    """What a plan is made from.

    Attributes:
        paid: render fingerprints that the journal holds a task or an unanswered submit of: they cost nothing more.
        columns: product columns to read, None for all.
    """

    campaign: Campaign
    model: ChosenModel
    options: PlanOptions
    history: History
    spent: Spent
    paid: frozenset[str]
    brands: Catalog
    products: Catalog
    columns: frozenset[str] | None
    book: ReferenceBook
    expander: Expander


@dataclass(frozen=True)
class Thorough:
    """What to look at beside what a plan needs.

    Attributes:
        columns: also those no shot reads.
        references: also those no shot uses.
    """

    columns: bool = False
    references: bool = False


def write_plan(
    campaign: Campaign, model: ChosenModel, store: Store, options: PlanOptions, folder: Path, thorough: Thorough
) -> PlanSummary:
    """Write a plan and what it leaves out into a folder: read, check, group into looks, expand, compare, write.

    Raises:
        UserError: one line about what is wrong in campaign, catalogs or references.
    """
    inputs = read_inputs(campaign, model, store, options, thorough.columns)
    header = plan_header(inputs)
    comparison = Comparison(inputs.history, model.engine, options.retry_failed, options.resubmit)
    with LeftOut(folder / REJECTS_NAME, options.strict) as left_out, PlanWriter(folder / PLAN_NAME, header) as writer:
        brands = check_brands(inputs.brands, left_out)
        products = Counted(check_products(inputs, brands, left_out))
        rows = check_references(products, inputs, left_out) if thorough.references else products
        looks = members(rows, brands, campaign, inputs.expander.columns, folder)
        expanded = Counted(expand(chosen(looks, options), inputs, left_out))
        planned = compare(expanded, comparison, inputs, left_out)
        summary = write(planned, writer, PlanSummary.of(header, **known_before(inputs)), inputs.paid)
        summary.products, summary.looks, summary.rejected = products.count, expanded.count, left_out.count
    refuse_nothing(summary, left_out.first, campaign)
    return summary


def read_inputs(
    campaign: Campaign, model: ChosenModel, store: Store, options: PlanOptions, every_column: bool = False
) -> Inputs:
    """Everything a plan is made from; of the catalogs only what their files say of themselves.

    Raises:
        UserError: a catalog that cannot be used, or a shot that cannot be made from these columns.
    """
    history = History.read(store, campaign.name)
    book = ReferenceBook(max_pixels=campaign.max_reference_pixels)
    spent = read_spent(store, campaign.name) if model.engine == "bfl" else Spent()
    brands = Catalog.open(campaign.catalogs.brands, "brands")
    products = Catalog.open(campaign.catalogs.products, "products")
    if problem := unknown_look_column(campaign, products.columns):
        raise problem
    expander = Expander(campaign, model, book.probe, products.columns, brands.columns, options.today)
    return Inputs(
        campaign=campaign,
        model=model,
        options=options,
        history=history,
        spent=spent,
        paid=frozenset(spent.tasked if options.resubmit else spent.claimed),
        brands=brands,
        products=products,
        columns=_columns(campaign, products, expander, every_column),
        book=book,
        expander=expander,
    )


def _columns(campaign: Campaign, products: Catalog, expander: Expander, every: bool) -> frozenset[str] | None:
    """What shots and looks use and what every row must have; all for a template that takes the whole row."""
    if "*" in expander.columns:
        return None
    if every:
        return frozenset(products.columns)
    needed = {"product_id", "brand_id", "title", *expander.columns, *campaign.look_by}
    return frozenset(needed & set(products.columns))


def plan_header(inputs: Inputs) -> PlanHeader:
    """What the plan file will say of itself, with a new start's name."""
    campaign, model, latest = inputs.campaign, inputs.model, inputs.history.latest
    return PlanHeader(
        campaign=campaign.name,
        source=campaign.source,
        output=campaign.output,
        run_id=new_run_id(),
        kind=model.kind,
        engine=model.engine,
        model=model.name,
        model_revision=model.revision,
        weight_precision=model.weight_precision,
        lora=model.lora_files,
        masters=campaign.finishing.masters,
        reference_background=campaign.reference_background,
        max_reference_pixels=campaign.max_reference_pixels,
        channels={channel.name: channel.model_dump(mode="json") for channel in campaign.channels},
        clock_floor=latest.isoformat() if latest else None,
        partial=inputs.options.partial,
        hosted=hosted_header(model.spec, campaign, inputs.options, inputs.spent.total),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def known_before(inputs: Inputs) -> dict[str, Any]:
    """What a summary says that no row says."""
    return {
        "licence": inputs.model.spec.licence,
        "stages": len(inputs.campaign.stages),
        "spent": inputs.spent.total,
        "warnings": model_warnings(inputs.model.spec, inputs.campaign),
    }


class Counted(Generic[Item]):
    """Items on their way from one step to the next, counted."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.count += 1
            yield item


def check_brands(catalog: Catalog, left_out: LeftOut) -> Brands:
    """The usable brands by id."""
    brands, rejects = load_brands(catalog)
    left_out.mistake(rejects)
    return brands


def check_products(inputs: Inputs, brands: Brands, left_out: LeftOut) -> Iterator[CleanRow]:
    """The usable rows of the campaign's selection."""
    checker = ProductChecker(brands, inputs.products.uri)
    for batch in inputs.products.scan(inputs.columns, inputs.campaign.select, source=inputs.campaign.source):
        clean, rejects = checker.check(batch)
        left_out.mistake(rejects)
        yield from clean


def check_references(rows: Iterable[CleanRow], inputs: Inputs, left_out: LeftOut) -> Iterator[CleanRow]:
    """The same rows, with every picture they name looked at."""
    for clean in rows:
        for image in clean.row.get("reference_images") or ():
            try:
                inputs.book.probe(inputs.campaign.catalogs.products, image["uri"])
            except ReferenceImageError as error:
                left_out.mistake([Reject(clean.file, clean.number, "reference_images", image["uri"], str(error))])
        yield clean


def chosen(looks: Iterable[Member], options: PlanOptions) -> Iterator[Member]:
    """The looks that --only and --limit leave.

    Raises:
        OptionError: a product of --only is none of them.
    """
    return islice(_only(looks, set(options.only)) if options.only else iter(looks), options.limit)


def _only(looks: Iterable[Member], wanted: set[str]) -> Iterator[Member]:
    missing = set(wanted)
    for member in looks:
        if found := wanted.intersection(member.covers):
            missing -= found
            yield member
    if missing:
        raise OptionError("--only", min(missing), "is no product of this campaign's selection", "correct the id")


def expand(looks: Iterable[Member], inputs: Inputs, left_out: LeftOut) -> Iterator[list[Planned]]:
    """The assets each look needs; a look that cannot be planned is left out."""
    for window in _windows(looks, LOOKS_A_WINDOW):
        _probe_ahead(window, inputs)
        for member in window:
            try:
                planned = inputs.expander.expand(member)
            except RowProblem as problem:
                left_out.mistake([_rejected(member, problem.column, problem.value, problem.reason)])
            except ReferenceImageError as error:
                left_out.mistake([_rejected(member, "reference_images", error.source, str(error))])
            else:
                yield planned


def _windows(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while window := list(islice(iterator, size)):
        yield window


def _probe_ahead(window: Sequence[Member], inputs: Inputs) -> None:
    """Measure the references of a window side by side; problems are told when they are used."""
    uris = {image["uri"] for member in window for image in member.row.get("reference_images") or () if image.get("uri")}
    if len(uris) > 1:
        with ThreadPoolExecutor(PROBERS) as pool:
            list(pool.map(lambda uri: inputs.book.try_probe(inputs.campaign.catalogs.products, uri), sorted(uris)))


def _rejected(member: Member, column: str, value: str, reason: str) -> Reject:
    return Reject(member.file, member.number, column, value, reason)


def compare(
    looks: Iterable[list[Planned]], comparison: Comparison, inputs: Inputs, left_out: LeftOut
) -> Iterator[list[Row]]:
    """The plan's rows look by look, and at the end those of what nobody wants any more.

    The end is left out where the plan saw a part only or rows were wrong: a typing error must retire nothing.
    """
    for look in looks:
        left_out.refuse([_refused(planned) for planned in look if planned.refused])
        rows = comparison.rows(look)
        add_estimates(rows, look, inputs.model, inputs.paid)
        yield rows
    if not inputs.options.partial and not left_out.mistakes:
        yield comparison.unwanted(inputs.model.kind)


def _refused(planned: Planned) -> Reject:
    where = f"shot {planned.identity.shot}, channel {planned.identity.channel}"
    return _rejected(planned.member, "reference_images", "", f"{where}: {planned.refused}")


def write(looks: Iterable[list[Row]], writer: PlanWriter, summary: PlanSummary, paid: frozenset[str]) -> PlanSummary:
    """Write all rows, and count them."""
    for rows in looks:
        summary.count(rows)
        summary.paid += len({row["render_fingerprint"] for row in rows if row["work"] == Work.RENDER} & paid)
        writer.add(rows)
    return summary


def refuse_nothing(summary: PlanSummary, first: Reject | None, campaign: Campaign) -> None:
    """Refuse a plan of nothing at all: a mistake more often than a wish, and --retire would take it at its word.

    Raises:
        CatalogError: every row was left out.
        CampaignError: there was none.
    """
    if not summary.assets and first:
        problem = f"{first.reason} (column {first.column}; {summary.rejected} rows rejected, none left)"
        raise CatalogError(first.file, f"row {first.row}", problem)
    if not summary.products:
        where, what = ("select", "matches no product") if campaign.select else ("catalogs.products", "is empty")
        raise campaign.problem(where, what, "correct it, or name the products you mean")
