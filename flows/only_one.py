"""One at a time of something on this machine: a lock that ends with its process, and says who has it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from catalogs.errors import OptionError
from inference.models.weights import cache_folder


@contextmanager
def only_one(what: str, option: str) -> Iterator[None]:
    """Hold the lock of something while the block runs.

    Args:
        what: for people; the same words are the same lock.
        option: the option that another choice is made by.

    Raises:
        OptionError: another process holds it.
    """
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(what.encode()).hexdigest()[:24]
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            problem = f"is served already, by {file.read().strip() or 'another process'}"
            raise OptionError(option, what, problem, "use that one, or end it first") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        file.flush()
        yield
