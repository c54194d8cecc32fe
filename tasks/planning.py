"""From a campaign to the plan of what it needs: the path is `write_plan`, each step of it a function below.

One pass over the catalogs: every step takes what the one before it yields, so that memory holds ids and not rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any, Generic, NamedTuple, TypeVar

from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.errors import CatalogError, OptionError, PackshotError, ReferenceImageError, StorageError
from catalogs.inputs.checks import CleanRow, ProductChecker, load_brands
from catalogs.inputs.nouns import EmptyNouns
from catalogs.inputs.reader import Batch
from catalogs.inputs.reject_file import REJECTS_NAME, Code, LeftOut, Reject, shown
from catalogs.plans.accounts import Rows, settle
from catalogs.plans.comparison import Comparison
from catalogs.plans.decision import Action, Wishes, Work
from catalogs.plans.file import PLAN_NAME, PlanWriter
from catalogs.plans.looks import Looks
from catalogs.plans.options import PlanOptions
from catalogs.plans.rows import add_estimates, estimates_of, with_attempts
from catalogs.plans.summary import NOTED, PlanSummary
from catalogs.plans.wanted import Member, Planned, RowProblem
from catalogs.references.book import MissingReference
from catalogs.references.web_photos import Missing
from catalogs.storage.store import Store
from tasks.engines import ChosenModel
from tasks.photos import photo_warnings
from tasks.plan_inputs import Inputs, known_before, plan_header, read_inputs, stopped_lines
from tasks.redrawn import Redrawn
from tasks.unwanted import unwanted

PROBERS = 8
SHOWN = 3  # of many lines of one kind
LOOKS_A_WINDOW = 256

Item = TypeVar("Item")
Brands = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Thorough:
    """What to look at beside what a plan needs.

    Attributes:
        columns: also those no shot reads.
        references: also those no shot uses.
        fetch: photos that are not there yet, from their servers; else something stands in for them, and they are
            counted.
    """

    columns: bool = False
    references: bool = False
    fetch: bool = True


def write_plan(
    campaign: Campaign, model: ChosenModel, store: Store, options: PlanOptions, folder: Path, thorough: Thorough
) -> PlanSummary:
    """Write a plan and what it leaves out into a folder: read, check, group into looks, expand, compare, write.

    Raises:
        UserError: one line about what is wrong in campaign, catalogs or references.
    """
    missing = Missing.FETCH if thorough.fetch else Missing.COUNT
    inputs = read_inputs(campaign, model, store, options, thorough.columns, missing)
    plan, rejects, header = folder / PLAN_NAME, folder / REJECTS_NAME, plan_header(inputs)
    comparison = Comparison(
        store, inputs.history, model.engine, wishes(options, model.engine, inputs.to_collect, inputs.stops)
    )
    with (
        inputs.photos,
        LeftOut(rejects, options.strict, options.only) as left_out,
        PlanWriter(plan, header) as writer,
    ):
        brands = check_brands(inputs, left_out, None if thorough.columns else inputs.expander.brand_columns)
        selected = Selected(inputs)
        products = Counted(check_products(selected, inputs, brands, left_out))
        rows = check_references(products, inputs, left_out) if thorough.references else products
        looks = Looks(rows, brands, campaign, inputs.expander.columns, folder, inputs.expander.localised)
        expanded = Counted(expand(chosen(looks, options, left_out), looks, inputs, comparison, left_out))
        redrawn = Redrawn(inputs)
        planned = redrawn.watch(compare(expanded, looks, inputs, comparison, left_out))
        summary = write(planned, writer, PlanSummary.of(header, **known_before(inputs)), inputs.to_collect)
        count_rows(summary, inputs, selected, products.count, expanded.count, left_out)
        summary.warnings += [*stopped_lines(inputs, comparison.held), *redrawn.lines()]
        writer.note({name: getattr(summary, name) for name in NOTED})
    settle(inputs.products.rows_by_file, selected.rows, plan, rejects, options.partial)
    refuse_nothing(summary, next(iter(left_out.watched.values()), left_out.commonest), campaign)
    return summary


def wishes(options: PlanOptions, engine: str, collectable: frozenset[str], stopped: Iterable[str] = ()) -> Wishes:
    """What of a plan's decisions is up to the user, and to what was found of the pictures so far."""
    asked = (options.retry_failed, options.resubmit, options.beside)
    return Wishes(*asked, engine == "bfl", collectable, frozenset(stopped))


class NothingLeft(CatalogError):
    """Every row of a catalog was left out."""


class Counted(Generic[Item]):
    """Items on their way from one step to the next, counted."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.count += 1
            yield item


def check_brands(inputs: Inputs, left_out: LeftOut, columns: Set[str] | None) -> Brands:
    """The usable brands by id, with some of their columns or all."""
    brands, rejects = load_brands(inputs.brands, columns, inputs.expander.localised_brands.siblings)
    left_out.add(rejects, of_products=False)
    return brands


class Selected:
    """The product rows that the campaign selects, batch by batch.

    Attributes:
        rows: which they are, so far; None where the campaign selects all.
        nouns: those without a noun, so far.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.nouns = EmptyNouns(inputs.products, inputs.expander.localised, inputs.columns)
        self.rows = Rows() if inputs.campaign.select else None

    def __iter__(self) -> Iterator[Batch]:
        campaign = self._inputs.campaign
        for batch in self._inputs.products.scan(self.nouns.columns, campaign.select, source=campaign.source):
            if self.rows is not None:
                for number in batch.numbers:
                    self.rows.add(batch.file, number)
            yield self.nouns.look(batch)


