"""The hosted engine: many requests in flight, each journaled before it is paid for.

`render` is a generator that hands answers over as they come from the event loop that all shards of a process share.
What happens to one request is told in `purchase`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx

from catalogs.errors import EngineError, OptionError, PackshotError, SpendError
from catalogs.journal.spend import Journal
from catalogs.requests import RenderRequest
from inference.engine import Engine, Failed, LoadReference, Rendered
from inference.hosted.account import account_of
from inference.hosted.client import ApiKey
from inference.hosted.money_limit import MoneyLimit
from inference.hosted.pictures import EncodedReferences, decode
from inference.hosted.purchase import Buyer, Purchase, Slot, Till
from inference.hosted.settings import HostedSettings
from inference.models.table import MODELS

# Pictures that may be finished and not taken over yet, beside those in flight.
AHEAD = 12

_DONE = object()


@dataclass
class _Call:
    """One `render`: its answers, and how it is brought to an end."""

    permits: asyncio.Semaphore
    answers: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    halt: PackshotError | None = None
    closed: bool = False


class BflEngine(Engine):
    """Renders with a hosted FLUX.2 model; implements `inference.engine.Engine`.

    Args:
        stopping: set by anybody to end the run: nothing new is submitted, what is in flight is collected. The
            engine sets it itself when credits or budget are at their end.
        slot: a limit beyond this process's own, around every task.

    Raises:
        OptionError: no usable key or base URL.
    """

    name = "bfl"

    def __init__(
        self,
        model: str,
        settings: HostedSettings,
        journal: Journal,
        load_reference: LoadReference,
        key: ApiKey,
        stopping: threading.Event,
        slot: Slot = nullcontext,
        spent: Callable[[], float] = lambda: 0.0,
    ) -> None:
        spec = MODELS[model]
        self.versions = {"bfl": spec.repository, "httpx": httpx.__version__}
        self._account = account_of(settings.base_url, key, max(1, settings.in_flight // settings.machines))
        self._buyer = Buyer(spec, settings, self._account, journal, EncodedReferences(load_reference), slot)
        self._settings, self._stopping, self._spent = settings, stopping, spent
        self._store = journal.store.root

    def bucket(self, request: RenderRequest) -> int:
        return 0

    def batch_size(self, request: RenderRequest) -> int:
        """A whole shard: the slots, not the batch, say how many are in flight."""
        return 1_000_000

    def render(self, batch: Sequence[RenderRequest]) -> Iterator[Rendered | Failed]:
        """Render requests, answers in the order they are done; those it did not come to get no answer.

        Raises:
            SpendError: credits or budget are at their end; what was in flight has been yielded.
            OptionError: the key is not accepted.
            StorageError: the journal could not be written; nothing more was submitted.
        """
        call = _Call(asyncio.Semaphore(self._settings.in_flight + AHEAD))
        till = Till(self._money(batch), lambda: self._is_ending(call))
        loop = self._account.loop
        work = asyncio.run_coroutine_threadsafe(self._run(call, till, batch), loop)
        try:
            while (answer := call.answers.get()) is not _DONE:
                loop.call_soon_threadsafe(call.permits.release)
                yield answer if isinstance(answer, Failed) else decode(answer)
        except BaseException:
            # The shard is broken. A submit is not cut off: its task would be paid for and unknown.
            call.closed = True
            asyncio.run_coroutine_threadsafe(till.settled(), loop).result()
            work.cancel()
            raise
        work.result()
        if call.halt:
            raise call.halt

    def _money(self, batch: Sequence[RenderRequest]) -> MoneyLimit:
        limit = self._settings.max_cost
        if limit is not None and self._settings.machines > 1:
            # Nobody here sees what the other machines spend: keep to what the plan allowed this shard.
            return MoneyLimit(sum(self._buyer.price(request) for request in batch), 0.0)
        return self._account.money(self._store, self._settings.run, limit, self._spent)

    async def _run(self, call: _Call, till: Till, batch: Sequence[RenderRequest]) -> None:
        tasks: set[asyncio.Task[None]] = set()
        try:
            for request in batch:
                await call.permits.acquire()
                if self._is_ending(call):
                    break
                task = asyncio.create_task(self._one(call, Purchase(self._buyer, till, request), request.label))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            while tasks:
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            call.answers.put(_DONE)

    def _is_ending(self, call: _Call) -> bool:
        return call.closed or call.halt is not None or self._stopping.is_set()

    async def _one(self, call: _Call, purchase: Purchase, label: str) -> None:
        """One request to its answer; what breaks the engine as a whole ends the call."""
        try:
            answer = await purchase.answer()
        except PackshotError as error:
            self._end(call, error)
        except Exception as error:
            self._end(call, EngineError(f"{label}: {type(error).__name__}: {error}"))
        else:
            if answer is not None:
                call.answers.put(answer)
                return
        call.permits.release()

    def _end(self, call: _Call, error: PackshotError) -> None:
        call.halt = call.halt or error
        if isinstance(error, SpendError | OptionError):
            self._stopping.set()
