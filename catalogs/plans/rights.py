"""Whose rights have ended: assets and plans, judged by the photos they are made from.

A row says which photos those are, through the shots an asset builds on, and what was allowed. What the catalog says of
such a photo today, found by its URI, else by its content, wins over that; where it says nothing, the row's word stands.
So neither a deleted product nor a narrower selection keeps an asset whose right has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import Pair, identity_of, pair_of, read_commits, rows_of
from catalogs.assets.history import History
from catalogs.assets.orders import ORDER_COLUMNS, order_of
from catalogs.columns import ReferenceRow, Row, is_master, parents_of, with_identity
from catalogs.errors import UserError
from catalogs.identity import Identity
from catalogs.inputs import ids
from catalogs.inputs.checks import BadValue, reference_images
from catalogs.inputs.reader import Catalog
from catalogs.plans.decision import UNWANTED
from catalogs.plans.expansion import photo_problem
from catalogs.plans.file import PlanFile
from catalogs.references.book import ReferenceProbe, absolute_photo, rights_problem
from catalogs.requests import RENDER_SCHEME
from catalogs.storage.store import Store

TryProbe = Callable[[str, str], ReferenceProbe | None]
Right = Mapping[str, Any]
Tables = Callable[[Sequence[str]], Iterable[pa.Table]]
Concerns = Callable[[pa.Array], pa.Array]
_COLUMNS = with_identity(
    "master", "covers", "fingerprint", "render_fingerprint", "references", "upstream_references", "territory"
)


@dataclass(frozen=True)
class RightsToday:
    """What the catalog says on a day of the photos that rows are made from.

    Attributes:
        by_uri: rights of the photos that somebody limits, with the product they stand with.
        by_content: the same by SHA-256, of photos that can be read.
        territories: of the channels by name; one that is gone is judged by what its rows recorded.
    """

    territories: Mapping[str, str | None]
    today: date
    by_uri: dict[str, list[tuple[str, Right]]] = field(default_factory=dict)
    by_content: dict[str, list[tuple[str, Right]]] = field(default_factory=dict)

    def are_over(self, row: Row, photos: Iterable[ReferenceRow]) -> bool:
        """Whether a photo of a row may no longer be shown where the row shows it."""
        territory = self.territories.get(row["channel"], row["territory"])
        # A row of before does not know where its channel showed it: of a channel that is gone only the term is judged.
        is_old = row["channel"] not in self.territories and row.get("ordered_at") is None
        goes_nowhere = is_master(row) or is_old
        for photo in photos:
            rights = self._of(photo, row["covers"] or ())
            if all(photo_problem(right, goes_nowhere, territory, self.today) for right in rights):
                return True
        return False

    def _of(self, photo: ReferenceRow, covers: Sequence[str]) -> Sequence[Right]:
        """What the catalog says with the products an asset covers, else with any, else what the row says."""
        said = self.by_uri.get(photo["uri"]) or self.by_content.get(photo["sha256"]) or []
        mine = [right for product, right in said if product in covers] or [right for _, right in said]
        return mine or [dict(photo)]

    def concerns(self, photos: pa.Array) -> pa.Array:
        """Which photos of rows the catalog limits, or the row does."""
        named = pc.or_(
            pc.is_in(pc.struct_field(photos, "uri"), value_set=pa.array(list(self.by_uri), pa.string())),
            pc.is_in(pc.struct_field(photos, "sha256"), value_set=pa.array(list(self.by_content), pa.string())),
        )
        return pc.or_(named, _are_limited(photos))


def read_rights(
    products: Catalog | None,
    try_probe: TryProbe,
    territories: Mapping[str, str | None],
    today: date,
    sources: Sequence[Tables],
) -> RightsToday:
    """What a catalog says today.

    Args:
        products: None where it cannot be read: then what rows recorded stands.
        try_probe: (base URI, reference URI) to the measured photo, None where it cannot be read.
        sources: tables whose rows are to be judged.
    """
    rights = RightsToday(territories, today)
    if products is None or "reference_images" not in products.columns:
        return rights
    told: dict[str, bool] = {}
    for tables in sources:
        for uri, is_over in _limited_photos(tables, rights):
            told[uri] = told.get(uri, False) or is_over
    limited = {uri for _, uri, right in _images(products) if rights_problem(right, None, today)}
    wanted = told.keys() | limited
    if not wanted:
        return rights
    for product, uri, right in _images(products):
        if uri in wanted:
            rights.by_uri.setdefault(uri, []).append((product, right))
    # Photos that rows know under another name are looked for where that can change a verdict: among the limited ones
    # that no row names, and among all where a row's own word says that a right is over and the catalog is silent.
    is_silent = any(is_over and uri not in rights.by_uri for uri, is_over in told.items())
    unknown = limited.difference(*(_known_uris(tables, limited) for tables in sources))
    for product, uri, right in _images(products) if is_silent or unknown else ():
        if (is_silent or uri in unknown) and (probe := try_probe(products.uri, uri)):
            rights.by_content.setdefault(probe.sha256, []).append((product, right))
    return rights


def ended_assets(store: Store, history: History, rights: RightsToday) -> dict[Identity, str]:
    """Delivered assets, with their fingerprints, that no right covers any more."""
    ended: dict[Identity, str] = {}
    for row in _over(of_record(store), rights, [*_COLUMNS, *ORDER_COLUMNS]):
        current = history.current(identity_of(row).digest())
        if current and current[1].stands and current[1].order == order_of(row):
            ended[identity_of(row)] = row["fingerprint"]
    return ended


def refused_rows(plan: PlanFile, rights: RightsToday) -> set[Pair]:
    """Wanted assets of a plan that no right covers any more."""
    rows = _over(plan.tables, rights, [*_COLUMNS, "action"])
    return {pair_of(row) for row in rows if row["action"] not in UNWANTED}


def of_record(store: Store) -> Tables:
    """The tables of the asset catalog."""
    return partial(read_commits, store)


def _over(tables: Tables, rights: RightsToday, columns: Sequence[str]) -> Iterator[Row]:
    behind = _Behind(tables)
    for row in _concerned(tables, rights.concerns, columns):
        if rights.are_over(row, _photos_of(row, behind)):
            yield row


def _limited_photos(tables: Tables, rights: RightsToday) -> Iterator[tuple[str, bool]]:
    """URIs of the photos that rows limit, and whether by their own word the right to one is over."""
    behind = _Behind(tables)
    for row in _concerned(tables, _are_limited, _COLUMNS):
        for photo in _photos_of(row, behind):
            if photo["licence_end"] or photo["territories"]:
                yield photo["uri"], rights.are_over(row, [photo])


def _known_uris(tables: Tables, uris: Set[str]) -> set[str]:
    """Those of some URIs that rows name."""
    wanted, found = pa.array(sorted(uris), pa.string()), set()
    for table in tables(("references", "upstream_references")):
        for column in table.columns[:2]:
            named = pc.struct_field(pc.list_flatten(column.combine_chunks()), "uri")
            found.update(named.filter(pc.fill_null(pc.is_in(named, value_set=wanted), False)).to_pylist())
    return found


def _are_limited(photos: pa.Array) -> pa.Array:
    """Which photos have an end, or a territory."""
    somewhere = pc.fill_null(pc.greater(pc.list_value_length(pc.struct_field(photos, "territories")), 0), False)
    return pc.or_(pc.is_valid(pc.struct_field(photos, "licence_end")), somewhere)


def _concerned(tables: Tables, concerns: Concerns, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of which a photo is concerned, or may be: one behind a shot they build on and do not name."""
    for table in tables(columns):
        places = {*_places(table["references"], concerns), *_places(table["upstream_references"], concerns)}
        places.update(_places(table["references"], _is_of_a_shot))
        yield from rows_of(table.take(pa.array(sorted(places), pa.int64())))


