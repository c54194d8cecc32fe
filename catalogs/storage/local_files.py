"""Files of a local disk that are files: a FIFO waits for its writer when it is opened, a device may have no end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import BinaryIO

from catalogs.errors import OptionError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class NotAFile(OSError):
    """What lies at a path has bytes that cannot be read once and for all; the message says what it is."""


_KINDS = (
    (stat.S_ISFIFO, "a FIFO, not a file"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISCHR, "a device, not a file"),
    (stat.S_ISBLK, "a device, not a file"),
)


def file_status(path: str) -> os.stat_result:
    """`os.stat` of a regular file.

    Raises:
        NotAFile: it is something else, or a link that leads back to itself.
        IsADirectoryError: it is a folder.
        OSError: as `os.stat`.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise NotAFile(errno.ELOOP, "a link that leads back to itself, not a file", path) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    for is_kind, text in _KINDS:
        if is_kind(status.st_mode):
            raise NotAFile(errno.EINVAL, text, path)
    return status


def open_file(path: str) -> BinaryIO:
    """A regular file, opened for reading; raises as `file_status`."""
    file_status(path)
    # What was put in its place since then must not make us wait either.
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for the time of a block.

    Raises:
        OptionError: there is no room for it, or for what the block writes into it.
    """
    try:
        with TemporaryDirectory(prefix="packshot-") as name:
            yield Path(name)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        where, problem = gettempdir(), f"cannot be written ({error.strerror})"
        raise OptionError(where, "", problem, "free some space, or set TMPDIR") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False
