from __future__ import annotations

import json
import random
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from catalogs.campaigns.channels import FORMATS, Channel, builtin_channels, resolve_channels, table
from catalogs.campaigns.master_sizes import (
    LADDER_FROM,
    MAX_CROP_LOSS,
    MAX_PIXELS,
    crop_loss,
    is_legal_size,
    master_size,
)
from catalogs.errors import CampaignError

FAMILIES = ((1, 1), (5, 4), (4, 3), (2600, 1801), (3, 2), (16, 9), (191, 100), (2, 1))
SIZES = [(w, h) for w in range(16, 5000, 173) for h in range(16, 5000, 131) if max(w, h) <= 16 * min(w, h)]


@pytest.mark.parametrize(
    ("target", "master"),
    [
        ((2000, 2000), (2048, 2048)),
        ((2200, 2200), (2048, 2048)),
        ((1500, 1500), (2048, 2048)),
        ((1440, 1440), (1440, 1440)),
        ((1080, 1080), (1088, 1088)),
        ((1440, 1800), (1440, 1808)),
        ((1080, 1350), (1088, 1360)),
        ((1440, 2560), (1440, 2560)),
        ((1080, 1920), (1088, 1920)),
        ((1920, 1080), (1920, 1088)),
        ((1000, 1500), (1008, 1504)),
        ((1801, 2600), (1712, 2448)),
        ((2700, 2025), (2352, 1776)),
        ((1200, 628), (1408, 736)),
        ((1200, 630), (1408, 736)),
        ((1200, 600), (1216, 608)),
        ((3840, 2160), (2720, 1536)),
        ((96, 64), (96, 64)),
        ((300, 250), (304, 256)),
        ((320, 50), (320, 64)),
        ((1500, 500), (1504, 512)),
    ],
)
def test_ladder(target: tuple[int, int], master: tuple[int, int]) -> None:
    # These numbers are a promise: a change renders everything anew that was cut from such a master.
    assert master_size(*target) == master


def test_every_master_is_legal() -> None:
    assert [size for size in SIZES if not is_legal_size(*master_size(*size))] == []


