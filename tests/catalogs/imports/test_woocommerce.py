from __future__ import annotations

from decimal import Decimal

import pytest

from tests.catalogs.imports.imported import attributes, imported, pictures, table

SHOP = "https://shop.example/wp-content/uploads/"
PARENT = {
    "ID": "10",
    "Type": "variable",
    "SKU": "HOODIE",
    "GTIN, UPC, EAN, or ISBN": "",
    "Name": "Wool Hoodie",
    "Published": "1",
    "Short description": "Warm.",
    "Description": "A <em>thick</em> hoodie.\\nOf wool.",
    "Regular price": "",
    "Categories": "Clothing, Clothing > Hoodies, Sale",
    "Images": f"{SHOP}hoodie.jpg, {SHOP}hoodie-olive.jpg",
    "Parent": "",
    "Brands": "Harbour",
    "Attribute 1 name": "Color",
    "Attribute 1 value(s)": "Blue, Olive",
    "Attribute 2 name": "Logo",
    "Attribute 2 value(s)": "Yes, No",
    "Meta: fabric": "Wool",
    "Meta: _yoast": "junk",
}
BLUE = {
    "ID": "11",
    "Type": "variation",
    "SKU": "HOODIE-BLUE",
    "GTIN, UPC, EAN, or ISBN": "0400638133393",
    "Name": "Wool Hoodie - Blue",
    "Published": "1",
    "Regular price": "45",
    "Images": f"{SHOP}blue.jpg",
    "Parent": "HOODIE",
    "Attribute 1 name": "Color",
    "Attribute 1 value(s)": "Blue",
}
OLIVE = {**BLUE, "ID": "12", "SKU": "", "Images": "", "Attribute 1 value(s)": "Olive", "Parent": "id:10"}
SIMPLE = {**PARENT, "ID": "20", "Type": "simple", "SKU": "MUG", "Name": "Blue Mug", "Attribute 1 name": ""}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_variations_before_and_after_their_parent(order: tuple[int, ...], separator: str) -> None:
    rows = [(PARENT, BLUE, OLIVE)[place] for place in order]
    found = imported(table(rows, list(PARENT), separator))
    report = found.report
    assert (report.format, report.read, report.accepted, report.joined) == ("WooCommerce products", 3, 2, 1)
    assert sorted(found.ids) == ["12", "HOODIE-BLUE"]
    assert {row["product_group"] for row in found.rows} == {"HOODIE"}
    assert {row["title"] for row in found.rows} == {"Wool Hoodie"}
    assert found.rejects == []


