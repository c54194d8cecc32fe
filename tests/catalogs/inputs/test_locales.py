"""Columns in several languages: which is read in a row, and which locales there are."""

from __future__ import annotations

from typing import Any

import pytest

from catalogs.inputs.checks import ProductChecker
from catalogs.inputs.locales import Localised, TwoColumns, languages_of
from catalogs.inputs.reader import Batch

ALL = ("title", "title@de", "title@de-AT", "title@pt_BR", "note@DE", "a@b@de", "mail@home", "@de", "product_id@de")


@pytest.mark.parametrize(
    ("locale", "row", "name", "column"),
    [
        (None, {"title": "x", "title@de": "y"}, "title", "title"),
        ("de", {"title": "x", "title@de": "y"}, "title", "title@de"),
        ("DE", {"title": "x", "title@de": "y"}, "title", "title@de"),
        ("de", {"title": "x", "title@de": ""}, "title", "title"),
        ("de", {"title": "x", "title@de": "  "}, "title", "title"),
        ("de", {"title": "x", "title@de": None}, "title", "title"),
        ("de", {"title": "x"}, "title", "title"),
        ("de", {"title": "x", "title@de": []}, "title", "title"),
        ("de", {"title": "x", "title@de": {}}, "title", "title"),
        ("de", {"title": "x", "title@de": 0}, "title", "title@de"),
        ("de", {"title": "x", "title@de-AT": "z"}, "title", "title"),
        ("de-AT", {"title": "x", "title@de": "y", "title@de-AT": "z"}, "title", "title@de-AT"),
        ("de_at", {"title": "x", "title@de": "y", "title@de-AT": "z"}, "title", "title@de-AT"),
        ("de-AT", {"title": "x", "title@de": "y", "title@de-AT": ""}, "title", "title@de"),
        ("de-CH", {"title": "x", "title@de": "y"}, "title", "title@de"),
        ("de-CH-1996", {"title": "x", "title@de": "y"}, "title", "title@de"),
        ("pt-br", {"title": "x", "title@pt_BR": "y"}, "title", "title@pt_BR"),
        ("pt", {"title": "x", "title@pt_BR": "y"}, "title", "title"),
        ("de", {"note": "x", "note@DE": "y"}, "note", "note@DE"),
        ("de", {"a@b": "x", "a@b@de": "y"}, "a@b", "a@b@de"),
        ("de", {"product_id": "x", "product_id@de": "y"}, "product_id", "product_id"),
    ],
)
def test_the_nearest_language_that_a_row_fills(locale: str, row: dict[str, Any], name: str, column: str) -> None:
    localised = Localised(locale, ALL)
    assert localised.column(row, name) == column
    assert localised.row(row).get(name) == row[column]


def test_without_a_locale_a_row_is_the_very_row() -> None:
    row = {"title": "x", "title@de": "y"}
    assert Localised(None, ALL).row(row) is row
    assert Localised("fr", ALL).row(row) is row
    assert Localised(None, ALL).with_siblings({"title"}) == {"title"}


def test_what_is_read_and_known() -> None:
    localised = Localised("de-AT", ALL)
    assert localised.with_siblings({"title", "price"}) == {"title", "title@de", "title@de-AT", "price"}
    assert localised.siblings == {
        "title@de-AT": "title",
        "title@de": "title",
        "note@DE": "note",
        "a@b@de": "a@b",
    }
    assert localised.known(["title"]) == ["title", "note", "a@b"]


@pytest.mark.parametrize(
    ("locale", "columns"),
    [
        ("de-AT", ["title@de-AT", "title@de_AT"]),
        ("de", ["title@de", "title@DE"]),
        ("de-AT", ["title@de", "title@De"]),
    ],
)
def test_two_columns_of_one_language_are_refused(locale: str, columns: list[str]) -> None:
    with pytest.raises(TwoColumns, match="are columns of one language"):
        Localised(locale, columns)
    Localised("fr", columns)
    Localised(locale, ["title@de", "title@de-AT", "text@de"])


@pytest.mark.parametrize(
    ("columns", "languages"),
    [
        (ALL, ["DE", "de", "de-AT", "pt_BR"]),
        (["title", "price"], []),
        (["mail@example.com", "x@", "@", "a@b c", "n@1"], []),
        (["title@fr", "text@fr"], ["fr"]),
    ],
)
def test_the_languages_of_columns(columns: list[str], languages: list[str]) -> None:
    assert languages_of(columns) == languages


@pytest.mark.parametrize(
    ("column", "value", "clean"),
    [
        ("title@de", " <b>Becher</b>  &amp; Teller ", "Becher & Teller"),
        ("title@de", "", None),
        ("title@de", None, None),
        ("description@de", "<p>Zweimal gebrannt</p>", "Zweimal gebrannt"),
        ("colors@de", ["salbei"], [{"hex": None, "name": "salbei"}]),
        ("colors@de", None, []),
        ("materials@de", "Ton", ["Ton"]),
        ("attributes@de", {"Inhalt": " 300 ml "}, {"Inhalt": "300 ml"}),
        ("note@de", " <b>own</b> ", " <b>own</b> "),  # a column of one's own is taken as it is
    ],
)
def test_a_column_with_a_language_is_cleaned_like_the_plain_one(column: str, value: Any, clean: Any) -> None:
    row = {"product_id": "p", "brand_id": "acme", "title": "Mug", column: value}
    siblings = {column: column.partition("@")[0]}
    [found], rejects = ProductChecker({"acme": {}}, "p.parquet", siblings).check(Batch("p.parquet", [1], [row]))
    assert rejects == []
    assert found.row[column] == clean
    [untouched], _ = ProductChecker({"acme": {}}, "p.parquet").check(Batch("p.parquet", [1], [row]))
    assert untouched.row[column] == value


def test_a_bad_value_of_a_language_is_a_reject_that_names_it() -> None:
    row = {"product_id": "p", "brand_id": "acme", "title": "Mug", "colors@de": [{"hex": "#12GG45"}]}
    checker = ProductChecker({"acme": {}}, "p.parquet", {"colors@de": "colors"})
    clean, [reject] = checker.check(Batch("p.parquet", [1], [row]))
    assert (clean, reject.column, reject.code) == ([], "colors@de", "bad_value")
