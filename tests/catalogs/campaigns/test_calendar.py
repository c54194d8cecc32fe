from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalogs.campaigns.calendar import input_stamp, read_calendar
from catalogs.errors import CampaignError
from tests.flows.projects import Project, plan_rows


def project(folder: Path, name: str, **campaign: Any) -> Project:
    return Project.of(folder / name, products=1, name=name, **campaign)


def test_the_urgent_come_first_and_the_broken_last(tmp_path: Path) -> None:
    project(tmp_path, "calm")
    project(tmp_path, "urgent", schedule={"priority": 90})
    project(tmp_path, "late", schedule={"priority": 10})
    (tmp_path / "bad.yaml").write_text("name: [")
    (tmp_path / ".hidden.yaml").write_text("name: [")
    entries = read_calendar(str(tmp_path))
    assert [entry.name for entry in entries] == ["urgent", "calm", "late", "bad.yaml"]
    assert "is not valid YAML" in entries[-1].problem
    assert "\n" not in entries[-1].problem


@pytest.mark.parametrize("copies", [1, 2])
def test_campaigns_of_one_name_and_output_are_all_refused(tmp_path: Path, copies: int) -> None:
    first = project(tmp_path, "spring")
    for number in range(copies):
        (first.folder / f"copy-{number}.yaml").write_text(yaml.safe_dump(first.campaign))
    entries = read_calendar(str(tmp_path))
    paths = {entry.path for entry in entries}
    assert len(paths) == 1 + copies
    for entry in entries:
        assert entry.campaign is None
        assert set(entry.doubles) == paths - {entry.path}
        assert all(path in entry.problem for path in paths)


@pytest.mark.parametrize(("one", "other"), [("s3://b/p", "s3://b/p/"), ("s3://b/p", "s3a://b/p")])
def test_places_in_a_bucket_are_compared_as_places(tmp_path: Path, one: str, other: str) -> None:
    for folder, output in (("a", one), ("b", other), ("c", "s3://b/q")):
        Project.of(tmp_path / folder, products=1, output=output)
    assert [len(entry.doubles) for entry in read_calendar(str(tmp_path))] == [0, 1, 1]


@pytest.mark.parametrize(("folder", "words"), [("none", "no such folder"), ("empty", "no campaign file")])
def test_a_folder_without_campaigns(tmp_path: Path, folder: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CampaignError, match=words):
        read_calendar(str(tmp_path / folder))


def test_the_stamp_sees_campaign_and_catalogs(tmp_path: Path) -> None:
    made = project(tmp_path, "spring")
    stamps = [input_stamp(read_calendar(str(tmp_path))[0])]
    made.products[0]["title"] = "another mug"
    made.write()
    stamps.append(input_stamp(read_calendar(str(tmp_path))[0]))
    made.campaign["seed"] = 7
    made.write()
    stamps.append(input_stamp(read_calendar(str(tmp_path))[0]))
    parts = made.folder / "parts"
    parts.mkdir()
    os.replace(made.folder / "products.parquet", parts / "a.parquet")
    made.campaign["catalogs"]["products"] = "parts"
    (made.folder / "campaign.yaml").write_text(yaml.safe_dump(made.campaign))
    stamps.append(input_stamp(read_calendar(str(tmp_path))[0]))
    (parts / "b.parquet").write_bytes(b"more")
    stamps.append(input_stamp(read_calendar(str(tmp_path))[0]))
    assert len(set(stamps)) == len(stamps)
    assert input_stamp(read_calendar(str(tmp_path))[0]) == stamps[-1]


def test_a_schedule_changes_no_fingerprint(tmp_path: Path) -> None:
    made = project(tmp_path, "spring")
    before = {row["fingerprint"] for row in plan_rows(made.plan())}
    made.campaign["schedule"] = {"valid_from": "2020-01-01", "time_zone": "UTC", "priority": 99}
    made.write()
    assert {row["fingerprint"] for row in plan_rows(made.plan())} == before
