"""Where an export is: a file, or a folder or prefix of them, brought to this machine; and the pictures beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from catalogs.errors import OptionError
from catalogs.imports.tables import READ
from catalogs.storage.store import MissingKey, Store
from catalogs.storage.uris import absolute_uri, bucket_of, split_uri

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"})
MOST_FILES = 200_000
"""That are looked through on a disk for pictures."""


@dataclass(frozen=True)
class Source:
    """An export.

    Attributes:
        root: its folder or prefix, absolute.
        name: what its campaign may be called.
        files: its tables: name for people, and path on this machine.
    """

    root: str
    name: str
    files: tuple[tuple[str, Path], ...]

    def picture(self, written: str) -> str | None:
        """Where a picture is: its URL, or the absolute path or URI of the file whose path ends as it is written.

        Shops write paths that begin at a media folder of theirs; None where no file, or more than one, fits, and for
        a URL that is none.
        """
        if "://" in written:
            return written if _is_address(written) else None
        wanted = PurePosixPath(written.lstrip("/"))
        ends = [one for one in self._pictures.get(wanted.name.lower(), ()) if _ends_with(one, wanted)]
        return ends[0] if len(ends) == 1 else next((one for one in ends if one == f"{self.root}/{wanted}"), None)

    def has(self, picture: str) -> bool:
        """Whether what `picture` found is below the root, and not elsewhere as the export says."""
        return "://" not in picture or picture.startswith(f"{self.root}/")

    @cached_property
    def _pictures(self) -> dict[str, list[str]]:
        """Picture files below the root by name, looked for once one is asked for."""
        found: dict[str, list[str]] = {}
        for key in _walked(self.root):
            if _suffix(key) in PICTURES:
                found.setdefault(PurePosixPath(key).name.lower(), []).append(f"{self.root}/{key}")
        return found


def _is_address(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).netloc)
    except ValueError:
        return False


def _walked(root: str) -> Iterator[str]:
    """Keys of the files below a root; of a disk at most so many, since an export may lie beside anything."""
    if bucket_of(root):
        yield from Store.at(root).list("")
        return
    files = (os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names)
    for path in islice(files, MOST_FILES):
        yield os.path.relpath(path, root)


def _ends_with(uri: str, wanted: PurePosixPath) -> bool:
    parts = PurePosixPath(uri).parts
    return tuple(part.lower() for part in parts[-len(wanted.parts) :]) == tuple(part.lower() for part in wanted.parts)


def find_source(uri: str, work: Path) -> Source:
    """Look at an export; what is in a bucket is copied into `work`.

    Raises:
        OptionError: there is nothing, or nothing that is read.
        StorageError: the store failed.
    """
    absolute = absolute_uri(uri, lambda problem, fix: OptionError("import", uri, problem, fix))
    is_folder = _is_folder(absolute)
    root, name = (absolute, "") if is_folder else split_uri(absolute)
    names = [name] if name else sorted(one for one in _names(root) if _suffix(one) in READ)
    if not names:
        kinds = ", ".join(sorted(one.lstrip(".") for one in READ))
        raise OptionError("import", uri, "holds no table", f"export one of {kinds} into it")
    called = PurePosixPath(name).stem if name else PurePosixPath(root).name
    return Source(root, called, tuple((one, _here(root, one, work)) for one in names))


def _names(root: str) -> Iterator[str]:
    """Of the files in a folder or prefix itself."""
    if bucket_of(root):
        return (key for key in Store.at(root).list("") if "/" not in key)
    return (entry.name for entry in os.scandir(root) if entry.is_file())


def _is_folder(absolute: str) -> bool:
    if not bucket_of(absolute):
        if not os.path.exists(absolute):
            raise OptionError("import", absolute, "there is no such file or folder", "correct the path")
        return os.path.isdir(absolute)
    return _suffix(absolute) not in READ


def _suffix(key: str) -> str:
    return PurePosixPath(key).suffix.lower()


def _here(root: str, name: str, work: Path) -> Path:
    if not bucket_of(root):
        return Path(root, name)
    store, path = Store.at(root), work / name
    try:
        with store.seam("read", name):
            store.filesystem.get(store.path(name), str(path))
    except MissingKey:
        raise OptionError("import", store.uri(name), "there is no such file", "correct the path") from None
    return path


def written_as(uri: str, folder: Path) -> str:
    """A picture's place as the catalog in `folder` names it: files of this machine by a relative path."""
    return uri if "://" in uri else os.path.relpath(uri, folder)
