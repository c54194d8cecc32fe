"""The threads behind the engine: encode, hash, finish and store pictures while it makes the next ones."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any

THREADS = 4
# Pictures that may wait for a finisher. A kill loses at most these, the batch in the engine, and the one before it,
# whose pictures are taken when the engine has been given the next.
DEPTH = 8


class Finishers:
    """A bounded queue of work over a few threads; the first error stops whoever feeds it.

    Attributes:
        seconds: by stage, of all threads together; `blocked` is the time the feeder had to wait.
    """

    def __init__(self, threads: int = THREADS, depth: int = DEPTH) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="finish")
        self._slots = threading.Semaphore(depth)
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self.seconds: dict[str, float] = defaultdict(float)

    def __enter__(self) -> Finishers:
        return self

    def __exit__(self, *_: object) -> None:
        # What was handed in is finished, whatever happened to the rest.
        self._pool.shutdown(wait=True)

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        """Hand work in; waits while too much is waiting, which is how a slow store pushes back.

        Raises:
            BaseException: the first error of earlier work.
        """
        with self.stage("blocked"):
            self._slots.acquire()
        if self._error is not None:
            self._slots.release()
            raise self._error
        self._pool.submit(work, *arguments).add_done_callback(self._done)

    def drain(self) -> None:
        """Wait for everything handed in.

        Raises:
            BaseException: the first error of it.
        """
        self._pool.shutdown(wait=True)
        if self._error is not None:
            raise self._error

    def _done(self, future: Future[None]) -> None:
        # Nothing keeps the futures: a shard's pictures must not pile up behind them.
        error = future.exception()
        if error is not None and self._error is None:
            self._error = error
        self._slots.release()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside as spent on `name`."""
        started = perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[name] += perf_counter() - started
