"""The asset catalog: append-only commits, the record of truth of what was delivered.

A commit is one Parquet file under `catalog/<run_id>/`, created exclusively, named by a hash of what it holds.
Readers see a history and keep, by a rule that gives everybody the same answer:

1. Rows are ordered by (created_at, run_id, attempt_id, the commit's key).
2. For one (identity, fingerprint) the last delivered or retired row counts; only where there is none, the
   last failed one: a late failure never hides what was delivered.
3. The current row of an identity is the last of those.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogs.errors import StorageError
from catalogs.identity import Identity, canonical_json
from catalogs.storage.store import Store

CATALOG = "catalog/"
READERS = 8

REFERENCE = pa.struct(
    [
        ("uri", pa.string()),
        ("sha256", pa.string()),
        ("role", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("licence", pa.string()),
        ("licence_end", pa.date32()),
        ("territories", pa.list_(pa.string())),
    ]
)

ASSETS = pa.schema(
    [
        ("campaign", pa.string()),
        ("kind", pa.string()),
        ("brand_id", pa.string()),
        ("look", pa.string()),
        ("product_id", pa.string()),
        ("covers", pa.list_(pa.string())),
        ("shot", pa.string()),
        ("channel", pa.string()),
        ("variation", pa.int32()),
        ("take", pa.int32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("attempts", pa.int32()),
        ("final", pa.bool_()),
        ("asset_key", pa.string()),
        ("render_key", pa.string()),
        ("render_fingerprint", pa.string()),
        ("fingerprint", pa.string()),
        ("sha256", pa.string()),
        ("pixel_sha256", pa.string()),
        ("bytes", pa.int64()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("prompt", pa.string()),
        ("prompt_used", pa.string()),
        ("references", pa.list_(REFERENCE)),
        ("engine", pa.string()),
        ("model", pa.string()),
        ("model_revision", pa.string()),
        ("versions", pa.map_(pa.string(), pa.string())),
        ("seed", pa.int64()),
        ("steps", pa.int32()),
        ("guidance", pa.float64()),
        ("batch_size", pa.int32()),
        ("seconds", pa.float64()),
        ("cost", pa.float64()),
        ("quality", pa.map_(pa.string(), pa.float64())),
        ("ai_label_required", pa.bool_()),
        ("has_person", pa.bool_()),
        ("run_id", pa.string()),
        ("shard", pa.int32()),
        ("attempt_id", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)
IDENTITY_COLUMNS = ("campaign", "kind", "brand_id", "look", "shot", "channel", "variation")
KNOWN_COLUMNS = (
    *IDENTITY_COLUMNS,
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


class Status(StrEnum):
    """What a row of the asset catalog says of its asset."""

    DELIVERED = "delivered"
    FAILED = "failed"
    RETIRED = "retired"


def identity_of(row: Mapping[str, Any]) -> Identity:
    """The identity in a row of the asset catalog or of a plan."""
    return Identity(**{column: row[column] for column in IDENTITY_COLUMNS})


def covers_hash(covers: Sequence[str] | None) -> bytes:
    """Stands for a list of covered products in memory."""
    return hashlib.blake2b("\x1f".join(covers or ()).encode(), digest_size=8).digest()


class Clock:
    """Commit times that never run behind what is already committed, on whatever machine.

    Args:
        floor: the latest `created_at` of the history a plan was made against.
    """

    def __init__(self, floor: datetime | None = None) -> None:
        self._floor = floor

    def now(self) -> datetime:
        """UTC with microseconds, later than the floor."""
        now = datetime.now(UTC)
        return now if self._floor is None else max(now, self._floor + timedelta(microseconds=1))


def commit(store: Store, run_id: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Commit rows; their bytes must be stored already. Returns the commit's key.

    The key is a hash of identities, fingerprints and outcomes, so that a repeated commit of one outcome is
    the same commit: the first to arrive counts, whoever's answer was lost.

    Raises:
        StorageError: the store did not take it.
    """
    if not rows:
        raise StorageError("a commit needs rows")
    key = f"{CATALOG}{run_id}/{_commit_name(rows)}.parquet"
    store.create(key, encode_rows(rows))
    return key


def _commit_name(rows: Sequence[Mapping[str, Any]]) -> str:
    outcome = sorted(
        (identity_of(row).digest().hex(), row["fingerprint"], row["status"], row["attempts"]) for row in rows
    )
    return hashlib.sha256(canonical_json(outcome).encode()).hexdigest()[:32]


def encode_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema = ASSETS) -> bytes:
    """Parquet bytes in memory: a writer streaming into a store commits half a file on an exception."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def commit_keys(store: Store) -> list[str]:
    """Keys of all commits, in order."""
    return sorted(key for key in store.list(CATALOG) if key.endswith(".parquet"))


def read_commit(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One commit with a `commit` column naming its key.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        table = pq.read_table(io.BytesIO(store.read(key)), columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{store.uri(key)} is not a readable commit: {error}") from None
    return table.append_column("commit", pa.array([key] * table.num_rows, pa.string()))


def read_commits(store: Store, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Every commit, a few read at a time."""
    keys = commit_keys(store)
    with ThreadPoolExecutor(READERS) as pool:
        # Windows of a few files: a million rows must not sit in a queue of futures.
        for start in range(0, len(keys), 4 * READERS):
            window = keys[start : start + 4 * READERS]
            yield from pool.map(lambda key: read_commit(store, key, columns), window)


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


class History:
    """An index of the asset catalog for planning: some hundred bytes a row, whatever the rows hold."""

    def __init__(self, table: pa.Table) -> None:
        self._known: dict[bytes, dict[bytes, Known]] = {}
        self._masters: dict[bytes, str] = {}
        self.latest: datetime | None = None
        self._identities: dict[bytes, Identity] = {}
        for order, row in enumerate(_rows(table)):
            self._add(order, row)

    @classmethod
    def read(cls, store: Store, campaign: str) -> History:
        return cls(read_history(store, campaign, KNOWN_COLUMNS))

    def _add(self, order: int, row: Mapping[str, Any]) -> None:
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
            status=row["status"],
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


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def current_rows(table: pa.Table) -> pa.Table:
    """The rows of a sorted history that count now, by the rule at the top of this module."""
    best: dict[tuple[bytes, str], tuple[int, str]] = {}
    for order, row in enumerate(_rows(table.select([*IDENTITY_COLUMNS, "fingerprint", "status"]))):
        key = (identity_of(row).digest(), row["fingerprint"])
        if key in best and row["status"] == Status.FAILED and best[key][1] != Status.FAILED:
            continue
        best[key] = (order, row["status"])
    last: dict[bytes, int] = {}
    for (identity, _), (order, _) in best.items():
        last[identity] = max(order, last.get(identity, -1))
    return table.take(pa.array(sorted(last.values()), pa.int64()))


def read_current(store: Store, campaign: str | None = None) -> pa.Table:
    """The current view of the asset catalog: one row an identity."""
    return current_rows(read_history(store, campaign))


def named_content(store: Store) -> Iterator[tuple[str | None, str | None, str]]:
    """(asset key, master key, SHA-256 of the asset) of every row of every commit, current or not."""
    columns = ("asset_key", "render_key", "sha256")
    for table in read_commits(store, columns):
        yield from zip(*(table[column].to_pylist() for column in columns), strict=True)
