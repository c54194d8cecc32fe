"""A loop in a thread of its own, at its end."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from inference.remote.loop import Loop


async def nothing() -> None:
    return


def test_what_passes_over_the_first_cancel_has_ended_too() -> None:
    ended = []

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    loop, began = Loop("stubborn", 1), time.monotonic()
    asyncio.run_coroutine_threadsafe(stubborn(), loop.loop)
    loop.call(nothing())
    loop.close(nothing())
    assert ended == [True]
    assert time.monotonic() - began < 30
