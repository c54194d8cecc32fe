"""What a plan is made from: the campaign, its catalogs as their files describe themselves, the record, the journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from shlex import quote
from typing import Any

from catalogs.assets.commits import UnreadCommit
from catalogs.assets.history import History
from catalogs.assets.lines import Stop, resumed
from catalogs.assets.starts import new_start
from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.credentials import of_kind
from catalogs.campaigns.metadata import of_kind as metadata_of_kind
from catalogs.campaigns.watermark import Mark
from catalogs.inputs.reader import Catalog
from catalogs.journal.sums import Spent
from catalogs.money import usd
from catalogs.plans.bought_again import BoughtAgain
from catalogs.plans.columns_read import unknown_look_column
from catalogs.plans.compared_sizes import ComparedSizes, enlarged_lines
from catalogs.plans.expansion import Expander
from catalogs.plans.file import PlanHeader
from catalogs.plans.options import PlanOptions
from catalogs.plans.shot_lines import shot_lines
from catalogs.references.book import ReferenceBook
from catalogs.references.overlay_files import OverlayFiles
from catalogs.references.places import Places
from catalogs.references.web_photos import Missing, WebPhotos
from catalogs.storage.store import Store
from tasks.channel_promises import promise_warnings
from tasks.credentials import signing_warnings
from tasks.engines import ChosenModel
from tasks.hosted import hosted_header, model_warnings, spent_of
from tasks.photos import web_photos
from tasks.quality import check_quality
from tasks.servers import server_header, server_warnings
from tasks.takeover import signature_of
from tasks.watermark import planned_mark


@dataclass(frozen=True)
class Inputs:
    """What a plan is made from.

    Attributes:
        paid: render fingerprints that the journal holds a task or an unanswered submit of: they cost nothing more.
        to_collect: those of them whose pictures are only to be collected.
        columns: product columns to read, None for all.
        photos: those of `book` that are on web servers.
        attempts: how many takes of a picture there may be.
        lines: of each shot that checks can reject pictures of, its line.
        stops: why shots are stopped.
        compared: renders wanted, as far as the plan has come, beside those of the ladder.
        bought_again: pictures that money was spent on in vain, as far as the plan has come.
        unread: commits that could not be read; what they say is not in the history.
    """

    campaign: Campaign
    model: ChosenModel
    store: Store
    options: PlanOptions
    history: History
    spent: Spent
    paid: frozenset[str]
    to_collect: frozenset[str]
    brands: Catalog
    products: Catalog
    columns: frozenset[str] | None
    book: ReferenceBook
    photos: WebPhotos
    expander: Expander
    attempts: int
    lines: dict[str, str]
    stops: dict[str, Stop]
    mark: Mark | None
    compared: ComparedSizes
    bought_again: BoughtAgain = field(default_factory=BoughtAgain)
    unread: list[UnreadCommit] = field(default_factory=list)


def read_inputs(
    campaign: Campaign,
    model: ChosenModel,
    store: Store,
    options: PlanOptions,
    every_column: bool = False,
    missing: Missing = Missing.FETCH,
) -> Inputs:
    """Everything a plan is made from; of the catalogs only what their files say of themselves.

    Raises:
        UserError: a catalog that cannot be used, or a shot that cannot be made from these columns.
    """
    if campaign.quality and model.kind == "render":
        check_quality(campaign.quality.said(), campaign.source)
    unread: list[UnreadCommit] = []
    history = History.read(store, campaign.name, unread)
    photos = web_photos(campaign, store, missing)
    book = book_of(campaign, photos)
    spent = spent_of(store, campaign.name, campaign.budget.scope) if model.engine == "bfl" else Spent()
    brands = Catalog.open(campaign.catalogs.brands, "brands")
    products = Catalog.open(campaign.catalogs.products, "products")
    if problem := unknown_look_column(campaign, products.columns):
        raise problem
    files = OverlayFiles(book, Places.of(campaign.reference_roots, campaign.source))
    attempts, lines = attempts_of(campaign, model.kind), shot_lines(campaign, model)
    mark, standing = planned_mark(campaign, model.kind), partial(history.takes.standing, attempts=attempts)
    columns = (products.columns, brands.columns)
    expander = Expander(campaign, model, book.usable, *columns, options.today, files, standing, mark)
    expander.localised.refuse_other_types(products)
    expander.localised_brands.refuse_other_types(brands)
    return Inputs(
        campaign=campaign,
        model=model,
        store=store,
        options=options,
        history=history,
        spent=spent,
        paid=frozenset(spent.tasked if options.resubmit else spent.claimed),
        to_collect=frozenset(spent.tasked if options.resubmit else spent.tasked | spent.uncollected),
        brands=brands,
        products=products,
        columns=_columns(campaign, products, expander, every_column),
        book=book,
        photos=photos,
        expander=expander,
        attempts=attempts,
        lines=lines,
        stops=stops_of(store, campaign.name, history, lines),
        mark=mark,
        compared=ComparedSizes(campaign),
        unread=[error.naming(campaign.source) for error in unread],
    )


def attempts_of(campaign: Campaign, kind: str) -> int:
    """How many takes of a picture a campaign allows; of a proof there is one."""
    return campaign.quality.attempts if campaign.quality and kind == "render" else 1


def stops_of(store: Store, campaign: str, history: History, lines: Mapping[str, str]) -> dict[str, Stop]:
    """Which shots of a campaign are stopped, and why."""
    if not lines:
        return {}
    since = resumed(store, campaign)
    found = {shot: history.lines.stop_of(line, since.get(shot)) for shot, line in lines.items()}
    return {shot: stop for shot, stop in found.items() if stop}


def stopped_lines(inputs: Inputs, held: Collection[str]) -> list[str]:
    """What is said of the shots of which pictures wait, since they are stopped."""
    lines = []
    for shot, stop in sorted(inputs.stops.items()):
        if shot in held:
            render = f"packshot render {quote(inputs.campaign.source)}"
            change = f"look at them and change its prompt, or its limits with `{render} --rejudge`"
            todo = f"{change}, or go on with `{render} --resume-shot {shot}`"
            lines.append(f"shot {shot} is stopped: {stop}; {todo}")
    return lines


def book_of(campaign: Campaign, photos: WebPhotos) -> ReferenceBook:
    """A look at the photos that a campaign may use."""
    places = Places.of(campaign.reference_roots, campaign.source)
    return ReferenceBook(max_pixels=campaign.max_reference_pixels, places=places, web=photos)


def _columns(campaign: Campaign, products: Catalog, expander: Expander, every: bool) -> frozenset[str] | None:
    """What shots and looks use and what every row must have; all for a template that takes the whole row."""
    if "*" in expander.columns:
        return None
    if every:
        return frozenset(products.columns)
    read = expander.localised.with_siblings(expander.columns)
    needed = {"product_id", "brand_id", "title", *read, *campaign.look_by}
    return frozenset(needed & set(products.columns))


def plan_header(inputs: Inputs) -> PlanHeader:
    """What the plan file will say of itself, with a new start's name."""
    campaign, model = inputs.campaign, inputs.model
    signing = of_kind(campaign.credentials, model.kind)
    return PlanHeader(
        campaign=campaign.name,
        source=campaign.source,
        output=campaign.output,
        run_id=new_start(inputs.store, inputs.history.latest),
        kind=model.kind,
        engine=model.engine,
        model=model.name,
        model_revision=model.revision,
        weight_precision=model.weight_precision,
        lora=model.lora_files,
        seed_device=model.seed_device,
        masters=campaign.finishing.masters,
        reference_background=campaign.reference_background,
        max_reference_pixels=campaign.max_reference_pixels,
        reference_roots=campaign.reference_roots,
        channels={channel.name: _finishing_rules(channel) for channel in campaign.channels},
        partial=inputs.options.partial,
        server=server_header(model.spec, campaign),
        credentials=signing.model_dump(mode="json") if signing else {},
        metadata=metadata_of_kind(campaign.metadata, model.kind).said(),
        watermark=inputs.mark.model_dump(mode="json") if inputs.mark else {},
        quality=campaign.quality.said() if campaign.quality and model.kind == "render" else {},
        attempts=inputs.attempts,
        lines=inputs.lines,
        hosted=hosted_header(model.spec, campaign, inputs.options, usd(inputs.spent.total)),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        signature=signature_of(campaign, inputs.brands, inputs.products),
    )


def known_before(inputs: Inputs) -> dict[str, Any]:
    """What a summary says that no row says.

    Raises:
        OptionError: files are to be signed with a key or chain that readers would not accept.
    """
    return {
        "licence": inputs.model.spec.licence,
        "stages": len(inputs.campaign.stages),
        "spent": usd(inputs.spent.total),
        "uncollected": sum(not inputs.history.master(fingerprint) for fingerprint in inputs.spent.uncollected),
        "warnings": [
            *model_warnings(inputs.model.spec, inputs.campaign),
            *server_warnings(inputs.campaign, inputs.model.silent),
            *enlarged_lines(inputs.campaign),
            *promise_warnings(inputs.campaign),
            *signing_warnings(inputs.campaign, inputs.model.kind),
        ],
    }


def _finishing_rules(channel: Channel) -> dict[str, Any]:
    """A channel as a plan carries it: without what only planning asks, which older versions would stumble over."""
    return channel.model_dump(mode="json", exclude={"scene", "safe_zone", "overlay", "locale"})
