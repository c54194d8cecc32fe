"""Every advice a message gives is one that works: taken from a real failing command, followed as printed, it mends."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.journal.lease import hold
from tests.flows.commands import run as in_process
from tests.flows.projects import Project


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    arguments: tuple[str, ...]
    code: int
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The commands that it advises, in its own words."""
        return [found.split()[1:] for found in re.findall(r"`(packshot [^`]+)`", self.text)]

    def flag(self, name: str) -> list[str]:
        """The same command with an option that it advises."""
        assert re.search(rf"{name}\b", self.text), self.text
        return [*self.arguments, name]


Packshot = Callable[..., Said]


@pytest.fixture
def packshot(prefect_harness: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Packshot:
    def run(*arguments: str) -> Said:
        code = in_process(monkeypatch, *arguments)
        out, err = capsys.readouterr()
        # Prefect's console was bound to the output of an earlier test: that it cannot write there is no fault here.
        assert "Traceback" not in err.partition("--- Logging error ---")[0]
        return Said(arguments, code, out + err)

    return run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, products=3)


def is_complete(packshot: Packshot, project: Project) -> bool:
    return bool(json.loads(packshot("status", project.path, "--json").text)["complete"])


def test_nothing_planned_yet(packshot: Packshot, project: Project) -> None:
    said = packshot("status", project.path)
    assert said.code == 2
    assert packshot(*said.commands[0]).code == 0
    assert packshot("status", project.path).code == 0


def test_files_that_are_gone(packshot: Packshot, project: Project) -> None:
    assert packshot("render", project.path).code == 0
    shutil.rmtree(project.folder / "output" / "assets")
    said = packshot("render", project.path)
    assert said.code == 1
    recorded = packshot(*said.commands[0])
    assert recorded.code == 1
    assert packshot(*recorded.commands[0]).code == 0
    assert is_complete(packshot, project)
    assert packshot("verify", project.path).code == 0


def test_what_is_no_longer_wanted(packshot: Packshot, project: Project) -> None:
    packshot("render", project.path)
    del project.products[2]
    project.write()
    said = packshot("render", project.path)
    assert "4 no longer wanted" in said.text
    retired = packshot(*said.flag("--retire"))
    assert retired.code == 0
    assert "--retire" not in retired.text
    assert "no longer wanted" not in packshot("render", project.path).text


