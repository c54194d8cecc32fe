"""A watermark from the campaign to the file: an installed plug-in is called once a file that is no proof."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalogs.errors import CampaignError, OptionError
from catalogs.plans.file import METADATA_KEY, PlanFile
from tasks.watermark import marker_of
from tests.catalogs.plans.test_edits import change, edited, take
from tests.flows.commands import Packshot
from tests.flows.marks import install
from tests.flows.projects import SQUARE, Project, make
from tests.flows.signed import ALONE, nothing_is_set, only_row, signing, verdicts

__all__ = ["nothing_is_set"]

PNG = [{**SQUARE[0], "format": "png"}]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "packages", monkeypatch)


def marking(folder: Path, plugin: str = "corner", **campaign: Any) -> Project:
    chosen: dict[str, Any] = {"watermark": {"plugin": plugin}, "credentials": False, "key": False, "channels": PNG}
    return signing(folder, **{**chosen, **campaign})


def pixels(project: Project) -> Any:
    return np.asarray(Image.open(io.BytesIO(project.store.read(only_row(project)["asset_key"]))).convert("RGB"))


def test_a_file_is_marked_signed_and_told(tmp_path: Path) -> None:
    import c2pa

    project = marking(tmp_path / "shop", credentials=True, key=True)
    assert [report.delivered for report in project.render()] == [1]
    row = only_row(project)
    level = int(row["fingerprint"][0], 16) & 3
    assert (pixels(project)[-16:, -16:] & 3 == level).all()
    assert verdicts(project.path) == ["development"]
    with c2pa.Reader("image/png", io.BytesIO(project.store.read(row["asset_key"]))) as reader:
        (actions,) = (
            one["data"]["actions"]
            for one in reader.get_active_manifest()["assertions"]
            if one["label"].startswith("c2pa.actions")
        )
    assert [one["action"] for one in actions][-2:] == ["c2pa.watermarked.unbound", "c2pa.transcoded"]
    assert actions[-2]["parameters"]["packshot.plugin"] == "corner"
    assert actions[-2]["parameters"]["packshot.version"] == "1"


def test_switched_on_it_finishes_anew_and_without_it_nothing_changes(tmp_path: Path) -> None:
    project = marking(tmp_path / "shop", watermark=False)
    project.render()
    plain = only_row(project)
    project.campaign["watermark"] = "corner"
    project.write()
    assert project.plan().summary["actions"] == {"finish": 1}
    assert [report.rendered for report in project.render()] == [0]
    assert only_row(project)["pixel_sha256"] != plain["pixel_sha256"]
    del project.campaign["watermark"]
    project.write()
    project.render()
    assert only_row(project)["asset_key"] == plain["asset_key"]


def test_proofs_are_never_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Project.of(tmp_path / "plain", 1, shots=ALONE)
    chosen = Project.of(tmp_path / "chosen", 1, shots=ALONE, watermark="not-installed")
    for project in (plain, chosen):
        project.render()
    assert {row["asset_key"] for row in plain.view().values()} == {row["asset_key"] for row in chosen.view().values()}
    assert b"watermark" not in PlanFile(chosen.store, chosen.plan().plan_key).header.encode()[METADATA_KEY]


@pytest.mark.parametrize("plugin", ["raising", "smaller"])
def test_a_fault_fails_the_asset_and_is_never_final(tmp_path: Path, plugin: str) -> None:
    project = marking(tmp_path / "shop", plugin)
    for _ in range(4):
        assert [report.reasons for report in project.render()] == [{"watermark_failed": 1}]
    row = only_row(project)
    assert f"watermark '{plugin}'" in row["detail"]
    assert not row["final"]


def test_without_the_plug_in_commands_end_in_one_line(tmp_path: Path, packshot: Packshot) -> None:
    project = marking(tmp_path / "shop", "cornr")
    for command in ("plan", "check", "render"):
        said = packshot(command, project.path)
        assert said.code == 2, said
        (line,) = (line for line in said.err.strip().splitlines() if "watermark" in line)
        assert "watermark.plugin: no plug-in 'cornr' is installed here; did you mean 'corner'?" in line


def test_a_run_wants_the_version_that_was_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = marking(tmp_path / "shop")
    prepared = project.plan()
    monkeypatch.setattr(sys.modules["page_mark"].Corner, "version", "2")
    with pytest.raises(OptionError, match="has version 2 here, and was planned with 1; plan again"):
        marker_of(PlanFile(project.store, prepared.plan_key).header)
    with pytest.raises(OptionError, match="has version 2 here"):
        make(prepared)
    assert project.plan().summary["actions"] == {"new": 1}


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (change(watermark={}), "its fingerprint is not that of how it is finished"),
        (change(watermark={"plugin": "other", "version": "1"}), "its fingerprint is not that of how it is finished"),
        (change(watermark={"plugin": "corner"}), "its header: watermark: field required"),
    ],
)
def test_a_plan_whose_mark_was_changed_is_refused(tmp_path: Path, header: Any, problem: str) -> None:
    project = marking(tmp_path / "shop")
    with pytest.raises(CampaignError) as caught:
        take(project, edited(project, header=header))
    assert problem in str(caught.value)
