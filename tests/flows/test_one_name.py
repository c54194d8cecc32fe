"""Two campaigns of one name on one output would retire each other's assets: both are refused where both are seen."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.deployments.test_scheduled import process
from tests.flows.projects import Project
from tests.flows.test_marketing import settled


def two_of_one_name(folder: Path, output: str = "../output") -> tuple[Project, Project]:
    """Two campaigns that share name and output, and one that does not."""
    first = Project.of(folder / "a", products=1, output="../output")
    second = Project.of(folder / "b", products=2, output=output)
    Project.of(folder / "other", products=1, name="other")
    return first, second


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with no Prefect server anywhere."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(folder / "home")
    words = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("name", ["serve", "deploy", "watch"])
def test_what_runs_for_long_does_not_start_with_both(tmp_path: Path, name: str) -> None:
    first, second = two_of_one_name(tmp_path / "campaigns")
    done = command(tmp_path, name, str(tmp_path / "campaigns"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {first.path}: name: {second.path} has the same name, 'spring', and the same")
    assert "rename one of the campaigns" in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_a_folder_of_the_workers_is_deployed_unseen(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("elsewhere", "empty"):
        assert "PREFECT_API_URL" in command(tmp_path, "deploy", str(tmp_path / folder)).stderr


def places(folder: Path) -> dict[str, str]:
    """The output of the first campaign, written in other ways."""
    (folder / "link").symlink_to(folder / "campaigns")
    return {
        "slash": "../output/",
        "absolute": str(folder / "campaigns" / "output"),
        "file": f"file://{folder}/campaigns/output",
        "link": f"{folder}/link/output",
    }


@pytest.mark.parametrize("way", ["slash", "absolute", "file", "link"])
@pytest.mark.parametrize("is_made", [False, True])
def test_a_place_may_be_written_in_many_ways(tmp_path: Path, way: str, is_made: bool, prefect_harness: None) -> None:
    two_of_one_name(tmp_path / "campaigns", places(tmp_path)[way])
    if is_made:
        (tmp_path / "campaigns" / "output").mkdir()
    state, lines = settled(tmp_path / "campaigns", dry_run=True)
    assert {name: line["result"].value for name, line in lines.items()} == {"other": "planned", "spring": "broken"}
    assert "2 of 3 campaigns failed" in state.message


def test_the_nightly_flow_fails_both_and_makes_the_others(tmp_path: Path, prefect_harness: None) -> None:
    first, second = two_of_one_name(tmp_path)
    state, lines = settled(tmp_path)
    assert state.name == "Failed"
    assert "2 of 3 campaigns failed" in state.message
    assert f"{first.path}: name: {second.path} has" in state.message
    assert f"{second.path}: name: {first.path} has" in state.message
    assert lines["other"]["result"].value == "delivered"
    assert not (tmp_path / "output").exists()


def test_a_proof_and_a_render_of_one_name_are_two(tmp_path: Path) -> None:
    _, second = two_of_one_name(tmp_path)
    second.campaign["model"] = "klein-4b"
    second.write()
    assert "PREFECT_API_URL" in command(tmp_path, "watch", str(tmp_path)).stderr


def test_a_file_that_links_lead_to_twice_is_one(tmp_path: Path, prefect_harness: None) -> None:
    project = Project.of(tmp_path / "campaigns" / "spring", products=1)
    (tmp_path / "campaigns" / "current").symlink_to(project.folder)
    state, lines = settled(tmp_path / "campaigns", dry_run=True)
    assert (state.message, len(lines)) == ("1 planned", 1)


def test_a_second_one_that_comes_later_is_logged_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from flows.watch import Watcher

    first = Project.of(tmp_path / "a", products=1)
    other = Project.of(tmp_path / "other", products=1, name="other")
    watcher = Watcher(str(tmp_path))
    watcher.changed()
    assert {entry.name for entry in watcher.changed()} == {"spring", "other"}
    copy = first.folder / "copy.yaml"
    copy.write_text(yaml.safe_dump(first.campaign))
    other.products[0]["title"] = "Another mug"
    other.write()
    with caplog.at_level(logging.ERROR):
        found = [entry.name for _ in range(3) for entry in watcher.changed()]
    assert found == ["other"]
    assert [record.getMessage().partition(": name: ")[0] for record in caplog.records] == [first.path, str(copy)]
    copy.unlink()
    assert [entry.name for _ in range(2) for entry in watcher.changed()] == ["spring"]


@pytest.mark.timeout(240)
def test_a_running_watch_says_so(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    first = Project.of(tmp_path / "campaigns" / "a", products=1)
    said = tmp_path / "watch.log"
    words = ("-c", "from flows.cli import main; main()", "watch", str(tmp_path / "campaigns"), "--every", "0.5")
    with process(prefect_server, said, *words) as running:
        _until(said, "changed      spring")
        (first.folder / "copy.yaml").write_text(yaml.safe_dump(first.campaign))
        _until(said, f"{first.path}: name: {first.folder / 'copy.yaml'} has the same name")
        assert running.poll() is None


def _until(said: Path, words: str) -> None:
    end = time.monotonic() + 60
    while words not in said.read_text():
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.2)
