"""Catalogs: one Parquet file or a (hive-partitioned) folder of them, local or in a bucket, read as a stream.

Only the columns asked for are read. A filter first drops whole files by their partition, then row groups
by their statistics, then rows; the rows that stay keep the number they have in their file. Memory holds one
batch and the pages it comes from, whatever the size of the catalog.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyarrow.types as pt

from catalogs.errors import CampaignError, nearest
from catalogs.identity import canonical_json
from catalogs.inputs.files import (
    FORMAT,
    CatalogFile,
    arrow_filesystem,
    find_files,
    open_stream,
    read_footer,
    readable,
)
from catalogs.inputs.schemas import CatalogKind, required_columns
from catalogs.inputs.selection import Select, Selection
from catalogs.storage.store import Store

BATCH_ROWS = 8192
STREAM_BYTES = 1 << 20  # read ahead per column: pages stream instead of whole column chunks
READERS = 8


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a value that Python cannot hold: text that is not UTF-8, a date past the year 9999."""

    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one catalog file.

    Attributes:
        file: path or URI of the file.
        numbers: 1-based row number in the file, one a row.
        rows: column -> value; NaN is None.
        unreadable: columns in which some row holds `Unreadable`.
    """

    file: str
    numbers: Sequence[int]
    rows: list[dict[str, Any]]
    unreadable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalog:
    """One input catalog; make one with `Catalog.open`.

    Attributes:
        uri: where it is; relative references in it start at this file's (or folder's) folder.
        schema: its columns with their types: what the files have, then missing columns of the contract.
        columns: names of the columns the files really have, partition folders included.
        row_count: rows in all files, rejects included.
    """

    uri: str
    kind: CatalogKind
    schema: pa.Schema
    columns: tuple[str, ...]
    row_count: int
    _store: Store = field(repr=False)
    _files: Sequence[CatalogFile] = field(repr=False)

    @property
    def rows_by_file(self) -> dict[str, int]:
        """Rows of each file, as its footer says."""
        return {file.name: file.fragment.metadata.num_rows for file in self._files}

    def content_hash(self) -> str:
        """SHA-256 of the footers of its files, which are read already: rows, sizes and bounds of every column."""
        footers = []
        for file in self._files:
            sink = pa.BufferOutputStream()
            file.fragment.metadata.write_metadata_file(sink)
            keys = canonical_json({name: str(value) for name, value in file.keys.items()}).encode()
            footers.append(hashlib.sha256(keys + b"\0" + sink.getvalue().to_pybytes()).hexdigest())
        return hashlib.sha256("".join(sorted(footers)).encode()).hexdigest()

    @classmethod
    def open(cls, uri: str, kind: CatalogKind | str, options: Mapping[str, Any] | None = None) -> Catalog:
        """Read the footers of all files and check their columns against the contract.

        Args:
            uri: a Parquet file, or a folder of them with or without `key=value` sub-folders.
            options: fsspec storage options.

        Raises:
            CatalogError: nothing there, no permission, not Parquet, damaged, or the wrong columns.
            StorageError: the store failed.
        """
        kind = CatalogKind(kind)
        with readable(uri):
            store = Store.at(uri, options)
        files = find_files(store, uri)
        with ThreadPoolExecutor(READERS) as pool:
            described = list(pool.map(lambda file: read_footer(store, file, kind), files))
        types: dict[str, pa.Field] = {}
        for _, schema in described:
            for column in schema:
                types.setdefault(column.name, column)
        missing = [column for column in kind.schema if column.name not in types]
        rows = sum(file.fragment.metadata.num_rows for file in files)
        return cls(
            uri,
            kind,
            pa.schema([*types.values(), *missing]),
            tuple(types),
            rows,
            store,
            [file for file, _ in described],
        )

    def scan(
        self,
        columns: AbstractSet[str] | None = None,
        select: Select | None = None,
        batch_rows: int = BATCH_ROWS,
        source: str = "campaign",
    ) -> Iterator[Batch]:
        """Batches in file and row order.

        Args:
            columns: what to read, None for all; required columns always come too, unknown ones are ignored.
            select: filter triples, see `Selection`; None or empty for all rows.
            batch_rows: most rows a batch.
            source: where `select` was written, for messages.

        Raises:
            CampaignError: `select` is wrong; raised at the call, not at the first batch.
            CatalogError: a file is damaged.
        """
        selection = Selection(select, self.schema, source) if select else None
        if selection and (absent := sorted(selection.columns.difference(self.columns))):
            problem = f"the catalog {self.uri} has no column {absent[0]!r}"
            raise CampaignError(source, "select", problem, nearest(absent[0], self.columns))
        wanted = set(self.columns if columns is None else columns) | set(required_columns(self.kind.schema))
        return self._batches(wanted, selection, batch_rows)

    def _batches(self, wanted: set[str], selection: Selection | None, batch_rows: int) -> Iterator[Batch]:
        for file in self._partitions(selection):
            reader = _FileReader(self._store, file, self.schema, wanted, selection)
            yield from reader.batches(batch_rows)

    def _partitions(self, selection: Selection | None) -> Iterator[CatalogFile]:
        """The files whose partition folders do not rule them out."""
        if selection is None:
            yield from self._files
            return
        fragments = [file.fragment for file in self._files]
        dataset = ds.FileSystemDataset(fragments, self.schema, FORMAT, arrow_filesystem(self._store))
        try:
            kept = {fragment.path for fragment in dataset.get_fragments(selection.expression)}
        except (pa.ArrowException, NotImplementedError):
            kept = {file.path for file in self._files}
        yield from (file for file in self._files if file.path in kept)


class _FileReader:
    """Reads the wanted columns and rows of one file."""

    def __init__(
        self, store: Store, file: CatalogFile, types: pa.Schema, wanted: set[str], selection: Selection | None
    ) -> None:
        self._store, self._file, self._types = store, file, types
        self._wanted, self._selection = wanted, selection
        names = file.fragment.physical_schema.names
        needed = wanted | (selection.columns if selection else frozenset())
        self._columns = [name for name in names if name in needed and name not in file.keys and name not in file.empty]

    def batches(self, batch_rows: int) -> Iterator[Batch]:
        groups = self._row_groups()
        if not groups:
            return
        footer = self._file.fragment.metadata
        with (
            readable(self._file.name, self._store),
            open_stream(self._store, self._file.path) as stream,
            pq.ParquetFile(stream, metadata=footer, buffer_size=STREAM_BYTES, pre_buffer=False) as parquet,
        ):
            for index, start in groups:
                yield from self._row_group(parquet, index, start, batch_rows)

    def _row_group(self, parquet: pq.ParquetFile, index: int, start: int, batch_rows: int) -> Iterator[Batch]:
        """Batches of one row group, whose first row has the number `start`."""
        for record in parquet.iter_batches(batch_rows, row_groups=[index], columns=self._columns):
            batch = self._batch(pa.Table.from_batches([record]), start)
            start += record.num_rows
            if batch.rows:
                yield batch

    def _row_groups(self) -> list[tuple[int, int]]:
        """(index, number of its first row) of the row groups whose statistics do not rule them out."""
        metadata = self._file.fragment.metadata
        starts, number = {}, 1
        for index in range(metadata.num_row_groups):
            starts[index] = number
            number += metadata.row_group(index).num_rows
        if self._selection is None:
            return list(starts.items())
        try:
            kept = self._file.fragment.subset(self._selection.expression, schema=self._types).row_groups
        except (pa.ArrowException, NotImplementedError):  # statistics that do not compare: read everything
            return list(starts.items())
        return [(group.id, starts[group.id]) for group in kept]

    def _batch(self, table: pa.Table, start: int) -> Batch:
        numbers: Sequence[int] = range(start, start + table.num_rows)
        if self._selection is not None:
            positions = self._selection.rows_of(self._with_keys(table))
            numbers = [start + position for position in positions]
            table = _take(table, positions)
        table = table.select([name for name in table.column_names if name in self._wanted])
        rows, unreadable = _python_rows(table)
        keys = {name: value for name, value in self._file.keys.items() if name in self._wanted}
        if keys:
            rows = [{**row, **keys} for row in rows]
        return Batch(self._file.name, numbers, rows, unreadable)

    def _with_keys(self, table: pa.Table) -> pa.Table:
        """The table with partition values and missing columns, so that any filter can be applied."""
        assert self._selection is not None
        for name in self._selection.columns - set(table.column_names):
            column = self._types.field(name)
            value = pa.scalar(self._file.keys.get(name), column.type)
            table = table.append_column(column, pa.repeat(value, table.num_rows))
        return table


def _take(table: pa.Table, positions: Sequence[int]) -> pa.Table:
    try:
        return table.take(pa.array(positions, pa.int64()))
    except pa.ArrowNotImplementedError:  # string views cannot be taken, only cut
        return pa.concat_tables([table.slice(0, 0), *(table.slice(position, 1) for position in positions)])


def _python_rows(table: pa.Table) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """Rows as dicts, and the columns in which a value could not be had."""
    table = _python_types(table)
    try:
        return table.to_pylist(), frozenset()
    except (ValueError, OverflowError, ArithmeticError):
        columns = {name: _values(table.column(name)) for name in table.column_names}
    unreadable = {name for name, values in columns.items() if any(isinstance(v, Unreadable) for v in values)}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows, frozenset(unreadable)


def _python_types(table: pa.Table) -> pa.Table:
    """Nanoseconds cut to microseconds, which is all that Python's own types hold; NaN made null."""
    for index, column in enumerate(table.schema):
        values = table.column(index)
        if pt.is_floating(column.type):
            values = values.cast(pa.float32()) if pt.is_float16(column.type) else values
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        elif pt.is_timestamp(column.type) and column.type.unit == "ns":
            values = values.cast(pa.timestamp("us", column.type.tz), safe=False)
        elif pt.is_duration(column.type) and column.type.unit == "ns":
            values = values.cast(pa.duration("us"), safe=False)
        else:
            continue
        table = table.set_column(index, column.name, values)
    return table


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = []
    for scalar in column:
        try:
            values.append(scalar.as_py())
        except UnicodeDecodeError:
            values.append(Unreadable("is not valid UTF-8"))
        except (ValueError, OverflowError, ArithmeticError):
            values.append(Unreadable("is out of range"))
    return values
