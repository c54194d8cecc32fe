"""An event loop in a thread of its own, and threads beside it for what blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
CLOSE_SECONDS, AGAIN_SECONDS = 5.0, 1.0


class Loop:
    """The loop runs until it is closed.

    Args:
        name: of its thread.
        threads: for what blocks.
    """

    def __init__(self, name: str, threads: int) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"{name}-beside")

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of something that runs on the loop, for a thread beside it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def thread(self, work: Callable[..., Result], *args: Any) -> Result:
        """The result of something that blocks, for what runs on the loop."""
        return await self.loop.run_in_executor(self._threads, lambda: work(*args))

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """What still runs is cut off, and has let go of its connections before the loop ends.

        Args:
            last: awaited after that.
        """
        self.call(self._ended(last))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()
        self._threads.shutdown(wait=False)

    async def _ended(self, last: Coroutine[Any, Any, None]) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        end = self.loop.time() + CLOSE_SECONDS
        while under_way and self.loop.time() < end:
            for task in under_way:
                task.cancel()  # again, where what it waits for passes over the first
            # A connection is closed by the task that used it, after it hears of its end: that takes its time.
            _, under_way = await asyncio.wait(under_way, timeout=AGAIN_SECONDS)
        await last
