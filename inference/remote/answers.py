"""Answers of many jobs as they come, from an event loop to the thread that wants them."""

from __future__ import annotations

import asyncio
import math
import queue
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from catalogs.errors import EngineError, PackshotError

LOOK_AROUND = 0.5
QUIET_SECONDS = 15.0
"""Seconds of waiting after which a line says so, again and again."""

_DONE = object()


class Job(Protocol):
    """One request."""

    @property
    def label(self) -> str:
        """What it is, for people."""

    async def answer(self) -> Any:
        """What came of it, None where that is for somebody else to say."""


@dataclass
class Call:
    """Some jobs, and how they are brought to an end.

    Args:
        at_once: jobs that may be on their way, or answered and not taken over yet.
        is_ending: whether no further job is to begin.
        leaves: what is under way is left when it ends.
        settle: awaited before what is under way is cut off.
        halted: told what broke all of it, as it does.

    Attributes:
        halt: what broke all of it.
        closed: nobody wants the answers any more.
    """

    at_once: int
    is_ending: Callable[[], bool] = lambda: False
    leaves: bool = False
    settle: Callable[[], Awaitable[None]] | None = None
    halted: Callable[[PackshotError], None] | None = None
    halt: PackshotError | None = None
    closed: bool = False
    answers: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    permits: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.permits = asyncio.Semaphore(self.at_once)

    @property
    def ends(self) -> bool:
        return self.closed or self.is_ending()

    def stop(self, error: PackshotError) -> None:
        """Begin nothing more: the engine as a whole is broken."""
        self.halt = self.halt or error
        if self.halted:
            self.halted(error)


def stream(
    loop: asyncio.AbstractEventLoop,
    call: Call,
    jobs: Iterable[Job],
    waits: Callable[[float], None],
    patience: float | None = None,
) -> Iterator[Any]:
    """Answers of jobs as they come.

    Args:
        waits: told how many seconds nothing has come, again and again.
        patience: seconds without an answer after which the others are left.
    """
    work = asyncio.run_coroutine_threadsafe(_run(call, jobs), loop)
    try:
        while (answer := _next(call, waits, patience)) is not _DONE:
            loop.call_soon_threadsafe(call.permits.release)
            yield answer
    except queue.Empty:
        call.closed = True
    except BaseException:
        call.closed = True
        if call.settle:
            asyncio.run_coroutine_threadsafe(_awaited(call.settle), loop).result()
        work.cancel()
        raise
    work.result()


async def _awaited(settle: Callable[[], Awaitable[None]]) -> None:
    await settle()


def _next(call: Call, waits: Callable[[float], None], patience: float | None) -> Any:
    """The next answer of a call.

    Raises:
        queue.Empty: it did not come in time.
    """
    waited, until = 0.0, math.inf if patience is None else patience
    while waited < until:
        step = min(QUIET_SECONDS, until - waited)
        with suppress(queue.Empty):
            return call.answers.get(timeout=step)
        waited += step
        waits(waited)
    raise queue.Empty


async def _run(call: Call, jobs: Iterable[Job]) -> None:
    tasks: set[asyncio.Task[None]] = set()
    try:
        for job in jobs:
            await call.permits.acquire()
            if call.ends:
                break
            task = asyncio.create_task(_one(call, job))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks and not (call.leaves and call.ends):
            await asyncio.wait(tasks, timeout=LOOK_AROUND if call.leaves else None)
    finally:
        for task in tasks:
            task.cancel()
        call.answers.put(_DONE)


async def _one(call: Call, job: Job) -> None:
    """One request to its answer; what breaks the engine as a whole ends the call."""
    try:
        answer = await job.answer()
    except PackshotError as error:
        call.stop(error)
    except Exception as error:
        call.stop(EngineError(f"{job.label}: {type(error).__name__}: {error}"))
    else:
        if answer is not None:
            call.answers.put(answer)
            return
    call.permits.release()
