"""Formatted prices and dates have no place in a prompt: a line says where they belong, and plain values go on."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from catalogs.campaigns.templates import PromptTemplate
from catalogs.errors import CampaignError
from tests.flows.commands import run
from tests.flows.projects import Project

REFUSED = [
    ("{{ product.price | money }}", "| money"),
    ("{{ product.price | money_with_currency }}", "| money_with_currency"),
    ("{{ product.price | money_without_trailing_zeros }}", "| money_without_trailing_zeros"),
    ("{{ product.price | currency }}", "| currency"),
    ("{{ product.price | currency('EUR') }}", "| currency"),
    ("{{ product.price | currencyformat('EUR') }}", "| currencyformat"),
    ("{{ product.price | format_price }}", "| format_price"),
    ("{{ product.price | format_currency('EUR', locale='de') }}", "| format_currency"),
    ("{{ product.price | price }}", "| price"),
    ("{{ product.price | numberformat }}", "| numberformat"),
    ("{{ product.price | format_decimal }}", "| format_decimal"),
    ("{{ product.price | percent }}", "| percent"),
    ("{{ product.price | localize }}", "| localize"),
    ("{{ product.price | intcomma }}", "| intcomma"),
    ("{{ product.launched | date }}", "| date"),
    ("{{ product.launched | date('%d. %B') }}", "| date"),
    ("{{ product.launched | format_date }}", "| format_date"),
    ("{{ product.launched | dateformat(format='long') }}", "| dateformat"),
    ("{{ product.launched | datetimeformat }}", "| datetimeformat"),
    ("{{ product.launched | format_datetime('full') }}", "| format_datetime"),
    ("{{ product.launched | timesince }}", "| timesince"),
    ("{{ product.launched | Date }}", "| Date"),
    ("{{ format_currency(product.price, 'EUR') }}", "format_currency(...)"),
    ("{{ format_date(product.launched) }}", "format_date(...)"),
    ("{% if product.price | money == '5 €' %}x{% endif %}", "| money"),
    ("{{ product.title | upper | money }}", "| money"),
]
GOOD = [
    ("{{ product.price }}", "24.50"),
    ("{{ product.price | round(1) }}", "24.5"),
    ("{{ product.price | int }}", "24"),
    ("{{ '%.2f' | format(product.price) }}", "24.50"),
    ("{{ product.price }} {{ product.currency }}", "24.50 EUR"),
    ("{{ product.launched }}", "2026-05-01"),
    ("{{ product.launched.year }}", "2026"),
    ("{{ product.launched.isoformat() }}", "2026-05-01"),
    ("{{ product.date }}", "May"),  # columns may be called as they like
    ("{{ product.money | upper }}", "MUCH"),
]


@pytest.mark.parametrize(("template", "written"), REFUSED)
def test_formatting_by_a_locale_is_refused_in_a_line(template: str, written: str) -> None:
    with pytest.raises(CampaignError) as caught:
        PromptTemplate({"scene": template}, "c.yaml", "shots.hero.prompt")
    assert str(caught.value) == (
        f"c.yaml: shots.hero.prompt.scene: template: {written} formats by the tables of a locale, which change "
        "from one library to the next; write the plain value, as in {{ product.price }}; "
        "formatted prices and dates belong to overlays"
    )


@pytest.mark.parametrize(("template", "said"), GOOD)
def test_plain_values_go_on(template: str, said: str) -> None:
    product = {
        "price": Decimal("24.50"),
        "currency": "EUR",
        "launched": date(2026, 5, 1),
        "date": "May",
        "money": "much",
    }
    prompt = PromptTemplate({"scene": template}, "c.yaml", "shots.hero.prompt")
    assert prompt.expand(product, {}, []) == {"scene": said}


@pytest.mark.parametrize("name", ["trunct", "upercase", "formt", "slug"])
def test_other_unknown_filters_are_told_the_nearest(name: str) -> None:
    with pytest.raises(CampaignError, match=f"there is no filter '{name}' here"):
        PromptTemplate({"scene": f"{{{{ product.title | {name} }}}}"}, "c.yaml", "shots.hero.prompt")


@pytest.mark.parametrize("command", ["plan", "check"])
def test_the_commands_end_with_2_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    project = Project.of(tmp_path, 1)
    project.campaign["shots"]["hero"]["prompt"]["scene"] = "{{ product.price | money }}"
    project.write()
    assert run(monkeypatch, command, project.path) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "belong to overlays" in said[0]
    assert not (tmp_path / "output").exists()
