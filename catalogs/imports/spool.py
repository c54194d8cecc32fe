"""Lines of an export by the product they belong to, on disk: variants may stand before their parent, or far from it.

SQLite sorts them; memory holds the lines of one product.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

from catalogs.imports.exports import Line

_TABLES = """
create table products (name text primary key, place integer) without rowid;
create table others (name text primary key, product text) without rowid;
create table ids (id text primary key) without rowid;
create table lines (place integer, number integer, file text, record integer, cells text, fault text)
"""
_AT_ONCE = 5_000
MOST_LINES = 20_000
"""Of a product, that are held at once: one that has more comes in pieces, so that a map of a wrong column costs no
memory."""


class Spool:
    """Lines by product, products in the order in which they first appear."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: for the file; it is gone when the folder is.
        """
        self._database = sqlite3.connect(folder / "lines.sqlite", isolation_level=None)
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -65536", "temp_store = file"):
            self._database.execute(f"pragma {pragma}")
        for statement in _TABLES.split(";"):
            self._database.execute(statement)
        self._database.execute("begin")
        self._waiting: list[tuple[int, int, str, int, str, str]] = []
        self._number = self._places = 0
        self._last = ("", -1)
        self._is_joined = False

    def add(self, line: Line, product: str) -> None:
        """Keep a line under the name of its product."""
        self._number += 1
        cells = json.dumps(line.cells, ensure_ascii=False)
        self._waiting.append((self._place(product), self._number, line.file, line.number, cells, line.fault))
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def also(self, name: str, product: str) -> None:
        """Lines that were, or will be, added under `name` belong to `product`."""
        self._database.execute("insert or ignore into others values (?, ?)", (name, product))

    def take(self, identifier: str) -> bool:
        """Whether an id of a product was free until now."""
        return self._database.execute("insert or ignore into ids values (?)", (identifier,)).rowcount == 1

    def groups(self) -> Iterator[list[Line]]:
        """The lines of each product, in the order of the export."""
        self._flush()
        self._join()
        found = self._database.execute("select place, file, record, cells, fault from lines order by place, number")
        for _, rows in groupby(found, key=lambda row: row[0]):
            while some := [
                Line(file, record, json.loads(cells), fault)
                for _, file, record, cells, fault in islice(rows, MOST_LINES)
            ]:
                yield some

    def close(self) -> None:
        self._database.close()

    def _place(self, product: str) -> int:
        if self._last[0] == product and self._last[1] >= 0:
            return self._last[1]
        found = self._database.execute("select place from products where name = ?", (product,)).fetchone()
        if found is None:
            self._places += 1
            self._database.execute("insert into products values (?, ?)", (product, self._places))
            found = (self._places,)
        self._last = product, found[0]
        return int(found[0])

    def _flush(self) -> None:
        self._database.executemany("insert into lines values (?, ?, ?, ?, ?, ?)", self._waiting)
        self._waiting = []

    def _join(self) -> None:
        """Give lines under another name to their product; once, since that product may be another's in turn, and all
        passes must find the same."""
        if self._is_joined:
            return
        self._is_joined = True
        self._database.execute(
            """
            update lines set place = joined.of from (
                select here.place as place, there.place as of from others
                join products as here on here.name = others.name
                join products as there on there.name = others.product
            ) as joined where lines.place = joined.place
            """
        )
