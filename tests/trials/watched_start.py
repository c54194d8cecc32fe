"""A start of the command line that writes down what it does, and can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WATCHED = Path(__file__).with_name("watched.py")
SECONDS_A_PROOF = 0.03
WAIT = 120.0


class Start:
    """One start of the command line, with the log of what it did."""

    def __init__(self, folder: Path, number: int, environment: Mapping[str, str], *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self.command, self._log = arguments[0], folder / f"{number:03}.log"
        self._out, self._err = folder / f"{number:03}.out", folder / f"{number:03}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(WATCHED), str(self._log), str(SECONDS_A_PROOF), *arguments],
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def lines(self) -> list[list[str]]:
        """(moment, enter or leave, what, fingerprint) of every whole line."""
        text = self._log.read_text() if self._log.exists() else ""
        return [line.split(" ") for line in text.splitlines()]

    def count(self, edge: str, what: str) -> int:
        return sum(line[1:3] == [edge, what] for line in self.lines())

    def inside(self) -> set[str]:
        """What was entered and not left."""
        balance: Counter[str] = Counter()
        for _, edge, what, *_ in self.lines():
            balance[what] += 1 if edge == "enter" else -1
        return {what for what, depth in balance.items() if depth}

    def rendered(self) -> list[str]:
        """Fingerprints of the renders begun."""
        return [line[3] for line in self.lines() if line[1:3] == ["enter", "render"]]

    def wait(self, edge: str, what: str, count: int) -> bool:
        """Until it did that so often; False if it ended before."""
        until, seen = time.monotonic() + WAIT, -1
        while self.process.poll() is None and time.monotonic() < until:
            size = self._log.stat().st_size if self._log.exists() else 0
            if size != seen and self.count(edge, what) >= count:
                return True
            seen = size
            time.sleep(0.0003)
        return self.count(edge, what) >= count and self.process.poll() is None

    def kill(self) -> bool:
        """SIGKILL; False if it had ended already."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def end(self, *allowed: int) -> None:
        """Wait for its end with one of these exit codes."""
        assert self.process.wait(WAIT) in allowed, f"{self.command}: {self.process.returncode}\n{self.error()}"

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._out.read_text())
        return found

    def error(self) -> str:
        return self._err.read_text()[-3000:]

    def durations(self) -> dict[str, list[float]]:
        """Seconds of what was entered and left, by what."""
        begun: dict[tuple[str, str], float] = {}
        found: dict[str, list[float]] = defaultdict(list)
        for moment, edge, what, about in self.lines():
            if edge == "enter":
                begun[what, about] = float(moment)
            elif (what, about) in begun:
                found[what].append(float(moment) - begun.pop((what, about)))
        return found
