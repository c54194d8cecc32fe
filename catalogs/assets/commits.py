"""The asset catalog: append-only commits, the record of truth of what was delivered.

A commit is one Parquet file under `catalog/<run_id>/`, created exclusively, named by a hash of what it holds. What
many commits mean together is told in `history`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.columns import ASSETS, IDENTITY, Row
from catalogs.errors import StorageError
from catalogs.identity import Identity, canonical_json
from catalogs.storage.store import Store

CATALOG = "catalog/"
READERS = 8


class Status(StrEnum):
    """What a row of the asset catalog says of its asset."""

    DELIVERED = "delivered"
    FAILED = "failed"
    RETIRED = "retired"


def identity_of(row: Row) -> Identity:
    """The identity in a row of the asset catalog or of a plan."""
    held = cast(Mapping[str, Any], row)
    return Identity(**{name: held[name] for name in IDENTITY})


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


def commit(store: Store, run_id: str, rows: Sequence[Row]) -> str:
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


def _commit_name(rows: Sequence[Row]) -> str:
    outcome = sorted(
        (identity_of(row).digest().hex(), row["fingerprint"], row["status"], row["attempts"]) for row in rows
    )
    return hashlib.sha256(canonical_json(outcome).encode()).hexdigest()[:32]


def encode_rows(rows: Sequence[Row], schema: pa.Schema = ASSETS) -> bytes:
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
    wanted = list(columns) if columns else None
    try:
        # In this thread alone: what Arrow's own threads hold of Python's bytes they may free while the interpreter
        # ends, and that aborts the process (exit code -6 in one of some hundred runs of a busy machine).
        with pq.ParquetFile(pa.BufferReader(store.read(key))) as file:
            table = file.read(columns=wanted, use_threads=False)
        table = table.select(wanted) if wanted else table
    except (pa.ArrowException, KeyError, OSError) as error:
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


def rows_of(table: pa.Table) -> Iterator[Row]:
    """The rows of a table, a few thousand in memory at a time."""
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def named_content(store: Store) -> Iterator[tuple[str | None, str | None, str]]:
    """(asset key, master key, SHA-256 of the asset) of every row of every commit, current or not."""
    columns = ("asset_key", "render_key", "sha256")
    for table in read_commits(store, columns):
        yield from zip(*(table[column].to_pylist() for column in columns), strict=True)
