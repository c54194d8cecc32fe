from __future__ import annotations

from decimal import Decimal
from xml.sax.saxutils import escape

import pytest

from tests.catalogs.imports.imported import Imported, attributes, imported, pictures, table

SHOP = "https://shop.example/"
BLUE = {
    "id": "00123",
    "title": "Canvas Tote",
    "description": "A roomy tote & more.",
    "link": f"{SHOP}tote?a=1&b=2",
    "image_link": f"{SHOP}blue.jpg",
    "additional_image_link": f"{SHOP}blue-2.jpg,{SHOP}w_5,h_5/blue-3.jpg",
    "availability": "in_stock",
    "price": "49.00 EUR",
    "brand": "Harbour",
    "gtin": "0400638133393",
    "product_type": "Bags > Totes",
    "google_product_category": "5608",
    "item_group_id": "tote",
    "color": "Blue",
    "size": "S",
}
OLIVE = {**BLUE, "id": "124", "color": "Olive", "image_link": f"{SHOP}olive.jpg", "additional_image_link": ""}


def tsv(rows: list[dict[str, str]]) -> str:
    return table(rows, separator="\t")


def spaced(rows: list[dict[str, str]]) -> str:
    return tsv([{name.replace("_", " "): value for name, value in row.items()} for row in rows])


def meta(rows: list[dict[str, str]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    comments = ",".join(f'"# Required | What {one} says, in words"' for one in columns)
    return f"{comments}\n{table(rows, columns)}"


def rss(rows: list[dict[str, str]]) -> str:
    items = "".join(f"<item>{_elements(row)}</item>" for row in rows)
    space = 'xmlns:g="http://base.google.com/ns/1.0"'
    return f'<?xml version="1.0"?><rss {space} version="2.0"><channel><title>Shop</title>{items}</channel></rss>'


def atom(rows: list[dict[str, str]]) -> str:
    entries = "".join(
        f"<entry><id>tag:{row.get('id', '')}</id><title>of Atom</title><updated>2026-01-01</updated>"
        f'<link rel="self" href="{SHOP}self"/>{_elements(row)}</entry>'
        for row in rows
    )
    spaces = 'xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"'
    return f'<?xml version="1.0"?><feed {spaces}><title>Shop</title><id>tag:shop</id>{entries}</feed>'


def _elements(row: dict[str, str]) -> str:
    found = ""
    for name, value in row.items():
        values = value.split(f",{SHOP}") if name == "additional_image_link" else [value]
        for place, one in enumerate(values):
            told = one if not place else SHOP + one
            found += f"<g:{name}>{escape(told)}</g:{name}>" if told else ""
    shipping = "<g:shipping><g:country>DE</g:country><g:price>4.95 EUR</g:price></g:shipping>"
    detail = "".join(
        f"<g:product_detail><g:section_name>Make</g:section_name><g:attribute_name>{name}</g:attribute_name>"
        f"<g:attribute_value>{value}</g:attribute_value></g:product_detail>"
        for name, value in (("Lining", "Cotton"), ("Closure", "Zip"))
    )
    return found + shipping * 2 + detail


WRITERS = {"shop.tsv": tsv, "spaced.tsv": spaced, "meta.csv": meta, "rss.xml": rss, "atom.xml": atom, "feed.rss": rss}


def of(rows: list[dict[str, str]], name: str) -> Imported:
    return imported(WRITERS[name](rows), name)


@pytest.mark.parametrize("name", WRITERS)
def test_variants_of_a_group(name: str) -> None:
    found = of([BLUE, OLIVE], name)
    report = found.report
    assert (report.read, report.accepted, report.products, report.looks) == (2, 2, 1, 2)
    assert (found.ids, found.rejects) == (["00123", "124"], [])
    blue = found["00123"]
    assert pictures(blue) == [f"{SHOP}blue.jpg", f"{SHOP}blue-2.jpg", f"{SHOP}w_5,h_5/blue-3.jpg"]
    assert blue["picture_reason"] == "its own picture"
    assert (blue["gtin"], blue["price"], blue["currency"]) == ("0400638133393", Decimal("49.0000"), "EUR")
    assert (blue["url"], blue["category"]) == (f"{SHOP}tote?a=1&b=2", "Bags > Totes")
    assert (blue["title"], blue["description"]) == ("Canvas Tote", "A roomy tote & more.")
    assert [one["name"] for one in blue["colors"]] == ["blue"]
    assert [(one.name, one.changes_look) for one in report.options] == [("color", True), ("size", False)]
    assert report.brands == {"Harbour": 2}


@pytest.mark.parametrize("name", ["rss.xml", "atom.xml"])
def test_details_of_a_product(name: str) -> None:
    told = attributes(of([BLUE], name).rows[0])
    assert (told["Lining"], told["Closure"]) == ("Cotton", "Zip")


def test_details_of_a_table() -> None:
    row = {**BLUE, "product_detail": "Make:Lining:Cotton,Make:Closure:Zip"}
    told = attributes(of([row], "shop.tsv").rows[0])
    assert (told["Lining"], told["Closure"]) == ("Cotton", "Zip")


@pytest.mark.parametrize("name", ["shop.tsv", "meta.csv", "rss.xml", "atom.xml"])
@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"availability": "out of stock"}, {"active": True}),
        ({"availability": "discontinued"}, {"active": False}),
        ({"status": "archived"}, {"active": False}),
        ({"price": "1.299,00 EUR"}, {"price": Decimal("1299.0000"), "currency": "EUR"}),
        ({"price": "1'299.00 CHF"}, {"price": Decimal("1299.0000"), "currency": "CHF"}),
        ({"price": "12,50 €"}, {"price": Decimal("12.5000"), "currency": "EUR"}),
        ({"price": "USD 12.50"}, {"price": Decimal("12.5000"), "currency": "USD"}),
        ({"price": "£12"}, {"price": Decimal("12.0000"), "currency": "GBP"}),
        ({"price": "12.50"}, {"price": Decimal("12.5000"), "currency": None}),
        ({"price": "10 USD"}, {"price": Decimal("10.0000"), "currency": "USD"}),
        ({"gtin": "'0400638133393"}, {"gtin": "0400638133393"}),
        ({"gtin": "4.00638E+12"}, {"gtin": None}),
        ({"product_type": ""}, {"category": None}),
        ({"product_type": "", "google_product_category": "Bags > Totes"}, {"category": "Bags > Totes"}),
        ({"item_group_id": ""}, {"product_group": "00123"}),
        ({"title": "Größe 5 < 6 & 7"}, {"title": "Größe 5 < 6 & 7"}),
        ({"description": "<p>One</p><p>Two</p>"}, {"description": "One. Two"}),
        ({"image_link": "", "additional_image_link": "", "color": "Red"}, {"picture_reason": "the export names none"}),
    ],
)
def test_an_item(name: str, changes: dict[str, str], wanted: dict[str, object]) -> None:
    other = {**BLUE, "id": "other", "item_group_id": "", "title": "Other"}  # gives the feed its columns
    found = of([{**BLUE, **changes}, other], name)
    assert found.rejects == []
    assert {name: found.rows[0][name] for name in wanted} == wanted


