"""Mistakes that people make in a template, and the plain words that they are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalogs.campaigns.templates import PromptTemplate
from catalogs.errors import CampaignError
from tests.catalogs.campaigns.test_campaign_mistakes import FOREIGN
from tests.catalogs.campaigns.test_hostile_templates import IMPURE, RAISING, UNLISTED, expand
from tests.flows.commands import run
from tests.flows.drawn import ROOT
from tests.flows.projects import Project

# (the template, words of the line): mistakes that people make.
MISTAKES = [
    ("photo of { product.title }", ["stands in single braces", "write {{ product.title }}"]),
    ("photo by {brand.name}", ["{ brand.name } stands in single braces", "write {{ brand.name }}"]),
    ("${product.title}", ["single braces", "write {{ product.title }}"]),
    ("{{ product.title }} as in {image('product.hero')}", ["write {{ image('product.hero') }}"]),
    ("{{ product.title }} of {product.materials[0]}", ["write {{ product.materials[0] }}"]),
    ("{{ product.title", ["a {{ is not closed", "write }}"]),
    ("{{ product.title }", ["closed by one brace"]),
    ("{% for c in product.colors %}x", ["{% for %} is not closed; add {% endfor %}"]),
    ("{{ product.title | }}", ["a filter is missing before }}"]),
    (
        "{{ image(hero) }}",
        ["there is no 'hero'", "a reference in quotes, as in image('product.hero')"],
    ),
    ("{{ image(shot.hero) }}", ["there is no 'shot'", "write image('shot.hero')"]),
    ("{{ image() }}", ["takes the name of one reference", "write image('product.hero')"]),
    ("{{ product.price / 0 }}", ["divides by zero"]),
    ("{{ product.count // 0 }}", ["divides by zero"]),
    ("{{ 0 * product.price / 0 }}", ["divides by zero"]),
    ("{{ product.price % 0 }}", ["has no result", "division by zero"]),
    ("{{ product.price + product.title }}", ["a number + a text", "join texts with ~"]),
    ("{{ product.title + 5 }}", ["a text + a number", "join texts with ~"]),
    ("{{ product.price + product.weight }}", ["turn both into one kind", "| float"]),
    ("{{ product.title - 5 }}", ["a text - a number", "numbers alone"]),
    ("{{ -product.title }}", ["- of a text"]),
    ("{{ product.title < 5 }}", ["compares a text with a number"]),
    ("{{ product.launched > product.title }}", ["compares a day with a text"]),
    ("{{ product.price | sum }}", ["takes a number for a list"]),
    ("{{ product.count | batch(2) | list }}", ["takes a number for a list"]),
    ("{{ product.colors[0] | bind }}", ["the filter 'bind' lacks part", "write | bind('part')"]),
    ("{{ product.colors[0] | bind('a', 'b') }}", ["'bind' has wrong arguments", "write | bind('part')"]),
    ("{{ product.title | replace }}", ["the filter 'replace' lacks old and new", "write | replace('old', 'new', "]),
    ("{{ product.title | upper(1) }}", ["the filter 'upper' takes no arguments", "write | upper"]),
    ("{{ product.materials | join(1, 2, 3) }}", ["the filter 'join' has wrong arguments"]),
    ("{{ product.title | truncate('x') }}", ["compares a text with a number"]),
    ("{{ product.title.center() }}", ["calls 'center' with arguments that it cannot take"]),
    ("{{ range(1000000) | list }}", ["counts further than 100,000 with range(...)"]),
    ("{{ 1e308 ** 9 }}", ["too large"]),
    ("{{ product.title() }}", ["calls a text, which is no function"]),
    ("{{ ''.__class__ }}", ["reads '__class__', which no template may"]),
    ("{% for a, b in product.materials %}{% endfor %}", ["another count of names"]),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_told_in_plain_words(text: str, words: list[str]) -> None:
    said = _refused(text)
    assert said.startswith("c.yaml: shots.hero.prompt.scene: ")
    for word in words:
        assert word in said
    assert "\n" not in said


@pytest.mark.parametrize("text", [case[0] for case in MISTAKES] + RAISING + [case[1] for case in UNLISTED + IMPURE])
def test_no_line_speaks_of_python(text: str) -> None:
    assert not FOREIGN.search(_refused(text).replace(text[:60], ""))


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ("{{ image(product.hero) }}", ["write image('product.hero')"]),
        ("{{ image(brand.logo) }}", ["write image('brand.logo')"]),
        ("{{ product.season | default('x') }}", ["does not have, so that default() cannot help", "add the column"]),
        ("{{ product.titel | d('x') }}", ["so that default() cannot help", "did you mean 'title'?"]),
        ("{{ product.titel }}", ["which the product catalog does not have; did you mean 'title'?"]),
    ],
)
def test_a_column_that_is_none_is_told_with_what_was_meant(scene: str, words: list[str]) -> None:
    template = PromptTemplate({"scene": scene}, "c.yaml", "shots.hero.prompt")
    with pytest.raises(CampaignError) as caught:
        template.check_columns(["title", "price"], ["mood", "name"])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a sign that says {sale}", "a sign that says {sale}"),
        ("{ 20 % off }", "{ 20 % off }"),
        ("{% raw %}{{ product.title }}{% endraw %}", "{{ product.title }}"),
        ("{{ {'a': product.count}.a }}", "5"),
        ("{{ '{product.count}' }}", "{product.count}"),
        ("{{ product.colors[1] | bind(part='cap') }}", "cap in color #AA0000 red"),
        ("{{ product.nothing | default('none') }}", "none"),
        ("{{ product.price / 2 }}", "12.25"),
        ("{{ product.count ~ product.materials[0] }}", "5clay"),
    ],
)
def test_what_looks_like_a_mistake_and_is_none_is_written(text: str, expected: str) -> None:
    assert expand(text) == expected


def _refused(text: str) -> str:
    with pytest.raises(CampaignError) as caught:
        expand(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"scene": "{ product.title }"}, "shots.hero.prompt.scene: { product.title } stands in single braces"),
        ({"scene": "{{ image(product.hero) }}"}, "write image('product.hero')"),
        ({"scene": "{{ product.price / 0 }}"}, "shots.hero.prompt.scene: template: divides by zero"),
        ({"scene": "{{ product.season | default('x') }}"}, "so that default() cannot help"),
        ({"scene": "x", "color_palette": ["navy", "#12345"]}, "prompt.color_palette.1: '#12345' is no hex colour"),
        ({"scene": "x", "color_palette": ["#GGGGGG"]}, "prompt.color_palette.0: '#GGGGGG' is no hex colour"),
        ({"scene": "x", "color_palette": ["#1234567"]}, "'#1234567' is no hex colour; write #RRGGBB, or a word"),
        ({"scene": "x", "color_palette": ["#"]}, "'#' is no hex colour"),
        ({"subjects": [{"type": "x", "color_palette": ["#fff"]}]}, "subjects.0.color_palette.0: '#fff' is no hex"),
        ({"scene": "x", "color_palette": ["navy", "#AABBCC", "#aabbcc sand", "sea # green"]}, ""),
        ({"scene": "x", "color_palette": ["{{ product.colors[0].hex }}", "#{{ '112233' }}"]}, ""),
    ],
)
def test_check_ends_in_that_line(
    prompt: dict[str, object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Project.of(tmp_path, products=1)
    project.products[0]["price"] = 5
    project.campaign["shots"] = {"hero": {"prompt": prompt}}
    project.write()
    assert run(monkeypatch, "check", project.path) == (2 if words else 0)
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == bool(words)


def test_what_python_finds_odd_in_a_template_is_no_line_of_its_own() -> None:
    odd = "PromptTemplate({'scene': '{{ 1[0] }}'}, 'c.yaml', 'shots.a.prompt').expand({}, {}, [])"
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", f"from catalogs.campaigns.templates import PromptTemplate\n{odd}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "needs item 1" in done.stderr
    assert "Warning" not in done.stderr
