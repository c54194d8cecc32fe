"""Signals, handled while a block runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TO_END = (signal.SIGTERM, signal.SIGINT)
"""What tells a process to end: service managers, containers and clouds the one, Ctrl-C the other."""


@contextmanager
def handled(handle: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Let signals be handled so while the block runs; in another thread than the main one nothing can be handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