@pytest.mark.parametrize("name", ["shop.tsv", "meta.csv", "rss.xml", "atom.xml"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": ""}, "no_id"),
        ({"title": ""}, "no_title"),
        ({"id": "124"}, "duplicate_id"),
        ({"id": "x" * 201}, "bad_id"),
    ],
)
def test_what_is_left_out(name: str, changes: dict[str, str], code: str) -> None:
    if name == "atom.xml" and code in ("no_id", "no_title"):  # Atom's own id and title stand in
        assert of([OLIVE, {**BLUE, **changes}], name).report.accepted == 2
        return
    found = of([OLIVE, {**BLUE, **changes}], name)
    assert (dict(found.report.rejected), found.ids) == ({code: 1}, ["124"])


def test_items_without_id_and_group_share_no_picture() -> None:
    rows = [{**BLUE, "id": "", "item_group_id": ""}] * 2 + [{**OLIVE, "item_group_id": "", "image_link": ""}]
    found = of(rows, "shop.tsv")
    assert (found.ids, pictures(found.rows[0])) == (["124"], [])


def test_a_group_of_the_name_of_an_item_is_another() -> None:
    rows = [{**BLUE, "item_group_id": ""}, {**OLIVE, "item_group_id": "00123"}]
    assert of(rows, "shop.tsv").report.products == 2
