"""A disk that fills in mid-run: one line at once, and what is committed stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.drawn import ROOT
from tests.flows.projects import Project
from tests.servers import missing

# A disk of its own, in a name space of its own: no root is needed where the kernel allows that.
SCRIPT = """
mount -t tmpfs -o size={size} tmpfs {disk} || exit 77
"$@"
code=$?
cp -r {disk}/. {kept}
exit $code
"""


def on_a_small_disk(
    folder: Path, size: str, *command: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command while `folder`/disk is a disk of this size; what it holds in the end is in `folder`/kept."""
    disk, kept = folder / "disk", folder / "kept"
    disk.mkdir()
    kept.mkdir()
    script = SCRIPT.format(size=size, disk=disk, kept=kept)
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        missing("this kernel lets nobody mount a small disk")
    return done


def packshot(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from flows.cli import main; main()", *arguments]


@pytest.mark.timeout(240)
def test_a_full_disk_is_said_once_and_nothing_is_lost(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    project = Project.of(tmp_path / "project", 40, output=str(tmp_path / "disk" / "output"))
    started = time.monotonic()
    done = on_a_small_disk(tmp_path, "500k", *packshot("render", project.path), environment=prefect_server)
    seconds = time.monotonic() - started
    assert done.returncode in {1, 2}, done.stdout + done.stderr
    assert "the disk is full; free some space, then run again: what is committed stays" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert seconds < 35  # two delays between tries would be 35 s
    # The same folder on a larger disk: the run goes on, and nothing that was delivered is gone.
    kept = tmp_path / "kept" / "output"
    (tmp_path / "disk").rmdir()
    (tmp_path / "disk").symlink_to(tmp_path / "kept")
    before = {path: path.read_bytes() for path in (kept / "catalog").rglob("*.parquet")}
    view = project.view()
    assert len(view) == 160 or project.render()
    assert {path: path.read_bytes() for path in before} == before
    after = project.view()
    assert {key: after[key]["sha256"] for key in view} == {key: row["sha256"] for key, row in view.items()}
    assert {row["status"] for row in after.values()} == {"delivered"}
    assert len(after) == 160


@pytest.mark.parametrize("size", ["8k", "40k"])
def test_no_room_for_temporary_files_is_one_line(tmp_path: Path, size: str) -> None:
    project = Project.of(tmp_path / "project", 60)
    done = on_a_small_disk(
        tmp_path, size, *packshot("plan", project.path), environment={"TMPDIR": str(tmp_path / "disk")}
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written (No space left on device); free some space, or set TMPDIR" in done.stderr
    assert not list(tmp_path.glob("project/output/runs/*/*"))