def test_every_licence_has_ended(packshot: Packshot, project: Project) -> None:
    packshot("render", project.path)
    for product in project.products:
        product["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    project.write()
    said = packshot("plan", project.path)
    assert said.code == 2
    assert "12 delivered assets withdrawn" in packshot(*said.commands[0]).text
    [then] = packshot("plan", project.path).commands
    assert "3 problems in 3 rows" in packshot(*then).text
    assert {row["status"] for row in project.view().values()} == {"withdrawn"}


def test_a_file_over_its_byte_limit(packshot: Packshot, project: Project) -> None:
    project.campaign["channels"] = [{"name": "icon", "width": 48, "height": 48, "format": "png", "max_bytes": 1000}]
    project.write()
    assert packshot("render", project.path).code == 1
    told = [re.search(r"set max_bytes to (\d+) or more", row["detail"]) for row in project.view().values()]
    project.campaign["channels"][0]["max_bytes"] = max(int(found[1]) for found in told if found)
    project.write()
    assert packshot("render", project.path).code == 0
    assert is_complete(packshot, project)


def test_an_asset_that_failed_for_good(packshot: Packshot, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.finishing.encode import FinishingError

    def broken(*arguments: Any) -> Any:
        raise FinishingError("the disk of the codec was full")

    with monkeypatch.context() as patched:
        patched.setattr("tasks.delivery.finish", broken)
        assert packshot("render", project.path).code == 1
    assert packshot("render", project.path).code == 1
    said = packshot("plan", project.path)
    flag = said.flag("--retry-failed")[-1]
    assert packshot("render", project.path, flag).code == 0
    assert is_complete(packshot, project)


def test_a_model_whose_weights_are_not_to_be_had(
    packshot: Packshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    project = Project.of(tmp_path, products=1, model="klein-4b", use="research")
    said = packshot("render", project.path)
    assert said.code == 1
    assert "run again" not in said.text
    assert "hf download black-forest-labs/FLUX.2-klein-4B --revision " in said.text


def test_another_campaign_of_this_name(packshot: Packshot, tmp_path: Path) -> None:
    first = Project.of(tmp_path / "a", products=2, output=str(tmp_path / "output"))
    packshot("render", first.path)
    shots = {"other": {"size": "64x64", "prompt": {"scene": "another {{ product.title }}"}}}
    other = Project.of(tmp_path / "b", products=1, output=str(tmp_path / "output"), shots=shots)
    other.products[0]["product_id"] = "x"
    other.write()
    said = packshot("render", other.path, "--retire")
    assert said.code == 2
    assert packshot(*said.flag("--take-over")).code == 0
    assert is_complete(packshot, other)


def test_another_run_at_work(packshot: Packshot, project: Project) -> None:
    with hold(project.store, "spring", "proof", "20261121T000000.000000Z-abcdef"):
        said = packshot("render", project.path)
        assert said.code == 2
        assert packshot(*said.flag("--force")).code == 0
    assert is_complete(packshot, project)


def test_a_plan_that_was_changed(packshot: Packshot, project: Project) -> None:
    path = str(project.folder / "plan.parquet")
    packshot("plan", project.path, "--output", path)
    table = pq.read_table(path)
    rows = [{**row, "seed": 1} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    said = packshot("render", project.path, "--plan", path)
    assert said.code == 2
    assert "plan again" in said.text
    packshot("plan", project.path, "--output", path)
    assert packshot("render", project.path, "--plan", path).code == 0


def test_leftovers(packshot: Packshot, project: Project) -> None:
    packshot("render", project.path)
    left = project.folder / "output" / "renders" / "aa" / "left.png"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"left")
    old = time.time() - 48 * 3600
    os.utime(left, (old, old))
    said = packshot("sweep", project.path)
    assert "1 leftovers" in said.text
    packshot(*said.flag("--delete"))
    assert "0 leftovers" in packshot("sweep", project.path).text
    short = packshot("sweep", project.path, "--grace-hours", "1")
    found = re.search(r"give (\d+) or more", short.text)
    assert found is not None
    assert packshot("sweep", project.path, "--grace-hours", found[1]).code == 0


def test_a_key_that_is_not_one(packshot: Packshot, project: Project) -> None:
    file = Path(project.path)
    file.write_text(file.read_text().replace("channels:", "chanels:"))
    said = packshot("plan", project.path)
    assert said.code == 2
    meant = re.search(r"unknown key '(\w+)'; did you mean '(\w+)'", said.text)
    assert meant is not None
    file.write_text(file.read_text().replace(f"{meant[1]}:", f"{meant[2]}:"))
    assert packshot("plan", project.path).code == 0


def test_rows_that_are_left_out(packshot: Packshot, project: Project) -> None:
    for number in range(8):
        project.products.append({**project.products[0], "product_id": f"bad{number}", "title": ""})
    project.write()
    said = packshot("check", project.path)
    assert said.code == 0
    everything = packshot(*said.flag("--all"))
    assert len(everything.text.splitlines()) > len(said.text.splitlines())
    told = re.search(r"see (\S+rejects\.parquet)", packshot("plan", project.path).text)
    assert told is not None
    assert pq.read_table(told[1]).num_rows == 8


def test_a_campaign_after_a_kill(packshot: Packshot, project: Project) -> None:
    """The plan is there and nothing of it is made: what a killed start leaves."""
    packshot("plan", project.path)
    said = packshot("status", project.path)
    assert "missing: 12" in said.text
    assert packshot("render", project.path).code == 0
    assert is_complete(packshot, project)


def test_the_sample_says_what_comes_next(packshot: Packshot, tmp_path: Path) -> None:
    said = packshot("init", str(tmp_path / "shop"))
    following = re.search(r"next: packshot (.+)", said.text)
    assert following is not None
    assert packshot(*following[1].replace("render", "plan").split()).code == 0
