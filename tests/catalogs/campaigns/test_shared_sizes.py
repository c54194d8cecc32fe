"""`megapixels:`: one master for the channels of a shape, whatever other channels there are, and what it enlarges."""

from __future__ import annotations

import random
from typing import Any

import pytest

from catalogs.campaigns.campaign import check_campaign
from catalogs.campaigns.channels import Channel, builtin_channels, resolve_channels
from catalogs.campaigns.enlargement import MAX_ENLARGEMENT, enlargement, suggested_megapixels
from catalogs.campaigns.master_sizes import MEGAPIXEL, crop_loss, is_legal_size, master_size, shared_master_size
from catalogs.errors import CampaignError
from catalogs.plans.compared_sizes import enlarged_lines
from catalogs.plans.shot_sizes import ShotSizes


@pytest.mark.parametrize(
    ("target", "megapixels", "master"),
    [
        ((2000, 2000), 2, (1440, 1440)),
        ((96, 96), 2, (1440, 1440)),
        ((2048, 2048), 4, (2048, 2048)),
        ((1200, 1200), 1, (1024, 1024)),
        ((1029, 1000), 2, (1440, 1440)),  # 2.9 % from a square
        ((1031, 1000), 2, (1472, 1424)),  # 3.1 %: its own shape
        ((1080, 1350), 2, (1088, 1360)),
        ((1440, 1800), 4, (1792, 2240)),
        ((2700, 2025), 2, (1472, 1104)),
        ((1801, 2600), 2, (1152, 1664)),
        ((1000, 1500), 2, (1008, 1504)),
        ((1280, 720), 2, (1920, 1088)),
        ((720, 1280), 1, (720, 1280)),
        ((1200, 628), 2, (1408, 736)),
        ((1200, 600), 2, (2048, 1024)),
        ((1460, 1000), 2, (1664, 1152)),  # within 3 % of 1.444 and of 1.5: the nearer
        ((1480, 1000), 2, (1504, 1008)),
        ((1940, 1000), 2, (1408, 736)),  # of 1.91 and of 2
        ((1970, 1000), 2, (2048, 1024)),
        ((970, 250), 2, (2848, 736)),
        ((2000, 2000), 0.0625, (256, 256)),  # below every rung: the family's shape
        ((2000, 1600), 0.25, (560, 448)),
        ((1600, 100), 0.0625, (1024, 64)),
        ((10_000, 10_000), 4, (2048, 2048)),
    ],
)
def test_the_largest_of_the_nearest_family(target: tuple[int, int], megapixels: float, master: tuple[int, int]) -> None:
    # These numbers are a promise, as those of the ladder are.
    assert shared_master_size(*target, megapixels) == master
    assert shared_master_size(*target[::-1], megapixels) == master[::-1]


def test_every_size_is_legal_within_the_limit_and_near_its_target() -> None:
    random.seed(5)
    for _ in range(400):
        short = random.randint(16, 4000)
        width, height = random.randint(short, min(10_000, short * 16)), short
        megapixels = random.choice([0.0625, 0.3, 1, 2, 3.3, 4])
        size = shared_master_size(width, height, megapixels)
        assert is_legal_size(*size)
        assert size[0] * size[1] <= megapixels * MEGAPIXEL
        if megapixels >= 1:
            assert crop_loss(*size, width, height) <= 0.04, (width, height, size)


def campaign(channels: list[Any], **keys: Any) -> Any:
    raw = {
        "name": "spring",
        "model": "proof",
        "catalogs": {"brands": "b.parquet", "products": "p.parquet"},
        "output": "output",
        "shots": {"hero": {"prompt": {"scene": "x"}}},
        "channels": channels,
        **keys,
    }
    return check_campaign(raw, "/campaigns/spring.yaml")


SQUARES = ["amazon-main", "shopify", "google-square", {"name": "thumb", "width": 96, "height": 96}]


def test_square_channels_are_one_render_and_four_without_the_key() -> None:
    assert ShotSizes(campaign(SQUARES, megapixels=2)).of("hero") == [(1440, 1440)]
    assert ShotSizes(campaign([*SQUARES, "meta-feed-square"])).of("hero") == [
        (96, 96),
        (1440, 1440),
        (2048, 2048),
    ]


def test_a_size_never_follows_from_other_channels() -> None:
    alone = {name: ShotSizes(campaign([name], megapixels=2)).of("hero") for name in builtin_channels()}
    together = ShotSizes(campaign(list(builtin_channels()), megapixels=2))
    assert {name: [together.of_channel("hero", name)] for name in alone} == alone


def test_without_the_key_every_channel_has_the_ladder_of_today() -> None:
    sizes = ShotSizes(campaign(list(builtin_channels())))
    for name, channel in builtin_channels().items():
        assert sizes.of_channel("hero", name) == channel.master_size == master_size(channel.width, channel.height)


