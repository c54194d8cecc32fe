"""What the commits of the asset catalog mean: the one place that says what a row means.

1. Rows are ordered by (ordered_at, or created_at where a row is older than that column; run_id; step; created_at;
   attempt_id; the commit's key): the run that was started later counts, whoever ends last.
2. For one (identity, fingerprint) the last row that is delivered, retired or withdrawn counts; only where there is
   none, the last failed one: a late failure never hides what was delivered.
3. `missing` and `pruned` name an asset_key and move nothing: a delivered row is without bytes where such a row of its
   identity and key is ordered after every delivered one. It then counts as missing or pruned, in its old place; a
   failure ordered after that counts instead.
4. The current row of an identity is the last of those that count.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import (
    Pair,
    Status,
    UnreadCommit,
    covers_hash,
    identity_of,
    pair_of,
    read_commits,
    rows_of,
)
from catalogs.assets.lines import Lines
from catalogs.assets.orders import ORDER_COLUMNS, Order, order_of
from catalogs.assets.takes import Takes
from catalogs.columns import ASSETS, Row, is_master, with_identity
from catalogs.identity import Identity
from catalogs.storage.store import Store

_SETTLED = (Status.DELIVERED, Status.RETIRED, Status.WITHDRAWN)
_KNOWN = with_identity(
    "covers",
    "status",
    "reason",
    "attempts",
    "final",
    "fingerprint",
    "render_fingerprint",
    "asset_key",
    "render_key",
    "take",
    "take_of",
    "verdict",
    "score",
    "judged_by",
    "line",
    *ORDER_COLUMNS,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the history says of one (identity, fingerprint).

    Attributes:
        has_bytes: its file was written and not found gone since.
        verdict: of the row that counts.
        order: of it.
    """

    status: str
    asset_key: str | None
    covers: bytes
    attempts: int
    final: bool
    reason: str | None
    has_bytes: bool
    verdict: str | None
    order: Order

    @property
    def is_delivered(self) -> bool:
        return self.status == Status.DELIVERED

    @property
    def stands(self) -> bool:
        """Delivered and not taken back, whatever became of its bytes."""
        return self.status in (Status.DELIVERED, Status.MISSING, Status.PRUNED)


@dataclass(slots=True)
class _Settled:
    """The last delivered, retired or withdrawn row of a pair, and when it was last delivered."""

    status: str
    asset_key: str | None
    covers: bytes
    attempts: int
    verdict: str | None
    order: Order
    delivered: Order | None


