"""Told to stop from elsewhere: the flow run's state, polled by one thread of every process that renders.

Prefect stops a run that its worker started; a run started by hand, or a shard in a Ray process, would go on to
its end. Polling makes a cancel drain and commit everywhere, at one small request every few seconds a process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from tasks.stopping import cancelled, stopping

POLL_SECONDS = 3.0

_logger = logging.getLogger(__name__)
_watches: dict[UUID, _Watch] = {}
_lock = threading.Lock()


class _Watch:
    """Sets `stopping` once its flow run is being cancelled."""

    def __init__(self, flow_run: UUID) -> None:
        self._flow_run, self._ended = flow_run, threading.Event()
        # In a copy of the context: in a Ray process the server's address is known there alone.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="cancel-watch", daemon=True)

    def start(self) -> None:
        with _client() as client:
            self._look(client)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with _client() as client:
            while not self._ended.wait(POLL_SECONDS) and not stopping.is_set():
                self._look(client)

    def _look(self, client: SyncPrefectClient) -> None:
        try:
            state = client.read_flow_run(self._flow_run).state
        except Exception as error:  # a server that is away cancels nothing; the next look may reach it
            _logger.debug("the state of flow run %s is unknown: %s", self._flow_run, error)
            return
        if state is not None and (state.is_cancelling() or state.is_cancelled()):
            cancelled.set()
            stopping.set()


def _client() -> SyncPrefectClient:
    """A client of our own: the one of the flow's context is closed with its task."""
    return get_client(httpx_settings={"timeout": 10.0}, sync_client=True)


def watch(flow_run: UUID | None) -> None:
    """Watch a flow run from this process until it ends or `watching` lets go; again for the same run is free.

    Without a server of its own (the one Prefect starts for a single run) nobody can cancel, and nothing is watched.
    """
    if flow_run is None or not get_current_settings().api.url:
        return
    with _lock:
        if flow_run not in _watches:
            _watches[flow_run] = _Watch(flow_run)
            _watches[flow_run].start()


@contextmanager
def watching(flow_run: UUID | None) -> Iterator[None]:
    """`watch` while the block runs."""
    watch(flow_run)
    try:
        yield
    finally:
        with _lock:
            found = _watches.pop(flow_run, None) if flow_run else None
        if found is not None:
            found.end()
