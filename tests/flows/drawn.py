"""What the processes of a test drew, and that an output is complete and exact."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.flows.projects import Project, plan_rows
from tests.flows.ray_nodes import AUTHENTICATION, Node

ROOT = Path(__file__).parents[2]
NAMES = ("kind", "look", "shot", "channel", "variation")


@dataclass(frozen=True)
class Drawn:
    """Slowed proofs of all processes that got `environment`."""

    log: Path
    seconds: float

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(ROOT / "tests" / "flows" / "slowed"), str(ROOT)))
        told = {"PACKSHOT_TEST_LOG": str(self.log), "PACKSHOT_TEST_SECONDS": str(self.seconds)}
        return {"PYTHONPATH": path, **told, **AUTHENTICATION}

    def clear(self) -> None:
        """Forget what was drawn; the processes append, and so go on."""
        if self.log.exists():
            os.truncate(self.log, 0)

    def lose_device(self) -> None:
        """The next proof that is drawn finds its device broken."""
        Path(f"{self.log}.lose").touch()

    def lines(self) -> list[tuple[int, str]]:
        """(process id, render fingerprint) in order."""
        text = self.log.read_text() if self.log.exists() else ""
        return [(int(pid), name) for pid, name in (line.split() for line in text.splitlines())]

    def wait_for(self, count: int, node: Node | None = None, seconds: float = 90.0) -> None:
        """Until so many proofs are drawn, on this node if given."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pids = node.pids if node else None
            if sum(pids is None or pid in pids for pid, _ in self.lines()) >= count:
                return
            time.sleep(0.02)
        raise AssertionError(f"only {len(self.lines())} proofs were drawn in {seconds} s")


def start(environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """`packshot` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def check_output(project: Project) -> None:
    """Every planned asset once, current, with the bytes its row names, equal to those of a clean run."""
    plan = {tuple(row[n] for n in NAMES): row for row in plan_rows(project.plan())}
    assert {row["action"] for row in plan.values()} == {"unchanged"}
    view = project.view(masters=True)
    assert set(view) == set(plan)
    for key, row in view.items():
        assert (row["status"], row["fingerprint"]) == ("delivered", plan[key]["fingerprint"])
        assert hashlib.sha256(project.store.read(row["asset_key"])).hexdigest() == row["sha256"]
    assert {key: row["sha256"] for key, row in _clean(project).items()} == {k: r["sha256"] for k, r in view.items()}


def _clean(project: Project) -> dict[tuple[Any, ...], dict[str, Any]]:
    output = project.campaign["output"]
    project.campaign["output"] = "clean"
    project.write()
    project.render()
    view = project.view(masters=True)
    project.campaign["output"] = output
    project.write()
    return view
