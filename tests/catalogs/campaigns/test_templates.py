from __future__ import annotations

from typing import Any

import pytest

from catalogs.campaigns.templates import EmptyField, PromptTemplate
from catalogs.errors import CampaignError

ROW: dict[str, Any] = {
    "title": "Mug",
    "items": "a column named like a method",
    "colors": [{"name": "deep green", "hex": "#2F6F62"}],
    "materials": [],
    "description": None,
    "attributes": {"size": "L"},
}
BRAND = {"background": "warm  grey"}


def expand(text: str, references: tuple[str, ...] = ()) -> Any:
    template = PromptTemplate({"scene": text}, "c.yaml", "shots.hero.prompt")
    return template.expand(ROW, BRAND, references)["scene"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ product.title }} on {{ brand.background }}", "Mug on warm grey"),
        ("{{ product.items }}", "a column named like a method"),
        ("{{ product['title'] }}", "Mug"),
        ("{{ product.attributes.size }}", "L"),
        ("{{ product.colors[0] | bind('body') }}", "body in color #2F6F62 deep green"),
        ("{% for c in product.colors %}{{ loop.index }} {{ c.name }}{% endfor %}", "1 deep green"),
        ("{{ product.description | default('no text') }}", "no text"),
        ("{% if product.materials %}x{% else %}bare{% endif %}", "bare"),
        ("{{ image('product.hero') }} and {{ image('brand.logo') }}", "image 1 and image 2"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, ("product.hero", "brand.logo")) == expected


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{{ product.description }}", "product.description"),
        ("{{ product.materials[0] }}", "product.materials"),
        ("{{ product.colors[3].hex }}", "product.colors"),
        ("{{ product.colors[3] | bind('cap') }}", "product.colors"),
    ],
)
def test_an_empty_field_names_itself(text: str, field: str) -> None:
    with pytest.raises(EmptyField) as caught:
        expand(text)
    assert caught.value.field == field
    assert "shots.hero.prompt.scene" in caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "{{ product.title",
        "{{ nothing }}",
        "{{ image('product.back') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 999999999 }}",
        "{% for i in range(10000000000) %}x{% endfor %}",
        "{{ product.title.nothing() }}",
    ],
)
def test_a_bad_template_is_one_line(text: str) -> None:
    with pytest.raises((CampaignError, EmptyField)) as caught:
        expand(text, ("product.hero",))
    assert "\n" not in str(caught.value)


def test_columns_are_found_before_any_row() -> None:
    template = PromptTemplate(
        {"scene": "{{ product.title }}", "subjects": [{"description": "{{ brand['mood'] }} {{ product.colors }}"}]},
        "c.yaml",
        "shots.hero.prompt",
    )
    assert template.columns == {("product", "title"), ("brand", "mood"), ("product", "colors")}
    with pytest.raises(CampaignError, match=r"product\.colors, .* did you mean 'color'"):
        template.check_columns(["title", "color"], ["mood"])


def test_a_whole_row_reads_every_column() -> None:
    template = PromptTemplate({"scene": "{% for k in product %}{{ k }}{% endfor %}"}, "c.yaml", "shots.a.prompt")
    assert ("product", "*") in template.columns
