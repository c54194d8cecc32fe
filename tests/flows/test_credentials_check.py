"""`packshot credentials check`: from a file back to what was delivered."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalogs.storage.store import Store
from tasks.credentials_check import Checked, check
from tests.flows.commands import Packshot
from tests.flows.projects import Project
from tests.flows.signed import nothing_is_set, only_row, signing, verdicts

__all__ = ["nothing_is_set"]


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """Two pictures, delivered."""
    drawn = [{"name": "square", "width": 96, "height": 96, "format": "png"}]
    project = signing(tmp_path / "shop", 2, channels=drawn)
    project.render()
    return project


def saved(data: bytes, path: Path, **options: Any) -> str:
    with Image.open(io.BytesIO(data)) as image:
        image.save(path, **options)
    return str(path)


def one_of(target: str, project: Project) -> Checked:
    (found,) = check(target, within=project.path)
    return found


def test_a_file_that_lost_its_credential_is_found(shop: Project, tmp_path: Path) -> None:
    row = shop.view()[("render", "p001", "hero", "square", 0)]
    data = shop.store.read(row["asset_key"])
    plain, tampered = saved(data, tmp_path / "plain.png"), tmp_path / "tampered.png"
    tampered.write_bytes(data + b"x")
    for path, verdict, by, sure in (
        (plain, "stripped", "pixels", "certain"),
        (str(tampered), "tampered", "pixels", "certain"),
        (shop.store.uri(row["asset_key"]), "development", "bytes", "certain"),
    ):
        found = one_of(path, shop)
        assert found.asset is not None
        assert (found.found.verdict, found.asset.by, found.asset.sure) == (verdict, by, sure)
        assert found.asset.asset_key == row["asset_key"]
    assert "its pixels are those that were delivered" in one_of(str(tampered), shop).found.why
    assert verdicts(plain) == ["none"]  # nobody else knows
    unlike = tmp_path / "unlike.png"
    Image.linear_gradient("L").convert("RGB").save(unlike)
    assert one_of(str(unlike), shop).record == "no file of the campaign is like it"


def test_what_is_wrong_with_the_files_of_a_campaign(shop: Project, packshot: Packshot, tmp_path: Path) -> None:
    rows = list(shop.view().values())
    first, second = (str(row["asset_key"]) for row in rows)
    data = shop.store.read(first)
    changes: list[tuple[bytes | None, str]] = [
        (saved(data, tmp_path / "again.png") and (tmp_path / "again.png").read_bytes(), "stripped"),
        (data + b"x", "tampered"),
        (shop.store.read(second), "tampered"),
        (b"hello", "unreadable"),
        (None, "unreadable"),
    ]
    for content, verdict in changes:
        shop.store.delete([first])
        if content is not None:
            shop.store.write(first, content)
        said = packshot("credentials", "check", shop.path, "--json")
        found = {Path(one["file"]).name: one for one in said.answer["files"]}
        assert found[Path(first).name]["verdict"] == verdict
        assert (said.code, said.answer["counts"]) == (1, {"development": 1, verdict: 1})


def test_files_that_verify_found_gone_or_changed_are_told_still(shop: Project, packshot: Packshot) -> None:
    first, second = (str(row["asset_key"]) for row in shop.view().values())
    data = shop.store.read(second)
    shop.store.delete([first, second])
    shop.store.write(second, data + b"x")
    assert packshot("verify", shop.path, "--deep").code == 1
    assert {row["status"] for row in shop.view().values()} == {"missing"}
    said = packshot("credentials", "check", shop.path, "--json")
    assert (said.code, said.answer["counts"]) == (1, {"unreadable": 1, "tampered": 1})


def test_every_format_that_is_delivered_is_looked_at_in_a_folder(tmp_path: Path) -> None:
    kinds = ("jpeg", "png", "webp", "avif")
    asked = [{"name": kind, "width": 96, "height": 96, "format": kind} for kind in kinds]
    project = signing(tmp_path / "shop", 1, channels=asked)
    project.render()
    assert verdicts(str(project.folder / "output" / "assets")) == ["development"] * len(kinds)


def test_the_command(shop: Project, packshot: Packshot, tmp_path: Path) -> None:
    before = sorted(str(path) for path in shop.folder.rglob("*"))
    said = packshot("credentials", "check", shop.path)
    assert (said.code, said.out.splitlines()[-1]) == (0, "2 files: 2 valid, development certificate")
    folder = packshot("credentials", "check", str(shop.folder / "output" / "assets"), "--in", shop.path)
    assert (folder.code, folder.out.count("the very file that was delivered")) == (0, 2)
    (tmp_path / "photos").mkdir()
    saved(shop.store.read(next(iter(shop.view().values()))["asset_key"]), tmp_path / "photos" / "a.jpg")
    said = packshot("credentials", "check", str(tmp_path / "photos"))
    assert (said.code, said.out.splitlines()[0]) == (
        1,
        f"none: {tmp_path / 'photos' / 'a.jpg'}: carries no content credential",
    )
    assert sorted(str(path) for path in shop.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.jpg"], "there is no such file"),
        (["empty"], "holds no JPEG, PNG, WebP or AVIF"),
        (["nowhere.yaml"], "nowhere.yaml"),
        (["empty", "--in", "nowhere.yaml"], "holds no JPEG"),
        (["shop/campaign.yaml", "--in", "shop/campaign.yaml"], "--in: "),
        (["shop/photo.png", "--trust", "shop/photo.png"], "--trust: "),
        (["shop/photo.png", "--trust", "nowhere.pem"], "--trust: "),
        (["pipe"], "there is no such file"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, packshot: Packshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing(tmp_path / "shop", key=False)
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    said = packshot("credentials", "check", *arguments)
    assert said.code == 2
    assert len(said.err.strip().splitlines()) == 1
    assert line in said.err


def test_a_bucket_is_looked_at_too(tmp_path: Path, moto_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    output = f"s3://{moto_server.bucket()}/out"
    project = signing(tmp_path, output=output)
    assert project.render()[0].delivered == 1
    assert verdicts(project.path) == ["development"]
    assert verdicts(f"{output}/assets") == ["development"]
    assert verdicts(f"{output}/{only_row(project)['asset_key']}", within=project.path) == ["development"]
    assert Store.at(output).list("assets")