def test_masters_of_mirrored_targets_are_mirrored() -> None:
    assert all(master_size(h, w) == master_size(w, h)[::-1] for w, h in SIZES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_covers_its_targets_or_gives_its_largest(family: tuple[int, int]) -> None:
    largest = master_size(*(side * 10_000 // family[0] for side in family))
    for width in range(LADDER_FROM, 4000, 37):
        height = round(width * family[1] / family[0])
        master = master_size(width, height)
        covers = master[0] >= width and master[1] >= height
        assert covers or master == largest
        assert crop_loss(*master, width, height) <= MAX_CROP_LOSS


def test_outside_the_families_the_smallest_legal_size_covers() -> None:
    random.seed(3)
    for _ in range(300):
        width, height = random.randint(64, 511), random.randint(64, 511)
        master = master_size(width, height)
        assert 0 <= master[0] - width < 16
        assert 0 <= master[1] - height < 16


def test_what_no_legal_size_covers_gets_the_largest_of_its_shape() -> None:
    for width, height in [(5353, 3125), (3698, 3884), (6000, 1433), (9000, 7300)]:
        master = master_size(width, height)
        assert crop_loss(*master, width, height) <= MAX_CROP_LOSS
        assert master[0] * master[1] > 0.9 * MAX_PIXELS


def test_builtin_table() -> None:
    channels = builtin_channels()
    assert len(channels) >= 30
    for name, channel in channels.items():
        assert channel.name == name
        assert channel.source in "OSC"
        assert isinstance(channel.checked_on, date)
        assert crop_loss(*channel.master_size, channel.width, channel.height) <= MAX_CROP_LOSS
    assert channels["amazon-main"].background == "white"
    assert not channels["amazon-main"].text
    assert channels["open-graph"].max_bytes == 300_000
    assert channels["walmart"].max_bytes == 5_000_000


def test_table_is_json_for_people() -> None:
    rows = json.loads(json.dumps(table()))
    assert {row["name"] for row in rows} == set(builtin_channels())
    story = next(row for row in rows if row["name"] == "meta-story")
    assert (story["master"], story["width"], story["checked_on"]) == ("1440x2560", 1440, "2026-11-01")


def test_resolve_takes_names_mappings_and_changed_channels_in_order() -> None:
    channels = resolve_channels(
        [
            "shopify",
            {"name": "web-hero", "width": 1920, "height": 800, "format": "webp", "max_bytes": "400kB"},
            {"base": "shopify", "name": "shopify-de", "territory": "DE", "quality": 80},
            {"base": "pinterest", "max_bytes": "1 MiB"},
            {"name": "own-master", "width": 500, "height": 500, "master": "1024x1024"},
        ],
        "campaign.yaml",
    )
    assert [c.name for c in channels] == ["shopify", "web-hero", "shopify-de", "pinterest", "own-master"]
    assert (channels[1].max_bytes, channels[3].max_bytes) == (400_000, 1_048_576)
    assert (channels[2].width, channels[2].territory, channels[2].quality) == (2048, "DE", 80)
    assert channels[4].master_size == (1024, 1024)


SMALL: dict[str, Any] = {"name": "a", "width": 100, "height": 100}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("shopfy", "channels.1: there is no channel 'shopfy'; did you mean 'shopify'?"),
        (3, "channels.1: 3 is no channel"),
        ({"base": "etzy"}, "channels.1.base: there is no channel 'etzy'; did you mean 'etsy'"),
        (SMALL | {"widht": 3}, "channels.1.widht: unknown key 'widht'; did you mean 'width'"),
        ({"name": "x", "widht": 3}, "channels.1.widht: unknown key 'widht'; did you mean 'width'"),
        ({"name": "x"}, "channels.1.width: is missing; add `width:`"),
        ({"name": "shopify"}, "channels.1.width: is missing; write `base: shopify`"),
        (SMALL | {"name": "master-1"}, "reserved for masters"),
        (SMALL | {"name": "Big"}, "channels.1.name: use lower-case letters"),
        (SMALL | {"name": "a_b"}, "channels.1.name: use lower-case letters"),
        (SMALL | {"width": 15}, "channels.1.width: is too small (found 15); use 16 or more"),
        (SMALL | {"width": 5000}, "5000x100 is longer than 16:1"),
        (
            SMALL | {"format": "tiff"},
            "channels.1.format: is none of the known words (found tiff); use one of jpeg, png, webp, avif",
        ),
        (SMALL | {"max_bytes": "lots"}, "channels.1.max_bytes:"),
        (SMALL | {"master": "100x100"}, "channels.1.master: sides are multiples of 16"),
        (SMALL | {"master": "big"}, "write a size as WIDTHxHEIGHT"),
        (SMALL | {"territory": "Germany"}, "channels.1.territory:"),
        ("amazon-main", "channels.1: 'amazon-main' is listed twice"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(entry: Any, says: str) -> None:
    with pytest.raises(CampaignError) as caught:
        resolve_channels(["amazon-main", entry], "campaign.yaml")
    message = str(caught.value)
    assert message.startswith("campaign.yaml: channels.1")
    assert says in message
    assert "\n" not in message


def test_finishing_spec_is_closed_and_sorted() -> None:
    channel = builtin_channels()["google-display"]
    spec = channel.finishing_spec()
    assert spec == {
        "background": "any",
        "format": "jpeg",
        "height": 628,
        "max_bytes": 5_000_000,
        "quality": 92,
        "recipe": "1",
        "width": 1200,
    }
    assert list(spec) == sorted(spec)


@pytest.mark.parametrize(
    ("change", "enters"),
    [
        ({"name": "b"}, False),
        ({"notes": "n"}, False),
        ({"territory": "DE"}, False),
        ({"master": "128x128"}, False),
        ({"width": 101}, True),
        ({"format": "webp"}, True),
        ({"quality": 80}, True),
        ({"max_bytes": 5000}, True),
        ({"background": "white"}, True),
        ({"background": {"make": "white"}}, True),
        ({"crop": "centre"}, False),
        ({"crop": "subject"}, True),
        ({"fill": [0.8, 0.9]}, False),  # only what is cropped to its subject is filled
        ({"encode": "best"}, True),
    ],
)
def test_what_enters_the_fingerprint(change: dict[str, Any], enters: bool) -> None:
    before, after = Channel(**SMALL), Channel(**(SMALL | change))
    assert (before.finishing_spec() != after.finishing_spec()) is enters


def test_steps_enter_only_where_they_are_asked_for() -> None:
    plain = Channel(**SMALL).finishing_spec()
    asked: dict[str, Any] = {"background": {"make": "white"}, "crop": "subject", "fill": [0.85, 1], "encode": "best"}
    made = Channel(**(SMALL | asked)).finishing_spec()
    assert set(made) - set(plain) == {"crop", "make", "encode"}
    assert (made["background"], made["quality"]) == ("white", None)
    assert json.loads(json.dumps(made)) == made
    one, two = (Channel(**SMALL, encode="best", quality=q).finishing_spec() for q in (70, 90))
    assert one == two, "its quality is searched for"
    other = Channel(**SMALL, crop="subject", fill=(0.7, 0.9)).finishing_spec()
    assert other["crop"] != made["crop"]


def test_quality_means_nothing_to_png() -> None:
    one, two = (Channel(**SMALL, format="png", quality=q) for q in (70, 90))
    assert one.finishing_spec() == two.finishing_spec()


def test_channels_are_frozen_and_formats_complete() -> None:
    with pytest.raises(ValidationError):
        Channel(**SMALL).width = 3
    assert {f: (FORMATS[f].extension, FORMATS[f].mime) for f in FORMATS} == {
        "jpeg": ("jpg", "image/jpeg"),
        "png": ("png", "image/png"),
        "webp": ("webp", "image/webp"),
        "avif": ("avif", "image/avif"),
    }
