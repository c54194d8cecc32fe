"""JSON, Parquet and Excel into records of text: nothing is taken for a number that a person wrote as text."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from catalogs.errors import CatalogError
from catalogs.imports.text_tables import CHUNK, LONGEST, refuse_twins

JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xlsm")
MOST_JSON = 256 * 2**20
"""Bytes of a file that is one JSON value: it is read whole."""
MOST_EXCEL = 2 * 2**30
"""Bytes of a workbook's largest part when unpacked."""
MOST_SHARED = 256 * 2**20
"""Bytes of a workbook's texts when unpacked: they are held."""

JOIN = " | "
_DEEPEST = 8
_TIMES = 200  # a part that packs this much smaller is no sheet that a person filled
_SMALL = 16 * 2**20
_AT_ONCE = 1_000
_ZEROS = re.compile(r"0{2,40}")

Record = dict[str, str] | str
"""Text by column, or what is wrong with it."""


def records(path: Path, name: str) -> Iterator[Record]:
    """The records of a file that is no text table.

    Raises:
        CatalogError: it is not what its name says.
    """
    suffix = path.suffix.lower()
    if suffix in JSON_LINES:
        return _json_lines(path)
    if suffix == ".json":
        return _json(path, name)
    return _parquet(path, name) if suffix in PARQUET else _excel(path, name)


def _json_lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        while line := file.readline(LONGEST):
            if len(line) == LONGEST and not line.endswith("\n"):
                while (rest := file.readline(LONGEST)) and not rest.endswith("\n"):
                    pass
                yield f"is longer than {LONGEST // 2**20} MiB"
            elif line.strip():
                yield _object(line)


def _object(line: str) -> Record:
    try:
        found = json.loads(line)
        return flat(found) if isinstance(found, dict) else "is no JSON object: one a line is wanted"
    except RecursionError:
        return "lies too deep"
    except ValueError:
        return "is no JSON object: one a line is wanted"


def _json(path: Path, name: str) -> Iterator[Record]:
    if path.stat().st_size > MOST_JSON:
        problem = f"is one JSON value of more than {MOST_JSON // 2**20} MiB"
        raise CatalogError(name, "", problem, "export JSON lines, an object a line (.jsonl)")
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CatalogError(name, "", f"is no JSON ({' '.join(str(error).split())})", "export it again") from None
    for one in _list_in(found, name):
        try:
            yield flat(one) if isinstance(one, dict) else "is no JSON object"
        except RecursionError:
            yield "lies too deep"


def _list_in(found: Any, name: str) -> list[Any]:
    """The list itself, or the one that an object wraps: {"products": [...]}."""
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        if len(lists) == 1:
            return list(lists[0])
    raise CatalogError(name, "", "holds no list of objects", "export a list of products")


def _parquet(path: Path, name: str) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            refuse_twins(file.schema_arrow.names, name)
            for batch in file.iter_batches(CHUNK // 4):
                yield from (flat(row) for row in batch.to_pylist())
    except (pa.ArrowException, OSError, ValueError, OverflowError, RecursionError) as error:
        raise CatalogError(name, "", f"is no Parquet that can be read ({_said(error)})", "export it again") from None


def _excel(path: Path, name: str) -> Iterator[Record]:
    """The first sheet; a formula counts by the value that was saved with it."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise CatalogError(name, "", "Excel files need openpyxl", "pip install 'packshot[import]'") from None
    book = None
    try:
        _refuse_bombs(path, name)
        with warnings.catch_warnings(action="ignore"):  # of what it leaves out: colours, rules, pictures
            book = load_workbook(path, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # other programs write them wrong, and cells beyond would be lost
            rows = iter(sheet.iter_rows())
            header = _excel_header(rows)
        refuse_twins(header, name)
        while True:
            with warnings.catch_warnings(action="ignore"):
                some = [[_cell(cell) for cell in row] for row in islice(rows, _AT_ONCE)]
            if not some:
                break
            for row in some:
                if any(map(str.strip, row)):
                    yield {key: text for key, text in zip(header, row, strict=False) if key}
    except CatalogError:
        raise
    except Exception as error:  # a damaged workbook fails in every module between zlib and openpyxl's descriptors
        raise CatalogError(name, "", f"is no workbook that can be read ({_said(error)})", "save it again") from None
    finally:
        if book is not None:
            book.close()


def _excel_header(rows: Iterator[Sequence[Any]]) -> list[str]:
    """The first row that holds anything."""
    for row in islice(rows, _AT_ONCE):
        if any(names := [_cell(cell).strip() for cell in row]):
            return names
    return []


def _refuse_bombs(path: Path, name: str) -> None:
    """zipfile unpacks no more of a part than its entry tells, so the entries can be trusted with that."""
    with ZipFile(path) as archive:
        for part in archive.infolist():
            most = MOST_SHARED if part.filename.endswith("sharedStrings.xml") else MOST_EXCEL
            is_dense = part.file_size > _SMALL and part.file_size > _TIMES * max(1, part.compress_size)
            if part.file_size > most or is_dense:
                problem = f"unpacks to {part.file_size // 2**20:,} MiB ({part.filename})"
                raise CatalogError(name, "", problem, "save it as CSV")
    if not any(one.filename == "xl/workbook.xml" for one in archive.infolist()):
        raise BadZipFile("it holds no workbook")


def _cell(cell: Any) -> str:
    """A cell's text; leading zeros that its format shows are part of a number that stands for a code."""
    value = cell.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = cell.number_format or ""
        if _ZEROS.fullmatch(shown) and value >= 0 and float(value).is_integer():
            return str(int(value)).zfill(len(shown))
    return text(value)


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def flat(record: Mapping[Any, Any], depth: int = 0) -> dict[str, str]:
    """Text by column; what lies deeper is named by its path, and of a list of objects the values of one name, as texts
    of a list, are joined."""
    found: dict[str, str] = {}
    for key, value in record.items():
        name = _whole(str(key))
        if isinstance(value, Mapping) and depth < _DEEPEST:
            found |= {f"{name}.{inner}": told for inner, told in flat(value, depth + 1).items()}
        elif isinstance(value, list | tuple) and value and depth < _DEEPEST and _are_objects(value):
            joined: dict[str, list[str]] = {}
            for one in value:
                for inner, told in flat(one, depth + 1).items():
                    joined.setdefault(f"{name}.{inner}", []).append(told)
            found |= {inner: JOIN.join(filter(None, texts)) for inner, texts in joined.items()}
        elif isinstance(value, list | tuple):
            found[name] = JOIN.join(told for one in value if (told := text(one)))
        else:
            found[name] = text(value)
    return found


def _are_objects(values: Sequence[Any]) -> bool:
    return all(isinstance(one, Mapping) for one in values)


def text(value: Any) -> str:
    """A value as a person would write it; whole numbers without a fraction, dates as ISO says."""
    if isinstance(value, str):
        return _whole(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime):
        is_day = value.time() == time()
        return value.date().isoformat() if is_day else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping | list | tuple):
        return _whole(json.dumps(value, ensure_ascii=False, default=str))
    return str(value)


def _whole(told: str) -> str:
    """Without halves of characters, which JSON can write and no store takes."""
    if told.isascii():
        return told
    try:
        told.encode()
    except UnicodeEncodeError:
        return told.encode("utf-8", "replace").decode()
    return told
