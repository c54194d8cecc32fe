"""Told to end: what every loop of a run looks at, and what is done where it does not end in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Set to end a run early: shards stop between batches and commit what they have.
stopping = threading.Event()

# Set beside it when a person ended the run; `stopping` alone may also be the end of the money.
cancelled = threading.Event()

# Set beside both when the process was told to end: no further run begins in it.
ending = threading.Event()

_log = logging.getLogger(__name__)
_open: list[Callable[[], object]] = []
_lock = threading.Lock()


def begin() -> None:
    """A run begins: what ended the one before it does not end it, unless the process ends."""
    if not ending.is_set():
        stopping.clear()
        cancelled.clear()


def end() -> None:
    """End what runs in this process, and begin nothing more in it."""
    ending.set()
    cancelled.set()
    stopping.set()


@contextmanager
def closing(close: Callable[[], object]) -> Iterator[None]:
    """Let `close_all` call something as long as the block has not come to its end, which does the same itself.

    Args:
        close: may be called while the block works, from another thread.
    """
    with _lock:
        _open.append(close)
    try:
        yield
    finally:
        with _lock:
            _open.remove(close)


def close_all() -> None:
    """Close what is open, the last first: the process ends now, whatever still works in it."""
    with _lock:
        found = _open[::-1]
    for close in found:
        try:
            close()
        except Exception as error:  # the others are closed all the same
            _log.error("not closed: %s: %s", type(error).__name__, error)
