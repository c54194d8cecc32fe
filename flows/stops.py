"""Told to end by a signal: what ends within a bound is finished and committed, then the process goes.

SIGTERM is what workers, containers, service managers and clouds send; SIGINT is Ctrl-C. Prefect would raise an
exception in the middle of the flow for the one, Python for the other; here both only say that a run ends, as a cancel
in the UI does, and the flow comes to its own end: Cancelled, its lease gone. Where that takes longer than the bound,
what is stored is committed as it stands, and the process ends with work under way: the next run takes up its stored
masters.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Cancelled

from flows.signals import TO_END, handled
from tasks.log_lines import say
from tasks.settings import stop_seconds
from tasks.stopping import close_all, end, ending

EXIT_CODE = 130
MESSAGE = "told to end; what was finished is committed, the next run does the rest"
_log = logging.getLogger(__name__)
_runs: list[UUID] = []


@contextmanager
def ends_when_told(flow_run: UUID) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the flow run of the block in order; within another such block it joins that one."""
    _runs.append(flow_run)
    try:
        with nullcontext() if _Handler.is_installed else _Handler(stop_seconds()).installed():
            yield
    finally:
        _runs.remove(flow_run)


class _Handler:
    """What this process does when it is told to end.

    Args:
        seconds: until it ends in any case.
    """

    is_installed = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._hurry = threading.Event()
        self._left = threading.Event()

    @contextmanager
    def installed(self) -> Iterator[None]:
        _Handler.is_installed = True
        try:
            with handled(self._told, *TO_END):
                yield
        finally:
            self._left.set()
            self._hurry.set()
            _Handler.is_installed = False
            ending.clear()

    def _told(self, number: int, frame: FrameType | None) -> None:
        if ending.is_set():
            # A service manager tells everybody, and so does who is told: only a person means it twice.
            if number == signal.SIGINT:
                self._hurry.set()
            return
        end()
        threading.Thread(target=self._end_in_any_case, name="stop", daemon=True).start()

    def _end_in_any_case(self) -> None:
        self._hurry.wait(self._seconds)
        if self._left.is_set():
            return
        _log.warning("told to end %.0f s ago: what is stored is committed now, the rest is dropped", self._seconds)
        close_all()
        _mark_cancelled()
        _leave()


def _mark_cancelled() -> None:
    """Say of every flow run of this process that it has ended, the innermost first."""
    state: Any = Cancelled(message=MESSAGE)
    with suppress(Exception), get_client(httpx_settings={"timeout": 5.0}, sync_client=True) as client:
        for flow_run in reversed(_runs):
            client.set_flow_run_state(flow_run, state, force=True)


def _leave() -> None:
    """End the process, whatever its threads do."""
    say(f"error: {MESSAGE}")
    # Prefect's own server of a single run is a child that only its exit function stops.
    last = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    last.start()
    last.join(5.0)
    os._exit(EXIT_CODE)
