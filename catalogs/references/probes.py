"""What is known of reference images, kept in a small SQLite file that several processes share.

It is a cache: a file that is broken, locked or not writable is replaced or done without, never an error.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from catalogs.storage.store import Stamp

_NAME = "references-2.sqlite"  # the number counts layouts of the table
_WAIT_SECONDS = 10.0
_TABLE = """
create table if not exists probes (
    uri text primary key, size integer, tag text,
    sha256 text, width integer, height integer, format text, mode text, is_clear integer, is_blank integer
) without rowid
"""
_FIND = """
select uri, sha256, width, height, format, mode, is_clear, is_blank from probes where uri = ? and size = ? and tag = ?
"""
_KEEP = "insert or replace into probes values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class ReferenceProbe:
    """A reference image, measured.

    Attributes:
        uri: absolute path or URI.
        sha256: hex digest of the file's bytes.

    The others are as in `catalogs.references.pictures.Measures`.
    """

    uri: str
    sha256: str
    width: int
    height: int
    format: str
    mode: str
    is_clear: bool = False
    is_blank: bool = False


def cache_folder() -> Path:
    """Where caches go: $PACKSHOT_CACHE, else ~/.cache/packshot."""
    return Path(os.environ.get("PACKSHOT_CACHE") or "~/.cache/packshot").expanduser()


class ProbeCache:
    """Probes by URI and stamp. Safe between threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def get(self, uri: str, stamp: Stamp) -> ReferenceProbe | None:
        """The probe of an unchanged file, or None."""
        rows = self._run(_FIND, (uri, stamp.size, stamp.tag))
        if not rows:
            return None
        found, sha256, width, height, format_, mode, clear, blank = rows[0]
        return ReferenceProbe(found, sha256, width, height, format_, mode, bool(clear), bool(blank))

    def put(self, probe: ReferenceProbe, stamp: Stamp) -> None:
        uri, *measures = astuple(probe)
        self._run(_KEEP, (uri, stamp.size, stamp.tag, *measures))

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def __del__(self) -> None:
        # A book may be dropped anywhere; since Python 3.13 SQLite complains of open connections.
        self._disconnect()

    def _run(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connected().execute(statement, values).fetchall()
            except sqlite3.OperationalError:  # locked for long, disk full, read-only
                return []
            except sqlite3.DatabaseError:
                self._start_over()
                with suppress(sqlite3.Error):
                    return self._connected().execute(statement, values).fetchall()
                return []

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():  # SQLite does not survive a fork
            self._process = os.getpid()
            self._connection = _open(self._path)
        return self._connection

    def _start_over(self) -> None:
        """Put a fresh file in the place of one that is no database."""
        self._disconnect()
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                os.unlink(f"{self._path}{suffix}")

    def _disconnect(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _prepared(str(path))
    except (OSError, sqlite3.OperationalError):
        return _prepared(":memory:")


def _prepared(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = off")
        connection.execute(_TABLE)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
