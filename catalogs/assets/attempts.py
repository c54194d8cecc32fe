"""Every take of the requests that have more than one, with what was said of each: what an asset might have been.

The record keeps what does not stand any more, too. Here it is read once more, for those alone who show it; of a request
with a single take nothing is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from sys import intern
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import Status, UnreadCommit, identity_of, read_commits, rows_of
from catalogs.assets.orders import ORDER_COLUMNS, Order, order_of
from catalogs.columns import ASSETS, Row, is_master, with_identity
from catalogs.storage.store import Store

_SHOWN = with_identity(
    "master",
    "take",
    "take_of",
    "status",
    "reason",
    "detail",
    "render_fingerprint",
    "asset_key",
    "sha256",
    "verdict",
    "score",
    *ORDER_COLUMNS,
)
TOLD = pa.schema([*(ASSETS.field(name) for name in _SHOWN), pa.field("commit", pa.string())])
"""What is read of a row."""
_KEPT = ("take", "reason", "verdict", "score", "asset_key", "sha256")
_OF_FILES = [status.value for status in (Status.DELIVERED, Status.FAILED, Status.MISSING, Status.PRUNED)]


class Attempts:
    """Takes by asset and request: some hundred bytes a take, and about a kilobyte while they are read.

    Args:
        rows: rows of the record as `TOLD`, in whatever order they come.
    """

    def __init__(self, rows: pa.Table) -> None:
        by_asset: dict[bytes, list[_Counted]] = {}
        for (asset, _), counted in sorted(_counting(rows).items()):
            by_asset.setdefault(asset, []).append(counted)
        several = {asset: found for asset, found in by_asset.items() if len(found) > 1}
        self._counted = [counted for found in several.values() for counted in found]
        self._rows = rows.select(_KEPT).take(pa.array([counted.place for counted in self._counted], pa.int64()))
        self._places: dict[bytes, tuple[int, int]] = {}
        start = 0
        for asset, found in several.items():
            self._places[asset] = (start, start + len(found))
            start += len(found)

    @classmethod
    def read(cls, store: Store, campaign: str, unread: list[UnreadCommit]) -> Attempts:
        """The takes of a campaign.

        Args:
            unread: takes the commits that cannot be read, which then are passed over.
        """
        requests = _requests_with_takes(store, campaign, unread)
        if not len(requests):
            return cls(TOLD.empty_table())
        kept = [TOLD.empty_table()]
        for table in read_commits(store, _SHOWN, unread=unread):
            asked = pc.coalesce(table["take_of"], table["render_fingerprint"])
            is_wanted = pc.and_(pc.is_in(asked, requests), pc.is_in(table["status"], pa.array(_OF_FILES)))
            table = table.filter(pc.and_(is_wanted, pc.equal(table["campaign"], campaign)))
            kept.append(table.cast(TOLD))
        return cls(pa.concat_tables(kept))

    def of(self, row: Row) -> list[Row]:
        """What a gallery shows of all takes of an asset's request, in order; none where its right has ended.

        A request with one take has none. Their `status` is `missing` or `pruned` where their file is gone, `failed`
        where none was ever delivered.
        """
        if row.get("status") == Status.WITHDRAWN or not row.get("render_fingerprint"):
            return []
        start, stop = self._places.get(_asset_of(row), (0, 0))
        told = zip(rows_of(self._rows.slice(start, stop - start)), self._counted[start:stop], strict=True)
        return [{**take, "status": counted.status, "detail": counted.detail} for take, counted in told]

    def __len__(self) -> int:
        return len(self._places)


def _requests_with_takes(store: Store, campaign: str, unread: list[UnreadCommit]) -> pa.Array:
    """Render fingerprints at take 0 of what was taken again."""
    found: set[str] = set()
    for table in read_commits(store, ["campaign", "take", "take_of"], unread=unread):
        is_later = pc.and_(pc.equal(table["campaign"], campaign), pc.greater(table["take"], 0))
        found.update(pc.unique(table.filter(is_later)["take_of"].drop_null()).to_pylist())
    return pa.array(sorted(found), pa.string())


def _asset_of(row: Row) -> bytes:
    asked = row.get("take_of") or row["render_fingerprint"]
    return blake2b(identity_of(row).digest() + bytes.fromhex(asked), digest_size=16).digest()


class _Event(NamedTuple):
    """What a row says of a take."""

    order: Order
    place: int
    take: tuple[bytes, int]
    status: str
    key: str | None
    detail: str | None


@dataclass(slots=True)
class _Counted:
    """The row that counts of a take.

    Attributes:
        status: what became of its file.
        detail: what was said of that file; a row that only says it again may say less.
    """

    place: int
    status: str
    key: str | None
    detail: str | None


def _events(rows: pa.Table) -> Iterator[_Event]:
    orders: dict[Order, Order] = {}
    for place, row in enumerate(rows_of(rows)):
        if not is_master(row):
            order = order_of(row)
            order = orders.setdefault(order, order)  # one for all rows of a commit
            take = (_asset_of(row), row["take"] or 0)
            yield _Event(order, place, take, intern(str(row["status"])), row["asset_key"], row["detail"])


def _counting(rows: pa.Table) -> dict[tuple[bytes, int], _Counted]:
    """What counts of each take.

    The last delivered row counts, else the last failed one; a later row may say that its file is gone.
    """
    counting: dict[tuple[bytes, int], _Counted] = {}
    for event in sorted(_events(rows), key=lambda event: event[:2]):
        before = counting.get(event.take)
        if event.status in (Status.MISSING, Status.PRUNED):
            if before and before.key == event.key:
                before.status = event.status
        elif event.status == Status.DELIVERED or before is None or before.status == Status.FAILED:
            known = before.detail if before and before.key == event.key else None
            counting[event.take] = _Counted(event.place, event.status, event.key, event.detail or known)
    return counting
