"""The asset catalog: append-only commits, the record of truth of what was delivered.

A commit is one Parquet file under `catalog/<run_id>/`, created exclusively, named by a hash of what it holds. What
many commits mean together is told in `history`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.assets.starts import ordered_at
from catalogs.columns import ASSETS, IDENTITY, Row, filled
from catalogs.errors import StorageError
from catalogs.identity import Identity, canonical_json
from catalogs.storage.store import Store

CATALOG = "catalog/"
READERS = 8
ROWS_A_COMMIT = 5_000
_LATER = frozenset(("master", "upstream_references", "territory", "ordered_at", "step"))
"""Columns that rows have only since 2026-11-21."""


class Status(StrEnum):
    """What a row of the asset catalog says of its asset."""

    DELIVERED = "delivered"
    FAILED = "failed"
    RETIRED = "retired"  # wanted no longer
    WITHDRAWN = "withdrawn"  # a right it needs has ended
    MISSING = "missing"  # its file is gone, or not what was written
    PRUNED = "pruned"  # its file was deleted by a rule


class Step(IntEnum):
    """The steps of a start, in the order in which its rows count."""

    WITHDRAW = 1
    RESTATE = 2
    RENDER = 3
    RETIRE = 4
    VERIFY = 5


def identity_of(row: Row) -> Identity:
    """The identity in a row of the asset catalog or of a plan."""
    held = cast(Mapping[str, Any], row)
    return Identity(**{name: held[name] for name in IDENTITY})


Pair = tuple[bytes, bytes]
"""An identity's digest and a fingerprint: which asset, and what was asked of it."""


def pair_of(row: Row) -> Pair:
    """The pair in a row of the asset catalog or of a plan."""
    return identity_of(row).digest(), bytes.fromhex(row["fingerprint"])


def covers_hash(covers: Sequence[str] | None) -> bytes:
    """Stands for a list of covered products in memory."""
    return hashlib.blake2b("\x1f".join(covers or ()).encode(), digest_size=8).digest()


def commit(store: Store, run_id: str, step: Step, rows: Iterable[Row]) -> str:
    """Commit rows as a step of a start; their bytes must be stored already. Returns the commit's key.

    The key is a hash of all that the rows say but of the time, so that a commit repeated because its answer was lost
    is the same commit, and two outcomes are never one.

    Raises:
        StorageError: the store did not take it.
    """
    start: Row = {"run_id": run_id, "ordered_at": ordered_at(run_id), "step": step.value}
    stamp: Row = {**start, "created_at": datetime.now(UTC)}
    stamped: list[Row] = [{**row, **stamp} for row in rows]
    if not stamped:
        raise StorageError("a commit needs rows")
    table = pa.Table.from_pylist([dict(row) for row in stamped], schema=ASSETS)
    key = f"{CATALOG}{run_id}/{_commit_name(table)}.parquet"
    store.create(key, _encode(table))
    return key


def commit_all(store: Store, run_id: str, step: Step, rows: Sequence[Row]) -> int:
    """`commit` for any number of rows, none included, a few thousand a commit. Returns how many."""
    for start in range(0, len(rows), ROWS_A_COMMIT):
        commit(store, run_id, step, rows[start : start + ROWS_A_COMMIT])
    return len(rows)


def _commit_name(table: pa.Table) -> str:
    lines = sorted(canonical_json(row) for row in table.drop_columns("created_at").to_pylist())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _encode(table: pa.Table) -> bytes:
    """Parquet bytes in memory: a writer streaming into a store commits half a file on an exception."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def commit_keys(store: Store) -> list[str]:
    """Keys of all commits, in order."""
    return sorted(key for key in store.list(CATALOG) if key.endswith(".parquet"))


def read_commit(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One commit with a `commit` column naming its key; columns that it is too old for are null.

    Raises:
        StorageError: it cannot be read.
    """
    wanted = list(columns) if columns else None
    try:
        # In this thread alone: what Arrow's own threads hold of Python's bytes they may free while the interpreter
        # ends, and that aborts the process (exit code -6 in one of some hundred runs of a busy machine).
        with pq.ParquetFile(pa.BufferReader(store.read(key))) as file:
            table = file.read(columns=wanted, use_threads=False)
        table = filled(table, _LATER.intersection(wanted or ASSETS.names))
        table = table.select(wanted) if wanted else table
    except (pa.ArrowException, KeyError, OSError) as error:
        raise StorageError(f"{store.uri(key)} is not a readable commit: {error}") from None
    return table.append_column("commit", pa.array([key] * table.num_rows, pa.string()))


def read_commits(
    store: Store, columns: Sequence[str] | None = None, keys: Iterable[str] | None = None
) -> Iterator[pa.Table]:
    """Every commit, or some of them, in the order of their keys, a few read at a time."""
    wanted = commit_keys(store) if keys is None else sorted(keys)
    with ThreadPoolExecutor(READERS) as pool:
        # Windows of a few files: a million rows must not sit in a queue of futures.
        for start in range(0, len(wanted), 4 * READERS):
            window = wanted[start : start + 4 * READERS]
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
