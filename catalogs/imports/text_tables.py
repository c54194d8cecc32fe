"""CSV and its kin: what a file's head says, a look at all of its records for their lengths, and pandas' reading of it.

The look is the csv module's, which tells how many cells a record has; pandas fills what is missing. Both split records
alike, and a file on which they do not agree is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from catalogs.errors import CatalogError
from catalogs.imports.exports import Line

CHUNK = 20_000
"""Rows that are held at once, of a table of a usual width."""
LONGEST = 16 * 2**20
"""Characters of one record."""
WIDEST = 4_096
"""Cells of one record."""

_HEAD = 65_536
_USUAL_WIDTH = 64
_MOST_RAGGED = 100_000  # runs of records that are told apart
_TRAILING = 4  # so many short records of one length in a row have lost empty cells at their ends, as Excel writes them
_SEPARATORS = ",;\t|"
_BYTE_ORDERS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_KINDS = (
    (b"PK\x03\x04", "is a zip archive or a workbook", "unpack it, or name it .xlsx"),
    (b"\x1f\x8b", "is compressed with gzip", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook", "save it as .xlsx"),
    (b"PAR1", "is Parquet", "name it .parquet"),
    (b"%PDF", "is a PDF", "export it as CSV"),
    (b"<!doctype html", "is a web page", "sign in to the shop, and export it again"),
    (b"<html", "is a web page", "sign in to the shop, and export it again"),
    (b"<?xml", "is XML", "name it .xml"),
)
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_COMMENT = re.compile(r"#\s*(?:required|optional)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes:
        skipped: records before its first row, the header with them.
        records: in all.
        cells: of its longest record.
        ragged: runs of records that have another number of cells than the header: first, last, cells.
    """

    encoding: str
    separator: str
    skipped: int
    records: int
    cells: int
    ragged: tuple[tuple[int, int, int], ...]


def text_header(path: Path, name: str) -> tuple[tuple[str, ...], Dialect]:
    """The columns of a text file, and how it is written.

    Raises:
        CatalogError: it is of another kind, has no header, or a record beyond all bounds.
    """
    _refuse_other_kinds(path, name)
    encoding = _encoding(path)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        head = file.read(_HEAD).lstrip("\ufeff")
    separator = _separator(head)
    skipped, header = _header(head, separator)
    names = [cell.strip().lstrip("\ufeff") for cell in header]
    if any(unicodedata.category(sign) == "Cc" and sign not in "\t\r\n" for one in names for sign in one):
        raise CatalogError(name, "", "is not text", "export it as CSV, or name the file that was meant")
    if len([one for one in names if one]) < 2:
        raise CatalogError(
            name, "", "has fewer than two columns", "export it with a header, and commas or tabs between"
        )
    refuse_twins(names, name)
    return tuple(names), _look(path, name, encoding, separator, skipped, names)


def refuse_twins(header: Sequence[str], name: str) -> None:
    """Raises CatalogError where two columns share a name."""
    if twice := sorted({one for one in header if one and header.count(one) > 1}):
        raise CatalogError(name, f"column {twice[0]!r}", "is there twice", "give each column a name of its own")


def _refuse_other_kinds(path: Path, name: str) -> None:
    with path.open("rb") as file:
        head = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()
    for mark, problem, fix in _OTHER_KINDS:
        if head[: len(mark)].lower() == mark.lower():
            raise CatalogError(name, "", f"{problem}, not text", fix)


def _encoding(path: Path) -> str:
    """By its first bytes, else UTF-8 where most of what is not ASCII is, else what Windows writes in the West."""
    with path.open("rb") as file:
        head = file.read(4)
        for mark, encoding in _BYTE_ORDERS:
            if head.startswith(mark):
                return encoding
        if len(head) == 4 and head[1] == head[3] == 0 and head[0] and head[2]:
            return "utf-16-le"
        if len(head) == 4 and head[0] == head[2] == 0 and head[1] and head[3]:
            return "utf-16-be"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        good = bad = 0
        while data := file.read(2**20):
            text = decoder.decode(data)
            if not text.isascii():
                wrong = text.count("\ufffd")
                bad += wrong
                good += len(text) - len(text.encode("ascii", "ignore")) - wrong
    # A cell that was pasted in another encoding does not turn the umlauts of all others into debris.
    return "utf-8" if bad == 0 or good > 2 * bad else "cp1252"


def _separator(head: str) -> str:
    """What `sep=` says, as Excel writes it; else the one that most often stands outside quotes in the first line that
    holds any."""
    if told := _SEP_LINE.match(head):
        return told[1] if told[1] in _SEPARATORS else ","
    for line in head.splitlines():
        bare = re.sub(r'"[^"]*"', "", line)
        best = max(_SEPARATORS, key=bare.count)
        if best in bare:
            return best
    return ","


def _header(head: str, separator: str) -> tuple[int, list[str]]:
    """Records up to the header, it included, and the header: the first that is neither empty nor a comment."""
    try:
        for place, row in enumerate(csv.reader(io.StringIO(head, newline=""), delimiter=separator), 1):
            told = "".join(row).strip()
            if told and not (place == 1 and _SEP_LINE.match(head)) and not _COMMENT.match(told):
                return place, row
    except csv.Error:
        pass  # what stands there is no header
    return 0, []


