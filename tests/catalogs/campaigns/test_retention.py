"""How long things are kept, as a campaign file says it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from catalogs.campaigns.campaign import Campaign, check_campaign
from catalogs.campaigns.retention import USUAL, Retention
from catalogs.errors import CampaignError

BASIS: dict[str, Any] = {
    "name": "spring",
    "model": "proof",
    "catalogs": {"brands": "b.parquet", "products": "p.parquet"},
    "output": "out",
    "shots": {"hero": {"prompt": {"scene": "a mug"}}},
    "channels": ["shopify"],
}


def campaign(retention: Any) -> Campaign:
    return check_campaign({**BASIS, "retention": retention}, "/c/campaign.yaml")


def test_what_is_not_named_is_kept() -> None:
    assert check_campaign(BASIS, "/c/campaign.yaml").retention is None
    found = campaign({"plans": "30d", "withdrawn": "24h"}).retention
    assert found is not None
    assert found.times() == {
        "plans": timedelta(days=30),
        "superseded": None,
        "withdrawn": timedelta(days=1),
        "masters": None,
    }
    assert Retention() == Retention(plans="keep", superseded="keep", withdrawn="keep", masters="keep")
    assert USUAL.times()["masters"] is None


@pytest.mark.parametrize(
    "value", ["30", "d", "30 d", "-3d", "1.5d", "30m", "٣٠d", "123456d", "for ever", "", 30, True, None, ["30d"]]
)
def test_a_time_is_days_hours_or_keep(value: Any) -> None:
    with pytest.raises(CampaignError) as caught:
        campaign({"plans": value})
    assert str(caught.value).startswith("/c/campaign.yaml: retention.plans: write days or hours, for example 30d or ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "least"),
    [("withdrawn", "23h", "1d"), ("withdrawn", "0d", "1d"), ("plans", "0d", "1h"), ("masters", "0h", "1h")],
)
def test_too_short_a_time_is_refused(kind: str, value: str, least: str) -> None:
    with pytest.raises(CampaignError, match=f"retention.{kind}: is too short, use {least} or more, or keep"):
        campaign({kind: value})


def test_a_wrong_key_is_told_the_right_one() -> None:
    with pytest.raises(
        CampaignError, match=r"retention.supersede: unknown key 'supersede'; did you mean 'superseded'\?"
    ):
        campaign({"supersede": "30d"})
