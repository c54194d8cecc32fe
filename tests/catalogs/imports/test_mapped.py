from __future__ import annotations

import json
from decimal import Decimal

import pytest

from catalogs.errors import CatalogError
from catalogs.imports.mapped import propose, read_map
from tests.catalogs.imports.imported import attributes, imported, pictures, table

ROW = {
    "Nr": "00123",
    "Bezeichnung": "Leinentasche",
    "Name EN": "Canvas Tote",
    "Farbe": "Blau",
    "Größe": "S",
    "Bild": "https://shop.example/a.jpg",
    "Bild 2": "https://shop.example/b.jpg",
    "Preis": "1.299,00 €",
    "Modell": "tote",
    "Marke": "Hafen",
    "Aktiv": "ja",
}
MAP = {
    "product_id": "Nr",
    "title": "Bezeichnung",
    "title@en": "Name EN",
    "product_group": "Modell",
    "price": "Preis",
    "brand": "Marke",
    "active": "Aktiv",
    "options": ["Farbe", "Größe"],
    "pictures": ["Bild", "Bild 2"],
}


@pytest.mark.parametrize("name", ["shop.csv", "shop.tsv", "shop.jsonl", "shop.json"])
def test_a_table_by_a_map(name: str) -> None:
    other = {**ROW, "Nr": "124", "Farbe": "Oliv", "Aktiv": "nein"}
    texts = {
        "shop.csv": table([ROW, other], separator=";"),
        "shop.tsv": table([ROW, other], separator="\t"),
        "shop.jsonl": "\n".join(map(json.dumps, (ROW, other))),
        "shop.json": json.dumps({"products": [ROW, other]}),
    }
    found = imported(texts[name], name, column_map=json.dumps(MAP), language="de")
    assert (found.ids, found.rejects) == (["00123", "124"], [])
    row = found["00123"]
    assert (row["title"], row["title@en"], row["product_group"]) == ("Leinentasche", "Canvas Tote", "tote")
    assert (row["price"], row["currency"], row["active"]) == (Decimal("1299.0000"), "EUR", True)
    assert pictures(row) == [ROW["Bild"], ROW["Bild 2"]]
    assert attributes(row) == {"Farbe": "Blau", "Größe": "S"}
    assert [(one.name, one.changes_look) for one in found.report.options] == [
        ("Farbe", True),
        ("Größe", False),
    ]
    assert (found.report.accepted, found.report.inactive, found.report.looks) == (1, 1, 2)


