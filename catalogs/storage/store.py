"""Where bytes live: (file system, root) as one small class, and the one seam for its errors.

A key is relative and `/`-separated. Nothing is ever seen half written: on a local disk every write goes
to a temporary name in the target folder and is moved into place, on an object store a PUT is atomic.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import fsspec

from catalogs.errors import OptionError, PackshotError, StorageError
from catalogs.storage.errors import FILE_FOR_FOLDER, is_foreign, mendable, reason_of, secrets_of
from catalogs.storage.filesystems import Entry, Files, Folder, Objects, connect, join_key
from catalogs.storage.uris import absolute_uri, join_uri, masked, resolve_uri, split_uri

__all__ = [
    "CommitResult",
    "Entry",
    "MissingKey",
    "Stamp",
    "Store",
    "join_uri",
    "read_uri",
    "resolve_uri",
    "split_uri",
    "stat_uri",
    "write_uri",
]

CommitResult = Literal["committed", "exists-same", "exists-other"]

_CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".yaml": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
}


class MissingKey(StorageError):
    """A key that the store does not hold."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a changed file from an unchanged one without reading it: bytes, and ETag or mtime in ns."""

    size: int
    tag: str


@dataclass(frozen=True)
class Store:
    """Files below one root, local or in an object store; make one with `Store.at`.

    Holds no connection: it pickles, and may cross a fork. Safe to share between threads.

    Attributes:
        root: an absolute local path, or `protocol://...`, without a slash at the end.
        options: fsspec storage options; may hold secrets and so never shows.
    """

    root: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def at(cls, uri: str, options: Mapping[str, Any] | None = None) -> Store:
        """The store at a local path (relative ones are made absolute), `file://`, `s3://bucket/prefix`
        or any other fsspec URI. Touches neither disk nor network; raises OptionError."""
        root = absolute_uri(uri, lambda problem, fix: OptionError(masked(uri), "", problem, fix))
        return cls(root, dict(options or {}))

    @property
    def is_local(self) -> bool:
        return "://" not in self.root

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem of this process, for pyarrow; call under `seam`."""
        return fsspec.filesystem("file") if self.is_local else connect(self.root, self.options)[0]

    def path(self, key: str = "") -> str:
        """What `filesystem` calls the key, or the root."""
        base = self.root if self.is_local else connect(self.root, self.options)[1]
        return join_key(base, self._checked(key)) if key else base

    def uri(self, key: str = "") -> str:
        """The key as `read_uri` takes it, an absolute path where the store is local."""
        return join_key(self.root, self._checked(key)) if key else self.root

    def read(self, key: str) -> bytes:
        """All bytes of a key; raises MissingKey."""
        with self.seam("read", key):
            return self._files().read(self._checked(key))

    def read_or_none(self, key: str) -> bytes | None:
        try:
            return self.read(key)
        except MissingKey:
            return None

    def write(self, key: str, data: bytes, content_type: str | None = None) -> None:
        """Write or replace a key; readers see the old bytes or the new ones."""
        with self.seam("write", key):
            self._files().write(self._checked(key), data, content_type or _content_type(key))

    def write_file(self, key: str, local_path: str) -> None:
        """`write` for a large local file, never held in memory as a whole."""
        with self.seam("write", key):
            self._files().write_file(self._checked(key), local_path, _content_type(key))

    def create(self, key: str, data: bytes) -> bool:
        """Write a key that must not exist: False, and nothing changed, when it does.

        A client that had to send twice gets False for its own bytes: see `commit`. Exclusive wherever the
        server checks and writes as one (a local disk, AWS, most others). OpenStack Swift does not: there
        the key is read again a moment later, which leaves two winners only if their PUTs overlap for long.
        """
        with self.seam("create", key):
            return self._files().create(self._checked(key), data, _content_type(key))

    def commit(self, key: str, data: bytes) -> CommitResult:
        """`create` that survives a lost answer.

        "exists-same": these very bytes are there, ours or an equal twin's, which is as good as committed;
        "exists-other": another writer came first.
        """
        try:
            if self.create(key, data):
                return "committed"
        except StorageError:
            stored = self.read_or_none(key)
            if stored is None:
                raise
        else:
            stored = self.read(key)
        return "exists-same" if stored == data else "exists-other"

    def list(self, prefix: str = "") -> dict[str, Entry]:
        """The files below a folder by key, in order; {} when there is none. Temporary names are hidden."""
        folder = prefix.rstrip("/")
        with self.seam("list", folder):
            found = self._files().list(self._checked(folder) if folder else "")
        return dict(sorted(found.items()))

    def list_names(self, prefix: str) -> dict[str, Entry]:
        """The files whose keys begin with `prefix`, which need not end at a folder, in order."""
        with self.seam("list", prefix):
            found = self._files().list_names(prefix)
        return dict(sorted(found.items()))

    def folders(self, prefix: str = "") -> Sequence[str]:
        """Names of the folders in a folder, in order; [] when there is none. What lies in them is not listed."""
        folder = prefix.rstrip("/")
        with self.seam("list", folder):
            return sorted(self._files().folders(self._checked(folder) if folder else ""))

    def stat(self, key: str) -> Entry:
        """Size, time and tag of a key; raises MissingKey."""
        with self.seam("stat", key):
            return self._files().stat(self._checked(key))

    def exists(self, key: str) -> bool:
        try:
            self.stat(key)
        except MissingKey:
            return False
        return True

    def refuse_files(self, folders: Iterable[str]) -> None:
        """Raises OptionError where a local file stands in the place of one of these folders; asks no bucket."""
        for folder in folders if self.is_local else ():
            path = self.uri(folder)
            if os.path.lexists(path) and not os.path.isdir(path):
                raise OptionError(path, "", *FILE_FOR_FOLDER)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete keys; missing ones are fine. Raises StorageError when one of them is kept."""
        wanted = [self._checked(key) for key in keys]
        if wanted:
            with self.seam("delete", wanted[0]):
                self._files().delete(wanted)

    def stale_temporaries(self, older_than: timedelta) -> tuple[str, ...]:
        """Keys of the temporary files that killed writers left; only a local store has any."""
        if not self.is_local:
            return ()
        limit = datetime.now(UTC) - older_than
        with self.seam("list", ""):
            found = Folder(self.root).list("", temporary=True)
        return tuple(sorted(key for key, entry in found.items() if entry.modified < limit))

    @contextmanager
    def seam(self, action: str, key: str = "") -> Iterator[None]:
        """Translate foreign errors of the block: the only place where that is done.

        Raises MissingKey, StorageError, or OptionError for what the user can mend (credentials, a bucket or
        permission that is missing).
        """
        try:
            yield
        except PackshotError:
            raise
        except Exception as error:
            if not is_foreign(error):
                raise
            raise self._translated(error, action, key) from error

    def _translated(self, error: Exception, action: str, key: str) -> PackshotError:
        place = join_key(self.root, key) if key else self.root
        reason = reason_of(error, secrets_of(self.options))
        advice = mendable(error, reason)
        if advice is not None:
            return OptionError(place, "", *advice)
        if isinstance(error, FileNotFoundError) and action in {"read", "stat"}:
            return MissingKey(f"{place}: no such file")
        return StorageError(f"{place}: cannot {action}: {reason}")

    def _files(self) -> Files:
        return Folder(self.root) if self.is_local else Objects(*connect(self.root, self.options))

    def _checked(self, key: str) -> str:
        if "\0" in key or any(part in {"", ".", ".."} for part in key.split("/")):
            raise StorageError(f"{self.root}: {key!r} is not a key: relative, no empty, '.' or '..' part")
        return key


def read_uri(uri: str, options: Mapping[str, Any] | None = None) -> bytes:
    """All bytes of an absolute path or URI; raises MissingKey."""
    store, name = _located(uri, options)
    return store.read(name)


def write_uri(uri: str, data: bytes) -> None:
    """Write or replace an absolute path or URI; raises OptionError for a device, a pipe or a folder."""
    store, name = _located(uri, None)
    path = store.uri(name)
    if store.is_local and os.path.exists(path) and not os.path.isfile(path):
        raise OptionError(path, "", "is no file, and is not replaced by one", "name a file")
    store.write(name, data)


def stat_uri(uri: str, options: Mapping[str, Any] | None = None) -> Stamp:
    """Stamp of an absolute path or URI; raises MissingKey."""
    store, name = _located(uri, options)
    entry = store.stat(name)
    return Stamp(entry.size, entry.tag)


def _located(uri: str, options: Mapping[str, Any] | None) -> tuple[Store, str]:
    folder, name = split_uri(Store.at(uri).root)
    return Store.at(folder, options), name


def _content_type(key: str) -> str | None:
    return _CONTENT_TYPES.get(posixpath.splitext(key)[1].lower())
