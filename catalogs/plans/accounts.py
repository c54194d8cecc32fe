"""The law of a plan: every row of the product catalog is in one class, none in two and none in none.

    rows in the catalog = covered + rejected + refused by rights + not selected + not asked for

The left side comes from the footers of the catalog's files, the right from the plan and the rejects as they were
written, read back. Rows are told by file and number; a sum of their hashes, in which order does not count, stands for
a set of them, so that memory does not grow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq

from catalogs.errors import WorkError
from catalogs.inputs.reject_file import REFUSALS, Code

_MODULUS = 2**63


class LostRowsError(WorkError):
    """A plan and its rejects do not account for every row: a fault of packshot, and not of the catalog."""


@dataclass
class Rows:
    """A set of catalog rows: how many, and the sum of their marks."""

    count: int = 0
    marks: int = 0

    def add(self, file: str, number: int) -> None:
        self.count += 1
        self.marks = (self.marks + row_mark(file, number)) % _MODULUS

    def __add__(self, other: Rows) -> Rows:
        return Rows(self.count + other.count, (self.marks + other.marks) % _MODULUS)


def row_mark(file: str, number: int) -> int:
    """A number below 2**63 that stands for one row."""
    digest = hashlib.blake2b(f"{file}\x1f{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _MODULUS


@dataclass(frozen=True)
class Accounts:
    """Where the rows of a catalog went.

    Attributes:
        selected: rows of the catalog that the campaign selects.
        not_asked: of these, rows that --only and --limit leave aside.
    """

    total: int
    selected: Rows
    covered: Rows
    rejected: Rows
    refused: Rows
    not_asked: int


def settle(files: Mapping[str, int], selected: Rows | None, plan: Path, rejects: Path, partial: bool) -> Accounts:
    """Account for every row, from the files as they are on the disk.

    Args:
        files: rows by catalog file, from the footers.
        selected: rows that the selection let through; None where there is no selection.
        partial: --only or --limit leave rows aside.

    Raises:
        LostRowsError: a row is in no class, or in two.
    """
    total = sum(files.values())
    if selected is not None:
        left = selected
    elif partial:  # which rows it leaves aside nobody knows, only how many
        left = Rows(total)
    else:
        left = _all_rows(files)
    covered, (rejected, refused) = _covered(plan), _left_out(rejects, files)
    right = covered + rejected + refused
    if right.count > left.count or (not partial and right != left):
        raise LostRowsError(
            f"the plan accounts for {right.count} of {left.count} catalog rows ({covered.count} covered, "
            f"{rejected.count} rejected, {refused.count} refused by rights): this is a fault of packshot, "
            "please report it with the catalog"
        )
    return Accounts(total, left, covered, rejected, refused, left.count - right.count)


def _all_rows(files: Mapping[str, int]) -> Rows:
    rows = Rows()
    for file, count in files.items():
        for number in range(1, count + 1):
            rows.add(file, number)
    return rows


def _covered(plan: Path) -> Rows:
    rows = Rows()
    for batch in _batches(plan, ["look_rows", "look_marks"]):
        for row in batch:
            if row["look_rows"]:
                rows += Rows(int(row["look_rows"]), int(row["look_marks"]))
    return rows


def _left_out(rejects: Path, files: Mapping[str, int]) -> tuple[Rows, Rows]:
    rejected, refused = Rows(), Rows()
    lines = (line for batch in _batches(rejects, ["file", "row", "code"]) for line in batch)
    # All problems of a row stand one after the other.
    for (file, number), problems in groupby(lines, key=lambda line: (str(line["file"]), int(line["row"]))):
        if file not in files:
            continue  # a brand
        codes = {problem["code"] for problem in problems}
        if codes - REFUSALS:
            rejected.add(file, number)
        elif Code.RIGHTS in codes:
            refused.add(file, number)
    return rejected, refused


def _batches(path: Path, columns: list[str]) -> Iterator[list[dict[str, str]]]:
    with pq.ParquetFile(path) as file:
        # Of a file without rows pyarrow 18 asks for a row group that is not there.
        for batch in file.iter_batches(columns=columns) if file.metadata.num_rows else ():
            yield batch.to_pylist()
