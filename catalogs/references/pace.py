"""How often a web server is asked, and when no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class _Server:
    slots: threading.Semaphore
    next: float = 0.0
    failures: int = 0
    silent: str = ""


@dataclass
class Pace:
    """Turns at the servers of a run. Safe between threads.

    Attributes:
        a_second: requests a second at one host.
        at_once: requests under way at one host.
        silent_after: photos in a row that fail before a host is asked no more.
    """

    a_second: float
    at_once: int
    silent_after: int
    _servers: dict[str, _Server] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def turn(self, host: str) -> Iterator[float]:
        """Wait for a turn at a host, and hold it for the block; yields the seconds that were waited."""
        server, began = self._server(host), time.monotonic()
        with server.slots:
            with self._lock:
                start = max(time.monotonic(), server.next)
                server.next = start + 1 / self.a_second
            self.wait(start - time.monotonic())
            yield time.monotonic() - began

    def wait(self, seconds: float) -> None:
        """Sleep, unless the run is being stopped."""
        if seconds > 0:
            self._stopped.wait(seconds)

    def hold_off(self, host: str, seconds: float) -> None:
        """Ask a host no earlier than in so many seconds."""
        server = self._server(host)
        with self._lock:
            server.next = max(server.next, time.monotonic() + seconds)

    def answered(self, host: str) -> None:
        self._server(host).failures = 0

    def failed(self, host: str, problem: str, is_of_host: bool) -> None:
        """Count a photo that could not be had.

        Args:
            is_of_host: no other of this host can be had either.
        """
        server = self._server(host)
        with self._lock:
            server.failures += 1
            if is_of_host or server.failures >= self.silent_after:
                server.silent = server.silent or problem

    def silent(self, host: str) -> str:
        """Why a host is asked no more in this run, "" where it is."""
        return self._server(host).silent

    def stop(self) -> None:
        """End all waiting."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def _server(self, host: str) -> _Server:
        with self._lock:
            if host not in self._servers:
                self._servers[host] = _Server(threading.Semaphore(self.at_once))
            return self._servers[host]
