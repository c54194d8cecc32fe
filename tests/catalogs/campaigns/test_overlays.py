"""What a campaign may say of overlays and copy, and where their elements stand."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
import yaml

from catalogs.campaigns.campaign import Campaign, check_campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.drawn_overlay import overlay_mark, read_overlay, written
from catalogs.campaigns.overlay_places import align_of, room_of
from catalogs.campaigns.overlays import OverlayElement
from catalogs.errors import CampaignError
from tests.overlay_sheet import LOGO_SVG, drawn
from tests.test_pages import blocks

BASE: dict[str, Any] = {
    "name": "mugs",
    "model": "proof",
    "catalogs": {"brands": "brands.parquet", "products": "products.parquet"},
    "output": "output",
    "shots": {
        "hero": {"prompt": {"scene": "a mug"}, "overlay": [{"text": "{{ copy.claim }}", "anchor": "bottom-left"}]},
        "table": {"prompt": {"scene": "a table"}, "channels": ["shopify"]},
    },
    "channels": [{"base": "meta-story", "copy": "all"}, {"base": "shopify", "locale": "de-AT"}],
    "copy": {"claim": {"en": "New", "de": "Neu: {{ product.title }}", "pt_BR": "Novo"}},
}


def checked(**said: Any) -> Campaign:
    return check_campaign(deepcopy(BASE) | said, "campaign.yaml")


def shots(*overlay: dict[str, Any], channels: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"hero": {"prompt": {"scene": "a mug"}, "overlay": list(overlay), "channels": list(channels)}}


def test_a_channel_is_one_in_each_language() -> None:
    campaign = checked()
    channels = {channel.name: channel for channel in campaign.channels}
    assert list(channels) == ["meta-story-en", "meta-story-de", "meta-story-pt-br", "shopify"]
    assert channels["meta-story-pt-br"].locale == "pt_BR"
    assert {channel.master_size for channel in channels.values() if channel.family == "meta-story"} == {(1440, 2560)}
    assert set(campaign.overlays) == {("hero", name) for name in channels}


def test_a_shot_names_a_channel_of_several_languages_as_one() -> None:
    said = shots({"text": "{{ copy.claim }}", "anchor": "top"}, channels=("meta-story",))
    campaign = checked(shots=said)
    assert campaign.shots["hero"].channels == ("meta-story-en", "meta-story-de", "meta-story-pt-br")
    assert len(campaign.overlays) == 3


def test_copy_is_read_in_the_language_or_the_one_above() -> None:
    campaign = checked()
    (placed,) = campaign.overlays["hero", "shopify"]
    assert placed.text is not None
    assert placed.text.expand({"title": "Mug"}, {}, "de-AT", "shopify") == "Neu: Mug"


def test_lines_and_no_break_spaces_of_a_text_stay() -> None:
    campaign = checked(shots=shots({"text": "\n  One  two\n49\u00a0€ \n", "anchor": "top"}))
    (placed,) = campaign.overlays["hero", "shopify"]
    assert placed.text is not None
    assert placed.text.expand({}, {}, None, "shopify") == "One two\n49\u00a0€"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"shots": shots({"text": "x"})}, ["overlay.0", "say where it stands"]),
        ({"shots": shots({"text": "x", "logo": "brand", "anchor": "top"})}, ["either a text or a logo"]),
        ({"shots": shots({"logo": "brand", "anchor": "top", "colour": "#FFFFFF"})}, ["a logo has no `colour`"]),
        ({"shots": shots({"text": "x", "anchor": "top", "szie": 3})}, ["unknown key 'szie'", "'size'"]),
        ({"shots": shots({"text": "x", "box": [50, 50, 60, 10]})}, ["this leaves it", "110"]),
        ({"shots": shots({"text": "x", "box": [0, 0, 0, 10]})}, ["has a width and a height"]),
        (
            {"shots": shots({"text": "x", "box": [0, 0, 90, 20]})},
            ["leaves the channel's safe zone", "[0, 9.8, 100, 76.9]"],
        ),
        ({"shots": shots({"text": "x", "box": [0, 20, 90, 20], "margin": 3})}, ["both `box` and `margin`"]),
        ({"shots": shots({"text": "x", "anchor": "top", "width": 99})}, ["is 99 % wide, and has 92 % of room"]),
        ({"shots": shots({"text": "x", "anchor": "top", "margin": 49.9, "width": 1})}, ["% of room"]),
        ({"shots": shots({"text": "x", "anchor": "top", "size": 4, "min_size": 5})}, ["min_size (5) is more than"]),
        ({"shots": shots({"text": "{{ product.title }", "anchor": "top"})}, ["overlay.0.text", "template"]),
        ({"shots": shots({"text": "{{ image('product.hero') }}", "anchor": "top"})}, ["there is no 'image'"]),
        ({"shots": shots({"text": "{{ copy.clam }}", "anchor": "top"})}, ["reads copy.clam", "did you mean 'claim'"]),
        ({"copy": {}}, ["`all` stands for the languages of `copy:`"]),
        ({"copy": {"claim": {"en": "New"}}}, ["copy.claim", "has no text in 'de-AT'"]),
        ({"copy": {"claim": {"en": "New", False: "Ny"}}}, ["Norwegian is written in quotes"]),
        ({"copy": {"claim": {"en": "{{ copy.claim }}"}}}, ["copy.claim.en", "use product.* or brand.*"]),
        ({"channels": ["meta-story", "shopify"]}, ["channel 'meta-story' has no language"]),
        ({"channels": ["amazon-main", "shopify"]}, ["'amazon-main' allows no text and no logo"]),
        ({"channels": [{"base": "meta-story", "copy": "en"}]}, ["channels.0.copy", "must be a list of languages"]),
        ({"channels": [{"base": "meta-story", "copy": ["en", 5]}]}, ["channels.0.copy.1", "write a language"]),
        ({"channels": [{"base": "meta-story", "copy": ["en", "en"]}]}, ["'meta-story-en' is listed twice"]),
        ({"channels": [{"base": "meta-story", "copy": ["en"], "locale": "de"}]}, ["beside `locale`"]),
        ({"channels": [{"base": "meta-story", "safe_zone": [60, 0, 40, 0]}]}, ["safe_zone", "leaves no room"]),
    ],
)
def test_a_mistake_is_one_line(said: dict[str, Any], words: list[str]) -> None:
    if "shots" in said and "copy" not in str(said["shots"]):
        said = {"channels": ["meta-story"]} | said
    with pytest.raises(CampaignError) as caught:
        checked(**said)
    message = str(caught.value)
    assert message.startswith("campaign.yaml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


STORY = Channel(name="story", width=720, height=1280, safe_zone=(10, 5, 15, 5))


@pytest.mark.parametrize(
    ("said", "room"),
    [
        ({"text": "x", "anchor": "top", "margin": 0}, (5, 10, 90, 75)),
        ({"text": "x", "anchor": "top", "margin": 8}, (13, 14.5, 74, 66)),  # 57.6 px on every side
        ({"text": "x", "anchor": "bottom-left", "margin": 0, "width": 50}, (5, 10, 50, 75)),
        ({"text": "x", "anchor": "bottom-right", "margin": 0, "width": 50}, (45, 10, 50, 75)),
        ({"logo": "brand", "anchor": "top", "margin": 0}, (40, 10, 20, 75)),
        ({"text": "x", "box": (5, 10, 90, 75)}, (5, 10, 90, 75)),
    ],
)
def test_elements_stand_in_the_safe_zone(said: dict[str, Any], room: tuple[float, ...]) -> None:
    assert room_of(OverlayElement(**said), STORY) == pytest.approx(room)


@pytest.mark.parametrize(
    ("anchor", "align"), [("top-left", "start"), ("left", "start"), ("top", "centre"), ("bottom-right", "right")]
)
def test_lines_stand_at_the_side_of_the_anchor(anchor: Any, align: str) -> None:
    assert align_of(OverlayElement(text="x", anchor=anchor)) == align
    assert align_of(OverlayElement(text="x", anchor=anchor, align="end")) == "end"


def test_what_is_drawn_comes_back_and_counts_by_content() -> None:
    elements = [
        drawn(STORY, "ja", text="器", anchor="top", badge={"colour": "#112233"}),
        drawn(STORY, logo=LOGO_SVG, anchor="bottom-right"),
    ]
    text = written(elements)
    assert text is not None
    assert list(read_overlay(text)) == elements
    assert overlay_mark(text) == overlay_mark(text.replace("/in/memory", "/elsewhere"))
    assert overlay_mark(text) != overlay_mark(text.replace("#112233", "#112234"))
    assert written([]) is None
    for broken in ("", "{}", "[1]", "[{}]", '[{"logo": {}, "room": [1, 2]}]', "null"):
        with pytest.raises(ValueError, match=r"."):
            read_overlay(broken)


def test_the_example_of_the_page_is_a_campaign() -> None:
    block = next(b.text for b in blocks("catalogs/README.md") if b.language == "yaml" and "overlay:" in b.text)
    campaign = check_campaign({**BASE, **yaml.safe_load(block)}, "campaign.yaml")
    assert len(campaign.channels) == 6
    (_, _, price) = campaign.overlays["packshot", "meta-story-de"]
    assert price.text is not None
    assert price.text.expand({"price": Decimal("1249.5000")}, {}, "de", "meta-story-de") == "1249,50 €"
