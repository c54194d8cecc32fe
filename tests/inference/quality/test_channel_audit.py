"""Every rule of every built-in channel, kept and broken by the bytes of real files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image, ImageCms

from catalogs.campaigns.channel_rules import ChannelRules, RuleName, builtin_rules
from inference.quality.channel_audit import Finding, Outcome, Verdict, audit
from inference.quality.facts import facts_of
from tests.inference.quality.drawn import deep_png, deep_tiff, encoded, packshot

RULES = builtin_rules()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
SQUARE = packshot()
SMALL = packshot(400, 400)


def verdict_on(data: bytes, channel: str) -> Verdict:
    return audit(facts_of(data), RULES[channel])


def finding(data: bytes, channel: str, rule: str) -> Finding:
    return next(found for found in verdict_on(data, channel).findings if found.rule == rule)


def animation(kind: str) -> bytes:
    return encoded(SQUARE, kind, save_all=True, append_images=[packshot(fill=0.5)])


def off_white(level: int, kind: str = "PNG") -> bytes:
    """One pixel of the edge is not white."""
    image = SQUARE.copy()
    image.putpixel((0, 500), (level, level, level))
    return encoded(image, kind)


def with_alpha(alpha: int) -> Image.Image:
    image = SQUARE.convert("RGBA")
    image.putalpha(alpha)
    return image


CASES = [
    ("frames", "amazon-main", encoded(SQUARE, "GIF"), animation("GIF"), "2 frames or pages"),
    ("frames", "google-merchant", encoded(SQUARE, "WEBP"), animation("WEBP"), "2 frames or pages"),
    ("frames", "x-post", encoded(SQUARE, "PNG"), animation("PNG"), "2 frames or pages"),
    ("frames", "amazon-main", encoded(SQUARE, "TIFF"), animation("TIFF"), "2 frames or pages"),
    ("format", "amazon-main", encoded(SQUARE), encoded(SQUARE, "WEBP"), "WebP"),
    ("format", "amazon-alternate", encoded(SQUARE, "TIFF"), encoded(SQUARE, "BMP"), "BMP"),
    ("format", "google-merchant", encoded(SQUARE, "WEBP"), encoded(SQUARE, "AVIF"), "AVIF"),
    ("format", "zalando", encoded(SQUARE), encoded(SQUARE, "PNG"), "PNG"),
    ("format", "walmart", encoded(SQUARE, "BMP"), encoded(SQUARE, "GIF"), "GIF"),
    ("format", "etsy", encoded(SQUARE, "GIF"), encoded(SQUARE, "TIFF"), "TIFF"),
    ("bytes", "open-graph", encoded(SQUARE), encoded(SMALL, "BMP"), "480,054 bytes"),
    ("size", "amazon-main", encoded(SQUARE), encoded(SMALL), "400 x 400 px"),
    ("size", "amazon-main", encoded(packshot(500, 20)), encoded(packshot(499, 499)), "499 x 499 px"),
    ("size", "amazon-main", encoded(packshot(10_000, 20)), encoded(packshot(10_001, 20)), "10001 x 20 px"),
    ("size", "google-merchant", encoded(packshot(500, 500)), encoded(packshot(500, 499)), "500 x 499 px"),
    ("size", "shopify", encoded(packshot(5000, 100)), encoded(packshot(5001, 100)), "5001 x 100 px"),
    ("size", "otto", encoded(packshot(480, 960)), encoded(packshot(479, 960)), "479 x 960 px"),
    ("size", "instagram-portrait", encoded(packshot(320, 320)), encoded(packshot(1441, 1441)), "1441 x 1441 px"),
    ("ratio", "google-square", encoded(packshot(1009, 1000)), encoded(packshot(1011, 1000)), "1011 x 1000 px, 1.011:1"),
    ("ratio", "meta-story", encoded(packshot(90, 160)), encoded(packshot(160, 90)), "160 x 90 px, 1.778:1"),
    ("ratio", "instagram-portrait", encoded(packshot(955, 500)), encoded(packshot(790, 1000)), "1:1.266"),
    ("ratio", "pinterest", encoded(packshot(900, 400)), encoded(packshot(400, 700)), "400 x 700 px, 1:1.75"),
    ("ratio", "zalando", encoded(packshot(1801, 2600)), encoded(packshot(1801, 2500)), "1801 x 2500 px, 1:1.388"),
    ("colour", "otto", encoded(SMALL), encoded(SMALL.convert("CMYK")), "CMYK of 8 bits, no profile"),
    ("colour", "otto", deep_png(SMALL), encoded(SMALL.convert("L")), "grey of 8 bits, no profile"),
    ("colour", "otto", encoded(SMALL, "PNG"), encoded(SMALL.quantize(8), "PNG"), "a palette of 1 bits, no profile"),
    ("colour", "walmart", encoded(SMALL, "PNG"), deep_png(SMALL), "RGB of 16 bits, no profile"),
    ("colour", "walmart", encoded(SMALL, "BMP"), deep_tiff(SMALL), "RGB of 16 bits, no profile"),
    ("colour", "pinterest", encoded(SMALL, icc_profile=SRGB), encoded(SMALL, icc_profile=LAB), "profile 'Lab ident"),
    ("colour", "pinterest", encoded(SMALL), encoded(SMALL, icc_profile=b"no profile"), "profile 'unreadable'"),
    ("transparency", "otto", encoded(SMALL, "PNG"), encoded(with_alpha(255), "PNG"), "an alpha channel"),
    ("transparency", "otto", encoded(SMALL), encoded(SMALL.quantize(8), "PNG", transparency=0), "an alpha channel"),
    ("background", "amazon-main", encoded(SQUARE), off_white(254), "0.01% of the edge off white, darkest 254"),
    ("background", "walmart", encoded(SQUARE, "PNG"), encoded(packshot(ground=(250, 250, 250))), "100.00% of the edge"),
    ("background", "amazon-main", encoded(with_alpha(255), "PNG"), encoded(packshot(fill=1)), "darkest 39"),
    ("fill", "amazon-main", encoded(packshot(fill=0.85), "PNG"), encoded(packshot(fill=0.84), "PNG"), "subject 84.0%"),
    ("fill", "google-merchant", encoded(packshot(fill=0.75)), encoded(packshot(fill=0.95)), "subject 95."),
    ("fill", "google-merchant", encoded(packshot(fill=0.9), "PNG"), encoded(packshot(fill=0.7), "PNG"), "70.0%"),
    ("fill", "otto", encoded(packshot(ground=(240, 240, 240))), encoded(packshot(fill=0)), "nothing that differs"),
]


@pytest.mark.parametrize(
    ("rule", "channel", "keeps", "breaks", "has"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_a_rule_is_kept_and_broken(rule: str, channel: str, keeps: bytes, breaks: bytes, has: str) -> None:
    assert finding(keeps, channel, rule).outcome is Outcome.KEPT
    broken = finding(breaks, channel, rule)
    assert broken.outcome is Outcome.BROKEN
    assert has in broken.has
    assert not verdict_on(breaks, channel).is_accepted
    assert str(verdict_on(breaks, channel)) == "refused"


def test_every_rule_that_is_judged_has_its_cases() -> None:
    assert {case[0] for case in CASES} == set(RuleName) - {RuleName.TEXT, RuleName.SAFE_ZONES}


def test_a_megapixel_limit() -> None:
    rules = RULES["google-merchant"]
    facts = facts_of(encoded(SMALL))
    sized = [replace(facts, header=facts.header._replace(width=8000, height=high)) for high in (8000, 8001)]
    found = [next(f for f in audit(one, rules).findings if f.rule == "size").outcome for one in sized]
    assert found == [Outcome.KEPT, Outcome.BROKEN]


@pytest.mark.parametrize(("limit", "outcome"), [(0, Outcome.KEPT), (-1, Outcome.BROKEN)])
def test_bytes_are_counted_to_the_last(limit: int, outcome: Outcome) -> None:
    data = encoded(SMALL)
    channel = RULES["email-hero"].channel.model_copy(update={"max_bytes": len(data) + limit})
    verdict = audit(facts_of(data), ChannelRules(channel, RULES["email-hero"].limits))
    assert next(found for found in verdict.findings if found.rule == "bytes").outcome is outcome


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_a_verdict_names_every_rule_once_and_what_it_did_not_judge(rules: ChannelRules) -> None:
    picture = packshot(rules.channel.width, rules.channel.height)
    verdict = audit(facts_of(encoded(picture)), rules)
    assert [found.rule for found in verdict.findings] == list(rules.asked())
    assert verdict.broken == []
    for found in verdict.findings:
        assert bool(found.why) == (found.outcome is Outcome.NOT_JUDGED)
        assert found.has or found.outcome is Outcome.NOT_JUDGED
    assert str(verdict) == ("accepted as far as judged" if verdict.not_judged else "accepted")
    unjudged = {found.rule for found in verdict.not_judged}
    assert unjudged >= {"text", "safe_zones", *rules.limits.others} & set(rules.asked())


@pytest.mark.parametrize(
    ("data", "channel", "rule", "why"),
    [
        (encoded(SMALL, "AVIF"), "shopify", "format", "its source names more formats than are recorded"),
        (encoded(SMALL, "AVIF"), "walmart", "colour", "how many bits a colour has cannot be told"),
        (encoded(SMALL), "zalando", "background", "no number says what is light"),
        (encoded(Image.effect_noise((400, 400), 90)), "otto", "fill", "cannot be told from an uneven ground"),
        (encoded(SMALL), "otto", "bytes", "no limit is recorded"),
        (encoded(SMALL), "walmart", "size", "no limit is recorded"),
        (encoded(SMALL), "amazon-main", "text", "not looked at"),
        (encoded(SMALL), "meta-story", "safe_zones", "not looked at"),
        (encoded(SMALL), "ebay", "quality", "not looked at"),
        (animation("GIF"), "amazon-main", "background", "pixels of animations are not looked at"),
        (animation("GIF"), "amazon-main", "fill", "pixels of animations are not looked at"),
    ],
)
def test_what_is_not_judged_says_why(data: bytes, channel: str, rule: str, why: str) -> None:
    found = finding(data, channel, rule)
    assert found.outcome is Outcome.NOT_JUDGED
    assert why in found.why


def test_a_picture_on_its_side_has_the_ratio_that_is_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = encoded(packshot(1600, 900), exif=exif)
    assert finding(lying, "tiktok-vertical", "ratio").outcome is Outcome.KEPT
    assert finding(lying, "x-post", "ratio").outcome is Outcome.BROKEN


def test_clear_pixels_are_judged_as_white() -> None:
    clear = Image.new("RGBA", (1000, 1000), (0, 0, 0, 0))
    clear.paste((40, 80, 160, 255), (50, 50, 950, 950))
    found = finding(encoded(clear, "PNG"), "amazon-main", "background")
    assert (found.outcome, found.has) == (Outcome.KEPT, "a white edge, transparency laid on white")


@pytest.mark.parametrize(("count", "has"), [(1, "<0.01%"), (4, "0.01%"), (31_743, ">99.99%"), (31_744, "100.00%")])
def test_a_little_is_never_said_to_be_nothing_nor_all(count: int, has: str) -> None:
    image = packshot(1000, 1000, 0.5)
    edge = [(x, y) for y in range(1000) for x in range(1000) if min(x, y, 999 - x, 999 - y) < 8]
    assert len(edge) == 31_744
    for place in edge[:count]:
        image.putpixel(place, (254, 255, 255))
    assert finding(encoded(image, "PNG"), "amazon-main", "background").has.startswith(f"{has} of the edge off white")
