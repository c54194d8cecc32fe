"""What a process worker starts in place of Prefect's engine, so that a run outlives a worker that is stopped.

A worker that is told to end kills what it started within three seconds (3.8.8), and a run needs longer than that to
commit what it has. So it gets this process to kill, and the engine works in one beside it, in a session of its own.
That one sees the end of this one, whatever ended it, and tells itself to end in order (`flows.stops`).

    python -m flows.guarded          as `command` of a job of a process work pool
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType

from flows.signals import TO_END, handled
from tasks.log_lines import set_up

_INNER = "--inner"


def main() -> None:
    """Guard an engine, or be the one that is guarded."""
    if sys.argv[1:2] == [_INNER]:
        _run_engine(int(sys.argv[2]))
        return
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "flows.guarded", _INNER, str(ours)]
    engine = subprocess.Popen(command, pass_fds=(ours,), start_new_session=True)
    os.close(ours)

    def forward(number: int, frame: FrameType | None) -> None:
        engine.send_signal(number)

    with handled(forward, *TO_END):
        code = engine.wait()
    os.close(theirs)
    if code < 0:  # what killed it is for the worker to say
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _run_engine(guard: int) -> None:
    """The engine itself, as `python -m prefect.engine` is."""
    threading.Thread(target=_end_with, args=(guard,), name="guard", daemon=True).start()
    set_up()  # before Prefect is imported
    sys.argv = ["prefect.engine"]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def _end_with(guard: int) -> None:
    """End in order once nobody holds the other end of a pipe: the guard was killed, with the worker or by it."""
    os.read(guard, 1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # nobody reads the worker's pipes any more, and a log line must not break the run
        os.dup2(nothing, output)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