def test_a_variation_has_its_own_picture_price_and_code_and_its_parents_texts() -> None:
    found = imported(table([PARENT, BLUE, OLIVE]))
    blue, olive = found["HOODIE-BLUE"], found["12"]
    assert (pictures(blue), blue["picture_reason"]) == ([f"{SHOP}blue.jpg"], "its own picture")
    assert pictures(olive)[0] == f"{SHOP}hoodie-olive.jpg"
    assert olive["picture_reason"] == "its file name says 'Olive'"
    assert (blue["gtin"], blue["price"]) == ("0400638133393", Decimal("45.0000"))
    assert blue["description"] == "A thick hoodie. Of wool. Warm."
    assert blue["category"] == "Clothing > Hoodies"
    assert attributes(blue) == {"Color": "Blue", "Logo": "Yes, No", "fabric": "Wool"}
    assert found.report.brands == {"Harbour": 2}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"Published": "0"}, {"active": False}),
        ({"Published": "-1"}, {"active": False}),
        ({"Published": "1"}, {"active": True}),
        ({"Published": ""}, {"active": True}),
        ({"Type": "simple, virtual"}, {"product_id": "MUG"}),
        ({"Type": "external"}, {"product_id": "MUG"}),
        ({"SKU": ""}, {"product_id": "20", "product_group": "id-20"}),
        ({"ID": ""}, {"product_id": "MUG"}),
        ({"SKU": "'0012"}, {"product_id": "0012", "product_group": "0012"}),
        ({"Name": "'=5 Mugs"}, {"title": "=5 Mugs"}),
        ({"Name": "'Tis a Mug"}, {"title": "'Tis a Mug"}),
        ({"Name": "Tasse \\n groß"}, {"title": "Tasse groß"}),
        ({"Categories": "Hats\\, Caps > Wool, Sale"}, {"category": "Hats, Caps > Wool"}),
        ({"Categories": ""}, {"category": None}),
        ({"Regular price": "1.299,00"}, {"price": Decimal("1299.0000")}),
        ({"Regular price": "12,50"}, {"price": Decimal("12.5000")}),
        ({"Regular price": "1 299,00"}, {"price": Decimal("1299.0000")}),
        ({"Regular price": "free"}, {"price": None}),
        ({"GTIN, UPC, EAN, or ISBN": "978-3-16-148410-0"}, {"gtin": "978-3-16-148410-0"}),
        ({"Images": ""}, {"reference_images": None, "picture_reason": "the export names none"}),
    ],
)
def test_a_simple_product(changes: dict[str, str], wanted: dict[str, object]) -> None:
    found = imported(table([{**SIMPLE, **changes}]))
    assert found.rejects == []
    assert {name: found.rows[0][name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        (f"{SHOP}a.jpg,{SHOP}b.jpg", ["a.jpg", "b.jpg"]),
        (f"{SHOP}a.jpg, {SHOP}b.jpg", ["a.jpg", "b.jpg"]),
        (f"{SHOP}w_500,h_500/a.jpg, {SHOP}b.jpg", ["w_500,h_500/a.jpg", "b.jpg"]),
        (f"{SHOP}a.jpg | {SHOP}b.jpg", ["a.jpg", "b.jpg"]),
        (f"{SHOP}a.jpg?x=1,2", ["a.jpg?x=1,2"]),
        (f" {SHOP}a.jpg ,, ", ["a.jpg ,,"]),
    ],
)
def test_pictures_of_one_cell(images: str, wanted: list[str]) -> None:
    found = imported(table([{**SIMPLE, "Images": images}]))
    assert [uri.removeprefix(SHOP) for uri in pictures(found.rows[0])] == wanted


def test_values_with_commas() -> None:
    rows = [PARENT, {**BLUE, "Attribute 1 value(s)": "Red\\, White"}]
    found = imported(table(rows))
    assert attributes(found.rows[0])["Color"] == "Red, White"


@pytest.mark.parametrize(
    ("rows", "codes", "ids"),
    [
        ([BLUE, SIMPLE], {"no_parent": 1}, ["MUG"]),
        ([{**BLUE, "Parent": ""}, {**OLIVE, "Parent": ""}, SIMPLE], {"no_parent": 2}, ["MUG"]),
        ([PARENT, SIMPLE], {"no_variant": 1}, ["MUG"]),
        ([SIMPLE, SIMPLE], {"duplicate_id": 1}, ["MUG"]),
        ([{**SIMPLE, "Name": ""}, {**SIMPLE, "SKU": "B", "ID": "2"}], {"no_title": 1}, ["B"]),
        ([{**SIMPLE, "SKU": "", "ID": ""}, {**SIMPLE, "SKU": "", "ID": ""}, SIMPLE], {"no_id": 2}, ["MUG"]),
        ([{**SIMPLE, "SKU": "x" * 201}, BLUE, PARENT], {"bad_id": 1}, ["HOODIE-BLUE"]),
        ([{**SIMPLE, "ID": "5", "SKU": "A", "Type": "grouped"}, SIMPLE], {}, ["MUG"]),
    ],
)
def test_what_is_left_out(rows: list[dict[str, str]], codes: dict[str, int], ids: list[str]) -> None:
    found = imported(table(rows))
    assert (dict(found.report.rejected), found.ids, found.rejects) == (codes, ids, [])


def test_a_variation_of_an_unpublished_product_is_not_sold() -> None:
    found = imported(table([{**PARENT, "Published": "0"}, BLUE, {**OLIVE, "Published": "0"}, SIMPLE]))
    assert [row["active"] for row in found.rows] == [False, False, True]
    assert (found.report.accepted, found.report.inactive) == (1, 2)


def test_subscriptions_and_downloads_are_variations_too() -> None:
    rows = [
        {**PARENT, "Type": "variable-subscription"},
        {**BLUE, "Type": "subscription_variation"},
        {**OLIVE, "Type": "variation, downloadable, virtual"},
    ]
    assert imported(table(rows)).report.accepted == 2
