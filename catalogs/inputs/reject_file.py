"""Rows that a run leaves out, as a Parquet file that opens in any tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.errors import CatalogError, printable
from catalogs.identity import run_key
from catalogs.storage.store import Store

REJECTS_NAME = "rejects.parquet"
MAX_VALUE = 200
MAX_TITLE = 80
WRITE_ROWS = 8192

REJECTS = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
        ("product_id", pa.string()),
        ("code", pa.string()),
        ("title", pa.string()),
    ]
)


class Code(StrEnum):
    """Why a row is left out: the closed list."""

    EMPTY = "empty"  # a value that every row needs
    BAD_VALUE = "bad_value"
    BAD_ID = "bad_id"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_BRAND = "unknown_brand"
    UNREADABLE = "unreadable"
    EMPTY_FIELD = "empty_field"  # a value that a shot's template needs
    NO_REFERENCE = "no_reference"  # a picture that a shot needs
    REFERENCE_MISSING = "reference_missing"
    REFERENCE_INVALID = "reference_invalid"
    PROMPT_REFUSED = "prompt_refused"
    RIGHTS = "rights"  # no right covers any of its assets
    RIGHTS_IN_PART = "rights_in_part"  # it is covered, some of its assets are not


REFUSALS = frozenset((Code.RIGHTS, Code.RIGHTS_IN_PART))
"""Not mistakes of a catalog."""


@dataclass(frozen=True, slots=True)
class Reject:
    """One problem of one row.

    Attributes:
        row: 1-based row number in the file, 0 where the row has none.
        value: what the column holds, as text, shortened.
        reason: what is wrong with it, for people.
        product_id: of the row, "" where it has none that can be read.
        title: of the row, for people; "" where it has none that can be read, and in files of before.
    """

    file: str
    row: int
    column: str
    value: str
    reason: str
    product_id: str = ""
    code: str = Code.BAD_VALUE
    title: str = ""

    def __str__(self) -> str:
        # The reason of a photo often begins with where it is, as the catalog says it.
        held = f" {self.value!r}" if self.value and not self.reason.startswith(f"{self.value}:") else ""
        return f"{self.file}: row {self.row}: column {self.column!r}:{held} {self.reason}"

    @property
    def who(self) -> str:
        """The product for people: its title beside its id, as far as they can be read."""
        return called(self.product_id, self.title)


def called(product_id: str, title: str | None) -> str:
    """A product for people: its title beside its id, or what there is of them."""
    if not title or title == product_id:
        return product_id
    short = title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 3].rstrip() + "..."
    return f"{printable(short)} ({product_id})" if product_id else printable(short)


def shown(value: object) -> str:
    """A value as text for a reject: one line, valid UTF-8, shortened."""
    if value is None:
        return ""
    text = printable(str(value).strip(" ").encode("utf-8", "replace").decode())
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

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self.close()
            return
        with suppress(pa.ArrowException, OSError):  # on a full disk it would hide why
            self._writer.close()

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
        rows: catalog rows left out for a mistake in them.
        refused: catalog rows none of whose assets a right covers.
        products: ids of the products left out for a mistake.
        watched: the problem of each product that is watched, by its id.
        nameless: the first row left out whose product nobody can name, None while there is none.
        unreachable: a line for each look that stays as it is delivered, since its picture cannot be read now.
        refused_looks: looks none of whose assets a right covers.
        kept: delivered assets that are not retired, as they may belong to rows that were left out.
        commonest: the first problem of the commonest kind, None while there is none.
    """

    def __init__(self, path: Path, strict: bool, watch: Collection[str] = ()) -> None:
        self._writer, self.strict = RejectWriter(path), strict
        self._watch = frozenset(watch)
        self.rows = self.refused = self.kept = self.refused_looks = 0
        self.unreachable: list[str] = []
        self.products: set[str] = set()
        self.watched: dict[str, Reject] = {}
        self.nameless: Reject | None = None
        self._kinds: Counter[str] = Counter()
        self._firsts: dict[str, Reject] = {}

    @property
    def commonest(self) -> Reject | None:
        return self._firsts[self._kinds.most_common(1)[0][0]] if self._kinds else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *more: object) -> None:
        self._writer.__exit__(failure, *more)

    def add(self, rejects: Sequence[Reject], of_products: bool = True) -> None:
        """Leave rows out; all problems of a row come in one call, one after the other.

        Raises:
            CatalogError: the user is strict.
        """
        if not rejects:
            return
        first = rejects[0]
        if self.strict:
            raise CatalogError(first.file, f"row {first.row}, column {first.column}", first.reason, "correct the row")
        for reject in rejects:
            self._kinds[reject.code] += 1
            self._firsts.setdefault(reject.code, reject)
        self._writer.write(rejects)
        for reject in {(r.file, r.row): r for r in rejects}.values():
            self.rows += reject.code not in REFUSALS
            self.refused += reject.code == Code.RIGHTS
            if reject.product_id in self._watch:
                self.watched[reject.product_id] = reject
            if of_products and reject.code not in REFUSALS:
                self._remember(reject)

    def _remember(self, reject: Reject) -> None:
        if reject.product_id:
            self.products.add(reject.product_id)
        else:
            self.nameless = self.nameless or reject


def write_rejects(target: str | Path | IO[bytes], rejects: Iterable[Reject]) -> int:
    """Write all rejects to a file or buffer and say how many there were."""
    with RejectWriter(target) as writer:
        writer.write(rejects)
    return writer.count


def first_rejects(store: Store, run_id: str, count: int) -> list[Reject]:
    """The first of what a start left out, [] where it left out nothing."""
    return list(islice(rejects_of(store, run_id), count))


def rejects_of(store: Store, run_id: str) -> Iterator[Reject]:
    """What a start left out, in the order of its catalogs, some thousand in memory at a time."""
    key = run_key(run_id, REJECTS_NAME)
    if not store.exists(key):
        return
    with pq.ParquetFile(pa.BufferReader(store.read(key))) as file:
        for batch in file.iter_batches(WRITE_ROWS, use_threads=False):
            rows = batch.to_pylist()
            yield from (Reject(**{**row, "title": row.get("title") or ""}) for row in rows)


def read_rejects(path: str | Path) -> list[Reject]:
    """The rejects of a file that `RejectWriter` wrote."""
    rows = pq.read_table(path, schema=REJECTS).to_pylist()
    return [Reject(**{**row, "title": row["title"] or ""}) for row in rows]
