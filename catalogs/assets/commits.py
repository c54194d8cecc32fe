"""The asset catalog: append-only commits, the record of truth of what was delivered.

A commit is one Parquet file under `catalog/<run_id>/`, created exclusively, named by a hash of what it holds. What
many commits mean together is told in `history`.

Its schema metadata carry the version of its format, which is in no name. One that cannot be read stops whoever would
write on the ground of the record; who only tells what it says passes it over, and says that.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from shlex import quote
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.assets.shapes import JUDGED, OF_BAD_BYTES, NoCommit, conformed, refuse_bad_rows, refuse_other_kinds
from catalogs.assets.starts import ordered_at
from catalogs.columns import ASSETS, IDENTITY, Row, filled
from catalogs.errors import NewerFormat, StorageError, UserError
from catalogs.identity import Identity, canonical_json, thumbnail_key
from catalogs.storage.store import Store

CATALOG = "catalog/"
READERS = 8
ROWS_A_COMMIT = 5_000
COMMIT_FORMAT = 1
"""The newest format of a commit that is read here, and the one that is written; a file without one is of the first."""
DIGEST_KEY = b"packshot.digest"
FORMAT_KEY = b"packshot.format"
_LATER = frozenset(
    (
        "master",
        "upstream_references",
        "territory",
        "ordered_at",
        "step",
        "seed_device",
        "title",
        "verdict",
        "take_of",
        "score",
        "judged_by",
        "line",
    )
)
"""Columns that rows have only since 2026-11-21 or later."""


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
    PRUNE = 6


class UnreadCommit(UserError):
    """A commit that is there and cannot be read: damaged, foreign, or of a newer packshot.

    Attributes:
        key: its key in the store.
        is_newer: a newer packshot reads it: it is no case for the quarantine.
    """

    def __init__(self, uri: str, key: str, problem: str, is_newer: bool, campaign: str = "CAMPAIGN") -> None:
        self.key, self.is_newer, self.campaign = key, is_newer, campaign
        fix = "upgrade packshot" if is_newer else f"move it aside with `packshot verify {campaign} --quarantine`"
        super().__init__(uri, "", problem, fix)

    def naming(self, campaign: str) -> UnreadCommit:
        """The same, with the campaign's file in its advice."""
        return UnreadCommit(self.source, self.key, self.problem, self.is_newer, quote(campaign))

    def as_dict(self) -> dict[str, str]:
        """Which, why, and what to do, for machines."""
        return {"commit": self.source, "problem": self.problem, "fix": self.fix}

    def __reduce__(self) -> tuple[Any, ...]:
        return UnreadCommit, (self.source, self.key, self.problem, self.is_newer, self.campaign)


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


