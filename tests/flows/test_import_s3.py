"""An export in a bucket: its tables and photos are read from there, and a render reads its photos there too."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from catalogs.storage.store import Store
from tests.flows.commands import run
from tests.servers import S3Server

MAGENTO = Path(__file__).parents[1] / "exports" / "magento"


@pytest.fixture
def prefix(moto_s3: S3Server) -> str:
    s3 = Store.at(f"s3://{moto_s3.bucket()}")
    for path in sorted(MAGENTO.rglob("*")):
        if path.is_file():
            s3.write(f"shop/{path.relative_to(MAGENTO)}", path.read_bytes())
    return s3.uri("shop")


def test_a_prefix_is_one_import(
    prefix: str,
    prefect_harness: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    catalog = tmp_path / "catalog"
    assert run(monkeypatch, "import", prefix, str(catalog), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    on_disk = tmp_path / "same"
    assert run(monkeypatch, "import", str(MAGENTO), str(on_disk), "--json") == 0
    assert report["rows"] == json.loads(capsys.readouterr().out)["rows"]
    rows = pq.read_table(catalog / "products.parquet").to_pylist()
    photos = [photo["uri"] for row in rows for photo in row["reference_images"] or ()]
    assert photos
    assert all(photo.startswith(prefix) for photo in photos)
    same = {row["product_id"]: row["colors"] for row in pq.read_table(on_disk / "products.parquet").to_pylist()}
    assert {row["product_id"]: row["colors"] for row in rows} == same

    campaign = catalog / "campaign.yaml"
    assert yaml.safe_load(campaign.read_text())["reference_roots"] == [prefix]
    assert run(monkeypatch, "render", str(campaign), "--limit", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["complete"]


@pytest.mark.parametrize("what", ["", "/none.csv", "/images"])
def test_nothing_there_is_one_line(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    empty = prefix.replace("shop", "nothing") + what
    assert run(monkeypatch, "import", empty, str(tmp_path / "catalog")) == 2
    said = capsys.readouterr().err
    assert "import" in said
    assert empty in said
    assert "Traceback" not in said
    assert not (tmp_path / "catalog").exists()
