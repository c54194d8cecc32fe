"""The page's backup: a copy taken while a run goes on is whole, and a render takes up what it came too early for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.drawn import Drawn, check_output, start
from tests.flows.projects import Project
from tests.flows.test_render import packshot
from tests.servers import require
from tests.test_pages import blocks

PAGE = "deployments/README.md"


def copies() -> list[str]:
    """The lines of the page that make a backup."""
    (block,) = [block for block in blocks(PAGE) if "backup/" in block.text]
    return block.text.splitlines()


def copy(folder: Path, lines: list[str], between: Callable[[], object] = lambda: None) -> None:
    require("rsync")
    for line in lines:
        subprocess.run(line, shell=True, check=True, cwd=folder)
        between()


@contextmanager
def running(folder: Path, drawn: Drawn, environment: dict[str, str]) -> Iterator[Project]:
    """A project that is rendered just now, in many small shards; some are committed."""
    project = Project.of(folder, products=60, name="copied", output="output")
    told = {**environment, **drawn.environment}
    process = start(told, "render", project.path, "--workers", "1", "--shard-assets", "10")
    try:
        until = time.monotonic() + 90
        while len(project.store.list("catalog")) < 3:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield project
        assert process.poll() is None, "the copy was taken in mid-run"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def restored(project: Project, folder: Path) -> Project:
    """The same campaign on the copy."""
    again = Project(project.folder, project.products, project.brands, {**project.campaign, "output": str(folder)})
    again.write()
    return again


@pytest.mark.timeout(300)
def test_a_copy_of_a_running_output(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    drawn = Drawn(tmp_path / "drawn.log", 0.05)
    with running(tmp_path / "project", drawn, prefect_server) as project:
        copy(project.folder, copies(), lambda: time.sleep(1))  # more is committed between the steps
        made = len(drawn.lines())
    copied = restored(project, project.folder / "backup")
    delivered = {row["render_fingerprint"] for row in copied.view().values()}
    assert 0 < len(delivered) < made
    assert not copied.store.list("leases")

    done = packshot(prefect_server, "verify", copied.path, "--deep", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["missing"] == 0
    drawn.clear()
    done = packshot({**prefect_server, **drawn.environment}, "render", copied.path, "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["complete"]
    assert not delivered & {name for _, name in drawn.lines()}, "what was delivered is not made again"
    check_output(copied)


@pytest.mark.timeout(300)
def test_the_other_order_loses_what_came_between(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    """So the order is what keeps a copy whole, and `verify` sees where it was not kept."""
    drawn = Drawn(tmp_path / "drawn.log", 0.02)
    with running(tmp_path / "project", drawn, prefect_server) as project:
        bytes_then_commits = copies()[::-1]
        copy(project.folder, bytes_then_commits[:1])
        known = len(project.store.list("catalog"))
        until = time.monotonic() + 60
        while len(project.store.list("catalog")) < known + 2 and time.monotonic() < until:
            time.sleep(0.05)
        copy(project.folder, bytes_then_commits[1:])
    copied = restored(project, project.folder / "backup")
    done = packshot(prefect_server, "verify", copied.path, "--yes", "--json")
    assert json.loads(done.stdout)["missing"] > 0