class History:
    """An index of the asset catalog: some hundred bytes a row, whatever the rows hold, in whatever order they come.

    Args:
        campaign: whose rows to hold, None for all.

    Attributes:
        columns: what it needs to know of a row.
        takes: what was judged.
        lines: the same by shot, as it came.
        latest: the latest moment that any row names, of whatever campaign.
    """

    columns: Sequence[str] = _KNOWN

    def __init__(self, campaign: str | None = None) -> None:
        self._campaign = campaign
        self._clear()

    def _clear(self) -> None:
        self._settled: dict[bytes, dict[bytes, _Settled]] = {}
        self._failed: dict[bytes, dict[bytes, Known]] = {}
        self._lost: dict[tuple[bytes, str], tuple[Order, str]] = {}
        self._masters: dict[bytes, tuple[Order, str]] = {}
        self._identities: dict[bytes, Identity] = {}
        self._orders: dict[Order, Order] = {}
        self.takes, self.lines = Takes(), Lines()
        self.latest: datetime | None = None

    @classmethod
    def read(cls, store: Store, campaign: str | None = None, unread: list[UnreadCommit] | None = None) -> History:
        """The history of an output.

        Args:
            unread: takes the commits that cannot be read, which then are passed over; else the first is raised.
        """
        history = cls(campaign)
        for table in read_commits(store, _KNOWN, unread=unread):
            history.add(table)
        return history

    def add(self, table: pa.Table) -> None:
        """Add a commit as `read_commit` gives it with `columns`."""
        times = [pc.max(table[name]).as_py() for name in ("ordered_at", "created_at")]
        self.latest = max((time for time in (self.latest, *times) if time is not None), default=None)
        for row in rows_of(_of_campaign(table, self._campaign)):
            self._add(row)

    def _add(self, row: Row) -> None:
        identity = identity_of(row)
        digest, fingerprint = identity.digest(), bytes.fromhex(row["fingerprint"])
        order = order_of(row)
        order = self._orders.setdefault(order, order)  # one for all rows of a commit
        self._identities.setdefault(digest, identity)
        if row["status"] in _SETTLED:
            self._settle(digest, fingerprint, row, order)
        elif row["status"] == Status.FAILED:
            self._fail(digest, fingerprint, row, order)
        elif row["asset_key"] and order >= self._lost.get((digest, row["asset_key"]), (order,))[0]:
            self._lost[digest, row["asset_key"]] = (order, str(row["status"]))
        if row["render_key"]:
            render = bytes.fromhex(row["render_fingerprint"])
            if order >= self._masters.get(render, (order,))[0]:
                self._masters[render] = (order, row["render_key"])
        self.takes.add(row, order)
        self.lines.add(row, order)

    def _settle(self, digest: bytes, fingerprint: bytes, row: Row, order: Order) -> None:
        settled = self._settled.setdefault(digest, {})
        before = settled.get(fingerprint)
        delivered = order if row["status"] == Status.DELIVERED else None
        if before and before.delivered:
            delivered = max(before.delivered, delivered or before.delivered)
        if before and before.order > order:
            before.delivered = delivered
            return
        settled[fingerprint] = _Settled(
            status=str(row["status"]),
            asset_key=row["asset_key"] or (before.asset_key if before else None),
            covers=covers_hash(row["covers"]),
            attempts=row["attempts"] or 0,
            verdict=row["verdict"] and sys.intern(row["verdict"]),
            order=order,
            delivered=delivered,
        )

    def _fail(self, digest: bytes, fingerprint: bytes, row: Row, order: Order) -> None:
        failed = self._failed.setdefault(digest, {})
        if fingerprint not in failed or failed[fingerprint].order <= order:
            failed[fingerprint] = Known(
                status=Status.FAILED.value,
                asset_key=None,
                covers=covers_hash(row["covers"]),
                attempts=row["attempts"] or 0,
                final=bool(row["final"]),
                reason=row["reason"],
                has_bytes=False,
                verdict=row["verdict"],
                order=order,
            )

    def known(self, identity: bytes, fingerprint: bytes) -> Known | None:
        """What counts for one (identity, fingerprint)."""
        settled = self._settled.get(identity, {}).get(fingerprint)
        failed = self._failed.get(identity, {}).get(fingerprint)
        if settled is None:
            return failed
        lost = self._lost.get((identity, settled.asset_key or ""))
        if lost and settled.delivered and settled.delivered > lost[0]:
            lost = None
        if lost and settled.status == Status.DELIVERED:
            if failed and failed.order > lost[0]:
                return failed
            return self._counts(settled, lost[1], has_bytes=False)
        return self._counts(settled, settled.status, has_bytes=lost is None and settled.asset_key is not None)

    def _counts(self, settled: _Settled, status: str, has_bytes: bool) -> Known:
        return Known(
            status=status,
            asset_key=settled.asset_key,
            covers=settled.covers,
            attempts=settled.attempts,
            final=True,
            reason=None,
            has_bytes=has_bytes,
            verdict=settled.verdict,
            order=settled.order,
        )

    def current(self, identity: bytes) -> tuple[bytes, Known] | None:
        """Fingerprint and row that count for an identity now."""
        fingerprints = {*self._settled.get(identity, ()), *self._failed.get(identity, ())}
        counted = ((fingerprint, self.known(identity, fingerprint)) for fingerprint in fingerprints)
        found = [(known.order, fingerprint, known) for fingerprint, known in counted if known]
        return max(found, key=lambda item: item[:2])[1:] if found else None

    def has(self, identity: bytes, fingerprint: str) -> bool:
        """Whether this is delivered, has its bytes, and is what counts for the identity now."""
        current = self.current(identity)
        return current is not None and current[1].is_delivered and current[0].hex() == fingerprint

    def master(self, render_fingerprint: str) -> str | None:
        """Key of the last committed master of this render; None for a name that is no fingerprint."""
        try:
            found = self._masters.get(bytes.fromhex(render_fingerprint))
        except ValueError:  # a folder of the journal that somebody made by hand
            return None
        return found[1] if found else None

    def standing(self) -> Iterator[tuple[Identity, str, Known]]:
        """Every identity that counts as delivered now, with its fingerprint; its bytes may be gone."""
        for digest, identity in self._identities.items():
            current = self.current(digest)
            if current and current[1].stands:
                yield identity, current[0].hex(), current[1]

    def currents(self) -> Iterator[tuple[bytes, bytes, Known]]:
        """Digest, fingerprint and row of every identity."""
        for digest in self._identities:
            if current := self.current(digest):
                yield digest, *current

    def __len__(self) -> int:
        return len(self._identities)


