"""Exports that nobody here made, by the three commands of the front page: import, plan, render.

Where photos are on the web, a server of the test's own answers for the shop, with photos of another one: stand-ins.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import tasks.photos
from catalogs.assets.history import read_current
from catalogs.storage.store import Store
from tests.flows.commands import run
from tests.photo_server import body, certificates, serving

EXPORTS = Path(__file__).parents[1] / "exports"
STAND_INS = sorted((EXPORTS / "magento" / "images").rglob("*.jpg"))
HOST = "burst.shopifycdn.com"
Packshot = Callable[..., Any]


@pytest.fixture
def packshot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Packshot:
    """Runs a command that answers in JSON, and gives the answer."""

    def call(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        found = run(monkeypatch, *arguments, "--json")
        out, err = capsys.readouterr()
        assert found == code, err + out
        assert "Traceback" not in err
        return json.loads(out)

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shops")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Photos of another shop under the addresses that Shopify's exports name."""
    server, client = certificates(tmp_path, HOST)
    with serving(server) as shop:
        for file in (EXPORTS / "shopify").glob("*.csv"):
            with file.open(newline="") as opened:
                for row in csv.DictReader(opened):
                    if url := row["Image Src"]:
                        photo = STAND_INS[len(shop.routes) % len(STAND_INS)].read_bytes()
                        shop.routes.setdefault(url.partition(HOST)[2], body(photo))
        monkeypatch.setattr(tasks.photos, "NETWORK", shop.network(HOST, tls=client))
        yield


def smaller(campaign: Path, model: str, **changes: Any) -> None:
    """Pictures of a size that a CPU makes at once, and prompts that the small vocabulary of `tiny` has room for."""
    content = yaml.safe_load(campaign.read_text().replace("packshot.shopify", "packshot.square"))
    content["channels"] = [{"name": "square", "width": 64, "height": 64}]
    for shot in content["shots"].values():
        shot |= {"size": "64x64", "channels": ["square"]}
        shot["prompt"] = {name: shot["prompt"][name] for name in ("scene", "subjects")}
    content.pop("megapixels", None)
    campaign.write_text(yaml.safe_dump({**content, "model": model, **changes}))


SOURCES = {
    "apparel": ("shopify/apparel.csv", (), 22, 22),
    "shopify": ("shopify", (), 43, 43),
    "magento": ("magento", (), 51, 23),
    "fashion": ("fashion/products.parquet", ("--map", str(EXPORTS / "fashion" / "shop.map.json")), 45, 45),
}


@pytest.mark.parametrize("name", SOURCES)
def test_from_the_shops_own_file_to_proofs(
    packshot: Packshot, prefect_harness: None, web: None, tmp_path: Path, name: str
) -> None:
    source, options, lines, products = SOURCES[name]
    report = packshot("import", str(EXPORTS / source), str(tmp_path / "catalog"), *options)
    rows = report["rows"]
    assert (rows["read"], rows["accepted"], rows["inactive"]) == (lines, products, 0)
    assert rows["read"] == rows["accepted"] + rows["joined"] + sum(rows["rejected"].values())
    assert report["nouns"] == products
    campaign = tmp_path / "catalog" / "campaign.yaml"
    planned = packshot("plan", str(campaign))
    with_photos = products - report["pictures"].get("named but missing", 0) - report["pictures"].get("named nowhere", 0)
    assert planned["rejected"] == products - with_photos
    made = packshot("render", str(campaign), "--limit", "2")
    assert made["complete"]
    assert made["outcome"]["delivered"] == made["outcome"]["planned"] == 2 * 6
    smaller(campaign, "tiny", output="tiny")
    packshot("credentials", "init", str(campaign.parent / "credentials"))
    made = packshot("render", str(campaign), "--limit", "1")
    assert (made["complete"], made["outcome"]["delivered"]) == (True, 3)
    store = Store.at(str(tmp_path / "catalog" / "tiny"))
    for row in read_current(store).to_pylist():
        assert store.read(row["asset_key"])
        assert row["references"] or row["shot"] != "packshot"


def test_photos_that_were_fetched_tell_the_colours_no_word_tells(packshot: Packshot, web: None, tmp_path: Path) -> None:
    arguments = ("import", str(EXPORTS / "shopify" / "apparel.csv"), str(tmp_path / "catalog"))
    first = packshot(*arguments)
    assert set(first["colours"]) == {"by a word", "none"}
    packshot("fetch", str(tmp_path / "catalog" / "campaign.yaml"))
    second = packshot(*arguments)
    assert second["colours"] == {"by a word": first["colours"]["by a word"], "by the photo": first["colours"]["none"]}
    assert second["changes"]["changed"] == first["colours"]["none"]