def check_products(selected: Iterable[Batch], inputs: Inputs, brands: Brands, left_out: LeftOut) -> Iterator[CleanRow]:
    """The usable rows of the campaign's selection."""
    checker = ProductChecker(brands, inputs.products.uri, inputs.expander.localised.siblings)
    for batch in selected:
        clean, rejects = checker.check(batch)
        left_out.add(rejects)
        yield from clean


def check_references(rows: Iterable[CleanRow], inputs: Inputs, left_out: LeftOut) -> Iterator[CleanRow]:
    """The rows whose pictures can all be used, whether a shot uses them or not."""
    for clean in rows:
        problems = []
        for image in clean.row.get("reference_images") or ():
            try:
                inputs.book.usable(inputs.campaign.catalogs.products, image["uri"])
            except ReferenceImageError as error:
                problems.append(_reject(clean, Problem("reference_images", image["uri"], str(error), code_of(error))))
        left_out.add(problems)
        if not problems:
            yield clean


def chosen(looks: Iterable[Member], options: PlanOptions, left_out: LeftOut) -> Iterator[Member]:
    """The looks that --only and --limit leave.

    Raises:
        OptionError: a product of --only is none of them.
    """
    return islice(_only(looks, set(options.only), left_out) if options.only else iter(looks), options.limit)


def _only(looks: Iterable[Member], wanted: set[str], left_out: LeftOut) -> Iterator[Member]:
    missing = set(wanted)
    for member in looks:
        if found := wanted.intersection(member.covers):
            missing -= found
            yield member
    for product in sorted(missing):
        if reject := left_out.watched.get(product):
            raise CatalogError(reject.file, f"row {reject.row}, column {reject.column}", reject.reason)
        raise OptionError("--only", product, "is no product of this campaign's selection", "correct the id")


@dataclass(frozen=True)
class Expanded:
    """A look as it is wanted.

    Attributes:
        kept: rows of a look whose picture cannot be read now, and which is delivered as it is; else none.
    """

    planned: Sequence[Planned]
    kept: Sequence[Row] = ()


class Problem(NamedTuple):
    """Why a look, or part of it, is left out."""

    column: str
    value: str
    reason: str
    code: Code


def expand(
    members: Iterable[Member], looks: Looks, inputs: Inputs, comparison: Comparison, left_out: LeftOut
) -> Iterator[Expanded]:
    """The assets each look needs; every row of a look that cannot be planned is left out.

    A look that is delivered, and whose picture is only missing or out of reach now, stays as it is.

    Raises:
        StorageError: a picture that nothing is delivered of is out of reach.
    """
    broken: dict[str, list[Problem]] = {}
    for window in _windows(members, LOOKS_A_WINDOW):
        _probe_ahead(window, inputs)
        for member in window:
            try:
                planned = inputs.expander.expand(member)
            except RowProblem as error:
                _leave_out(member, [Problem(error.column, error.value, error.reason, error.code)], broken, left_out)
            except (ReferenceImageError, StorageError) as error:
                if kept := _kept(member, error, inputs, comparison):
                    left_out.unreachable.append(f"{member.row['product_id']}: {error}")
                    yield Expanded((), kept)
                elif isinstance(error, StorageError):
                    raise  # it may answer again: no row is to blame
                else:
                    problem = Problem("reference_images", error.written or error.source, str(error), code_of(error))
                    _leave_out(member, [problem], broken, left_out)
            else:
                yield Expanded(planned)
    _leave_out_rows(broken, looks, left_out)


def _kept(member: Member, error: PackshotError, inputs: Inputs, comparison: Comparison) -> list[Row]:
    if not isinstance(error, MissingReference | StorageError):
        return []
    return comparison.kept(member, inputs.expander.identities(member))