@dataclass
class _Lines:
    """Physical lines of a file; `length` counts the characters since somebody set it to nought."""

    file: TextIO
    name: str
    length: int = 0
    record: int = 0

    def __iter__(self) -> Iterator[str]:
        while line := self.file.readline(LONGEST + 1):
            self.length += len(line)
            if self.length > LONGEST:
                raise _too_long(self.name, self.record)
            yield line


def _too_long(name: str, record: int) -> CatalogError:
    problem = f"is longer than {LONGEST // 2**20} MiB"
    return CatalogError(name, f"row {record}", problem, "look there for a quote that is opened and never closed")


def _look(path: Path, name: str, encoding: str, separator: str, skipped: int, header: Sequence[str]) -> Dialect:
    """Count records, and the cells of each."""
    least = max(place for place, one in enumerate(header, 1) if one)
    runs: list[tuple[int, int, int]] = []
    records, cells = 0, len(header)
    if cells > WIDEST:
        raise CatalogError(name, "", f"has {cells:,} columns, and {WIDEST:,} can be read", "export fewer")
    csv.field_size_limit(2 * LONGEST)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        lines = _Lines(file, name, record=-skipped)
        for row in csv.reader(lines, delimiter=separator):
            records += 1
            lines.length, lines.record = 0, records - skipped + 1
            cells = max(cells, len(row))
            if cells > WIDEST:
                problem, fix = f"has {len(row):,} cells, the header {len(header):,}", "look there for a stray quote"
                raise CatalogError(name, f"row {records - skipped}", problem, fix)
            if least <= len(row) <= len(header) or records <= skipped:
                continue
            has = len(row) if len(row) < least else _filled(row)
            if has > len(header) or (has < least and "".join(row).strip()):
                if runs and runs[-1][1] == records - 1 and runs[-1][2] == has:
                    runs[-1] = (runs[-1][0], records, has)
                else:
                    runs.append((records, records, has))
                if len(runs) > _MOST_RAGGED:
                    problem = f"more than {_MOST_RAGGED:,} rows have another number of cells than the header"
                    raise CatalogError(name, "", problem, "export it again, with quotes around texts")
    trimmed = {has for first, last, has in runs if 2 <= has < least and last - first + 1 >= _TRAILING}
    return Dialect(encoding, separator, skipped, records, cells, tuple(run for run in runs if run[2] not in trimmed))


def _filled(row: Sequence[str]) -> int:
    """Cells without the empty ones at the end."""
    return max((place for place, cell in enumerate(row, 1) if cell.strip()), default=0)


def text_lines(path: Path, name: str, header: Sequence[str], dialect: Dialect) -> Iterator[Line]:
    """The records of a text file; those of another number of cells than the header have a fault.

    Raises:
        CatalogError: it ends in the middle of a quoted cell.
    """
    named = [(place, column) for place, column in enumerate(header) if column]
    faults = _faults(dialect, len(header))
    fault = next(faults, None)
    count = 0
    for count, cells in enumerate(_rows(path, name, dialect), 1):
        if count <= dialect.skipped:
            continue
        while fault and fault[1] < count:
            fault = next(faults, None)
        number = count - dialect.skipped
        if fault and fault[0] <= count:
            yield Line(name, number, {}, fault[2])
        elif cells[0].strip("\ufeff ") == header[0] and all(
            cell.strip("\ufeff ") == column for cell, column in zip(cells, header, strict=False)
        ):
            yield Line(name, number, {}, "is the header once more; take it out")
        elif any(map(str.strip, cells)):  # the others are the rows that spreadsheets end in
            filled = {column: cell for place, column in named if (cell := cells[place])}
            fault_of = "" if filled else "has cells only below columns without a name; name them in the header"
            yield Line(name, number, filled, fault_of)
    if count != dialect.records:
        problem = f"cannot be read: {dialect.records:,} records by one reader, {count:,} by another"
        raise CatalogError(name, "", problem, "export it again")


def _faults(dialect: Dialect, width: int) -> Iterator[tuple[int, int, str]]:
    for first, last, has in dialect.ragged:
        why = "a quote or a separator is astray" if has > width else "a line break is astray, or cells were left out"
        yield first, last, f"has {has} cells, the header {width}: {why}"


def _rows(path: Path, name: str, dialect: Dialect) -> Iterator[tuple[str, ...]]:
    import pandas as pd

    names = range(dialect.cells)
    try:
        chunks = pd.read_csv(
            path,
            sep=dialect.separator,
            encoding=dialect.encoding,
            encoding_errors="replace",
            header=None,
            names=names,
            dtype=object,
            keep_default_na=False,
            na_filter=False,
            index_col=False,
            skip_blank_lines=False,
            chunksize=max(1, CHUNK * _USUAL_WIDTH // max(_USUAL_WIDTH, dialect.cells)),
            engine="c",
            low_memory=False,
        )
        with chunks:
            for chunk in chunks:
                yield from zip(*(chunk[name].tolist() for name in names), strict=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise _broken(name, error, dialect.skipped) from None


def _broken(name: str, error: Exception, skipped: int) -> CatalogError:
    said = " ".join(str(error).split())
    if found := re.search(r"EOF inside string starting at row (\d+)", said):
        place = f"row {int(found[1]) + 1 - skipped}"
        return CatalogError(name, place, "a quote is opened and never closed", "close it, or export again")
    return CatalogError(name, "", f"cannot be read ({said})", "export it again")
