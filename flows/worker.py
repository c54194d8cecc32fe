"""A Prefect worker that waits for its runs when it is told to end.

Prefect's own (3.8.8) ends three seconds after a signal, and in a container all other processes end with the first.
A run that is told to end has processes of its own (`flows.guarded`); whoever starts the worker here stays until they
have ended: as process 1 of a container, or as what adopts orphans.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from flows.signals import TO_END, handled
from tasks.settings import stop_seconds

TEARDOWN_SECONDS = 10.0
"""What a run needs beyond its bound, to say that it has ended."""
_SET_CHILD_SUBREAPER = 36


def command(pool: str, limit: int, more: Sequence[str] = ()) -> list[str]:
    """A Prefect worker of a pool, with further arguments as `prefect worker start` takes them."""
    start = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", str(limit)]
    return [*start, *more]


def environment() -> dict[str, str]:
    """Of a worker: `python` is the one that runs here, whatever is first on the path of who started it."""
    here = os.path.dirname(sys.executable)
    return {**os.environ, "PATH": os.pathsep.join((here, os.environ.get("PATH", os.defpath)))}


def work(pool: str, limit: int, more: Sequence[str] = ()) -> int:
    """Run a worker until it ends or this process is told to; then wait for its runs. Returns its exit code."""
    patience = stop_seconds() + TEARDOWN_SECONDS
    adopt_orphans()
    worker = subprocess.Popen(command(pool, limit, more), env=environment(), start_new_session=True)

    def forward(number: int, frame: FrameType | None) -> None:
        worker.send_signal(signal.SIGTERM)

    with handled(forward, *TO_END):
        code = worker.wait()
        wait_for_children(patience)
    return 128 - code if code < 0 else code


def adopt_orphans() -> None:
    """Become the parent of what is left behind by processes below this one; only Linux knows that."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wait_for_children(seconds: float, but: int | None = None) -> bool:
    """Wait until no child is left, at most so long; whether none is.

    Args:
        but: a child that goes on.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not _has_children(but):
            return True
        time.sleep(0.1)
    return False


def _has_children(but: int | None) -> bool:
    """Whether a child is left, once those that ended are taken note of."""
    try:
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
    except ChildProcessError:
        return False
    if but is None:
        return True
    path = f"/proc/self/task/{os.getpid()}/children"
    try:
        with open(path) as file:
            return bool(set(map(int, file.read().split())) - {but})
    except OSError:  # no Linux, and so nothing was adopted
        return False
