"""Runs commands of packshot, each in a process of its own with limits of time and memory.

The process of this module has imported what commands need and forks for each; it takes a case a line as JSON and
answers with a line: `Cages` is its other end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.flows.drawn import ROOT

SECONDS = 10.0
"""Of the processor: a busy machine is no fault of a command's."""
LAST = 60.0
"""Of the clock, after which a command that waits is killed."""
BYTES = 2**30
_LOOK_S = 0.002
# A last stop for the machine's sake; what counts is the memory that was really used.
_ADDRESS_SPACE = 16 * 2**30


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, minus the signal's number where one ended it.
        seconds: of the processor.
        peak: bytes of memory at its height.
        output: what it wrote on both outputs.
        errors: what it wrote on stderr.
    """

    code: int
    seconds: float
    peak: int
    output: str
    errors: str

    def fault(self) -> str:
        """What is wrong with such an end, "" where nothing is."""
        if self.seconds > SECONDS or self.code == -signal.SIGKILL:
            return f"hangs: {self.seconds:.1f} s of the processor"
        if self.peak > BYTES:
            return f"takes {self.peak // 2**20} MiB"
        if "Traceback" in self.output:
            return "a traceback"
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}"
        if "Warning: " in self.errors:
            return "a warning of a library"
        last = self.errors.strip().splitlines()[-1:]
        told = (last and last[0].startswith(("error: ", "warning: "))) or "which a plan leaves out" in self.output
        if self.code and not told:
            return "an exit code without its line"
        return ""


class Cages:
    """The process that forks; one after the other."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": "", "PACKSHOT_CACHE": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutations.cages"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, folder: Path, arguments: Sequence[str]) -> Ended:
        """Run `packshot ARGUMENTS` in a folder; "@make" for "packshot" renders without Prefect."""
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(json.dumps([str(folder), list(arguments)]) + "\n")
        to.flush()
        return Ended(**json.loads(back.readline()))


def main() -> None:
    _import_all()
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        print(json.dumps(_caged(Path(folder), arguments)), flush=True)


def _import_all() -> None:
    """What commands import when they run: once here, not in each child."""
    from PIL import Image

    import catalogs.gallery.gallery
    import catalogs.sample.sample
    import flows.cli
    import inference.proofs.engine
    import tasks.gallery
    import tasks.leftovers
    import tasks.outcome
    import tasks.prepare
    import tasks.verify
    import tests.flows.projects

    Image.init()
    del catalogs, flows, inference, tasks, tests


def _caged(folder: Path, arguments: list[str]) -> dict[str, Any]:
    began = time.monotonic()
    names = folder / ".stdout", folder / ".stderr"
    child = os.fork()
    if not child:
        _run(folder, arguments, names)
    code, seconds, peak = _waited(child, began)
    output, errors = (name.read_text(errors="replace")[-20_000:] for name in names)
    return {
        "code": code,
        "seconds": seconds,
        "peak": peak,
        "output": output + errors,
        "errors": errors,
    }


def _waited(child: int, began: float) -> tuple[int, float, int]:
    """Exit code, processor's seconds and peak memory of a child that is killed when its time is over."""
    ended = 0
    while not ended:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if not ended and time.monotonic() - began > LAST:
            os.killpg(child, signal.SIGKILL)
            ended, status, used = os.wait4(child, 0)
        if not ended:
            time.sleep(_LOOK_S)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def _run(folder: Path, arguments: list[str], names: tuple[Path, Path]) -> None:
    """In the child: never returns."""
    os.setsid()
    for number, name in enumerate(names, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    os.chdir(folder)
    code = 70
    try:
        sys.argv = ["packshot", *arguments]
        code = _command(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(arguments: list[str]) -> int:
    if arguments[0] == "@make":
        return _make(*arguments[1:])
    from flows.cli import main as packshot

    packshot()
    return 0


def _make(campaign: str, plan: str = "") -> int:
    """Plan, or take a plan, and render: as `packshot render`, without Prefect's server of some seconds."""
    from catalogs.errors import PackshotError, one_line
    from tasks.prepare import prepare
    from tests.flows.projects import make

    try:
        make(prepare(campaign, {}, plan or None))
    except PackshotError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    main()
