"""Files of any kind into lines of text: nothing is taken for a number, so that leading zeros live."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from catalogs.errors import CatalogError
from catalogs.imports import merchant
from catalogs.imports.exports import Line
from catalogs.imports.feeds import feed_items
from catalogs.imports.records import EXCEL, JSON_LINES, PARQUET, Record, records
from catalogs.imports.text_tables import Dialect, text_header, text_lines

TEXT = (".csv", ".tsv", ".txt")
FEEDS = (".xml", ".rss", ".atom")
READ = (*TEXT, *JSON_LINES, ".json", *PARQUET, *EXCEL, *FEEDS)

_LOOKED_AT = 1_000  # records of JSON and feeds leave out what they have not


@dataclass(frozen=True)
class Table:
    """A file of lines, read as often as it is asked for.

    Attributes:
        path: on this machine.
        name: for people.
        header: its columns.
        dialect: of a text file.
    """

    path: Path
    name: str
    header: tuple[str, ...]
    dialect: Dialect | None = None

    def lines(self) -> Iterator[Line]:
        """Its records, in order.

        Raises:
            CatalogError: the file ends in the middle of a quoted cell, or is not what its name says.
        """
        if self.dialect:
            yield from text_lines(self.path, self.name, self.header, self.dialect)
            return
        for number, record in enumerate(_records(self.path, self.name), 1):
            if isinstance(record, str):
                yield Line(self.name, number, {}, record)
            else:
                yield Line(self.name, number, {key: value for key, value in record.items() if value})


def open_table(path: Path, name: str) -> Table:
    """What a file's head says of it.

    Raises:
        CatalogError: it is empty, of a kind that is not read, or damaged.
    """
    name = name.encode("utf-8", "backslashreplace").decode()  # names of files may hold any byte
    suffix = path.suffix.lower()
    if suffix not in READ:
        kinds = ", ".join(sorted({one.lstrip(".") for one in READ}))
        raise CatalogError(name, "", f"a {suffix or 'nameless'} file is not read", f"export one of {kinds}")
    _check(path, name)
    if suffix in TEXT:
        header, dialect = text_header(path, name)
        return Table(path, name, header, dialect)
    columns: dict[str, None] = {}
    for record in islice(_records(path, name), _LOOKED_AT):
        if not isinstance(record, str):
            columns.update(dict.fromkeys(record))
    if not columns:
        raise CatalogError(name, "", "holds no records", "export it again")
    if suffix in FEEDS:  # what an item has nothing to say of, it leaves out
        columns = dict.fromkeys(merchant.WANTED) | columns
    return Table(path, name, tuple(columns))


def _check(path: Path, name: str) -> None:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CatalogError(name, "", "is no file", "name one that is stored on a disk")
        if not found.st_size:
            raise CatalogError(name, "", "the file is empty", "export it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise CatalogError(name, "", f"cannot be read ({error.strerror})", "correct the path or its rights") from None


def _records(path: Path, name: str) -> Iterator[Record]:
    return feed_items(path, name) if path.suffix.lower() in FEEDS else records(path, name)