def _is_of_a_shot(photos: pa.Array) -> pa.Array:
    return pc.starts_with(pc.struct_field(photos, "uri"), RENDER_SCHEME)


def _places(column: pa.ChunkedArray, concerns: Concerns) -> set[int]:
    lists = column.combine_chunks()
    parents = pc.list_parent_indices(lists)
    return set(parents.filter(pc.fill_null(concerns(pc.list_flatten(lists)), False)).to_pylist())


def _photos_of(row: Row, behind: _Behind) -> list[ReferenceRow]:
    """Every photo an asset is made from."""
    own = [photo for photo in row["references"] or () if not photo["uri"].startswith(RENDER_SCHEME)]
    return [*own, *(row["upstream_references"] or ()), *behind.photos(row)]


class _Behind:
    """The photos behind the shots that rows of before build on, which do not name them; read when first asked."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._references: dict[str, list[ReferenceRow]] | None = None

    def photos(self, row: Row) -> list[ReferenceRow]:
        if row["upstream_references"] is not None:
            return []
        return [photo for parent in parents_of(row) for photo in self._of(parent)]

    def _of(self, render: str) -> list[ReferenceRow]:
        if self._references is None:
            self._references = self._read()
        found: list[ReferenceRow] = []
        for reference in self._references.get(render, ()):
            found += self._of(reference["sha256"]) if reference["uri"].startswith(RENDER_SCHEME) else [reference]
        return found

    def _read(self) -> dict[str, list[ReferenceRow]]:
        """References of the renders that others build on."""
        built_on: set[str] = set()
        for table in self._tables(("references",)):
            photos = pc.list_flatten(table["references"].combine_chunks())
            built_on.update(pc.struct_field(photos.filter(_is_of_a_shot(photos)), "sha256").to_pylist())
        wanted, found = pa.array(sorted(built_on), pa.string()), {}
        for table in self._tables(("render_fingerprint", "references")):
            for row in rows_of(table.filter(pc.is_in(table["render_fingerprint"], value_set=wanted))):
                found[row["render_fingerprint"]] = row["references"] or []
        return found


def _images(products: Catalog) -> Iterator[tuple[str, str, Right]]:
    """Product, absolute URI and rights of every picture of the catalog that can be read."""
    if "reference_images" not in products.columns:
        return
    for batch in products.scan({"product_id", "reference_images"}):
        for row in batch.rows:
            try:
                images = reference_images(row.get("reference_images"))
                product = ids.as_text(row.get("product_id"))
            except (BadValue, ValueError):
                continue
            for image in images:
                try:
                    yield ids.normal_form(product or ""), absolute_photo(products.uri, image["uri"]), image
                except UserError:
                    continue
