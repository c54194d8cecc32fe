from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from catalogs.campaigns.campaign import check_campaign, load_campaign
from catalogs.errors import CampaignError

VALID: dict[str, Any] = {
    "name": "spring",
    "model": "proof",
    "catalogs": {"brands": "brands.parquet", "products": "s3://data/products"},
    "output": "output",
    "shots": {
        "hero": {"prompt": {"scene": "x"}, "references": ["product.hero", "brand.logo?"]},
        "scene": {"prompt": {"scene": "y"}, "references": ["shot.hero.shop"], "size": "512x512"},
        "last": {"prompt": {"scene": "z"}, "after": ["scene"]},
    },
    "channels": [{"name": "shop", "width": 500, "height": 500}, {"name": "wide", "width": 600, "height": 300}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(yaml.safe_dump(VALID))
    *parents, last = path.split(".")
    place = raw
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return raw


def test_a_campaign_is_placed_beside_its_file(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(VALID))
    campaign = load_campaign(str(file))
    assert campaign.output == str(tmp_path / "output")
    assert campaign.catalogs.brands == str(tmp_path / "brands.parquet")
    assert campaign.catalogs.products == "s3://data/products"
    assert campaign.stages == (("hero",), ("scene",), ("last",))
    assert [r.optional for r in campaign.references["hero"]] == [False, True]
    assert campaign.references["scene"][0].channel == "shop"
    assert campaign.shots["scene"].master_size == (512, 512)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("modle", "proof", ["modle", "unknown key", "did you mean 'model'"]),
        ("shots.hero.refs", [], ["shots.hero.refs", "did you mean 'references'"]),
        ("catalogs.brand", "x", ["catalogs.brand", "did you mean 'brands'"]),
        ("budget", {"max_costs": 1}, ["budget.max_costs", "did you mean 'max_cost'"]),
        ("output", None, ["output", "is missing"]),
        ("variations", 0, ["variations", "too small (found 0); use 1 or more"]),
        ("name", "Spring Sale", ["name", "object key", "lower-case"]),
        ("shots.hero.size", "big", ["shots.hero.size", "WIDTHxHEIGHT"]),
        ("shots.hero.references", ["product"], ["shots.hero.references.0", "not a reference"]),
        ("shots.hero.references", ["brand.photo"], ["brand.logo"]),
        ("shots.hero.references", ["product.a", "product.a"], ["listed twice"]),
        ("shots.scene.references", ["shot.heros"], ["there is no shot 'heros'", "did you mean 'hero'"]),
        ("shots.scene.references", ["shot.hero.shopp"], ["no channel", "did you mean 'shop'"]),
        ("shots.hero.references", ["shot.scene"], ["circle", "hero -> scene -> hero"]),
        ("shots.hero.after", ["last"], ["circle"]),
        ("shots.hero.channels", ["wid"], ["did you mean 'wide'"]),
        ("quality", "yes", ["quality", "write on, off, or a section"]),
        ("quality", {"rejects": {"colours": 5}}, ["quality.rejects", "did you mean 'reject'"]),
        ("quality", {"reject": {"likeness": 2}}, ["quality.reject.likeness", "too large"]),
        ("quality", {"max_attempts": 0}, ["quality.max_attempts", "too small"]),
        ("quality", {"review": {"colour": 5}}, ["quality.review.colour", "did you mean 'colours'"]),
        ("quality", {"review": {"likeness": 2}}, ["quality.review.likeness", "too large"]),
        (
            "quality",
            {"shots": {"heros": {"review": {"colours": 3}}}},
            ["quality.shots", "there is no shot 'heros'", "'hero'"],
        ),
        ("finishing", {"overlay": {}}, ["finishing.overlay", "a key of shots and of channels"]),
        ("channels", ["nowhere"], ["nowhere"]),
        ("use", "private", ["use", "commercial"]),
        ("shots", {}, ["shots"]),
    ],
)
def test_a_wrong_campaign_is_one_line(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(CampaignError) as caught:
        check_campaign(changed(path, value), "campaign.yaml")
    message = str(caught.value)
    assert message.startswith("campaign.yaml: ")
    assert "\n" not in message
    for word in words:
        assert word in message
