"""The connection of a process to the hosted API, shared by all its shards: loop, client, slots, pace, money."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import threading

from catalogs.journal.spend import Journal
from catalogs.money import Micro
from inference.hosted.client import ApiKey, BflClient
from inference.hosted.pace import Pace
from inference.hosted.settings import HostedSettings
from inference.hosted.till import Till
from inference.models.specs import ModelSpec
from inference.remote.loop import Loop

JOURNAL_THREADS = 12
CREDITS_SECONDS = 10.0


class Account:
    """One event loop in one background thread, and what all shards of the process share of an account.

    Attributes:
        slots: one for each task in flight.
        submits: one for each submit that may be on its way to its answer: what a kill leaves unknown.
        name: stands for the account where it is written down; tells nothing of its key.
    """

    def __init__(self, base_url: str, key: ApiKey, in_flight: int, unanswered: int) -> None:
        self._loop = Loop("bfl", JOURNAL_THREADS)
        self.loop, self.thread = self._loop.loop, self._loop.thread
        self._paces: dict[str, Pace] = {}
        self._tills: dict[tuple[str, str], Till] = {}
        self._lock = threading.Lock()
        self.name = hashlib.sha256(f"{base_url} {key.text}".encode()).hexdigest()[:8]
        self.client, self.slots, self.submits = self._loop.call(self._open(base_url, key, in_flight, unanswered))

    async def _open(
        self, base_url: str, key: ApiKey, in_flight: int, unanswered: int
    ) -> tuple[BflClient, asyncio.Semaphore, asyncio.Semaphore]:
        return BflClient(base_url, key), asyncio.Semaphore(in_flight), asyncio.Semaphore(unanswered)

    def pace(self, spec: ModelSpec) -> Pace:
        """How long pictures of a model take, as far as this process has seen."""
        return self._paces.setdefault(spec.name, Pace(spec.first_look))

    def till(self, journal: Journal, settings: HostedSettings) -> Till:
        """The money of a run that all its shards in this process share."""
        name = (journal.store.root, journal.run_id)
        with self._lock:
            if name not in self._tills:
                self._tills[name] = Till(journal, settings)
            return self._tills[name]

    def credits(self) -> Micro | None:
        """`BflClient.credits`, for a thread beside the loop; raises TimeoutError as well."""
        return self._loop.call(asyncio.wait_for(self.client.credits(), CREDITS_SECONDS))

    def close(self) -> None:
        self._loop.close(self.client.close())


_accounts: dict[tuple[int, str, str, int, int], Account] = {}
_accounts_lock = threading.Lock()


def account_of(settings: HostedSettings, key: ApiKey) -> Account:
    """The process's connection of an account; a fork gets its own."""
    in_flight = max(1, settings.in_flight // settings.machines)
    unanswered = min(settings.unanswered, in_flight)
    hidden = hashlib.sha256(key.text.encode()).hexdigest()
    name = (os.getpid(), settings.base_url, hidden, in_flight, unanswered)
    with _accounts_lock:
        if name not in _accounts:
            _accounts[name] = Account(settings.base_url, key, in_flight, unanswered)
        return _accounts[name]


def close_accounts() -> None:
    """Close the connections of this process; engines made later open new ones."""
    with _accounts_lock:
        mine = [name for name in _accounts if name[0] == os.getpid()]
        accounts = [_accounts.pop(name) for name in mine]
    for account in accounts:
        account.close()


atexit.register(close_accounts)