@pytest.mark.parametrize(
    ("changes", "row", "wanted"),
    [
        ({"title": "{Bezeichnung}, {Farbe}"}, {}, {"title": "Leinentasche, Blau"}),
        ({"title": "{Bezeichnung}, {Farbe}"}, {"Farbe": ""}, None),
        ({"product_id": "{Modell}-{Nr}"}, {}, {"product_id": "tote-00123"}),
        ({"product_id": "Nr"}, {"Nr": '="0099"'}, {"product_id": "0099"}),
        ({"pictures": "https://cdn.example/{Nr}.jpg"}, {}, {"pictures": ["https://cdn.example/00123.jpg"]}),
        ({"pictures": ["Bild", "https://cdn.example/{Nr}.jpg"]}, {"Bild": ""}, {"pictures": 1}),
        ({"pictures": "Bild"}, {"Bild": "https://a.b/1.jpg; https://a.b/2.jpg"}, {"pictures": 2}),
        ({"pictures": "Bild"}, {"Bild": "https://a.b/1.jpg | https://a.b/2.jpg"}, {"pictures": 2}),
        ({"pictures": "Bild"}, {"Bild": "https://a.b/1,2.jpg"}, {"pictures": 1}),
        ({"currency": "Marke"}, {"Marke": "CHF"}, {"currency": "CHF"}),
        ({}, {"Preis": "1'299.00"}, {"price": Decimal("1299.0000"), "currency": None}),
        ({}, {"Preis": "1 299,00"}, {"price": Decimal("1299.0000")}),
        ({}, {"Preis": "1\u202f299,00 EUR"}, {"price": Decimal("1299.0000"), "currency": "EUR"}),
        ({}, {"Preis": "1,299.00"}, {"price": Decimal("1299.0000")}),
        ({}, {"Preis": "ab 12,50 €"}, {"price": Decimal("12.5000"), "currency": "EUR"}),
        ({"brand": "Marke"}, {"Marke": ""}, {"brand_id": "shop"}),
        ({"description@de": "Farbe"}, {}, {"description@de": "Blau"}),
        ({"attributes": ["Modell"]}, {}, {"product_group": "tote"}),
        ({"active": "Aktiv"}, {"Aktiv": "0"}, {"active": False}),
    ],
)
def test_templates_and_lists(changes: dict[str, object], row: dict[str, str], wanted: dict[str, object] | None) -> None:
    kept = {**ROW, "Nr": "kept", "Bezeichnung": "Mug"}
    found = imported(table([{**ROW, **row}, kept]), column_map=json.dumps({**MAP, **changes}))
    assert found.rejects == []
    if wanted is None:
        assert found.report.rejected == {"no_title": 1}
        return
    one = found.rows[0]
    for name, value in wanted.items():
        told = pictures(one) if name == "pictures" else one[name]
        assert (len(told) if name == "pictures" and isinstance(value, int) else told) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ("null", "is no JSON object"),
        ("[" * 100_000, "is no JSON"),
        ('{"product_id": "Nr"}', "title: is missing"),
        ('{"title": "Nr"}', "product_id: is missing"),
        ('{"product_id": "Nr", "title": "Titel"}', "has no column 'Titel'"),
        ('{"product_id": "Nr", "title": "{Nr} {Titel}"}', "has no column 'Titel'"),
        ('{"product_id": "Nr", "titel": "Nr"}', "did you mean 'title'"),
        ('{"product_id": "Nr", "title": 5}', "is no column's name"),
        ('{"product_id": "Nr", "title": ""}', "is no column's name"),
        ('{"product_id": "Nr", "title": "Nr", "pictures": {}}', "is no list of columns"),
        ('{"product_id": "Nr", "title": "Nr", "pictures": [1]}', "is no column's name"),
        ('{"product_id": "Nr", "title": "Nr", "price@de": "Nr"}', "is no field of a product"),
        ('{"product_id": "Nr", "title": ["Nr"]}', "is no column's name"),
    ],
)
def test_maps_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(CatalogError) as told:
        read_map(text, "shop.map.json", list(ROW))
    assert said in str(told.value)
    assert str(told.value).startswith("shop.map.json: ")
    assert told.value.exit_code == 2
    assert read_map(json.dumps(MAP), "shop.map.json", list(ROW)).fields["title"] == "{Bezeichnung}"


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        (["SKU", "Title"], {"product_id": "SKU", "title": "Title"}),
        (["Artikelnummer", "Titel", "Währung"], {"product_id": "Artikelnummer", "currency": "Währung"}),
        (["ref", "Nom", "Prix", "Marque", "Catégorie"], {"title": "Nom", "brand": "Marque", "category": "Catégorie"}),
        (["id", "Nombre", "Descripción"], {"title": "Nombre", "description": "Descripción"}),
        (["id", "name", "Größe", "Matière"], {"options": ["Größe", "Matière"]}),
        (["id", "name", "image_1", "image_count", "Foto"], {"pictures": ["image_1", "Foto"]}),
        (["product-id", "Product Name"], {"product_id": "product-id", "title": "Product Name"}),
        (["a", "b"], {"product_id": "", "title": ""}),
        (["id", "name", "photo.uri", "photo.role", "image_licence_end"], {"pictures": ["photo.uri"]}),
    ],
)
def test_proposals(columns: list[str], wanted: dict[str, object]) -> None:
    found = json.loads(propose(columns).as_json())
    bare = {
        name: [one.strip("{}") for one in value] if isinstance(value, list) else value.strip("{}")
        for name, value in found.items()
    }
    assert {name: bare[name] for name in wanted} == wanted


def test_a_proposal_that_was_not_filled_in_names_the_columns() -> None:
    header = ["a", "b", *map(str, range(30))]
    with pytest.raises(CatalogError, match=r"product_id: is no column's name; .* in quotes: a, b, 0, .*, and 12 more"):
        read_map(propose(header).as_json(), "shop.map.json", header)


def test_a_proposed_map_is_one_that_is_read() -> None:
    found = propose(["sku", "name", "colour", "image", "title"])
    again = read_map(found.as_json(), "shop.map.json", ["sku", "name", "colour", "image", "title"])
    assert (again.fields, again.lists) == (dict(found.fields), dict(found.lists))


def test_a_map_that_groups_everything_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogs.imports.spool.MOST_LINES", 7)
    rows = [{**ROW, "Nr": str(number)} for number in range(50)]
    found = imported(table(rows), column_map=json.dumps({**MAP, "product_group": "Marke"}))
    assert (found.report.accepted, {row["product_group"] for row in found.rows}) == (50, {"Hafen"})
