"""What delivered files tell the public, as `metadata:` of the campaign chooses it, read by exiftool."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from catalogs.errors import CampaignError
from catalogs.plans.file import METADATA_KEY, PlanFile
from tests.catalogs.plans.test_edits import change, edited, take
from tests.flows.commands import Packshot
from tests.flows.projects import Project
from tests.flows.signed import ALONE, nothing_is_set, signing, verdicts
from tests.flows.test_golden_files import GENERATED, by_exiftool
from tests.servers import missing

__all__ = ["nothing_is_set"]

FORMATS = [{"name": name, "width": 48, "height": 32, "format": name} for name in ("jpeg", "png", "webp", "avif")]
PRIVATE: dict[str, Any] = dict.fromkeys(("product", "brand", "model", "rights", "fingerprint"), False)
PUBLIC: dict[str, Any] = {
    "prompt": True,
    "prompt_writer": "Ada & Co",
    "credit": "Studio <One>",
    "rights": "© Ask us",
    "web_statement": "https://shop.example/terms?a=1&b=2",
    "licensor_url": "https://shop.example/licence",
}


@pytest.fixture(autouse=True)
def _program() -> None:
    if not shutil.which("exiftool"):
        missing("exiftool is not installed: apt-get install libimage-exiftool-perl")


def named(folder: Path, **campaign: Any) -> Project:
    """One product whose name, brand and photo would be known again wherever they stood."""
    project = signing(folder, channels=FORMATS, **campaign)
    (folder / "photo.png").rename(folder / "zebrafink.png")
    project.products[0] |= {"product_id": "zebrafink", "brand_id": "wildgans"}
    project.products[0]["reference_images"] = [{"uri": "zebrafink.png", "role": "hero"}]
    project.brands[0] |= {"brand_id": "wildgans", "legal_line": "(c) wildgans"}
    project.write()
    return project


def files(project: Project) -> dict[str, Path]:
    output = project.folder / "output"
    return {row["channel"]: output / row["asset_key"] for row in project.view().values()}


def tags(project: Project) -> dict[str, dict[str, Any]]:
    """What exiftool reads of each file, XMP and EXIF alone, by channel and name of the tag without its group."""
    found = files(project)
    read = by_exiftool([str(path) for path in found.values()])
    return {
        channel: {
            name.partition(":")[2]: value
            for name, value in read[str(path)].items()
            if name.startswith(("XMP", "IFD0")) and "Resolution" not in name and "YCbCr" not in name
        }
        for channel, path in found.items()
    }


def test_what_is_private_stands_nowhere_in_a_signed_file(tmp_path: Path) -> None:
    project = named(tmp_path, metadata=PRIVATE)
    assert {report.failed for report in project.render()} == {0}
    for channel, told in tags(project).items():
        assert told.pop("DigitalSourceType") == GENERATED
        assert told.pop("ContentCredentials") == "C2PA"
        told.pop("XMPToolkit", None)
        assert set(told.values()) == {"packshot"}, channel
        data = files(project)[channel].read_bytes()
        assert not [word for word in (b"zebrafink", b"wildgans", b"tiny") if word in data.lower()], channel
        assert b"generated picture" in data
    assert verdicts(project.path) == ["development"] * 4


def test_what_is_told_is_read_by_others(tmp_path: Path) -> None:
    project = named(tmp_path, metadata=PUBLIC)
    assert {report.failed for report in project.render()} == {0}
    (prompt,) = {row["prompt"] for row in project.view().values()}
    for channel, told in tags(project).items():
        wanted = {
            "AIPromptInformation": prompt,
            "AIPromptWriterName": "Ada & Co",
            "AISystemUsed": "tiny",
            "Credit": "Studio <One>",
            "Rights": "© Ask us",
            # exiftool 12.57 reads no EXIF behind the credential of a PNG.
            "Copyright": "None" if channel == "png" else "© Ask us",
            "WebStatement": PUBLIC["web_statement"],
            "LicensorURL": PUBLIC["licensor_url"],
            "Title": "zebrafink",
            "Description": "zebrafink by wildgans",
        }
        read = {name: value[0] if isinstance(value, list) else value for name, value in told.items()}
        assert {name: str(read.get(name)) for name in wanted} == wanted, channel


def test_a_choice_finishes_anew_and_renders_nothing(tmp_path: Path) -> None:
    project = signing(tmp_path, metadata={"product": True, "credit": True})
    project.render()
    before = project.view()
    del project.campaign["metadata"]
    project.write()
    assert project.plan().summary["actions"] == {"unchanged": 1}
    project.campaign["metadata"] = {"product": False}
    project.write()
    assert project.plan().summary["actions"] == {"finish": 1}
    assert [report.rendered for report in project.render()] == [0]
    (row,), (former,) = project.view().values(), before.values()
    assert row["asset_key"] != former["asset_key"]
    assert row["pixel_sha256"] == former["pixel_sha256"]


def test_proofs_keep_every_byte(tmp_path: Path) -> None:
    plain = Project.of(tmp_path / "plain", 1, shots=ALONE)
    chosen = Project.of(tmp_path / "chosen", 1, shots=ALONE, metadata=PRIVATE | {"prompt": True})
    for project in (plain, chosen):
        project.render()
    assert {row["asset_key"] for row in plain.view().values()} == {row["asset_key"] for row in chosen.view().values()}
    header = PlanFile(chosen.store, chosen.plan().plan_key).header
    assert b'"metadata"' not in header.encode()[METADATA_KEY]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (change(metadata={}), "its fingerprint is not that of how it is finished"),
        (change(metadata={"product": True}), "its fingerprint is not that of how it is finished"),
        (change(metadata={"credit": 5}), "its header: metadata: "),
        (change(metadata={"colour": "red"}), "its header: metadata: "),
    ],
)
def test_a_plan_whose_choice_was_changed_is_refused(tmp_path: Path, header: Any, problem: str) -> None:
    project = Project.of(tmp_path, 1, model="tiny", shots=ALONE, metadata={"product": False})
    with pytest.raises(CampaignError) as caught:
        take(project, edited(project, header=header))
    assert problem in str(caught.value)


def test_a_mistake_is_one_line(tmp_path: Path, packshot: Packshot) -> None:
    project = Project.of(tmp_path, 1, metadata={"titel": False})
    said = packshot("plan", project.path)
    assert (said.code, said.out) == (2, "")
    (line,) = said.err.strip().splitlines()
    assert "metadata.titel: unknown key 'titel'" in line
