from __future__ import annotations

import time
from decimal import Decimal

import pytest

from catalogs.imports.magento import _pairs
from tests.catalogs.imports.imported import attributes, imported, pictures, table

PARENT = {
    "sku": "TEE",
    "store_view_code": "",
    "attribute_set_code": "Top",
    "product_type": "configurable",
    "categories": "Default Category/Men,Default Category/Men/Tops/Tees",
    "product_websites": "base",
    "name": "Cotton Tee",
    "description": "<p>A soft tee.</p>",
    "short_description": "Soft.",
    "product_online": "1",
    "price": "",
    "base_image": "/t/e/tee_main.jpg",
    "base_image_label": "",
    "additional_images": "/t/e/tee_main.jpg,/t/e/tee_olive.jpg",
    "additional_image_labels": ",Olive tee",
    "additional_attributes": "material=Cotton|Jersey,pattern=Solid,care=Wash cold, dry flat,sale=Yes",
    "configurable_variations": "sku=TEE-B,color=Blue,size=S|sku=TEE-O,color=Olive, dark,size=M",
    "configurable_variation_labels": "color=Color,size=Size",
}
BLUE = {
    **dict.fromkeys(PARENT, ""),
    "sku": "TEE-B",
    "attribute_set_code": "Top",
    "product_type": "simple",
    "name": "Cotton Tee-Blue-S",
    "product_online": "1",
    "price": "29.0000",
    "base_image": "/t/e/blue.jpg",
    "additional_attributes": "color=Blue,ean=0400638133393",
}
OLIVE = {**BLUE, "sku": "TEE-O", "name": "Cotton Tee-Olive-M", "base_image": "", "additional_attributes": ""}
GERMAN = {**dict.fromkeys(PARENT, ""), "sku": "TEE", "store_view_code": "store_de", "name": "Baumwollhemd"}
SIMPLE = {**BLUE, "sku": "MUG", "name": "Blue Mug", "categories": "Default Category/Home", "description": "A mug."}
VIEW = {**dict.fromkeys(PARENT, ""), "sku": "MUG", "attribute_set_code": "Top", "product_type": "simple"}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 1, 0), (1, 2, 3, 0)])
def test_variants_before_and_after_their_parent(order: tuple[int, ...]) -> None:
    rows = [(PARENT, BLUE, OLIVE, GERMAN)[place] for place in order]
    found = imported(table(rows, list(PARENT)))
    report = found.report
    assert (report.format, report.read, report.accepted, report.joined) == ("Magento 2 products", 4, 2, 2)
    assert (sorted(found.ids), found.rejects) == (["TEE-B", "TEE-O"], [])
    assert {row["product_group"] for row in found.rows} == {"TEE"}
    assert {row["title"] for row in found.rows} == {"Cotton Tee"}
    assert {row["title@de"] for row in found.rows} == {"Baumwollhemd"}


def test_a_variant_has_its_options_picture_and_price_and_its_parents_texts() -> None:
    found = imported(table([PARENT, BLUE, OLIVE]))
    blue, olive = found["TEE-B"], found["TEE-O"]
    assert (blue["price"], blue["gtin"]) == (Decimal("29.0000"), "0400638133393")
    assert (blue["description"], blue["category"]) == ("A soft tee. Soft.", "Men > Tops > Tees")
    assert attributes(olive) == {
        "material": "Cotton, Jersey",
        "pattern": "Solid",
        "care": "Wash cold, dry flat",
        "sale": "Yes",
        "color": "Olive, dark",
        "size": "M",
    }
    assert attributes(blue)["color"] == "Blue"
    assert blue["materials"] == ["cotton", "jersey"]
    assert [(one.name, one.changes_look) for one in found.report.options] == [("color", True), ("size", False)]
    # The files are not there: a reason names the one that would show it.
    assert (pictures(blue), blue["picture_reason"]) == (
        [],
        "its own picture, but there is no such file: t/e/blue.jpg",
    )


