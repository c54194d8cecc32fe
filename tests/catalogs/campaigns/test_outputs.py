"""A folder of campaigns that cannot be written to, as an installation mounts it: said before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.outputs import refuse_read_only
from catalogs.errors import CampaignError
from flows.deploy import Plan, check_plan
from tasks.prepare import check_catalogs
from tests.flows.projects import Project
from tests.permissions import nobody, open_to_all


@pytest.fixture
def campaigns(tmp_path: Path) -> Iterator[Path]:
    """A folder of campaigns, one folder deep, that nobody may write to: who runs the test reads it as a stranger."""
    folder = tmp_path / "campaigns"
    folder.mkdir()
    yield folder
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755)


def close(folder: Path) -> None:
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    open_to_all(folder)


def closed(campaigns: Path, output: str = "output") -> str:
    project = Project.of(campaigns / "spring", products=1, output=output)
    close(campaigns)
    return project.path


def one_line(error: pytest.ExceptionInfo[CampaignError], path: str) -> None:
    text = str(error.value)
    assert text.startswith(f"{path}: output: ")
    assert "may not be written to by this user; give it a place to write to" in text
    assert "s3://BUCKET/NAME" in text
    assert "\n" not in text
    assert error.value.exit_code == 2


def test_check_says_so(campaigns: Path) -> None:
    path = closed(campaigns)
    with nobody(), pytest.raises(CampaignError) as error:
        check_catalogs(path, False)
    one_line(error, path)


def test_deploy_and_serve_say_so(campaigns: Path) -> None:
    path = closed(campaigns)
    with nobody(), pytest.raises(CampaignError) as error:
        check_plan(Plan(str(campaigns), None, "UTC"))
    assert Path(error.value.source).parent == Path(path).parent
    one_line(error, error.value.source)


def test_an_output_beside_its_folder_is_in_the_folder_of_campaigns(campaigns: Path) -> None:
    path = closed(campaigns, "../out")
    with nobody(), pytest.raises(CampaignError, match="out cannot be written"):
        check_plan(Plan(str(campaigns), None, "UTC"))
    with nobody():
        refuse_read_only(load_campaign(path))  # who has the file alone may not know what lies above it


@pytest.mark.parametrize("output", ["s3://packshot/sample", "file:///var/empty/packshot", "/var/empty/packshot"])
def test_an_output_elsewhere_is_for_the_workers_to_judge(campaigns: Path, output: str) -> None:
    closed(campaigns, output)
    with nobody():
        check_plan(Plan(str(campaigns), None, "UTC"))


def test_a_folder_that_may_be_written_to(campaigns: Path) -> None:
    Project.of(campaigns / "spring", products=1)
    check_plan(Plan(str(campaigns), None, "UTC"))
    assert not (campaigns / "spring" / "output").exists(), "it is looked at, and not made"


def test_a_file_system_that_is_mounted_read_only(campaigns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What such a mount answers, for want of one: `access` says no to root too, and `statvfs` why."""
    path = closed(campaigns)
    monkeypatch.setattr("os.access", lambda *arguments, **options: False)
    monkeypatch.setattr("os.supports_effective_ids", set())
    monkeypatch.setattr("os.statvfs", lambda folder: type("Status", (), {"f_flag": 1}))
    with pytest.raises(CampaignError, match=r"output: .* as .*spring is mounted read-only; give it a place"):
        refuse_read_only(load_campaign(path))
