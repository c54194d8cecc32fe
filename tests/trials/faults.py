"""What goes wrong around packshot in a trial: the clock, a kill, a start that inherits nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from catalogs.assets import delivered
from catalogs.storage.store import Store

TOLD_THE_TIME = (
    "catalogs.assets.starts",
    "catalogs.assets.commits",
    "catalogs.plans.options",
    "tasks.before_render",
)
"""Modules that ask what time it is to order history, or what day it is to judge rights."""
POOLED = (
    *("catalogs.assets.commits", "catalogs.assets.sweep", "catalogs.assets.verification"),
    *("tasks.planning", "tasks.finishers", "tasks.shard", "tasks.takeover"),
)
"""Modules that work in threads: in one thread a kill falls on the same operation whenever a trial is repeated."""
_OPERATIONS = ("read", "write", "write_file", "create", "list", "list_names", "folders", "stat", "delete")


class Clock:
    """Stands for the class `datetime` in those modules: a moment that trials move as they like, a tick a look."""

    strptime = staticmethod(datetime.strptime)

    def __init__(self) -> None:
        self.moment = datetime.now(UTC).replace(hour=13, minute=17)

    def now(self, zone: Any = None) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment


class Killed(BaseException):
    """The process is dead: nothing may catch this and go on."""


class Faults:
    """Patches what a trial runs in; `close` ends that.

    Attributes:
        before_commit: called once, before the next commit is stored.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.before_commit: Callable[[], None] | None = None
        self._left: int | None = None
        self._is_late = False
        self._lock = threading.Lock()
        self._stack = ExitStack()
        for module in TOLD_THE_TIME:
            self._stack.enter_context(patch(f"{module}.datetime", self.clock))
        for module in POOLED:
            self._stack.enter_context(patch(f"{module}.ThreadPoolExecutor", Inline))
        self._stack.enter_context(patch.object(os, "fsync", lambda descriptor: None))  # no power is cut here
        for name in _OPERATIONS:
            self._stack.enter_context(patch.object(Store, name, self._watched(getattr(Store, name))))

    def close(self) -> None:
        self._stack.close()

    @contextmanager
    def killed_at(self, operation: int, is_late: bool) -> Iterator[None]:
        """Kill what runs in the block at an operation of its stores: from then on every one raises.

        Args:
            is_late: the operation is done all the same; only its answer is lost.
        """
        self._left, self._is_late = operation, is_late
        try:
            yield
        finally:
            self._left = None

    def _watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(store: Store, *arguments: Any, **named: Any) -> Any:
            with self._lock:
                left = self._left
                if left is not None:
                    self._left = left - 1
            if left is not None and (left < 0 or (left == 0 and not self._is_late)):
                raise Killed
            if real.__name__ == "create" and arguments[0].startswith("catalog/") and self.before_commit:
                call, self.before_commit = self.before_commit, None
                call()
            answer = real(store, *arguments, **named)
            if left == 0:
                raise Killed
            return answer

        return operation


class Inline:
    """A thread pool without threads."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future

    def map(self, work: Callable[..., Any], *items: Iterable[Any]) -> Iterator[Any]:
        return map(work, *items)

    def shutdown(self, wait: bool = True) -> None:
        pass


def new_process() -> None:
    """What is remembered between runs of one process is forgotten."""
    delivered._indexes.clear()
