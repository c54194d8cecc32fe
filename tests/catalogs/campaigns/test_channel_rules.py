"""The rules of platforms as data: whole for every built-in channel, and such that packshot's own file keeps them."""

from __future__ import annotations

from importlib.resources import files

import pytest
import yaml
from pydantic import ValidationError

from catalogs.campaigns.channel_rules import (
    ChannelRules,
    Limits,
    RuleName,
    Span,
    builtin_rules,
    bytes_text,
    one_of,
)
from catalogs.campaigns.channels import builtin_channels

ALL = builtin_rules()
# Told whole, in the words of ../shared/reference/storage.md: a slip in the file shows here.
TOLD = {
    "amazon-main": {
        "frames": "one still picture",
        "format": "JPEG, PNG, TIFF or GIF",
        "bytes": "at most 10 MB",
        "size": "longest side 500 to 10,000 px",
        "background": "pure white: every pixel along the edge 255",
        "fill": "subject 85 % or more",
        "text": "no text, logo or graphics",
        "content": "no props, no border",
    },
    "google-merchant": {
        "frames": "one still picture",
        "format": "JPEG, WebP, PNG, GIF, BMP or TIFF",
        "bytes": "at most 16 MB",
        "size": "width 500 px or more, height 500 px or more, at most 64 million pixels",
        "fill": "subject 75 to 90 %",
        "text": "no text, logo or graphics",
        "content": "no border, no watermark",
        "extension": "that of the format",
        "metadata": "DigitalSourceType stays in pictures made by AI",
    },
    "otto": {
        "frames": "one still picture",
        "format": "JPEG or PNG",
        "bytes": "",
        "size": "width 480 px or more, height 960 px or more, longest side 4,500 px or less",
        "colour": "RGB",
        "transparency": "no alpha channel",
        "background": "light and neutral, without a number",
        "fill": "subject 85 % or more",
        "text": "no text, logo or graphics",
    },
    "linkedin-landscape": {
        "frames": "one still picture",
        "format": "JPEG, PNG or GIF",
        "bytes": "at most 5 MB",
        "size": "width 640 to 7,680 px, height 360 to 4,320 px",
        "ratio": "1.91:1 within 1 %",
    },
    "pinterest": {
        "frames": "one still picture",
        "format": "PNG or JPEG",
        "bytes": "at most 20 MB",
        "size": "",
        "ratio": "2:3 or wider within 1 %",
        "colour": "RGB of 8 bits, sRGB or no profile",
    },
    "shopify": {
        "frames": "one still picture",
        "format": "JPEG, PNG, WebP or others",
        "bytes": "at most 20 MB",
        "size": "longest side 5,000 px or less, at most 25 million pixels",
    },
}


def test_every_built_in_channel_has_its_rules() -> None:
    rows = yaml.safe_load(files("catalogs.campaigns").joinpath("channel_rules.yaml").read_text("utf-8"))
    assert list(rows) == list(builtin_channels()) == list(ALL)


@pytest.mark.parametrize("name", TOLD)
def test_rules_in_words(name: str) -> None:
    assert ALL[name].asked() == TOLD[name]


@pytest.mark.parametrize("rules", ALL.values(), ids=ALL)
def test_a_channel_is_whole(rules: ChannelRules) -> None:
    asked, limits = rules.asked(), rules.limits
    assert set(asked) >= {"frames", "format", "bytes", "size"}
    assert limits.formats, "every platform says what it takes"
    assert set(limits.others).isdisjoint(RuleName), "a rule that is judged has no words of its own"
    assert set(limits.sources) | set(limits.notes) <= set(asked), "marks and notes are of rules that are asked"
    for rule in asked:
        origin = rules.origin(rule)
        assert origin.source in ({""} if rule == "frames" else {"O", "S", "C"})
        assert bool(origin.checked_on) == bool(origin.source)


@pytest.mark.parametrize("rules", ALL.values(), ids=ALL)
def test_what_packshot_delivers_keeps_size_ratio_and_format(rules: ChannelRules) -> None:
    channel, limits = rules.channel, rules.limits
    assert channel.format in limits.formats
    sides = (channel.width, channel.height, max(channel.width, channel.height))
    for span, side in zip((limits.width, limits.height, limits.longest), sides, strict=True):
        assert span is None or span.holds(side)
    assert limits.pixels is None or channel.width * channel.height <= limits.pixels
    span = limits.ratio_span
    assert span is None or span.holds(channel.width / channel.height, limits.ratio_tolerance)


def test_where_a_rule_is_from() -> None:
    merchant, zalando = ALL["google-merchant"], ALL["zalando"]
    assert str(merchant.origin("frames")) == "packshot's own rule"
    assert str(merchant.origin("size")) == "source O (official), page not recorded, checked 2026-11-01"
    assert merchant.origin("size").note == "500 x 500 for all products from 2027-01-31"
    assert str(merchant.origin("fill")).startswith("source S (secondary)")
    assert "the official page as of March 2025" in str(zalando.origin("ratio"))
    unchecked = ChannelRules(zalando.channel.model_copy(update={"checked_on": None}), zalando.limits)
    assert str(unchecked.origin("ratio")).endswith("never checked")


def test_spans() -> None:
    assert Span(None, None).holds(7)
    assert Span(500, None).holds(500)
    assert not Span(500, None).holds(499)
    assert not Span(None, 0.9).holds(0.901)
    exact = Span(1.91, 1.91)
    assert exact.holds(1.929, 0.01)
    assert exact.holds(1.891, 0.01)
    assert not exact.holds(1.93, 0.01)
    assert not exact.holds(1.89, 0.01)


def test_ratios() -> None:
    assert Limits.model_validate({"ratio": "1:1.44"}).ratio_span == Span(1 / 1.44, 1 / 1.44)
    assert Limits.model_validate({"ratio": ["4:5", "1.91:1"]}).ratio_span == Span(0.8, 1.91)
    assert Limits.model_validate({"ratio": ["2:3", None]}).ratio_span == Span(2 / 3, None)
    assert Limits().ratio_span is None


@pytest.mark.parametrize(
    "row",
    [
        {"format": ["jpeg"]},
        {"formats": ["heic"]},
        {"width": [1]},
        {"width": ["wide", None]},
        {"colour": "cmyk"},
        {"sources": {"size": "Z"}},
        {"pixels": 0},
    ],
)
def test_a_slip_in_the_file_is_found(row: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(row)


def test_numbers_in_words() -> None:
    assert [bytes_text(n) for n in (0, 999, 300_000, 5_000_000, 1_500_000)] == [
        "0 bytes",
        "999 bytes",
        "300 kB",
        "5 MB",
        "1.5 MB",
    ]
    assert bytes_text(105_463) == "105,463 bytes"
    assert [one_of(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a or b", "a, b or c"]
