"""Rows that a run leaves out, as a Parquet file that opens in any tool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.errors import CatalogError

REJECTS_NAME = "rejects.parquet"
MAX_VALUE = 200
WRITE_ROWS = 8192

REJECTS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Reject:
    """One problem of one row.

    Attributes:
        row: 1-based row number in the file, 0 where the row has none.
        value: what the column holds, as text, shortened.
        reason: what is wrong with it, for people.
    """

    file: str
    row: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        held = f" {self.value!r}" if self.value else ""
        return f"{self.file}: row {self.row}: column {self.column!r}:{held} {self.reason}"


def shown(value: object) -> str:
    """A value as text for a reject: one line, valid UTF-8, shortened."""
    if value is None:
        return ""
    text = " ".join(str(value).encode("utf-8", "replace").decode().split())
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + "..."


class RejectWriter:
    """Writes rejects as they come; memory holds one block of them.

    Attributes:
        count: rejects written so far.
    """

    def __init__(self, target: str | Path | IO[bytes]) -> None:
        self.count = 0
        self._writer = pq.ParquetWriter(target, REJECTS, compression="zstd")
        self._block: list[Reject] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def write(self, rejects: Iterable[Reject]) -> None:
        for reject in rejects:
            self._block.append(reject)
            self.count += 1
            if len(self._block) >= WRITE_ROWS:
                self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = {name: [getattr(reject, name) for reject in self._block] for name in REJECTS.names}
        if self._block:
            self._writer.write_table(pa.table(columns, schema=REJECTS))
        self._block = []


class LeftOut:
    """What a plan leaves out as it reads: into a file, or an end to the plan where the user is strict.

    Attributes:
        mistakes: problems of the catalogs; the others are refused by rights.
        first: the first problem, None while there is none.
    """

    def __init__(self, path: Path, strict: bool) -> None:
        self._writer, self._strict = RejectWriter(path), strict
        self.mistakes = 0
        self.first: Reject | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    @property
    def count(self) -> int:
        return self._writer.count

    def mistake(self, rejects: Sequence[Reject]) -> None:
        """Rows that cannot be used as they are.

        Raises:
            CatalogError: the user is strict.
        """
        self.mistakes += len(rejects)
        self._leave_out(rejects)

    def refuse(self, rejects: Sequence[Reject]) -> None:
        """What no right covers.

        Raises:
            CatalogError: the user is strict.
        """
        self._leave_out(rejects)

    def _leave_out(self, rejects: Sequence[Reject]) -> None:
        if not rejects:
            return
        first = rejects[0]
        if self._strict:
            raise CatalogError(first.file, f"row {first.row}, column {first.column}", first.reason, "correct the row")
        self.first = self.first or first
        self._writer.write(rejects)


def write_rejects(target: str | Path | IO[bytes], rejects: Iterable[Reject]) -> int:
    """Write all rejects to a file or buffer and say how many there were."""
    with RejectWriter(target) as writer:
        writer.write(rejects)
    return writer.count


def read_rejects(path: str | Path) -> list[Reject]:
    """The rejects of a file that `RejectWriter` wrote."""
    return [Reject(**row) for row in pq.read_table(path, schema=REJECTS).to_pylist()]
