"""The command line, in this process and as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from flows.cli import main
from tests.bfl_server import KEY
from tests.flows.projects import Project


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Packshot = Callable[..., Said]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run `packshot ARGUMENTS`; its exit code."""
    monkeypatch.setattr(sys, "argv", ["packshot", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


class Command:
    """`packshot render` as its own process with the key of the hosted API, everything it says kept."""

    def __init__(self, project: Project, environment: Mapping[str, str]) -> None:
        self.project, self.said = project, b""
        self.out, self.err = project.folder.parent / "stdout", project.folder.parent / "stderr"
        debug = {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG"}
        self.environment = {**os.environ, **environment, **debug, "BFL_API_KEY": KEY, "PYTHONPATH": os.getcwd()}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        script = "import logging; logging.basicConfig(level=0); from flows.cli import main; main()"
        command = [sys.executable, "-c", script, "render", self.project.path, "--json", *arguments]
        # Into files: nobody reads a pipe while the tests wait for the moment to kill.
        with self.out.open("wb") as out, self.err.open("wb") as err:
            return subprocess.Popen(command, env=self.environment, start_new_session=True, stdout=out, stderr=err)

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        return self.finished(self.start(*arguments), [code])

    def failed(self, code: int) -> str:
        """What it says on the way to this exit code."""
        assert self.start().wait(120) == code
        return self.err.read_text()

    def finished(self, process: subprocess.Popen[bytes], codes: list[int]) -> dict[str, Any]:
        process.wait(240)
        self.said += self.out.read_bytes() + self.err.read_bytes()
        assert process.returncode in codes, self.err.read_text()[-3000:]
        summary: dict[str, Any] = json.loads(self.out.read_bytes())
        return summary