@pytest.mark.parametrize(
    ("packed", "wanted"),
    [
        ("color=Red", {"color": "Red"}),
        ("color=Red,size=S", {"color": "Red", "size": "S"}),
        ("care=Wash cold, dry flat,size=S", {"care": "Wash cold, dry flat", "size": "S"}),
        ('care="Wash, a=b, dry",size="S"', {"care": "Wash, a=b, dry", "size": "S"}),
        ('care="Say ""no"", now",size=S', {"care": 'Say "no", now', "size": "S"}),
        ("material=Wool|Silk|Linen", {"material": "Wool, Silk, Linen"}),
        ("link=a?b=c,size=S", {"link": "a?b=c", "size": "S"}),
        ("size=,color=Red", {"color": "Red"}),
        ("color=", {}),
        ("=x,color=Red", {"color": "Red"}),
        ("no pairs at all", {}),
        ("text=one\ntwo,size=S", {"text": "one, two", "size": "S"}),
        ('inch=5",size=S', {"inch": '5"', "size": "S"}),
        ("color=Größe,größe=x", {"color": "Größe,größe=x"}),
        ("a_b1=x,_c=y", {"a_b1": "x,_c=y"}),
        ("x=" + "word " * 20_000 + ",size=S", {"x": ("word " * 20_000).strip(), "size": "S"}),
    ],
)
def test_packed_attributes(packed: str, wanted: dict[str, str]) -> None:
    found = imported(table([{**SIMPLE, "additional_attributes": packed}, {**SIMPLE, "sku": "other"}]))
    assert attributes(found["MUG"]) == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"product_online": "2"}, {"active": False}),
        ({"product_online": "0"}, {"active": False}),
        ({"product_online": "1"}, {"active": True}),
        ({"product_online": ""}, {"active": True}),
        ({"sku": "'0012"}, {"product_id": "0012"}),
        ({"product_type": "bundle"}, {"product_id": "MUG"}),
        ({"product_type": "virtual"}, {"product_id": "MUG"}),
        ({"categories": "Default Category/Men/Tops,Default Category/A/B/C"}, {"category": "A > B > C"}),
        ({"categories": ""}, {"category": None}),
        ({"price": "1.299,00"}, {"price": Decimal("1299.0000")}),
        ({"price": "12,50"}, {"price": Decimal("12.5000")}),
        ({"base_image": "no_selection"}, {"picture_reason": "the export names none"}),
        ({"base_image": "https://cdn.example/a.jpg"}, {"reference_images": [("https://cdn.example/a.jpg", "hero")]}),
        ({"name": "Tasse für 2 €"}, {"title": "Tasse für 2 €"}),
        ({"additional_attributes": "manufacturer=Harbour"}, {"brand_id": "harbour"}),
        ({"additional_attributes": "gtin='0012"}, {"gtin": "0012"}),
    ],
)
def test_a_simple_product(changes: dict[str, str], wanted: dict[str, object]) -> None:
    found = imported(table([{**SIMPLE, **changes}]))
    assert found.rejects == []
    row = found.rows[0]
    row["reference_images"] = [(one["uri"], one["role"]) for one in row["reference_images"] or []]
    assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("de", ["title@de"]),
        ("store_de", ["title@de"]),
        ("de_at", ["title@de-at"]),
        ("de-AT", ["title@de-at"]),
        ("shop_fr_ch", ["title@fr-ch"]),
        ("ch_it", ["title@it"]),
        ("store_uk", []),
        ("us", []),
        ("default", []),
        ("all stores", []),
    ],
)
def test_store_views(view: str, columns: list[str]) -> None:
    found = imported(table([SIMPLE, {**VIEW, "store_view_code": view, "name": "Tasse"}]))
    assert [name for name in found.rows[0] if "@" in name] == columns
    assert (found.report.accepted, found.report.joined) == (1, 1)


@pytest.mark.parametrize(
    ("rows", "codes", "ids"),
    [
        ([PARENT, SIMPLE], {"no_variant": 1}, ["MUG"]),
        ([{**PARENT, "configurable_variations": ""}, SIMPLE], {"no_variant": 1}, ["MUG"]),
        ([{**SIMPLE, "product_type": "grouped", "sku": "SET"}, SIMPLE], {}, ["MUG"]),
        ([SIMPLE, SIMPLE, SIMPLE], {"duplicate_id": 2}, ["MUG"]),
        ([{**VIEW, "sku": "X", "store_view_code": "de", "name": "Y"}, SIMPLE], {"no_parent": 1}, ["MUG"]),
        ([{**SIMPLE, "sku": ""}, SIMPLE], {"no_id": 1}, ["MUG"]),
        ([{**SIMPLE, "sku": "x" * 201}, SIMPLE], {"bad_id": 1}, ["MUG"]),
        ([PARENT, BLUE, BLUE], {"duplicate_id": 1}, ["TEE-B"]),
        ([PARENT, PARENT, BLUE], {"duplicate_id": 1}, ["TEE-B"]),
        ([PARENT, {**PARENT, "sku": "TEE2"}, BLUE, OLIVE], {"no_variant": 1}, ["TEE-B", "TEE-O"]),
    ],
)
def test_what_is_left_out(rows: list[dict[str, str]], codes: dict[str, int], ids: list[str]) -> None:
    found = imported(table(rows, list(PARENT)))
    assert (dict(found.report.rejected), found.ids, found.rejects) == (codes, ids, [])
    assert found.report.is_balanced


def test_variants_of_a_product_that_is_off_are_not_sold() -> None:
    found = imported(table([{**PARENT, "product_online": "2"}, BLUE, OLIVE]))
    assert (found.report.accepted, found.report.inactive) == (0, 2)


@pytest.mark.parametrize("packed", ["a", ",a", 'a="', 'a=""",', "a=1,b"])
def test_packed_values_of_any_length_are_read_once(packed: str) -> None:
    began = time.process_time()
    _pairs(packed * 80_000)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("packed", "wanted"),
    [
        ("color=Red,material=Cotton, organic", {"color": "Red", "material": "Cotton, organic"}),
        ('note="a, ""b"" c",x=1', {"note": 'a, "b" c', "x": "1"}),
        ('note="a,b=2', {"note": '"a', "b": "2"}),
        ("a=b=c,=,d=,1x=2,e= f ", {"a": "b=c,=", "d": ",1x=2", "e": "f"}),
        ("nothing", {}),
        ("", {}),
    ],
)
def test_packed_values(packed: str, wanted: dict[str, str]) -> None:
    assert _pairs(packed) == wanted