def commit(store: Store, run_id: str, step: Step, rows: Iterable[Row], then: Iterable[Row] = ()) -> str:
    """Commit rows as a step of a start; their bytes must be stored already. Returns the commit's key.

    The key is a hash of all that the rows say but of the time, so that a commit repeated because its answer was lost
    is the same commit, and two outcomes are never one.

    Args:
        then: rows that count after the others, of the same assets too.

    Raises:
        StorageError: the store did not take it.
    """
    start: Row = {"run_id": run_id, "ordered_at": ordered_at(run_id), "step": step.value}
    now = datetime.now(UTC)
    times = ((now, rows), (now + timedelta(microseconds=1), then))
    stamped: list[Row] = [{**row, **start, "created_at": time} for time, some in times for row in some]
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
    versioned = table.replace_schema_metadata({FORMAT_KEY: str(COMMIT_FORMAT).encode()})
    with pq.ParquetWriter(buffer, versioned.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(versioned)
        rows = buffer.getvalue()
        # Checksums of pages tell damage to the columns that are read; this tells it whatever is read.
        writer.add_key_value_metadata({DIGEST_KEY: f"{len(rows)}.{hashlib.sha256(rows).hexdigest()}"})
    return buffer.getvalue()


def _refuse_damage(data: bytes, metadata: Mapping[bytes, bytes]) -> None:
    """Raises NoCommit where the rows are not those that were written; who rewrites a commit drops the digest."""
    length, _, digest = metadata.get(DIGEST_KEY, b"").partition(b".")
    if digest and (not length.isdigit() or hashlib.sha256(data[: int(length)]).hexdigest().encode() != digest):
        raise NoCommit("its bytes were changed or damaged")


def commit_keys(store: Store) -> list[str]:
    """Keys of all commits, in order."""
    return sorted(key for key in store.list(CATALOG) if key.endswith(".parquet"))


def read_commit(store: Store, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One commit with a `commit` column naming its key; columns that it is too old for are null.

    Raises:
        UnreadCommit: what lies there is no commit that can be read.
        StorageError: the store does not answer, or it is gone.
    """
    data = store.read(key)
    try:
        table = decode_commit(data, columns)
    except NoCommit as error:
        problem = f"is not a readable commit: {' '.join(str(error).split())[:200]}"
        raise UnreadCommit(store.uri(key), key, problem, is_newer=False) from None
    except NewerFormat as error:
        raise UnreadCommit(store.uri(key), key, str(error), is_newer=True) from None
    return table.append_column("commit", pa.array([key] * table.num_rows, pa.string()))


def decode_commit(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows in the bytes of a commit, whoever wrote or rewrote it.

    Raises:
        NoCommit: it holds no rows of a commit.
        NewerFormat: its format is newer than `COMMIT_FORMAT`.
    """
    wanted = list(columns) if columns else ASSETS.names
    needed = [name for name in ASSETS.names if name in {*wanted, *JUDGED}]
    try:
        # In this thread alone, and from memory: what Arrow's own threads hold of Python's bytes they may free while the
        # interpreter ends, and that aborts the process ("terminate called without an active exception", exit code -6).
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            refuse_newer(file.schema_arrow.metadata or {})
            _refuse_damage(data, file.metadata.metadata or {})
            _refuse_foreign(file.schema_arrow.names)
            refuse_other_kinds(file.schema_arrow)
            table = file.read(columns=needed, use_threads=False)
    except OF_BAD_BYTES as error:
        raise NoCommit(str(error) or type(error).__name__) from None
    table = conformed(filled(table, _LATER.intersection(needed)).select(needed))
    refuse_bad_rows(table, [status.value for status in Status])
    return table.select(wanted)


def _refuse_foreign(names: Sequence[str]) -> None:
    for name in ASSETS.names:
        if names.count(name) > 1 or (name not in names and name not in _LATER):
            raise NoCommit(f"it has {'two columns' if name in names else 'no column'} {name!r}")


def refuse_newer(metadata: Mapping[bytes, bytes]) -> None:
    """Raises NewerFormat by what a commit's metadata say, and NoCommit where that is no version."""
    told = metadata.get(FORMAT_KEY, b"1")
    if not told.isdigit() or len(told) > 9:
        raise NoCommit(f"its format is {told[:20]!r}")
    if int(told) > COMMIT_FORMAT:
        raise NewerFormat("commit", int(told), COMMIT_FORMAT)


def read_commits(
    store: Store,
    columns: Sequence[str] | None = None,
    keys: Iterable[str] | None = None,
    unread: list[UnreadCommit] | None = None,
) -> Iterator[pa.Table]:
    """Every commit, or some of them, in the order of their keys, a few read at a time.

    Args:
        unread: takes those that cannot be read, and those in it are passed over; where it is None, the first is raised.
    """
    passed = {error.key for error in unread or ()}
    wanted = [key for key in (commit_keys(store) if keys is None else sorted(keys)) if key not in passed]
    with ThreadPoolExecutor(READERS) as pool:
        # Windows of a few files: a million rows must not sit in a queue of futures.
        for start in range(0, len(wanted), 4 * READERS):
            window = wanted[start : start + 4 * READERS]
            for found in pool.map(lambda key: _read_or_not(store, key, columns), window):
                if isinstance(found, pa.Table):
                    yield found
                elif unread is None:
                    raise found
                else:
                    unread.append(found)


def _read_or_not(store: Store, key: str, columns: Sequence[str] | None) -> pa.Table | UnreadCommit:
    try:
        return read_commit(store, key, columns)
    except UnreadCommit as error:
        return error


def unread_commits(store: Store) -> list[UnreadCommit]:
    """Every commit that cannot be read, whatever of it would be wanted: all columns of all commits are read."""
    unread: list[UnreadCommit] = []
    for _ in read_commits(store, unread=unread):
        pass
    return unread


def rows_of(table: pa.Table) -> Iterator[Row]:
    """The rows of a table, a few thousand in memory at a time."""
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()


def named_keys(store: Store) -> set[str]:
    """Keys of assets, masters, their records and thumbnails that any row of any commit names, current or not.

    Raises:
        UnreadCommit: what it names cannot be known.
    """
    named: set[str] = set()
    for table in read_commits(store, _NAMING):
        named |= _keys_in(table)
    return named


def keys_named(data: bytes) -> set[str] | None:
    """What the bytes of a file that is no commit name all the same; None where that cannot be known.

    A key with a flipped bit would be another key, and what was meant would be swept: damaged bytes tell nothing.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            _refuse_damage(data, file.metadata.metadata or {})
            # Commits of before have no photos of other shots.
            names = [name for name in _NAMING if name != _LATEST or name in file.schema_arrow.names]
            table = file.read(columns=names, use_threads=False)
        return _keys_in(filled(conformed(table.select(names)), _NAMING))
    except (NoCommit, *OF_BAD_BYTES):
        return None


_LATEST = "upstream_references"
_NAMING = ("asset_key", "render_key", "sha256", "references", _LATEST)


def _keys_in(table: pa.Table) -> set[str]:
    named: set[str] = set()
    columns = (table[column].to_pylist() for column in _NAMING)
    for asset_key, render_key, sha256, photos, upstream in zip(*columns, strict=True):
        # A gallery shows the photos a picture was made from, small, as it shows the picture.
        named.update(
            thumbnail_key(photo["sha256"]) for photo in (*(photos or ()), *(upstream or ())) if photo["sha256"]
        )
        if asset_key:
            named.add(asset_key)
        if sha256:
            named.add(thumbnail_key(sha256))
        if render_key:
            named.update((render_key, render_key.removesuffix(".png") + ".json"))
    return named