def _of_campaign(table: pa.Table, campaign: str | None) -> pa.Table:
    return table if campaign is None else table.filter(pc.equal(table["campaign"], campaign))


_PLACE = with_identity("fingerprint", *ORDER_COLUMNS)


def rows_at(store: Store, wanted: Mapping[Pair, Order]) -> Iterator[tuple[Pair, Row]]:
    """The whole rows that stand at some places of the history, each once, without their commit."""
    for pairs, table in _tables_at(store, wanted):
        yield from zip(pairs, rows_of(table), strict=True)


def _tables_at(
    store: Store, wanted: Mapping[Pair, Order], unread: list[UnreadCommit] | None = None
) -> Iterator[tuple[list[Pair], pa.Table]]:
    left = dict(wanted)
    for table in read_commits(store, keys={order[-1] for order in wanted.values()}, unread=unread):
        pairs, places = [], []
        for place, row in enumerate(rows_of(table.select([*_PLACE, "commit"]))):
            pair = pair_of(row)
            if left.get(pair) == order_of(row):
                del left[pair]
                pairs.append(pair)
                places.append(place)
        yield pairs, table.select(ASSETS.names).take(pa.array(places, pa.int64()))


def read_current(
    store: Store, campaign: str | None = None, masters: bool = False, unread: list[UnreadCommit] | None = None
) -> pa.Table:
    """The current view of the asset catalog: one row an asset, whose status says what became of its bytes.

    Args:
        masters: also the rows of masters, which are no assets.
        unread: takes the commits that cannot be read, which then are passed over; else the first is raised.
    """
    history = History.read(store, campaign, unread)
    currents = {(digest, fingerprint): known for digest, fingerprint, known in history.currents()}
    known_unread = len(unread or ())
    tables = [ASSETS.empty_table()]
    for pairs, table in _tables_at(store, {pair: known.order for pair, known in currents.items()}, unread):
        status = pa.array([currents[pair].status for pair in pairs], pa.string())
        tables.append(table.set_column(table.schema.get_field_index("status"), "status", status).cast(ASSETS))
    if len(unread or ()) > known_unread:  # in a column that the history does not need: what stood before it counts
        return read_current(store, campaign, masters, unread)
    table = pa.concat_tables(tables)
    is_asset = [not is_master(row) for row in rows_of(table.select(["channel", "master"]))]
    return table if masters else table.filter(pa.array(is_asset, pa.bool_()))


def covers_of(store: Store, history: History, identities: Collection[Identity]) -> dict[Identity, list[str]]:
    """The products that the current row of each of some assets covers."""
    wanted = _orders(history, identities)
    return {identity_of(row): row["covers"] or [] for _, row in rows_at(store, wanted)}


def _orders(history: History, identities: Iterable[Identity]) -> dict[Pair, Order]:
    found = ((identity.digest(), history.current(identity.digest())) for identity in identities)
    return {(digest, current[0]): current[1].order for digest, current in found if current}
