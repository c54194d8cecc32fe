"""A new import over an older one that people have worked on: theirs wins cell by cell, whatever the export says.

Three states of a row are compared: as the last import wrote it (base), as it is now (mine), as the export has it
(theirs). A cell that nobody touched follows the export.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from catalogs.errors import CatalogError

CHUNK = 5_000
Row = dict[str, Any]


class RowWriter:
    """Rows into a Parquet file, some thousand at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema, self._path = schema, path
        self._columns = [(column.name, column.type) for column in schema]
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._rows.append({name: _fitted(row.get(name), wanted) for name, wanted in self._columns})
        if len(self._rows) >= CHUNK:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        try:
            table = pa.Table.from_pylist(self._rows, schema=self._schema)
        except pa.ArrowException as error:
            said = " ".join(str(error).split())[:200]
            raise CatalogError(self._path.name, "", f"holds a value of another type ({said})", "correct it") from None
        self._writer.write_table(table)
        self._rows = []


def read_rows(path: Path) -> Iterator[Row]:
    """All rows of a Parquet file.

    Raises:
        CatalogError: it is none.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise CatalogError(str(path), "", f"is no Parquet that can be read ({said})", "restore it") from None


def _fitted(value: Any, wanted: pa.DataType) -> Any:
    """A cell as its column has it: pandas gives maps back as structs or lists of pairs, and decimals as floats."""
    if value is None:
        return None
    if pt.is_map(wanted):
        pairs = value.items() if isinstance(value, Mapping) else value
        return [(key, text) for key, text in pairs if text is not None]
    if pt.is_decimal(wanted) and isinstance(value, float | int):
        return None if value != value else Decimal(str(value)).quantize(Decimal(1).scaleb(-wanted.scale))
    return value


class Merge:
    """The merge of one catalog.

    Attributes:
        changes: rows by what became of them.
    """

    def __init__(self, key: str, base: Path, mine: Path, work: Path) -> None:
        """
        Args:
            key: the column that names a row.
            base: as the last import wrote it.
            mine: as it is now.
            work: a folder for the time of the merge.
        """
        self.changes: Counter[str] = Counter()
        self._key, self._mine, self._work = key, mine, work
        self._rows = sqlite3.connect(work / f"{key}.sqlite", isolation_level=None)
        for pragma in ("journal_mode = off", "synchronous = off"):
            self._rows.execute(f"pragma {pragma}")
        self._rows.execute("begin")
        for name, path in (("base", base), ("mine", mine)):
            self._rows.execute(f"create table {name} (id text primary key, place integer, row blob)")
            kept = ((row[key], place, pickle.dumps(row)) for place, row in enumerate(read_rows(path)))
            self._rows.executemany(f"insert or ignore into {name} values (?, ?, ?)", kept)

    def write(self, theirs: Path, merged: Path, base: Path) -> None:
        """Write the merged catalog, and what the next merge takes for its base.

        Raises:
            CatalogError: a cell that was edited does not fit its column.
        """
        schema, edited = pq.read_schema(theirs), pq.read_schema(self._mine)
        added = [field for field in edited if field.name not in schema.names]
        with closing(RowWriter(merged, pa.schema([*schema, *added]))) as out, closing(RowWriter(base, schema)) as after:
            for row in read_rows(theirs):
                after.add(row)
                if (kept := self._merged(row)) is not None:
                    out.add(kept)
            for kept, was in self._gone():
                if kept is not None:
                    out.add(kept)
                if was is not None:
                    after.add({name: was.get(name) for name in schema.names})
        self._rows.close()

    def _merged(self, theirs: Row) -> Row | None:
        base, mine = (self._take(name, theirs[self._key]) for name in ("base", "mine"))
        if mine is None:
            self.changes["new" if base is None else "deleted by hand, left out"] += 1
            return theirs if base is None else None
        was = base or {}
        row, by_hand, changed = dict(mine), False, False
        for name, value in theirs.items():
            if name in mine and not same(mine[name], was.get(name)) and not same(mine[name], value):
                by_hand = True
                continue
            changed = changed or not same(mine.get(name), value)
            row[name] = value
        self.changes["changed" if changed else "unchanged"] += 1
        if by_hand:
            self.changes["with cells edited by hand, kept"] += 1
        return row

    def _take(self, table: str, key: str) -> Row | None:
        found = self._rows.execute(f"delete from {table} where id = ? returning row", (key,)).fetchone()
        return pickle.loads(found[0]) if found else None

    def _gone(self) -> Iterator[tuple[Row | None, Row | None]]:
        """What the export no longer has: the row to keep, and the base of it."""
        query = """
            select mine.row, base.row from mine left join base using (id)
            union all select null, base.row from base left join mine using (id) where mine.id is null
        """
        for mine, base in self._rows.execute(query):
            kept, was = (pickle.loads(one) if one else None for one in (mine, base))
            if kept is None:
                yield None, was
            elif was is None:
                self.changes["added by hand, kept"] += 1
                yield kept, None
            else:
                self.changes["gone, now inactive" if kept.get("active") else "gone before"] += 1
                yield ({**kept, "active": False}, {**was, "active": False}) if "active" in kept else (kept, was)


def same(one: Any, other: Any) -> bool:
    """Whether two cells say the same, whatever tool wrote them: pandas makes structs of maps and floats of decimals."""
    return bool(_plain(one) == _plain(other))


def _plain(value: Any) -> Any:
    if value is None or value == "" or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float | int) and not isinstance(value, bool):
        return Decimal(str(value))
    if isinstance(value, Mapping):
        return _plain(list(value.items()))
    if isinstance(value, list | tuple):
        listed = [_plain(one) for one in value]
        pairs = [one for one in listed if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str)]
        if len(pairs) == len(listed):  # of a map or a struct, in any order
            listed = sorted((one for one in pairs if one[1] is not None), key=lambda one: one[0])
        return tuple(listed) or None
    return value
