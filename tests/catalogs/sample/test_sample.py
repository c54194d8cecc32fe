from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.templates import PromptTemplate
from catalogs.errors import OptionError
from catalogs.inputs.checks import CleanRow
from catalogs.inputs.reader import Catalog
from catalogs.inputs.schemas import BRANDS, PRODUCTS
from catalogs.plans.looks import Looks
from catalogs.sample.sample import CAMPAIGN, TINY_CAMPAIGN, write_sample
from flows.cli import cli


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init") / "new"
    written = write_sample(folder)
    assert written[0] == folder / CAMPAIGN
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = pq.read_table(folder / name).to_pylist()
    return listed


def test_catalogs_follow_the_input_contracts(sample: Path) -> None:
    for name, contract in (("brands", BRANDS), ("products", PRODUCTS)):
        schema = pq.read_schema(sample / f"{name}.parquet")
        assert [schema.field(field.name) for field in contract] == list(contract)
        (batch,) = Catalog.open(str(sample / f"{name}.parquet"), name).scan()
        assert len(batch.rows) == len(rows(sample, f"{name}.parquet"))


def test_every_reference_is_a_photo_beside_the_catalog(sample: Path) -> None:
    uris = [brand["logo_uri"] for brand in rows(sample, "brands.parquet")]
    roles = set()
    for product in rows(sample, "products.parquet"):
        for reference in product["reference_images"]:
            uris.append(reference["uri"])
            roles.add(reference["role"])
        assert product["reference_images"][0]["role"] == "hero"
    assert roles == {"hero", "detail"}
    for uri in uris:
        with Image.open(sample / uri) as image:
            image.load()
            assert min(image.size) >= 800
    photos = {path.name for path in (sample / "photos").iterdir()}
    assert photos == {Path(uri).name for uri in uris if uri.startswith("photos/")}


def test_gtins_have_their_check_digit(sample: Path) -> None:
    for product in rows(sample, "products.parquet"):
        digits = [int(digit) for digit in product["gtin"]]
        assert len(digits) == 13
        assert (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0


def test_three_sizes_are_one_look_and_every_template_expands(sample: Path, tmp_path: Path) -> None:
    campaign = load_campaign(str(sample / CAMPAIGN))
    brands = {brand["brand_id"]: brand for brand in rows(sample, "brands.parquet")}
    products = [CleanRow("products.parquet", i, row) for i, row in enumerate(rows(sample, "products.parquet"), 1)]
    templates = {name: PromptTemplate(shot.prompt, "campaign.yaml", name) for name, shot in campaign.shots.items()}
    read = {column for template in templates.values() for scope, column in template.columns if scope == "product"}
    looks = list(Looks(products, brands, campaign, read | {"reference_images"}, tmp_path))
    assert len(looks) == 8
    assert ("TW-RUN-40", "TW-RUN-41", "TW-RUN-42") in {tuple(look.covers) for look in looks}
    for look in looks:
        for name, shot in campaign.shots.items():
            expanded = templates[name].expand(look.row, look.brand, shot.references)
            assert look.row["colors"][0]["hex"] in expanded["subjects"][0]["description"]
            assert "image 1" in expanded["subjects"][0]["description"]


def test_the_campaign_is_the_documented_one(sample: Path) -> None:
    campaign = load_campaign(str(sample / CAMPAIGN))
    assert (campaign.name, campaign.model.name, campaign.use) == ("spring-launch", "proof", "commercial")
    assert campaign.stages == (("packshot",), ("lifestyle",))
    assert [channel.name for channel in campaign.channels] == ["shopify", "instagram-portrait", "open-graph"]


def test_the_tiny_campaign_is_small(sample: Path) -> None:
    campaign = load_campaign(str(sample / TINY_CAMPAIGN))
    assert campaign.model.name == "tiny"
    assert all(w * h <= 256 * 256 for w, h in (channel.master_size for channel in campaign.channels))
    (wanted,) = (triple[2] for triple in campaign.select)
    assert set(wanted) <= {product["product_id"] for product in rows(sample, "products.parquet")}


def test_the_same_bytes_every_time(sample: Path, tmp_path: Path) -> None:
    for path in write_sample(tmp_path):
        assert path.read_bytes() == (sample / path.relative_to(tmp_path)).read_bytes(), path


@pytest.mark.parametrize("name", [CAMPAIGN, TINY_CAMPAIGN, "products.parquet", "photos/mug-sage.jpg"])
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OptionError, match="is there already and is not overwritten"):
        write_sample(tmp_path)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OptionError, match="cannot be written to"):
        write_sample(tmp_path / "taken")


@pytest.mark.parametrize("output", ["true", 'C:é 😀 #2 "b"'])
def test_its_campaigns_write_to_a_place_of_ones_choice(tmp_path: Path, output: str) -> None:
    write_sample(tmp_path, output)
    for name in (CAMPAIGN, TINY_CAMPAIGN):
        assert yaml.safe_load((tmp_path / name).read_text("utf-8"))["output"] == output
        assert "# " in (tmp_path / name).read_text("utf-8"), "its comments stay"


def test_init_takes_the_output(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "sample"), "--output", "s3://packshot/sample"])
    assert done.exit_code == 0, done.output
    assert load_campaign(str(tmp_path / "sample" / CAMPAIGN)).output == "s3://packshot/sample"
    refused = CliRunner().invoke(cli, ["init", str(tmp_path / "other"), "--output", " "])
    assert refused.exit_code == 2
    assert not (tmp_path / "other").exists()
