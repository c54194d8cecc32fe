"""Templates say the same in every process, do a bounded amount of work, and end in one line where they fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.template_language import FILTERS, FUNCTIONS, TESTS
from catalogs.campaigns.templates import EmptyField, OverlongField, PromptTemplate
from catalogs.errors import CampaignError
from tests.flows.commands import run
from tests.flows.projects import Project, plan_rows

ROW: dict[str, Any] = {
    "title": "Mug <b>& Co</b>",
    "colors": [{"name": "deep green", "hex": "#2F6F62"}, {"name": "red", "hex": "#AA0000"}],
    "materials": ["clay", "steel", "clay"],
    "nested": [[1, 2], [3]],
    "attributes": {"size": "L", "volume": "300 ml"},
    "price": Decimal("24.50"),
    "weight": 2.345,
    "count": 5,
    "launched": date(2026, 12, 24),
    "changed": datetime(2026, 12, 24, 18, tzinfo=UTC),
    "took": timedelta(hours=2),
    "long": "word " * 1_900,
    "nothing": None,
}
ALL = """
{{ -3 | abs }} {{ product.title | attr('x') is defined }} {{ product.materials | batch(2, 'z') | list }}
{{ 'navy' | bind('cap') }} {{ product.title | capitalize | center(30) }} {{ product.materials | count }}
{{ product.nothing | d('none') }} {{ product.nothing | default('none') }} {{ product.attributes | dictsort }}
{{ product.title | e }} {{ product.title | escape | forceescape }} {{ 123456 | filesizeformat }} {{ '1' | float }}
{{ product.materials | first }} {{ '%s %5.1f' | format(product.title, product.price) }}
{{ product.colors | groupby('name') | list }} {{ product.title | indent(2, true) }} {{ product.price | int }}
{{ product.attributes | items | list }} {{ product.materials | join(', ') }} {{ product.materials | last }}
{{ product.materials | length }} {{ 'ab' | list }} {{ product.title | lower }} {{ [3, 1] | max }} {{ [3, 1] | min }}
{{ product.colors | map(attribute='hex') | list }} {{ product.materials | reject('eq', 'clay') | list }}
{{ product.colors | rejectattr('name', 'in', ['red']) | list }} {{ product.title | replace('Mug', 'Cup') }}
{{ product.materials | reverse | list }} {{ product.weight | round(1) }} {{ product.title | safe | string }}
{{ product.materials | select('ne', 'clay') | list }} {{ product.colors | selectattr('name', 'eq', 'red') | list }}
{{ product.materials | slice(2) | list }} {{ product.materials | sort }} {{ product.title | striptags | title }}
{{ product.nested | sum(start=[]) }} {{ product.colors | tojson }} {{ ' x ' | trim }} {{ product.long | truncate(20) }}
{{ product.materials | unique | list }} {{ product.title | upper | urlencode }} {{ product.long | wordcount }}
{{ product.title | wordwrap(4) }} {{ range(3) | list }} {{ dict(b=1, a=2) }} {{ product }}
{% set ns = namespace(x='') %}{% for m in product.materials %}{% set ns.x = ns.x ~ m %}{% endfor %}{{ ns.x }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{% set j = joiner('; ') %}{{ j() }}1{{ j() }}2
{% for m in product.materials %}{{ loop.cycle(1, 2) }}{{ loop.changed(m) }}{{ loop.revindex }}{% endfor %}
{{ product.launched.strftime('%d.%m.%Y') }} {{ product.changed.isoformat() }} {{ product.took.total_seconds() }}
{{ product.title.upper() }} {{ '{} {:>8}'.format(product.count, product.title[0:3]) }} {{ 'a-b'.split('-') }}
{{ 5 is boolean }}{{ 5 is callable }}{{ 5 is defined }}{{ 6 is divisibleby 3 }}{{ 'x' is escaped }}{{ 5 is even }}
{{ 5 is false }}{{ 'upper' is filter }}{{ 5 is float }}{{ 5 is in [5] }}{{ 5 is integer }}{{ [] is iterable }}
{{ 'x' is lower }}{{ {} is mapping }}{{ none is none }}
{{ 5 is number }}{{ 5 is odd }}{{ 5 is sameas 5 }}{{ [] is sequence }}
{{ 'x' is string }}{{ 'odd' is test }}{{ 5 is true }}{{ product.nothing is undefined }}{{ 'X' is upper }}
{{ 5 is eq 5 }}{{ 5 is equalto 5 }}{{ 5 is ne 5 }}{{ 5 is gt 5 }}{{ 5 is greaterthan 5 }}{{ 5 is ge 5 }}
{{ 5 is lt 5 }}{{ 5 is lessthan 5 }}{{ 5 is le 5 }}
{{ [4, 5] | select('==', 5) | reject('!=', 5) | select('>', 4) | list }}
{{ [4, 5] | select('>=', 5) | list }}{{ [4, 5] | select('<', 5) | list }}{{ [4, 5] | select('<=', 5) | list }}
"""
SAME_IN_A_PROCESS = """
import json
from tests.catalogs.campaigns.test_hostile_templates import said_of_all
print(json.dumps(said_of_all()))
"""

# (what it is, the template, words of the line); each is refused when the campaign is read.
UNLISTED = [
    ("a random filter", "{{ product.materials | random }}", ["'random'", "not the same each time"]),
    ("random text", "{{ lipsum() }}", ["'lipsum'"]),
    ("a printed object", "{{ product | pprint }}", ["'pprint'"]),
    ("links", "{{ product.title | urlize }}", ["'urlize'"]),
    ("a filter misspelt", "{{ product.title | uper }}", ["no filter 'uper'", "did you mean 'upper'"]),
    ("a filter in a branch", "{% if false %}{{ 1 | uper }}{% endif %}", ["did you mean 'upper'"]),
    ("a filter over a block", "{% filter uper %}x{% endfilter %}", ["did you mean 'upper'"]),
    ("a test misspelt", "{{ 'x' is uper }}", ["no test 'uper'", "did you mean 'upper'"]),
    ("a function's address", "{{ range }}", ["'range' is a function", "range(...)"]),
    ("an image not named", "{{ image }}", ["'image' is a function"]),
    ("another file", "{% include 'x' %}", ["{% include %}", "write it out"]),
    ("another file's macros", "{% import 'x' as y %}", ["{% import %}"]),
    ("a part of another file", "{% from 'x' import y %}", ["{% from %}"]),
    ("a template above", "{% extends 'x' %}", ["{% extends %}"]),
    ("nesting without end", "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}", ["recursion", "simpler"]),
    ("a number without end", "{{ " + "9" * 9000 + " }}", ["4300 digits"]),
    ("a book", "{{ 1 }}" + "x" * 30_000, ["longer than 20,000 characters"]),
]
# (what it is, the template, words of the line); each is found with the first product.
IMPURE = [
    ("a method's address", "{{ product.title.upper }}", "function that is not called"),
    ("in a list", "{{ [product.title.upper] }}", "function that is not called"),
    ("in a sum of texts", "{{ 'x' ~ product.title.upper }}", "function that is not called"),
    ("by percent", "{{ '%s' % product.title.upper }}", "function that is not called"),
    ("by format", "{{ '{}'.format(product.title.upper) }}", "function that is not called"),
    ("by a filter", "{{ product.title.upper | string }}", "function that is not called"),
    ("by a joining", "{{ [product.title.upper] | join }}", "function that is not called"),
    ("by a binding", "{{ product.title.upper | bind('x') }}", "function that is not called"),
    ("an iterator's address", "{{ product.materials | map('upper') }}", "add | join(', ')"),
    ("another iterator's", "{{ product.materials | reverse }}", "add | join(', ')"),
    ("a loop", "{% for m in product.materials %}{{ loop }}{% endfor %}", "no text"),
    ("a namespace", "{{ namespace(a=1) }}", "no text"),
    ("today", "{{ product.launched.today() }}", "no method 'today'"),
    ("now", "{{ product.changed.now() }}", "no method 'now'"),
    ("this machine's zone", "{{ product.changed.astimezone() }}", "no method 'astimezone'"),
    ("this machine's seconds", "{{ product.changed.strftime('%s') }}", "no form of a date"),
    ("a dynamic filter", "{{ product.materials | map('random') | list }}", "No filter named 'random'"),
    ("half a character", "{{ '\\ud800' }}", "half a character"),
]
# Each would take all memory or all time.
ENDLESS = [
    "{{ 'x' | center(1000000000) }}",
    "{{ 'x'.center(1000000000) }}",
    "{{ 'x'.ljust(1000000000) }}",
    "{{ '9'.zfill(1000000000) }}",
    "{{ '\\t'.expandtabs(1000000000) }}",
    "{{ '%1000000000d' % 5 }}",
    "{{ '%*d' % (1000000000, 5) }}",
    "{{ '%.1000000000f' | format(1.5) }}",
    "{{ '{:1000000000}'.format(5) }}",
    "{{ '{:{}}'.format(5, 1000000000) }}",
    "{{ '{x:>1000000000}'.format_map({'x': 1}) }}",
    "{{ 'x' * 9999 * 9999 * 9999 }}",
    "{{ [[1] * 9999] * 9999 }}",
    "{{ [['x' * 9999] * 90] * 90 }}",
    "{{ ('a\\n' * 9999) | indent(9999) }}",
    "{{ ('a' * 9999) | replace('a', 'b' * 9999) }}",
    "{{ ('a' * 9999).replace('', 'b' * 9999) }}",
    "{{ product.long | replace(' ', 'x' * 9999) }}",
    "{{ range(99999) | join('x' * 9999) }}",
    "{{ ('x' * 9999) | wordwrap(1) }}",
    "{{ ('<' * 9999 * 9) | striptags }}",
    "{{ 1.5 | round(1000000000, 'ceil') }}",
    "{{ [1] | batch(1000000000, 'x') | list }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ [[1]] | tojson(1000000000) }}",
    "{{ product.launched.strftime('%1000000000d') }}",
    "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
    "{% for a in range(40000) %}" + "long text " * 30 + "{% endfor %}",
    "{% for a in range(999) recursive %}{{ loop(range(999)) if loop.depth < 9 }}{% endfor %}",
    "{% for a in range(10) recursive %}{{ loop(range(10)) }}{% endfor %}",
    "{% for i in range(40000) %}{% set t = 'yy' in product.long %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = product.long == product.long ~ 'x' %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = product.long | upper %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = product.long[1:] %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = product.long is upper %}{% endfor %}",
    "{% for i in range(40000) %}{% set t %}{{ product.long }}{% endset %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = range(99999) | max %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = 'a' in range(99999) %}{% endfor %}",
    "{% for i in range(40000) %}{% set t = range(99999).count('x') %}{% endfor %}",
]
# What filters and operations raise is anybody's: one line of its shot in any case.
RAISING = [
    "{{ 1 / 0 }}",
    "{{ 1e308 ** 9 }}",
    "{{ (1e308 * 10) | int }}",
    "{{ [1, 'a'] | sort }}",
    "{{ {} | dictsort(by='x') }}",
    "{{ 'abc' | truncate(-5) }}",
    "{{ 'abc' | wordwrap(0) }}",
    "{{ 5 | batch(2) | list }}",
    "{{ [1] | slice(0) | list }}",
    "{{ '%d' % 'x' }}",
    "{{ '{1}'.format(5) }}",
    "{{ '{'.format(5) }}",
    "{{ 'x'.index('y') }}",
    "{{ 'x' | replace }}",
    "{{ 'x' | center(width='y') }}",
    "{{ range(999999999) | list }}",
    "{{ 'x'.center() }}",
]


def expand(text: str, row: dict[str, Any] = ROW) -> Any:
    return PromptTemplate({"scene": text}, "c.yaml", "shots.hero.prompt").expand(row, {"mood": "calm"}, ())["scene"]


def said_of_all() -> str:
    return str(expand(ALL))


def test_every_listed_word_says_the_same_in_two_processes() -> None:
    """Two hash seeds, two addresses, two zones, two locales."""
    said = set()
    for seed, zone, locale in (("1", "UTC", "C.UTF-8"), ("2", "Asia/Tokyo", "de_DE.UTF-8")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale}
        root = Path(__file__).parents[3]
        command = [sys.executable, "-c", SAME_IN_A_PROCESS]
        answer = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
        said.add(json.loads(answer.stdout))
    assert said == {said_of_all()}


def test_that_template_uses_every_listed_word() -> None:
    import jinja2.nodes

    from catalogs.campaigns.template_language import ENVIRONMENT

    tree = ENVIRONMENT.parse(ALL)
    assert {node.name for node in tree.find_all(jinja2.nodes.Filter)} == FILTERS
    signs = {name for name in TESTS if not name.isalpha()}
    assert {node.name for node in tree.find_all(jinja2.nodes.Test)} == TESTS - signs
    assert all(f"('{sign}'," in ALL for sign in signs)
    assert {node.name for node in tree.find_all(jinja2.nodes.Name)} >= FUNCTIONS


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in UNLISTED], ids=[case[0] for case in UNLISTED])
def test_what_is_not_listed_is_refused_before_any_product(text: str, words: list[str]) -> None:
    with pytest.raises(CampaignError) as caught:
        PromptTemplate({"scene": text}, "c.yaml", "shots.hero.prompt")
    assert caught.value.where == "shots.hero.prompt.scene"
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in IMPURE], ids=[case[0] for case in IMPURE])
def test_what_has_no_lasting_text_is_not_written(text: str, words: str) -> None:
    with pytest.raises(CampaignError) as caught:
        expand(text)
    assert caught.value.where == "shots.hero.prompt.scene"
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ENDLESS)
def test_what_has_no_end_is_stopped_by_its_steps(text: str) -> None:
    started = time.process_time()
    with pytest.raises(CampaignError) as caught:
        expand(text)
    assert time.process_time() - started < 2
    assert caught.value.where == "shots.hero.prompt.scene"
    assert "seconds" not in str(caught.value)


@pytest.mark.parametrize("text", ENDLESS[:3] + ENDLESS[-3:])
def test_it_is_stopped_at_the_same_place_each_time(text: str) -> None:
    assert len({_refused(text) for _ in range(3)}) == 1


def _refused(text: str) -> str:
    with pytest.raises(CampaignError) as caught:
        expand(text)
    return str(caught.value)


@pytest.mark.parametrize("text", RAISING)
def test_whatever_is_raised_is_one_line_of_its_shot(text: str) -> None:
    with pytest.raises(CampaignError) as caught:
        expand(text)
    assert caught.value.where == "shots.hero.prompt.scene"
    assert "\n" not in str(caught.value)


def test_a_field_that_is_too_long_is_its_rows_problem_and_no_other() -> None:
    text = "{{ product.long | replace(' ', '_' * 100) }}"
    with pytest.raises(OverlongField, match=r"product\.long is very long"):
        expand(text, {**ROW, "long": "word " * 100_000})
    assert len(expand(text, {**ROW, "long": "word " * 100})) > 10_000


def test_an_empty_field_is_still_its_rows_problem() -> None:
    for text in (
        "{{ product.nothing | upper }}",
        "{{ 'x' ~ product.nothing }}",
        "{% for x in product.nothing %}{% endfor %}",
    ):
        with pytest.raises(EmptyField, match=r"product\.nothing"):
            expand(text)


@pytest.mark.parametrize("command", ["check", "plan"])
@pytest.mark.parametrize("text", [UNLISTED[0][1], IMPURE[0][1], ENDLESS[0], ENDLESS[31], RAISING[0]])
def test_a_command_ends_in_that_line(
    command: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project.of(tmp_path, products=2)
    project.campaign["shots"]["hero"]["prompt"]["scene"] = text.replace("product.materials", "product.colors")
    project.write()
    assert run(monkeypatch, command, project.path) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "shots.hero.prompt.scene: template: " in said
    assert not (project.folder / "output" / "runs").exists()


def test_the_other_rows_of_a_long_one_are_planned(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=3)
    project.products[1]["description"] = "word " * 300_000
    project.products[0]["description"] = project.products[2]["description"] = "short words"
    project.campaign["shots"] = {"hero": {"prompt": {"scene": "{{ (product.description ~ 'x') | truncate(40) }}"}}}
    project.write()
    assert {row["look"] for row in plan_rows(project.plan())} == {"p000", "p002"}