def test_size_and_master_win() -> None:
    own = [{"base": "shopify", "master": "1024x1024"}, "amazon-main"]
    sizes = ShotSizes(campaign(own, megapixels=4))
    assert [sizes.of_channel("hero", name) for name in ("shopify", "amazon-main")] == [(1024, 1024), (2048, 2048)]
    shots = {"hero": {"size": "512x768", "prompt": {"scene": "x"}}}
    assert ShotSizes(campaign(own, megapixels=4, shots=shots)).of("hero") == [(512, 768)]


def test_a_shot_that_another_builds_on_by_channel_has_the_shared_size() -> None:
    shots = {
        "hero": {"prompt": {"scene": "x"}, "channels": ["shopify"]},
        "table": {"references": ["shot.hero.shopify"], "prompt": {"scene": "y"}, "channels": ["open-graph"]},
    }
    sizes = ShotSizes(campaign(["shopify", "open-graph"], megapixels=2, shots=shots))
    assert (sizes.of("hero"), sizes.of("table")) == ([(1440, 1440)], [(1408, 736)])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (0, "0.0625"),
        (-1, "0.0625"),
        (0.06, "0.0625"),
        (4.1, "4"),
        (1e9, "4"),
        (float("nan"), "nan"),
        (float("inf"), "finite"),
        ("two", "number"),
        ("2 MP", "number"),
        ([2], "number"),
        ({"max": 2}, "number"),
        ("", "number"),
    ],
)
def test_a_limit_that_is_none(value: Any, problem: str) -> None:
    with pytest.raises(CampaignError) as caught:
        campaign(["shopify"], megapixels=value)
    assert caught.value.where == "megapixels"
    assert problem in str(caught.value)


@pytest.mark.parametrize("value", [0.0625, 0.5, 1, 2, 2.5, 4, None])
def test_a_limit_that_is_one(value: Any) -> None:
    assert campaign(["shopify"], megapixels=value).megapixels == value


@pytest.mark.parametrize(
    ("channels", "megapixels"),
    [
        (["google-square"], 2),
        (["amazon-main"], 4),
        (["shopify"], 4),
        (["google-merchant"], 2),  # 1500 from 1440
        (["ebay"], 4),  # 1600 from 1440: 1.11
        (["meta-feed-portrait"], 4),
        (["meta-story"], 4),
        (["instagram-portrait", "open-graph", "x-post"], 2),
        (["instagram-portrait", "zalando"], 4),
        (["pinterest", "email-hero"], 2),
        (["google-demand-vertical"], 2),
        ([{"name": "largest", "width": 1584, "height": 1584}], 2),  # 1.1 and no more
        ([{"name": "larger", "width": 1585, "height": 1585}], 4),
        ([{"base": "shopify", "master": "1024x1024"}], 2),  # the limit cannot help it
        ([{"name": "poster", "width": 9000, "height": 9000}], 4),
        ([], 2),
    ],
)
def test_what_a_new_campaign_gets(channels: list[Any], megapixels: float) -> None:
    assert suggested_megapixels(resolve_channels(channels, "c.yaml")) == megapixels


def test_enlargement_is_that_of_the_longer_side() -> None:
    channel = Channel(name="a", width=2000, height=1000)
    assert enlargement((1000, 1000), channel) == 2
    assert enlargement((2048, 1024), channel) < 1 < MAX_ENLARGEMENT


@pytest.mark.parametrize(
    ("channels", "keys", "line"),
    [
        (["google-square"], {"megapixels": 2}, ""),
        (["google-merchant"], {"megapixels": 2}, ""),
        (["shopify"], {}, ""),
        (
            ["amazon-main", "google-square"],
            {"megapixels": 2},
            "1 (amazon-main by 1.39 from 1440x1440); `megapixels: 4` leaves none of them",
        ),
        (
            SQUARES,
            {"megapixels": 1},
            "3 (shopify by 2.00 from 1024x1024, amazon-main by 1.95 from 1024x1024, "
            "google-square by 1.17 from 1024x1024); `megapixels: 4` leaves none of them",
        ),
        (["etsy"], {}, "1 (etsy by 1.15 from 2352x1776)"),
        (["etsy"], {"megapixels": 4}, "1 (etsy by 1.15 from 2352x1776)"),
        (
            ["etsy", "shopify"],
            {"megapixels": 2},
            "2 (etsy by 1.83 from 1472x1104, shopify by 1.42 from 1440x1440); `megapixels: 4` leaves 1 of them",
        ),
        ([{"base": "shopify", "master": "1024x1024"}], {"megapixels": 2}, "1 (shopify by 2.00 from 1024x1024)"),
        (
            ["shopify", "ebay", "otto", "etsy-square"],
            {"shots": {"hero": {"size": "512x512", "prompt": {"scene": "x"}}}},
            "4 (shopify by 4.00 from 512x512, etsy-square by 3.91 from 512x512, otto by 3.91 from 512x512, 1 more)",
        ),
    ],
)
def test_enlarged_channels_are_told_in_a_line(channels: list[Any], keys: dict[str, Any], line: str) -> None:
    said = [f"channels whose pictures are enlarged by over 1.1: {line}"] if line else []
    assert enlarged_lines(campaign(channels, **keys)) == said
