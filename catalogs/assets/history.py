"""What the commits of the asset catalog mean: who is delivered now, and what is known of what was asked for.

1. Rows are ordered by (created_at, run_id, attempt_id, the commit's key).
2. For one (identity, fingerprint) the last delivered or retired row counts; only where there is none, the
   last failed one: a late failure never hides what was delivered.
3. The current row of an identity is the last of those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.assets.commits import Status, covers_hash, identity_of, read_commits, rows_of
from catalogs.columns import ASSETS, Row, with_identity
from catalogs.identity import Identity
from catalogs.storage.store import Store


def read_history(store: Store, campaign: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of the asset catalog in the order of rule 1."""
    tables = [_of_campaign(table, campaign) for table in read_commits(store, columns)]
    if not tables:
        schema = ASSETS if columns is None else pa.schema([ASSETS.field(name) for name in columns])
        tables = [pa.schema([*schema, ("commit", pa.string())]).empty_table()]
    table = pa.concat_tables(tables, promote_options="default")
    return table.sort_by([(name, "ascending") for name in ("created_at", "run_id", "attempt_id", "commit")])


def _of_campaign(table: pa.Table, campaign: str | None) -> pa.Table:
    return table if campaign is None else table.filter(pc.equal(table["campaign"], campaign))


@dataclass(frozen=True, slots=True)
class Known:
    """What the history says of one (identity, fingerprint).

    Attributes:
        order: position in the history; larger is later.
    """

    status: str
    asset_key: str | None
    covers: bytes
    attempts: int
    final: bool
    reason: str | None
    order: int


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
    "run_id",
    "attempt_id",
    "created_at",
)


class History:
    """An index of the asset catalog for planning: some hundred bytes a row, whatever the rows hold."""

    def __init__(self, table: pa.Table) -> None:
        self._known: dict[bytes, dict[bytes, Known]] = {}
        self._masters: dict[bytes, str] = {}
        self.latest: datetime | None = None
        self._identities: dict[bytes, Identity] = {}
        for order, row in enumerate(rows_of(table)):
            self._add(order, row)

    @classmethod
    def read(cls, store: Store, campaign: str) -> History:
        return cls(read_history(store, campaign, _KNOWN))

    def _add(self, order: int, row: Row) -> None:
        identity = identity_of(row)
        digest, fingerprint = identity.digest(), bytes.fromhex(row["fingerprint"])
        by_fingerprint = self._known.setdefault(digest, {})
        before = by_fingerprint.get(fingerprint)
        self.latest = row["created_at"]
        self._identities[digest] = identity
        if row["render_key"]:
            self._masters[bytes.fromhex(row["render_fingerprint"])] = row["render_key"]
        if before and row["status"] == Status.FAILED and before.status != Status.FAILED:
            return
        by_fingerprint[fingerprint] = Known(
            status=str(row["status"]),
            asset_key=row["asset_key"] or (before.asset_key if before else None),
            covers=covers_hash(row["covers"]),
            attempts=row["attempts"] or 0,
            final=bool(row["final"]),
            reason=row["reason"],
            order=order,
        )

    def current(self, identity: bytes) -> tuple[bytes, Known] | None:
        """Fingerprint and row that count for an identity now."""
        known = self._known.get(identity)
        return max(known.items(), key=lambda item: item[1].order) if known else None

    def known(self, identity: bytes, fingerprint: bytes) -> Known | None:
        return self._known.get(identity, {}).get(fingerprint)

    def master(self, render_fingerprint: str) -> str | None:
        """Key of a committed master of this render."""
        return self._masters.get(bytes.fromhex(render_fingerprint))

    def delivered(self) -> Iterator[tuple[Identity, str]]:
        """Every identity that is delivered now, with its fingerprint."""
        for digest, identity in self._identities.items():
            current = self.current(digest)
            if current and current[1].status == Status.DELIVERED:
                yield identity, current[0].hex()

    def __len__(self) -> int:
        return len(self._known)


def current_rows(table: pa.Table) -> pa.Table:
    """The rows of a sorted history that count now, by the rule at the top of this module."""
    best: dict[tuple[bytes, str], tuple[int, str]] = {}
    for order, row in enumerate(rows_of(table.select(with_identity("fingerprint", "status")))):
        key = (identity_of(row).digest(), row["fingerprint"])
        if key in best and row["status"] == Status.FAILED and best[key][1] != Status.FAILED:
            continue
        best[key] = (order, str(row["status"]))
    last: dict[bytes, int] = {}
    for (identity, _), (order, _) in best.items():
        last[identity] = max(order, last.get(identity, -1))
    return table.take(pa.array(sorted(last.values()), pa.int64()))


def read_current(store: Store, campaign: str | None = None) -> pa.Table:
    """The current view of the asset catalog: one row an identity."""
    return current_rows(read_history(store, campaign))


def covers_of(store: Store, campaign: str, identities: Collection[Identity]) -> dict[Identity, list[str]]:
    """The products that the last row of each of some assets covers."""
    wanted = set(identities)
    columns = with_identity("covers", "created_at", "run_id", "attempt_id")
    found: dict[Identity, list[str]] = {}
    for row in rows_of(read_history(store, campaign, columns)):
        identity = identity_of(row)
        if identity in wanted:
            found[identity] = row["covers"] or []
    return found