GERMAN = """Artikelnr.;Bezeichnung;Beschreibung;Preis;Farbe;Größe
00123;Trinkflasche Alpin;Robuste Flasche aus Edelstahl für die Berge;1.299,00 €;anthrazit;0,5 l
00124;Becher;;12,50;rot/weiß;
"""


def test_an_export_in_another_language_is_read_in_it(packshot: Packshot, tmp_path: Path) -> None:
    export = tmp_path / "artikel.csv"
    export.write_bytes(GERMAN.encode("cp1252"))
    report = packshot("import", str(export), str(tmp_path / "catalog"))
    assert (report["language"], report["rows"]["accepted"], report["nouns"]) == ("de", 2, 2)
    assert any("read as de" in line for line in report["undecided"])
    first, second = rows_of(tmp_path / "catalog")
    assert (first["product_id"], first["noun"], first["price"]) == ("00123", "trinkflasche", 1299)
    assert [colour["name"] for colour in second["colors"]] == ["red", "white"]
    told = packshot("import", str(export), str(tmp_path / "other"), "--language", "en")
    assert (told["language"], told["nouns"]) == ("en", 0)


def test_an_import_again_touches_what_changed_and_keeps_what_a_person_did(packshot: Packshot, tmp_path: Path) -> None:
    export, catalog = tmp_path / "shop.csv", tmp_path / "catalog"
    original = (EXPORTS / "shopify" / "home-and-garden.csv").read_text()
    export.write_text(original)
    packshot("import", str(export), str(catalog))
    before = {row["product_id"]: row for row in rows_of(catalog)}
    again = packshot("import", str(export), str(catalog))
    assert again["changes"] == {"unchanged": len(before)}
    assert {row["product_id"]: row for row in rows_of(catalog)} == before

    edit(catalog, "cream-sofa", noun="three-seat sofa")
    (catalog / "campaign.yaml").write_text("# mine\n" + (catalog / "campaign.yaml").read_text())
    lines = [line for line in original.splitlines() if not line.startswith("pink-armchair")]
    export.write_text("\n".join(lines).replace("Cream Sofa", "Ivory Sofa").replace("Copper Light", "Copper Lamp"))
    third = packshot("import", str(export), str(catalog))
    after = {row["product_id"]: row for row in rows_of(catalog)}
    assert third["changes"] == {
        "changed": 2,
        "unchanged": len(before) - 3,
        "with cells edited by hand, kept": 1,
        "gone, now inactive": 1,
    }
    assert (after["cream-sofa"]["title"], after["cream-sofa"]["noun"]) == ("Ivory Sofa", "three-seat sofa")
    assert after["copper-light"]["noun"] == "copper lamp"
    assert (after["pink-armchair"]["active"], after["pink-armchair"]["title"]) == (False, "Pink Armchair")
    same = set(before) - {"cream-sofa", "copper-light", "pink-armchair"}
    assert all(after[name] == before[name] for name in same)
    assert (catalog / "campaign.yaml").read_text().startswith("# mine\n")
    assert third["written"][str(catalog / "campaign.yaml")] == "kept, as it was edited,"

    export.write_text(original)
    packshot("import", str(export), str(catalog))
    back = {row["product_id"]: row for row in rows_of(catalog)}
    assert back["pink-armchair"]["active"]
    assert back["cream-sofa"]["noun"] == "three-seat sofa"


def rows_of(catalog: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(catalog / "products.parquet").to_pylist()
    return found


def edit(catalog: Path, product_id: str, **cells: Any) -> None:
    """As a person does with pandas: types of lists and maps become what pandas makes of them."""
    import pandas as pd

    frame = pd.read_parquet(catalog / "products.parquet")
    for name, value in cells.items():
        frame.loc[frame["product_id"] == product_id, name] = value
    frame.to_parquet(catalog / "products.parquet")


def test_the_next_command_is_one_for_a_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    export, catalog = tmp_path / 'my "shop".csv', tmp_path / "the cat's"
    export.write_text("sku,title\nA,Vase\n")
    assert run(monkeypatch, "import", str(export)) == 2
    advised = capsys.readouterr().err.partition("needs a folder to write to; ")[2]
    assert shlex.split(advised) == ["packshot", "import", str(export), "catalog"]
    assert run(monkeypatch, "import", str(export), f"{catalog}/") == 0
    advised = capsys.readouterr().out.partition("next: ")[2]
    assert shlex.split(advised) == ["packshot", "plan", str(catalog / "campaign.yaml")]
