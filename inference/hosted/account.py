"""The connection of a process to the hosted API, shared by all its shards: loop, client, slots, pace, money."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from inference.hosted.client import ApiKey, BflClient, Pace
from inference.hosted.money_limit import MoneyLimit
from inference.models.specs import ModelSpec

JOURNAL_THREADS = 12

Result = TypeVar("Result")


class Account:
    """One event loop in one background thread, and what all shards of the process share of an account."""

    def __init__(self, base_url: str, key: ApiKey, in_flight: int) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread_of_loop = threading.Thread(target=self.loop.run_forever, name="bfl", daemon=True)
        self._thread_of_loop.start()
        self._threads = ThreadPoolExecutor(JOURNAL_THREADS, thread_name_prefix="bfl-journal")
        self._paces: dict[str, Pace] = {}
        self._money: dict[tuple[str, str], MoneyLimit] = {}
        self._lock = threading.Lock()
        self.client, self.slots = self._call(self._open(base_url, key, in_flight))

    async def _open(self, base_url: str, key: ApiKey, in_flight: int) -> tuple[BflClient, asyncio.Semaphore]:
        return BflClient(base_url, key), asyncio.Semaphore(in_flight)

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """What blocks (journal, pictures), beside the loop."""
        return await self.loop.run_in_executor(self._threads, lambda: work(*args))

    def pace(self, spec: ModelSpec) -> Pace:
        """How long pictures of a model take, as far as this process has seen."""
        return self._paces.setdefault(spec.name, Pace(spec.first_look))

    def money(self, store: str, run: str, limit: float | None, spent: Callable[[], float]) -> MoneyLimit:
        """The money of a run that all its shards in this process share."""
        with self._lock:
            if (store, run) not in self._money:
                self._money[store, run] = MoneyLimit(limit, spent() if limit is not None else 0.0)
            return self._money[store, run]

    def close(self) -> None:
        self._call(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread_of_loop.join(5)
        self.loop.close()


_accounts: dict[tuple[int, str, str, int], Account] = {}
_accounts_lock = threading.Lock()


def account_of(base_url: str, key: ApiKey, in_flight: int) -> Account:
    """The process's connection of an account; a fork gets its own."""
    name = (os.getpid(), base_url, hashlib.sha256(key.text.encode()).hexdigest(), in_flight)
    with _accounts_lock:
        if name not in _accounts:
            _accounts[name] = Account(base_url, key, in_flight)
        return _accounts[name]


def close_accounts() -> None:
    """Close the connections of this process; engines made later open new ones."""
    with _accounts_lock:
        mine = [name for name in _accounts if name[0] == os.getpid()]
        accounts = [_accounts.pop(name) for name in mine]
    for account in accounts:
        account.close()


atexit.register(close_accounts)
