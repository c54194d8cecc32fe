"""try.sh tries an installation: with a stand-in for Docker whose containers are processes of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployments.test_files import FOLDER, ROOT
from tests.prefect_servers import serve
from tests.servers import free_ports


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone, as far as try.sh sees it, and `docker` on the path."""
    (tmp_path / "clone" / "deployments").mkdir(parents=True)
    for name in ("try.sh", "make-env.sh", "check-env.sh", ".env.example", "compose.yaml"):
        shutil.copy(FOLDER / name, tmp_path / "clone" / "deployments" / name)
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.deployments.stand_in "$@"\n')
    docker.chmod(0o755)
    return tmp_path


def tried(tree: Path, server: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    port = int(server["PREFECT_API_URL"].split(":")[2].split("/")[0])
    store, *others = free_ports(7)
    (tree / "stand-in" / "ports.json").write_text(json.dumps({"server": port, "store": store, "others": others}))
    own = {"PATH": f"{tree}/bin:{os.environ['PATH']}", "STAND_IN": str(tree / "stand-in"), **more}
    script = tree / "clone" / "deployments" / "try.sh"
    return subprocess.run([script, "compose"], env={**os.environ, **own}, capture_output=True, text=True)


def calls(tree: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tree / "stand-in" / "calls.log").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_installation_is_tried(tree: Path) -> None:
    (tree / "prefect").mkdir()
    with serve(tree / "prefect") as server:
        done = tried(tree, server, VARIATIONS="6")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert "done: all was delivered, and is as it was written" in done.stderr
    [looked_at] = re.findall(r"(\d+) files looked at", done.stdout)
    assert int(looked_at) >= 8 * 2 * 3 * 6, "looks, shots, channels and variations, and masters"
    assert "kill" in [words[0] for words in calls(tree)]
    assert calls(tree)[-1] == ["down", "--volumes"]
    assert not (tree / "clone" / "try").exists(), "nothing is left"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_was_over_too_soon_shows_nothing(tree: Path) -> None:
    """A worker that is killed after its run was not killed amid it."""
    (tree / "prefect").mkdir()
    script = tree / "clone" / "deployments" / "try.sh"
    script.write_text(script.read_text().replace("until_it is_begun", "until_it is_complete"))
    with serve(tree / "prefect") as server:
        done = tried(tree, server, VARIATIONS="1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the run had ended before its worker was killed; set VARIATIONS higher" in done.stderr
    assert calls(tree)[-1] == ["down", "--volumes"], "it stops what it started"
    assert not (tree / "clone" / "try").exists()


def test_without_docker_it_says_so(tree: Path) -> None:
    (tree / "bin" / "docker").unlink()
    script = tree / "clone" / "deployments" / "try.sh"
    for name in ("bash", "sh", "dirname", "env"):
        (tree / "bin" / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run([script, "compose"], env={"PATH": str(tree / "bin")}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "try.sh: docker is not installed\n"
    assert not (tree / "clone" / "try").exists()
