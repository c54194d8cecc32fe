"""The plan as a Parquet file: a row an asset, and in its metadata all that rendering it takes."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.campaigns.credentials import Credentials
from catalogs.campaigns.metadata import Metadata
from catalogs.campaigns.watermark import Mark
from catalogs.columns import PLAN, Row, filled
from catalogs.errors import CampaignError, NewerFormat, StorageError
from catalogs.references.places import Places
from catalogs.storage.store import MissingKey, Store

ROW_GROUP = 16_384
PLAN_FORMAT = 4
"""The newest format of a plan that is read here, and the one that is written: a further key of the header makes a newer
one. Headers of the first have the keys of the second; versions that knew no more than it stumbled over those added
since. The third has `seed_device`, the fourth the column `overlay`, without which a file would be finished wrongly."""
PLAN_NAME = "plan.parquet"
METADATA_KEY = b"packshot"
NUMBERS_KEY = b"packshot.numbers"
DIGEST_KEY = b"packshot.digest"
_LATER = frozenset(
    (
        "look_rows",
        "look_marks",
        "master",
        "upstream_references",
        "territory",
        "seed_device",
        "title",
        "overlay",
        "take_of",
    )
)
"""Columns that plans have only since 2026-11-21 or later."""
_LISTS = frozenset(("lora", "reference_roots"))
_FORMER = frozenset(("clock_floor",))
"""Keys that headers of the second format had until then."""
READ_AT_ONCE = 64_000_000  # bytes: what all rows are asked of is then one request, and no thread of Arrow's


@dataclass(frozen=True)
class PlanHeader:
    """What a plan file says of itself, in its schema metadata: enough to render it without the campaign.

    Attributes:
        lora: path, sha256 and scale of each LoRA file, in order.
        seed_device: whose generator draws noise; where that is `cuda`, no machine without it can render the plan.
        channels: finishing rules of every channel, by name.
        partial: made with --only or --limit: it must not retire anything.
        hosted: how a hosted engine is used, the budget included; {} for others.
        server: which image servers render, and what they said; {} for other engines.
        credentials: how files are signed, see catalogs/campaigns/credentials.py; {} where they are not. Never a key.
        metadata: what files tell of themselves that is another than usual, see catalogs/campaigns/metadata.py.
        watermark: what marks files, see catalogs/campaigns/watermark.py; {} where nothing does.
        quality: how its pictures are checked, see catalogs/campaigns/quality.py; {} where they are not.
        attempts: how many takes of a picture there may be; 1 also in a plan that is made as somebody approved it.
        lines: of each shot that checks can reject pictures of, its line, see catalogs/assets/lines.py.
        reference_roots: where photos may come from, see catalogs/references/places.py; None in plans of before.
        signature: what tells the campaign from another of its name, see tasks/takeover.py; {} in plans of before.
    """

    campaign: str
    source: str
    output: str
    run_id: str
    kind: str
    engine: str
    model: str
    model_revision: str
    weight_precision: str
    masters: str
    reference_background: str
    max_reference_pixels: int
    channels: dict[str, dict[str, Any]]
    partial: bool
    created_at: str
    lora: tuple[dict[str, Any], ...] = ()
    seed_device: str = "cpu"
    format: int = PLAN_FORMAT
    hosted: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    watermark: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    lines: dict[str, str] = field(default_factory=dict)
    signature: dict[str, Any] = field(default_factory=dict)
    reference_roots: tuple[str, ...] | None = None

    @property
    def signing(self) -> Credentials | None:
        """How its files are signed, None where they are not.

        Raises:
            ValueError: the plan says of it what no campaign can.
        """
        return Credentials.model_validate(self.credentials) if self.credentials else None

    @property
    def telling(self) -> Metadata:
        """What its files tell of themselves.

        Raises:
            ValueError: the plan says of it what no campaign can.
        """
        return Metadata.model_validate(self.metadata)

    @property
    def mark(self) -> Mark | None:
        """What marks its files, None where nothing does.

        Raises:
            ValueError: the plan says of it what no campaign can.
        """
        return Mark.model_validate(self.watermark) if self.watermark else None

    @cached_property
    def places(self) -> Places:
        """Where its photos may come from."""
        return Places.of(self.reference_roots, self.source)

    def encode(self) -> dict[bytes, bytes]:
        # One that was read of an older format is written in today's.
        said = {**asdict(self), "format": PLAN_FORMAT}
        # Which versions of before do not know.
        for name in ("server", "credentials", "metadata", "watermark", "quality", "lines"):
            if not said[name]:
                del said[name]
        if self.attempts == 1:
            del said["attempts"]
        return {METADATA_KEY: json.dumps(said, sort_keys=True).encode()}


class PlanWriter:
    """Writes plan rows, whole looks to a row group, so that a render never lies in two."""

    def __init__(self, path: Path, header: PlanHeader) -> None:
        self._header = header.encode()
        self._schema = PLAN.with_metadata(self._header)
        self._file = _Digested(path.open("wb"))
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self._flush()
            self._writer.close()
            self._file.close()
            return
        # What is written so far is of no use, and to close it on a full disk would hide why.
        for file in (self._writer, self._file):
            with suppress(pa.ArrowException, OSError):
                file.close()

    def note(self, numbers: Mapping[str, Any]) -> None:
        """End the file: what the plan comes to, which its rows alone cannot say, and a digest of all."""
        self._flush()
        noted = json.dumps(numbers, sort_keys=True).encode()
        self._writer.add_key_value_metadata(
            {NUMBERS_KEY: noted, DIGEST_KEY: self._file.digest(self._header[METADATA_KEY], noted)}
        )

    def add(self, rows: Sequence[Row]) -> None:
        """Add the rows of whole looks."""
        self._rows.extend(rows)
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            # One row group a flush, whatever its length: row_group_size must not split it again.
            table = pa.Table.from_pylist(self._rows, schema=self._schema)
            self._writer.write_table(table, row_group_size=len(self._rows))
        self._rows = []


class _Digested(io.BufferedIOBase):
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self._length = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._length

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._hash.update(content)
        self._length += len(content)
        return self._file.write(content)

    def digest(self, *more: bytes) -> str:
        """Of what is written so far, and of more: its length and SHA-256."""
        return f"{self._length}.{_with(self._hash, more)}"

    def close(self) -> None:
        self._file.close()
        super().close()


def _with(content: Any, more: Iterable[bytes]) -> str:
    whole = content.copy()
    for part in more:
        whole.update(b"\0" + part)
    return str(whole.hexdigest())


class PlanFile:
    """A plan in a store, read a row group at a time.

    Raises:
        CampaignError: the key is missing, or holds no plan or a newer one.
    """

    def __init__(self, store: Store, key: str) -> None:
        self.store, self._key = store, key
        self.uri = store.uri(key)
        if store.is_local:
            self._refuse_what_is_no_file()
        with self._open() as file:
            self.row_groups: int = file.num_row_groups
            self.header = self._read_header(file.schema_arrow.metadata or {})
            self._check_columns(file.schema_arrow)
            self.numbers = self._read_numbers(file.metadata.metadata or {})

    def _refuse_what_is_no_file(self) -> None:
        """Arrow would wait for the writer of a FIFO."""
        with suppress(MissingKey):
            self.store.stat(self._key)

    @contextmanager
    def _open(self, *, at_once: bool = False) -> Iterator[pq.ParquetFile]:
        try:
            with self.store.seam("read", self._key):
                file = self._in_memory() if at_once else self._in_place()
        except MissingKey:
            raise self._problem("there is no such plan") from None
        except (StorageError, pa.ArrowException):
            if self.store.exists(self._key):
                raise self._problem("is not a plan") from None
            raise
        with file, self.store.seam("read", self._key):
            yield file

    def _in_place(self) -> pq.ParquetFile:
        # A local file is Arrow's own: a thread of Arrow's reads it, and one that holds a Python file while the
        # interpreter ends aborts the process, see catalogs/assets/commits.py: decode_commit.
        filesystem = None if self.store.is_local else self.store.filesystem
        return pq.ParquetFile(self.store.path(self._key), filesystem=filesystem)

    def _in_memory(self) -> pq.ParquetFile:
        """Read in this thread alone, where it is not too large."""
        if self.store.stat(self._key).size > READ_AT_ONCE:
            return self._in_place()
        return pq.ParquetFile(pa.BufferReader(self.store.read(self._key)))

    def _problem(self, problem: str) -> CampaignError:
        return CampaignError(self.uri, "", problem, "make one with `packshot plan CAMPAIGN --output FILE`")

    def _read_header(self, metadata: Mapping[bytes, bytes]) -> PlanHeader:
        try:
            header = json.loads(metadata[METADATA_KEY])
        except (KeyError, ValueError):
            raise self._problem("is not a plan") from None
        found = header.get("format") if isinstance(header, dict) else None
        if not isinstance(found, int) or found < 1:
            raise self._problem("is not a plan of a format that is known")
        if found > PLAN_FORMAT:
            raise CampaignError(self.uri, "", str(NewerFormat("plan", found, PLAN_FORMAT)), "upgrade packshot")
        try:
            known = {name: value for name, value in header.items() if name not in _FORMER}
            lists = {name: tuple(known[name]) for name in _LISTS.intersection(known) if known[name] is not None}
            return PlanHeader(**{**known, **lists})
        except TypeError:  # a key too many, or one too few
            raise self._problem("has a header of another version of packshot, or was changed by hand") from None

    def _read_numbers(self, metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
        """What `PlanWriter.note` wrote; {} in a plan of before."""
        try:
            return dict(json.loads(metadata.get(NUMBERS_KEY, b"{}")))
        except (TypeError, ValueError):
            raise self._problem("has numbers that were changed by hand") from None

    def _check_columns(self, schema: pa.Schema) -> None:
        for column in PLAN:
            found = schema.field(column.name).type if schema.names.count(column.name) == 1 else None
            if found != column.type and not (found is None and column.name in _LATER):
                raise self._problem(f"has no column {column.name!r} of type {column.type}")

    def refuse_accidents(self) -> None:
        """Compare the file with the digest it carries; one of before carries none.

        Raises:
            CampaignError: it is not as it was written.
        """
        with self._open() as file:
            metadata = file.metadata.metadata or {}
        length, _, expected = metadata.get(DIGEST_KEY, b"").decode(errors="replace").partition(".")
        if not expected:
            return
        rows = self.store.read(self._key)[: int(length) if length.isdigit() else 0]
        found = _with(hashlib.sha256(rows), (metadata[METADATA_KEY], metadata.get(NUMBERS_KEY, b"")))
        if found != expected:
            raise CampaignError(self.uri, "", "is not as it was written: it was changed or damaged", "plan again")

    def row_group(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """One row group; columns that the plan is too old for are null."""
        with self._open() as file:
            return _read(file, number, columns)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Its row groups in order, one in memory at a time."""
        with self._open(at_once=True) as file:
            for number in range(self.row_groups):
                yield _read(file, number, columns)

    def says_the_same(self, other: PlanFile) -> bool:
        """Whether both ask for the same, row by row, and come to the same; only start and time may differ."""
        mine, theirs = (replace(plan.header, run_id="", created_at="") for plan in (self, other))
        if mine != theirs or self.numbers != other.numbers:
            return False
        pairs = zip_longest(self.tables(), other.tables())
        return all(one is not None and two is not None and one.equals(two) for one, two in pairs)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Some columns of all its rows in order."""
        for table in self.tables(columns):
            yield from table.to_pylist()


def _read(file: pq.ParquetFile, number: int, columns: Sequence[str] | None) -> pa.Table:
    wanted = list(columns) if columns else PLAN.names
    # In this thread, as far as Arrow lets us: see `PlanFile._in_place`.
    table = file.read_row_group(number, columns=wanted, use_threads=False)
    return filled(table, _LATER.intersection(wanted)).select(wanted)