def _windows(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while window := list(islice(iterator, size)):
        yield window


def _probe_ahead(window: Sequence[Member], inputs: Inputs) -> None:
    """Measure the references of a window side by side; problems are told when they are used."""
    photos = set().union(*map(inputs.expander.photos, window))
    if len(photos) > 1:
        with ThreadPoolExecutor(PROBERS) as pool:
            list(pool.map(lambda photo: inputs.book.try_probe(*photo), sorted(photos)))


def code_of(error: ReferenceImageError) -> Code:
    """How a reject calls what is wrong with a photo."""
    return Code.REFERENCE_MISSING if isinstance(error, MissingReference) else Code.REFERENCE_INVALID


def _leave_out(member: Member, problems: list[Problem], later: dict[str, list[Problem]], left_out: LeftOut) -> None:
    """Leave a look out: at once where it has one row, else when its rows are read once more."""
    if len(member.covers) == 1 or left_out.strict:
        left_out.add([_reject(member, problem) for problem in problems])
    elif problems:
        later[member.look] = problems


def _leave_out_rows(looks: Mapping[str, list[Problem]], source: Looks, left_out: LeftOut) -> None:
    for name, clean in source.rows_of(looks):
        left_out.add([_reject(clean, problem) for problem in looks[name]])


def _reject(clean: CleanRow | Member, problem: Problem) -> Reject:
    column, value, reason, code = problem
    return Reject(clean.file, clean.number, column, value, reason, clean.row["product_id"], code, clean.row["title"])


def compare(
    expanded: Iterable[Expanded], looks: Looks, inputs: Inputs, comparison: Comparison, left_out: LeftOut
) -> Iterator[Sequence[Row]]:
    """The plan's rows look by look, and at the end those of what nobody wants any more."""
    refused: dict[str, list[Problem]] = {}
    estimates = with_attempts(estimates_of(inputs.model), inputs.history.takes, inputs.attempts)
    for look in expanded:
        if look.kept:
            yield look.kept
            continue
        _leave_out(look.planned[0].member, _refusals(look.planned), refused, left_out)
        inputs.compared.add(look.planned)
        rows = comparison.rows(look.planned)
        left_out.refused_looks += not rows
        add_estimates(rows, estimates, inputs.paid, inputs.options.resubmit)
        inputs.bought_again.add(rows, estimates, inputs.paid - inputs.to_collect)
        yield rows
    _leave_out_rows(refused, looks, left_out)
    yield unwanted(comparison, inputs, left_out)


def _refusals(look: Sequence[Planned]) -> list[Problem]:
    """What no right covers of a look, by reason."""
    places: dict[str, list[str]] = {}
    for planned in look:
        if planned.refused and not planned.is_master:
            places.setdefault(planned.refused, []).append(f"{planned.identity.shot} for {planned.identity.channel}")
    code = Code.RIGHTS if all(planned.refused for planned in look) else Code.RIGHTS_IN_PART
    return [
        Problem("reference_images", "", f"{', '.join(dict.fromkeys(where))}: {reason}", code)
        for reason, where in places.items()
    ]


def write(
    looks: Iterable[Sequence[Row]], writer: PlanWriter, summary: PlanSummary, to_collect: frozenset[str]
) -> PlanSummary:
    """Write all rows, and count them."""
    for rows in looks:
        summary.count(rows)
        made = {row["render_fingerprint"] for row in rows if row["work"] == Work.RENDER}
        bought = {row["render_fingerprint"] for row in rows if row["estimated_cost_high"]}
        summary.paid += len(to_collect & (made - bought))
        writer.add(rows)
    return summary


def count_rows(
    summary: PlanSummary, inputs: Inputs, selected: Selected, products: int, looks: int, left_out: LeftOut
) -> None:
    """Complete a summary by what its rows do not say."""
    summary.products, summary.looks = products, looks - left_out.refused_looks
    summary.rejected, summary.refused = left_out.rows, left_out.refused
    if selected.rows is not None:
        summary.not_selected = inputs.products.row_count - selected.rows.count
    if left_out.unreachable:
        stay = (
            f"{len(left_out.unreachable)} looks stay as they were delivered: a picture they are made from is not there"
        )
        summary.warnings.append(f"{stay} ({Code.REFERENCE_MISSING})")
        summary.warnings += left_out.unreachable[:SHOWN]
    doubts = (inputs.expander.doubts, selected.nouns, inputs.expander.prompt_doubts)
    summary.warnings += [line for doubt in doubts for line in doubt.lines()]
    summary.warnings += photo_warnings(inputs.photos, inputs.campaign)
    summary.sizes = inputs.compared.noted(inputs.model)
    summary.warnings += inputs.bought_again.lines()
    summary.unread = [error.as_dict() for error in inputs.unread]
    if left_out.kept:
        what = f"{left_out.kept} delivered assets may belong to rows that were left out, and are not retired"
        reject = left_out.nameless
        where = f": row {reject.row} of {reject.file} has no product_id that can be read" if reject else ""
        summary.warnings.append(what + where)


def refuse_nothing(summary: PlanSummary, first: Reject | None, campaign: Campaign) -> None:
    """Refuse a plan of nothing at all: a mistake more often than a wish, and --retire would take it at its word.

    Raises:
        NothingLeft: every row was left out.
        CampaignError: there was none.
    """
    if not summary.assets and first:
        problem = f"{first.reason} ({summary.rejected} rows rejected, none left)"
        advice = f"`packshot check {quote(campaign.source)}` tells them all"
        if ended := summary.actions[Action.WITHDRAW]:
            advice = f"`packshot render {quote(campaign.source)}` withdraws {ended} delivered assets all the same"
        raise NothingLeft(first.file, f"row {first.row}, column {first.column!r}", problem, advice)
    if not summary.products:
        if not campaign.select:
            raise campaign.problem("catalogs.products", "is empty", "name the catalog you mean")
        read = f"matches no product (it was read as {shown(campaign.select)})"
        raise campaign.problem("select", read, "correct it, or name the products you mean")
