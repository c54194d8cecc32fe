"""Which prompts hold too much of a product's text, and which shots are no packshots."""

from __future__ import annotations

from typing import Any

import pytest

from catalogs.campaigns.channels import builtin_channels
from catalogs.campaigns.pasted_copy import PastedCopy, count_words
from catalogs.campaigns.templates import PromptTemplate
from catalogs.plans.prompt_doubts import is_packshot


def text(words: int) -> str:
    return " ".join(["word"] * words)


PRODUCT = {"title": "Stoneware Mug", "description": text(60), "short": text(12), "parts": [text(15)] * 4, "none": None}
BRAND = {"name": "Acme", "style": text(70)}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"scene": "a mug on a table"}, 0),
        ({"scene": "the {{ product.title }} on a table"}, 2),
        ({"scene": "{{ product.description }}"}, 60),
        ({"scene": f"{text(90)} {{{{ product.title }}}}"}, 2),  # long, and written by hand
        ({"scene": text(90)}, 0),
        ({"scene": "{{ product.description | truncate(50) }}"}, 9),
        ({"scene": "{{ product.title }}: {{ product.description }}, {{ product.short }}"}, 74),
        ({"scene": "{{ product.title }}", "subjects": [{"description": "of {{ product.description }}"}]}, 60),
        ({"subjects": [{"description": "{{ product.title }}"}, {"description": "{{ product.short }}"}]}, 12),
        ({"scene": "{% for part in product.parts %}{{ part }} {% endfor %}"}, 60),
        ({"scene": "{% if product.none %}many words that nobody says{% endif %}{{ product.short }}"}, 7),
        ({"scene": "{{ brand.style }}"}, 0),  # a brand's own words are no product's
        ({"style": "{{ product.description }}", "scene": "x"}, 0),  # neither a scene nor a description
        ({"scene": "{{ 'word ' * 60 }}"}, 0),
        ({"scene": "{# a comment #}{{ product.short }}"}, 12),
    ],
)
def test_words_that_come_from_a_product(prompt: dict[str, Any], words: int) -> None:
    expanded = PromptTemplate(prompt, "c.yaml", "shots.x.prompt").expand(PRODUCT, BRAND, [])
    assert PastedCopy(prompt).words(expanded) == words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", 0),
        ("a mug", 2),
        ("Häferl für Tee", 3),
        ("\u9676\u5668\u676f\u5b50", 2),
        ("\u9676\u5668\u676f", 2),
        ("Mug \u9676\u5668\u676f\u5b50 300 ml", 5),
        ("\u30de\u30b0\u30ab\u30c3\u30d7", 3),
        ("머그 컵", 2),
    ],
)
def test_words_of_any_script(said: str, words: int) -> None:
    assert count_words(said) == words


@pytest.mark.parametrize(
    ("shot", "prompt", "alone"),
    [
        ("packshot", {"scene": "x"}, True),
        ("pack-shot", {"scene": "x"}, True),
        ("cutout_2", {"scene": "x"}, True),
        ("studio", {"scene": "x"}, True),
        ("freisteller", {"scene": "x"}, True),
        ("hero", {"scene": "studio photograph of a mug"}, True),
        ("hero", {"scene": "a cut-out of a mug"}, True),
        ("hero", {"scene": "Packshot of a mug"}, True),
        ("hero", {"scene": "a mug", "background": "seamless white"}, True),
        ("hero", {"scene": "a mug", "background": "White"}, True),
        ("hero", {"scene": "a mug", "background": "pure #FFFFFF"}, True),
        ("hero", {"scene": "a mug", "background": "weißer Grund"}, True),
        ("hero", {"scene": "a mug", "background": "fond blanc"}, True),
        ("hero", {"scene": "a mug", "background": "a kitchen"}, False),
        ("hero", {"scene": "a mug", "background": "whitewashed boards"}, False),
        ("hero", {"scene": "a mug", "background": "color #FFFFF0"}, False),
        ("lifestyle", {"scene": "a mug on a white table"}, False),
        ("lifestyle", {}, False),
        ("table", {"scene": None, "background": None}, False),
    ],
)
def test_what_counts_as_a_packshot(shot: str, prompt: dict[str, Any], alone: bool) -> None:
    assert is_packshot(shot, prompt) is alone


def test_channels_that_take_no_scene_demand_a_plain_ground_and_no_text() -> None:
    channels = builtin_channels().values()
    alone = {channel.name for channel in channels if not channel.scene}
    assert alone == {"amazon-main", "walmart", "otto", "zalando"}
    assert alone == {channel.name for channel in channels if channel.background != "any" and not channel.text}
